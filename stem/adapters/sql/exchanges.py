"""Which queues a Kombu exchange feeds, and which queues come and go with their consumers.

A transient queue (exclusive, or with ``x-expires``, or ``auto_delete`` once it had a
consumer) is dropped when no consumer has looked into it for its idle time. So the
mailbox of a worker that was killed does not collect broadcasts for ever.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import bindparam, delete, or_, select, update

from stem.adapters.sql.rows import members

if TYPE_CHECKING:
    from collections.abc import Collection

    from stem.adapters.sql.database import Transaction
    from stem.adapters.sql.dialect import Dialect
    from stem.adapters.sql.schema import Schema


class Exchanges:
    """Statements about bindings and transient queues, within a given transaction."""

    def __init__(self, schema: Schema, dialect: Dialect) -> None:
        binding, queue = schema.binding, schema.queue
        among = select(dialect.members("given").c.value)
        used_since = queue.c.used_us + queue.c.idle_us > bindparam("now")
        of_queue = queue.c.name == bindparam("of_queue")
        self._bind = dialect.insert(binding)
        self._unbind = delete(binding).where(
            *[column == bindparam(f"of_{column.name}") for column in binding.c]
        )
        self._table = (
            select(binding.c.routing_key, binding.c.pattern, binding.c.queue)
            .join(queue, queue.c.name == binding.c.queue)
            .where(binding.c.exchange == bindparam("of_exchange"), or_(queue.c.idle_us.is_(None), used_since))
        )
        self._forget_exchange = delete(binding).where(binding.c.exchange == bindparam("of_exchange"))
        self._declare = dialect.insert(queue)
        self._exists = select(queue.c.name).where(of_queue)
        self._use = update(queue).where(of_queue, queue.c.idle_us.is_not(None))
        self._make_transient = update(queue).where(of_queue)
        self._unused = select(queue.c.name).where(queue.c.idle_us.is_not(None), ~used_since)
        self._unbind_queues = delete(binding).where(binding.c.queue.in_(among))
        self._forget_queues = delete(queue).where(queue.c.name.in_(among))

    def bind(
        self, transaction: Transaction, exchange: str, routing_key: str, pattern: str, queue: str
    ) -> None:
        """Let an exchange feed a queue."""
        transaction.connection.execute(
            self._bind,
            {"exchange": exchange, "routing_key": routing_key, "pattern": pattern, "queue": queue},
        )

    def unbind(
        self, transaction: Transaction, exchange: str, routing_key: str, pattern: str, queue: str
    ) -> None:
        """Stop feeding a queue from an exchange."""
        transaction.connection.execute(
            self._unbind,
            {
                "of_exchange": exchange,
                "of_routing_key": routing_key,
                "of_pattern": pattern,
                "of_queue": queue,
            },
        )

    def table(self, transaction: Transaction, exchange: str) -> list[tuple[str, str, str]]:
        """Return an exchange's bindings: routing key, pattern and queue."""
        given = {"of_exchange": exchange, "now": transaction.now_us}
        rows = transaction.connection.execute(self._table, given).all()
        return [(routing_key, pattern, queue) for routing_key, pattern, queue in rows]

    def forget_exchange(self, transaction: Transaction, exchange: str) -> None:
        """Delete an exchange's bindings."""
        transaction.connection.execute(self._forget_exchange, {"of_exchange": exchange})

    def exists(self, transaction: Transaction, queue: str) -> bool:
        """Return whether a queue was declared, or held a message."""
        return transaction.connection.execute(self._exists, {"of_queue": queue}).first() is not None

    def declare(self, transaction: Transaction, queue: str, *, idle_us: int | None) -> None:
        """Declare a queue that may not exist.

        Args:
            idle_us: How long it may go unused; None: for ever. One that exists keeps its own.
        """
        now_us = transaction.now_us
        transaction.connection.execute(
            self._declare, {"name": queue, "paused": False, "idle_us": idle_us, "used_us": now_us}
        )
        self.use(transaction, queue)

    def use(self, transaction: Transaction, queue: str) -> None:
        """Note that a consumer looks into a transient queue."""
        given = {"of_queue": queue, "used_us": transaction.now_us}
        transaction.connection.execute(self._use, given)

    def make_transient(self, transaction: Transaction, queue: str, *, idle_us: int) -> None:
        """Let a queue go when it was unused for ``idle_us``."""
        given = {"of_queue": queue, "idle_us": idle_us, "used_us": transaction.now_us}
        transaction.connection.execute(self._make_transient, given)

    def unused(self, transaction: Transaction) -> list[str]:
        """Return the transient queues that nobody has looked into for too long."""
        return list(transaction.connection.execute(self._unused, {"now": transaction.now_us}).scalars())

    def forget_queues(self, transaction: Transaction, queues: Collection[str]) -> None:
        """Delete queues and their bindings, not their messages."""
        given = {"given": members(queues)}
        transaction.connection.execute(self._unbind_queues, given)
        transaction.connection.execute(self._forget_queues, given)
