"""The task records: who may write them, and every statement that does, within a given transaction.

There are two kinds of writers. A worker reports about its own delivery and proves
it by token and fence (R2, R3). The store itself writes when it takes a message out
of a worker's hands: it knows the message's fence, and leaves no token, so that the
worker's word no longer counts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias

from sqlalchemy import bindparam, func, insert, select, update

from stem.adapters.sql import changes
from stem.adapters.sql.bells import RESULTS
from stem.adapters.sql.prepared import Prepared
from stem.adapters.sql.rows import members, micros, write_error
from stem.message import ErrorInfo
from stem.states import TERMINAL_STATES, TaskState

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence

    from sqlalchemy import Insert

    from stem.adapters.sql.database import Transaction
    from stem.adapters.sql.dialect import Dialect
    from stem.adapters.sql.messages import Held
    from stem.adapters.sql.schema import Schema
    from stem.ports.results import Ending, EventKind, NewTask, RetryNote, Start

Verdict: TypeAlias = Literal["write", "repeat", "refuse"]
Row: TypeAlias = dict[str, Any]


class Standing(NamedTuple):
    """What a stored record says about who may write it next."""

    state: str
    fence: int
    token: str
    attempt: int


class Replay(NamedTuple):
    """A dead letter that goes back into its queue, as the given generation."""

    task_id: str
    fence: int
    generation: int


class _Report(NamedTuple):
    """What a kind of worker's word does.

    Attributes:
        statement: Changes a record that exists.
        change: Gives its parameters.
        tell: Gives the row for the timeline.
        bear: Gives the row of a record that does not exist; None: then it is refused.
    """

    statement: Prepared
    change: Callable[..., Row]
    tell: Callable[..., Row]
    bear: Callable[..., Row] | None


def judge(standing: Standing, wanted: Standing) -> Verdict:
    """Return what becomes of a worker's word about a record (R2, R3, R4, R9).

    Args:
        standing: What the record says.
        wanted: What it would say.
    """
    if wanted == standing:
        return "repeat"
    if standing.state in TERMINAL_STATES or wanted.fence < standing.fence:
        return "refuse"
    if wanted.fence == standing.fence and wanted.token != standing.token:
        return "refuse"
    return "write"


def follows(standing: Standing | None, fence: int) -> bool:
    """Return whether a record follows what the store does with a message that has this fence."""
    return standing is not None and standing.state not in TERMINAL_STATES and standing.fence <= fence


class Records:
    """Statements about the tables of tasks and events, made once."""

    def __init__(self, schema: Schema, dialect: Dialect) -> None:
        task = schema.task
        of = task.c
        by_id = update(task).where(of.id == bindparam("key"))
        ending = by_id.values(
            started_us=func.coalesce(bindparam("began_us"), of.started_us),
            expires_us=bindparam("ended_us") + of.ttl_us,
        )
        self._insert = Prepared(task.insert(), dialect)
        self._change = Prepared(by_id, dialect)
        self._end = Prepared(ending, dialect)
        self._tell = Prepared(_telling(schema), dialect)
        self._standings = (
            select(of.id, *[of[name] for name in Standing._fields])
            .where(of.id.in_(select(dialect.members("given").c.value)))
            .with_for_update()
        )
        self._starting = _Report(self._change, changes.started, changes.told_started, changes.born_started)
        self._retrying = _Report(self._change, changes.retrying, changes.told_retrying, None)
        self._ending = _Report(self._end, changes.ended, changes.told_ended, changes.born_ended)

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
        now_us = transaction.now_us
        rows = [changes.queued(task, now_us=now_us) for task in tasks]
        events = [changes.told(task.id, micros(task.sent_at), "queued", attempt=1) for task in tasks]
        self._write(transaction, self._insert, rows, events)

    def standings(self, transaction: Transaction, ids: Collection[str]) -> dict[str, Standing]:
        """Return who may write these records next, by id, for those that exist."""
        rows = transaction.connection.execute(self._standings, {"given": members(ids)}).all()
        return {row[0]: Standing._make(row[1:]) for row in rows}

    def start(self, transaction: Transaction, starts: Sequence[Start]) -> list[bool]:
        """Note that attempts began."""
        return self._take(transaction, self._starting, starts)

    def retry(self, transaction: Transaction, notes: Sequence[RetryNote]) -> list[bool]:
        """Note that attempts failed and others follow."""
        return self._take(transaction, self._retrying, notes)

    def finish(self, transaction: Transaction, endings: Sequence[Ending]) -> list[bool]:
        """Write how tasks ended."""
        return self._take(transaction, self._ending, endings)

    def release(self, transaction: Transaction, starts: Sequence[Start]) -> None:
        """Turn records back to ``queued`` that run these deliveries (R10)."""
        standings = self.standings(transaction, [start.task_id for start in starts])
        rows = [
            {
                "key": start.task_id,
                "state": TaskState.QUEUED,
                "token": "",
                "fence": start.fence,
                "updated_us": transaction.now_us,
            }
            for start in starts
            if standings.get(start.task_id)
            == Standing(TaskState.RUNNING, start.fence, start.token, start.attempt)
        ]
        self._write(transaction, self._change, rows, [])

    def _take(
        self, transaction: Transaction, report: _Report, words: Sequence[Start | RetryNote | Ending]
    ) -> list[bool]:
        if not words:
            return []
        now_us = transaction.now_us
        standings = self.standings(transaction, [word.task_id for word in words])
        births: list[Row] = []
        updates: list[Row] = []
        events: list[Row] = []
        answers: list[bool] = []
        for word in words:
            row = report.change(word, now_us=now_us)
            wanted = Standing(row["state"], row["fence"], row["token"], row["attempt"])
            standing = standings.get(row["key"])
            verdict = _judge(standing, wanted, report)
            answers.append(verdict != "refuse")
            if verdict != "write":
                continue
            # A later word of this call meets what this one leaves.
            standings[row["key"]] = wanted
            events.append(report.tell(word))
            if standing is None and report.bear is not None:
                births.append(report.bear(word, now_us=now_us))
            else:
                updates.append(row)
        self._insert.run(transaction.connection, births)
        self._write(transaction, report.statement, updates, events)
        return answers

    def _write(
        self, transaction: Transaction, statement: Prepared, rows: Sequence[Row], events: Sequence[Row]
    ) -> None:
        statement.run(transaction.connection, rows)
        if statement is self._end and events:
            transaction.bells.add(RESULTS)
        self._tell.run(transaction.connection, events)

    def take_back(self, transaction: Transaction, messages: Sequence[Held], *, reclaimed: bool) -> None:
        """Turn records back to ``queued`` whose messages left a worker's hands.

        Args:
            reclaimed: Whether that is told in the timelines.
        """
        now_us = transaction.now_us
        updates: list[Row] = []
        events: list[Row] = []
        for message, standing in self._following(transaction, messages):
            updates.append(
                {
                    "key": message.task_id,
                    "state": TaskState.QUEUED if standing.state == TaskState.RUNNING else standing.state,
                    "token": "",
                    "fence": message.fence,
                    "updated_us": now_us,
                }
            )
            if reclaimed:
                events.append(_told_of(message, "reclaimed", now_us=now_us))
        self._write(transaction, self._change, updates, events)

    def fail(self, transaction: Transaction, messages: Sequence[Held], errors: Sequence[ErrorInfo]) -> None:
        """End records as ``failed`` whose messages the store itself buried; one error for each."""
        error_of = {message.id: error for message, error in zip(messages, errors, strict=True)}
        rows: list[Row] = []
        events: list[Row] = []
        for message, _ in self._following(transaction, messages):
            error = error_of[message.id]
            row = _ended_by_store(message, TaskState.FAILED, error, now_us=transaction.now_us)
            rows.append({**row, "attempt": message.attempt, "deliveries": message.deliveries})
            events.append(_told_of(message, "failed", now_us=transaction.now_us, error=error))
        self._write(transaction, self._end, rows, events)

    def cancel(self, transaction: Transaction, messages: Sequence[Held], reason: str) -> None:
        """End records as ``cancelled`` whose waiting messages were removed."""
        error = ErrorInfo(type="stem.Cancelled", message=reason)
        now_us = transaction.now_us
        following = [message for message, _ in self._following(transaction, messages)]
        rows = [_ended_by_store(message, TaskState.CANCELLED, error, now_us=now_us) for message in following]
        events = [_told_of(message, "cancelled", now_us=now_us, error=error) for message in following]
        self._write(transaction, self._end, rows, events)

    def _following(self, transaction: Transaction, messages: Iterable[Held]) -> list[tuple[Held, Standing]]:
        named = {message.task_id: message for message in messages if message.task_id}
        standings = self.standings(transaction, named.keys()) if named else {}
        return [
            (message, standings[task_id])
            for task_id, message in named.items()
            if follows(standings.get(task_id), message.fence)
        ]

    def replay(self, transaction: Transaction, replays: Sequence[Replay]) -> None:
        """Turn records back to ``queued`` whose messages left the dead letters (D4)."""
        now_us = transaction.now_us
        standings = self.standings(transaction, [replay.task_id for replay in replays])
        rows: list[Row] = []
        events: list[Row] = []
        for task_id, fence, generation in replays:
            if task_id in standings:
                last_fence = max(fence, standings[task_id].fence)
                rows.append(changes.queued_again(task_id, last_fence, generation, now_us=now_us))
                detail = f"generation {generation}"
                events.append(changes.told(task_id, now_us, "replayed", attempt=1, detail=detail))
        self._write(transaction, self._change, rows, events)


def _telling(schema: Schema) -> Insert:
    task = schema.task.c
    told = {
        name: bindparam(f"of_{name}", type_=schema.event.c[name].type)
        for name in ("at_us", "kind", "attempt", "worker", "detail")
    }
    source = select(task.seq, *told.values()).where(task.id == bindparam("key"))
    return insert(schema.event).from_select(["task_seq", *told], source)


def _judge(standing: Standing | None, wanted: Standing, report: _Report) -> Verdict:
    if standing is not None:
        return judge(standing, wanted)
    return "write" if report.bear is not None else "refuse"


def _ended_by_store(message: Held, state: TaskState, error: ErrorInfo, *, now_us: int) -> Row:
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


def _told_of(message: Held, kind: EventKind, *, now_us: int, error: ErrorInfo | None = None) -> Row:
    return changes.told(
        message.task_id, now_us, kind, attempt=message.attempt, worker=message.owner, error=error
    )
