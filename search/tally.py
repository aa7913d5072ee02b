"""The trials of a ledger, counted as they come: with thousands of them nothing counts them again at each step."""

from collections import UserDict

from search.trials import State, Trial


class Tally(UserDict[int, Trial]):
    """Trials by number.

    Attributes:
        running: those that are running.
        trained: how many count for the budget.
    """

    def __init__(self) -> None:
        self.running: dict[int, Trial] = {}
        self.trained = 0
        super().__init__()

    def __setitem__(self, number: int, trial: Trial) -> None:
        before = self.get(number)
        self.trained += trial.counts - (before is not None and before.counts)
        if trial.state is State.RUNNING:
            self.running[number] = trial
        else:
            self.running.pop(number, None)
        super().__setitem__(number, trial)

    def in_order(self) -> list[Trial]:
        """All of them, by number."""
        return [self[number] for number in sorted(self)]
