"""A user's own code: a Python file, and the modules of its folder that it imports.

`--plugin FILE.py`, `FILE.py:NAME` and the `package.module:NAME` of the current folder all mean such a piece of code. It
is known by its texts, and travels as these: whoever unpickles it has loaded it, wherever the files are. What is
installed is no user's code: it is imported by name, and does not travel.
"""

import difflib
import hashlib
import importlib
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import decode_source
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

from space.errors import UserError, first_line
from space.files import absolute
from space.registry import all_or_nothing
from space.user_imports import files_of, module_name, run_package, with_imported

Result = TypeVar("Result")

SHOWN = 5
"""Names in an error."""


@dataclass(frozen=True)
class UserCode:
    """A piece of a user's code.

    Attributes:
        name: what it is asked for by: the path of its main file, or package.module.
        folder: that its files are in, or were where it comes from.
        main: its main file, below the folder.
        files: the name and the text of each file, in the order of the names.
    """

    name: str
    folder: Path
    main: str
    files: tuple[tuple[str, bytes], ...]

    @classmethod
    def of_file(cls, path: Path) -> "UserCode":
        """A Python file, and what it imports from its folder.

        Raises:
            UserError: no such file.
        """
        there = absolute(path)
        try:
            decode_source(there.read_bytes())
        except (OSError, UnicodeDecodeError, SyntaxError):
            raise UserError(f"{path}: no such Python file") from None
        return cls._read(str(there), there.parent, [there.name])

    @classmethod
    def of_module(cls, name: str) -> "UserCode | None":
        """A module of the current folder, and what it imports from there; None if it is none."""
        folder = Path.cwd()
        files = files_of(folder, name)
        return cls._read(name, folder, files) if files and module_name(files[-1]) == name else None

    @classmethod
    def _read(cls, name: str, folder: Path, files: Sequence[str]) -> "UserCode":
        try:
            return cls(name, folder, files[-1], tuple(sorted(with_imported(folder, files).items())))
        except OSError as error:
            raise UserError(f"{error.filename}: {error.strerror}") from None

    def __reduce__(self) -> tuple[Any, ...]:
        return _received, (self.name, self.folder, self.main, self.files)

    @property
    def path(self) -> Path:
        """Of its main file."""
        return self.folder / self.main

    @property
    def digests(self) -> dict[str, str]:
        """Of the text of each file, by its path."""
        return {str(self.folder / file): hashlib.sha256(text).hexdigest() for file, text in self.files}

    @property
    def digest(self) -> str:
        """Of all texts; that of its text, if it is one file."""
        texts = dict(self.files)
        found = hashlib.sha256(texts.pop(self.main))
        for file, text in texts.items():
            found.update(b"\0%b\0%b" % (file.encode(), text))
        return found.hexdigest()

    @property
    def package(self) -> str:
        """Its name among Python's modules, which no other content and no other file has."""
        digest = hashlib.sha256(f"{self.path}: {self.digest}".encode()).hexdigest()[:12]
        return re.sub(r"\W", "_", self.path.stem) + f"_{digest}"

    def load(self) -> ModuleType:
        """Its main module, run once a process; what it registers is there all or nothing.

        Raises:
            UserError: it raises something.
        """
        there = sys.modules.get(f"{self.package}.{module_name(self.main)}")
        if there is not None:
            return there
        try:
            with all_or_nothing():
                return run_package(self.package, self.folder, dict(self.files), self.main)
        except UserError as error:
            raise UserError(f"{self.path}: {error}") from None
        except (Exception, SystemExit) as error:
            says = first_line(error).replace(f"{self.package}.", "")
            raise UserError(f"{self.path} raises {type(error).__name__} when it is imported: {says}") from None


_RECEIVED: dict[str, UserCode] = {}
"""What was sent to this process, by name: it comes before what the files say here, if there are any."""


def _received(name: str, folder: Path, main: str, files: tuple[tuple[str, bytes], ...]) -> UserCode:
    code = UserCode(name, folder, main, files)
    code.load()
    _RECEIVED[name] = code
    return code


def call_with(code: tuple[UserCode, ...], call: Callable[[], Result]) -> Result:
    """Call this in a process that has loaded the code: unpickling it did."""
    return call()


def load_plugins(paths: Sequence[Path]) -> tuple[UserCode, ...]:
    """The plug-ins of these files, loaded.

    Raises:
        UserError: no such file, code that raises, or two files of one name.
    """
    found: dict[str, UserCode] = {}
    for path in paths:
        try:
            code = UserCode.of_file(path)
        except UserError as error:
            raise UserError(f"--plugin {error}") from None
        if found.setdefault(path.name, code).digest != code.digest:
            raise UserError(f"--plugin {path}: another plug-in is called {path.name}, too; rename one")
    for code in found.values():
        code.load()
    return tuple(found.values())


def full_name(text: str) -> str:
    """The name of the same object in any folder, since workers may run in another one."""
    where, _, name = text.rpartition(":")
    return f"{absolute(where)}:{name}" if where.endswith(".py") else text


def find_code(text: str) -> UserCode | None:
    """The code that holds `FILE.py:name` or `package.module:name`; None if it is installed.

    Raises:
        UserError: no such file.
    """
    where = full_name(text).rpartition(":")[0]
    if where in _RECEIVED:
        return _RECEIVED[where]
    return UserCode.of_file(Path(where)) if where.endswith(".py") else UserCode.of_module(where)


def find_object(text: str) -> Any:
    """What is called `FILE.py:name` or `package.module:name`.

    Raises:
        UserError: no such file, module or name, or code that raises when it is imported.
    """
    where, _, name = text.rpartition(":")
    code = find_code(text)
    module = _installed(where) if code is None else code.load()
    if not hasattr(module, name):
        known = [key for key, value in vars(module).items() if callable(value) and not key.startswith("_")]
        near = difflib.get_close_matches(name, known, SHOWN, 0.0)
        raise UserError(f"{where} has no {name!r}; it has {', '.join(near) or 'nothing to call'}")
    return getattr(module, name)


def _installed(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise UserError(f"no module {name!r}: {error}") from None
    except (Exception, SystemExit) as error:
        raise UserError(f"module {name!r} raises {type(error).__name__}: {first_line(error)}") from None
