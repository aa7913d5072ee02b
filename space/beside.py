"""The modules beside a user's files: each file imports those of its own folder, whatever is called alike elsewhere.

Python keeps modules by name alone: of two files that both say `import layers`, the second would get the module beside
the first. So a user's file runs with an import statement of its own, and so do the modules that this finds. It looks
into the folder before anywhere else, as `python FILE.py` does, when the file is run and in all of its functions.

Outside of such statements (`importlib.import_module`, a class looked up by the name of its module) a name means what is
installed; else the module of the only folder that has one; where several do, an import is refused.
"""

import builtins
import contextlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from pathlib import Path
from types import ModuleType
from typing import Any

_FOLDERS: list[Path] = []
"""Those that users' files are in."""
_MODULES: dict[str, dict[Path | None, dict[str, ModuleType]]] = {}
"""By the name of a module in one of them: the modules of each folder under this name, and under None the installed."""
_SHOWN: dict[str, Path | None] = {}
"""Of these names: whose modules are in `sys.modules` at present."""


def builtins_in(folder: Path) -> dict[str, Any]:
    """Builtins for code in this folder: its import statements find the modules beside it first."""
    if folder not in _FOLDERS:
        _FOLDERS.append(folder)
        for name in list(_SHOWN):
            _show(name, _only(name))
    for place, finder in ((0, _FIRST), (len(sys.meta_path), _LAST)):
        if finder not in sys.meta_path:
            sys.meta_path.insert(place, finder)

    def import_(
        name: str,
        globals: Mapping[str, object] | None = None,
        locals: Mapping[str, object] | None = None,
        fromlist: Sequence[str] = (),
        level: int = 0,
    ) -> ModuleType:
        absolute = name if level == 0 else str((globals or {}).get("__package__"))
        with first_in(folder, absolute):
            return builtins.__import__(name, globals, locals, fromlist, level)

    return {**vars(builtins), "__import__": import_}


@contextlib.contextmanager
def first_in(folder: Path, name: str) -> Iterator[None]:
    """While a module of this name is imported by code in this folder."""
    top = name.partition(".")[0]
    if not _has(folder, top) or _is_there(folder, top):
        yield
        return
    _show(top, folder)
    try:
        yield
    finally:
        _show(top, _only(top))


def _show(name: str, folder: Path | None) -> None:
    """Have `sys.modules` hold this folder's modules of this name, and what is within them; with None the installed."""
    modules = _MODULES.setdefault(name, {})
    there = [key for key in sys.modules if key == name or key.startswith(f"{name}.")]
    modules[_SHOWN.get(name)] = {key: sys.modules.pop(key) for key in there}
    _SHOWN[name] = folder
    sys.modules.update(modules.get(folder, {}))


def _only(name: str) -> Path | None:
    """The only folder that has a module of this name, if none is installed."""
    folders = [folder for folder in _FOLDERS if _has(folder, name)]
    if len(folders) != 1 or _MODULES.get(name, {}).get(None):
        return None
    own, found = _spec(folders[0], name), PathFinder.find_spec(name)
    return folders[0] if found is None or (own is not None and found.origin == own.origin) else None


def _has(folder: Path, name: str) -> bool:
    """Whether there is a module or package of this name; a folder without __init__.py is one if nothing else is."""
    spec = _spec(folder, name)
    if spec is None or name in sys.builtin_module_names:
        return False
    return spec.origin is not None or (elsewhere := PathFinder.find_spec(name)) is None or elsewhere.origin is None


def _is_there(folder: Path, name: str) -> bool:
    """Whether `sys.modules` has the folder's own module of this name, whoever imported it."""
    spec, there = _spec(folder, name), sys.modules.get(name)
    if spec is None or there is None:
        return False
    if spec.origin is None:
        return list(getattr(there, "__path__", ())) == list(spec.submodule_search_locations or ())
    file = getattr(there, "__file__", None)
    return file is not None and Path(file).resolve() == Path(spec.origin).resolve()


def _spec(folder: Path, name: str, path: Sequence[str] | None = None) -> ModuleSpec | None:
    return PathFinder.find_spec(name, [str(folder)] if path is None else path)


class _Loader(SourceFileLoader):
    """Runs a module with the import statement of its folder."""

    def __init__(self, name: str, path: str, folder: Path) -> None:
        super().__init__(name, path)
        self._folder = folder

    def exec_module(self, module: ModuleType) -> None:
        module.__dict__["__builtins__"] = builtins_in(self._folder)
        super().exec_module(module)


class _First(MetaPathFinder):
    """Finds what is shown."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        folder = _SHOWN.get(fullname.partition(".")[0])
        spec = None if folder is None else _spec(folder, fullname, path)
        if folder is not None and spec is not None and isinstance(spec.loader, SourceFileLoader):
            spec.loader = _Loader(fullname, str(spec.loader.path), folder)
        return spec


class _Last(MetaPathFinder):
    """Finds what is installed nowhere and is beside one user's file."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        folders = [] if path is not None else [folder for folder in _FOLDERS if _has(folder, fullname)]
        if len(folders) > 1:
            raise ImportError(
                f"{fullname} is in several folders ({', '.join(map(str, folders))}); an import statement finds its own",
                name=fullname,
            )
        if not folders:
            return None
        _show(fullname, folders[0])
        return _FIRST.find_spec(fullname, None)


_FIRST, _LAST = _First(), _Last()
