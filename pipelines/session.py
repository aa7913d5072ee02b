"""Running a ledger to its end on an engine, watched by the terminal and by MLflow."""

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from pipelines.console import warn
from pipelines.progress import Display, Lines, Stopwatch
from pipelines.stopping import Stopping
from pipelines.tracking import RUN_ATTRIBUTE, Tracker, View
from search.engine import Engine
from search.execution import Evaluate
from search.ledger import Ledger
from search.storage import Storage
from search.trials import Trial
from space.errors import Stopped

COMPLETE, FAILED, USER_ERROR, STOPPED = 0, 1, 2, 3
"""Exit codes."""

HOPELESS = 3
"""If the first so many trials all fail, so will the others."""
HOPELESS_IN_A_ROW = 5
DESIGNS_OWN = ("nan", "out of memory")
"""Kinds of failure that say nothing about the next design."""


@dataclass(frozen=True)
class Session:
    """How a run of a ledger went.

    Attributes:
        exit_code: complete, failed, or stopped and resumable.
        reason: why it did not complete; empty if it did.
        watch: where the time went.
        mlflow_run: of the study; None if MLflow never answered.
    """

    exit_code: int
    reason: str
    watch: Stopwatch
    mlflow_run: str | None


def run(
    ledger: Ledger,
    engine: Engine,
    evaluate: Evaluate,
    folder: Path,
    view: View,
    *,
    storage: Storage,
    tracking_uri: str | None,
    lines: Lines,
    time_limit: float | None,
    total: int | None = None,
    counts: Callable[[Trial], bool] = lambda trial: trial.trained,
    nan_is_a_result: bool = False,
) -> Session:
    """Run trials until the ledger has no more, the user or the time limit stops it, or all fail.

    Args:
        ledger: gives out the trials.
        engine: where they run.
        evaluate: makes the trainings.
        folder: of the study; checkpoints go there.
        view: what MLflow shows.
        storage: that the ledger writes.
        tracking_uri: of MLflow; None for its default.
        lines: what the terminal says below the bar.
        time_limit: seconds.
        total: trials that the bar counts; None for the ledger's budget.
        counts: whether a trial is one of them, and done.
        nan_is_a_result: go on however many trainings break off in nan.

    Raises:
        Stopped: the storage can be written no longer.
    """
    began = datetime.now()

    def ended() -> list[Trial]:
        """Trials that trained or failed in this session, without those whose failure is a result."""
        told = [trial for trial in ledger.trials if trial.finished is not None and trial.finished >= began]
        return [
            trial
            for trial in told
            if trial.trained or (trial.failure and not (nan_is_a_result and trial.failure.kind == "nan"))
        ]

    def should_stop() -> bool:
        storage.check()
        return stopping() or _hopeless(ended())

    def remember(number: int, run: str) -> None:
        with contextlib.suppress(Stopped), storage.answering():  # the engine meets that, too; MLflow knows its runs
            ledger.annotate(f"{RUN_ATTRIBUTE}{number}", run)

    tracker = Tracker(view, tracking_uri, ledger.trials, remember)
    display = Display(ledger.trials, ledger.budget if total is None else total, lines, counts)
    watch = Stopwatch(engine.workers)
    for observer in (watch, display, tracker):
        ledger.observe(observer)
    with tracker, Stopping(time_limit) as stopping:
        with storage.answering(), display:
            engine.run(ledger, evaluate, folder / "checkpoints", should_stop)
        watch.stop()
        for trial in ended():
            if trial.failure is not None:
                warn(f"trial {trial.number} ({trial.job.design}) failed: {trial.failure.kind}, {trial.failure.reason}")
        if _hopeless(ended()):
            return Session(FAILED, _why_hopeless(ended()), watch, tracker.run_id)
        if ledger.unfinished:
            tracker.interrupted()
            return Session(STOPPED, f"stopped by {stopping.reason or 'its engine'}", watch, tracker.run_id)
    return Session(COMPLETE, "", watch, tracker.run_id)


def _hopeless(ended: Sequence[Trial]) -> bool:
    """Whether the first trials all failed, or many in a row for a reason that is not their design's."""
    if not any(trial.trained for trial in ended):
        return len(ended) >= HOPELESS
    by_time = sorted(ended, key=lambda trial: trial.finished or trial.started)
    latest = [trial.failure for trial in by_time[-HOPELESS_IN_A_ROW:]]
    return len(latest) == HOPELESS_IN_A_ROW and all(f is not None and f.kind not in DESIGNS_OWN for f in latest)


def _why_hopeless(trials: Sequence[Trial]) -> str:
    failed = [trial.failure for trial in trials if trial.failure is not None]
    last = failed[-1]
    return f"{len(failed)} trials failed; the last one: {last.kind}, {last.reason}\n{last.details}".rstrip()
