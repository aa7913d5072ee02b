"""What MLflow is told of one trial."""

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from pipelines.terminal.secrets import hidden
from search.trials import Job, State, Trial

if TYPE_CHECKING:
    from mlflow.entities import Metric

STATUS = {State.COMPLETE: "FINISHED", State.STOPPED: "FINISHED", State.FAILED: "FAILED"}
"""Of its run, when it has ended."""
ENDED = frozenset(STATUS.values())
MOST_LETTERS = 500
"""Of a reason."""


def params(job: Job) -> dict[str, Any]:
    """What is trained."""
    return {**job.design.to_dict(), "backbone": job.backbone, "design": job.design, "seed": job.seed}


def metrics(trial: Trial, figures: Mapping[str, float]) -> list["Metric"]:
    """Its costs, these figures, and its curves by epochs."""
    at = milliseconds(trial.finished)
    told = [metric(key, value, at, 0) for key, value in {**trial.job.costs, **figures}.items()]
    for report in trial.history:
        ended, epoch = int(report["time"] * 1000), int(report["epoch"])
        told += [metric(key, value, ended, epoch) for key, value in report.items() if key not in ("time", "epoch")]
    return told


def tags(trial: Trial) -> dict[str, str]:
    """What became of it, and where it failed and why."""
    if trial.failure is None:
        return {"state": trial.state.value}
    where = {"worker": trial.worker} if trial.worker else {}
    reason = hidden(trial.failure.reason)[:MOST_LETTERS]
    return {"state": trial.state.value, "failure": trial.failure.kind.value, "failure_reason": reason, **where}


def metric(key: str, value: float, at: int, step: int) -> "Metric":
    """A value at a time, see `milliseconds`, and a step."""
    from mlflow.entities import Metric

    return Metric(key, value, at, step)


def milliseconds(when: datetime | None) -> int:
    """MLflow's time; None is now."""
    return int((when or datetime.now()).timestamp() * 1000)
