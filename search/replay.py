"""Trainings that are not trained: their curves are read from a table."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from search.table import METRIC, Table
from space.design import Design


@dataclass(frozen=True)
class Replay:
    """An evaluator whose trainings follow the curves of a table.

    Attributes:
        table: of one backbone, whatever it is called.
        column: from the seed of a training to the seed of the table that it stands for, 0 to N - 1.
    """

    table: Table
    column: Callable[[int], int]

    def __call__(self, backbone: str, design: Design, seed: int) -> "Replayed":
        """A training that has not begun."""
        place = self.table.rows[design], self.column(seed)
        return Replayed(self.table.val_accuracy[place], float(self.table.seconds[place]))


class Replayed:
    """A training that gives the accuracies of a curve, an epoch a step.

    Args:
        curve: (epochs,); nan from the epoch on in which it fails.
        seconds: that it took; each epoch that gave a number takes an equal share.
    """

    def __init__(self, curve: NDArray[np.float32], seconds: float) -> None:
        self._curve = curve
        self._seconds = seconds / max(1, int(np.isfinite(curve).sum()))
        self._epoch = 0

    @property
    def done(self) -> bool:
        """Whether the curve is at its end."""
        return self._epoch >= len(self._curve)

    def step(self) -> Mapping[str, float]:
        """The next epoch.

        Raises:
            FloatingPointError: the training that was recorded failed in it.
        """
        accuracy = float(self._curve[self._epoch])
        self._epoch += 1
        if not np.isfinite(accuracy):
            raise FloatingPointError(f"it failed in epoch {self._epoch} when the table was made")
        return {"epoch": float(self._epoch), METRIC: accuracy, "seconds": self._seconds}

    def state_dict(self) -> dict[str, Any]:
        """How far it is."""
        return {"epoch": self._epoch}

    def halve_batches(self) -> None:
        """A curve has none."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from there."""
        self._epoch = state["epoch"]
