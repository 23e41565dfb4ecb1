"""What differs between databases. Another database adds one of these and nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Hashable
    from threading import Event

    from sqlalchemy import Connection, Engine, FromClause, Insert, Table, Update
    from sqlalchemy import Dialect as SqlalchemyDialect

    from stem.adapters.sql.schema import Schema


class Watch(Protocol):
    """Tells that another connection has committed something. Owned by one thread."""

    def changed(self) -> bool:
        """Return whether another connection has committed since the last call, or the watch was made."""
        ...

    def pause(self, seconds: float, *, woken: Event) -> None:
        """Block until `changed`, or for ``seconds``.

        Args:
            seconds: Above 0.
            woken: Ends the pause early, too.
        """
        ...

    def quicken(self) -> None:
        """Expect the next commit soon: something has just happened."""
        ...


class Dialect(Protocol):
    """One database server or file, and its kind's own ways."""

    @property
    def address(self) -> str:
        """The URL without options, secrets masked."""
        ...

    @property
    def place(self) -> str:
        """What a person would have to look at: a path, or a host."""
        ...

    @property
    def schema(self) -> str | None:
        """The schema in which the tables are; None where databases have none."""
        ...

    @property
    def compiler(self) -> SqlalchemyDialect:
        """SQLAlchemy's dialect, with parameters by name."""
        ...

    def engine(self) -> Engine:
        """Return a new engine; it connects on first use."""
        ...

    def identity(self, connection: Connection) -> Hashable:
        """Return what the connection reaches; another value is another database, with a schema of its own."""
        ...

    def is_current(self, connection: Connection) -> bool:
        """Return whether the connection still reaches what its URL names."""
        ...

    def begin(self, connection: Connection) -> None:
        """Begin a transaction that writes."""
        ...

    def join(self, connection: Connection) -> str | None:
        """Make sure that somebody else's connection reaches this database and has a transaction.

        Returns:
            What is wrong with the connection, one sentence; None when it can be used.
        """
        ...

    def begin_migration(self, connection: Connection) -> None:
        """Begin a transaction that changes tables, and wait for others that do so."""
        ...

    def now_us(self, connection: Connection) -> int:
        """Return the store's own time."""
        ...

    def reserve(self, connection: Connection, ids: Collection[str]) -> None:
        """Let no other transaction that reserves one of these ids go on before this one ends."""
        ...

    def ring(self, connection: Connection, names: Collection[str]) -> None:
        """Wake those who wait for these queues, or for results, if they do not find out by themselves.

        Never raises: what they wait for is committed, and they look in the end.

        Args:
            connection: Outside of a transaction.
            names: See `Transaction.bells <stem.adapters.sql.database.Transaction>`.
        """
        ...

    def insert(self, table: Table) -> Insert:
        """Return the statement that inserts rows, but passes over those whose primary key exists."""
        ...

    def members(self, name: str, *, numbers: bool = False) -> FromClause:
        """Return a table with the column ``value``: the JSON array that is bound as ``name``, in order.

        Args:
            numbers: Whether it holds whole numbers; otherwise it holds texts.
        """
        ...

    def claim(self, schema: Schema) -> Update:
        """Return the statement that leases messages of one queue, unless it is paused.

        It takes ``of_queue``, ``at_most``, ``until`` and ``holder``, and returns ``id``, ``priority``,
        ``fence``, ``deliveries`` and ``payload`` of what it leased, in any order.
        """
        ...

    def watch(self, connection: Callable[[], Connection]) -> Watch:
        """Return a watch over the database.

        Args:
            connection: Gives the connection to use, which is the watch's own while it is used.
        """
        ...

    def close(self) -> None:
        """End what watches have started. May be called twice; the next watch starts it again."""
        ...
