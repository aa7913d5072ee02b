"""The last word of a launch that goes on when it is typed again."""

import os
from typing import NoReturn

from pipelines.terminal.console import say, stderr
from pipelines.terminal.exit_codes import STOPPED
from space.errors import Stopped


def say_stopped(error: Stopped) -> None:
    """Why it ended, and what to do."""
    say(f"search: {error}; the same command goes on")


def leave(error: Stopped) -> NoReturn:
    """End this process at once, from any thread, where it cannot be ended in order; what it wrote is whole."""
    stderr.show_cursor()  # which the bar has hidden
    say_stopped(error)
    os._exit(STOPPED)
