"""Publishing with confirms: what was not confirmed was not published."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from amqp.spec import Basic

from stem.adapters.amqp import wire
from stem.adapters.amqp.topology import DELAY_EXCHANGE, delay_key, queue_of
from stem.errors import StoreError, StoreUnavailableError
from stem.ports.broker import NOW

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    from stem.adapters.amqp.link import Link
    from stem.adapters.amqp.topology import Topology
    from stem.message import Message
    from stem.ports.broker import Publication

_AT_ONCE: Final = 500
"""Messages on their way before their confirms are waited for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outgoing:
    """A message in AMQP's form, and where to.

    Attributes:
        delay_s: Seconds to hold it back, 0 for none.
    """

    message: Any
    queue: str
    delay_s: float = 0.0


class Publisher:
    """Publishes through a connection, and waits until the server has taken over. One thread at a time."""

    def __init__(self, link: Link, topology: Topology) -> None:
        self._link = link
        self._topology = topology
        self._channel: Any = None
        self._generation = -1
        self._sent = 0
        self._open: set[int] = set()
        self._nacked = False
        self._returned: list[str] = []

    def outgoing(self, publication: Publication) -> Outgoing:
        """Return a publication in AMQP's form.

        Raises:
            NotEncodableError: A header has no form in AMQP.
        """
        return self.message(
            publication.message,
            queue=publication.queue,
            priority=publication.priority,
            due=publication.due,
        )

    def message(
        self,
        message: Message,
        *,
        queue: str,
        priority: int,
        due: timedelta | datetime = NOW,
        deliveries: int = 0,
        more: Mapping[str, Any] | None = None,
    ) -> Outgoing:
        """Return a message in AMQP's form; see `stem.adapters.amqp.wire.write`."""
        written = wire.write(message, priority=priority, deliveries=deliveries, more=more)
        wait = due if isinstance(due, timedelta) else due - self._link.clock.wall()
        return Outgoing(message=written, queue=queue, delay_s=max(wait.total_seconds(), 0.0))

    def send(self, outgoing: Sequence[Outgoing]) -> None:
        """Publish every message and wait until the server has confirmed them all.

        Raises:
            StoreError: Some may not have been published; sending again may publish them twice.
        """
        for first in range(0, len(outgoing), _AT_ONCE):
            batch = outgoing[first : first + _AT_ONCE]
            returned = self._send(batch)
            if returned:
                # A queue was deleted since it was last looked for. Made again, it takes its messages.
                self._send_returned([each for each in batch if each.queue in returned])

    def _send_returned(self, batch: Sequence[Outgoing]) -> None:
        queues = {each.queue for each in batch}
        for queue in queues:
            self._topology.forget(queue)
        if self._send(batch):
            raise StoreError(
                server=self._link.location.address,
                operation="publish",
                reason=f"no queue takes messages for {', '.join(sorted(queues))}",
                remedy="look why the queue is deleted again and again",
            )

    def _send(self, batch: Sequence[Outgoing]) -> set[str]:
        for queue in {each.queue for each in batch}:
            self._topology.ensure(queue)
        for queue in {each.queue for each in batch if each.delay_s > 0}:
            self._topology.ensure_delays(queue)
        with self._link.working("publish") as connection:
            channel = self._confirming(connection)
            for each in batch:
                self._publish(channel, each)
        self._link.await_until(lambda: not self._open, operation="publish")
        if self._nacked:
            self._nacked = False
            raise StoreUnavailableError(
                server=self._link.location.address,
                operation="publish",
                reason="the server refused a message: the queue is full, or has lost its leader",
                remedy="look at the queue's length limit and at the nodes of the cluster",
            )
        returned, self._returned = set(self._returned), []
        return returned

    def _publish(self, channel: Any, outgoing: Outgoing) -> None:
        delayed = outgoing.delay_s > 0
        self._sent += 1
        self._open.add(self._sent)
        exchange = DELAY_EXCHANGE if delayed else ""
        routing_key = delay_key(outgoing.delay_s, outgoing.queue) if delayed else outgoing.queue
        # Not basic_publish, which looks for input before every single message.
        channel.send_method(Basic.Publish, "Bssbb", (0, exchange, routing_key, True, False), outgoing.message)

    def _confirming(self, connection: Any) -> Any:
        if self._channel is None or self._generation != self._link.generation:
            channel = connection.channel()
            self._generation = self._link.generation
            self._sent, self._open, self._nacked, self._returned = 0, set(), False, []
            channel.confirm_select()
            channel.events["basic_ack"].add(self._acknowledged)
            channel.events["basic_nack"].add(self._refused)
            channel.events["basic_return"].add(self._came_back)
            self._channel = channel
        return self._channel

    def _acknowledged(self, number: int, multiple: bool) -> None:
        if multiple:
            self._open = {each for each in self._open if each > number}
        else:
            self._open.discard(number)

    def _refused(self, number: int, multiple: bool) -> None:
        self._nacked = True
        self._acknowledged(number, multiple)

    def _came_back(self, error: Exception, exchange: str, routing_key: str, message: object) -> None:
        self._returned.append(queue_of(routing_key, delayed=exchange == DELAY_EXCHANGE))


if TYPE_CHECKING:
    _: Callable[..., Publisher] = Publisher
