"""The trials of a ledger, counted as they come: with thousands of them nothing counts them again at each step."""

import bisect
from collections import UserDict, defaultdict
from collections.abc import Iterable, ValuesView
from datetime import datetime

from search.trials import State, Trial
from space.choices import Candidate


class Tally(UserDict[int, Trial]):
    """Trials by number.

    Args:
        trials: to begin with.

    Attributes:
        running: those that are running.
        running_again: how many of these are replicates.
        complete: those that trained to the end, in the order of their ends.
        trained: how many count for the budget.
        epochs: that those trained which run no longer.
        epochs_again: how many of these were replicates'.
        longest: epochs of the longest training that came to its end.
        begun: of each design the replicates, the first training being 0, that are running or complete.
        failed_again: replicates that failed.
    """

    def __init__(self, trials: Iterable[Trial] = ()) -> None:
        self.running: dict[int, Trial] = {}
        self.complete: list[Trial] = []
        self.trained = self.epochs = self.epochs_again = self.longest = self.running_again = 0
        self.begun: defaultdict[Candidate, list[int]] = defaultdict(list)
        self.failed_again: dict[int, Trial] = {}
        super().__init__()
        for trial in trials:
            self[trial.number] = trial

    def __setitem__(self, number: int, trial: Trial) -> None:
        late = number not in self.data and number < next(reversed(self.data), number)
        if (before := self.get(number)) is not None:
            self._leave(before)
        self._enter(trial)
        super().__setitem__(number, trial)
        if late:
            self.data = dict(sorted(self.data.items()))

    def values(self) -> ValuesView[Trial]:
        """All of them, by number: a view that does not look up each one."""
        return self.data.values()

    def in_order(self) -> list[Trial]:
        """All of them, by number."""
        return list(self.data.values())

    def _enter(self, trial: Trial) -> None:
        self._count(trial, 1)
        if trial.state is State.RUNNING:
            self.running[trial.number] = trial
        if trial.state is State.COMPLETE:
            bisect.insort(self.complete, trial, key=_end)
            self.longest = max(self.longest, len(trial.history))
        if trial.state in (State.RUNNING, State.COMPLETE):
            self.begun[trial.job.candidate].append(trial.job.replicate)
        if trial.job.replicate and trial.failure is not None:
            self.failed_again[trial.number] = trial

    def _leave(self, trial: Trial) -> None:
        self._count(trial, -1)
        self.running.pop(trial.number, None)
        self.failed_again.pop(trial.number, None)
        if trial.state is State.COMPLETE:
            del self.complete[bisect.bisect_left(self.complete, _end(trial), key=_end)]
        if trial.state in (State.RUNNING, State.COMPLETE):
            self.begun[trial.job.candidate].remove(trial.job.replicate)

    def _count(self, trial: Trial, sign: int) -> None:
        self.trained += sign * trial.counts
        if trial.state is State.RUNNING:
            self.running_again += sign * (trial.job.replicate > 0)
        else:
            self.epochs += sign * len(trial.history)
            self.epochs_again += sign * len(trial.history) * (trial.job.replicate > 0)


def _end(trial: Trial) -> tuple[datetime, int]:
    """What complete trials are sorted by: of two at once the one that began first comes first."""
    return trial.finished or datetime.max, trial.number
