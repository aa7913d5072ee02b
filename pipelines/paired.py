"""The difference between two networks trained under the same seeds, and how sure it is."""

import math
import statistics
from collections.abc import Mapping
from dataclasses import dataclass

from scipy import stats

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Difference:
    """A mean of paired differences with its 95 % interval by Student's t.

    Attributes:
        mean: of ours minus theirs.
        low: lower end of the interval.
        high: upper end.
        pairs: seeds that both were trained under.
    """

    mean: float
    low: float
    high: float
    pairs: int


def paired_difference(ours: Mapping[int, float], theirs: Mapping[int, float]) -> Difference | None:
    """Ours minus theirs by seed; None with fewer than two seeds in common, which say nothing about the spread."""
    differences = [value - theirs[seed] for seed, value in ours.items() if seed in theirs]
    count = len(differences)
    if count < 2:
        return None
    mean = statistics.fmean(differences)
    half = float(stats.t.ppf((1 + CONFIDENCE) / 2, count - 1)) * statistics.stdev(differences) / math.sqrt(count)
    return Difference(mean, mean - half, mean + half, count)
