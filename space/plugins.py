"""Plug-ins: a user's Python files that register attention modules, backbones, data sets or samplers."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from space.errors import UserError
from space.objects import load_source

Result = TypeVar("Result")


@dataclass(frozen=True)
class Plugin:
    """A plug-in that is loaded in this process, and in every process that it is sent to.

    Attributes:
        name: of its file.
        source: its text.
    """

    name: str
    source: str

    def __post_init__(self) -> None:
        load_source(self.name, self.source)

    def __reduce__(self) -> tuple[Any, ...]:
        return Plugin, (self.name, self.source)  # so that whoever unpickles it has loaded it

    @property
    def digest(self) -> str:
        """Of its text."""
        return hashlib.sha256(self.source.encode()).hexdigest()


def load_plugins(paths: Sequence[Path]) -> tuple[Plugin, ...]:
    """The plug-ins of these files, loaded.

    Raises:
        UserError: no such file, or code that raises.
    """
    found = []
    for path in paths:
        try:
            source = path.expanduser().read_text()
        except (OSError, UnicodeDecodeError):
            raise UserError(f"--plugin {path}: no such Python file") from None
        found.append(Plugin(path.name, source))
    return tuple(found)


def call_with(plugins: tuple[Plugin, ...], call: Callable[[], Result]) -> Result:
    """Call this in a process that has loaded the plug-ins: unpickling them did."""
    return call()
