"""What is made of trials that have ended, once: they change no more."""

from collections.abc import Callable, Iterable
from typing import Generic, TypeVar
from weakref import WeakKeyDictionary

from optuna.study import Study
from optuna.trial import FrozenTrial

T = TypeVar("T")


class OfEnded(Generic[T]):
    """Makes something of each trial of a study, of one that has ended a single time.

    Args:
        make: what is to be made of one.
    """

    def __init__(self, make: Callable[[FrozenTrial], T]) -> None:
        self._make = make
        self._made: WeakKeyDictionary[Study, dict[int, T]] = WeakKeyDictionary()

    def __call__(self, study: Study, trials: Iterable[FrozenTrial]) -> list[T]:
        """What becomes of these trials of a study, in their order."""
        made = self._made.setdefault(study, {})
        found: list[T] = []
        for trial in trials:
            number = trial.number
            found.append(made[number] if number in made else self._make(trial))
            if number not in made and trial.state.is_finished():
                made[number] = found[-1]
        return found
