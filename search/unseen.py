"""The designs of a space that no trial has taken yet."""

import random
from collections.abc import Mapping

import numpy as np

from space.choices import Candidate
from space.declarations import Value

ABSENT, ELSEWHERE = -1, -2
"""For a choice that is not made, and for an option that no design has."""


class Unseen:
    """Designs that are left, of tens of thousands, too.

    Args:
        decisions: that lead to each design.
    """

    def __init__(self, decisions: Mapping[Candidate, Mapping[str, Value]]) -> None:
        self._rows = {candidate: row for row, candidate in enumerate(decisions)}
        self._candidates = list(decisions)
        self._options: dict[str, dict[Value, int]] = {}
        for made in decisions.values():
            for name, value in made.items():
                options = self._options.setdefault(name, {})
                options.setdefault(value, len(options))
        self._codes = np.array([self._coded(made) for made in decisions.values()], np.int32)
        self._left = np.ones(len(decisions), bool)
        self._count = len(decisions)

    def __contains__(self, candidate: Candidate) -> bool:
        row = self._rows.get(candidate)
        return row is not None and bool(self._left[row])

    def __len__(self) -> int:
        return self._count

    def discard(self, candidate: Candidate) -> None:
        """It has been taken; nothing happens if it had been, or never was one of these."""
        if candidate in self:
            self._left[self._rows[candidate]] = False
            self._count -= 1

    def nearest(self, decisions: Mapping[str, Value], seed: int) -> Candidate:
        """Of those left, at least one, the one that differs in the fewest decisions; ties are broken by the seed."""
        differences = (self._codes != np.array(self._coded(decisions), np.int32)).sum(axis=1)
        ties = np.flatnonzero(self._left & (differences == differences[self._left].min()))
        return self._candidates[random.Random(seed).choice(ties.tolist())]

    def _coded(self, made: Mapping[str, Value]) -> list[int]:
        """A number for each choice."""
        return [
            options.get(made[name], ELSEWHERE) if name in made else ABSENT for name, options in self._options.items()
        ]
