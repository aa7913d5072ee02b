"""Optuna's distributions as numbers in 0..1: to draw from them, and to compare the values that they have."""

import itertools
import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from search.surrogate import FieldValue


def value_at(distribution: BaseDistribution, place: float) -> Any:
    """The value at a place in 0..1: where places are drawn evenly, values are, or their logarithms."""
    if isinstance(distribution, IntDistribution | FloatDistribution) and distribution.log:
        low, high = distribution.low, distribution.high
        half = 0.5 if isinstance(distribution, IntDistribution) else 0.0  # each whole number has room on both sides
        value = (low - half) * ((high + half) / (low - half)) ** place
        return min(max(round(value) if half else value, low), high)
    count = count_of(distribution)
    if count is not None:
        return _nth(distribution, min(int(place * count), count - 1))
    assert isinstance(distribution, FloatDistribution)
    return distribution.low + (distribution.high - distribution.low) * place


def field_of(distribution: BaseDistribution, value: Any) -> FieldValue:
    """A value as a field of a point: numbers by their place in 0..1."""
    if isinstance(distribution, CategoricalDistribution):
        return int(distribution.to_internal_repr(value))
    assert isinstance(distribution, IntDistribution | FloatDistribution)
    low, high = float(distribution.low), float(distribution.high)
    if low == high:
        return 0.0
    if distribution.log:
        return math.log(value / low) / math.log(high / low)
    return float((value - low) / (high - low))


def count_of(distribution: BaseDistribution) -> int | None:
    """How many values there are; None where there is no end of them."""
    if isinstance(distribution, CategoricalDistribution):
        return len(distribution.choices)
    assert isinstance(distribution, IntDistribution | FloatDistribution)
    if distribution.step is None:
        return None
    return 1 + int((distribution.high - distribution.low) / distribution.step + 1e-9)


def all_or_some(
    space: Mapping[str, BaseDistribution], most: int, random: np.random.Generator
) -> Iterator[dict[str, Any]]:
    """Every point of a space, if there are no more than `most`; else so many, drawn at random."""
    counts = [count_of(distribution) for distribution in space.values()]
    if None not in counts and math.prod(count or 0 for count in counts) <= most:
        options = [
            [_nth(distribution, step) for step in range(count)]
            for distribution, count in zip(space.values(), counts, strict=True)
            if count is not None
        ]
        yield from (dict(zip(space, values, strict=True)) for values in itertools.product(*options))
        return
    for places in random.random((most, len(space))):
        yield {name: value_at(it, float(place)) for (name, it), place in zip(space.items(), places, strict=True)}


def _nth(distribution: BaseDistribution, step: int) -> Any:
    """One of the values of a distribution that has an end of them, counted from 0."""
    if isinstance(distribution, CategoricalDistribution):
        return distribution.choices[step]
    assert isinstance(distribution, IntDistribution | FloatDistribution)
    assert distribution.step is not None
    return min(distribution.low + step * distribution.step, distribution.high)
