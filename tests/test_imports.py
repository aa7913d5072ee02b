"""Who may import whom: space <- {trainers, search} <- pipelines, and one owner for each heavy library."""

import ast
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
OWNERS = {"mlflow": "pipelines/mlflow_*.py", "ray": "search/ray_engine.py"}


def imports(path: Path) -> Iterator[str]:
    """Top-level names that a file imports anywhere, functions included."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            yield (node.module or "").partition(".")[0]


@pytest.mark.parametrize("package", ALLOWED)
def test_imports_between_our_packages_run_one_way(package: str) -> None:
    for path in (ROOT / package).rglob("*.py"):
        assert set(imports(path)) & set(ALLOWED) <= ALLOWED[package], path


@pytest.mark.parametrize("library", OWNERS)
def test_a_heavy_library_is_imported_by_its_owners_alone(library: str) -> None:
    importers = {path for package in ALLOWED for path in (ROOT / package).rglob("*.py") if library in imports(path)}
    assert importers
    assert importers <= set(ROOT.glob(OWNERS[library]))


def test_optuna_stays_inside_search() -> None:
    for package in set(ALLOWED) - {"search"}:
        for path in (ROOT / package).rglob("*.py"):
            assert "optuna" not in imports(path), path


@pytest.mark.parametrize("arguments", [["--help"], ["launch", "--help"], ["retrain", "--help"]])
def test_help_needs_no_heavy_library(arguments: list[str]) -> None:
    program = (
        "import sys; from pipelines.cli import app\n"
        f"try: app({arguments!r})\n"
        "except SystemExit as ended: assert not ended.code\n"
        "heavy = {'torch', 'optuna', 'ray', 'mlflow', 'sklearn', 'numpy'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, cwd=ROOT)
