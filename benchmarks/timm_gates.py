"""Our gates beside timm's own in the same network: the time of a training step and of inference, and parameters.

    python benchmarks/timm_gates.py              # times, a quarter of an hour
    python benchmarks/timm_gates.py --params     # parameters alone, at once

Ours stand in a plain network by `backbone(NAME)`, timm's come with its `block_args`; reduction 16. Batches of 16 images
of 64 x 64 pixels, channels_last, one thread. The two networks take turns, step by step, and a round compares the CPU
seconds that each needed, so that what else runs on the machine hardly counts. What came out is in docs/timm.md.
"""

import argparse
import platform
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

import timm
import torch
from torch import Tensor, nn

from space.backbones import backbone
from space.build import build
from space.design import Design

ATTENTIONS = ("none", "se", "eca", "cbam")
TIMED = (("timm/resnet18", "resnet18"), ("timm/resnet26", "resnet26"), ("torchvision/resnet18", "resnet18"))
"""Our backbone, and timm's network beside it."""
COUNTED = ("resnet18", "resnet26", "resnet50")
CLASSES = 10
IMAGES = (16, 3, 64, 64)
WARM_UP = 3
"""Steps."""

Step = Callable[[], object]


def ours(name: str, attention: str) -> nn.Module:
    """A plain network with our gates."""
    return build(Design(attention), backbone(name), CLASSES)


def theirs(name: str, attention: str) -> nn.Module:
    """The network of timm with its own gates."""
    block_args: dict[str, Any] = {} if attention == "none" else {"block_args": {"attn_layer": attention}}
    network: nn.Module = timm.create_model(name, num_classes=CLASSES, **block_args)
    return network


def count(network: nn.Module) -> int:
    """Parameters."""
    return sum(parameter.numel() for parameter in network.parameters())


def training_step(network: nn.Module) -> Step:
    """Forward, backward, and a step of SGD."""
    network.train()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9)
    images, labels = batch()

    def step() -> None:
        optimizer.zero_grad()
        nn.functional.cross_entropy(network(images), labels).backward()
        optimizer.step()

    return step


def inference(network: nn.Module) -> Step:
    """Forward alone."""
    network.eval()
    images, _ = batch()

    @torch.inference_mode()
    def step() -> None:
        network(images)

    return step


def batch() -> tuple[Tensor, Tensor]:
    """Images and labels."""
    images = torch.randn(IMAGES).to(memory_format=torch.channels_last)
    return images, torch.arange(len(images)) % CLASSES


def ratios(one: Step, other: Step, rounds: int, steps: int) -> Iterator[float]:
    """Time of one by that of the other, round after round."""
    for step in (one, other) * WARM_UP:
        step()
    for _ in range(rounds):
        seconds = [0.0, 0.0]
        for turn in range(steps):
            for which, step in ((0, one), (1, other))[:: -1 if turn % 2 else 1]:
                begun = time.process_time()
                step()
                seconds[which] += time.process_time() - begun
        yield seconds[0] / seconds[1]


def print_params() -> None:
    """What the gates add to each network, ours and timm's."""
    print(f"{'network':10}{'attention':>10}{'plain':>12}{'ours +':>12}{'timm +':>12}{'difference':>12}")
    with torch.device("meta"):
        for name in COUNTED:
            plain = count(theirs(name, "none"))
            for attention in ATTENTIONS[1:]:
                added = [count(it) - plain for it in (ours(f"timm/{name}", attention), theirs(name, attention))]
                print(f"{name:10}{attention:>10}{plain:12,}{added[0]:12,}{added[1]:12,}{added[0] - added[1]:+12,}")


def print_times(rounds: int, steps: int) -> None:
    """The median of the rounds' ratios, ours by timm's, and their range."""
    torch.set_num_threads(1)
    print(f"{platform.processor() or platform.machine()}, torch {torch.__version__}, timm {timm.__version__}")
    print(f"ours / timm: median of {rounds} rounds of {steps} (inference: {3 * steps}) steps [least, most]")
    for name, other in TIMED:
        for attention in ATTENTIONS:
            torch.manual_seed(0)
            networks = [
                it.to(memory_format=torch.channels_last) for it in (ours(name, attention), theirs(other, attention))
            ]
            cells = []
            for kind, factor in ((training_step, 1), (inference, 3)):
                found = list(ratios(kind(networks[0]), kind(networks[1]), rounds, factor * steps))
                cells.append(f"{statistics.median(found):.3f} [{min(found):.3f}, {max(found):.3f}]")
            print(f"{name:22}{attention:6} training {cells[0]}   inference {cells[1]}", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--params", action="store_true", help="parameters alone")
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--steps", type=int, default=4, help="in a round")
    arguments = parser.parse_args()
    if arguments.params:
        print_params()
    else:
        print_times(arguments.rounds, arguments.steps)
