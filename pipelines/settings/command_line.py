"""From a class of options to a command of the terminal: every field is a flag or an argument."""

import copy
import inspect
from collections.abc import Callable
from dataclasses import MISSING
from pathlib import Path
from types import GenericAlias
from typing import Annotated, Any, TypeVar

import typer
from typer.models import OptionInfo

from pipelines.settings.config import read_config
from pipelines.settings.fields import Field, built, fields_of, flag, opposite

T = TypeVar("T")


def as_command(options: type[T], run: Callable[[T], int]) -> Callable[..., None]:
    """A function that typer makes a command of.

    What is typed wins over what the file of `--config` says, and that over the defaults.

    Args:
        options: with a field for each flag and argument; its docstring is the help.
        run: what the command does; returns the exit code.
    """
    fields = fields_of(options)

    def read(context: typer.Context, path: Path | None) -> Path | None:
        if path is not None:
            context.default_map = read_config(path, context.info_name or "", fields)
        return path

    def command(**typed: Any) -> None:
        values = {name: tuple(typed[name] or ()) if field.one[1] else typed[name] for name, field in fields.items()}
        raise typer.Exit(run(built(options, values)))

    config = typer.Option(
        help="TOML file with options of this command, such as budget = 100; what is typed wins.",
        is_eager=True,  # before the options that it may have
        callback=read,
    )
    parameters = [_parameter(field) for field in fields.values()]
    place = sum(field.group is None for field in fields.values())
    parameters.insert(place, _keyword("config", Path | None, config, None))
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # what typer reads
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    command.__doc__ = options.__doc__
    return command


def _parameter(field: Field) -> inspect.Parameter:
    """A field as typer wants it."""
    says, (one, several) = copy.copy(field.says), field.one
    if isinstance(says, OptionInfo):
        says.rich_help_panel = field.group
        if field.kind is bool:
            both = f"{flag(field.name)}/{opposite(field.name)}"  # what a file says can be typed away
            says.default, says.param_decls = ..., (both, *field.declared)
        elif field.name.endswith("_"):
            says.param_decls = (flag(field.name),)
    kind = GenericAlias(list, one) if several else field.kind
    default = inspect.Parameter.empty if field.default is MISSING else None if several else field.default
    return _keyword(field.name, kind, says, default)


def _keyword(name: str, kind: Any, says: Any, default: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[kind, says])
