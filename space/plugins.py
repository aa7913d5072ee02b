"""Plug-ins: a user's Python files that register attention modules, backbones, data sets or samplers."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from space.errors import UserError
from space.objects import load_source
from space.registry import all_or_nothing

Result = TypeVar("Result")


@dataclass(frozen=True)
class Plugin:
    """A plug-in that is loaded in this process, and in every process that it is sent to.

    One that raises has registered nothing.

    Attributes:
        name: of its file.
        source: its text.
    """

    name: str
    source: str

    def __post_init__(self) -> None:
        with all_or_nothing():
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
        UserError: no such file, code that raises, or two files of one name.
    """
    found: dict[str, Plugin] = {}
    for path in paths:
        try:
            source = path.expanduser().read_text()
        except (OSError, UnicodeDecodeError):
            raise UserError(f"--plugin {path}: no such Python file") from None
        if path.name in found and found[path.name].source != source:
            raise UserError(f"--plugin {path}: another plug-in is called {path.name}, too; rename one")
        found[path.name] = Plugin(path.name, source)
    return tuple(found.values())


def call_with(plugins: tuple[Plugin, ...], call: Callable[[], Result]) -> Result:
    """Call this in a process that has loaded the plug-ins: unpickling them did."""
    return call()
