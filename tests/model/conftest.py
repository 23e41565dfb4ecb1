# ruff: noqa: E402
from __future__ import annotations

import shutil
from itertools import count
from typing import TYPE_CHECKING

import pytest

# Before the import, or the model's assertions do not tell what they compared.
pytest.register_assert_rewrite("stem.testing.contracts")

from stem.adapters.memory.stack import open_stack as open_memory
from stem.adapters.sql.stack import open_stack as open_sql
from stem.testing import ManualClock
from stem.testing.contracts import ClockedHarness
from stem.testing.contracts.harness import NAMESPACE

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture(scope="session")
def open_harness(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], ClockedHarness]:
    """Open a new database of an adapter; SQLite's is a copy of one whose tables were made once."""
    folder = tmp_path_factory.mktemp("model")
    migrated = _migrated(folder / "migrated.db")
    numbers = count()

    def open_new(adapter: str) -> ClockedHarness:
        if adapter == "memory":
            return ClockedHarness(open_memory, f"memory://model-{next(numbers)}")
        path = folder / f"{next(numbers)}.db"
        shutil.copyfile(migrated, path)
        return ClockedHarness(open_sql, f"sqlite:///{path}")

    return open_new


def _migrated(path: Path) -> Path:
    stack = open_sql(f"sqlite:///{path}", namespace=NAMESPACE, clock=ManualClock())
    assert stack.queues is not None
    stack.queues.queues()
    stack.close()
    return path
