"""Several trials at once on a simulated clock: what takes hours elsewhere is over in seconds, in the same order."""

import functools
import heapq
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TypeVar

from search.checkpoints import Checkpoint, Checkpoints
from search.engine import pass_on, record
from search.execution import Evaluate, Execution, Progress
from search.ledger import Ledger

Result = TypeVar("Result")


@dataclass(order=True)
class _Running:
    """A trial, and what the ledger is told of it next.

    Attributes:
        due: when, in seconds on the simulated clock; of two trials at once the one with the lower number comes first.
        number: of the trial.
        execution: of its training.
        checkpoint: of its training.
        progress: what is told.
    """

    due: float
    number: int
    execution: Execution = field(compare=False)
    checkpoint: Checkpoint = field(compare=False)
    progress: Progress = field(compare=False)

    @classmethod
    def begin(cls, now: float, number: int, execution: Execution, checkpoint: Checkpoint) -> "_Running":
        """A trial that trains its first epoch from now on."""
        progress = execution.advance(seconds=0.0)
        return cls(now + _seconds(progress), number, execution, checkpoint, progress)

    def go_on(self, now: float) -> "_Running":
        """The same trial, training another epoch from now on."""
        return self.begin(now, self.number, self.execution, self.checkpoint)


class SimulatedEngine:
    """Workers whose epochs take as long as their reports say, on a clock that jumps from one report to the next.

    The ledger is told of epochs in the order of simulated time, and so decides as it would if all this took place.

    Args:
        workers: trials at once.
        timer: seconds, of any origin; what passes on it while the ledger is asked or told passes on the simulated
            clock, too, and keeps a worker waiting. Left out, the ledger takes no time.

    Attributes:
        seconds: that the last run took on the simulated clock.
        busy_seconds: that its workers trained, all together.
        waiting_seconds: that its workers waited for the ledger, all together: for their next trial, or whether their
            trial goes on. What is left over at the end, when there is no other trial to begin, is neither.
    """

    name = "simulated"

    def __init__(self, workers: int = 1, timer: Callable[[], float] = lambda: 0.0) -> None:
        self.workers = workers
        self.seconds = self.busy_seconds = self.waiting_seconds = 0.0
        self._timer = timer

    @property
    def busy(self) -> float:
        """The share of their time that workers train, as long as there is something to train."""
        return self.busy_seconds / ((self.busy_seconds + self.waiting_seconds) or 1.0)

    def run(
        self, ledger: Ledger, evaluate: Evaluate, checkpoints: Checkpoints, should_stop: Callable[[], bool]
    ) -> None:
        """Train what the ledger gives out, until it has no more or `should_stop`.

        Stopped, trials on their way stay running in the ledger and their states are in `checkpoints`.
        """
        self.seconds = self.busy_seconds = self.waiting_seconds = 0.0
        began = time.time()
        free = [0.0] * self.workers  # since when each worker without a trial is
        queue: list[_Running] = []
        while True:
            while free and not should_stop() and (trial := self._decided(ledger.ask)) is not None:
                self._waited_since(heapq.heappop(free))
                checkpoint = checkpoints.of(trial.number, trial.job)
                execution = Execution(trial.job, evaluate, checkpoint)
                heapq.heappush(queue, _Running.begin(self.seconds, trial.number, execution, checkpoint))
            if should_stop() or not queue:
                break
            next_one = heapq.heappop(queue)
            self.seconds = max(self.seconds, next_one.due)
            self.busy_seconds += _seconds(next_one.progress)
            progress = _stamped(next_one.progress, began + next_one.due)
            told = functools.partial(record, ledger, next_one.number, progress, next_one.checkpoint)
            if self._decided(told):
                heapq.heappush(free, next_one.due)
            else:
                self._waited_since(next_one.due)
                heapq.heappush(queue, next_one.go_on(self.seconds))
        for running in sorted(queue):
            running.execution.save()
            pass_on(running.number, running.execution.notes())

    def alone(self, measure: Callable[[], Result]) -> Result:
        """Run this where trials will run, while nothing else of ours does."""
        return measure()

    def _decided(self, decide: Callable[[], Result]) -> Result:
        """What the ledger says, and the clock moved on by what that took."""
        began = self._timer()
        said = decide()
        self.seconds += self._timer() - began
        return said

    def _waited_since(self, when: float) -> None:
        self.waiting_seconds += self.seconds - when


def _seconds(progress: Progress) -> float:
    """That the last epoch took; a failure comes at once."""
    return 0.0 if progress.failure is not None else progress.reports[-1]["seconds"]


def _stamped(progress: Progress, when: float) -> Progress:
    """With the time at which the last epoch ended."""
    if progress.failure is not None:
        return progress
    *earlier, last = progress.reports
    return replace(progress, reports=(*earlier, {**last, "time": when}))
