"""MLflow: a run for the study, a run for each trial, the fronts as artifacts.

MLflow only ever copies the ledger. A thread of its own does so: however slow or broken the tracking
server is, the search goes on, and what could not be logged is logged by the next launch.
"""

import queue
import threading
from collections.abc import Callable, Sequence
from datetime import datetime
from types import TracebackType

from pipelines.terminal.console import warn
from pipelines.terminal.pace import Pace
from pipelines.tracking.runs import StudyRuns
from pipelines.tracking.view import View
from search.trials import Trial
from space.errors import Stopped, first_line

REFRESH_SECONDS, REFRESH_SHARE = 60.0, 0.1
"""Between two rewritings of the artifacts at least, and of the time at most that they take."""
VISIBLE = 0.1
"""What is expected of a design changes with each trial; until the end a figure that moved by fewer points is left."""
RETRY_SECONDS = 10.0
CLOSE_SECONDS = 120.0


class Tracker:
    """Observes a ledger and copies it to MLflow.

    Args:
        view: what to show.
        uri: of the tracking server; None for MLflow's own default.
        trials: the ledger's trials so far.
        remember: is told a trial's number and run id.
        shown: the run that showed all these trials when the last session ended; None where none is known to.

    Attributes:
        shown: the run that shows all trials as they are; None while one may lack something.
    """

    def __init__(
        self,
        view: View,
        uri: str | None,
        trials: Sequence[Trial],
        remember: Callable[[int, str], None],
        shown: str | None = None,
    ) -> None:
        self.shown = shown
        self._view = view
        self._uri = uri
        self._remember = remember
        self._events: queue.Queue[Trial | None] = queue.Queue()
        self._backlog: list[Trial] = sorted(trials, key=lambda trial: trial.finished or datetime.max)
        self._copy: StudyRuns | None = None
        self._warned = False
        self._outcome = "FINISHED"
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="mlflow", daemon=True)

    def __enter__(self) -> "Tracker":
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if kind is not None:
            self._outcome = "KILLED" if issubclass(kind, Stopped | KeyboardInterrupt) else "FAILED"
        self._events.put(None)
        self._thread.join(CLOSE_SECONDS)
        if self._thread.is_alive() or self._backlog or not self._closed:
            self.shown = None
            warn("MLflow did not get everything; the same command, run again, logs what is missing")

    def started(self, trial: Trial) -> None:
        """Make a run for it."""
        self._events.put(trial)

    def reported(self, trial: Trial) -> None:
        """Epochs are logged when the trial is finished, in one call."""

    def finished(self, trial: Trial) -> None:
        """Log it and close its run."""
        self._events.put(trial)

    def ended(self, status: str) -> None:
        """How the study's run is to be closed: FINISHED, FAILED or, if it can go on, KILLED."""
        self._outcome = status

    @property
    def run_id(self) -> str | None:
        """The study's run; None as long as MLflow has not answered."""
        return self._copy.parent if self._copy else None

    def _work(self) -> None:
        pace, closing = Pace(REFRESH_SHARE, REFRESH_SECONDS, at_once=False), False
        while not closing:
            try:
                closing = self._take(self._events.get(timeout=RETRY_SECONDS))
                while not self._events.empty():
                    closing = self._take(self._events.get()) or closing
            except queue.Empty:
                pass
            try:
                if self._copy is None:
                    self._copy = StudyRuns(self._view, self._uri, self._remember)
                try:
                    self._bring_up_to_date(self._copy, pace, closing)
                finally:  # how it ended is told even where a picture is not taken
                    if closing:
                        self._copy.close(self._outcome)
                        self._closed = True
            except Exception as error:  # whatever the tracking server does, the search goes on
                if not self._warned:
                    warn(f"MLflow: {type(error).__name__}: {first_line(error)}; the search goes on without it")
                    self._warned = True

    def _take(self, event: Trial | None) -> bool:
        """Queue an event; returns whether it was the last."""
        if event is not None:
            self._backlog.append(event)
            self.shown = None
        return event is None

    def _bring_up_to_date(self, copy: StudyRuns, pace: Pace, closing: bool) -> None:
        """Copy what has happened; nothing if that is nothing: to look at thousands of runs again takes long."""
        if self.shown == copy.parent and (not closing or copy.says_of(self._backlog)):
            if closing:
                self._backlog.clear()
            return
        self.shown = None
        while self._backlog:
            copy.log(self._backlog[0])
            del self._backlog[0]
        if closing or pace.due:
            with pace:
                copy.refresh(0.0 if closing else VISIBLE)
        if closing and copy.is_certain and not self._warned:
            self.shown = copy.parent
