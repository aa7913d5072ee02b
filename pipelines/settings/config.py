"""Options in a TOML file: a key is a flag without its dashes, with _ or - between its words."""

import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipelines.settings.fields import Field, flag, values_of
from pipelines.terminal.secrets import hidden
from space.errors import UserError
from space.files import write_whole

WORDS: dict[type, tuple[tuple[type, ...], str]] = {
    bool: ((bool,), "true or false"),
    int: ((int,), "a whole number"),
    float: ((int, float), "a number"),
    str: ((str,), "a text"),
    Path: ((str,), "a text"),
}
"""For the type of a field: those of TOML, and what they are called."""


def read_config(path: Path, command: str, fields: Mapping[str, Field]) -> dict[str, Any]:
    """The options in a file, by the names of their fields.

    Raises:
        UserError: no such file, no TOML, an option that the command does not have, or a value of another type.
    """
    try:
        table = tomllib.loads(path.expanduser().read_text())
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"{path}: not TOML: {error}") from None
    except (OSError, UnicodeDecodeError):
        raise UserError(f"--config {path}: no such TOML file") from None
    found = {}
    named = {name: field.name for field in fields.values() for name in field.names}
    for key, value in table.items():
        if (said := key.replace("-", "_")) not in named:
            known = ", ".join(field.names[0] for field in fields.values())
            raise UserError(f"{path}: no option {key!r} of `search {command}`; there are {known}")
        name = named[said]
        found[name] = value
        one, several = fields[name].one
        types, words = WORDS[one]
        values = value if several and isinstance(value, list) else [value]
        if one is str and not several and _is(value, (int, float)):
            found[name] = str(value)  # of a number, such as max_params = 300000
        elif several and all(_is(each, types) for each in values):
            found[name] = values
        elif several or not _is(value, types):
            wanted = f"a list, each {words}," if several else words
            raise UserError(f"{path}: {key} = {json.dumps(value, default=str)}: {wanted} is wanted")
    return found


def write_config(path: Path, options: Any) -> tuple[str, ...]:
    """Write options that `read_config` reads; returns the flags that were left out, for they have secrets.

    Raises:
        UserError: the file cannot be written.
    """
    values = {name: value for name, value in values_of(options).items() if value is not None and value != ()}
    secret = [name for name, value in values.items() if isinstance(value, str) and hidden(value) != value]
    lines = [
        f"{name.rstrip('_')} = {json.dumps(value, default=str, ensure_ascii=False)}\n"  # which is TOML, too
        for name, value in values.items()
        if name not in secret
    ]
    try:
        write_whole(path.expanduser(), "".join(lines))
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror}") from None
    return tuple(flag(name) for name in secret)


def _is(value: Any, types: tuple[type, ...]) -> bool:
    return isinstance(value, types) and (bool in types or not isinstance(value, bool))
