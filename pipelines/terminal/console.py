"""Where words go: results to stdout, everything else to stderr."""

import json
import logging
import os
import sys
import warnings
from typing import Any

from rich.console import Console

from pipelines.terminal.secrets import hidden

LOUD = ("alembic", "optuna", "ray", "torch.utils.cpp_extension", "matplotlib", "timm", "huggingface_hub")
PIPE_WIDTH = 200
"""Columns of a table that goes into a file or a pipe: no design is folded."""


class _Stderr(Console):
    """For words, of which a search does not depend on whether somebody reads them."""

    def on_broken_pipe(self) -> None:
        """Nobody does any more: rich would end the process."""
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())


stderr = _Stderr(stderr=True, highlight=False)
stdout = Console(highlight=False, width=None if sys.stdout.isatty() else PIPE_WIDTH)


def say(text: str) -> None:
    """A line for the user that is not the result."""
    stderr.print(hidden(text), markup=False, soft_wrap=True)


def warn(text: str) -> None:
    """A line about something that went wrong and does not matter to the result."""
    stderr.print(f"warning: {hidden(text)}", markup=False, soft_wrap=True, style="yellow")


class _Warnings(logging.Handler):
    """What a search logs while it runs is for the user."""

    def emit(self, record: logging.LogRecord) -> None:
        warn(record.getMessage())


logging.getLogger("search").addHandler(_Warnings())


def print_json(result: Any) -> None:
    """The result of a command, for programs."""
    sys.stdout.write(json.dumps(result, indent=2) + "\n")


def silence_libraries() -> None:
    """Keep the logs and warnings of libraries off the user's screen."""
    for name in LOUD:
        logging.getLogger(name).setLevel(logging.ERROR)
    logging.getLogger("mlflow").setLevel(logging.CRITICAL)  # it logs the traceback of each error that it raises
    if not sys.warnoptions:
        warnings.simplefilter("ignore")
