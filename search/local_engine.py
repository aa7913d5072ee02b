"""Trials one after the other, in this process."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from search.engine import checkpoint_path, record
from search.execution import Evaluate, Execution
from search.ledger import Ledger

Result = TypeVar("Result")


class LocalEngine:
    """One worker: this process."""

    name = "local"
    workers = 1

    def run(self, ledger: Ledger, evaluate: Evaluate, checkpoints: Path, should_stop: Callable[[], bool]) -> None:
        """Train what the ledger gives out, until it has no more or `should_stop`.

        Stopped, the trial at hand stays running in the ledger and its state is in `checkpoints`.
        """
        while not should_stop() and (trial := ledger.ask()) is not None:
            checkpoint = checkpoint_path(checkpoints, trial.number)
            execution = Execution(trial.job, evaluate, checkpoint)
            while not record(ledger, trial.number, execution.advance(seconds=0.0), checkpoint):
                if should_stop():
                    execution.save()
                    return

    def alone(self, measure: Callable[[], Result]) -> Result:
        """Run this where trials will run, while nothing else of ours does."""
        return measure()
