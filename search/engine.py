"""What an engine is: something that runs the ledger's trials."""

import logging
from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

from search.checkpoints import Checkpoint, Checkpoints
from search.execution import Evaluate, Progress
from search.ledger import Ledger

Result = TypeVar("Result")

TOLD_A_SECOND, LONGEST_STEP = 20.0, 20.0
"""How often a driver is told how far trials are, at most, unless one were silent for longer than so many seconds.

More often, and many trials wait for an answer behind decisions on others. More seldom, and a trial that is stopped at a
rung, or by Ctrl-C, trains on for longer.
"""

logger = logging.getLogger(__name__)


class Engine(Protocol):
    """Runs trials somewhere, and tells the ledger."""

    @property
    def name(self) -> str:
        """What a user types."""

    @property
    def workers(self) -> int:
        """Trials at once."""

    def run(
        self, ledger: Ledger, evaluate: Evaluate, checkpoints: Checkpoints, should_stop: Callable[[], bool]
    ) -> None:
        """Train what the ledger gives out, until it has no more, `should_stop`, or nothing can be trained here.

        Stopped, trials on their way stay running in the ledger and their states are in `checkpoints`.
        """

    def alone(self, measure: Callable[[], Result]) -> Result:
        """Run this where trials will run, while nothing else of ours does."""


def step_seconds(workers: int) -> float:
    """How long at least a trial trains whole epochs before it tells of them, one of so many at once."""
    return min(LONGEST_STEP, max(1.0, workers / TOLD_A_SECOND))


def record(ledger: Ledger, number: int, progress: Progress, checkpoint: Checkpoint) -> bool:
    """Hand a trial's progress to the ledger; returns whether the trial is over."""
    pass_on(number, progress.notes)
    if progress.worker:
        ledger.place(number, progress.worker)
    for count, report in enumerate(progress.reports, start=1):
        at_the_end = progress.done and count == len(progress.reports)
        if not ledger.report(number, report) and not at_the_end:
            ledger.tell_stopped(number)  # whatever its worker got done meanwhile
            break
    else:
        if progress.failure is not None:
            ledger.tell_failed(number, progress.failure)
            if ledger.running and (failed := ledger.hopeless):
                why = f"{len(failed)} trials failed, the last one by {failed[-1].why_failed}"
                logger.warning("%s; no other begins unless one of those on their way gets further", why)
        elif progress.done:
            ledger.tell_complete(number)
        else:
            return False
    checkpoint.remove()
    return True


def pass_on(number: int, notes: Sequence[str]) -> None:
    """Log what a trial's execution has to say; it runs in another process, where nobody reads logs."""
    for note in notes:
        logger.warning("trial %d: %s", number, note)


def trials_that_fit(cpus: float, gpus: float, cpus_per_trial: int, gpus_per_trial: float) -> int:
    """How many trials run at once on one machine with so many CPUs and GPUs; a trial has whole GPUs or part of one."""
    fit = int(cpus // cpus_per_trial)
    if not gpus_per_trial:
        return fit
    if gpus_per_trial > 1:
        return min(fit, int(gpus // gpus_per_trial))
    on_each = int(1 / gpus_per_trial + 1e-9)  # 1 / (1 / 93) is a little less than 93
    return min(fit, int(gpus) * on_each)
