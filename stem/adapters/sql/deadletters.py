"""The dead letters: look at them, put them back, delete them."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import LargeBinary, cast, delete, func, insert, or_, select, update

from stem.adapters.sql.conflicts import repeated
from stem.adapters.sql.messages import new_row
from stem.adapters.sql.records import Replay
from stem.adapters.sql.rows import AnyRow, due_us, members, micros, moment, moment_or_none, plain
from stem.codecs import pack, read_label, read_priority, replayed, unpack
from stem.message import Message
from stem.ports.broker import NOW
from stem.ports.deadletters import DeadLetter
from stem.ports.pages import read_cursor, write_cursor
from stem.states import DeadReason

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from datetime import timedelta

    from sqlalchemy import ColumnElement

    from stem.adapters.sql.database import Database, Transaction
    from stem.adapters.sql.tables import Tables
    from stem.ports.deadletters import DeadLetterQuery, DeadLetters

_REMOVED_AT_ONCE: Final = 1000


class SqlDeadLetters:
    """A `stem.ports.deadletters.DeadLetters`."""

    def __init__(self, database: Database, tables: Tables) -> None:
        self._database = database
        self._tables = tables
        self._schema = schema = database.schema
        self._members = database.dialect.members
        dead, message, task = schema.dead_letter, schema.message, schema.task
        among = select(database.dialect.members("given").c.value)
        among_keys = select(database.dialect.members("given", numbers=True).c.value)
        others = [column for column in dead.c if column is not dead.c.payload]
        self._rows = select(*others, cast(dead.c.payload, LargeBinary).label("payload"))
        of = message.c
        live = select(of.id).where(of.task_seq.is_(None), of.task_id == dead.c.task_id)
        live_recorded = select(of.id).join(task, task.c.seq == of.task_seq).where(task.c.id == dead.c.task_id)
        # Its record has seen a later generation: the entry is from an earlier life of the task.
        outlived = select(task.c.seq).where(
            task.c.id == dead.c.task_id, task.c.generation > dead.c.generation
        )
        self._replayable = self._rows.where(
            dead.c.replayed_us.is_(None),
            dead.c.task_id != "",
            ~live.exists(),
            ~live_recorded.exists(),
            ~outlived.exists(),
        ).with_for_update(skip_locked=True, of=dead)
        self._mark = update(dead).where(dead.c.id.in_(among_keys))
        self._delete = delete(dead).where(dead.c.id.in_(among_keys))
        self._added = select(dead.c.entry_id).where(dead.c.entry_id.in_(among))
        self._insert = insert(dead)

    @repeated
    def add(self, entries: Sequence[DeadLetter]) -> list[bool]:
        """Keep messages that another database gave up; for each, in order, whether it was new."""
        with self._database.write("add") as transaction:
            given = {"given": members([entry.id for entry in entries])}
            known = set(transaction.connection.execute(self._added, given).scalars())
            fresh = {plain(entry.id): entry for entry in reversed(entries) if plain(entry.id) not in known}
            rows = [_row(entry, now_us=transaction.now_us) for entry in reversed(fresh.values())]
            if rows:
                transaction.connection.execute(self._insert, rows)
        return [fresh.pop(plain(entry.id), None) is not None for entry in entries]

    def page(
        self, query: DeadLetterQuery, *, cursor: str | None = None, limit: int = 50
    ) -> tuple[list[DeadLetter], str | None]:
        """Return a page of entries, last buried first, and the cursor of the next page."""
        of = self._schema.dead_letter.c
        statement = self._rows.where(*self._conditions(query)).order_by(of.id.desc()).limit(limit + 1)
        if cursor is not None:
            statement = statement.where(of.id < read_cursor(cursor, int)[0])
        with self._database.read("page") as transaction:
            rows = transaction.connection.execute(statement).all()
        following = write_cursor(rows[limit - 1].id) if len(rows) > limit else None
        return [_dead_letter(row) for row in rows[:limit]], following

    def count(self, query: DeadLetterQuery) -> int:
        """Return how many entries the query matches."""
        statement = select(func.count()).select_from(self._schema.dead_letter).where(*self._conditions(query))
        with self._database.read("count") as transaction:
            return transaction.connection.execute(statement).scalar_one()

    def _conditions(self, query: DeadLetterQuery) -> list[ColumnElement[bool]]:
        of = self._schema.dead_letter.c
        equal = {of.queue: query.queue, of.task: query.task, of.reason: query.reason}
        conditions: list[ColumnElement[bool]] = [
            column == value for column, value in equal.items() if value is not None
        ]
        if query.ids is not None:
            entries = members([int(name) for name in query.ids if name.isdecimal()])
            among_entries = select(self._members("entries", numbers=True).c.value).params(entries=entries)
            among_tasks = select(self._members("tasks").c.value).params(tasks=members(query.ids))
            conditions.append(
                or_(of.id.in_(among_entries), of.task_id.in_(among_tasks), of.entry_id.in_(among_tasks))
            )
        if query.since is not None:
            conditions.append(of.dead_us >= micros(query.since))
        if query.until is not None:
            conditions.append(of.dead_us < micros(query.until))
        if not query.replayed:
            conditions.append(of.replayed_us.is_(None))
        return conditions

    @repeated
    def replay(
        self, query: DeadLetterQuery, *, limit: int, delay: timedelta | None = None
    ) -> list[DeadLetter]:
        """Put up to ``limit`` entries back into their queues, oldest first; return them."""
        with self._database.write("replay") as transaction:
            chosen: dict[str, tuple[AnyRow, Message]] = {}
            for row in self._candidates(transaction, query, at_once=limit):
                content = unpack(row.payload)
                if isinstance(content, Message) and row.task_id not in chosen:
                    chosen[row.task_id] = row, replayed(content)
                if len(chosen) == limit:
                    break
            self._put_back(transaction, list(chosen.values()), delay or NOW)
        at = moment(transaction.now_us)
        return [replace(_dead_letter(row), replayed_at=at) for row, _ in chosen.values()]

    def _candidates(
        self, transaction: Transaction, query: DeadLetterQuery, *, at_once: int
    ) -> Iterator[AnyRow]:
        of = self._schema.dead_letter.c
        statement = self._replayable.where(*self._conditions(query)).order_by(of.id).limit(at_once)
        after = 0
        while True:
            rows = transaction.connection.execute(statement.where(of.id > after)).all()
            yield from rows
            if len(rows) < at_once:
                return
            after = rows[-1].id

    def _put_back(
        self, transaction: Transaction, chosen: list[tuple[AnyRow, Message]], delay: timedelta
    ) -> None:
        now_us = transaction.now_us
        messages: list[dict[str, Any]] = []
        replays: list[Replay] = []
        for row, message in chosen:
            label = read_label(message)
            again = new_row(
                queue=row.queue,
                payload=pack(message, queue=row.queue).encode(),
                label=label,
                priority=row.priority,
                due_us=due_us(delay, now_us=now_us),
                now_us=now_us,
            )
            # It goes on counting where it stopped, so that no earlier token is ever current again.
            messages.append({**again, "fence": row.fence})
            replays.append(Replay(task_id=row.task_id, fence=row.fence, generation=label.generation))
        if chosen:
            self._tables.records.replay(transaction, replays)
            self._tables.messages.add(transaction, messages)
            transaction.connection.execute(
                self._mark, {"given": members([row.id for row, _ in chosen]), "replayed_us": now_us}
            )

    def purge(self, query: DeadLetterQuery, *, limit: int | None = None) -> int:
        """Delete entries, oldest first; return how many.

        In several transactions, so that nobody waits long for the write lock.
        """
        of = self._schema.dead_letter.c
        statement = select(of.id).where(*self._conditions(query)).order_by(of.id)
        purged = 0
        while True:
            at_once = _REMOVED_AT_ONCE if limit is None else min(_REMOVED_AT_ONCE, limit - purged)
            with self._database.write("purge") as transaction:
                ids = transaction.connection.execute(statement.limit(at_once)).scalars().all()
                transaction.connection.execute(self._delete, {"given": members(ids)})
            purged += len(ids)
            if len(ids) < _REMOVED_AT_ONCE:
                return purged

    def close(self) -> None:
        """Free the connections. May be called twice."""
        self._database.close()


def _row(entry: DeadLetter, *, now_us: int) -> dict[str, Any]:
    return {
        "entry_id": plain(entry.id),
        "queue": entry.queue,
        "task_id": plain(entry.task_id),
        "task": plain(entry.task),
        "reason": entry.reason,
        "detail": plain(entry.detail),
        "attempt": entry.attempt,
        "deliveries": entry.deliveries,
        "generation": entry.generation,
        "priority": read_priority(unpack(entry.payload)),
        "fence": 0,
        "dead_us": now_us,
        "facts": json.dumps(entry.facts),
        "payload": entry.payload,
    }


def _dead_letter(row: AnyRow) -> DeadLetter:
    return DeadLetter(
        id=row.entry_id or str(row.id),
        queue=row.queue,
        task_id=row.task_id,
        task=row.task,
        reason=DeadReason(row.reason),
        detail=row.detail,
        attempt=row.attempt,
        deliveries=row.deliveries,
        generation=row.generation,
        dead_at=moment(row.dead_us),
        payload=row.payload,
        facts=json.loads(row.facts),
        replayed_at=moment_or_none(row.replayed_us),
    )


if TYPE_CHECKING:
    _: Callable[..., DeadLetters] = SqlDeadLetters
