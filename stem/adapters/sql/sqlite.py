"""SQLite: one file, several processes.

Writers take the write lock before they read (``BEGIN IMMEDIATE``), so that a
transaction never finds out half-way that it cannot go on; readers work on a
snapshot and disturb nobody (write-ahead log). All processes share the host's
clock, so it serves as the store's.
"""

from __future__ import annotations

import os
import sqlite3
from threading import Event
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import (
    LargeBinary,
    Text,
    bindparam,
    cast,
    column,
    create_engine,
    event,
    func,
    select,
    update,
)
from sqlalchemy.dialects import sqlite
from sqlalchemy.exc import InvalidatePoolError
from sqlalchemy.pool import QueuePool

from stem.adapters.sql.rows import micros
from stem.adapters.sql.schema import LEASED, READY, next_fence
from stem.clock import SystemClock
from stem.errors import StoreDeniedError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Hashable

    from sqlalchemy import Connection, Engine, FromClause, Insert, Table, Update
    from sqlalchemy import Dialect as SqlalchemyDialect

    from stem.adapters.sql.dialect import Dialect, Watch
    from stem.adapters.sql.location import Location
    from stem.adapters.sql.schema import Schema
    from stem.clock import Clock

_PARAMSTYLE: Final = "named"
_POOLED: Final = 4
_FASTEST_POLL_S: Final = 0.005
_SLOWEST_POLL_S: Final = 0.05
_POLL_GROWTH: Final = 1.5


class SqliteDialect:
    """SQLite's ways with the file at ``location``."""

    def __init__(self, location: Location, *, clock: Clock) -> None:
        self._location = location
        self._clock = clock
        self._compiler = sqlite.dialect(paramstyle=_PARAMSTYLE)

    @property
    def address(self) -> str:
        """The URL without options."""
        return self._location.address

    @property
    def place(self) -> str:
        """The path of the file."""
        return self._location.path

    @property
    def schema(self) -> str | None:
        """None: one file, one schema."""
        return None

    @property
    def compiler(self) -> SqlalchemyDialect:
        """SQLAlchemy's dialect, with parameters by name."""
        return self._compiler

    def engine(self) -> Engine:
        """Return a new engine; it connects on first use."""
        engine = create_engine(
            "sqlite://",
            creator=self._connect,
            paramstyle=_PARAMSTYLE,
            poolclass=QueuePool,
            pool_size=_POOLED,
            max_overflow=-1,
            # Statements carry arguments of tasks; an error's text must not.
            hide_parameters=True,
        )
        event.listen(engine, "checkout", self._refuse_a_stranger)
        return engine

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self._location.path,
            timeout=self._location.busy_timeout.total_seconds(),
            isolation_level=None,  # begins nothing by itself
            check_same_thread=False,  # the pool hands it to one thread at a time
        )
        try:
            self._prepare(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _prepare(self, connection: sqlite3.Connection) -> None:
        mode = _enter_wal(connection, budget_s=self._location.busy_timeout.total_seconds())
        if mode != "wal":
            raise StoreDeniedError(
                server=self.address,
                operation="connect",
                reason=f"the file cannot have a write-ahead log (journal mode {mode})",
                remedy=f"put {self.place} on a local file system",
            )
        connection.execute(f"PRAGMA synchronous={self._location.synchronous}")

    def _refuse_a_stranger(self, connection: sqlite3.Connection, record: Any, _: object) -> None:
        inode = self._inode()
        if record.info.setdefault("inode", inode) != inode:
            raise InvalidatePoolError

    def _inode(self) -> tuple[int, int] | None:
        try:
            found = os.stat(self._location.path)
        except OSError:
            return None
        return found.st_dev, found.st_ino

    def identity(self, connection: Connection) -> Hashable:
        """Return the file's inode: a file that was deleted and made anew is another database."""
        return connection.info.get("inode")

    def is_current(self, connection: Connection) -> bool:
        """Return whether the path still names the file that the connection has open.

        SQLite itself does not look: it would go on to write to the deleted file.
        """
        return connection.info.get("inode") == self._inode()

    def begin(self, connection: Connection) -> None:
        """Begin a transaction that writes: take the write lock, or wait for it."""
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    def join(self, connection: Connection) -> str | None:
        """Begin the transaction that writes, unless the caller has done so."""
        raw: object = connection.connection.dbapi_connection
        if not isinstance(raw, sqlite3.Connection):
            return f"expected a connection to {self.address}, got one of {connection.dialect.name}"
        files = {name: path for _, name, path in raw.execute("PRAGMA database_list")}
        if os.path.realpath(files["main"]) != self._location.path:
            return f"expected a connection to {self.place}, got one to {files['main'] or ':memory:'}"
        if not raw.in_transaction:
            self.begin(connection)
        return None

    def begin_migration(self, connection: Connection) -> None:
        """Begin a transaction that changes tables."""
        self.begin(connection)

    def now_us(self, connection: Connection) -> int:
        """Return the host's time."""
        return micros(self._clock.wall())

    def reserve(self, connection: Connection, ids: Collection[str]) -> None:
        """Do nothing: there is one writer at a time."""

    def ring(self, connection: Connection, names: Collection[str]) -> None:
        """Do nothing: watches see each commit."""

    def insert(self, table: Table) -> Insert:
        """Return the statement that inserts rows, but passes over those whose primary key exists."""
        return sqlite.insert(table).on_conflict_do_nothing()

    def members(self, name: str, *, numbers: bool = False) -> FromClause:
        """Return a table with the column ``value``: the JSON array that is bound as ``name``, in order."""
        return func.json_each(bindparam(name, type_=Text)).table_valued(column("value"), name=f"given_{name}")

    def claim(self, schema: Schema) -> Update:
        """Return the statement that leases messages of one queue, unless it is paused."""
        message, queue = schema.message, schema.queue
        # Asked once, since it does not depend on the message.
        paused = select(queue.c.name).where(queue.c.name == bindparam("of_queue"), queue.c.paused)
        first = (
            select(message.c.id)
            .where(message.c.state == READY, message.c.queue == bindparam("of_queue"), ~paused.exists())
            .order_by(message.c.priority.desc(), message.c.id)
            .limit(bindparam("at_most"))
        )
        return (
            update(message)
            .where(message.c.id.in_(first))
            .values(
                state=LEASED,
                until_us=bindparam("until"),
                fence=next_fence(message),
                deliveries=message.c.deliveries + 1,
                owner=bindparam("holder"),
            )
            .returning(
                message.c.id,
                message.c.priority,
                message.c.fence,
                message.c.deliveries,
                # SQLite columns take what comes: text that a person has put there stays text, and
                # would not even be handed out when it is not UTF-8.
                cast(message.c.payload, LargeBinary).label("payload"),
            )
        )

    def watch(self, connection: Callable[[], Connection]) -> Watch:
        """Return a watch that asks SQLite for its count of commits, every 5 ms, later every 50 ms."""
        return _CommitWatch(connection, self._clock)

    def close(self) -> None:
        """Do nothing: watches start nothing."""


def _enter_wal(connection: sqlite3.Connection, *, budget_s: float) -> str:
    # Two processes that do this at once to a new file stand in each other's way, and SQLite tells one of
    # them so at once, without the patience that it has elsewhere. So the patience is here, in real time.
    clock = SystemClock()
    deadline = clock.monotonic() + budget_s
    while True:
        try:
            return str(connection.execute("PRAGMA journal_mode=WAL").fetchone()[0])
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or clock.monotonic() >= deadline:
                raise
            clock.wait(Event(), _FASTEST_POLL_S)


class _CommitWatch:
    def __init__(self, connection: Callable[[], Connection], clock: Clock) -> None:
        self._connection = connection
        self._clock = clock
        self._poll_s = _FASTEST_POLL_S
        self._seen = self._commits()

    def _commits(self) -> tuple[object, int]:
        # The driver's own cursor: SQLAlchemy's way to it would cost ten times the pragma itself.
        # Counts of two connections have nothing to do with each other, so each goes with its own.
        raw: Any = self._connection().connection.dbapi_connection
        return raw, raw.execute("PRAGMA data_version").fetchone()[0]

    def changed(self) -> bool:
        """Return whether another connection has committed since the last call, or the watch was made."""
        before, self._seen = self._seen, self._commits()
        return before != self._seen

    def pause(self, seconds: float, *, woken: Event) -> None:
        """Block until `changed`, or for ``seconds``."""
        deadline = self._clock.monotonic() + seconds
        while not self.changed():
            left = deadline - self._clock.monotonic()
            if left <= 0 or self._clock.wait(woken, min(left, self._poll_s)):
                return
            self._poll_s = min(self._poll_s * _POLL_GROWTH, _SLOWEST_POLL_S)

    def quicken(self) -> None:
        """Poll every 5 ms again."""
        self._poll_s = _FASTEST_POLL_S


if TYPE_CHECKING:
    _: Callable[..., Dialect] = SqliteDialect
