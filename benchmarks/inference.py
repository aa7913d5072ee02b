"""Networks as they are trained beside their folded forms: the time of inference.

    python -m benchmarks.inference --backbone resnet164 --batch 32
    python -m benchmarks.inference --backbone torchvision/resnet50 --image-size 224 --batch 8

All networks take turns in one process, batch by batch, on one thread and channels_last; on a CPU its seconds are
counted. `se by the book`: see benchmarks/by_the_book.py.
"""

import functools

import torch
from torch import Tensor, nn

from benchmarks.by_the_book import by_the_book
from benchmarks.in_turns import in_turns, machine, options, print_ratios
from space.backbones import backbone
from space.build import build
from space.design import Design
from space.fold import fold

DESIGNS = ("se", "ras", "ras:depth=4", "eca", "dia", "sem", "spa", "cbam")
CLASSES = 10


@torch.inference_mode()
def classify(network: nn.Module, images: Tensor) -> None:
    """A forward pass."""
    network(images)


if __name__ == "__main__":
    given = options(__doc__, DESIGNS, 15)
    it = backbone(given.backbone)
    images = torch.rand(given.batch, 3, given.image_size, given.image_size, device=given.device)
    last = images.contiguous(memory_format=torch.channels_last)
    calls = {}
    for text in ("none", *given.designs):
        network = build(Design.parse(text).canonical(it.layout), it, CLASSES).eval().to(given.device)
        name = "plain" if text == "none" else text
        eager = network.to(memory_format=torch.channels_last)
        calls[f"{name} eager"] = functools.partial(classify, eager, last)
        calls[f"{name} folded"] = functools.partial(classify, fold(network), last)
    book = by_the_book(Design("se"), it, CLASSES).eval().to(given.device)
    calls["se by the book"] = functools.partial(classify, book, images)
    times = in_turns(calls, given.repetitions, given.device)

    print(machine(given.device))
    kept = "handed back" if given.as_installed else "kept"
    print(f"{given.backbone}, {given.batch} images of {given.image_size} pixels, float32, freed memory {kept}")
    print(f"n = {given.repetitions}")
    print_ratios(times, given.batch, {"by plain eager": "plain eager", "by plain folded": "plain folded"})
