"""The dead letters in memory: listing, replaying, purging."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING

from stem.codecs import pack, read_label, read_priority, replayed, unpack
from stem.message import Message
from stem.ports.broker import NOW
from stem.ports.pages import read_cursor, write_cursor

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime, timedelta

    from stem.adapters.memory.burials import Grave
    from stem.adapters.memory.database import Database
    from stem.clock import Clock
    from stem.ports.deadletters import DeadLetter, DeadLetterQuery, DeadLetters


class MemoryDeadLetters:
    """The dead letters of a `Database`."""

    def __init__(self, *, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def add(self, entries: Sequence[DeadLetter]) -> list[bool]:
        """Keep messages that another database gave up; for each, in order, whether it was new."""
        adopt = self._database.burials.adopt
        with self._database.lock:
            now = self._clock.wall()
            return [adopt(entry, priority=read_priority(unpack(entry.payload)), now=now) for entry in entries]

    def page(
        self, query: DeadLetterQuery, *, cursor: str | None = None, limit: int = 50
    ) -> tuple[list[DeadLetter], str | None]:
        """Return a page of entries, last buried first, and the cursor of the next page."""
        before = None if cursor is None else int(read_cursor(cursor, int)[0])
        with self._database.lock:
            found = list(self._database.burials.matching(query))
        newest_first = (each for each in reversed(found) if before is None or each[0] < before)
        page = list(islice(newest_first, limit + 1))
        following = write_cursor(page[limit - 1][0]) if len(page) > limit else None
        return [grave.entry for _, grave in page[:limit]], following

    def count(self, query: DeadLetterQuery) -> int:
        """Return how many entries the query matches."""
        with self._database.lock:
            return sum(1 for _ in self._database.burials.matching(query))

    def replay(
        self, query: DeadLetterQuery, *, limit: int, delay: timedelta | None = None
    ) -> list[DeadLetter]:
        """Put up to ``limit`` entries back into their queues, oldest first; return them."""
        database = self._database
        put_back: list[DeadLetter] = []
        with database.lock:
            now = self._clock.wall()
            for _, grave in database.burials.matching(query):
                if len(put_back) < limit and self._put_back(grave, delay or NOW, now):
                    grave.entry = replace(grave.entry, replayed_at=now)
                    put_back.append(grave.entry)
            database.tell_listeners()
        return put_back

    def purge(self, query: DeadLetterQuery, *, limit: int | None = None) -> int:
        """Delete entries, oldest first; return how many."""
        with self._database.lock:
            numbers = [number for number, _ in islice(self._database.burials.matching(query), limit)]
            for number in numbers:
                del self._database.burials.graves[number]
        return len(numbers)

    def close(self) -> None:
        """Do nothing: there is no connection."""

    def _put_back(self, grave: Grave, delay: timedelta, now: datetime) -> bool:
        entry, messages, records = grave.entry, self._database.messages, self._database.records
        if entry.replayed_at is not None or not entry.task_id or messages.is_live(entry.task_id):
            return False
        if records.generation(entry.task_id) > entry.generation:
            return False
        content = unpack(entry.payload)
        if not isinstance(content, Message):
            return False
        message = replayed(content)
        label = replace(read_label(message), task_id=entry.task_id)
        messages.add(
            pack(message, queue=entry.queue),
            label,
            queue=entry.queue,
            priority=grave.priority,
            due=delay,
            now=now,
        )
        records.replay(entry.task_id, generation=label.generation, now=now)
        return True


if TYPE_CHECKING:

    def _(dead_letters: MemoryDeadLetters) -> DeadLetters:
        return dead_letters
