"""The task records: who may write them, and every statement that does, within a given transaction.

There are two kinds of writers. A worker writes about its own delivery and proves
it by token and fence (R2, R3). The store itself writes when it takes a message
out of a worker's hands: it knows the message's fence, and leaves no token, so
that the worker's word no longer counts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from sqlalchemy import bindparam, func, insert, select, update

from stem.adapters.sql.changes import (
    Change,
    ended,
    event_row,
    queued_again_row,
    queued_row,
    retrying,
    started,
)
from stem.adapters.sql.prepared import Prepared
from stem.adapters.sql.rows import members, micros, write_error
from stem.message import ErrorInfo
from stem.states import TERMINAL_STATES, TaskState

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from sqlalchemy import Insert

    from stem.adapters.sql.database import Transaction
    from stem.adapters.sql.dialect import Dialect
    from stem.adapters.sql.messages import Held
    from stem.adapters.sql.schema import Schema
    from stem.ports.results import Ending, EventKind, NewTask, RetryNote, Start

Verdict = Literal["write", "repeat", "refuse"]


class Standing(NamedTuple):
    """What a stored record says about who may write it next."""

    state: str
    fence: int
    token: str
    attempt: int


class Replay(NamedTuple):
    """A dead letter that goes back into its queue."""

    task_id: str
    fence: int
    generation: int


def judge(standing: Standing | None, change: Change) -> Verdict:
    """Return what becomes of a worker's change to a record (R2, R3, R4, R9).

    Args:
        standing: None when there is no record.
    """
    if standing is None:
        return "refuse" if change.birth is None else "write"
    if (change.state, change.fence, change.token, change.attempt) == standing:
        return "repeat"
    if standing.state in TERMINAL_STATES or change.fence < standing.fence:
        return "refuse"
    if change.fence == standing.fence and change.token != standing.token:
        return "refuse"
    return "write"


def yields(standing: Standing | None, fence: int) -> bool:
    """Return whether a record follows what the store does with a message that has this fence."""
    return standing is not None and standing.state not in TERMINAL_STATES and standing.fence <= fence


class Records:
    """Statements about the tables of tasks and events, made once."""

    def __init__(self, schema: Schema, dialect: Dialect) -> None:
        task = schema.task
        of = task.c
        by_id = update(task).where(of.id == bindparam("key"))
        self._insert = Prepared(task.insert(), dialect)
        self._change = Prepared(by_id, dialect)
        self._end = Prepared(
            by_id.values(
                started_us=func.coalesce(bindparam("began_us"), of.started_us),
                expires_us=bindparam("ended_us") + of.ttl_us,
            ),
            dialect,
        )
        self._queue_again = Prepared(by_id, dialect)
        self._tell = Prepared(_telling(schema), dialect)
        self._standings = (
            select(of.id, of.state, of.fence, of.token, of.attempt)
            .where(of.id.in_(select(dialect.members("given").c.value)))
            .with_for_update()
        )

    def add(self, transaction: Transaction, tasks: Sequence[NewTask]) -> list[bool]:
        """Write ``queued`` records; for each, whether it was new (R1)."""
        known = set(self.standings(transaction, [task.id for task in tasks]))
        fresh: dict[str, NewTask] = {}
        answers: list[bool] = []
        for task in tasks:
            is_new = task.id not in known and task.id not in fresh
            answers.append(is_new)
            if is_new:
                fresh[task.id] = task
        self.insert(transaction, list(fresh.values()))
        return answers

    def insert(self, transaction: Transaction, tasks: Sequence[NewTask]) -> None:
        """Write ``queued`` records of tasks that have none."""
        rows = [queued_row(task, now_us=transaction.now_us) for task in tasks]
        events = [event_row(task.id, micros(task.sent_at), "queued", attempt=1) for task in tasks]
        self._write(transaction, self._insert, rows, events)

    def standings(self, transaction: Transaction, ids: Collection[str]) -> dict[str, Standing]:
        """Return who may write these records next, by id, for those that exist."""
        rows = transaction.connection.execute(self._standings, {"given": members(ids)})
        return {row[0]: Standing._make(row[1:]) for row in rows}

    def start(self, transaction: Transaction, starts: Sequence[Start]) -> list[bool]:
        """Note that attempts began."""
        now_us = transaction.now_us
        return self._apply(transaction, self._change, [started(start, now_us=now_us) for start in starts])

    def retry(self, transaction: Transaction, notes: Sequence[RetryNote]) -> list[bool]:
        """Note that attempts failed and others follow."""
        now_us = transaction.now_us
        return self._apply(transaction, self._change, [retrying(note, now_us=now_us) for note in notes])

    def finish(self, transaction: Transaction, endings: Sequence[Ending]) -> list[bool]:
        """Write how tasks ended."""
        now_us = transaction.now_us
        return self._apply(transaction, self._end, [ended(ending, now_us=now_us) for ending in endings])

    def _apply(self, transaction: Transaction, statement: Prepared, changes: Sequence[Change]) -> list[bool]:
        if not changes:
            return []
        standings = self.standings(transaction, [change.task_id for change in changes])
        births: list[dict[str, Any]] = []
        updates: list[dict[str, Any]] = []
        events: list[dict[str, Any]] = []
        answers: list[bool] = []
        for change in changes:
            standing = standings.get(change.task_id)
            verdict = judge(standing, change)
            answers.append(verdict != "refuse")
            if verdict != "write":
                continue
            if standing is None:
                births.append(change.birth_row())
            else:
                updates.append(change.update_row())
            events.append(change.event)
            standings[change.task_id] = Standing(change.state, change.fence, change.token, change.attempt)
        self._write(transaction, self._insert, births, [])
        self._write(transaction, statement, updates, events)
        return answers

    def _write(
        self,
        transaction: Transaction,
        statement: Prepared,
        rows: Sequence[dict[str, Any]],
        events: Sequence[dict[str, Any]],
    ) -> None:
        statement.run(transaction.connection, rows)
        self._tell.run(transaction.connection, events)

    def take_back(self, transaction: Transaction, messages: Sequence[Held], *, reclaimed: bool) -> None:
        """Turn records back to ``queued`` whose messages left a worker's hands.

        Args:
            reclaimed: Whether that is told in the timelines.
        """
        now_us = transaction.now_us
        updates: list[dict[str, Any]] = []
        events: list[dict[str, Any]] = []
        for message, standing in self._yielding(transaction, messages):
            running = standing.state == TaskState.RUNNING
            updates.append(
                {
                    "key": message.task_id,
                    "state": TaskState.QUEUED if running else standing.state,
                    "token": "",
                    "fence": message.fence,
                    "updated_us": now_us,
                }
            )
            if reclaimed:
                events.append(_event_of(message, "reclaimed", now_us=now_us))
        self._write(transaction, self._change, updates, events)

    def fail(self, transaction: Transaction, messages: Sequence[Held], errors: Sequence[ErrorInfo]) -> None:
        """End records as ``failed`` whose messages were buried by the store itself; one error for each."""
        error_of = {message.id: error for message, error in zip(messages, errors, strict=True)}
        rows: list[dict[str, Any]] = []
        events: list[dict[str, Any]] = []
        for message, _ in self._yielding(transaction, messages):
            error = error_of[message.id]
            row = _ended_by_store(message, TaskState.FAILED, error, now_us=transaction.now_us)
            rows.append({**row, "attempt": message.attempt, "deliveries": message.deliveries})
            events.append(_event_of(message, "failed", now_us=transaction.now_us, error=error))
        self._write(transaction, self._end, rows, events)

    def cancel(self, transaction: Transaction, messages: Sequence[Held], reason: str) -> None:
        """End records as ``cancelled`` whose waiting messages were removed."""
        error = ErrorInfo(type="stem.Cancelled", message=reason)
        now_us = transaction.now_us
        yielding = [message for message, _ in self._yielding(transaction, messages)]
        rows = [_ended_by_store(message, TaskState.CANCELLED, error, now_us=now_us) for message in yielding]
        events = [_event_of(message, "cancelled", now_us=now_us, error=error) for message in yielding]
        self._write(transaction, self._end, rows, events)

    def _yielding(self, transaction: Transaction, messages: Iterable[Held]) -> list[tuple[Held, Standing]]:
        named = {message.task_id: message for message in messages if message.task_id}
        standings = self.standings(transaction, named.keys()) if named else {}
        return [
            (message, standings[task_id])
            for task_id, message in named.items()
            if yields(standings.get(task_id), message.fence)
        ]

    def replay(self, transaction: Transaction, replays: Sequence[Replay]) -> None:
        """Turn records back to ``queued`` whose messages left the dead letters (D4)."""
        now_us = transaction.now_us
        standings = self.standings(transaction, [replay.task_id for replay in replays])
        rows: list[dict[str, Any]] = []
        events: list[dict[str, Any]] = []
        for task_id, fence, generation in replays:
            if task_id in standings:
                last_fence = max(fence, standings[task_id].fence)
                rows.append(queued_again_row(task_id, last_fence, generation, now_us=now_us))
                detail = f"generation {generation}"
                events.append(event_row(task_id, now_us, "replayed", attempt=1, detail=detail))
        self._write(transaction, self._queue_again, rows, events)


def _telling(schema: Schema) -> Insert:
    task = schema.task.c
    told = {
        name: bindparam(f"of_{name}", type_=schema.event.c[name].type)
        for name in ("at_us", "kind", "attempt", "worker", "detail")
    }
    source = select(task.seq, *told.values()).where(task.id == bindparam("key"))
    return insert(schema.event).from_select(["task_seq", *told], source)


def _ended_by_store(message: Held, state: TaskState, error: ErrorInfo, *, now_us: int) -> dict[str, Any]:
    return {
        "key": message.task_id,
        "state": state,
        "fence": message.fence,
        "token": "",
        "error": write_error(error),
        "finished_us": now_us,
        "updated_us": now_us,
        "began_us": None,
        "ended_us": now_us,
    }


def _event_of(
    message: Held, kind: EventKind, *, now_us: int, error: ErrorInfo | None = None
) -> dict[str, Any]:
    return event_row(
        message.task_id, now_us, kind, attempt=message.attempt, worker=message.owner, error=error
    )
