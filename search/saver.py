"""Saving a training while it goes on: packed between two epochs, written behind them."""

import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from search.checkpoints import Checkpoint
from space.errors import first_line


class Saver:
    """Writes the states of one training; where that cannot be done, the training goes on without.

    Args:
        checkpoint: to write to.
        tell: takes what the user should know, once.
    """

    def __init__(self, checkpoint: Checkpoint, tell: Callable[[str], None]) -> None:
        self._checkpoint = checkpoint
        self._tell = tell
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="checkpoint")
        self._writing: Future[None] | None = None
        self._begun = time.monotonic()
        self._told = False
        self.epochs = 0
        """That the last state has which is written, or being written."""

    @property
    def due(self) -> bool:
        """Whether it is time to save again; never while a state is being written."""
        busy = self._writing is not None and not self._writing.done()
        return not busy and time.monotonic() - self._begun > self._checkpoint.every

    def save(self, state: Callable[[], Mapping[str, Any]], epochs: int) -> None:
        """Begin to write a state of so many epochs, unless it is written already."""
        self.wait()
        self._begun = time.monotonic()
        if epochs == self.epochs:
            return
        try:
            packed = self._checkpoint.packed(state())
        except Exception as error:  # such as no memory for it
            self._tell_once(error)
            return
        self.epochs = epochs
        self._writing = self._thread.submit(self._checkpoint.write, packed)

    def wait(self) -> None:
        """Until nothing is being written."""
        writing, self._writing = self._writing, None
        if writing is not None and (error := writing.exception()) is not None:
            self.epochs = 0
            self._tell_once(error)

    def _tell_once(self, error: BaseException) -> None:
        if not self._told:
            self._told = True
            why = f"{type(error).__name__}: {first_line(error)}"
            self._tell(f"{self._checkpoint.path} cannot be written ({why}); it trains on")
