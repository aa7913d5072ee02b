"""What stands in an assert does no work: `python -O` leaves it out."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PURE = {"isinstance", "len", "all", "any", "set"}
"""Functions that an assert may call."""


def is_work(node: ast.AST) -> bool:
    """Whether it may change something: a call, or an assignment."""
    if isinstance(node, ast.Call):
        return not (isinstance(node.func, ast.Name) and node.func.id in PURE)
    return isinstance(node, ast.NamedExpr | ast.Await | ast.Yield | ast.YieldFrom)


@pytest.mark.parametrize("package", ["space", "trainers", "search", "pipelines"])
def test_no_assert_does_work(package: str) -> None:
    for path in (ROOT / package).rglob("*.py"):
        asserts = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Assert)]
        assert [f"{path}:{it.lineno}" for it in asserts if any(map(is_work, ast.walk(it.test)))] == []
