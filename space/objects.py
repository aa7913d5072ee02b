"""Objects that a user names: `package.module:name`, or `FILE.py:name`."""

import hashlib
import importlib
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from space.errors import UserError


def find_object(text: str) -> Any:
    """What stands under a name in a module or in a Python file.

    Raises:
        UserError: no such file, module or name, or code that raises when it is imported.
    """
    where, _, name = text.rpartition(":")
    module = load_file(Path(where)) if where.endswith(".py") else _import(where)
    if not hasattr(module, name):
        raise UserError(f"{text}: {where} has no {name!r}")
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
        raise UserError(f"no Python file {path}") from None
    return load_source(path.name, source)


def load_source(file: str, source: str) -> ModuleType:
    """Python source as a module, once a process for each content.

    Args:
        file: what its file is called.
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
    except Exception as error:
        del sys.modules[name]
        raise UserError(f"{file} raises {type(error).__name__} when it is imported: {_first_line(error)}") from None
    return module


def _import(name: str) -> ModuleType:
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)  # as `python -m` has it: a package beside the user is found
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise UserError(f"no module {name!r}: {error}") from None
    except Exception as error:
        raise UserError(f"module {name!r} raises {type(error).__name__}: {_first_line(error)}") from None


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), "")
