"""Networks as they are trained beside their folded forms: the time of inference.

    python benchmarks/inference.py --backbone resnet164 --batch 32
    python benchmarks/inference.py --backbone torchvision/resnet50 --image-size 224 --batch 8

All networks take turns in one process, batch by batch, on one thread and channels_last; on a CPU its seconds are
counted, so that what else runs on the machine hardly does. `se by the book` is SE as its paper's code has it: NCHW, the
gate times the branch, then the addition, then the ReLU, each in a pass of its own.
"""

import argparse
import platform
import statistics
import time

import torch
import torchvision
from torch import Tensor, nn

from space.attention.se import SE
from space.backbones import Backbone, backbone
from space.build import build
from space.design import Design
from space.fold import fold

DESIGNS = ("se", "ras", "ras:depth=4", "eca", "dia", "sem", "spa", "cbam")
BOOK = "se by the book"
CLASSES = 10
WARM_UP = 3
"""Batches."""


class BookSE(nn.Module):
    """A branch's last module and SE, as the paper's code has it."""

    def __init__(self, end: nn.Module, channels: int) -> None:
        super().__init__()
        self.end = end
        self.se = SE(channels)

    def forward(self, x: Tensor) -> Tensor:
        """Gate times branch."""
        features: Tensor = self.end(x)
        pooled = nn.functional.adaptive_avg_pool2d(features, 1).flatten(1)
        gate: Tensor = self.se(pooled).sigmoid()[:, :, None, None]
        return features * gate


def by_the_book(it: Backbone) -> nn.Module:
    """The backbone with SE at its sites."""
    network = build(Design(), it, CLASSES)
    for site in it.sites:
        network.set_submodule(site.path, BookSE(network.get_submodule(site.path), site.channels))
    for module in network.modules():
        if isinstance(module, nn.ReLU):
            module.inplace = False
    return network.eval()


def variants(it: Backbone, designs: list[Design], device: str) -> dict[str, nn.Module]:
    """Each network by its name in the table; the plain one first."""
    found: dict[str, nn.Module] = {}
    for design in (Design(), *designs):
        network = build(design, it, CLASSES).eval().to(device)
        name = "plain" if design == Design() else str(design)
        found[f"{name} eager"] = network.to(memory_format=torch.channels_last)
        found[f"{name} folded"] = fold(network)
    found[BOOK] = by_the_book(it).to(device)
    return found


@torch.inference_mode()
def seconds(network: nn.Module, images: Tensor) -> float:
    """Of a forward pass: of the CPU, or of the clock on another device."""
    if images.is_cpu:
        begun = time.process_time()
        network(images)
        return time.process_time() - begun
    torch.accelerator.synchronize()
    begun = time.perf_counter()
    network(images)
    torch.accelerator.synchronize()
    return time.perf_counter() - begun


def measured(networks: dict[str, nn.Module], images: Tensor, repetitions: int) -> dict[str, list[float]]:
    """The seconds of each network, repetition after repetition."""
    last = images.contiguous(memory_format=torch.channels_last)
    given = {name: images if name == BOOK else last for name in networks}
    for name in [*networks] * WARM_UP:
        seconds(networks[name], given[name])
    found: dict[str, list[float]] = {name: [] for name in networks}
    for turn in range(repetitions):
        for name in [*networks][:: -1 if turn % 2 else 1]:
            found[name].append(seconds(networks[name], given[name]))
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("designs", nargs="*", default=DESIGNS)
    parser.add_argument("--backbone", default="resnet56")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--image-size", type=int, default=32)
    parser.add_argument("--repetitions", type=int, default=15)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()

    torch.set_num_threads(1)
    torch.manual_seed(0)
    it = backbone(options.backbone)
    networks = variants(it, [Design.parse(text).canonical(it.layout) for text in options.designs], options.device)
    images = torch.rand(options.batch, 3, options.image_size, options.image_size, device=options.device)
    times = measured(networks, images, options.repetitions)

    machine = (
        torch.cuda.get_device_name(options.device) if images.is_cuda else platform.processor() or platform.machine()
    )
    print(f"{machine}, {platform.system()}, torch {torch.__version__}, torchvision {torchvision.__version__}")
    print(
        f"{options.backbone}, {options.batch} images of {options.image_size} pixels, float32, n = {options.repetitions}"
    )
    print(
        f"{'network':24}{'median':>10}{'least':>10}{'most':>10}{'FPS':>10}{'by plain eager':>16}{'by plain folded':>17}"
    )
    medians = {name: statistics.median(each) for name, each in times.items()}
    for name, each in times.items():
        spread = "".join(f"{1e3 * it:7.1f} ms" for it in (medians[name], min(each), max(each)))
        ratios = (medians[plain] / medians[name] for plain in ("plain eager", "plain folded"))
        print(f"{name:24}{spread}{options.batch / medians[name]:10.1f}{next(ratios):16.3f}{next(ratios):17.3f}")
