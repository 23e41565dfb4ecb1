"""What can be seen of queues without the management interface, and what not."""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING

from stem.adapters.amqp.link import Link
from stem.adapters.amqp.topology import ready_count
from stem.errors import ConfigurationError
from stem.ports.broker import QueueStats

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from stem.adapters.amqp.location import Location
    from stem.clock import Clock
    from stem.ports.broker import PendingMessage, QueueAdmin, QueueState


class AmqpQueues:
    """A `stem.ports.broker.QueueAdmin`, as far as AMQP goes.

    The protocol lists no queues and shows no messages; it counts those that are ready.
    Pauses are kept in the result store, by `stem.two_stores`.
    """

    def __init__(self, location: Location, *, clock: Clock) -> None:
        self._location = location
        self._lock = Lock()
        self._link = Link(location, clock=clock)  # guarded by _lock
        self._seen: set[str] = set()  # guarded by _lock

    def queues(self) -> list[str]:
        """Return the queues that were asked for by name and exist, sorted; the server lists none."""
        with self._lock:
            return sorted(self._seen)

    def stats(self, queues: Collection[str] | None = None) -> list[QueueStats]:
        """Return how many messages are ready, sorted by queue; leased and delayed ones cannot be told."""
        counts: dict[str, int] = {}
        for queue in sorted(set(self.queues() if queues is None else queues)):
            count = self._ready(queue)
            counts[queue] = count or 0
        return [
            QueueStats(queue=queue, ready=ready, delayed=0, leased=0, dead=0, oldest_age_s=None, paused=False)
            for queue, ready in counts.items()
        ]

    def _ready(self, queue: str) -> int | None:
        with self._lock:
            was_up = self._link.is_up
            with self._link.working("count") as connection:
                if was_up:
                    # Whatever the server has said since the last call, its end among it.
                    self._link.pump()
                count = ready_count(connection, queue) if self._link.is_up else None
            if count is not None:
                self._seen.add(queue)
            return count

    def browse(
        self, queue: str, *, state: QueueState | None = None, cursor: str | None = None, limit: int = 50
    ) -> tuple[list[PendingMessage], str | None]:
        """Refuse: to look at a message is to take it, and that changes its place and its count."""
        raise ConfigurationError(
            problems=[
                f"queue {queue}: RabbitMQ shows no waiting messages; list the task records instead "
                "(stem observe tasks), which the result store keeps"
            ]
        )

    def purge(self, queue: str) -> int:
        """Remove what is ready; return how many messages."""
        with self._lock, self._link.working("purge") as connection:
            if ready_count(connection, queue) is None:
                return 0
            channel = connection.channel()
            removed = int(channel.queue_purge(queue))
            channel.close()
            return removed

    def cancel(self, task_ids: Collection[str], *, reason: str) -> set[str]:
        """Remove nothing: a message cannot be picked out of a queue. A revocation keeps it from running."""
        return set()

    def pause(self, queue: str) -> None:
        """Refuse: the server knows no pauses."""
        self._refuse_pause(queue)

    def resume(self, queue: str) -> None:
        """Refuse: the server knows no pauses."""
        self._refuse_pause(queue)

    def close(self) -> None:
        """Free the connection. May be called twice."""
        with self._lock:
            self._link.drop()

    def _refuse_pause(self, queue: str) -> None:
        raise ConfigurationError(
            problems=[f"queue {queue}: pauses are kept in the result store; set result_backend_url"]
        )


if TYPE_CHECKING:
    _: Callable[..., QueueAdmin] = AmqpQueues
