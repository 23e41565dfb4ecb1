"""Consumers on one channel, and what they were sent."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from stem.adapters.amqp import wire

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stem.adapters.amqp.link import Link
    from stem.adapters.amqp.topology import Topology

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """A message that the server has pushed and that is not acknowledged.

    Attributes:
        tag: Its number on the channel.
        generation: Of the connection; the number means nothing on another one.
    """

    message: Any
    queue: str
    tag: int
    generation: int

    @property
    def deliveries(self) -> int:
        """How often it was delivered in its attempt, from 1."""
        return wire.deliveries(self.message)

    @property
    def is_counted_by_queue(self) -> bool:
        """Whether the queue counts its deliveries, as far as this message can tell."""
        return not self.message.delivery_info.get("redelivered") or wire.is_counted(self.message)


class Consumers:
    """Consumes from some queues; a queue that is no longer wanted is given up.

    The server may push so many messages of each queue as are wanted at once, those that
    are being worked on included. The limit is the consumer's, since quorum queues
    know no other.
    """

    def __init__(self, link: Link, topology: Topology) -> None:
        self._link = link
        self._topology = topology
        self._generation = -1
        self._channel: Any = None
        self._tags: dict[str, str] = {}
        self._prefetch = 0
        self._warned: set[str] = set()
        self.waiting: list[Received] = []

    @property
    def is_current(self) -> bool:
        """Whether the channel is one of the connection that there is."""
        up = self._link.is_up
        return up and self._channel is not None and self._generation == self._link.generation

    def consume(self, queues: Sequence[str], *, prefetch: int) -> None:
        """Consume from these queues and no others.

        Raises:
            StoreError: The server refuses, or does not answer.
        """
        if not self.is_current:
            self._forget()
        for queue in queues:
            self._topology.ensure(queue)
        with self._link.working("consume") as connection:
            if self._channel is None:
                self._channel = connection.channel()
                self._generation = self._link.generation
            for queue in self._tags.keys() - set(queues):
                self._stop(queue)
            self._allow(prefetch)
            for queue in queues:
                if queue not in self._tags:
                    self._topology.join_delays(queue)
                    self._start(queue)

    def _allow(self, prefetch: int) -> None:
        if prefetch <= self._prefetch:
            return
        # A consumer keeps the limit that it was made with.
        while self._tags:
            self._channel.basic_cancel(self._tags.popitem()[1])
        self._channel.basic_qos(0, prefetch, False)
        self._prefetch = prefetch

    def _start(self, queue: str) -> None:
        self._tags[queue] = self._channel.basic_consume(
            queue, callback=partial(self._arrived, queue), on_cancel=partial(self._cancelled, queue)
        )

    def _stop(self, queue: str) -> None:
        self._channel.basic_cancel(self._tags.pop(queue))
        for received in [each for each in self.waiting if each.queue == queue]:
            self.waiting.remove(received)
            self._channel.basic_reject(received.tag, requeue=True)

    def take(self, queues: Sequence[str], *, limit: int) -> list[Received]:
        """Take what was pushed, the first named queue's first."""
        rank = {queue: index for index, queue in reversed(list(enumerate(queues)))}
        named = [each for each in self.waiting if each.queue in rank]
        # Sorting keeps the order of those of one queue.
        taken = sorted(named, key=lambda each: rank[each.queue])[:limit]
        numbers = {each.tag for each in taken}
        self.waiting = [each for each in self.waiting if each.tag not in numbers]
        for received in taken:
            self._warn_of_classic(received)
        return taken

    def acknowledge(self, tags: Sequence[int]) -> None:
        """Remove messages from their queues."""
        for tag in tags:
            self._channel.basic_ack(tag)

    def put_back(self, tags: Sequence[int]) -> None:
        """Put messages back at their place in the queue, counted as delivered."""
        for tag in tags:
            self._channel.basic_reject(tag, requeue=True)

    def make_sure(self) -> None:
        """Wait until the server has taken in everything that was sent before."""
        # Acknowledgements are not answered; an answer to this one says that they arrived.
        self._channel.basic_qos(0, self._prefetch, False)

    def _arrived(self, queue: str, message: Any) -> None:
        tag = message.delivery_info["delivery_tag"]
        self.waiting.append(Received(message=message, queue=queue, tag=tag, generation=self._generation))

    def _cancelled(self, queue: str, consumer_tag: str) -> None:
        # The queue was deleted, or its leader is gone. It is looked for anew by the next lease.
        self._tags.pop(queue, None)
        self._topology.forget(queue)

    def _warn_of_classic(self, received: Received) -> None:
        if received.is_counted_by_queue or received.queue in self._warned:
            return
        self._warned.add(received.queue)
        log.warning("queue.classic", extra={"queue": received.queue})

    def _forget(self) -> None:
        self._channel = None
        self._tags.clear()
        self.waiting.clear()
        self._prefetch = 0
