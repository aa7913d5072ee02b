"""Objects that a user names: `package.module:name`, or `FILE.py:name`."""

import ast
import difflib
import hashlib
import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from space.beside import builtins_in, first_in
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


def source_files(text: str) -> list[Path]:
    """The files that the code of an object consists of; none if it is installed.

    They are its own and those of the modules that it imports from the user's folder, wherever the import statements
    stand. That folder is the one of `FILE.py`, and the current one for `package.module:name`.
    """
    where = text.rpartition(":")[0]
    path = Path(where).expanduser().absolute()
    folder = path.parent if where.endswith(".py") else Path.cwd()
    left = [path] if where.endswith(".py") else list(_files(folder, where))
    found: dict[Path, None] = {}
    while left:
        file = left.pop()
        if file not in found and Path(__file__).parent not in file.parents:  # our own is no user's
            found[file] = None
            left += [other for name in _imported(file, folder) for other in _files(folder, name)]
    return sorted(found)


def load_file(path: Path) -> ModuleType:
    """A Python file as a module, once a process for each content; it sees the modules beside it.

    Raises:
        UserError: no such file, or code that raises.
    """
    path = path.expanduser().absolute()
    try:
        source = path.read_text()
    except (OSError, UnicodeDecodeError):
        raise UserError(f"no Python file {str(path)!r}") from None
    return load_source(str(path), source, path.parent)


def load_source(file: str, source: str, folder: Path | None = None) -> ModuleType:
    """Python source as a module, once a process for each content and folder.

    Args:
        file: its file's path or name.
        source: its text.
        folder: where it finds modules before those installed; None for nowhere.

    Raises:
        UserError: code that raises.
    """
    digest = hashlib.sha256(f"{folder}: {source}".encode()).hexdigest()[:12]
    name = f"{Path(file).stem}_{digest}"
    if name in sys.modules:
        return sys.modules[name]
    module = ModuleType(name)
    module.__file__ = file
    if folder is not None:
        module.__dict__["__builtins__"] = builtins_in(folder)
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
    folder = Path.cwd()  # as `python -m` has it: a package beside the user is found
    builtins_in(folder)
    try:
        with first_in(folder, name):
            return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise UserError(f"no module {name!r}: {error}") from None
    except (Exception, SystemExit) as error:
        raise UserError(f"module {name!r} raises {type(error).__name__}: {_first_line(error)}") from None


def _files(folder: Path, name: str) -> Iterator[Path]:
    """The files of a dotted name in a folder, those of the packages around it first."""
    parts = name.split(".")
    for count in range(1, len(parts) + 1):
        there = folder.joinpath(*parts[:count])
        yield from (file for file in (there / "__init__.py", there.with_name(f"{there.name}.py")) if file.is_file())


def _imported(file: Path, folder: Path) -> Iterator[str]:
    """The dotted names in the import statements of a file; some name no module but what is in one."""
    try:
        nodes = list(ast.walk(ast.parse(file.read_bytes())))
    except (OSError, ValueError, SyntaxError):  # told when it is imported
        return
    package = file.relative_to(folder).parts[:-1]
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            around = package[: len(package) + 1 - node.level] if node.level else ()
            module = [*around, *([node.module] if node.module else [])]
            yield from (".".join([*module, alias.name]) for alias in node.names)


def _first_line(error: BaseException) -> str:
    return next((line for line in str(error).splitlines() if line.strip()), "")
