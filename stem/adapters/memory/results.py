"""The task records in memory, as a port."""

from __future__ import annotations

from heapq import nlargest
from threading import Event
from typing import TYPE_CHECKING

from stem.ports.pages import read_cursor, write_cursor

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from stem.adapters.memory.database import Database
    from stem.adapters.memory.records import Entry
    from stem.clock import Clock
    from stem.ports.results import (
        Ending,
        NewTask,
        Results,
        RetryNote,
        Start,
        TaskQuery,
        TaskRecord,
        TimelineEvent,
    )


class MemoryResults:
    """The task records of a `Database`."""

    def __init__(self, *, database: Database, clock: Clock) -> None:
        self._database = database
        self._records = database.records  # guarded by database.lock
        self._clock = clock

    def add(self, tasks: Sequence[NewTask]) -> list[bool]:
        """Write new records; for each, in order, whether it was new."""
        with self._database.lock:
            now = self._clock.wall()
            return [self._records.add(task, now) for task in tasks]

    def start(self, starts: Sequence[Start]) -> list[bool]:
        """Note that attempts began; for each, in order, whether it may go on."""
        with self._database.lock:
            now = self._clock.wall()
            return [self._records.start(start, now) for start in starts]

    def retry(self, retries: Sequence[RetryNote]) -> list[bool]:
        """Note that attempts failed and others follow; for each, in order, whether it was accepted."""
        with self._database.lock:
            now = self._clock.wall()
            return [self._records.retry(note, now) for note in retries]

    def release(self, starts: Sequence[Start]) -> None:
        """Note that attempts stopped without an outcome and their messages wait again."""
        with self._database.lock:
            now = self._clock.wall()
            for start in starts:
                self._records.give_back(start, now)

    def finish(self, endings: Sequence[Ending]) -> list[bool]:
        """Write how tasks ended; for each, in order, whether it was accepted."""
        with self._database.lock:
            now = self._clock.wall()
            return [self._records.finish(ending, now) for ending in endings]

    def get(self, task_ids: Collection[str]) -> dict[str, TaskRecord]:
        """Return the records that exist, by id."""
        with self._database.lock:
            entries = self._records.entries
            return {task_id: entries[task_id].record for task_id in task_ids if task_id in entries}

    def timeline(self, task_id: str) -> list[TimelineEvent]:
        """Return what happened to a task, oldest first; empty for an unknown one."""
        with self._database.lock:
            entry = self._records.entries.get(task_id)
            return [] if entry is None else list(entry.timeline)

    def page(
        self, query: TaskQuery, *, cursor: str | None = None, limit: int = 50
    ) -> tuple[list[TaskRecord], str | None]:
        """Return a page of records, last updated first, and the cursor of the next page."""
        before = None if cursor is None else int(read_cursor(cursor, int)[0])
        with self._database.lock:
            found = (
                entry
                for entry in self._records.entries.values()
                if (before is None or entry.version < before) and _matches(query, entry.record)
            )
            page = nlargest(limit + 1, found, key=_version)
            following = write_cursor(page[limit - 1].version) if len(page) > limit else None
            return [entry.record for entry in page[:limit]], following

    def wait(self, task_ids: Collection[str], *, timeout_s: float) -> None:
        """Block until one of the records may have changed, or ``timeout_s`` pass."""
        changed = Event()
        watchers = self._records.watchers
        with self._database.lock:
            if self._records.any_ended(task_ids):
                return
            for task_id in task_ids:
                watchers.setdefault(task_id, set()).add(changed)
        try:
            self._clock.wait(changed, timeout_s)
        finally:
            with self._database.lock:
                for task_id in set(task_ids):
                    watchers[task_id].discard(changed)
                    if not watchers[task_id]:
                        del watchers[task_id]

    def forget(self, task_ids: Collection[str]) -> int:
        """Delete the records of tasks that have ended; return how many."""
        with self._database.lock:
            entries = self._records.entries
            ended = [
                task_id
                for task_id in set(task_ids)
                if task_id in entries and entries[task_id].record.state.is_terminal
            ]
            for task_id in ended:
                del entries[task_id]
        return len(ended)

    def prune(self, *, limit: int) -> int:
        """Delete up to ``limit`` records whose time to live has passed; return how many."""
        with self._database.lock:
            now = self._clock.wall()
            entries = self._records.entries
            expired = [
                task_id
                for task_id, entry in entries.items()
                if entry.record.expires_at is not None and entry.record.expires_at <= now
            ]
            for task_id in expired[:limit]:
                del entries[task_id]
        return len(expired[:limit])

    def close(self) -> None:
        """Do nothing: there is no connection."""


def _version(entry: Entry) -> int:
    return entry.version


def _matches(query: TaskQuery, record: TaskRecord) -> bool:
    return (
        query.queue in (None, record.queue)
        and query.state in (None, record.state)
        and query.name in (None, record.name)
        and query.worker in (None, record.worker)
        and (query.since is None or record.updated_at >= query.since)
        and (query.until is None or record.updated_at < query.until)
    )


if TYPE_CHECKING:

    def _(results: MemoryResults) -> Results:
        return results
