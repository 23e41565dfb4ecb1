"""The queues and exchanges: found as they are, or made.

A queue that exists is used with the arguments that it has. A queue that does not is made
as a quorum queue, durable, with a limit of deliveries, and what it gives up goes to Stem's
queue for dead letters. Delayed messages wait in the queues that Celery 5.5 and later uses,
so that both read each other's.
"""

from __future__ import annotations

import math
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, cast

from amqp.exceptions import AMQPError, NotFound, PreconditionFailed, ResourceLocked
from kombu.connection import Connection
from kombu.transport.native_delayed_delivery import (
    CELERY_DELAYED_DELIVERY_EXCHANGE,
    MAX_LEVEL,
    MAX_NUMBER_OF_BITS_TO_USE,
    calculate_routing_key,
    declare_native_delayed_delivery_exchanges_and_queues,
    level_name,
)

from stem.adapters.amqp.errors import translated

if TYPE_CHECKING:
    from stem.adapters.amqp.link import Link
    from stem.adapters.amqp.location import Location

MAX_DELAY_S: Final = 2**MAX_NUMBER_OF_BITS_TO_USE - 1
"""The longest delay that the delayed queues can hold, in seconds; who asks for more postpones again."""

DELAY_EXCHANGE: Final = level_name(MAX_LEVEL)
_PRIORITIES: Final = 10


def queue_of(routing_key: str, *, delayed: bool) -> str:
    """Return the queue that a routing key leads to."""
    return routing_key.split(".", MAX_NUMBER_OF_BITS_TO_USE)[-1] if delayed else routing_key


def delay_key(delay_s: float, queue: str) -> str:
    """Return the routing key that holds a message back, rounded up to whole seconds."""
    return calculate_routing_key(min(max(math.ceil(delay_s), 1), MAX_DELAY_S), queue)


class Topology:
    """What one connection has made sure of."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._location = link.location
        self._generation = -1
        self._known: set[str] = set()
        self._delayed: set[str] = set()
        self._has_delays = False

    @property
    def dead_exchange(self) -> str:
        """Where queues send what they give up."""
        return f"{self._location.namespace}.dlx"

    @property
    def dead_queue(self) -> str:
        """Where that waits to be moved into the store."""
        return f"{self._location.namespace}.dlq"

    def ensure(self, queue: str) -> None:
        """Make sure that ``queue`` exists.

        Raises:
            StoreError: It cannot be made, or the server does not answer.
        """
        self._look_anew()
        if queue in self._known:
            return
        with self._link.working("declare") as connection:
            if not exists(connection, queue):
                self._ensure_dead(connection)
                self._declare(connection, queue, self._arguments())
        self._known.add(queue)

    def ensure_dead(self) -> None:
        """Make sure that there is a queue for dead letters."""
        self._look_anew()
        with self._link.working("declare") as connection:
            self._ensure_dead(connection)

    def ensure_delays(self, queue: str) -> None:
        """Make sure that messages can be held back for ``queue``."""
        self.ensure(queue)
        if not self._has_delays:
            _declare_delays(self._location)
            self._has_delays = True
        if queue in self._delayed:
            return
        with self._link.working("declare") as connection:
            self._bind_to_delays(connection, queue)

    def join_delays(self, queue: str) -> None:
        """Let in what others hold back for ``queue``, where anybody holds messages back at all."""
        if queue in self._delayed:
            return
        with self._link.working("declare") as connection:
            channel = connection.channel()
            try:
                channel.exchange_declare(CELERY_DELAYED_DELIVERY_EXCHANGE, "topic", passive=True)
            except NotFound:
                _discard(channel)
                return
            channel.close()
            self._bind_to_delays(connection, queue)

    def _bind_to_delays(self, connection: Any, queue: str) -> None:
        # One word for each bit: "#" would also let in what is for a queue whose name ends like this one's.
        pattern = "*." * MAX_NUMBER_OF_BITS_TO_USE + queue
        channel = connection.channel()
        channel.queue_bind(queue, CELERY_DELAYED_DELIVERY_EXCHANGE, pattern)
        channel.close()
        self._delayed.add(queue)

    def forget(self, queue: str) -> None:
        """Look for ``queue`` anew at the next use, and for those of delays: somebody has deleted one."""
        self._known.discard(queue)
        self._delayed.discard(queue)
        self._has_delays = False

    def _look_anew(self) -> None:
        # Whatever ended the connection may have changed the queues.
        if self._generation != self._link.generation:
            self._generation = self._link.generation
            self._known.clear()
            self._delayed.clear()

    def _ensure_dead(self, connection: Any) -> None:
        if self.dead_queue in self._known:
            return
        if not exists(connection, self.dead_queue):
            channel = connection.channel()
            channel.exchange_declare(self.dead_exchange, "fanout", durable=True, auto_delete=False)
            channel.queue_declare(
                self.dead_queue, durable=True, auto_delete=False, arguments={"x-queue-type": "quorum"}
            )
            channel.close()
        channel = connection.channel()
        channel.exchange_declare(self.dead_exchange, "fanout", durable=True, auto_delete=False)
        channel.queue_bind(self.dead_queue, self.dead_exchange)
        channel.close()
        self._known.add(self.dead_queue)

    def _declare(self, connection: Any, queue: str, arguments: dict[str, Any]) -> None:
        channel = connection.channel()
        try:
            channel.queue_declare(queue, durable=True, auto_delete=False, arguments=arguments)
        except PreconditionFailed:
            # Somebody else made it at the same moment, in another way: then that is how it is.
            if not exists(connection, queue):
                raise
        else:
            channel.close()

    def _arguments(self) -> dict[str, Any]:
        common: dict[str, Any] = {
            "x-queue-type": self._location.queue_type,
            "x-dead-letter-exchange": self.dead_exchange,
        }
        if self._location.queue_type == "classic":
            return {**common, "x-max-priority": _PRIORITIES}
        return {
            **common,
            "x-delivery-limit": self._location.delivery_limit,
            # Together they make the step into the dead letters lose nothing.
            "x-dead-letter-strategy": "at-least-once",
            "x-overflow": "reject-publish",
        }


def exists(connection: Any, queue: str) -> bool:
    """Return whether there is such a queue."""
    return ready_count(connection, queue) is not None


def ready_count(connection: Any, queue: str) -> int | None:
    """Return how many messages of a queue are ready; None when there is no such queue."""
    channel = connection.channel()
    try:
        _, count, _ = channel.queue_declare(queue, passive=True)
    except NotFound:
        # The server closed the channel, and py-amqp has opened it again: not to be used.
        _discard(channel)
        return None
    except ResourceLocked:
        _discard(channel)
        raise
    channel.close()
    return int(count)


def _discard(channel: Any) -> None:
    with suppress(AMQPError):
        channel.close()


def _declare_delays(location: Location) -> None:
    # On a connection of its own: that they exist already in another way closes it.
    with translated(location, "declare"), _kombu(location) as connection:
        try:
            declare_native_delayed_delivery_exchanges_and_queues(connection, "quorum")
        except PreconditionFailed:
            # Celery made them as classic queues; they do as they are.
            return


def _kombu(location: Location) -> Connection:
    return Connection(
        hostname=location.host,
        port=location.port,
        userid=location.user,
        password=location.password,
        virtual_host=location.vhost,
        ssl=cast("bool", location.tls or False),  # options are taken, too
        transport="pyamqp",
        login_method="PLAIN",
        connect_timeout=math.ceil(location.timeout_s),
        heartbeat=0,
    )
