"""Objects that a user names: `package.module:name`, or `FILE.py:name`."""

import difflib
import hashlib
import importlib
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from space.errors import UserError

SHOWN = 5
"""Names in an error."""


def find_object(text: str) -> Any:
    """What stands under a name in a module or in a Python file.

    Raises:
        UserError: no such file, module or name, or code that raises when it is imported.
    """
    where, _, name = text.rpartition(":")
    module = load_file(Path(where)) if where.endswith(".py") else _import(where)
    if not hasattr(module, name):
        known = [key for key, value in vars(module).items() if callable(value) and not key.startswith("_")]
        near = difflib.get_close_matches(name, known, SHOWN, 0.0)
        raise UserError(f"{where} has no {name!r}; it has {', '.join(near) or 'nothing to call'}")
    return getattr(module, name)


def full_name(text: str) -> str:
    """The same object's name in any folder, since workers may run in another one."""
    where, _, name = text.rpartition(":")
    return f"{Path(where).expanduser().absolute()}:{name}" if where.endswith(".py") else text


def source_file(text: str) -> Path | None:
    """The file that an object comes from, where its name says so."""
    where = text.rpartition(":")[0]
    return Path(where) if where.endswith(".py") else None


def load_file(path: Path) -> ModuleType:
    """A Python file as a module, once a process for each content.

    Raises:
        UserError: no such file, or code that raises.
    """
    path = path.expanduser().absolute()
    try:
        source = path.read_text()
    except (OSError, UnicodeDecodeError):
        raise UserError(f"no Python file {str(path)!r}") from None
    _add_to_path(path.parent)  # as `python FILE.py` has it: a module beside the file is found
    return load_source(str(path), source)


def load_source(file: str, source: str) -> ModuleType:
    """Python source as a module, once a process for each content.

    Args:
        file: its file's path or name.
        source: its text.

    Raises:
        UserError: code that raises.
    """
    name = f"{Path(file).stem}_{hashlib.sha256(source.encode()).hexdigest()[:12]}"
    if name in sys.modules:
        return sys.modules[name]
    module = ModuleType(name)
    module.__file__ = file
    sys.modules[name] = module  # dataclasses look there for the module that they are defined in
    try:
        exec(compile(source, file, "exec"), module.__dict__)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        if isinstance(error, UserError):
            raise UserError(f"{file}: {error}") from None
        raise UserError(f"{file} raises {type(error).__name__} when it is imported: {_first_line(error)}") from None
    return module


def _import(name: str) -> ModuleType:
    _add_to_path(Path.cwd())  # as `python -m` has it: a package beside the user is found
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise UserError(f"no module {name!r}: {error}") from None
    except (Exception, SystemExit) as error:
        raise UserError(f"module {name!r} raises {type(error).__name__}: {_first_line(error)}") from None


def _add_to_path(folder: Path) -> None:
    if str(folder) not in sys.path:
        sys.path.append(str(folder))


def _first_line(error: BaseException) -> str:
    return next((line for line in str(error).splitlines() if line.strip()), "")
