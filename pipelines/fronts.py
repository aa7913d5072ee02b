"""The two Pareto fronts of a search, as rows for people and programs."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

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
        val_accuracy: 0 to 1.
        gain: accuracy above that of the plain backbone; None before that is trained.
        num_params: trainable parameters.
        fps: images per second.
        relative_fps: FPS over that of the plain backbone.
        mlflow_run_id: of the trial's run; None if MLflow never answered.
    """

    trial: int
    backbone: str
    design: str
    val_accuracy: float
    gain: float | None
    num_params: int
    fps: float
    relative_fps: float | None
    mlflow_run_id: str | None


def rows(trials: Sequence[Trial], runs: Mapping[int, str]) -> list[Row]:
    """All complete trials, by number; gains are over trial 0, the plain backbone.

    Args:
        trials: of a search.
        runs: the MLflow run of each trial.
    """
    complete = [trial for trial in trials if trial.state is State.COMPLETE]
    plain = next((trial for trial in complete if trial.number == 0 and trial.job.design == Design()), None)
    return [
        Row(
            trial=trial.number,
            backbone=trial.job.backbone,
            design=str(trial.job.design),
            val_accuracy=trial.last["val_accuracy"],
            gain=trial.last["val_accuracy"] - plain.last["val_accuracy"] if plain else None,
            num_params=trial.job.cost.num_params,
            fps=trial.job.cost.fps,
            relative_fps=trial.job.cost.fps / plain.job.cost.fps if plain else None,
            mlflow_run_id=runs.get(trial.number),
        )
        for trial in complete
    ]


def front(complete: Sequence[Row], name: str) -> list[Row]:
    """The rows that no other dominates in accuracy and in the cost `name`, most accurate first."""
    if not complete:
        return []
    kept = [complete[index] for index in pareto.front(objectives(complete, name))]
    return sorted(kept, key=lambda row: (-row.val_accuracy, row.num_params, -row.fps, row.trial))


def objectives(complete: Sequence[Row], name: str) -> pareto.Points:
    """Accuracy and the cost `name` of each row, larger being better: (n, 2)."""
    if name == "params":
        return np.array([(row.val_accuracy, -np.log(row.num_params)) for row in complete])
    return np.array([(row.val_accuracy, np.log(row.fps)) for row in complete])


def fronts_json(complete: Sequence[Row]) -> dict[str, list[dict[str, Any]]]:
    """Both fronts, for programs."""
    return {name: [asdict(row) for row in front(complete, name)] for name in FRONTS}
