"""Taking messages in and handing sources out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from stem.adapters.sql.burials import lost
from stem.adapters.sql.messages import given_back, raw_row
from stem.adapters.sql.source import SqlSource
from stem.message import ErrorInfo
from stem.ports.broker import NOW, Capabilities, Reclaimed
from stem.states import DeadReason

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from stem.adapters.sql.database import Database, Transaction
    from stem.adapters.sql.messages import Held
    from stem.adapters.sql.tables import Tables
    from stem.clock import Clock
    from stem.ports.broker import Broker, LeaseSource, Publication

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

    def publish(self, publications: Sequence[Publication]) -> list[bool]:
        """Store each message, and its record in the same transaction."""
        if not publications:
            return []
        with self._database.write("publish") as transaction:
            return self._tables.publish(transaction, publications)

    def publish_raw(self, queue: str, payload: str) -> None:
        """Store a message in transport form, unchecked, as a foreign producer would write it.

        Args:
            payload: Escaped bytes (``surrogateescape``) are stored as these bytes.
        """
        raw = payload.encode("utf-8", "surrogateescape")
        with self._database.write("publish") as transaction:
            row = raw_row(queue, raw, due_us=transaction.now_us, now_us=transaction.now_us)
            self._tables.messages.add(transaction, [row])

    def source(self, *, owner: str) -> LeaseSource:
        """Return a new source for the worker ``owner``; it connects by its first call."""
        return SqlSource(self._database, self._tables, owner=owner, clock=self._clock)

    def reclaim(self, *, limit: int, max_deliveries: int) -> list[Reclaimed]:
        """Take away up to ``limit`` leases that have lapsed."""
        with self._database.read("reclaim") as transaction:
            if not self._tables.messages.any_lapsed(transaction):
                return []
        with self._database.write("reclaim") as transaction:
            lapsed = self._tables.messages.lapsed(transaction, limit=limit)
            self._bury(transaction, [held for held in lapsed if held.deliveries >= max_deliveries])
            self._hand_on(transaction, [held for held in lapsed if held.deliveries < max_deliveries])
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

    def _bury(self, transaction: Transaction, messages: Sequence[Held]) -> None:
        rows = [
            lost(
                message,
                DeadReason.WORKER_LOST,
                _lost_detail(message),
                {"owner": message.owner},
                now_us=transaction.now_us,
            )
            for message in messages
        ]
        self._tables.burials.copy(transaction, rows)
        self._tables.messages.remove(transaction, [message.id for message in messages])
        self._tables.records.fail(
            transaction,
            messages,
            [ErrorInfo(type="stem.errors.WorkerLostError", message=_lost_detail(held)) for held in messages],
        )

    def _hand_on(self, transaction: Transaction, messages: Sequence[Held]) -> None:
        rows = [given_back(message.id, NOW, counted=True, now_us=transaction.now_us) for message in messages]
        self._tables.messages.give_back(transaction, rows)
        self._tables.records.take_back(transaction, messages, reclaimed=True)

    def close(self) -> None:
        """Free the connections. May be called twice."""
        self._database.close()


def _lost_detail(message: Held) -> str:
    return f"delivered {message.deliveries} times without an outcome, the last time to {message.owner}"


if TYPE_CHECKING:
    _: Callable[..., Broker] = SqlBroker
