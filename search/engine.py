"""What an engine is: something that runs the ledger's trials."""

from collections.abc import Callable
from pathlib import Path
from typing import Protocol, TypeVar

from search.execution import Evaluate, Progress
from search.ledger import Ledger

Result = TypeVar("Result")


class Engine(Protocol):
    """Runs trials somewhere, and tells the ledger."""

    @property
    def name(self) -> str:
        """What a user types."""

    @property
    def workers(self) -> int:
        """Trials at once."""

    def run(self, ledger: Ledger, evaluate: Evaluate, checkpoints: Path, should_stop: Callable[[], bool]) -> None:
        """Train what the ledger gives out, until it has no more or `should_stop`.

        Stopped, trials on their way stay running in the ledger and their states are in `checkpoints`.
        """

    def alone(self, measure: Callable[[], Result]) -> Result:
        """Run this where trials will run, while nothing else of ours does."""


def checkpoint_path(checkpoints: Path, number: int) -> Path:
    """Where a trial's state is kept while it runs."""
    return checkpoints / f"{number}.pt"


def record(ledger: Ledger, number: int, progress: Progress, checkpoint: Path) -> bool:
    """Hand a trial's progress to the ledger; returns whether the trial is over."""
    for count, report in enumerate(progress.reports, start=1):
        at_the_end = progress.done and count == len(progress.reports)
        if not ledger.report(number, report) and not at_the_end:
            ledger.tell_stopped(number)  # whatever its worker got done meanwhile
            break
    else:
        if progress.failure is not None:
            ledger.tell_failed(number, progress.failure)
        elif progress.done:
            ledger.tell_complete(number)
        else:
            return False
    checkpoint.unlink(missing_ok=True)
    return True
