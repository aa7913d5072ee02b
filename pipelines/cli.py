"""The command line: one function of options for each command, imported when it is called, so that help is quick."""

import functools
import importlib
import signal
import sys
from typing import Any

import typer

from pipelines.settings.command_line import as_command
from pipelines.settings.options import (
    backbones,
    calibrate,
    compare,
    doctor,
    export,
    front,
    importance,
    launch,
    predict,
    profile,
    reproduce,
    retrain,
    space,
    status,
    sync,
    tabulate,
)
from pipelines.terminal.console import say, silence_libraries
from pipelines.terminal.exit_codes import STOPPED, USER_ERROR
from pipelines.terminal.leaving import say_stopped
from space.errors import Stopped, UserError
from space.uncollected import uncollected

COMMANDS: dict[str, type] = {
    "launch": launch.LaunchOptions,
    "compare": compare.CompareOptions,
    "tabulate": tabulate.TabulateOptions,
    "status": status.StatusOptions,
    "front": front.FrontOptions,
    "importance": importance.ImportanceOptions,
    "sync": sync.SyncOptions,
    "doctor": doctor.DoctorOptions,
    "retrain": retrain.RetrainOptions,
    "export": export.ExportOptions,
    "predict": predict.PredictOptions,
    "reproduce": reproduce.ReproduceOptions,
    "backbones": backbones.BackbonesOptions,
    "profile": profile.ProfileOptions,
    "space": space.SpaceOptions,
    "calibrate": calibrate.CalibrateOptions,
}
"""What each takes; the function of the same name in pipelines.commands does it."""

TYPER_INTERRUPTED = 130
"""Exit code that Typer turns a KeyboardInterrupt into."""

app = typer.Typer(
    name="search",
    help="Search attention designs for convolutional image classifiers; keep the Pareto fronts; retrain the best.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)


def _run(name: str, options: Any) -> int:
    """Do what a command does; returns the exit code."""
    with uncollected():
        module = importlib.import_module(f"pipelines.commands.{name}")
    exit_code: int = getattr(module, name)(options)
    return exit_code


for _name, _options in COMMANDS.items():
    app.command(_name)(as_command(_options, functools.partial(_run, _name)))


def main() -> None:
    """Run the command line; a user's mistake is one line and exit code 2."""
    silence_libraries()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # until a search stops by itself
    try:
        app()
    except UserError as error:
        say(f"search: {error}")
        sys.exit(USER_ERROR)
    except Stopped as error:
        say_stopped(error)
        sys.exit(STOPPED)
    except SystemExit as ended:
        if ended.code != TYPER_INTERRUPTED:
            raise
        say("stopped; the same command starts again")
        sys.exit(STOPPED)
