"""The Pareto fronts of a search, one for each cost, as rows for people and programs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipelines.results.glance import figures
from search import pareto
from search.objectives import Objectives
from search.trials import State, Trial
from space import Design
from space.cost import Costs, Quantity


@dataclass(frozen=True, kw_only=True)
class Row:
    """One complete trial.

    Attributes:
        trial: its number.
        backbone: its backbone.
        design: text form.
        objectives: of the search.
        score: value of their metric, 0 to 1.
        gain: score above that of the plain backbone; None before that is trained.
        costs: of the design.
        plain_costs: of the plain backbone; None before that is trained.
        mlflow_run_id: of the trial's run; None if MLflow never answered.
        plain: whether this is the plain backbone that gains are over.
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

    def relative(self, cost: Quantity) -> float | None:
        """The cost over that of the plain backbone."""
        return relative(self.costs, self.plain_costs, cost)

    def to_json(self) -> dict[str, Any]:
        """For programs: the score under the name of its metric, each cost under its key."""
        table: dict[str, Any] = {"trial": self.trial, "backbone": self.backbone, "design": self.design}
        table |= {self.objectives.metric: self.score, "gain": self.gain}
        return {
            **table,
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


def rows(trials: Sequence[Trial], runs: Mapping[int, str], objectives: Objectives) -> list[Row]:
    """All complete trials, by number; gains are over the plain backbone.

    Args:
        trials: of a search.
        runs: the MLflow run of each trial.
        objectives: of the search.
    """
    complete = [trial for trial in trials if trial.state is State.COMPLETE]
    plain = plain_of(trials)
    metric = objectives.metric
    return [
        Row(
            trial=trial.number,
            backbone=trial.job.backbone,
            design=str(trial.job.design),
            objectives=objectives,
            score=trial.last[metric],
            gain=trial.last[metric] - plain.last[metric] if plain else None,
            costs=trial.job.costs,
            plain_costs=plain.job.costs if plain else None,
            mlflow_run_id=runs.get(trial.number),
            plain=trial is plain,
        )
        for trial in complete
    ]


def plain_of(trials: Sequence[Trial]) -> Trial | None:
    """The first complete training of the plain backbone; with several backbones of the one that was begun first."""
    begun = sorted(
        (t for t in trials if t.job.design == Design() and t.state not in (State.DUPLICATE, State.INFEASIBLE)),
        key=lambda trial: trial.number,
    )
    return next((t for t in begun if t.state is State.COMPLETE and t.job.backbone == begun[0].job.backbone), None)


def front(complete: Sequence[Row], cost: Quantity) -> list[Row]:
    """The rows that no other dominates in score and in this cost, the best first."""
    if not complete:
        return []
    kept = [complete[index] for index in pareto.front(points(complete, cost))]
    return sorted(kept, key=lambda row: (-row.score, *_cheapest(row), row.trial))


def points(complete: Sequence[Row], cost: Quantity) -> pareto.Points:
    """Score and cost of each row, larger being better: (n, 2); a cost that is always above 0 by its logarithm."""
    values = np.array([row.costs[cost.key] for row in complete], float)
    values = np.log(values) if (values > 0).all() else values
    return np.stack([[row.score for row in complete], cost.sign * values], axis=1)


def fronts_json(complete: Sequence[Row], objectives: Objectives) -> dict[str, list[dict[str, Any]]]:
    """All fronts, for programs."""
    return {cost.name: [row.to_json() for row in front(complete, cost)] for cost in objectives.costs}


def top(complete: Sequence[Row], count: int) -> list[Row]:
    """The most accurate designs of the fronts, then the most accurate others; never the plain backbone."""
    costs = complete[0].objectives.costs if complete else ()
    on_fronts = {row.trial for cost in costs for row in front(complete, cost)}
    ranked = sorted(complete, key=lambda row: (row.trial not in on_fronts, -row.score, *_cheapest(row)))
    return [row for row in ranked if not row.plain][:count]


def knee(complete: Sequence[Row]) -> Row:
    """The design of the first cost's front that is farthest above the line between the front's ends."""
    cost = complete[0].objectives.costs[0]
    best = front(complete, cost)
    return best[pareto.knee(points(best, cost))]


def _cheapest(row: Row) -> list[float]:
    """To sort by: the better in cost, the smaller."""
    return [-cost.sign * row.costs[cost.key] for cost in row.objectives.costs]
