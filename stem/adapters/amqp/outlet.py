"""The broker's queue for dead letters, on the way into the store."""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING, Any

from stem.adapters.amqp.burial import dead_letter
from stem.adapters.amqp.link import Link
from stem.adapters.amqp.topology import Topology

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from stem.adapters.amqp.location import Location
    from stem.clock import Clock
    from stem.ports.deadletters import DeadLetter, DeadLetterOutlet


class AmqpOutlet:
    """A `stem.ports.deadletters.DeadLetterOutlet`.

    What was taken is not acknowledged until it is dropped; if this process ends in between, the
    server gives it to another.
    """

    def __init__(self, location: Location, *, clock: Clock) -> None:
        self._clock = clock
        self._lock = Lock()
        self._link = Link(location, clock=clock)  # guarded by _lock
        self._topology = Topology(self._link)  # guarded by _lock
        self._channel: Any = None
        self._generation = -1
        self._taken: dict[int, str] = {}  # guarded by _lock

    def take(self, *, limit: int) -> list[DeadLetter]:
        """Return up to ``limit`` of them."""
        with self._lock:
            self._topology.ensure_dead()
            with self._link.working("take dead letters") as connection:
                channel = self._current(connection)
                for tag in self._taken:
                    channel.basic_reject(tag, requeue=True)
                self._taken.clear()
                return self._get(channel, limit)

    def _get(self, channel: Any, limit: int) -> list[DeadLetter]:
        entries: list[DeadLetter] = []
        while len(entries) < limit:
            received = channel.basic_get(self._topology.dead_queue)
            if received is None:
                break
            entry = dead_letter(received, now=self._clock.wall())
            self._taken[received.delivery_info["delivery_tag"]] = entry.id
            entries.append(entry)
        return entries

    def drop(self, ids: Collection[str]) -> None:
        """Acknowledge what was taken. What the server has taken back meanwhile is taken again."""
        wanted = set(ids)
        with self._lock:
            if self._generation != self._link.generation or not self._link.is_up:
                self._taken.clear()
                return
            with self._link.working("drop dead letters"):
                for tag in [tag for tag, entry_id in self._taken.items() if entry_id in wanted]:
                    self._channel.basic_ack(tag)
                    del self._taken[tag]

    def close(self) -> None:
        """Free the connection. May be called twice."""
        with self._lock:
            self._link.drop()

    def _current(self, connection: Any) -> Any:
        if self._channel is None or self._generation != self._link.generation:
            self._channel = connection.channel()
            self._generation = self._link.generation
            self._taken.clear()
        return self._channel


if TYPE_CHECKING:
    _: Callable[..., DeadLetterOutlet] = AmqpOutlet
