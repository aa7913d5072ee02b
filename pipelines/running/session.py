"""Running a ledger to its end on an engine, watched by the terminal and by MLflow."""

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipelines.running.health import how_it_ended
from pipelines.running.stopping import Stopping
from pipelines.running.stopwatch import Stopwatch
from pipelines.running.terms import Terms
from pipelines.terminal.console import warn
from pipelines.terminal.exit_codes import COMPLETE, FAILED, STOPPED
from pipelines.terminal.progress import Display, Lines
from pipelines.tracking.runs import RUN_ATTRIBUTE, run_ids
from pipelines.tracking.tracker import Tracker
from pipelines.tracking.view import View
from search.engine import Engine
from search.execution import Evaluate
from search.ledger import Ledger
from search.storage import Storage
from search.trials import Trial
from space.errors import Stopped

_STATUS = {COMPLETE: "FINISHED", FAILED: "FAILED", STOPPED: "KILLED"}
"""Of the study's run in MLflow."""
STATUS = "mlflow_status"
"""The attribute of a study that holds the same."""
SHOWN = "mlflow_shown"
"""The attribute of a study that holds the run in MLflow that shows all trials, and how many these are."""


@dataclass(frozen=True)
class Session:
    """How a run of a ledger went.

    Attributes:
        exit_code: complete, failed, or stopped and resumable.
        reason: why it did not complete; empty if it did.
        watch: where the time went.
        mlflow_run: of the study; None if MLflow never answered, or was not asked.
    """

    exit_code: int
    reason: str
    watch: Stopwatch
    mlflow_run: str | None

    @property
    def why(self) -> str:
        """The reason, and that the same command goes on, where it does."""
        return f"{self.reason}; the same command goes on" if self.exit_code == STOPPED else self.reason


def run(
    ledger: Ledger,
    engine: Engine,
    evaluate: Evaluate,
    folder: Path,
    view: View,
    *,
    storage: Storage,
    terms: Terms,
    lines: Lines,
    tracked: bool = True,
    total: int | None = None,
    counts: Callable[[Trial], bool] = lambda trial: trial.counts,
    lacks: Callable[[Sequence[Trial]], bool] = lambda trials: False,
) -> Session:
    """Run trials until the ledger has no more, the user or the time limit stops it, or nothing gives hope.

    Args:
        ledger: gives out the trials.
        engine: where they run.
        evaluate: makes the trainings.
        folder: of the study.
        view: what MLflow shows.
        storage: that the ledger writes.
        terms: where it is tracked and saved, and when it stops.
        lines: what the terminal says below the bar.
        tracked: whether MLflow is to have it.
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
        if remembered.get(number) == run:
            return
        remembered[number] = run
        with contextlib.suppress(Stopped), storage.answering():  # the engine meets that, too; MLflow knows its runs
            ledger.annotate(f"{RUN_ATTRIBUTE}{number}", run)

    checkpoints = terms.checkpoints_of(ledger, folder, view.uid)
    remembered = run_ids(ledger.annotations)
    ledger.annotate(STATUS, _STATUS[STOPPED])  # should it be killed
    before = ledger.annotations.get(SHOWN, {"run": None, "trials": None})
    everything = before["run"] if before["trials"] == _all_ended(ledger) else None
    tracker = Tracker(view, terms.tracking_uri, ledger.trials, remember, everything)
    display = Display(ledger.trials, ledger.budget if total is None else total, lines, counts)
    watch = Stopwatch(engine.workers)
    for observer in (watch, display):
        ledger.observe(observer)
    if tracked:
        ledger.observe(tracker)
    with tracker if tracked else contextlib.nullcontext(), Stopping(terms.time_limit, terms.grace) as stopping:
        with storage.answering(), display:
            engine.run(ledger, evaluate, checkpoints, should_stop)
            checkpoints.sweep([trial.number for trial in ledger.running])
        watch.stop()
        for trial in ledger.ended:
            if trial.failure is not None:
                warn(f"trial {trial.number} ({trial.job.design}) failed: {trial.why_failed}")
        exit_code, reason = how_it_ended(ledger, stopping.reason)
        status = _STATUS[FAILED if exit_code == COMPLETE and lacks(ledger.trials) else exit_code]
        ledger.annotate(STATUS, status)
        tracker.ended(status)
    shown = {"run": tracker.shown, "trials": _all_ended(ledger)}
    if tracked and None not in shown.values() and shown != before:
        ledger.annotate(SHOWN, shown)
    return Session(exit_code, reason, watch, tracker.run_id)


def _all_ended(ledger: Ledger) -> int | None:
    """How many trials there are; None while one of them runs."""
    return None if ledger.running else len(ledger.trials)
