"""What a broker gave up by itself is moved into the stores' dead letters."""

from __future__ import annotations

import uuid
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from stem.message import ErrorInfo
from stem.ports.deadletters import DeadLetterQuery
from stem.states import DeadReason, TaskState

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from stem.ports.deadletters import DeadLetter, DeadLetterOutlet, DeadLetters
    from stem.two_stores.records import Records

_AT_ONCE: Final = 100
_EVERY: Final = DeadLetterQuery()


class QueuedOutlet:
    """The dead letters of a database that keeps messages, emptied like a queue."""

    def __init__(self, dead_letters: DeadLetters) -> None:
        self._dead_letters = dead_letters

    def take(self, *, limit: int) -> list[DeadLetter]:
        """Return up to ``limit`` entries."""
        return self._dead_letters.page(_EVERY, limit=limit)[0][::-1]

    def drop(self, ids: Collection[str]) -> None:
        """Delete entries."""
        self._dead_letters.purge(DeadLetterQuery(ids=ids))


class Drain:
    """Moves what an outlet holds: dead letter first, then the record, then out of the outlet.

    Args:
        address: Of the broker; entries that name no task get their ids from it.
    """

    def __init__(
        self, outlet: DeadLetterOutlet, *, dead_letters: DeadLetters, records: Records, address: str
    ) -> None:
        self._outlet = outlet
        self._dead_letters = dead_letters
        self._records = records
        self._address = address

    def empty(self) -> int:
        """Move everything; return how many entries were new.

        Raises:
            StoreError: A database does not answer; what was not moved stays.
        """
        new = 0
        while taken := self._outlet.take(limit=_AT_ONCE):
            new += sum(self._dead_letters.add([self._named(entry) for entry in taken]))
            tasks = {entry.task_id: entry for entry in taken if entry.task_id}
            self._records.end(
                tasks.keys(),
                TaskState.FAILED,
                errors={name: _error(entry) for name, entry in tasks.items()},
                generation={name: entry.generation for name, entry in tasks.items()},
            )
            self._outlet.drop([entry.id for entry in taken])
        return new

    def _named(self, entry: DeadLetter) -> DeadLetter:
        if entry.task_id:
            return replace(entry, id=entry_id(entry.task_id, entry.generation))
        return replace(entry, id=f"dead-{uuid.uuid5(uuid.NAMESPACE_URL, f'{self._address}#{entry.id}')}")


def entry_id(task_id: str, generation: int) -> str:
    """Return the id of a task's dead letter: each generation is buried once, however often it is tried."""
    return f"dead-{uuid.uuid5(uuid.NAMESPACE_OID, f'stem:{task_id}:{generation}')}"


def _error(entry: DeadLetter) -> ErrorInfo:
    lost = entry.reason is DeadReason.WORKER_LOST
    return ErrorInfo(type="stem.errors.WorkerLostError" if lost else "stem.Refusal", message=entry.detail)


if TYPE_CHECKING:
    _: Callable[..., DeadLetterOutlet] = QueuedOutlet
