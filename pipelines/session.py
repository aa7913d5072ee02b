"""Running a ledger to its end on an engine, watched by the terminal and by MLflow."""

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipelines.console import warn
from pipelines.progress import Display, Lines, Stopwatch
from pipelines.stopping import Stopping
from pipelines.tracking import RUN_ATTRIBUTE, Tracker, View
from search.checkpoints import Checkpoints
from search.engine import Engine
from search.execution import Evaluate
from search.ledger import Ledger
from search.storage import Storage
from search.trials import Kind, Trial
from space.errors import Stopped

COMPLETE, FAILED, USER_ERROR, STOPPED = 0, 1, 2, 3
"""Exit codes."""

_STATUS = {COMPLETE: "FINISHED", FAILED: "FAILED", STOPPED: "KILLED"}
"""Of the study's run in MLflow."""


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
    lacks: Callable[[Sequence[Trial]], bool] = lambda trials: False,
) -> Session:
    """Run trials until the ledger has no more, the user or the time limit stops it, or nothing gives hope.

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
        lacks: whether trials that failed are missed in the end, which MLflow then calls a failure.

    Raises:
        Stopped: the storage can be written no longer.
    """

    def should_stop() -> bool:
        storage.check()
        return stopping()

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
            engine.run(ledger, evaluate, Checkpoints(folder / "checkpoints", view.uid), should_stop)
        watch.stop()
        for trial in ledger.ended:
            if trial.failure is not None:
                warn(f"trial {trial.number} ({trial.job.design}) failed: {trial.why_failed}")
        exit_code, reason = _how_it_ended(ledger, stopping.reason)
        tracker.ended(_STATUS[FAILED if exit_code == COMPLETE and lacks(ledger.trials) else exit_code])
    return Session(exit_code, reason, watch, tracker.run_id)


def _how_it_ended(ledger: Ledger, stopped_by: str | None) -> tuple[int, str]:
    """The exit code, and the reason where it is not 0."""
    ended = ledger.ended
    if not ledger.unfinished:
        return (COMPLETE, "") if ledger.trained or not ended else (FAILED, _last_of(ended))
    if not ledger.running and (failed := ledger.hopeless):
        return FAILED, _last_of(failed)
    last = ended[-1] if ended else None
    if last is not None and last.failure is not None and last.failure.kind is Kind.DEVICE:
        if not any(trial.trained for trial in ended):
            return FAILED, _last_of(ended)
        return STOPPED, f"stopped by trial {last.number} ({last.job.design}): {last.why_failed}"
    return STOPPED, f"stopped by {stopped_by or 'its engine'}"


def _last_of(failed: Sequence[Trial]) -> str:
    last = failed[-1]
    details = last.failure.details if last.failure is not None else ""
    count = "1 trial" if len(failed) == 1 else f"{len(failed)} trials"
    return f"{count} failed; the last one: {last.why_failed}\n{details}".rstrip()
