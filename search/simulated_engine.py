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
from search.trials import Report

Result = TypeVar("Result")


@dataclass(order=True)
class _Running:
    """A trial, and what the ledger is told of it next.

    Attributes:
        due: when, in seconds on the simulated clock; of two trials at once the one with the lower number comes first.
        number: of the trial.
        seconds: that it trains for that.
        execution: of its training.
        checkpoint: of its training.
        progress: what is told.
    """

    due: float
    number: int
    seconds: float = field(compare=False)
    execution: Execution = field(compare=False)
    checkpoint: Checkpoint = field(compare=False)
    progress: Progress = field(compare=False)


class SimulatedEngine:
    """Workers whose epochs take as long as their reports say, on a clock that jumps from one report to the next.

    The ledger is told of epochs in the order of simulated time, and so decides as it would if all this took place.

    Args:
        workers: trials at once.
        timer: seconds, of any origin; what passes on it while the ledger is asked or told passes on the simulated
            clock, too, and keeps a worker waiting. Left out, the ledger takes no time.
        step_seconds: that a trial trains at least before it tells of its epochs.

    Attributes:
        seconds: that the last run took on the simulated clock.
        busy_seconds: that its workers trained, all together.
        waiting_seconds: that its workers waited for the ledger, all together: for their next trial, or whether their
            trial goes on. What is left over at the end, when there is no other trial to begin, is neither.
    """

    name = "simulated"

    def __init__(self, workers: int = 1, timer: Callable[[], float] = lambda: 0.0, step_seconds: float = 0.0) -> None:
        self.workers = workers
        self._step_seconds = step_seconds
        self.seconds = self.busy_seconds = self.waiting_seconds = 0.0
        self._timer = timer
        self._began = 0.0

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
        self._began = time.time()
        free = [0.0] * self.workers  # since when each worker without a trial is
        queue: list[_Running] = []
        while True:
            while free and not should_stop() and (trial := self._decided(ledger.ask)) is not None:
                self._waited_since(heapq.heappop(free))
                checkpoint = checkpoints.of(trial.number, trial.job)
                execution = Execution(trial.job, evaluate, checkpoint)
                heapq.heappush(queue, self._trained(trial.number, execution, checkpoint))
            if should_stop() or not queue:
                break
            it = heapq.heappop(queue)
            self.seconds = max(self.seconds, it.due)
            self.busy_seconds += it.seconds
            if self._decided(functools.partial(record, ledger, it.number, it.progress, it.checkpoint)):
                heapq.heappush(free, it.due)
            else:
                self._waited_since(it.due)
                heapq.heappush(queue, self._trained(it.number, it.execution, it.checkpoint))
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

    def _trained(self, number: int, execution: Execution, checkpoint: Checkpoint) -> _Running:
        """Have a trial train whole epochs from now on."""
        reports: list[Report] = []
        notes: list[str] = []
        due = self.seconds
        while True:
            progress = execution.advance(seconds=0.0)
            reports += progress.reports
            notes += progress.notes
            if progress.failure is None:  # a failure comes at once
                due += reports[-1]["seconds"]
                reports[-1] = {**reports[-1], "time": self._began + due}
            if progress.over or due >= self.seconds + self._step_seconds:
                break
        told = replace(progress, reports=tuple(reports), notes=tuple(notes))
        return _Running(due, number, due - self.seconds, execution, checkpoint, told)

    def _waited_since(self, when: float) -> None:
        self.waiting_seconds += self.seconds - when
