"""New databases for the lease model, as many as it has walks."""

from __future__ import annotations

import shutil
from itertools import count
from typing import TYPE_CHECKING

from stem.adapters.memory.stack import open_stack as open_memory
from stem.adapters.sql.stack import open_stack as open_sql
from stem.testing import ManualClock
from stem.testing.contracts.harness import NAMESPACE, ClockedHarness

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from stem.ports.stack import OpenStack


class Databases:
    """Opens them; one of SQLite is a copy of a file whose tables were made once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._numbers = count()
        stack = open_sql(f"sqlite:///{self._path('migrated')}", namespace=NAMESPACE, clock=ManualClock())
        assert stack.queues is not None
        stack.queues.queues()
        stack.close()

    def open(
        self, adapter: str, change: Callable[[OpenStack], OpenStack] = lambda open_stack: open_stack
    ) -> ClockedHarness:
        """Open a new database of an adapter, ``memory`` or ``sqlite``, changed in some way."""
        name = f"model-{next(self._numbers)}"
        if adapter == "memory":
            return ClockedHarness(change(open_memory), f"memory://{name}")
        shutil.copyfile(self._path("migrated"), self._path(name))
        return ClockedHarness(change(open_sql), f"sqlite:///{self._path(name)}")

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}.db"
