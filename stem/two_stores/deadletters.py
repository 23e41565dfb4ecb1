"""Dead letters in one database whose messages go back into another."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import timedelta

    from stem.ports.deadletters import DeadLetter, DeadLetterQuery, DeadLetters
    from stem.two_stores.forwarding import Forwarder


class TwoStoreDeadLetters:
    """The stores' dead letters; what is replayed is sent on to the broker."""

    def __init__(self, dead_letters: DeadLetters, *, forwarder: Forwarder) -> None:
        self._dead_letters = dead_letters
        self._forwarder = forwarder

    def add(self, entries: Sequence[DeadLetter]) -> list[bool]:
        """Keep messages that another database gave up; for each, in order, whether it was new."""
        return self._dead_letters.add(entries)

    def page(
        self, query: DeadLetterQuery, *, cursor: str | None = None, limit: int = 50
    ) -> tuple[list[DeadLetter], str | None]:
        """Return a page of entries, last buried first, and the cursor of the next page."""
        return self._dead_letters.page(query, cursor=cursor, limit=limit)

    def count(self, query: DeadLetterQuery) -> int:
        """Return how many entries the query matches."""
        return self._dead_letters.count(query)

    def replay(
        self, query: DeadLetterQuery, *, limit: int, delay: timedelta | None = None
    ) -> list[DeadLetter]:
        """Put up to ``limit`` entries back into their queues, oldest first; return them.

        Those with a delay wait in the stores, and are sent on when they are due.
        """
        replayed = self._dead_letters.replay(query, limit=limit, delay=delay)
        self._forwarder.forward()
        return replayed

    def purge(self, query: DeadLetterQuery, *, limit: int | None = None) -> int:
        """Delete entries, oldest first; return how many."""
        return self._dead_letters.purge(query, limit=limit)

    def close(self) -> None:
        """Free the connections. May be called twice."""
        self._dead_letters.close()


if TYPE_CHECKING:
    _: Callable[..., DeadLetters] = TwoStoreDeadLetters
