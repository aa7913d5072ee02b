"""Timing calls in turns, in one process: what else the machine does then hardly favours one of them."""

import argparse
import platform
import statistics
import time
from collections.abc import Callable, Mapping, Sequence

import torch
import torchvision

from trainers.allocator import keep_freed_memory

WARM_UP = 3
"""Calls of each."""

Seconds = Mapping[str, list[float]]
"""By what was called, call after call."""


def seconds(call: Callable[[], object], device: str) -> float:
    """Of one call: of the CPU, so that what else runs hardly counts, or of the clock on another device."""
    if device == "cpu":
        begun = time.process_time()
        call()
        return time.process_time() - begun
    torch.accelerator.synchronize()
    begun = time.perf_counter()
    call()
    torch.accelerator.synchronize()
    return time.perf_counter() - begun


def in_turns(calls: Mapping[str, Callable[[], object]], repetitions: int, device: str = "cpu") -> Seconds:
    """The seconds of each, in an order that turns round from repetition to repetition."""
    for name in [*calls] * WARM_UP:
        seconds(calls[name], device)
    found: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(repetitions):
        for name in [*calls][:: -1 if turn % 2 else 1]:
            found[name].append(seconds(calls[name], device))
    return found


def options(description: str | None, designs: Sequence[str], repetitions: int) -> argparse.Namespace:
    """What a benchmark of designs is told; the process is then ready for it."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("designs", nargs="*", default=designs)
    parser.add_argument("--backbone", default="resnet56")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--image-size", type=int, default=32)
    parser.add_argument("--repetitions", type=int, default=repetitions)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--as-installed", action="store_true", help="let memory be handed back, as glibc does")
    given = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    if not given.as_installed:
        keep_freed_memory()
    return given


def machine(device: str = "cpu") -> str:
    """What was measured on."""
    name = torch.cuda.get_device_name(device) if device != "cpu" else platform.processor() or platform.machine()
    return f"{name}, {platform.system()}, torch {torch.__version__}, torchvision {torchvision.__version__}"


def print_ratios(times: Seconds, images: int, over: Mapping[str, str]) -> None:
    """A line for each: median, least and most, images a second, and how many times as fast as others.

    Args:
        times: of calls on so many images.
        images: a call.
        over: head of a column, and the call that it sets the others against.
    """
    medians = {name: statistics.median(each) for name, each in times.items()}
    heads = "".join(f"{head:>{len(head) + 2}}" for head in over)
    print(f"{'':24}{'median':>12}{'least':>12}{'most':>12}{'images/s':>10}{heads}")
    for name, each in times.items():
        spread = "".join(f"{1e3 * it:9.1f} ms" for it in (medians[name], min(each), max(each)))
        ratios = "".join(f"{medians[other] / medians[name]:{len(head) + 2}.3f}" for head, other in over.items())
        print(f"{name:24}{spread}{images / medians[name]:10.1f}{ratios}")
