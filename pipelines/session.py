"""Running a ledger to its end on an engine, watched by the terminal and by MLflow."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pipelines.console import warn
from pipelines.progress import Display, Lines, Stopwatch
from pipelines.stopping import Stopping
from pipelines.tracking import RUN_ATTRIBUTE, Tracker, View
from search.engine import Engine
from search.execution import Evaluate
from search.ledger import Ledger
from search.trials import State, Trial

COMPLETE, FAILED, USER_ERROR, STOPPED = 0, 1, 2, 3
"""Exit codes."""

HOPELESS = 3
"""If the first so many trials all fail, so will the others."""


@dataclass(frozen=True)
class Session:
    """How a run of a ledger went.

    Attributes:
        exit_code: complete, failed, or stopped and resumable.
        reason: why it did not complete; empty if it did.
        watch: where the time went.
    """

    exit_code: int
    reason: str
    watch: Stopwatch


def run(
    ledger: Ledger,
    engine: Engine,
    evaluate: Evaluate,
    folder: Path,
    view: View,
    *,
    tracking_uri: str | None,
    lines: Lines,
    time_limit: float | None,
) -> Session:
    """Run trials until the ledger has no more, the user or the time limit stops it, or all fail.

    Args:
        ledger: gives out the trials.
        engine: where they run.
        evaluate: makes the trainings.
        folder: of the study; checkpoints go there.
        view: what MLflow shows.
        tracking_uri: of MLflow; None for its default.
        lines: what the terminal says below the bar.
        time_limit: seconds.
    """
    tracker = Tracker(
        view, tracking_uri, ledger.trials, lambda number, run: ledger.annotate(f"{RUN_ATTRIBUTE}{number}", run)
    )
    display = Display(ledger.trials, ledger.budget, lines)
    watch = Stopwatch(engine.workers)
    for observer in (watch, display, tracker):
        ledger.observe(observer)
    with tracker, Stopping(time_limit) as stopping:
        with display:
            engine.run(ledger, evaluate, folder / "checkpoints", lambda: stopping() or _hopeless(ledger))
        watch.stop()
        for trial in ledger.trials:
            if trial.failure is not None:
                warn(f"trial {trial.number} ({trial.job.design}) failed: {trial.failure.kind}, {trial.failure.reason}")
        if _hopeless(ledger):
            return Session(FAILED, _first_failure(ledger.trials), watch)
        if ledger.unfinished:
            tracker.interrupted()
            return Session(STOPPED, f"stopped by {stopping.reason}", watch)
    return Session(COMPLETE, "", watch)


def _hopeless(ledger: Ledger) -> bool:
    return not ledger.trained and sum(trial.state is State.FAILED for trial in ledger.trials) >= HOPELESS


def _first_failure(trials: Sequence[Trial]) -> str:
    failure = next(trial.failure for trial in trials if trial.failure is not None)
    return f"the first {HOPELESS} trials all failed: {failure.kind}, {failure.reason}\n{failure.details}".rstrip()
