"""The Pareto fronts of a search, one for each cost, as rows for people and programs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pipelines.results.glance import figures
from search import pareto
from search.designs import known_designs
from search.objectives import Objectives
from search.trials import Trial
from space.cost import Costs, Quantity


@dataclass(frozen=True, kw_only=True)
class Row:
    """A design with all of its complete trainings.

    Attributes:
        trial: number of the first one.
        backbone: its backbone.
        design: text form.
        objectives: of the search.
        score: of their metric, 0 to 1, what a new seed may be expected to give.
        gain: likewise, above that of the plain backbone; None before that is trained.
        costs: of the design.
        plain_costs: of the plain backbone; None before that is trained.
        mlflow_run_id: of the trial's run; None if MLflow never answered.
        plain: whether this is the plain backbone that gains are over.
        n: trainings.
        low: lower end of the 95 % interval of the gain; None before the plain backbone is trained.
        high: upper end.
        p_better: probability that the gain is above 0.
        p_front: probability of being on the front of each cost, by its name.
    """

    trial: int
    backbone: str
    design: str
    objectives: Objectives
    score: float
    gain: float | None
    costs: Costs
    plain_costs: Costs | None
    mlflow_run_id: str | None
    plain: bool = False
    n: int = 1
    low: float | None = None
    high: float | None = None
    p_better: float | None = None
    p_front: Mapping[str, float] = field(default_factory=dict)

    @property
    def better(self) -> bool:
        """Whether the gain is above what may be chance."""
        return self.low is not None and self.low > 0

    def relative(self, cost: Quantity) -> float | None:
        """The cost over that of the plain backbone."""
        return relative(self.costs, self.plain_costs, cost)

    def to_json(self, cost: Quantity) -> dict[str, Any]:
        """For programs, on the front of this cost: the score under the name of its metric, each cost under its key."""
        table: dict[str, Any] = {"trial": self.trial, "backbone": self.backbone, "design": self.design}
        table |= {self.objectives.metric: self.score, "gain": self.gain}
        return {
            **table,
            **{"n": self.n, "low": self.low, "high": self.high},
            **{"p_better": self.p_better, "p_front": self.p_front.get(cost.name)},
            **costs_json(self.objectives.costs, self.costs, self.plain_costs),
            "mlflow_run_id": self.mlflow_run_id,
        }

    def figures(self) -> dict[str, float]:
        """For lists of runs, at a glance."""
        return figures(self.objectives, self.score, self.gain, self.costs)


def relative(costs: Costs, plain: Costs | None, cost: Quantity) -> float | None:
    """A cost over that of the plain backbone; None where this is not known, or nothing."""
    return costs[cost.key] / plain[cost.key] if plain and plain[cost.key] else None


def costs_json(quantities: Sequence[Quantity], costs: Costs, plain: Costs | None) -> dict[str, float | None]:
    """For programs: each cost under its key, and under relative_KEY its share of plain's, if it is shown so."""
    table: dict[str, float | None] = {}
    for it in quantities:
        table[it.key] = costs[it.key]
        if it.against_plain == "share":
            table[f"relative_{it.key}"] = relative(costs, plain, it)
    return table


def rows(trials: Sequence[Trial], runs: Mapping[int, str], objectives: Objectives, images: int) -> list[Row]:
    """All designs that trained to the end, by number of their first training; gains are over the plain backbone.

    Args:
        trials: of a search.
        runs: the MLflow run of each trial.
        objectives: of the search.
        images: that validate.
    """
    known = known_designs(trials, objectives, images)
    plain_costs = next((it.first.job.costs for it in known if it.plain), None)
    return [
        Row(
            trial=it.first.number,
            backbone=it.first.job.backbone,
            design=str(it.first.job.design),
            objectives=objectives,
            score=it.score,
            gain=it.gain,
            costs=it.first.job.costs,
            plain_costs=plain_costs,
            mlflow_run_id=runs.get(it.first.number),
            plain=it.plain,
            n=it.n,
            low=it.low,
            high=it.high,
            p_better=it.p_better,
            p_front=it.p_front,
        )
        for it in known
    ]


def front_rows(complete: Sequence[Row], cost: Quantity) -> list[Row]:
    """The rows that no other dominates in score and in this cost, the best first, plain as the reference last."""
    if not complete:
        return []
    kept = [complete[index] for index in pareto.non_dominated(points(complete, cost))]
    return sorted(kept, key=lambda row: (row.plain, -row.score, *_cheapest(row), row.trial))


def points(complete: Sequence[Row], cost: Quantity) -> pareto.Points:
    """Score and cost of each row, larger being better: (n, 2); a cost that is always above 0 by its logarithm."""
    values = np.array([row.costs[cost.key] for row in complete], float)
    values = np.log(values) if (values > 0).all() else values
    return np.stack([[row.score for row in complete], cost.sign * values], axis=1)


def fronts_json(complete: Sequence[Row], objectives: Objectives) -> dict[str, list[dict[str, Any]]]:
    """All fronts, for programs."""
    return {cost.name: [row.to_json(cost) for row in front_rows(complete, cost)] for cost in objectives.costs}


def top(complete: Sequence[Row], count: int) -> list[Row]:
    """The designs that are likeliest better than plain, of equals those that gain most; never the plain backbone."""
    ranked = sorted(complete, key=lambda row: (-(row.p_better or 0.0), -row.score, *_cheapest(row)))
    return [row for row in ranked if not row.plain][:count]


def knee_row(complete: Sequence[Row]) -> Row:
    """The design of the first cost's front that is farthest above the line between the front's ends."""
    cost = complete[0].objectives.costs[0]
    best = front_rows(complete, cost)
    return best[pareto.knee(points(best, cost))]


def _cheapest(row: Row) -> list[float]:
    """To sort by: the better in cost, the smaller."""
    return [-cost.sign * row.costs[cost.key] for cost in row.objectives.costs]
