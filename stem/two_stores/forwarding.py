"""Messages that the stores put back into a queue of their own are sent on to the broker."""

from __future__ import annotations

from datetime import timedelta
from threading import Lock
from typing import TYPE_CHECKING, Final

from stem.codecs import read_priority
from stem.message import Message, Refusal
from stem.ports.broker import Bury, Complete, Publication

if TYPE_CHECKING:
    from stem.clock import Clock
    from stem.message import Delivery
    from stem.ports.broker import Broker, QueueAdmin, Settlement

FORWARD_EVERY_S: Final = 1.0
"""How often a worker looks for replayed messages, in seconds."""

_AT_ONCE: Final = 100
_LEASE: Final = timedelta(seconds=60)
_FOR_EVER: Final = 2**31 - 1


class Forwarder:
    """Sends on what waits in the stores' own queues. Any thread, any number of processes.

    A replay marks the dead letter, resets the record and queues the message in one step of
    the stores; this carries the message over. A crash between publishing it and taking
    it out of the stores' queue publishes it again, which is told from the first at the lease.
    """

    def __init__(self, *, outbox: Broker, pauses: QueueAdmin, broker: Broker, clock: Clock) -> None:
        self._outbox = outbox
        self._pauses = pauses
        self._broker = broker
        self._clock = clock
        self._lock = Lock()
        self._next_s = 0.0  # guarded by _lock

    def forward_if_due(self) -> bool:
        """Send on, unless that was done a moment ago; return whether anything was."""
        now_s = self._clock.monotonic()
        with self._lock:
            if now_s < self._next_s:
                return False
            self._next_s = now_s + FORWARD_EVERY_S
        return self.forward() > 0

    def forward(self) -> int:
        """Send on everything that is due; return how many messages.

        Raises:
            StoreError: A database does not answer; what was not sent on stays.
        """
        self._outbox.reclaim(limit=_AT_ONCE, max_deliveries=_FOR_EVER)
        queues = self._pauses.queues()
        sent = 0
        if not queues:
            return sent
        source = self._outbox.source(owner="stem-forwarder")
        try:
            while deliveries := source.lease(queues, limit=_AT_ONCE, duration=_LEASE):
                readable = [each for each in deliveries if isinstance(each.content, Message)]
                self._broker.publish([_publication(each) for each in readable])
                source.settle([_settlement(each) for each in deliveries])
                sent += len(readable)
        finally:
            source.close()
        return sent


def _publication(delivery: Delivery) -> Publication:
    assert isinstance(delivery.content, Message)
    return Publication(
        message=delivery.content, queue=delivery.queue, priority=read_priority(delivery.content)
    )


def _settlement(delivery: Delivery) -> Settlement:
    if isinstance(delivery.content, Refusal):
        return Bury(token=delivery.token, reason=delivery.content.reason, detail=delivery.content.detail)
    return Complete(token=delivery.token)
