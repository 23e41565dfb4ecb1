"""The task records, for everybody who asks."""

from __future__ import annotations

from threading import Event
from typing import TYPE_CHECKING

from sqlalchemy import bindparam, delete, select, tuple_

from stem.adapters.sql.conflicts import repeated
from stem.adapters.sql.rows import members, micros, moment, moment_or_none, plain, read_error
from stem.adapters.sql.schema import SUCCEEDED
from stem.ports.pages import read_cursor, write_cursor
from stem.ports.results import TaskRecord, TimelineEvent
from stem.states import TERMINAL_STATES, TaskState

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from sqlalchemy import ColumnElement

    from stem.adapters.sql.database import Database, OwnConnection, Transaction
    from stem.adapters.sql.rows import AnyRow
    from stem.adapters.sql.tables import Tables
    from stem.clock import Clock
    from stem.ports.results import Ending, NewTask, Results, RetryNote, Start, TaskQuery


class SqlResults:
    """A `stem.ports.results.Results`."""

    def __init__(self, database: Database, tables: Tables, *, clock: Clock) -> None:
        self._database = database
        self._records = tables.records
        self._clock = clock
        self._schema = schema = database.schema
        task, event = schema.task, schema.event
        among = select(database.dialect.members("given").c.value)
        self._get = select(task).where(task.c.id.in_(among))
        self._progress = select(task.c.id, task.c.state, task.c.updated_us).where(task.c.id.in_(among))
        self._timeline = (
            select(event)
            .join(task, task.c.seq == event.c.task_seq)
            .where(task.c.id == bindparam("of_task"))
            .order_by(event.c.id)
        )
        self._ended = select(task.c.seq).where(task.c.id.in_(among), task.c.state.in_(TERMINAL_STATES))
        self._expired = (
            select(task.c.seq)
            .where(task.c.expires_us <= bindparam("now"))
            .order_by(task.c.expires_us)
            .limit(bindparam("at_most"))
            .with_for_update(skip_locked=True)
        )
        among_seqs = select(database.dialect.members("given", numbers=True).c.value)
        self._delete = delete(task).where(task.c.seq.in_(among_seqs))
        self._delete_events = delete(event).where(event.c.task_seq.in_(among_seqs))

    @repeated
    def add(self, tasks: Sequence[NewTask]) -> list[bool]:
        """Write new records; for each, in order, whether it was new."""
        with self._database.write("add") as transaction:
            return self._records.add(transaction, tasks)

    @repeated
    def start(self, starts: Sequence[Start]) -> list[bool]:
        """Note that attempts began; for each, in order, whether it may go on."""
        with self._database.write("start") as transaction:
            return self._records.start(transaction, starts)

    @repeated
    def retry(self, retries: Sequence[RetryNote]) -> list[bool]:
        """Note that attempts failed and others follow; for each, in order, whether it was accepted."""
        with self._database.write("retry") as transaction:
            return self._records.retry(transaction, retries)

    @repeated
    def release(self, starts: Sequence[Start]) -> None:
        """Note that attempts stopped without an outcome and their messages wait again."""
        with self._database.write("release") as transaction:
            self._records.release(transaction, starts)

    @repeated
    def finish(self, endings: Sequence[Ending]) -> list[bool]:
        """Write how tasks ended; for each, in order, whether it was accepted."""
        with self._database.write("finish") as transaction:
            return self._records.finish(transaction, endings)

    def get(self, task_ids: Collection[str]) -> dict[str, TaskRecord]:
        """Return the records that exist, by id."""
        with self._database.read("get") as transaction:
            rows = transaction.connection.execute(self._get, {"given": members(task_ids)})
            return {row.id: _record(row) for row in rows}

    def timeline(self, task_id: str) -> list[TimelineEvent]:
        """Return what happened to a task, oldest first; empty for an unknown one."""
        with self._database.read("timeline") as transaction:
            rows = transaction.connection.execute(self._timeline, {"of_task": plain(task_id)})
            return [
                TimelineEvent(
                    at=moment(row.at_us),
                    kind=row.kind,
                    attempt=row.attempt,
                    worker=row.worker,
                    detail=row.detail,
                )
                for row in rows
            ]

    def page(
        self, query: TaskQuery, *, cursor: str | None = None, limit: int = 50
    ) -> tuple[list[TaskRecord], str | None]:
        """Return a page of records, last updated first, and the cursor of the next page."""
        of = self._schema.task.c
        statement = select(self._schema.task).where(*self._conditions(query))
        if cursor is not None:
            after = tuple_(*read_cursor(cursor, int, int))
            statement = statement.where(tuple_(of.updated_us, of.seq) < after)
        statement = statement.order_by(of.updated_us.desc(), of.seq.desc()).limit(limit + 1)
        with self._database.read("page") as transaction:
            rows = transaction.connection.execute(statement).all()
        following = (
            write_cursor(rows[limit - 1].updated_us, rows[limit - 1].seq) if len(rows) > limit else None
        )
        return [_record(row) for row in rows[:limit]], following

    def _conditions(self, query: TaskQuery) -> list[ColumnElement[bool]]:
        of = self._schema.task.c
        equal = {of.queue: query.queue, of.state: query.state, of.name: query.name, of.worker: query.worker}
        conditions = [column == value for column, value in equal.items() if value is not None]
        if query.state not in (None, TaskState.SUCCEEDED):
            # Said again as the condition of the index for these states.
            conditions.append(of.state != SUCCEEDED)
        if query.since is not None:
            conditions.append(of.updated_us >= micros(query.since))
        if query.until is not None:
            conditions.append(of.updated_us < micros(query.until))
        return conditions

    def wait(self, task_ids: Collection[str], *, timeout_s: float) -> None:
        """Block until one of the records may have changed, or ``timeout_s`` pass."""
        given = members(task_ids)
        deadline = self._clock.monotonic() + timeout_s
        # Not the pool's: a waiting thread keeps its connection for long.
        own = self._database.own()
        woken = Event()
        try:
            with self._database.translated("wait"):
                watch = self._database.dialect.watch(own.connection)
            before = self._look(own, given)
            now = before
            while now == before and not any(state in TERMINAL_STATES for state, _ in now.values()):
                left_s = deadline - self._clock.monotonic()
                if left_s <= 0:
                    return
                with self._database.translated("wait"):
                    watch.pause(left_s, woken=woken)
                # Before the look, so that what comes after it ends the next pause.
                woken.clear()
                now = self._look(own, given)
        finally:
            own.close()

    def _look(self, own: OwnConnection, given: str) -> dict[str, tuple[str, int]]:
        with own.read("wait") as transaction:
            rows = transaction.connection.execute(self._progress, {"given": given})
            return {task_id: (state, updated_us) for task_id, state, updated_us in rows}

    @repeated
    def forget(self, task_ids: Collection[str]) -> int:
        """Delete the records of tasks that have ended, with their timelines; return how many."""
        with self._database.write("forget") as transaction:
            given = {"given": members(task_ids)}
            return self._remove(
                transaction, transaction.connection.execute(self._ended, given).scalars().all()
            )

    @repeated
    def prune(self, *, limit: int) -> int:
        """Delete up to ``limit`` records whose time to live has passed; return how many."""
        with self._database.write("prune") as transaction:
            given = {"now": transaction.now_us, "at_most": limit}
            return self._remove(
                transaction, transaction.connection.execute(self._expired, given).scalars().all()
            )

    def _remove(self, transaction: Transaction, seqs: Sequence[int]) -> int:
        given = {"given": members(seqs)}
        transaction.connection.execute(self._delete_events, given)
        transaction.connection.execute(self._delete, given)
        return len(seqs)

    def close(self) -> None:
        """Free the connections. May be called twice."""
        self._database.close()


def _record(row: AnyRow) -> TaskRecord:
    return TaskRecord(
        id=row.id,
        name=row.name,
        queue=row.queue,
        state=TaskState(row.state),
        attempt=row.attempt,
        deliveries=row.deliveries,
        generation=row.generation,
        worker=row.worker,
        sent_at=moment(row.sent_us),
        updated_at=moment(row.updated_us),
        started_at=moment_or_none(row.started_us),
        finished_at=moment_or_none(row.finished_us),
        runtime_s=row.runtime_s,
        result=row.result,
        error=read_error(row.error),
        progress=row.progress,
        root_id=row.root_id,
        parent_id=row.parent_id,
        group_id=row.group_id,
        expires_at=moment_or_none(row.expires_us),
        fence=row.fence,
    )


if TYPE_CHECKING:
    _: Callable[..., Results] = SqlResults
