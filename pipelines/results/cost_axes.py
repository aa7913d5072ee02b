"""The cost axis of a front's picture: where each design stands, the ticks and the label, for every renderer."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from pipelines.results.fronts import Row
from pipelines.terminal.formats import show_count
from space.cost import Quantity

GAP = 0.7
"""Decades between plain and the design that adds least: a logarithm has no zero, so plain has a place of its own."""
MOST_TICKS = 8


@dataclass(frozen=True, kw_only=True)
class Axis:
    """A horizontal axis that renderers draw linearly.

    Attributes:
        label: with its unit.
        place: position of a design.
        ticks: texts by position.
        limits: of the positions that are drawn.
    """

    label: str
    place: Callable[[Row], float]
    ticks: Mapping[float, str]
    limits: tuple[float, float]


def reference(rows: Sequence[Row], cost: Quantity) -> Row:
    """What costs are compared with: the first plain backbone, or the cheapest design where none is trained."""
    plain = next((row for row in rows if row.design == "none"), None)
    return plain or max(rows, key=lambda row: cost.sign * row.costs[cost.key])


def cost_axis(rows: Sequence[Row], cost: Quantity) -> Axis:
    """The axis of the front of this cost, for at least one row."""
    return _axis_of_what_is_added(rows, cost) if cost.against_plain == "added" else _axis_of_values(rows, cost)


def _axis_of_what_is_added(rows: Sequence[Row], cost: Quantity) -> Axis:
    """What is added to the reference, logarithmic on both sides of it: another backbone may well have less."""
    origin = reference(rows, cost)
    start = origin.costs[cost.key]
    added = [row.costs[cost.key] - start for row in rows]
    least = min((abs(count) for count in added if count), default=1)

    def place(count: float) -> float:
        return math.copysign(GAP + math.log10(abs(count) / least), count) if count else 0.0

    what = "plain" if origin.design == "none" else "cheapest"
    ticks = {0.0: what}
    more, fewer = [count for count in added if count > 0], [-count for count in added if count < 0]
    most = MOST_TICKS // 2 if more and fewer else MOST_TICKS
    if more:
        ticks |= {place(size): show_count(size) for size in _round_numbers(min(more), max(more), most)}
    if fewer:
        ticks |= {place(-size): f"−{show_count(size)}" for size in _round_numbers(min(fewer), max(fewer), most)}
    named = f"plain {origin.backbone}" if what == "plain" else f"the cheapest design, {origin.design}"
    return Axis(
        label=f"{cost.label} added to {named} ({cost.show(start)})",
        place=lambda row: place(row.costs[cost.key] - start),
        ticks=ticks,
        limits=_limits([*map(place, added), *ticks]),
    )


def _axis_of_values(rows: Sequence[Row], cost: Quantity) -> Axis:
    """The cost itself, logarithmic where it spans a factor of ten."""
    origin = reference(rows, cost)
    values = [row.costs[cost.key] for row in rows]
    low, high = min(values), max(values)
    wide = high >= 10 * low > 0
    place: Callable[[float], float] = math.log10 if wide else float
    numbers = _round_numbers(low, high, MOST_TICKS) if wide else _even_numbers(low, high)
    ticks = {place(number): show_count(number) for number in numbers}
    named = f"plain {origin.backbone}" if origin.design == "none" else origin.design
    return Axis(
        label=f"{cost.label} ({named}: {cost.show(origin.costs[cost.key])})",
        place=lambda row: place(row.costs[cost.key]),
        ticks=ticks,
        limits=_limits([place(low), place(high), *ticks]),
    )


def _round_numbers(low: float, high: float, most: int) -> list[float]:
    """Ticks of a logarithmic axis: of 1, 2, 5, 10, 20 ... those that span it, or, if too many, the powers of ten."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    ladder = [float(digit * 10**power) for power in powers for digit in (1, 2, 5)]
    first = max(index for index, number in enumerate(ladder) if number <= low)
    last = min(index for index, number in enumerate(ladder) if number >= high)
    if last - first < most:
        return ladder[first : last + 1]
    return [10.0**power for power in powers if low <= 10**power <= high]


def _even_numbers(low: float, high: float) -> list[float]:
    """Ticks of a linear axis, round and evenly spaced, from below `low` to above `high`."""
    from matplotlib.ticker import MaxNLocator

    if low == high:
        return [low]
    return [float(number) for number in MaxNLocator(MOST_TICKS - 2, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high)]


def _limits(positions: Sequence[float]) -> tuple[float, float]:
    """A margin on both sides, so that no design is cut by the frame."""
    low, high = min(positions), max(positions)
    margin = 0.04 * (high - low) or 0.5
    return low - margin, high + margin
