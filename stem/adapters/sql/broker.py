"""Taking messages in and handing sources out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from stem.adapters.sql.conflicts import repeated
from stem.adapters.sql.joining import publish_in
from stem.adapters.sql.messages import raw_row
from stem.adapters.sql.source import SqlSource
from stem.message import ErrorInfo
from stem.ports.broker import Capabilities, Reclaimed
from stem.states import DeadReason

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from stem.adapters.sql.database import Database
    from stem.adapters.sql.messages import Held
    from stem.adapters.sql.tables import Tables
    from stem.clock import Clock
    from stem.ports.broker import Broker, LeaseSource, Publication, TransactionalBroker

_CAPABILITIES: Final = Capabilities(atomic_results=True)


class SqlBroker:
    """A `stem.ports.broker.Broker`."""

    def __init__(self, database: Database, tables: Tables, *, clock: Clock) -> None:
        self._database = database
        self._tables = tables
        self._clock = clock

    @property
    def capabilities(self) -> Capabilities:
        """All of it native; task records in the same transaction."""
        return _CAPABILITIES

    @property
    def address(self) -> str:
        """The URL without options."""
        return self._database.dialect.address

    @repeated
    def publish(self, publications: Sequence[Publication]) -> list[bool]:
        """Store each message, and its record in the same transaction."""
        if not publications:
            return []
        with self._database.write("publish") as transaction:
            return self._tables.publish(transaction, publications)

    def publish_in(self, connection: object, publications: Sequence[Publication]) -> list[bool]:
        """Store each message and its record within the transaction of ``connection``."""
        return publish_in(self._database, self._tables, connection, publications)

    @repeated
    def publish_raw(self, queue: str, payload: str) -> None:
        """Store a message in transport form, unchecked, as a foreign producer would write it."""
        raw = payload.encode(errors="surrogatepass")
        with self._database.write("publish") as transaction:
            row = raw_row(queue, raw, due_us=transaction.now_us, now_us=transaction.now_us)
            self._tables.messages.add(transaction, [row])

    def source(self, *, owner: str) -> LeaseSource:
        """Return a new source for the worker ``owner``; it connects by its first call."""
        return SqlSource(self._database, self._tables, owner=owner, clock=self._clock)

    @repeated
    def reclaim(self, *, limit: int, max_deliveries: int) -> list[Reclaimed]:
        """Take away up to ``limit`` leases that have lapsed."""
        with self._database.read("reclaim") as transaction:
            if not self._tables.messages.any_lapsed(transaction):
                return []
        with self._database.write("reclaim") as transaction:
            lapsed = self._tables.messages.lapsed(transaction, limit=limit)
            worn_out = [message for message in lapsed if message.deliveries >= max_deliveries]
            self._tables.bury(transaction, worn_out, DeadReason.WORKER_LOST, _lost)
            others = [message for message in lapsed if message.deliveries < max_deliveries]
            self._tables.hand_on(transaction, others)
        return [
            Reclaimed(
                task_id=message.task_id,
                task=message.task,
                queue=message.queue,
                deliveries=message.deliveries,
                owner=message.owner,
                buried=message.deliveries >= max_deliveries,
            )
            for message in lapsed
        ]

    def close(self) -> None:
        """Free the connections. May be called twice."""
        self._database.close()


def _lost(message: Held) -> ErrorInfo:
    text = f"delivered {message.deliveries} times without an outcome, the last time to {message.owner}"
    return ErrorInfo(type="stem.errors.WorkerLostError", message=text)


if TYPE_CHECKING:
    _: Callable[..., Broker] = SqlBroker
    _joins: Callable[..., TransactionalBroker] = SqlBroker
