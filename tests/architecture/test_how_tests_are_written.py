from __future__ import annotations

import ast
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
FILES = sorted(TESTS.rglob("*.py"))


def names_used(tree: ast.AST) -> set[str]:
    """Return the names that are imported, and those that are called; ``sleep(0)`` only lets others run."""
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    called = {_last_name(call.func) for call in calls if not _waits_for_nothing(call)}
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
    return called | {alias.name.rpartition(".")[2] for node in imports for alias in node.names}


def _waits_for_nothing(call: ast.Call) -> bool:
    return [ast.unparse(argument) for argument in call.args] == ["0"]


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
