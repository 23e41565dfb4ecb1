from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

from stem import errors

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "errors.md"


def error_classes() -> dict[str, type[BaseException]]:
    return {
        name: value
        for name, value in inspect.getmembers(errors, inspect.isclass)
        if value.__module__ == errors.__name__ and issubclass(value, BaseException)
    }


def drawn_parents() -> dict[str, str]:
    """Child to parent, as the tree in the module's docstring draws them."""
    parents: dict[str, str] = {}
    path: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        if found := re.match(r"([\s│├└─]*)([A-Z]\w+Error)\b", line):
            depth = len(found[1]) // 4
            path[depth:] = [found[2]]
            parents[found[2]] = path[depth - 1] if depth else ""
    return parents


def test_the_drawing_shows_every_error_under_its_base() -> None:
    real = {name: cls.__base__.__name__ for name, cls in error_classes().items() if cls.__base__}
    real["StemError"] = ""

    assert drawn_parents() == real


@pytest.mark.parametrize("name", sorted(error_classes()))
def test_every_error_stands_in_the_reference(name: str) -> None:
    assert f"`{name}`" in PAGE.read_text(encoding="utf-8")
