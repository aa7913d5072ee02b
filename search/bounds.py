"""The hypervolume of a search, within bounds that are fixed when its study is made."""

import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from search import pareto
from search.objectives import Objectives
from search.trials import State, Trial
from space.cost import Costs


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """Worst and best of the metric and of each cost; a cost that is always above 0 counts by its logarithm.

    Attributes:
        objectives: metric and costs.
        logarithmic: for each cost whether its logarithm counts.
        low: worst of each objective.
        high: best of each.
    """

    objectives: Objectives
    logarithmic: tuple[bool, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]

    @classmethod
    def of(cls, objectives: Objectives, num_classes: int, costs: Collection[Costs]) -> "Bounds":
        """The metric from chance to 1, costs over the designs that may be trained."""
        logarithmic = tuple(min(cost[it.key] for cost in costs) > 0 for it in objectives.costs)
        unbounded = cls(objectives=objectives, logarithmic=logarithmic, low=(), high=())
        points = [unbounded._costs(cost) for cost in costs]
        low, high = (tuple(end(values) for values in zip(*points, strict=True)) for end in (min, max))
        return cls(objectives=objectives, logarithmic=logarithmic, low=(1 / num_classes, *low), high=(1.0, *high))

    def hypervolume(self, trials: Iterable[Trial]) -> float:
        """Of the complete trials, each objective scaled to 0..1 and clipped, reference point 0."""
        complete = [trial for trial in trials if trial.state is State.COMPLETE]
        points = [(trial.last[self.objectives.metric], *self._costs(trial.job.costs)) for trial in complete]
        if not points:
            return 0.0
        return pareto.hypervolume(pareto.scale(np.array(points), np.array(self.low), np.array(self.high)))

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
