"""Where the messages are: rows, and queues that order them. Guarded by `Database.lock`."""

from __future__ import annotations

import heapq
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from stem.message import Label
    from stem.ports.broker import QueueState


@dataclass(slots=True, kw_only=True)
class Row:
    """One message that is ready, delayed or leased.

    Attributes:
        number: Grows in the order of publishing.
        due: Not to be leased before.
        token: Of the current lease, "" unless leased.
        until: When the current lease lapses.
    """

    number: int
    queue: str
    priority: int
    payload: str
    label: Label
    published_at: datetime
    due: datetime
    until: datetime
    state: QueueState = "ready"
    deliveries: int = 0
    fence: int = 0
    token: str = ""
    owner: str = ""


@dataclass(slots=True)
class _Queue:
    # Heaps of what waits. A row that is removed leaves its entry behind, to be
    # skipped when it comes up; numbers are never used twice.
    ready: list[tuple[int, int]] = field(default_factory=list[tuple[int, int]])
    delayed: list[tuple[datetime, int]] = field(default_factory=list[tuple[datetime, int]])


class Messages:
    """The rows of a database, each in exactly one place.

    Attributes:
        paused: The queues that nothing is leased from.
    """

    def __init__(self) -> None:
        self.paused: set[str] = set()
        self._rows: dict[int, Row] = {}
        self._leased: dict[str, Row] = {}
        self._live: Counter[str] = Counter()
        self._queues: dict[str, _Queue] = {}
        self._numbers = count(1)
        self._fences = count(1)

    def is_live(self, task_id: str) -> bool:
        """Return whether a message of this task is ready, delayed or leased; False for ""."""
        return task_id != "" and task_id in self._live

    def add(
        self,
        payload: str,
        label: Label,
        *,
        queue: str,
        priority: int,
        due: timedelta | datetime,
        now: datetime,
    ) -> None:
        """Store a new message at the end of its queue."""
        row = Row(
            number=next(self._numbers),
            queue=queue,
            priority=priority,
            payload=payload,
            label=label,
            published_at=now,
            due=now,
            until=now,
        )
        self._rows[row.number] = row
        self._live[label.task_id] += 1
        self._queues.setdefault(queue, _Queue())
        self._wait(row, due, now)

    def lease(
        self, queues: Sequence[str], *, limit: int, until: datetime, owner: str, now: datetime
    ) -> list[Row]:
        """Take up to ``limit`` ready rows, each under a new token."""
        taken: list[Row] = []
        for name in queues:
            if name in self._queues and name not in self.paused:
                taken += self._take(self._promoted(name, now), limit - len(taken))
        for row in taken:
            row.fence = next(self._fences)
            row.token = f"{row.number}-{row.fence}"
            row.state, row.owner, row.until = "leased", owner, until
            row.deliveries += 1
            self._leased[row.token] = row
        return taken

    def held(self, token: str, now: datetime) -> Row | None:
        """Return the row leased under ``token``; None when that lease is not current or has lapsed."""
        row = self._leased.get(token)
        return row if row is not None and row.until > now else None

    def lapsed(self, now: datetime, limit: int) -> list[Row]:
        """Return the rows whose lease has lapsed, the longest first."""
        rows = (row for row in self._leased.values() if row.until <= now)
        return heapq.nsmallest(limit, rows, key=lambda row: (row.until, row.number))

    def give_back(self, row: Row, due: timedelta | datetime, now: datetime) -> None:
        """End the row's lease and let it wait again."""
        del self._leased[row.token]
        row.token = row.owner = ""
        self._wait(row, due, now)

    def remove(self, row: Row) -> None:
        """Remove a row from whatever place it is in."""
        del self._rows[row.number]
        self._leased.pop(row.token, None)
        self._live[row.label.task_id] -= 1
        if not self._live[row.label.task_id]:
            del self._live[row.label.task_id]

    def names(self) -> list[str]:
        """Return every queue that holds, or has held, a message, sorted."""
        return sorted(self._queues)

    def rows(self, now: datetime) -> Iterable[Row]:
        """Return all rows in the order of publishing, with the state they have ``now``."""
        for name in self._queues:
            self._promoted(name, now)
        return self._rows.values()

    def next_due(self, now: datetime) -> datetime | None:
        """Return when the next delayed message will be due; None when none is delayed."""
        dues = (self._promoted(name, now).delayed[:1] for name in self._queues)
        return min((due for heads in dues for due, _ in heads), default=None)

    def _wait(self, row: Row, due: timedelta | datetime, now: datetime) -> None:
        row.due = now + due if isinstance(due, timedelta) else due.astimezone(UTC)
        queue = self._queues[row.queue]
        if row.due > now:
            row.state = "delayed"
            heapq.heappush(queue.delayed, (row.due, row.number))
        else:
            row.state = "ready"
            heapq.heappush(queue.ready, (-row.priority, row.number))

    def _promoted(self, name: str, now: datetime) -> _Queue:
        queue = self._queues[name]
        while queue.delayed and queue.delayed[0][0] <= now:
            _, number = heapq.heappop(queue.delayed)
            if row := self._rows.get(number):
                row.state = "ready"
                heapq.heappush(queue.ready, (-row.priority, number))
        return queue

    def _take(self, queue: _Queue, limit: int) -> Iterable[Row]:
        taken: list[Row] = []
        while queue.ready and len(taken) < limit:
            _, number = heapq.heappop(queue.ready)
            if row := self._rows.get(number):
                taken.append(row)
        return taken
