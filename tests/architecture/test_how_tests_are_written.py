from __future__ import annotations

import ast
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
FILES = sorted(TESTS.rglob("*.py"))


def names_used(tree: ast.AST) -> set[str]:
    """Return the names that are imported, and those that are called as ``name(…)``."""
    called = {_last_name(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
    return called | {alias.name.rpartition(".")[2] for node in imports for alias in node.names}


def _last_name(function: ast.expr) -> str:
    match function:
        case ast.Name(name) | ast.Attribute(attr=name):
            return name
        case _:
            return ""


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(TESTS)))
def test_no_test_sleeps_or_mocks(path: Path) -> None:
    used = names_used(ast.parse(path.read_text(encoding="utf-8")))

    assert used.isdisjoint({"sleep", "mock", "Mock", "MagicMock", "AsyncMock"})
