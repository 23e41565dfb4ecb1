"""Putting the two databases' ports together."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from stem.errors import ConfigurationError
from stem.ports.stack import Stack
from stem.two_stores.broker import TwoStoreBroker
from stem.two_stores.deadletters import TwoStoreDeadLetters
from stem.two_stores.forwarding import Forwarder
from stem.two_stores.outlet import Drain, QueuedOutlet
from stem.two_stores.queues import TwoStoreQueues
from stem.two_stores.records import Records

if TYPE_CHECKING:
    from datetime import timedelta

    from stem.clock import Clock

Port = TypeVar("Port")


def join_stacks(messages: Stack, stores: Stack, *, result_ttl: timedelta, clock: Clock) -> Stack:
    """Return a stack that keeps messages in one database and everything else in another.

    Args:
        messages: Its broker is used, and its queues.
        stores: A stack with every port. What waits in its own queues is sent on to the broker.
        result_ttl: How long records are kept after their task has ended, where the
            producer does not say.

    Raises:
        ConfigurationError: A port is missing that is needed.
    """
    broker = _needed(messages.broker, "broker_url", "take messages")
    records = Records(
        _needed(stores.results, "result_backend_url", "keep results"), ttl=result_ttl, clock=clock
    )
    dead_letters = _needed(stores.dead_letters, "result_backend_url", "keep dead letters")
    pauses = _needed(stores.queues, "result_backend_url", "keep pauses of queues")
    outbox = _needed(stores.broker, "result_backend_url", "replay dead letters")
    forwarder = Forwarder(outbox=outbox, pauses=pauses, broker=broker, clock=clock)
    outlet = messages.outlet
    if outlet is None:
        outlet = QueuedOutlet(_needed(messages.dead_letters, "broker_url", "give messages up"))
    drain = Drain(outlet, dead_letters=dead_letters, records=records, address=broker.address)

    def close() -> None:
        messages.close()
        stores.close()

    return Stack(
        identity=f"{messages.identity} {stores.identity}",
        close=close,
        broker=TwoStoreBroker(
            broker,
            records=records,
            dead_letters=dead_letters,
            pauses=pauses,
            forwarder=forwarder,
            drain=drain,
            clock=clock,
        ),
        queues=TwoStoreQueues(
            _needed(messages.queues, "broker_url", "list queues"),
            broker=broker,
            stores=pauses,
            records=records,
        ),
        dead_letters=TwoStoreDeadLetters(dead_letters, forwarder=forwarder),
        results=records.results,
        heartbeats=stores.heartbeats,
        revokes=stores.revokes,
    )


def _needed(port: Port | None, setting: str, what: str) -> Port:
    if port is None:
        raise ConfigurationError(problems=[f"{setting}: this kind of database cannot {what}"])
    return port
