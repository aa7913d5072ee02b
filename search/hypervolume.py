"""The gain hypervolume of a search, its costs within bounds that are fixed when its study is made."""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from search import pareto
from search.designs import estimates_of, plain_of, trained_designs
from search.objectives import Objectives
from search.pareto import Points
from search.trials import Trial
from space.choices import Candidate
from space.cost import Costs

DRAWS = 50
"""Of what designs may come to, for a standard deviation."""


@dataclass(frozen=True)
class Growth:
    """What some designs add to a gain hypervolume.

    Attributes:
        volume: that they are expected to add.
        noise: standard deviation of it, by what is not known of the scores.
    """

    volume: float
    noise: float


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """Worst and best of each cost, each better when larger; one that is always above 0 counts by its logarithm.

    Attributes:
        objectives: metric and costs.
        logarithmic: for each cost whether its logarithm counts.
        low: worst of each cost.
        high: best of each.
    """

    objectives: Objectives
    logarithmic: tuple[bool, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]

    @classmethod
    def of(cls, objectives: Objectives, costs: Collection[Costs]) -> "Bounds":
        """Over the costs of the designs that may be trained."""
        logarithmic = tuple(min(cost[it.key] for cost in costs) > 0 for it in objectives.costs)
        unbounded = cls(objectives=objectives, logarithmic=logarithmic, low=(), high=())
        points = [unbounded._costs(cost) for cost in costs]
        low, high = (tuple(end(values) for values in zip(*points, strict=True)) for end in (min, max))
        return cls(objectives=objectives, logarithmic=logarithmic, low=low, high=high)

    def hypervolume(self, trials: Sequence[Trial]) -> float:
        """Of gain and costs of the designs that trained to the end, scaled to 0..1 and clipped, reference point 0.

        A design's score is the mean of its trainings. The plain network's is 0 on the scale of gains, and 1 is 1;
        before the plain network has trained to the end there is no gain, and so no hypervolume.
        """
        trained = trained_designs(trials, self.objectives.metric)
        reference = plain_of(trials)
        plain = next((it.mean for it in trained if it.candidate == reference), 1.0)
        if plain == 1.0:
            return 0.0
        return self.of_gains([it.mean for it in trained], [it.first.job.costs for it in trained], plain)

    def of_gains(self, scores: Sequence[float], costs: Sequence[Costs], plain: float) -> float:
        """Of designs with these scores and costs, where the plain network has this score, below 1."""
        return pareto.hypervolume(self.scaled(self.points(scores, costs), plain))

    def points(self, scores: Sequence[float], costs: Sequence[Costs]) -> Points:
        """Scores with what they cost, (n, 1 + costs), better when larger."""
        rows = [(score, *self._costs(cost)) for score, cost in zip(scores, costs, strict=True)]
        return np.array(rows, float).reshape(len(rows), 1 + len(self.low))

    def scaled(self, points: Points, plain: float) -> Points:
        """Such points between the bounds, 0..1 and clipped: a score of `plain` is 0, and 1 is 1."""
        return pareto.scale(points, np.array([plain, *self.low]), np.array([1.0, *self.high]))

    def growth(self, trials: Collection[Trial], latest: Collection[Candidate], images: int) -> Growth | None:
        """What the latest designs add, in what designs may come to under a new seed; None before plain is trained.

        Args:
            trials: of a search.
            latest: some of its designs.
            images: that the metric is judged on.
        """
        trained = trained_designs(trials, self.objectives.metric)
        reference = plain_of(trials)
        candidates = [it.candidate for it in trained]
        if reference is None:
            return None
        estimates = estimates_of(trained, images)
        costs = [it.first.job.costs for it in trained]
        plain = candidates.index(reference)
        earlier = np.array([it not in latest or it == reference for it in candidates])
        drawn = []
        for draw in estimates.draws[:: len(estimates.draws) // DRAWS]:
            points = self.scaled(self.points(draw, costs), draw[plain])
            drawn.append(pareto.hypervolume(points) - pareto.hypervolume(points[earlier]))
        return Growth(float(np.mean(drawn)), float(np.std(drawn)))

    def to_json(self) -> dict[str, Any]:
        """For the study; `from_json` is the way back."""
        return {"logarithmic": list(self.logarithmic), "low": list(self.low), "high": list(self.high)}

    @classmethod
    def from_json(cls, table: Mapping[str, Any], objectives: Objectives) -> "Bounds":
        """The bounds that `to_json` described."""
        return cls(objectives=objectives, **{name: tuple(values) for name, values in table.items()})

    def _costs(self, costs: Costs) -> list[float]:
        """Each better when larger."""
        return [
            cost.sign * (_log(costs[cost.key]) if logarithmic else costs[cost.key])
            for cost, logarithmic in zip(self.objectives.costs, self.logarithmic, strict=True)
        ]


def _log(value: float) -> float:
    return math.log(value) if value > 0 else -math.inf
