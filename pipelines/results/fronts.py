"""The two Pareto fronts of a search, as rows for people and programs."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from pipelines.terminal.formats import figures
from search import pareto
from search.trials import State, Trial
from space import Design

FRONTS = ("params", "fps")


@dataclass(frozen=True, kw_only=True)
class Row:
    """One complete trial.

    Attributes:
        trial: its number.
        backbone: its backbone.
        design: text form.
        metric: the report's entry that was maximised, such as val_accuracy.
        score: its value, 0 to 1.
        gain: score above that of the plain backbone; None before that is trained.
        num_params: trainable parameters.
        fps: images per second.
        relative_fps: FPS over that of the plain backbone.
        mlflow_run_id: of the trial's run; None if MLflow never answered.
        plain: whether this is the plain backbone that gains are over.
    """

    trial: int
    backbone: str
    design: str
    metric: str
    score: float
    gain: float | None
    num_params: int
    fps: float
    relative_fps: float | None
    mlflow_run_id: str | None
    plain: bool = False

    def to_json(self) -> dict[str, Any]:
        """For programs: the score under the name of its metric."""
        table = asdict(self)
        del table["plain"]
        metric = table.pop("metric")
        return {metric if name == "score" else name: value for name, value in table.items()}

    def figures(self) -> dict[str, float]:
        """For lists of runs, at a glance."""
        return figures(self.metric, self.score, self.gain, self.num_params, self.fps)


def metric_of(attributes: Mapping[str, Any]) -> str:
    """The report's entry that a study maximises."""
    return str(attributes["settings"]["objectives"][0])


def rows(trials: Sequence[Trial], runs: Mapping[int, str], metric: str) -> list[Row]:
    """All complete trials, by number; gains are over the plain backbone.

    Args:
        trials: of a search.
        runs: the MLflow run of each trial.
        metric: the report's entry that is maximised.
    """
    complete = [trial for trial in trials if trial.state is State.COMPLETE]
    plain = plain_of(trials)
    return [
        Row(
            trial=trial.number,
            backbone=trial.job.backbone,
            design=str(trial.job.design),
            metric=metric,
            score=trial.last[metric],
            gain=trial.last[metric] - plain.last[metric] if plain else None,
            num_params=trial.job.cost.num_params,
            fps=trial.job.cost.fps,
            relative_fps=trial.job.cost.fps / plain.job.cost.fps if plain else None,
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


def front(complete: Sequence[Row], name: str) -> list[Row]:
    """The rows that no other dominates in score and in the cost `name`, the best first."""
    if not complete:
        return []
    kept = [complete[index] for index in pareto.front(objectives(complete, name))]
    return sorted(kept, key=lambda row: (-row.score, row.num_params, -row.fps, row.trial))


def objectives(complete: Sequence[Row], name: str) -> pareto.Points:
    """Score and the cost `name` of each row, larger being better: (n, 2)."""
    if name == "params":
        return np.array([(row.score, -np.log(row.num_params)) for row in complete])
    return np.array([(row.score, np.log(row.fps)) for row in complete])


def fronts_json(complete: Sequence[Row]) -> dict[str, list[dict[str, Any]]]:
    """Both fronts, for programs."""
    return {name: [row.to_json() for row in front(complete, name)] for name in FRONTS}


def top(complete: Sequence[Row], count: int) -> list[Row]:
    """The most accurate designs of the two fronts, then the most accurate others; never the plain backbone."""
    on_fronts = {row.trial for name in FRONTS for row in front(complete, name)}
    ranked = sorted(complete, key=lambda row: (row.trial not in on_fronts, -row.score, row.num_params))
    return [row for row in ranked if not row.plain][:count]


def knee(complete: Sequence[Row]) -> Row:
    """The design of the params front that is farthest above the line between the front's ends."""
    best = front(complete, "params")
    return best[pareto.knee(objectives(best, "params"))]
