"""A bar for image files that are read."""

import contextlib
from collections.abc import Callable, Iterator

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskProgressColumn, TextColumn

from pipelines.terminal.console import stderr


@contextlib.contextmanager
def reading_bar() -> Iterator[Callable[[int, int], None]]:
    """A bar for image files that are read, from how many are done and how many there are."""
    bar = Progress(
        TextColumn("reading images"),
        MofNCompleteColumn(),
        BarColumn(bar_width=36),
        TaskProgressColumn(),
        console=stderr,
        transient=True,
        disable=not stderr.is_terminal,
    )
    task = bar.add_task("", total=None)
    with contextlib.ExitStack() as shown:

        def show(done: int, total: int) -> None:
            if not bar.live.is_started:
                shown.enter_context(bar)
            bar.update(task, completed=done, total=total)

        yield show
