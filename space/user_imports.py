"""How a user's code imports: the modules beside it first, as `python FILE.py` does, and no other folder's.

Python keeps modules by name alone: of two files that both say `import layers`, the second would get the module beside
the first. So each piece of code has a package of its own, and runs with an import statement of its own:

    import layers    in /home/me/net.py is    net_0123456789ab.layers
    import torch     in /home/me/net.py is    torch

wherever the statement stands, in functions that run later and in the modules beside the file, too. Which modules are
beside it is read from the import statements, so that their texts are known before any of it runs.
"""

import ast
import builtins
import importlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from importlib.abc import ExecutionLoader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import decode_source, spec_from_file_location
from pathlib import Path
from types import ModuleType

_OURS = {Path(__file__).resolve().parents[1] / name for name in ("space", "trainers", "search", "pipelines")}
"""Packages that are no user's, also in the folder that they are developed in."""


def files_of(folder: Path, name: str) -> list[str]:
    """The files of a dotted name below a folder, those of the packages around it first; none if it is no user's."""
    parts = name.split(".")
    if not all(part.isidentifier() for part in parts) or not _is_beside(folder, parts[0]):
        return []
    stems = ["/".join(parts[:count]) for count in range(1, len(parts) + 1)]
    there = ([file for file in (f"{stem}/__init__.py", f"{stem}.py") if (folder / file).is_file()] for stem in stems)
    return [files[0] for files in there if files]


def with_imported(folder: Path, files: Sequence[str]) -> dict[str, bytes]:
    """The texts of these files and of all that they import from the folder, wherever the import statements stand.

    Raises:
        OSError: a file cannot be read.
    """
    left, found = list(files), dict[str, bytes]()
    while left:
        file = left.pop()
        if file not in found:
            found[file] = (folder / file).read_bytes()
            left += [other for name in _imported(file, found[file]) for other in files_of(folder, name)]
    return found


def module_name(file: str) -> str:
    """Of a file below the folder: parts/__init__.py is parts, and parts/block.py is parts.block."""
    return file.removesuffix(".py").removesuffix("/__init__").replace(".", "_").replace("/", ".")


def run_package(package: str, folder: Path, files: Mapping[str, bytes], main: str) -> ModuleType:
    """Run one of the files as a module of this package; if it raises, nothing is left of it."""
    importer = _Importer(package, folder, files)
    sys.meta_path.insert(0, importer)
    try:
        return importlib.import_module(f"{package}.{module_name(main)}")
    except BaseException:
        sys.meta_path.remove(importer)
        for name in [name for name in sys.modules if name.partition(".")[0] == package]:
            del sys.modules[name]
        raise


class _Importer(MetaPathFinder, ExecutionLoader):
    """Finds and runs the modules of one package, from their texts."""

    def __init__(self, package: str, folder: Path, files: Mapping[str, bytes]) -> None:
        self._package = package
        self._folder = folder
        self._texts = files
        self._files = {module_name(file): file for file in files}
        self._beside = {name.partition(".")[0] for name in self._files}

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        package, _, name = fullname.partition(".")
        if package != self._package:
            return None
        if name in self._files:
            return spec_from_file_location(fullname, self.get_filename(fullname), loader=self)
        if name and not any(other.startswith(f"{name}.") for other in self._files):
            raise ModuleNotFoundError(f"No module named {name!r} that an import statement names", name=fullname)
        spec = ModuleSpec(fullname, None, is_package=True)  # a folder without __init__.py
        spec.submodule_search_locations = [str(self._folder.joinpath(*name.split(".")))]
        return spec

    def exec_module(self, module: ModuleType) -> None:
        module.__dict__["__builtins__"] = {**vars(builtins), "__import__": self._import}
        super().exec_module(module)

    def get_filename(self, fullname: str) -> str:
        return str(self._folder / self._file(fullname))

    def get_source(self, fullname: str) -> str:
        return decode_source(self._texts[self._file(fullname)])

    def is_package(self, fullname: str) -> bool:
        return self._file(fullname).endswith("/__init__.py")

    def _file(self, fullname: str) -> str:
        return self._files[fullname.partition(".")[2]]

    def _import(
        self,
        name: str,
        globals: Mapping[str, object] | None = None,
        locals: Mapping[str, object] | None = None,
        fromlist: Sequence[str] | None = (),
        level: int = 0,
    ) -> ModuleType:
        """What an import statement calls in place of `__import__`."""
        top = name.partition(".")[0]
        if level or top not in self._beside:
            return builtins.__import__(name, globals, locals, fromlist, level)
        module = builtins.__import__(f"{self._package}.{name}", globals, locals, fromlist)
        return module if fromlist else sys.modules[f"{self._package}.{top}"]


def _is_beside(folder: Path, top: str) -> bool:
    """Whether a module is the folder's; a folder in it without __init__.py hides no package that is installed."""
    if top in sys.builtin_module_names or (folder / top).resolve() in _OURS:
        return False
    if (folder / top / "__init__.py").is_file() or (folder / f"{top}.py").is_file():
        return True
    return (folder / top).is_dir() and ((spec := PathFinder.find_spec(top)) is None or spec.origin is None)


def _imported(file: str, text: bytes) -> Iterator[str]:
    """The dotted names in the import statements of a file; some name no module but what is in one."""
    try:
        nodes = list(ast.walk(ast.parse(text)))
    except (ValueError, SyntaxError):  # told when it is imported
        return
    package = file.split("/")[:-1]
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            around = package[: len(package) + 1 - node.level] if node.level else []
            module = [*around, *([node.module] if node.module else [])]
            yield from (".".join([*module, alias.name]) for alias in node.names)
