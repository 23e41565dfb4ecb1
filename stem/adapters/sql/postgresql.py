"""PostgreSQL: every statement counts by the server's clock, and many write at once.

Statements run outside of transactions unless one is begun, at READ COMMITTED: what
a statement finds locked it finds again as the other transaction left it. The few
rules that need more than row locks (an id is live only once, one migrates) take
advisory locks, which end with their transaction.
"""

from __future__ import annotations

import os
import select as sockets
from typing import TYPE_CHECKING, Any, Final

import psycopg
from sqlalchemy import (
    BigInteger,
    Text,
    bindparam,
    cast,
    column,
    create_engine,
    event,
    func,
    select,
    text,
    update,
)
from sqlalchemy.dialects import postgresql
from sqlalchemy.exc import DBAPIError, InvalidatePoolError
from sqlalchemy.pool import QueuePool

from stem.adapters.sql.bells import BellWatch, Limiter
from stem.adapters.sql.listener import Listener
from stem.adapters.sql.rows import members
from stem.adapters.sql.schema import LEASED, READY, next_fence

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Hashable

    from sqlalchemy import Connection, Engine, FromClause, Insert, Table, Update
    from sqlalchemy import Dialect as SqlalchemyDialect

    from stem.adapters.sql.dialect import Dialect, Watch
    from stem.adapters.sql.schema import Schema
    from stem.adapters.sql.server import Server
    from stem.clock import Clock

_POOLED: Final = 4
# Ids share this many locks. One for each would fill the server's table of locks in a bulk publish.
_ID_LOCKS: Final = 256
_NOW: Final = "(extract(epoch from clock_timestamp()) * 1000000)::bigint"
_PREPARE_AFTER: Final = 5
_PAYLOAD: Final = 1000
_RING: Final = text(
    "SELECT pg_notify(:channel, value) FROM json_array_elements_text(CAST(:given AS json)) AS given (value)"
)
# In order, so that two that reserve the same ids do not wait for each other.
_RESERVE: Final = text(
    "SELECT pg_advisory_xact_lock(key) FROM ("
    f"SELECT DISTINCT hashtextextended(:lock, 1 + abs(hashtext(value) % {_ID_LOCKS})) AS key "
    "FROM json_array_elements_text(CAST(:given AS json)) AS given (value) ORDER BY key) AS keys"
)


class PostgresqlDialect:
    """PostgreSQL's ways with the database on ``server``."""

    def __init__(self, server: Server, *, namespace: str, clock: Clock) -> None:
        self._server = server
        self._clock = clock
        self._lock_name = f"{server.schema}.{namespace}"
        self._channel = f"{namespace}_bell"
        # SQLAlchemy gives this one function no types.
        self._compiler: SqlalchemyDialect = postgresql.psycopg.dialect()  # type: ignore[no-untyped-call]
        self._limiter = Limiter(clock)
        self._listeners: dict[int, Listener] = {}  # by process id

    @property
    def address(self) -> str:
        """The URL without options, the password masked."""
        return self._server.address

    @property
    def place(self) -> str:
        """The hosts and their ports."""
        return self._server.hosts

    @property
    def schema(self) -> str | None:
        """The schema in which the tables are."""
        return self._server.schema

    @property
    def compiler(self) -> SqlalchemyDialect:
        """SQLAlchemy's dialect, with parameters by name."""
        return self._compiler

    def engine(self) -> Engine:
        """Return a new engine; it connects on first use."""
        engine = create_engine(
            "postgresql+psycopg://",
            creator=self.connect,
            # Transactions are begun and ended by hand, so that a lone statement costs one round trip.
            isolation_level="AUTOCOMMIT",
            poolclass=QueuePool,
            pool_size=_POOLED,
            max_overflow=-1,
            use_native_hstore=False,
            # Statements carry arguments of tasks; an error's text must not.
            hide_parameters=True,
        )
        event.listen(engine, "checkout", _refuse_a_dead_one)
        return engine

    def connect(self) -> psycopg.Connection[Any]:
        """Return a new connection of the driver, without a transaction."""
        prepare_after = _PREPARE_AFTER if self._server.listen else None
        return psycopg.connect(
            **self._server.parameters,  # type: ignore[arg-type] # libpq's options, all of them text
            autocommit=True,
            prepare_threshold=prepare_after,
        )

    def identity(self, connection: Connection) -> Hashable:
        """Return the database's URL without credentials."""
        return self._server.identity

    def is_current(self, connection: Connection) -> bool:
        """Return whether the server has not hung up, as far as this side knows."""
        return not _has_news(connection.connection.dbapi_connection)

    def begin(self, connection: Connection) -> None:
        """Begin a transaction that writes. Others write meanwhile."""
        connection.exec_driver_sql("BEGIN ISOLATION LEVEL READ COMMITTED")

    def join(self, connection: Connection) -> str | None:
        """Look whether it reaches the database; SQLAlchemy has begun a transaction, or will."""
        if connection.dialect.name != "postgresql" or connection.dialect.paramstyle != "pyformat":
            return f"expected a connection to {self.address} by psycopg, got {connection.engine.driver}"
        if getattr(connection.connection.dbapi_connection, "autocommit", False):
            return "expected a connection with transactions, got one with AUTOCOMMIT"
        reached = connection.exec_driver_sql("SELECT current_database()").scalar_one()
        if reached != self._server.database:
            return f"expected a connection to the database {self._server.database}, got one to {reached}"
        return None

    def begin_migration(self, connection: Connection) -> None:
        """Begin a transaction that changes tables, alone among those of this namespace."""
        self.begin(connection)
        connection.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(self._lock_name, 0))))
        name = self._server.schema
        found = connection.execute(select(func.to_regnamespace(name))).scalar()
        # Asked first: who may not make schemas may not say IF NOT EXISTS either.
        if found is None:
            connection.exec_driver_sql(f'CREATE SCHEMA "{name}"')

    def now_us(self, connection: Connection) -> int:
        """Return the server's time."""
        return int(connection.exec_driver_sql(f"SELECT {_NOW}").scalar_one())

    def reserve(self, connection: Connection, ids: Collection[str]) -> None:
        """Let no other transaction that reserves one of these ids go on before this one ends."""
        if ids:
            connection.execute(_RESERVE, {"lock": self._lock_name, "given": members(ids)})

    def ring(self, connection: Connection, names: Collection[str]) -> None:
        """Wake those who wait, by NOTIFY; outside of the transaction, which would wait for all others."""
        due = self._limiter.worth(names) if self._server.listen else []
        if not due:
            return
        try:
            given = {"channel": self._channel, "given": members(name[:_PAYLOAD] for name in due)}
            connection.execute(_RING, given)
        except DBAPIError:
            # What they wait for is committed, and they look in the end.
            connection.invalidate()

    def insert(self, table: Table) -> Insert:
        """Return the statement that inserts rows, but passes over those whose primary key exists."""
        return postgresql.insert(table).on_conflict_do_nothing()

    def members(self, name: str, *, numbers: bool = False) -> FromClause:
        """Return a table with the column ``value``: the JSON array that is bound as ``name``, in order."""
        given = cast(bindparam(name, type_=Text), postgresql.JSON)
        texts = func.json_array_elements_text(given).table_valued(column("value", Text), name=f"given_{name}")
        if not numbers:
            return texts.render_derived()
        return select(cast(texts.render_derived().c.value, BigInteger).label("value")).subquery()

    def claim(self, schema: Schema) -> Update:
        """Return the statement that leases messages of one queue, unless it is paused.

        One queue only: for several, as in ``queue = ANY (...) ORDER BY``, the server reads and sorts
        all that is ready (measured: 55 ms instead of 0.5 ms with 100,000 messages).
        """
        message, queue = schema.message, schema.queue
        paused = select(queue.c.name).where(queue.c.name == message.c.queue, queue.c.paused)
        # Not a subquery of the condition, which the server may run more than once: each run skips
        # nothing of what this transaction has locked, and so would lease more than was asked for.
        first = (
            select(message.c.id)
            .where(message.c.state == READY, message.c.queue == bindparam("of_queue"), ~paused.exists())
            .order_by(message.c.priority.desc(), message.c.id)
            .limit(bindparam("at_most"))
            .with_for_update(skip_locked=True)
            .cte("first")
        )
        return (
            update(message)
            .where(message.c.id == first.c.id)
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
                message.c.payload,
            )
        )

    def watch(self, connection: Callable[[], Connection]) -> Watch:
        """Return a watch that hears bells; it leaves the connection alone."""
        return BellWatch(self._clock, self._listener if self._server.listen else None)

    def _listener(self) -> Listener:
        # No lock, which a fork could copy while it is held: of two that are made at once one is dropped,
        # and does nothing before it is used.
        return self._listeners.setdefault(
            os.getpid(),
            Listener(self.connect, channel=self._channel, address=self.address, clock=self._clock),
        )

    def close(self) -> None:
        """End this process's listener. May be called twice; the next watch starts another."""
        listener = self._listeners.pop(os.getpid(), None)
        if listener is not None:
            listener.stop()


def _refuse_a_dead_one(connection: psycopg.Connection[Any], record: Any, _: object) -> None:
    # Not a new one: what is on its way then belongs to the start of the session.
    if record.info.setdefault("used", False) and _has_news(connection):
        raise InvalidatePoolError
    record.info["used"] = True


def _has_news(connection: Any) -> bool:
    # Between statements a server is silent, unless it has hung up. That costs no round trip to find out.
    if connection.closed:
        return True
    poll = sockets.poll()
    poll.register(connection.fileno(), sockets.POLLIN)
    return bool(poll.poll(0))


if TYPE_CHECKING:
    _: Callable[..., Dialect] = PostgresqlDialect
