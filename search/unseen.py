"""The designs of a space that no trial has taken yet."""

import random
from collections.abc import Callable, Mapping
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from space.choices import Candidate
from space.declarations import Value

ABSENT, ELSEWHERE = -1, -2
"""For a choice that is not made, and for an option that no design has."""


class Unseen:
    """Designs that are left, of tens of thousands, too.

    Args:
        decisions: that lead to each design.
        allowed: whether one may be taken at all; asked of those alone that might be.
    """

    def __init__(
        self, decisions: Mapping[Candidate, Mapping[str, Value]], allowed: Callable[[Candidate], bool]
    ) -> None:
        self._allowed = allowed
        self._rows = {candidate: row for row, candidate in enumerate(decisions)}
        self._candidates = list(decisions)
        self._decisions = decisions
        self._left = np.ones(len(decisions), bool)
        self._asked = np.zeros(len(decisions), bool)

    def __bool__(self) -> bool:
        """Whether one is left."""
        while len(first := np.flatnonzero(self._left)[:1]):
            if self._staying(first):
                return True
        return False

    def discard(self, candidate: Candidate) -> None:
        """It has been taken; nothing happens if it had been, or never was one of these."""
        if candidate in self._rows:
            self._left[self._rows[candidate]] = False

    def nearest(self, decisions: Mapping[str, Value], seed: int) -> Candidate:
        """Of those left, at least one, the one that differs in the fewest decisions; ties are broken by the seed."""
        differences = (self._codes != np.array(self._coded(decisions), np.int32)).sum(axis=1)
        while True:
            ties = np.flatnonzero(self._left & (differences == differences[self._left].min()))
            if staying := self._staying(ties):
                return self._candidates[random.Random(seed).choice(staying)]

    def _staying(self, rows: NDArray[np.intp]) -> list[int]:
        """Those of some that are left which may be taken; the others are left no longer."""
        for row in rows[~self._asked[rows]].tolist():
            self._asked[row], self._left[row] = True, self._allowed(self._candidates[row])
        staying: list[int] = rows[self._left[rows]].tolist()
        return staying

    @cached_property
    def _options(self) -> Mapping[str, Mapping[Value, int]]:
        """For each choice the numbers of its options."""
        found: dict[str, dict[Value, int]] = {}
        for made in self._decisions.values():
            for name, value in made.items():
                options = found.setdefault(name, {})
                options.setdefault(value, len(options))
        return found

    @cached_property
    def _codes(self) -> NDArray[np.int32]:
        """The decisions of each design, made when one is first rejected."""
        return np.array([self._coded(made) for made in self._decisions.values()], np.int32)

    def _coded(self, made: Mapping[str, Value]) -> list[int]:
        """A number for each choice."""
        return [
            options.get(made[name], ELSEWHERE) if name in made else ABSENT for name, options in self._options.items()
        ]
