"""Looking into the queues in memory, and changing them."""

from __future__ import annotations

from collections import Counter
from itertools import islice
from typing import TYPE_CHECKING

from stem.ports.broker import PendingMessage, QueueStats
from stem.ports.pages import read_cursor, write_cursor

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from datetime import datetime

    from stem.adapters.memory.database import Database
    from stem.adapters.memory.messages import Row
    from stem.clock import Clock
    from stem.ports.broker import QueueAdmin, QueueState


class MemoryQueues:
    """The queue administration of a `Database`."""

    def __init__(self, *, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def queues(self) -> list[str]:
        """Return every queue that holds, or has held, a message, sorted."""
        with self._database.lock:
            return self._database.messages.names()

    def stats(self, queues: Collection[str] | None = None) -> list[QueueStats]:
        """Return how full each queue is, sorted by name; None asks for all."""
        database = self._database
        with database.lock:
            now = self._clock.wall()
            counts: Counter[tuple[str, str]] = Counter()
            oldest: dict[str, datetime] = {}
            for row in database.messages.rows(now):
                counts[row.queue, row.state] += 1
                if row.state == "ready":
                    since = max(row.published_at, row.due)
                    oldest[row.queue] = min(since, oldest.get(row.queue, since))
            for grave in database.burials.graves.values():
                counts[grave.entry.queue, "dead"] += grave.entry.replayed_at is None
            return [
                QueueStats(
                    queue=name,
                    ready=counts[name, "ready"],
                    delayed=counts[name, "delayed"],
                    leased=counts[name, "leased"],
                    dead=counts[name, "dead"],
                    oldest_age_s=(now - oldest[name]).total_seconds() if name in oldest else None,
                    paused=name in database.messages.paused,
                )
                for name in (database.messages.names() if queues is None else sorted(set(queues)))
            ]

    def browse(
        self, queue: str, *, state: QueueState | None = None, cursor: str | None = None, limit: int = 50
    ) -> tuple[list[PendingMessage], str | None]:
        """Return a page of the messages of ``queue``, oldest first, and the cursor of the next one."""
        after = 0 if cursor is None else read_cursor(cursor, int)[0]
        with self._database.lock:
            rows = (
                row
                for row in self._database.messages.rows(self._clock.wall())
                if row.queue == queue and state in (None, row.state) and row.number > int(after)
            )
            page = list(islice(rows, limit + 1))
            following = write_cursor(page[limit - 1].number) if len(page) > limit else None
            return [_pending(row) for row in page[:limit]], following

    def purge(self, queue: str) -> int:
        """Remove what is ready or delayed; return how many messages."""
        return len(self._remove(lambda row: row.queue == queue, reason="the queue was purged"))

    def cancel(self, task_ids: Collection[str], *, reason: str) -> set[str]:
        """Remove waiting messages of these tasks; return the ids that were removed."""
        removed = self._remove(lambda row: row.label.task_id in task_ids, reason=reason)
        return {row.label.task_id for row in removed}

    def pause(self, queue: str) -> None:
        """Stop leasing from ``queue`` until `resume`."""
        with self._database.lock:
            self._database.messages.paused.add(queue)

    def resume(self, queue: str) -> None:
        """Lease from ``queue`` again."""
        with self._database.lock:
            self._database.messages.paused.discard(queue)
            self._database.tell_listeners()

    def _remove(self, is_meant: Callable[[Row], bool], *, reason: str) -> list[Row]:
        database = self._database
        with database.lock:
            now = self._clock.wall()
            rows = [row for row in database.messages.rows(now) if row.state != "leased" and is_meant(row)]
            for row in rows:
                database.messages.remove(row)
                database.records.cancel(row.label.task_id, reason=reason, now=now)
        return rows


def _pending(row: Row) -> PendingMessage:
    at = {"ready": row.published_at, "delayed": row.due, "leased": row.until}
    return PendingMessage(
        task_id=row.label.task_id,
        task=row.label.task,
        queue=row.queue,
        state=row.state,
        priority=row.priority,
        attempt=row.label.attempt,
        deliveries=row.deliveries,
        at=at[row.state],
        owner=row.owner,
    )


if TYPE_CHECKING:

    def _(queues: MemoryQueues) -> QueueAdmin:
        return queues
