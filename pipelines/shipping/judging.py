"""What programs are worth beside the network that they were made of: accuracy and speed."""

import statistics
from collections.abc import Mapping

import torch
from torch import Tensor

from pipelines.shipping.programs import Compute
from space.saved import Saved
from trainers.images import Images

ROUNDS = 5
SECONDS = 0.05
"""Shortest time to spend on one timing."""
BATCH = 128


@torch.inference_mode()
def images_per_second(programs: Mapping[str, Compute], images: Tensor) -> dict[str, float]:
    """How many each classifies in batches like this one (B, C, H, W), on all cores: medians, taken in turns."""
    from torch.utils.benchmark import Timer  # takes a moment

    timers = {
        name: Timer("call(images)", globals={"call": call, "images": images}, num_threads=torch.get_num_threads())
        for name, call in programs.items()
    }
    times = {name: max(1, round(SECONDS / timer.timeit(1).mean)) for name, timer in timers.items()}
    seconds: dict[str, list[float]] = {name: [] for name in timers}
    for _ in range(ROUNDS):
        for name, timer in timers.items():
            seconds[name].append(timer.timeit(times[name]).mean)
    return {name: len(images) / statistics.median(each) for name, each in seconds.items()}


@torch.inference_mode()
def accuracies(programs: Mapping[str, Compute], images: Images, saved: Saved) -> dict[str, float]:
    """The share of images that each takes for what they are, from 0 to 1."""
    correct = dict.fromkeys(programs, 0)
    for batch, labels in images.batches(torch.arange(len(images.labels)), BATCH):
        normalised = saved.normalise(batch)
        for name, program in programs.items():
            correct[name] += int((program(normalised).argmax(1) == labels).sum())
    return {name: count / len(images.labels) for name, count in correct.items()}
