"""How the time of a session was spent."""

import time

from search.trials import Trial


class Stopwatch:
    """How long trials trained, and what the session cost beside that.

    Attributes:
        training_seconds: of all workers together.
        trials: that were trained in this session.
    """

    def __init__(self, workers: int) -> None:
        self.training_seconds = 0.0
        self.trials = 0
        self._workers = workers
        self._started = time.time()  # by the clock that workers on other machines have, too
        self._begun = self._ended = time.monotonic()
        self._first: float | None = None

    def started(self, trial: Trial) -> None:
        """Asking is part of the overhead."""

    def reported(self, trial: Trial) -> None:
        """Count the time of an epoch, unless it was trained in an earlier session."""
        began = trial.last["time"] - trial.last["seconds"]
        if began < self._started:
            return
        self._first = began if self._first is None else min(self._first, began)
        self.training_seconds += trial.last["seconds"]

    def finished(self, trial: Trial) -> None:
        """Count a trial."""
        self.trials += trial.trained

    def stop(self) -> None:
        """The last trial has been told."""
        self._ended = time.monotonic()

    @property
    def startup_seconds(self) -> float:
        """From the start of the engine to the first training step."""
        return 0.0 if self._first is None else self._first - self._started

    @property
    def overhead_seconds(self) -> float:
        """Time of all workers, after the start, in which no network was trained."""
        if self._first is None:
            return 0.0
        since = self._ended - self._begun - self.startup_seconds
        return max(0.0, since * self._workers - self.training_seconds)
