"""What the demo has published, and what the stores say became of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from stem import codecs
from stem.cli.demo.words import Count
from stem.ports.results import TaskQuery
from stem.states import TaskState

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from stem.ports.results import Results, TaskRecord

Role: TypeAlias = Literal["file", "at risk", "flaky", "later", "hopeless"]
"""What a task is for; the one at risk counts a file, too."""

_PAGE: Final = 1000

_OVERLAP: Final = timedelta(milliseconds=250)
"""How far a transaction may lag behind the time that it stamps on records."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """A task that was published.

    Attributes:
        path: The file that it counts; "" when it counts none.
    """

    id: str
    role: Role
    path: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far the run has come.

    Attributes:
        files: How many there are to count.
        rate: Tasks ended per second, so far.
    """

    files: int
    files_done: int
    words: int
    retries: int
    redeliveries: int
    dead_letters: int
    rate: float


class Ledger:
    """Follows the records of published tasks. Owned by one thread."""

    def __init__(self, results: Results) -> None:
        self.published: dict[str, Published] = {}
        self.records: dict[str, TaskRecord] = {}
        self._results = results
        self._words: dict[str, int] = {}
        self._last_change: datetime | None = None

    def enter(self, task: Published) -> None:
        """Note that a task was published."""
        self.published[task.id] = task

    def refresh(self) -> None:
        """Read the records that have changed since the last time."""
        since = None if self._last_change is None else self._last_change - _OVERLAP
        cursor: str | None = None
        while True:
            page, cursor = self._results.page(TaskQuery(since=since), cursor=cursor, limit=_PAGE)
            self._absorb(page)
            if cursor is None:
                return

    def read_again(self) -> None:
        """Read every published task's record anew."""
        self.records = self._results.get(list(self.published))

    def task(self, role: Role) -> Published | None:
        """Return the published task of a role that occurs once."""
        return next((task for task in self.published.values() if task.role == role), None)

    def record(self, role: Role) -> TaskRecord | None:
        """Return the record of a task whose role occurs once."""
        task = self.task(role)
        return None if task is None else self.records.get(task.id)

    def unfinished(self) -> list[Published]:
        """Return the tasks that have not ended."""
        return [task for task in self.published.values() if not self._ended(task.id)]

    def progress(self, *, files: int, dead_letters: int, elapsed_s: float) -> Progress:
        """Return how far the run has come.

        Args:
            files: How many there are to count.
            elapsed_s: Seconds since the first task was published.
        """
        ended = [record for record in self.records.values() if record.state.is_terminal]
        return Progress(
            files=files,
            files_done=len(self._words),
            words=sum(self._words.values()),
            retries=retries(self.records.values()),
            redeliveries=redeliveries(self.records.values()),
            dead_letters=dead_letters,
            rate=len(ended) / elapsed_s if elapsed_s > 0 else 0.0,
        )

    def _absorb(self, page: Iterable[TaskRecord]) -> None:
        for record in page:
            if self._last_change is None or record.updated_at > self._last_change:
                self._last_change = record.updated_at
            task = self.published.get(record.id)
            if task is None:
                continue
            self.records[record.id] = record
            if task.path and record.state is TaskState.SUCCEEDED:
                self._words[record.id] = read_count(record).words

    def _ended(self, task_id: str) -> bool:
        record = self.records.get(task_id)
        return record is not None and record.state.is_terminal


def read_count(record: TaskRecord) -> Count:
    """Return the result of a task that counts a file; an empty count when there is none."""
    values: Mapping[str, Any] | None = None if record.result is None else codecs.loads(record.result)
    return Count() if values is None else Count.from_json(values)


def retries(records: Iterable[TaskRecord]) -> int:
    """Return how many attempts followed a failed one."""
    return sum(record.attempt - 1 for record in records)


def redeliveries(records: Iterable[TaskRecord]) -> int:
    """Return how many deliveries were made because an earlier one of the same attempt was lost."""
    return sum(max(record.deliveries - 1, 0) for record in records)
