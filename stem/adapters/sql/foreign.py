"""What Kombu's producers and consumers do with the message tables, without Kombu.

What they put here, `stem.adapters.sql.source` leases, and the other way round. A
message that a consumer takes is leased to it; nobody renews that lease, so it has
to cover the longest task. When it lapses any consumer hands it on, since a fleet of
Celery workers has no reaper.
"""

from __future__ import annotations

import json
import logging
import os
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from stem.adapters.sql.conflicts import repeated
from stem.adapters.sql.exchanges import Exchanges
from stem.adapters.sql.messages import given_back, new_row
from stem.adapters.sql.queues import SqlQueues
from stem.adapters.sql.rows import due_us, plain, span_us
from stem.adapters.sql.tables import Tables
from stem.adapters.sql.transport_form import read_transport_form
from stem.codecs import read_envelope, read_label
from stem.message import Envelope, ErrorInfo, Refusal
from stem.ports.broker import NOW
from stem.states import DeadReason

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime, timedelta

    from stem.adapters.sql.database import Database, Transaction
    from stem.adapters.sql.dialect import Watch
    from stem.adapters.sql.messages import Held
    from stem.clock import Clock
    from stem.message import Message

log = logging.getLogger(__name__)

Buried: TypeAlias = "tuple[Held, DeadReason]"

_OWNERS: Final = "kombu:"
_HAND_ON_EVERY_S: Final = 1.0
_AT_ONCE: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """A message that a consumer has taken.

    Attributes:
        fields: The message in transport form.
        redelivered: Whether it had been delivered before.
    """

    token: str
    fields: dict[str, Any]
    redelivered: bool


class ForeignQueues:
    """The message tables as a Kombu channel needs them. Any thread, but one at a time for `take`."""

    def __init__(self, database: Database, *, clock: Clock) -> None:
        self._database = database
        self._tables = Tables(database)
        self._exchanges = Exchanges(database.schema, database.dialect)
        self._queues = SqlQueues(database, self._tables)
        self._clock = clock
        self._hand_on_at_s = clock.monotonic()
        self._own = database.own()
        self._watch: Watch | None = None
        # Queues found empty since the last commit, and when the next delayed message of each is due.
        self._empty: dict[str, int | None] = {}

    def check(self) -> None:
        """Connect once, so that a database that cannot be used shows at once."""
        with self._database.read("connect"):
            pass

    @repeated
    def put(self, queues: Collection[str], payload: str, message: Message, *, priority: int) -> None:
        """Store a copy of a message in each queue; one with an eta is not leased before it."""
        with self._database.write("publish") as transaction:
            now_us = transaction.now_us
            row = new_row(
                queue="",
                payload=payload.encode(errors="surrogatepass"),
                label=read_label(message),
                priority=priority,
                due_us=due_us(_eta(message) or NOW, now_us=now_us),
                now_us=now_us,
            )
            self._tables.messages.add(transaction, [{**row, "queue": plain(queue)} for queue in queues])

    def take(self, queue: str, *, lease: timedelta, keep: bool) -> Taken | None:
        """Lease the next message of a queue; None when there is none.

        What cannot be read is buried on the way.

        Args:
            keep: False removes the message at once, for consumers that do not acknowledge.
        """
        self._hand_on()
        if self._is_empty(queue):
            return None
        refused: list[Buried] = []
        with self._database.write("get") as transaction:
            self._tables.messages.promote(transaction, queue)
            taken = self._take(transaction, queue, lease, refused)
            if taken is not None and not keep:
                held = self._tables.messages.held(transaction, [taken.token])
                self._tables.messages.remove(transaction, [message.id for message in held.values()])
        _tell(refused)
        return taken

    def _is_empty(self, queue: str) -> bool:
        # Asked twenty times a second for each queue of an idle consumer, so it has to be cheap.
        if self._is_known_empty(queue):
            return True
        with self._own.read("get") as transaction:
            outlook = self._tables.messages.outlook(transaction, json.dumps([queue]))
        if outlook.stocked:
            return False
        self._empty[queue] = outlook.next_us
        return True

    def _is_known_empty(self, queue: str) -> bool:
        with self._database.translated("get"):
            connection = self._own.connection()
            if self._watch is None:
                self._watch = self._database.dialect.watch(self._own.connection)
            if self._watch.changed():
                self._empty.clear()
            if queue not in self._empty:
                return False
            next_us = self._empty[queue]
            return next_us is None or next_us > self._database.dialect.now_us(connection)

    def _take(
        self, transaction: Transaction, queue: str, lease: timedelta, refused: list[Buried]
    ) -> Taken | None:
        owner = f"{_OWNERS}{os.getpid()}@{socket.gethostname()}"
        lease_us = span_us(lease)
        while claimed := self._tables.messages.claim(
            transaction, queue, limit=1, lease_us=lease_us, owner=owner
        ):
            (message,) = claimed
            fields = read_transport_form(message.payload)
            if not isinstance(fields, Refusal):
                return Taken(token=message.token, fields=fields, redelivered=message.deliveries > 1)
            error = ErrorInfo(type="stem.Refused", message=fields.detail)
            refused += self._bury(transaction, message.token, fields.reason, error)
        return None

    def _hand_on(self) -> None:
        now_s = self._clock.monotonic()
        if now_s < self._hand_on_at_s:
            return
        self._hand_on_at_s = now_s + _HAND_ON_EVERY_S
        with self._database.read("reclaim") as transaction:
            if not self._tables.messages.any_lapsed(transaction):
                return
        with self._database.write("reclaim") as transaction:
            lapsed = self._tables.messages.lapsed(transaction, limit=_AT_ONCE, owners=f"{_OWNERS}%")
            self._tables.hand_on(transaction, lapsed)

    @repeated
    def acknowledge(self, token: str) -> bool:
        """Remove a message; return whether its lease was still held."""
        with self._database.write("ack") as transaction:
            held = self._tables.messages.held(transaction, [token])
            self._tables.messages.remove(transaction, [message.id for message in held.values()])
        return bool(held)

    @repeated
    def refuse(self, token: str) -> bool:
        """Bury a message that its consumer does not want; return whether its lease was still held."""
        error = ErrorInfo(type="stem.Rejected", message="rejected by its consumer")
        with self._database.write("reject") as transaction:
            buried = self._bury(transaction, token, DeadReason.REJECTED, error)
        _tell(buried)
        return bool(buried)

    def _bury(
        self, transaction: Transaction, token: str, reason: DeadReason, error: ErrorInfo
    ) -> list[Buried]:
        held = list(self._tables.messages.held(transaction, [token]).values())
        self._tables.bury(transaction, held, reason, lambda _: error)
        return [(message, reason) for message in held]

    @repeated
    def give_back(self, tokens: Collection[str]) -> int:
        """Make messages ready again; return how many leases were still held."""
        with self._database.write("release") as transaction:
            held = self._tables.messages.held(transaction, tokens)
            rows = [
                given_back(message.id, NOW, counted=True, now_us=transaction.now_us)
                for message in held.values()
            ]
            self._tables.messages.give_back(transaction, rows)
            self._tables.records.take_back(transaction, list(held.values()), reclaimed=False)
        return len(held)

    def size(self, queue: str) -> int:
        """Return how many messages could be taken from a queue."""
        (stats,) = self._queues.stats([queue])
        return stats.ready

    def purge(self, queue: str) -> int:
        """Remove what waits in a queue; return how many messages."""
        return self._queues.purge(queue)

    def exists(self, queue: str) -> bool:
        """Return whether a queue was declared, or held a message."""
        with self._database.read("declare") as transaction:
            return self._exchanges.exists(transaction, queue)

    @repeated
    def declare(self, queue: str, *, idle: timedelta | None) -> None:
        """Declare a queue; a transient one goes when nobody has looked into it for ``idle``."""
        if idle is not None:
            self._sweep()
        with self._database.write("declare") as transaction:
            self._exchanges.declare(transaction, queue, idle_us=None if idle is None else span_us(idle))

    def make_transient(self, queue: str, *, idle: timedelta) -> None:
        """Let a queue go when nobody has looked into it for ``idle``, from now."""
        with self._database.write("declare") as transaction:
            self._exchanges.make_transient(transaction, queue, idle_us=span_us(idle))

    def use(self, queue: str) -> bool:
        """Note that somebody looks into a transient queue; return whether it is still there."""
        with self._database.write("use") as transaction:
            self._exchanges.use(transaction, queue)
            return self._exchanges.exists(transaction, queue)

    def _sweep(self) -> None:
        with self._database.read("sweep") as transaction:
            unused = self._exchanges.unused(transaction)
        for queue in unused:
            self.drop(queue, only_unused=True)

    def drop(self, queue: str, *, only_unused: bool = False) -> None:
        """Delete a queue with what waits in it. What is leased stays with its consumer."""
        with self._database.write("delete") as transaction:
            if only_unused and queue not in self._exchanges.unused(transaction):
                return
            self._exchanges.forget_queues(transaction, [queue])
        self._queues.purge(queue)

    @repeated
    def bind(self, exchange: str, routing_key: str, pattern: str, queue: str) -> None:
        """Let an exchange feed a queue."""
        with self._database.write("bind") as transaction:
            self._exchanges.bind(transaction, exchange, routing_key, pattern, queue)

    def unbind(self, exchange: str, routing_key: str, pattern: str, queue: str) -> None:
        """Stop feeding a queue from an exchange."""
        with self._database.write("unbind") as transaction:
            self._exchanges.unbind(transaction, exchange, routing_key, pattern, queue)

    def bindings(self, exchange: str) -> list[tuple[str, str, str]]:
        """Return an exchange's bindings: routing key, pattern and queue."""
        with self._database.read("route") as transaction:
            return self._exchanges.table(transaction, exchange)

    def forget_exchange(self, exchange: str) -> None:
        """Delete an exchange's bindings."""
        with self._database.write("delete") as transaction:
            self._exchanges.forget_exchange(transaction, exchange)

    def close(self) -> None:
        """Free the connections. May be called twice."""
        self._database.close()


def _tell(buried: list[Buried]) -> None:
    for message, reason in buried:
        log.warning(
            "message.buried",
            extra={"task_id": message.task_id, "queue": message.queue, "reason": str(reason)},
        )


def _eta(message: Message) -> datetime | None:
    if message.headers.get("eta") is None:
        return None
    envelope = read_envelope(message, queue="")
    return envelope.eta if isinstance(envelope, Envelope) else None
