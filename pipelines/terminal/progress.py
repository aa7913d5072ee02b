"""What the terminal shows while trials run."""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from types import TracebackType

from rich.console import Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskProgressColumn, TextColumn
from rich.text import Text

from pipelines.terminal.console import say, stderr
from pipelines.terminal.formats import show_duration
from pipelines.terminal.pace import Pace
from search.trials import State, Trial

Lines = Callable[[Sequence[Trial]], Sequence[tuple[str, str]]]
"""From the trials so far to labelled lines below the bar."""


LINES_SHARE = 0.02
"""Of the time, at most, that the lines below the bar are made anew in."""
LOG_SECONDS = 60.0
"""Between two lines in a file, at least."""


class Display:
    """A bar and some lines that follow a ledger; where stderr is no terminal, now and then a line at a trial's end.

    Ends of trials are only counted as they come; what the bar shows of them is made when it is drawn, in rich's own
    thread.

    Args:
        trials: those of earlier sessions.
        total: trials in all.
        lines: what to say below the bar.
        counts: whether a trial is one of the total, and done.
    """

    def __init__(self, trials: Sequence[Trial], total: int, lines: Lines, counts: Callable[[Trial], bool]) -> None:
        self._counts = counts
        self._trials = {trial.number: trial for trial in trials}
        self._lines = lines
        self._done = self._again = 0
        self._states: Counter[State] = Counter()
        for trial in trials:
            self._count(trial)
        self._before = self._done
        self._started = time.monotonic()
        self._bar = Progress(
            MofNCompleteColumn(), BarColumn(bar_width=36), TaskProgressColumn(), TextColumn("{task.description}")
        )
        self._task = self._bar.add_task("", total=total, completed=self._before)
        self._below: Sequence[tuple[str, str]] = ()
        self._stale = False
        self._pace = Pace(LINES_SHARE)
        self._log_pace = Pace(1.0, LOG_SECONDS, at_once=False)
        self._live = Live(get_renderable=self._render, console=stderr, refresh_per_second=2, transient=True)

    def __enter__(self) -> "Display":
        if stderr.is_terminal:
            self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if stderr.is_terminal:
            self._stale = False  # the last drawing is wiped at once
            self._live.stop()

    def started(self, trial: Trial) -> None:
        """Nothing to show before the first epoch."""

    def reported(self, trial: Trial) -> None:
        """Nothing to show before the end."""

    def finished(self, trial: Trial) -> None:
        """Count it and say how it went."""
        self._trials[trial.number] = trial
        self._count(trial)
        self._stale = True
        if not stderr.is_terminal and self._log_pace.due:
            with self._log_pace:
                say(f"{self._done} of {self._total}   {self._how_far()}")

    def _count(self, trial: Trial) -> None:
        self._done += self._counts(trial)
        self._again += trial.trained and bool(trial.job.replicate)
        self._states[trial.state] += 1

    @property
    def _total(self) -> int:
        return int(self._bar.tasks[self._task].total or 0)

    def _how_far(self) -> str:
        """Time gone by and time left, trials that were no success."""
        done, elapsed = self._done, time.monotonic() - self._started
        says = f"{show_duration(elapsed)} done"
        if done > self._before:
            says += f", {show_duration(elapsed / (done - self._before) * (self._total - done))} left"
        if self._again:
            says += f"   again {self._again}"
        return f"{says}   stopped {self._states[State.STOPPED]}  failed {self._states[State.FAILED]}"

    def _render(self) -> Group:
        if self._stale and self._pace.due:
            self._stale = False
            with self._pace:
                self._below = self._lines(list(self._trials.values()))
        self._bar.update(self._task, completed=self._done, description=self._how_far())
        below = [Text.assemble((f" {label:8}", "bold"), text) for label, text in self._below]
        return Group(self._bar, *below)
