"""Trials one after the other, in this process."""

from collections.abc import Callable
from typing import TypeVar

from search.checkpoints import Checkpoints
from search.engine import pass_on, record
from search.execution import Evaluate, Execution
from search.ledger import Ledger
from search.trials import FailureKind

Result = TypeVar("Result")


class LocalEngine:
    """One worker: this process.

    Args:
        trial_timeout: seconds after which a trial has failed; None for any time.
    """

    name = "local"
    workers = 1

    def __init__(self, trial_timeout: float | None = None) -> None:
        self._trial_timeout = trial_timeout

    def run(
        self, ledger: Ledger, evaluate: Evaluate, checkpoints: Checkpoints, should_stop: Callable[[], bool]
    ) -> None:
        """Train what the ledger gives out, until it has no more, `should_stop`, or the process has lost its device.

        Stopped, the trial at hand stays running in the ledger and its state is in `checkpoints`.
        """
        while not should_stop() and (trial := ledger.ask()) is not None:
            checkpoint = checkpoints.of(trial.number, trial.job)
            execution = Execution(trial.job, evaluate, checkpoint, self._trial_timeout)
            while not record(ledger, trial.number, progress := execution.advance(seconds=0.0), checkpoint):
                if should_stop():
                    execution.save()
                    pass_on(trial.number, execution.notes())
                    return
            if progress.failure is not None and progress.failure.kind is FailureKind.DEVICE:
                return  # whatever is trained in this process from now on would fail

    def alone(self, measure: Callable[[], Result]) -> Result:
        """Run this where trials will run, while nothing else of ours does."""
        return measure()
