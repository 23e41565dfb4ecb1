"""Leasing for one worker."""

from __future__ import annotations

import json
from threading import Event
from typing import TYPE_CHECKING

from stem.adapters.sql.conflicts import repeated
from stem.adapters.sql.rows import span_us
from stem.adapters.sql.settling import settle
from stem.codecs import unpack
from stem.errors import StoreError
from stem.message import Delivery

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from datetime import timedelta

    from stem.adapters.sql.database import Database
    from stem.adapters.sql.dialect import Watch
    from stem.adapters.sql.messages import Claimed, Outlook
    from stem.adapters.sql.tables import Tables
    from stem.clock import Clock
    from stem.ports.broker import LeaseSource, Settlement


class SqlSource:
    """A `stem.ports.broker.LeaseSource` with a connection of its own."""

    def __init__(self, database: Database, tables: Tables, *, owner: str, clock: Clock) -> None:
        self._database = database
        self._tables = tables
        self._owner = owner
        self._clock = clock
        self._own = database.own()
        self._woken = Event()
        self._queues = "[]"
        self._watch: Watch | None = None

    @repeated
    def lease(self, queues: Sequence[str], *, limit: int, duration: timedelta) -> list[Delivery]:
        """Take up to ``limit`` ready messages, the first named queue's first."""
        self._queues = json.dumps(list(queues))
        outlook = self._outlook()
        if not outlook.stocked:
            return []
        deliveries: list[Delivery] = []
        with self._own.write("lease") as transaction:
            for queue, has_due in outlook.stocked.items():
                if has_due:
                    self._tables.messages.promote(transaction, queue)
                claimed = self._tables.messages.claim(
                    transaction,
                    queue,
                    limit=limit - len(deliveries),
                    lease_us=span_us(duration),
                    owner=self._owner,
                )
                deliveries += [_delivery(queue, message) for message in claimed]
                if len(deliveries) == limit:
                    break
        if deliveries and self._watch is not None:
            self._watch.quicken()
        return deliveries

    def _outlook(self) -> Outlook:
        # Read before the write lock is asked for, so that idle workers leave it alone.
        with self._own.read("lease") as transaction:
            return self._tables.messages.outlook(transaction, self._queues)

    def wait(self, timeout_s: float) -> None:
        """Block until there may be something to lease, `wake` is called, or ``timeout_s`` pass.

        Ends early when the store does not answer, which the next call then tells.
        """
        try:
            self._wait(timeout_s)
        except StoreError:
            self._own.close()
        self._woken.clear()

    def _wait(self, timeout_s: float) -> None:
        deadline = self._clock.monotonic() + timeout_s
        while True:
            # Made before the first look, the watch knows of every commit after it.
            watch = self._watching()
            with self._own.read("wait") as transaction:
                outlook = self._tables.messages.outlook(transaction, self._queues)
                now_us = transaction.now_us
            left_s = deadline - self._clock.monotonic()
            if outlook.stocked or left_s <= 0 or self._woken.is_set():
                break
            if outlook.next_us is not None:
                left_s = min(left_s, (outlook.next_us - now_us) / 1e6)
            with self._database.translated("wait"):
                watch.pause(left_s, woken=self._woken)

    def _watching(self) -> Watch:
        if self._watch is None:
            with self._database.translated("wait"):
                self._watch = self._database.dialect.watch(self._own.connection)
        return self._watch

    def wake(self) -> None:
        """End a `wait` that is under way, or the next one."""
        self._woken.set()

    @repeated
    def settle(self, settlements: Sequence[Settlement]) -> list[bool]:
        """Carry out each settlement whose token is current."""
        if not settlements:
            return []
        with self._own.write("settle") as transaction:
            return settle(transaction, self._tables, settlements)

    @repeated
    def renew(self, tokens: Collection[str], *, duration: timedelta) -> set[str]:
        """Let each lease hold for ``duration`` from now; return the tokens whose lease is lost."""
        if not tokens:
            return set()
        with self._own.write("renew") as transaction:
            held = self._tables.messages.held(transaction, tokens)
            self._tables.messages.renew(
                transaction, [message.id for message in held.values()], lease_us=span_us(duration)
            )
        return set(tokens) - held.keys()

    def close(self) -> None:
        """Free the connection. May be called twice."""
        self._own.close()


def _delivery(queue: str, message: Claimed) -> Delivery:
    return Delivery(
        token=message.token,
        queue=queue,
        content=unpack(message.payload),
        deliveries=message.deliveries,
        fence=message.fence,
    )


if TYPE_CHECKING:
    _: Callable[..., LeaseSource] = SqlSource
