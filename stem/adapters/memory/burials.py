"""The dead letters. Guarded by `Database.lock`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import count
from typing import TYPE_CHECKING

from stem.ports.deadletters import DeadLetter

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from stem.adapters.memory.messages import Row
    from stem.ports.broker import Bury
    from stem.ports.deadletters import DeadLetterQuery


@dataclass(slots=True, kw_only=True)
class Grave:
    """A dead letter and what a replay needs besides.

    Attributes:
        priority: Of the message in its queue.
    """

    entry: DeadLetter
    priority: int


class Burials:
    """All dead letters, replayed ones too.

    Attributes:
        graves: By a number that grows in the order of burying.
    """

    def __init__(self) -> None:
        self.graves: dict[int, Grave] = {}
        self._added: dict[str, int] = {}
        self._numbers = count(1)

    def add(self, row: Row, burial: Bury, now: datetime) -> None:
        """Keep a message that was removed from its queue."""
        number = next(self._numbers)
        entry = DeadLetter(
            id=f"dead-{number}",
            queue=row.queue,
            task_id=burial.task_id,
            task=burial.task,
            reason=burial.reason,
            detail=burial.detail,
            attempt=burial.attempt,
            deliveries=row.deliveries,
            generation=row.label.generation,
            dead_at=now,
            payload=row.payload.encode(errors="surrogatepass"),
            facts=dict(burial.facts),
        )
        self.graves[number] = Grave(entry=entry, priority=row.priority)

    def adopt(self, entry: DeadLetter, *, priority: int, now: datetime) -> bool:
        """Keep a message that another database gave up, unless an entry of its id is here."""
        if self._added.get(entry.id) in self.graves:
            return False
        number = self._added[entry.id] = next(self._numbers)
        adopted = replace(entry, dead_at=now, replayed_at=None, facts=dict(entry.facts))
        self.graves[number] = Grave(entry=adopted, priority=priority)
        return True

    def matching(self, query: DeadLetterQuery) -> Iterator[tuple[int, Grave]]:
        """Yield what a query asks for, oldest first."""
        return ((number, grave) for number, grave in self.graves.items() if _matches(query, grave.entry))


def _matches(query: DeadLetterQuery, entry: DeadLetter) -> bool:
    return (
        (query.replayed or entry.replayed_at is None)
        and (query.since is None or entry.dead_at >= query.since)
        and (query.until is None or entry.dead_at < query.until)
        and (query.ids is None or entry.id in query.ids or entry.task_id in query.ids)
        and _same(query, entry)
    )


def _same(query: DeadLetterQuery, entry: DeadLetter) -> bool:
    return (
        query.queue in (None, entry.queue)
        and query.task in (None, entry.task)
        and query.reason in (None, entry.reason)
    )
