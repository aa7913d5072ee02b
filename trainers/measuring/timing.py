"""Timing calls: in turns, so that what else the machine does favours none of them; medians with their spread.

This file needs torch only where that is what is timed: it travels to devices that have nothing else of this project.
"""

import math
import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

Call: TypeAlias = Callable[[], object]
"""Computes once."""

THREADS = 1
"""Of a CPU, that what is measured runs on."""
ROUNDS = 9
FEWEST_ROUNDS = 3
SECONDS = 6.0
"""That a comparison takes at most, if nothing else is said."""
SHORTEST = 0.003
"""Seconds of one timing; a shorter call is repeated within it."""
PLAIN = ""
"""A name that no gate has."""


class Figure(NamedTuple):
    """What was measured several times.

    Attributes:
        value: the median.
        spread: standard error of the median, from the distance of the quartiles.
    """

    value: float
    spread: float = 0.0

    @classmethod
    def of(cls, samples: Sequence[float]) -> "Figure":
        """Of at least one sample."""
        if len(samples) == 1:
            return cls(samples[0])
        low, middle, high = statistics.quantiles(samples, n=4, method="inclusive")
        return cls(middle, 1.253 * (high - low) / 1.349 / len(samples) ** 0.5)  # as of a normal distribution


def added_seconds(plain: Call, calls: Mapping[str, Call], device: str) -> dict[str, Figure]:
    """What each call takes longer than the plain one, round by round; not less than nothing."""
    samples = in_turns({PLAIN: plain, **calls}, device)
    without = samples.pop(PLAIN)
    found = {}
    for name, with_it in samples.items():
        added = Figure.of([one - other for one, other in zip(with_it, without, strict=True)])
        found[name] = added._replace(value=max(0.0, added.value))
    return found


def in_turns(calls: Mapping[str, Call], device: str, at_most: float = SECONDS) -> dict[str, list[float]]:
    """Seconds of each call, round by round, in an order that turns round.

    On a CPU those that the calling thread computes: what else runs there hardly counts.

    Args:
        calls: by name.
        device: that they run on.
        at_most: seconds for all of it: of long calls there are fewer rounds.
    """
    found: dict[str, list[float]] = {name: [] for name in calls}
    with _threads(THREADS):
        for call in calls.values():
            call()  # warms up
        times = {name: max(1, math.ceil(SHORTEST / _seconds(call, 1, device))) for name, call in calls.items()}
        begun, rounds, turn = time.monotonic(), ROUNDS, 0
        while turn < rounds:
            for name in [*calls][:: -1 if turn % 2 else 1]:
                found[name].append(_seconds(calls[name], times[name], device))
            turn += 1
            each = (time.monotonic() - begun) / turn
            rounds = min(ROUNDS, max(FEWEST_ROUNDS, int(at_most / each) if each else ROUNDS))
    return found


def seconds_of(call: Call, device: str) -> float:
    """Of one call, the first one left out."""
    with _threads(THREADS):
        call()
        return _seconds(call, 1, device)


def device_name(device: str) -> str:
    """The processor's name, as its maker calls it."""
    if device == "cuda":
        import torch

        return torch.cuda.get_device_name()
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def on_copies(function: Callable[..., object], inputs: Sequence[Any]) -> Call:
    """A call of a function on these tensors of torch, which stay as they are: a folded block adds into its input."""
    import torch

    given = [it.contiguous(memory_format=torch.channels_last) if it.dim() == 4 else it for it in inputs]
    fresh = [torch.empty_like(it) for it in given]

    def call() -> object:
        with torch.inference_mode():
            for to, from_ in zip(fresh, given, strict=True):
                to.copy_(from_)
            return function(*fresh)

    return call


def _seconds(call: Call, times: int, device: str) -> float:
    """Of one call, made so many times."""
    clock = time.thread_time
    if device == "cuda":
        import torch

        torch.cuda.synchronize()
        clock = time.perf_counter
    begun = clock()
    for _ in range(times):
        call()
    if device == "cuda":
        torch.cuda.synchronize()
    return max(clock() - begun, 1e-9) / times


@contextmanager
def _threads(count: int) -> Iterator[None]:
    torch = sys.modules.get("torch")
    if torch is None:  # then it computes nothing
        yield
        return
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
