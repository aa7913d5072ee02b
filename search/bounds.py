"""The hypervolume of a search, within bounds that are fixed when its study is made."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from search import pareto
from search.trials import State, Trial
from space.cost import Cost


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """Worst and best of (metric, -log parameters, log FPS).

    Attributes:
        low: worst of each.
        high: best of each.
        metric: the report's entry that is the first.
    """

    low: tuple[float, float, float]
    high: tuple[float, float, float]
    metric: str = "val_accuracy"

    @classmethod
    def of(cls, num_classes: int, costs: Iterable[Cost], metric: str = "val_accuracy") -> "Bounds":
        """The metric from chance to 1, costs over the designs that may be trained."""
        points = np.array([_costs(cost) for cost in costs])
        low, high = points.min(axis=0), points.max(axis=0)
        return cls(
            low=(1 / num_classes, float(low[0]), float(low[1])),
            high=(1.0, float(high[0]), float(high[1])),
            metric=metric,
        )

    def hypervolume(self, trials: Iterable[Trial]) -> float:
        """Of the complete trials, each objective scaled to 0..1 and clipped, reference point 0."""
        complete = [trial for trial in trials if trial.state is State.COMPLETE]
        points = [(trial.last[self.metric], *_costs(trial.job.cost)) for trial in complete]
        if not points:
            return 0.0
        return pareto.hypervolume(pareto.scale(np.array(points), np.array(self.low), np.array(self.high)))

    def to_json(self) -> dict[str, Any]:
        """For the study; `from_json` is the way back."""
        return {**asdict(self), "low": list(self.low), "high": list(self.high)}

    @classmethod
    def from_json(cls, table: Mapping[str, Any]) -> "Bounds":
        """The bounds that `to_json` described."""
        low, high = ((a, b, c) for a, b, c in (table["low"], table["high"]))
        return cls(low=low, high=high, metric=table["metric"])


def _costs(cost: Cost) -> tuple[float, float]:
    return -float(np.log(cost.num_params)), float(np.log(cost.fps))
