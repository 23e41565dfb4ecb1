from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from stem.adapters.sql.stack import open_stack
from stem.clock import SystemClock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from stem.ports.stack import Stack


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "stem.db"


@pytest.fixture
def opened() -> Iterator[Callable[..., Stack]]:
    """Open stacks on a path, in real time, and close them after the test."""
    stacks: list[Stack] = []

    def open_one(path: Path, options: str = "") -> Stack:
        stack = open_stack(f"sqlite:///{path}{options}", namespace="stem", clock=SystemClock())
        stacks.append(stack)
        return stack

    yield open_one
    for stack in stacks:
        stack.close()
