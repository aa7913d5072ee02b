"""Who may import whom: between packages, between the rooms of pipelines, and one owner for each heavy library."""

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ALLOWED = {
    "space": {"space"},
    "trainers": {"space", "trainers"},
    "search": {"space", "search"},
    "pipelines": {"space", "trainers", "search", "pipelines"},
}
ROOMS = (
    {"terminal"},
    {"settings", "tracking"},
    {"results", "running", "shipping"},
    {"papers"},
    {"commands"},
    {"cli"},
)
"""A room imports itself and those before its own set."""
OWNERS = {"mlflow": "pipelines/tracking/*.py", "ray": "search/on_ray/*.py"}


def modules(path: Path) -> Iterator[str]:
    """Dotted names that a file imports anywhere, functions included; some are of what is in a module."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def imports(path: Path) -> set[str]:
    """Top-level names that a file imports anywhere."""
    return {name.partition(".")[0] for name in modules(path)}


@pytest.mark.parametrize("package", ALLOWED)
def test_imports_between_our_packages_run_one_way(package: str) -> None:
    for path in (ROOT / package).rglob("*.py"):
        assert imports(path) & set(ALLOWED) <= ALLOWED[package], path


@pytest.mark.parametrize("room", sorted(set.union(*ROOMS)))
def test_imports_between_the_rooms_of_pipelines_run_one_way(room: str) -> None:
    place = next(number for number, there in enumerate(ROOMS) if room in there)
    allowed = {room}.union(*ROOMS[:place])
    folder = ROOT / "pipelines"
    paths = list((folder / room).rglob("*.py")) or [folder / f"{room}.py"]
    for path in paths:
        rooms = {name.split(".")[1] for name in modules(path) if name.startswith("pipelines.")}
        assert rooms <= allowed, path


def test_everything_in_pipelines_is_in_a_room() -> None:
    there = {path.stem for path in (ROOT / "pipelines").iterdir() if path.stem not in ("__init__", "__pycache__")}
    assert there == set.union(*ROOMS)


@pytest.mark.parametrize("library", OWNERS)
def test_a_heavy_library_is_imported_by_its_owners_alone(library: str) -> None:
    importers = {path for package in ALLOWED for path in (ROOT / package).rglob("*.py") if library in imports(path)}
    assert importers
    assert importers <= set(ROOT.glob(OWNERS[library]))


def test_optuna_stays_inside_search() -> None:
    for package in set(ALLOWED) - {"search"}:
        for path in (ROOT / package).rglob("*.py"):
            assert "optuna" not in imports(path), path


ONE_MEANING = {"Array"}
"""What more than one file defines: an array of numbers of any shape."""


def defined(path: Path) -> Iterator[str]:
    """Public functions, classes and types that a file defines at its top, type variables aside."""
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names = [node.name]
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            is_variable = isinstance(node.value, ast.Call) and ast.unparse(node.value.func) == "TypeVar"
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names = [it.id for it in targets if isinstance(it, ast.Name) and not (is_variable or it.id.isupper())]
        else:
            names = []
        yield from (name for name in names if not name.startswith("_") and name != "logger")


def test_no_two_public_functions_or_classes_have_one_name() -> None:
    where: dict[str, list[Path]] = {}
    for package in ALLOWED:
        for path in (ROOT / package).rglob("*.py"):
            for name in set(defined(path)):
                where.setdefault(name, []).append(path.relative_to(ROOT))
    shared = {name: paths for name, paths in where.items() if len(paths) > 1}
    assert set(shared) == ONE_MEANING, shared


HEAVY = {"torch", "torchvision", "optuna", "ray", "mlflow", "sklearn", "scipy", "numpy", "matplotlib", "plotly"}


def loaded_by(arguments: list[str], code: int, cwd: Path = ROOT) -> set[str]:
    """The heavy libraries that a command has loaded when it ends with this exit code."""
    program = (
        "import sys\n"
        "from pipelines.cli import main\n"
        "sys.argv[0] = 'search'\n"
        "try: main()\n"
        f"except SystemExit as ended: assert (ended.code or 0) == {code}, ended.code\n"
        f"sys.stderr.write('loaded ' + ' '.join({HEAVY} & set(sys.modules)))"
    )
    command = [sys.executable, "-c", program, *arguments]
    path = {**os.environ, "PYTHONPATH": str(ROOT)}
    ended = subprocess.run(command, check=True, capture_output=True, text=True, cwd=cwd, env=path)
    return set(ended.stderr.rpartition("loaded ")[2].split())


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["launch", "--help"], ["retrain", "--help"], ["reproduce"]],
    ids=" ".join,
)
def test_help_needs_no_heavy_library(arguments: list[str]) -> None:
    assert not loaded_by(arguments, code=0)


@pytest.mark.parametrize(
    "arguments",
    [
        ["launch", "--budget", "0"],
        ["launch", "--max-params", "many"],
        ["launch", "--time-limit", "soon"],
        ["launch", "--study", "a/b"],
        ["launch", "--recipe", "fast"],
        ["launch", "--metric", "speed"],
        ["launch", "--device", "tpu"],
        ["compare", "se:reducton=8"],
        ["compare", "se", "--seeds", "1"],
        ["retrain", "--top", "3", "--knee"],
        ["profile", "se:reduction=three"],
        ["reproduce", "--all"],
        ["reproduce", "ras-table9"],
    ],
    ids=" ".join,
)
def test_a_mistake_that_needs_no_library_is_told_before_one_is_loaded(arguments: list[str]) -> None:
    assert not loaded_by(arguments, code=2)


@pytest.mark.parametrize(
    "arguments",
    [["space"], ["profile", "se", "--no-measuring"], ["reproduce", "--all", "--params-only", "--rows", "RAS"]],
)
def test_what_trains_nothing_needs_nothing_heavy_but_torch(arguments: list[str]) -> None:
    assert loaded_by(arguments, code=0) <= {"torch", "numpy", "optuna"}  # optuna loads its parts when they are used
