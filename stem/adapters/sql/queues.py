"""A view into the queues, for operators."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import and_, bindparam, func, literal, or_, select, union_all, update

from stem.adapters.sql.conflicts import repeated
from stem.adapters.sql.messages import Held, held_columns
from stem.adapters.sql.rows import AnyRow, members, moment
from stem.adapters.sql.schema import DELAYED, LEASED, READY
from stem.ports.broker import PendingMessage, QueueStats
from stem.ports.pages import read_cursor, write_cursor

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from sqlalchemy import ColumnElement, Executable

    from stem.adapters.sql.database import Database
    from stem.adapters.sql.tables import Tables
    from stem.ports.broker import QueueAdmin, QueueState

_REMOVED_AT_ONCE: Final = 1000
_ZERO: Final = (0, None)


class SqlQueues:
    """A `stem.ports.broker.QueueAdmin`."""

    def __init__(self, database: Database, tables: Tables) -> None:
        self._database = database
        self._tables = tables
        self._schema = schema = database.schema
        of, queue = schema.message.c, schema.queue
        among = select(database.dialect.members("given").c.value)
        # Transient queues come and go with the consumers of control commands and events.
        self._names = select(queue.c.name, queue.c.paused).where(queue.c.idle_us.is_(None))
        self._counts_of_all = _counts(database, None)
        self._counts_of_some = _counts(database, among)
        self._waiting = (
            held_columns(schema)
            .where(of.queue == bindparam("of_queue"), of.id <= bindparam("last"))
            .where(or_(of.state == READY, of.state == DELAYED))
            .order_by(of.id)
            .limit(_REMOVED_AT_ONCE)
            .with_for_update()
        )
        self._last = select(func.max(of.id)).where(of.queue == bindparam("of_queue"))
        self._add_queue = database.dialect.insert(queue)
        self._pause = update(queue).where(queue.c.name == bindparam("of_queue"))

    def queues(self) -> list[str]:
        """Return every queue that holds, or has held, a message, sorted."""
        with self._database.read("queues") as transaction:
            return sorted(row.name for row in transaction.connection.execute(self._names))

    def stats(self, queues: Collection[str] | None = None) -> list[QueueStats]:
        """Return how full each queue is, sorted by name; None asks for all."""
        with self._database.read("stats") as transaction:
            now_us = transaction.now_us
            paused = {row.name: row.paused for row in transaction.connection.execute(self._names)}
            if queues is None:
                rows = transaction.connection.execute(self._counts_of_all, {"now": now_us}).all()
            else:
                given = {"now": now_us, "given": members(queues)}
                rows = transaction.connection.execute(self._counts_of_some, given).all()
        counts = _sum(rows)
        return [
            _stats(name, counts, is_paused=paused.get(name, False), now_us=now_us)
            for name in sorted(paused if queues is None else set(queues))
        ]

    def browse(
        self, queue: str, *, state: QueueState | None = None, cursor: str | None = None, limit: int = 50
    ) -> tuple[list[PendingMessage], str | None]:
        """Return a page of the messages of ``queue``, oldest first, and the cursor of the next one."""
        of = self._schema.message.c
        after = 0 if cursor is None else read_cursor(cursor, int)[0]
        columns = held_columns(self._schema).add_columns(of.state, of.priority, of.due_us, of.until_us)
        statement = columns.where(of.queue == queue, of.id > after).order_by(of.id).limit(limit + 1)
        with self._database.read("browse") as transaction:
            now_us = transaction.now_us
            if state is not None:
                statement = statement.where(self._is_in(state, now_us))
            rows = transaction.connection.execute(statement).all()
        following = write_cursor(rows[limit - 1].id) if len(rows) > limit else None
        return [_pending(row, now_us=now_us) for row in rows[:limit]], following

    def _is_in(self, state: QueueState, now_us: int) -> ColumnElement[bool]:
        of = self._schema.message.c
        match state:
            case "ready":
                return or_(of.state == READY, and_(of.state == DELAYED, of.due_us <= now_us))
            case "delayed":
                return and_(of.state == DELAYED, of.due_us > now_us)
            case "leased":
                return of.state == LEASED

    def purge(self, queue: str) -> int:
        """Remove what is ready or delayed; return how many messages. Their records become cancelled.

        In several transactions, so that nobody waits long for the write lock.
        """
        with self._database.read("purge") as transaction:
            last = transaction.connection.execute(self._last, {"of_queue": queue}).scalar()
        given = {"of_queue": queue, "last": last}
        purged = 0
        removed = _REMOVED_AT_ONCE
        while last is not None and removed == _REMOVED_AT_ONCE:
            with self._database.write("purge") as transaction:
                waiting = [Held(*row) for row in transaction.connection.execute(self._waiting, given)]
                self._tables.cancel(transaction, waiting, "its queue was purged")
            removed = len(waiting)
            purged += removed
        return purged

    @repeated
    def cancel(self, task_ids: Collection[str], *, reason: str) -> set[str]:
        """Remove waiting messages of these tasks; return the ids that were removed."""
        with self._database.write("cancel") as transaction:
            waiting = self._tables.messages.waiting(transaction, task_ids)
            self._tables.cancel(transaction, waiting, reason)
        return {message.task_id for message in waiting}

    def pause(self, queue: str) -> None:
        """Stop leasing from ``queue`` until `resume`."""
        self._set_paused(queue, is_paused=True)

    def resume(self, queue: str) -> None:
        """Lease from ``queue`` again."""
        self._set_paused(queue, is_paused=False)

    @repeated
    def _set_paused(self, queue: str, *, is_paused: bool) -> None:
        with self._database.write("pause" if is_paused else "resume") as transaction:
            row = {"name": queue, "paused": is_paused, "used_us": transaction.now_us}
            transaction.connection.execute(self._add_queue, row)
            transaction.connection.execute(self._pause, {"of_queue": queue, "paused": is_paused})
            if not is_paused:
                transaction.bells.add(queue)


def _counts(database: Database, among: Any) -> Executable:
    # One part for each index, whose condition stands in it word for word.
    of, dead = database.schema.message.c, database.schema.dead_letter.c
    now: ColumnElement[int] = bindparam("now")
    parts = [
        ("ready", of.queue, of.due_us, of.state == READY),
        ("ready", of.queue, of.due_us, and_(of.state == DELAYED, of.due_us <= now)),
        ("delayed", of.queue, of.due_us, and_(of.state == DELAYED, of.due_us > now)),
        ("leased", of.queue, of.until_us, of.state == LEASED),
        ("dead", dead.queue, dead.id, dead.replayed_us.is_(None)),
    ]
    selects = [
        select(
            queue.label("queue"),
            literal(place).label("place"),
            func.count().label("number"),
            func.min(first).label("first"),
        )
        .where(condition, *([] if among is None else [queue.in_(among)]))
        .group_by(queue)
        for place, queue, first, condition in parts
    ]
    return union_all(*selects)


def _sum(rows: Collection[AnyRow]) -> dict[tuple[str, str], tuple[int, int | None]]:
    counts: dict[tuple[str, str], tuple[int, int | None]] = {}
    for queue, place, number, first in rows:
        before, earliest = counts.get((queue, place), _ZERO)
        counts[queue, place] = (before + number, first if earliest is None else min(first, earliest))
    return counts


def _stats(
    name: str, counts: dict[tuple[str, str], tuple[int, int | None]], *, is_paused: bool, now_us: int
) -> QueueStats:
    ready, oldest_us = counts.get((name, "ready"), _ZERO)
    return QueueStats(
        queue=name,
        ready=ready,
        delayed=counts.get((name, "delayed"), _ZERO)[0],
        leased=counts.get((name, "leased"), _ZERO)[0],
        dead=counts.get((name, "dead"), _ZERO)[0],
        oldest_age_s=None if oldest_us is None else (now_us - oldest_us) / 1e6,
        paused=is_paused,
    )


def _pending(row: AnyRow, *, now_us: int) -> PendingMessage:
    is_due = row.state == "delayed" and row.due_us <= now_us
    return PendingMessage(
        task_id=row.task_id,
        task=row.task,
        queue=row.queue,
        state="ready" if is_due else row.state,
        priority=row.priority,
        attempt=row.attempt,
        deliveries=row.deliveries,
        at=moment(row.until_us if row.state == "leased" else row.due_us),
        owner=row.owner,
    )


if TYPE_CHECKING:
    _: Callable[..., QueueAdmin] = SqlQueues
