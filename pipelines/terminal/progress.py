"""What the terminal shows while trials run."""

import time
from collections.abc import Callable, Sequence
from types import TracebackType

from rich.console import Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskProgressColumn, TextColumn
from rich.text import Text

from pipelines.terminal.console import stderr
from pipelines.terminal.formats import show_duration
from search.trials import State, Trial

Lines = Callable[[Sequence[Trial]], Sequence[tuple[str, str]]]
"""From the trials so far to labelled lines below the bar."""


class Display:
    """A bar and some lines that follow a ledger; nothing unless stderr is a terminal.

    Args:
        trials: those of earlier sessions.
        total: trials in all.
        lines: what to say below the bar, after each trial.
        counts: whether a trial is one of the total, and done.
    """

    def __init__(self, trials: Sequence[Trial], total: int, lines: Lines, counts: Callable[[Trial], bool]) -> None:
        self._counts = counts
        self._trials = {trial.number: trial for trial in trials}
        self._lines = lines
        self._before = self._done()
        self._started = time.monotonic()
        self._bar = Progress(
            MofNCompleteColumn(), BarColumn(bar_width=36), TaskProgressColumn(), TextColumn("{task.description}")
        )
        self._task = self._bar.add_task("", total=total, completed=self._before)
        self._below: Sequence[tuple[str, str]] = ()
        self._live = Live(get_renderable=self._render, console=stderr, refresh_per_second=2, transient=True)

    def __enter__(self) -> "Display":
        if stderr.is_terminal:
            self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if stderr.is_terminal:
            self._live.stop()

    def started(self, trial: Trial) -> None:
        """Nothing to show before the first epoch."""

    def reported(self, trial: Trial) -> None:
        """Nothing to show before the end."""

    def finished(self, trial: Trial) -> None:
        """Count it and say how it went."""
        self._trials[trial.number] = trial
        if stderr.is_terminal:
            self._below = self._lines(list(self._trials.values()))

    def _done(self) -> int:
        return sum(self._counts(trial) for trial in list(self._trials.values()))

    def _count(self, state: State) -> int:
        return sum(trial.state is state for trial in list(self._trials.values()))

    def _render(self) -> Group:
        done, elapsed = self._done(), time.monotonic() - self._started
        total = int(self._bar.tasks[self._task].total or 0)
        says = f"{show_duration(elapsed)} done"
        if done > self._before:
            says += f", {show_duration(elapsed / (done - self._before) * (total - done))} left"
        if again := sum(trial.trained and bool(trial.job.replicate) for trial in list(self._trials.values())):
            says += f"   again {again}"
        says += f"   stopped {self._count(State.STOPPED)}  failed {self._count(State.FAILED)}"
        self._bar.update(self._task, completed=done, description=says)
        below = [Text.assemble((f" {label:8}", "bold"), text) for label, text in self._below]
        return Group(self._bar, *below)
