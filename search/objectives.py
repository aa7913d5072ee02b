"""What a search trades against each other: a metric of the trained network, and costs of its design."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from space.cost import Costs, Quantity

if TYPE_CHECKING:  # options name objectives, and are read where nothing heavy is loaded
    from search.storage import Direction
    from search.trials import Job, Report


@dataclass(frozen=True, kw_only=True)
class Objectives:
    """A metric to be maximised, and costs.

    Attributes:
        metric: the report's entry, such as val_accuracy.
        costs: each of them makes a front with the metric.
    """

    metric: str
    costs: tuple[Quantity, ...]

    @property
    def directions(self) -> "tuple[Direction, ...]":
        """For Optuna: of the metric, then of each cost."""
        return "maximize", *("maximize" if cost.better == "more" else "minimize" for cost in self.costs)

    def values(self, job: "Job", report: "Report") -> Sequence[float]:
        """For Optuna: of a job trained to the end, from its last report."""
        return report[self.metric], *self.traded(job.costs)

    def traded(self, costs: Costs) -> tuple[float, ...]:
        """Of all costs of a design those that are objectives."""
        return tuple(costs[cost.key] for cost in self.costs)
