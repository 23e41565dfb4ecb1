"""Connections and transactions: one pool for each process, the schema looked at once."""

from __future__ import annotations

import os
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sqlalchemy.exc import DBAPIError

from stem.adapters.sql.errors import is_harmless, translated
from stem.adapters.sql.migrate import ensure_schema
from stem.adapters.sql.schema import Schema
from stem.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Collection, Generator, Hashable

    from sqlalchemy import Connection, Engine

    from stem.adapters.sql.dialect import Dialect


@dataclass(frozen=True, slots=True)
class Transaction:
    """A connection in use, and the store's time when its use began.

    Attributes:
        bells: What to ring for after the commit: queues, and `stem.adapters.sql.bells.RESULTS`.
    """

    connection: Connection
    now_us: int
    bells: set[str] = field(default_factory=set[str])


class Database:
    """One namespace in one database. Any thread, any number of processes."""

    def __init__(self, dialect: Dialect, *, namespace: str) -> None:
        self.dialect = dialect
        self.schema = Schema(namespace, place=dialect.schema)
        self._engine_of = (os.getpid(), dialect.engine())
        self._looked_at: Hashable = None
        # No lock, which a fork could copy while it is held: a set takes each of these steps at once.
        self._connected: set[OwnConnection] = set()

    @contextmanager
    def read(self, operation: str) -> Generator[Transaction]:
        """Lend a connection for reading; each statement sees what is committed when it begins.

        Raises:
            StoreError: Of the right kind, whatever fails inside.
        """
        with self.translated(operation), self._engine().connect() as connection:
            self.prepare(connection)
            with reading(self.dialect, connection) as transaction:
                yield transaction

    @contextmanager
    def write(self, operation: str) -> Generator[Transaction]:
        """Lend a connection with a transaction that writes; it is committed at the end, or rolled back.

        Raises:
            StoreError: Of the right kind, whatever fails inside.
        """
        with self.translated(operation), self._engine().connect() as connection:
            self.prepare(connection)
            with writing(self.dialect, connection) as transaction:
                yield transaction

    def own(self) -> OwnConnection:
        """Return a connection for one thread alone; it connects on first use."""
        return OwnConnection(self, connected=self._connected)

    def ring(self, names: Collection[str]) -> None:
        """Wake those who wait for these names; see `stem.adapters.sql.dialect.Dialect.ring`."""
        with suppress(StoreError), self.read("ring") as transaction:
            self.dialect.ring(transaction.connection, names)

    def connect(self) -> Connection:
        """Return a new connection that is not the pool's."""
        connection = self._engine().connect()
        connection.detach()
        return connection

    def prepare(self, connection: Connection) -> None:
        """Make sure that the schema is there, the first time that this database is met."""
        identity = self.dialect.identity(connection)
        if identity != self._looked_at:
            ensure_schema(connection, dialect=self.dialect, namespace=self.schema.namespace)
            connection.rollback()
            self._looked_at = identity

    @contextmanager
    def translated(self, operation: str) -> Generator[None]:
        """Raise what goes wrong inside as a `StoreError`."""
        with translated(address=self.dialect.address, place=self.dialect.place, operation=operation):
            yield

    def _engine(self) -> Engine:
        pid, engine = self._engine_of
        if pid != os.getpid():
            abandon(engine)
            engine = self.dialect.engine()
            # Two threads may both come here; one of the two engines is then
            # dropped with the connection that it made, which does no harm.
            self._engine_of = (os.getpid(), engine)
        return engine

    def close(self) -> None:
        """Close every connection; no thread may be using one. May be called twice."""
        for own in list(self._connected):
            own.close()
        self.dialect.close()
        pid, engine = self._engine_of
        if pid == os.getpid():
            engine.dispose()


class OwnConnection:
    """A connection that one thread keeps, made again when it broke or a fork has copied it.

    Args:
        connected: Holds this object as long as it holds a connection.
    """

    def __init__(self, database: Database, *, connected: set[OwnConnection]) -> None:
        self._database = database
        self._connected = connected
        self._connection_of: tuple[int, Connection] | None = None

    @contextmanager
    def read(self, operation: str) -> Generator[Transaction]:
        """Use the connection for reading; see `Database.read`."""
        database = self._database
        with database.translated(operation), reading(database.dialect, self.connection()) as transaction:
            yield transaction

    @contextmanager
    def write(self, operation: str) -> Generator[Transaction]:
        """Use the connection for a transaction that writes; see `Database.write`."""
        database = self._database
        with database.translated(operation), writing(database.dialect, self.connection()) as transaction:
            yield transaction

    def connection(self) -> Connection:
        """Return the connection, ready for use."""
        if self._connection_of is not None:
            pid, connection = self._connection_of
            if pid != os.getpid():
                abandon(connection)
            elif connection.invalidated or not self._database.dialect.is_current(connection):
                _drop(connection)
                connection.close()
            else:
                return connection
        connection = self._database.connect()
        self._connection_of = (os.getpid(), connection)
        self._connected.add(self)
        self._database.prepare(connection)
        return connection

    def close(self) -> None:
        """Close the connection. May be called twice; the next use makes a new one."""
        if self._connection_of is not None and self._connection_of[0] == os.getpid():
            self._connection_of[1].close()
        self._connection_of = None
        self._connected.discard(self)


@contextmanager
def reading(dialect: Dialect, connection: Connection) -> Generator[Transaction]:
    """Use ``connection`` without a transaction, each statement for itself."""
    try:
        yield Transaction(connection, dialect.now_us(connection))
    except DBAPIError as error:
        _give_up(connection, error)
        raise
    finally:
        connection.rollback()


@contextmanager
def writing(dialect: Dialect, connection: Connection) -> Generator[Transaction]:
    """Use ``connection`` with a transaction that writes."""
    try:
        dialect.begin(connection)
        transaction = Transaction(connection, dialect.now_us(connection))
        yield transaction
        connection.commit()
    except DBAPIError as error:
        _give_up(connection, error)
        raise
    finally:
        connection.rollback()
    if transaction.bells:
        dialect.ring(connection, transaction.bells)


def _give_up(connection: Connection, error: DBAPIError) -> None:
    # What a failed disk or a damaged file leaves behind in a connection is not worth finding out.
    if not is_harmless(error):
        _drop(connection)


def _drop(connection: Connection) -> None:
    """Take a connection out of use, and close what the driver holds."""
    if connection.invalidated:
        return
    held = connection.connection.dbapi_connection
    connection.invalidate()
    # SQLAlchemy closes what belongs to its pool, and only forgets the rest.
    if held is not None:
        with suppress(Exception):  # it is broken: whatever closing it says is no news
            held.close()


def abandon(inherited: object) -> None:
    """Forget what a fork has copied, without closing it.

    Closing it would take part in the parent's locking, and could roll back what
    the parent is writing. So it gets a reference that nobody gives back, which
    also holds at the end of the process.
    """
    import ctypes

    ctypes.pythonapi.Py_IncRef(ctypes.py_object(inherited))
