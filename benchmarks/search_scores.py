"""What a search on a table of curves is worth, by the trainings of each design that it did not see."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from search.hypervolume import Bounds
from search.objectives import Objectives
from search.table import Table, truth
from space.cost import Costs
from space.design import Design

Array = NDArray[np.float64]

SHOWN = 8
"""Rows of a front that a user looks at."""


@dataclass(frozen=True, eq=False)
class Truth:
    """The accuracy of each design, by the seeds that a search does not see.

    Attributes:
        accuracy: of each design all of whose trainings went well.
        costs: of each of those.
        bounds: of the hypervolume.
    """

    accuracy: Mapping[Design, float]
    costs: Mapping[Design, Costs]
    bounds: Bounds

    @classmethod
    def of(cls, table: Table, search_seed: int, objectives: Objectives) -> "Truth":
        """That which a search of this seed is scored by."""
        known = zip(table.designs, truth(table, search_seed), strict=True)
        accuracy = {design: float(value) for design, value in known if np.isfinite(value)}
        costs = {design: table.costs_of(design) for design in accuracy}
        return cls(accuracy, costs, Bounds.of(objectives, costs.values()))

    def gain(self, design: Design) -> float:
        """On the plain network; nan of a design of which a training failed."""
        return self.accuracy.get(design, np.nan) - self.accuracy[Design()]

    def quality(self, fronts: Sequence[Sequence[Design]]) -> float:
        """The gain hypervolume of the first rows of each front, best first, as a share of that of all designs."""
        return self.share({design for front in fronts for design in front[:SHOWN] if design in self.accuracy})

    def share(self, designs: Collection[Design]) -> float:
        """The gain hypervolume of some designs, as a share of that of all."""
        return self._hypervolume(designs) / self._hypervolume(self.accuracy)

    def regret(self, design: Design) -> float:
        """How much more accurate the best design is that costs no more, by the first cost."""
        cost = self.bounds.objectives.costs[0]
        most = cost.sign * self.costs[design][cost.key]
        best = max(value for it, value in self.accuracy.items() if cost.sign * self.costs[it][cost.key] >= most)
        return best - self.accuracy[design]

    def _hypervolume(self, designs: Collection[Design]) -> float:
        return self.bounds.of_gains(
            [self.accuracy[it] for it in designs], [self.costs[it] for it in designs], self.accuracy[Design()]
        )


def reliability(scores: Array, seeds: int = 1) -> float:
    """Of the mean of so many seeds: the share of its variance that is of the designs, seeds' own levels left out.

    The intraclass correlation ICC(3, k) of Shrout and Fleiss, Intraclass correlations, Psychological Bulletin 1979, by
    the formula of Spearman and Brown for another number of seeds.

    Args:
        scores: (D, N), of D designs under N seeds.
        seeds: that are averaged.
    """
    between, within = variances(scores)
    return between / (between + within / seeds)


def variances(scores: Array) -> tuple[float, float]:
    """Of designs, and of the trainings of one design, from scores (D, N); the levels of the seeds are left out."""
    designs, seeds = scores.shape
    rows, columns = scores.mean(axis=1, keepdims=True), scores.mean(axis=0, keepdims=True)
    within = ((scores - rows - columns + scores.mean()) ** 2).sum() / ((designs - 1) * (seeds - 1))
    between = rows.var(ddof=1) - within / seeds
    return max(0.0, float(between)), float(within)


def calibration(reported: Sequence[tuple[float, int, float]]) -> dict[str, int]:
    """Whether reported probabilities of being better than plain are true, as counts that add up over searches.

    Args:
        reported: probability, number of trainings, true gain.

    Returns:
        `sure`, designs at 0.9 or above, and `sure_and_better`, those that are better; `better`, designs that are
        better by a point or more and were trained three times, and `better_and_sure`, those of them at 0.9 or above.
    """
    sure = [gain > 0 for p, _, gain in reported if p >= 0.9]
    found = [p >= 0.9 for p, n, gain in reported if n >= 3 and gain >= 0.01]
    return {
        "sure": len(sure),
        "sure_and_better": sum(sure),
        "better": len(found),
        "better_and_sure": sum(found),
    }


def with_interval(of: Callable[[Array], np.float64], values: Sequence[float]) -> tuple[float, float, float]:
    """A statistic, such as the median, and its 95 % interval by bootstrap (percentiles)."""
    from scipy.stats import bootstrap

    if len(set(values)) < 2:
        return (values[0],) * 3
    found = bootstrap(
        (np.array(values),), of, n_resamples=2000, method="percentile", rng=np.random.default_rng(0)
    ).confidence_interval
    return float(of(np.array(values))), float(found.low), float(found.high)
