"""What ``amqp:`` and ``amqps:`` URLs open."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stem.adapters.amqp.broker import AmqpBroker
from stem.adapters.amqp.location import read_location
from stem.adapters.amqp.outlet import AmqpOutlet
from stem.adapters.amqp.queues import AmqpQueues
from stem.ports.stack import Stack

if TYPE_CHECKING:
    from stem.clock import Clock
    from stem.ports.stack import OpenStack


def open_stack(url: str, *, namespace: str, clock: Clock) -> Stack:
    """Return the broker at ``url``; it connects on first use.

    Records, dead letters, heartbeats and revocations need another database, ``result_backend_url``.

    Args:
        url: ``amqp://user:password@host:5672/vhost``, with the options ``queue_type=quorum|classic``,
            ``delivery_limit=20``, ``heartbeat=20s`` and ``timeout=10s`` in the query; for ``amqps``
            also ``ca``, ``cert`` and ``key``, paths of PEM files.
        namespace: What the names of Stem's own exchange and queue for dead letters begin with.
            Task queues are named as Celery names them; virtual hosts keep applications apart.

    Raises:
        ConfigurationError: The URL or the namespace cannot be used, every problem at once.
    """
    location = read_location(url, namespace=namespace)
    broker = AmqpBroker(location, clock=clock)
    queues = AmqpQueues(location, clock=clock)
    outlet = AmqpOutlet(location, clock=clock)

    def close() -> None:
        for port in (broker, queues, outlet):
            port.close()

    return Stack(identity=location.identity, close=close, broker=broker, queues=queues, outlet=outlet)


if TYPE_CHECKING:
    _: OpenStack = open_stack
