"""What the FPS table predicts beside what whole networks take.

    python benchmarks/fps_table.py torchvision/resnet50 --image-size 224
    python benchmarks/fps_table.py resnet20 --image-size 32

FPS by that of the plain network. Measured: the networks take turns, batch by batch, and a round compares the CPU
seconds of each on one thread, so that what else runs on the machine hardly counts. What came out is in docs/fps.md.
"""

import argparse
import platform
import statistics
import time

import torch
from torch import Tensor, nn

from space.backbones import backbone
from space.build import build
from space.design import Design
from trainers.task import Task
from trainers.throughput import conditions_for, measure_table

DESIGNS = ("se", "ras", "eca", "cbam", "dia")
CLASSES = 10
WARM_UP = 2
"""Batches."""


@torch.inference_mode()
def cpu_seconds(network: nn.Module, images: Tensor, batches: int) -> float:
    """Of so many forward passes."""
    begun = time.process_time()
    for _ in range(batches):
        network(images)
    return time.process_time() - begun


def measured(
    name: str, designs: list[Design], shape: tuple[int, int, int], rounds: int, batches: int
) -> list[list[float]]:
    """For each design its FPS by that of the plain network, round after round."""
    networks = [build(it, backbone(name), CLASSES, shape[0]).eval() for it in (Design(), *designs)]
    networks = [it.to(memory_format=torch.channels_last) for it in networks]
    images = torch.rand(conditions_for(shape, "cpu").batch, *shape).contiguous(memory_format=torch.channels_last)
    for network in networks:
        cpu_seconds(network, images, WARM_UP)
    found: list[list[float]] = [[] for _ in designs]
    for turn in range(rounds):
        order = range(len(networks))[:: -1 if turn % 2 else 1]
        seconds = {which: cpu_seconds(networks[which], images, batches) for which in order}
        for which, ratios in enumerate(found, start=1):
            ratios.append(seconds[0] / seconds[which])
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("backbone")
    parser.add_argument("designs", nargs="*", default=DESIGNS)
    parser.add_argument("--image-size", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--batches", type=int, default=1, help="in a turn")
    given = parser.parse_args()

    torch.set_num_threads(1)
    designs = [Design.parse(text).canonical(backbone(given.backbone).layout) for text in given.designs]
    task = Task(CLASSES, (3, given.image_size, given.image_size))
    table = measure_table([(given.backbone, it) for it in (Design(), *designs)], task, "cpu")
    plain = table.fps(Design(), given.backbone, task)
    print(f"{table.conditions.device}, {platform.system()}, torch {torch.__version__}")
    print(f"{given.backbone}, {table.conditions.batch} images of {given.image_size} pixels: {plain:.1f} images/s plain")
    print(f"{'design':24}{'predicted':>10}{'measured':>10}  [least, most] of {given.rounds} rounds")
    ratios = measured(given.backbone, designs, task.shape, given.rounds, given.batches)
    for design, each in zip(designs, ratios, strict=True):
        predicted = table.fps(design, given.backbone, task) / plain
        middle = statistics.median(each)
        print(f"{design!s:24}{predicted:10.1%}{middle:10.1%}  [{min(each):.1%}, {max(each):.1%}]", flush=True)
