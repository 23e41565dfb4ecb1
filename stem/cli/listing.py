"""Pages of tasks: messages in flight from the queues, records from the result store."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, cast

from stem.cli import views
from stem.ports.pages import read_cursor, write_cursor
from stem.states import TaskState

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from stem.cli.output import Columns
    from stem.ports.broker import PendingMessage, QueueAdmin, QueueState
    from stem.ports.results import Results

IN_FLIGHT: Final = ("ready", "delayed", "leased")
"""States of messages."""

ANY: Final = "any"
"""Records in every state."""

_MOST_EXAMINED: Final = 10_000
"""Messages that one page looks through for matches, so that a rare task in a long queue cannot stall it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which tasks to list; None fields do not restrict.

    Attributes:
        state: Of messages, of records, or ``any``; None is every message.
        worker: Who holds the lease, or ran the task.
        since: When the record changed; of no meaning for messages.
        limit: Tasks on a page, at least 1.
        cursor: Where the page begins; None is the first page.
    """

    queue: str | None = None
    state: str | None = None
    task: str | None = None
    worker: str | None = None
    since: datetime | None = None
    limit: int = 50
    cursor: str | None = None

    @property
    def is_in_flight(self) -> bool:
        """Whether messages are wanted, not records."""
        return self.state is None or self.state in IN_FLIGHT

    def matches(self, message: PendingMessage) -> bool:
        """Return whether a message of the right queue and state is wanted."""
        return self.task in (None, message.task) and self.worker in (None, message.owner)


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A page of tasks, ready to print.

    Attributes:
        schema: What one item is.
        columns: Headers and keys of a table.
        next_cursor: Where the next page begins; None after the last one.
    """

    schema: str
    items: Sequence[dict[str, Any]]
    columns: Columns
    next_cursor: str | None


def messages(queues: QueueAdmin, wanted: Wanted) -> Page:
    """Return a page of tasks that have a message in a queue, queue by queue, oldest first.

    It can hold fewer than ``wanted.limit`` although more follow, when matches are rare.
    """
    names = queues.queues() if wanted.queue is None else [wanted.queue]
    state = cast("QueueState | None", wanted.state)
    names, position = _resume(names, wanted.cursor)
    found: list[PendingMessage] = []
    examined = 0
    while names and len(found) < wanted.limit and examined < _MOST_EXAMINED:
        part, position = queues.browse(
            names[0], state=state, cursor=position, limit=wanted.limit - len(found)
        )
        examined += len(part)
        found += filter(wanted.matches, part)
        if position is None:
            names = names[1:]
    return Page(
        schema="stem.message/1",
        items=[views.message_item(message) for message in found],
        columns=_MESSAGE_COLUMNS,
        next_cursor=write_cursor(names[0], position or "") if names else None,
    )


def _resume(names: list[str], cursor: str | None) -> tuple[list[str], str | None]:
    """Return the queues that are still to be read, and the position in the first of them."""
    if cursor is None:
        return names, None
    first, position = cast("tuple[str, str]", read_cursor(cursor, str, str))
    left = [name for name in names if name >= first]
    return left, position if position and left[:1] == [first] else None


def records(results: Results, wanted: Wanted) -> Page:
    """Return a page of task records, last updated first."""
    from stem.ports.results import TaskQuery

    query = TaskQuery(
        queue=wanted.queue,
        state=None if wanted.state in (None, ANY) else TaskState(wanted.state),
        name=wanted.task,
        worker=wanted.worker,
        since=wanted.since,
    )
    found, next_cursor = results.page(query, cursor=wanted.cursor, limit=wanted.limit)
    return Page(
        schema="stem.task/1",
        items=[views.record_item(record) for record in found],
        columns=_RECORD_COLUMNS,
        next_cursor=next_cursor,
    )


_MESSAGE_COLUMNS: Final = {
    "Id": "id",
    "Task": "name",
    "Queue": "queue",
    "State": "state",
    "Attempt": "attempt",
    "Deliveries": "deliveries",
    "Priority": "priority",
    "Due": "due_at",
    "Lease until": "lease_until",
    "Worker": "worker",
}

_RECORD_COLUMNS: Final = {
    "Id": "id",
    "Task": "name",
    "Queue": "queue",
    "State": "state",
    "Attempt": "attempt",
    "Updated": "updated_at",
    "Runtime (s)": "runtime_s",
    "Worker": "worker",
}
