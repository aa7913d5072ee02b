"""Training steps, forward and backward, of networks with gates beside the plain one and those by the book.

    python -m benchmarks.training --backbone resnet164 --batch 32
    python -m benchmarks.training se:reduction=2 dia:cells=2 --device cuda

All take turns in one process, step by step, on one thread; on a CPU its seconds are counted. By the book: see
benchmarks/by_the_book.py.
"""

import functools

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from benchmarks.by_the_book import by_the_book
from benchmarks.in_turns import in_turns, machine, options, print_ratios
from space.backbones import backbone
from space.build import build
from space.design import Design

DESIGNS = ("se", "ras", "eca", "dia", "sem", "spa", "cbam")
BOOK = ("se", "ras", "dia")
CLASSES = 10


def step(network: nn.Module, images: Tensor, labels: Tensor) -> None:
    """Forward and backward."""
    cross_entropy(network(images), labels).backward()
    network.zero_grad()


if __name__ == "__main__":
    given = options(__doc__, DESIGNS, 11)
    it = backbone(given.backbone)
    images = torch.rand(given.batch, 3, given.image_size, given.image_size, device=given.device)
    labels = torch.randint(CLASSES, (given.batch,), device=given.device)
    last = images.contiguous(memory_format=torch.channels_last)
    calls = {}
    for text in ("none", *given.designs):
        network = build(Design.parse(text).canonical(it.layout), it, CLASSES)
        network = network.to(given.device).to(memory_format=torch.channels_last)
        calls["plain" if text == "none" else text] = functools.partial(step, network, last, labels)
    for text in BOOK:
        network = by_the_book(Design.parse(text), it, CLASSES).to(given.device)
        calls[f"{text} by the book"] = functools.partial(step, network, images, labels)
    times = in_turns(calls, given.repetitions, given.device)

    kept = "handed back" if given.as_installed else "kept"
    print(machine(given.device))
    print(f"{given.backbone}, {given.batch} images of {given.image_size} pixels, float32, freed memory {kept}")
    print(f"n = {given.repetitions}")
    print_ratios(times, given.batch, {"by plain": "plain", **{f"by {it} book": f"{it} by the book" for it in BOOK}})
