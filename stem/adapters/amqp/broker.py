"""Publishing, and handing sources out."""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING, Final

from stem.adapters.amqp.link import Link
from stem.adapters.amqp.publishing import Publisher
from stem.adapters.amqp.source import AmqpSource
from stem.adapters.amqp.topology import Topology
from stem.errors import StoreUnavailableError
from stem.ports.broker import Capabilities, Level

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from stem.adapters.amqp.location import Location
    from stem.clock import Clock
    from stem.ports.broker import Broker, LeaseSource, Publication, Reclaimed

_CAPABILITIES: Final = Capabilities(
    fencing=Level.EMULATED,
    dead_letters=Level.EMULATED,
    priority=Level.NONE,
    depth=Level.EMULATED,
    browse=Level.NONE,
    cancel_pending=Level.NONE,
    loss_window=(
        "a delayed message whose queue is deleted before it is due; what a queue that was not made "
        "by Stem gives up, unless it has a dead-letter exchange"
    ),
)
_CLASSIC: Final = Capabilities(
    fencing=Level.EMULATED,
    delivery_count=Level.EMULATED,
    dead_letters=Level.EMULATED,
    priority=Level.NATIVE,
    depth=Level.EMULATED,
    browse=Level.NONE,
    cancel_pending=Level.NONE,
    loss_window="when the node that holds a classic queue is lost",
)


class AmqpBroker:
    """A `stem.ports.broker.Broker`.

    It keeps no records and knows no ids: `stem.two_stores` tells copies of a message apart.
    """

    def __init__(self, location: Location, *, clock: Clock) -> None:
        self._location = location
        self._clock = clock
        # Held while publishing, too: a connection serves one thread at a time.
        self._lock = Lock()
        self._link = Link(location, clock=clock)  # guarded by _lock
        self._publisher = Publisher(self._link, Topology(self._link))  # guarded by _lock
        self._max_deliveries: int | None = None

    @property
    def capabilities(self) -> Capabilities:
        """Those of the queues that are made here."""
        return _CLASSIC if self._location.queue_type == "classic" else _CAPABILITIES

    @property
    def address(self) -> str:
        """The URL without password and options."""
        return self._location.address

    def publish(self, publications: Sequence[Publication]) -> list[bool]:
        """Publish each message; all are confirmed when this returns. Ids are not looked at."""
        if not publications:
            return []
        outgoing = [self._publisher.outgoing(publication) for publication in publications]
        with self._lock:
            was_up = self._link.is_up
            try:
                self._publisher.send(outgoing)
            except StoreUnavailableError:
                if not was_up:
                    raise
                # The server may have ended the connection long ago, while nothing was sent. What
                # it took before is there twice then, and runs once.
                self._publisher.send(outgoing)
        return [True] * len(publications)

    def source(self, *, owner: str) -> LeaseSource:
        """Return a new source for the worker ``owner``."""
        return AmqpSource(
            self._location, clock=self._clock, owner=owner, max_deliveries=lambda: self._max_deliveries
        )

    def reclaim(self, *, limit: int, max_deliveries: int) -> list[Reclaimed]:
        """Do nothing: the server takes leases away by itself, when their connection ends.

        From now on sources of this broker bury what was delivered ``max_deliveries`` times,
        when it is delivered once more.
        """
        self._max_deliveries = max_deliveries
        return []

    def close(self) -> None:
        """Free the connection. May be called twice."""
        with self._lock:
            self._link.drop()


if TYPE_CHECKING:
    _: Callable[..., Broker] = AmqpBroker
