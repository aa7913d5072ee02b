"""Trials as everybody but Optuna sees them."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from optuna.study import Study
from optuna.trial import FrozenTrial

from search.ended import OfEnded
from space.cost import Costs
from space.design import Design

Report = Mapping[str, float]
"""What one epoch gave, by name of the metric."""

JOB = "job"
PASSED = "passed"
"""The history of a trial up to the last rung that it passed."""
OUTCOME = "outcome"
INSTEAD = "instead"
"""In the outcome of a trial that is not trained: the decisions that the next one begins with."""
ORIGIN = "origin"
"""In the outcome of a trial that was carried over: the study that trained it."""
FIXED = "fixed_params"
"""Where Optuna keeps the decisions that a trial begins with, among its own attributes of it."""
VALUES = "values"
"""In the outcome of a complete replicate: its objectives, which Optuna does not take of it."""


class State(StrEnum):
    """How far a trial is."""

    RUNNING = "running"
    COMPLETE = "complete"
    STOPPED = "stopped"
    FAILED = "failed"
    DUPLICATE = "duplicate"
    INFEASIBLE = "infeasible"


@dataclass(frozen=True, kw_only=True)
class Job:
    """What a trial trains, and what that costs.

    Attributes:
        backbone: its name.
        design: canonical in that backbone.
        seed: of the training.
        costs: of the design.
        replicate: in a search how often the design was trained before; 0 for its first training.
    """

    backbone: str
    design: Design
    seed: int
    costs: Costs
    replicate: int = 0

    def __post_init__(self) -> None:
        # What counts costs when they are asked for stays where it is: a job travels to where it is trained.
        object.__setattr__(self, "costs", dict(self.costs))  # a frozen dataclass, still being made

    @property
    def candidate(self) -> tuple[str, Design]:
        """Backbone and canonical design: what a trial is keyed by, together with `replicate`."""
        return self.backbone, self.design

    def to_json(self) -> dict[str, Any]:
        """For the ledger; `from_json` is the way back."""
        return {
            "backbone": self.backbone,
            "design": str(self.design),
            "seed": self.seed,
            "replicate": self.replicate,
            **self.costs,
        }

    @classmethod
    def from_json(cls, table: Mapping[str, Any]) -> "Job":
        """The job that `to_json` described."""
        costs = dict(table)
        backbone, design, seed = (costs.pop(name) for name in ("backbone", "design", "seed"))
        replicate = costs.pop("replicate", 0)
        return cls(backbone=backbone, design=Design.parse(design), seed=seed, costs=costs, replicate=replicate)


class FailureKind(StrEnum):
    """Of a failure."""

    NAN = "nan"
    OUT_OF_MEMORY = "out of memory"
    ERROR = "error"
    DEVICE = "device error"
    """After which the process has no GPU any more."""
    LOST_WORKER = "lost worker"
    TIMEOUT = "timeout"


@dataclass(frozen=True, kw_only=True)
class Failure:
    """Why a trial failed.

    Attributes:
        kind: what happened.
        reason: one line.
        details: the traceback, if there is one.
    """

    kind: FailureKind
    reason: str
    details: str = ""

    @property
    def own(self) -> bool:
        """Whether the design is to blame, and would fail again; otherwise the machine or the code is."""
        return self.kind in (FailureKind.NAN, FailureKind.OUT_OF_MEMORY, FailureKind.TIMEOUT)

    def to_json(self) -> dict[str, str]:
        """For the ledger; `from_json` is the way back."""
        return asdict(self)

    @classmethod
    def from_json(cls, table: Mapping[str, str]) -> "Failure":
        """The failure that `to_json` described."""
        return cls(kind=FailureKind(table["kind"]), reason=table["reason"], details=table["details"])


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One trial of the ledger.

    Attributes:
        number: its number in the study; duplicates take numbers too.
        state: how far it is.
        job: what it trains.
        history: a report an epoch; while it runs, as far as the ledger was told, or, read again, to its last rung.
        failure: set when the state is failed.
        started: when it was asked for.
        finished: when it was told; None while it runs.
        worker: where it trained last, host and GPU; empty where nobody knows.
        origin: the study that trained it, if it was carried over from there.
    """

    number: int
    state: State
    job: Job
    history: tuple[Report, ...] = ()
    failure: Failure | None = None
    started: datetime
    finished: datetime | None = None
    worker: str = ""
    origin: str = ""

    @property
    def last(self) -> Report:
        """The last report; empty before the first."""
        return self.history[-1] if self.history else {}

    @property
    def trained(self) -> bool:
        """Whether it trained to the end, or to the rung that stopped it."""
        return self.state in (State.COMPLETE, State.STOPPED)

    @property
    def counts(self) -> bool:
        """Whether it counts for the budget of designs: it trained, and is no replicate."""
        return self.trained and not self.job.replicate

    @property
    def why_failed(self) -> str:
        """In one line, and where; empty if it has not failed."""
        if self.failure is None:
            return ""
        return f"{self.failure.kind}, {self.failure.reason}" + (f" (on {self.worker})" if self.worker else "")


def read_trial(frozen: FrozenTrial) -> Trial | None:
    """An Optuna trial as a Trial; None for one that never got a job."""
    if JOB not in frozen.user_attrs:
        return None
    outcome = frozen.user_attrs.get(OUTCOME, {})
    return Trial(
        number=frozen.number,
        state=State(outcome["state"]) if outcome else State.RUNNING,
        job=Job.from_json(frozen.user_attrs[JOB]),
        history=unpack_history(outcome.get("history", frozen.user_attrs.get(PASSED, {}))),
        failure=Failure.from_json(outcome["failure"]) if "failure" in outcome else None,
        started=frozen.datetime_start or datetime.min,
        finished=frozen.datetime_complete,
        worker=outcome.get("worker", ""),
        origin=outcome.get(ORIGIN, ""),
    )


_READ = OfEnded(read_trial)


def read_trials(study: Study) -> Iterator[tuple[FrozenTrial, Trial | None]]:
    """All Optuna trials of a study as they are now, with what each one is as a Trial."""
    trials = study.get_trials(deepcopy=False)
    return zip(trials, _READ(study, trials), strict=True)


def pack_history(history: tuple[Report, ...]) -> dict[str, list[float | None]]:
    """Reports as one list a metric, which is smaller; None where an epoch lacks it."""
    names = dict.fromkeys(name for report in history for name in report)
    return {name: [report.get(name) for report in history] for name in names}


def unpack_history(columns: Mapping[str, list[float | None]]) -> tuple[Report, ...]:
    """The reports that `pack_history` packed."""
    epochs = len(next(iter(columns.values()), []))
    rows = ({name: column[epoch] for name, column in columns.items()} for epoch in range(epochs))
    return tuple({name: value for name, value in row.items() if value is not None} for row in rows)
