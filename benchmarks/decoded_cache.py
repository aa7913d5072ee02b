"""Images a second from the cache of decoded images, against decoding the files each time they are read.

    python benchmarks/decoded_cache.py

200 JPEGs of 256 x 256 are made in a temporary folder and read in batches of 32 as squares of 224 pixels: from the
mapped array, and by `FileImages` with 2 worker processes and with none. Measured in turn, 7 times after a warm-up;
printed are the medians, for the centres (as when judging) and for random parts (`resized_crop`, cut on this process).

Two runs on two cores of an AMD EPYC beside other jobs, which took half of the second one, torch 2.14.1, Pillow
13.0, medians of 7, images/s:

                    cache   files, 2 workers   files, 0 workers   cache against files
    centres        23,729                528                664         45 x and 36 x
                   10,382                334                464         31 x and 22 x
    random parts      964                264                331        3.7 x and 2.9 x
                      733                207                252        3.5 x and 2.9 x

Cutting and resizing a part takes about as long as decoding so small a file, with the cache and without.
"""

import statistics
import tempfile
import time
from pathlib import Path

import torch
from PIL import Image
from torch.nn.functional import interpolate

from trainers.decoded import MappedImages, decoded_once
from trainers.images import CPU, FileImages, Images, Squares

COUNT, SIDE, USED, BATCH, REPETITIONS = 200, 256, 224, 32, 7
PASSES = 5
"""Over the images in one measurement, so that the start of worker processes counts as little as in real epochs."""


def write_images(folder: Path) -> FileImages:
    """JPEGs with smooth random content, so that they take about as long to decode as photographs of their size."""
    torch.manual_seed(0)
    paths = []
    for number in range(COUNT):
        coarse, fine = torch.rand(1, 3, 12, 12), torch.rand(1, 3, 64, 64)
        large, small = (interpolate(noise, (SIDE, SIDE), mode="bicubic") for noise in (coarse, fine))
        pixels = (0.8 * large + 0.2 * small)[0].clamp(0, 1).mul(255).byte().permute(1, 2, 0)
        paths.append(folder / f"{number}.jpg")
        Image.fromarray(pixels.numpy()).save(paths[-1], quality=90)
    return FileImages(tuple(paths), torch.zeros(COUNT, dtype=torch.int64), SIDE)


def images_per_second(images: Images, resized_crop: bool) -> float:
    """In random order."""
    order = torch.cat([torch.randperm(COUNT) for _ in range(PASSES)])
    started = time.perf_counter()
    count = sum(len(labels) for _, labels in images.batches(order, BATCH, resized_crop))
    return count / (time.perf_counter() - started)


def main() -> None:
    """Measure and print."""
    torch.set_num_threads(1)  # as a training has that is given one core
    with tempfile.TemporaryDirectory() as folder:
        files = write_images(Path(folder))
        cached, note = decoded_once(files, [path.name for path in files.paths], Path(folder) / "cache", 8 * 1024**3)
        assert isinstance(cached, MappedImages), note
        ways: dict[str, Images] = {
            "cache": Squares(cached, USED),
            "files, 2 workers": Squares(files.to(CPU, 2), USED),
            "files, 0 workers": Squares(files.to(CPU, 0), USED),
        }
        for resized_crop in (False, True):
            found: dict[str, list[float]] = {way: [] for way in ways}
            for repetition in range(REPETITIONS + 1):
                for way, images in ways.items():
                    rate = images_per_second(images, resized_crop)
                    if repetition:  # the first one warms up
                        found[way].append(rate)
            medians = {way: statistics.median(rates) for way, rates in found.items()}
            print("random parts" if resized_crop else "centres")
            for way, rate in medians.items():
                print(f"  {way:18} {rate:9,.0f} images/s   cache {medians['cache'] / rate:6.1f} x")


if __name__ == "__main__":
    main()
