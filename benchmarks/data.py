"""Augmented images a second: ours, whole batches at a time, beside torchvision's transforms in a DataLoader.

    python -m benchmarks.data --image-size 32

Each makes an epoch of shuffled, cropped, mirrored, normalised batches; the epochs take turns, and are timed by the
clock, since the DataLoader's workers are other processes. The transforms are those of torchvision's own training script
for CIFAR: of one PIL image at a time.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import v2

from benchmarks.in_turns import machine
from space.normalisation import normaliser
from trainers.allocator import keep_freed_memory
from trainers.augment import random_crop, random_flip
from trainers.images import TensorImages

MEAN, STD = (0.49, 0.48, 0.45), (0.25, 0.24, 0.26)
PADDING = 4
WORKERS = (0, 2)


class Pictures(Dataset[tuple[Tensor, int]]):
    """PIL images that are transformed one by one, as torchvision's CIFAR10 does."""

    def __init__(self, images: Tensor, labels: Tensor) -> None:
        self.images = [Image.fromarray(image) for image in images.permute(0, 2, 3, 1).numpy()]
        self.labels = labels.tolist()
        self.transform = v2.Compose(
            [
                v2.RandomCrop(images.shape[2], padding=PADDING),
                v2.RandomHorizontalFlip(),
                v2.ToImage(),
                v2.ToDtype(torch.float32, scale=True),
                v2.Normalize(MEAN, STD),
            ]
        )

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.transform(self.images[index]), self.labels[index]


def epochs(images: Tensor, labels: Tensor, batch: int) -> dict[str, Callable[[], float]]:
    """An epoch of each way, by its name; it returns a number that depends on all that was made."""
    ours, ready = TensorImages(images, labels), normaliser(MEAN, STD, torch.device("cpu"))

    def of_ours() -> float:
        batches = ours.batches(torch.randperm(len(labels)), batch)
        return sum(float(ready(random_flip(random_crop(some, PADDING)))[0, 0, 0, 0]) for some, _ in batches)

    def of(loader: DataLoader[tuple[Tensor, int]]) -> Callable[[], float]:
        return lambda: sum(float(some[0, 0, 0, 0]) for some, _ in loader)

    pictures = Pictures(images, labels)
    loaders = {
        it: DataLoader(pictures, batch, shuffle=True, num_workers=it, persistent_workers=it > 0) for it in WORKERS
    }
    return {"ours": of_ours} | {f"DataLoader, {it} workers": of(loader) for it, loader in loaders.items()}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--image-size", type=int, default=32)
    parser.add_argument("--images", type=int, default=5000)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--repetitions", type=int, default=7)
    given = parser.parse_args()

    torch.set_num_threads(1)
    keep_freed_memory()
    torch.manual_seed(0)
    images = torch.randint(256, (given.images, 3, given.image_size, given.image_size), dtype=torch.uint8)
    ways = epochs(images, torch.randint(10, (given.images,)), given.batch)
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(given.repetitions + 1):
        for name in [*ways][:: -1 if turn % 2 else 1]:
            begun = time.perf_counter()
            ways[name]()
            if turn:  # the first warms up
                seconds[name].append(time.perf_counter() - begun)

    print(machine())
    print(f"{given.images:,} images of {given.image_size} pixels in batches of {given.batch}; n = {given.repetitions}")
    print(f"{'':24}{'images/s':>12}{'least':>12}{'most':>12}{'ours by it':>12}")
    mine = statistics.median(seconds["ours"])
    for name, each in seconds.items():
        speeds = (given.images / it for it in (statistics.median(each), max(each), min(each)))
        print(f"{name:24}{''.join(f'{it:12,.0f}' for it in speeds)}{statistics.median(each) / mine:12.1f}")
