"""Everything that one database offers, as an adapter hands it over."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from stem.clock import Clock
    from stem.ports.broker import Broker, QueueAdmin
    from stem.ports.deadletters import DeadLetterOutlet, DeadLetters
    from stem.ports.heartbeats import Heartbeats
    from stem.ports.results import Results
    from stem.ports.revokes import Revokes


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """The ports that one database implements. A None port is one that it cannot offer.

    Attributes:
        identity: The database without credentials and options; two stacks of
            the same identity and namespace see the same data.
        close: Frees every connection of the stack. May be called twice.
        outlet: What the broker gave up by itself, where it cannot keep dead letters.
    """

    identity: str
    close: Callable[[], None]
    broker: Broker | None = None
    queues: QueueAdmin | None = None
    dead_letters: DeadLetters | None = None
    results: Results | None = None
    heartbeats: Heartbeats | None = None
    revokes: Revokes | None = None
    outlet: DeadLetterOutlet | None = None


class OpenStack(Protocol):
    """What an adapter registers under its URL schemes (entry points ``stem.adapters``)."""

    def __call__(self, url: str, *, namespace: str, clock: Clock) -> Stack:
        """Return the stack behind ``url``; connects on first use, not here.

        Args:
            url: With credentials; options in the query.
            namespace: Keeps several applications in one database apart:
                lower-case letters, digits and ``_``, at most 30, a letter first.

        Raises:
            ConfigurationError: The URL cannot be used, every problem at once.
        """
        ...
