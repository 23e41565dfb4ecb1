"""A ledger that tasks write to and that survives kill -9, and the account of what it says."""

from __future__ import annotations

import json
import os
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from stem import Stem

PATH = "STEM_TEST_LEDGER"


def write(task_id: str, phase: str) -> None:
    """Append one line; whole lines only, whoever is killed when."""
    line = json.dumps({"id": task_id, "phase": phase, "pid": os.getpid()}) + "\n"
    file = os.open(os.environ[PATH], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(file, line.encode())
    finally:
        os.close(file)


def entries(path: Path) -> list[dict[str, object]]:
    """Return every line."""
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text().splitlines()]


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """What became of the tasks that a producer was told are published.

    Attributes:
        acknowledged: Published, as the producer was told.
        ended: Of those, with a terminal record.
        lost: Of those, without one.
        unexpected: Ran, but were never published.
        duplicated: Runs beyond the first that came to their end.
    """

    acknowledged: int
    ended: int
    lost: int
    unexpected: int
    duplicated: int


def account(app: Stem, published: list[str], path: Path) -> Account:
    """Compare what was published with the records and the ledger."""
    records = app.results.get(published)
    ended = [task_id for task_id in published if task_id in records and records[task_id].state.is_terminal]
    runs = Counter(str(entry["id"]) for entry in entries(path) if entry["phase"] == "end")
    return Account(
        acknowledged=len(published),
        ended=len(ended),
        lost=len(published) - len(ended),
        unexpected=len(runs.keys() - set(published)),
        duplicated=sum(count - 1 for count in runs.values()),
    )
