"""Hold leases and know how long to believe in them.

A lease lapses by the store's clock, which a worker cannot read at any moment.
So a worker counts from before it asked, on its own monotonic clock, and stops
believing a margin early: whatever the reply took, the store's lease outlives
the worker's belief.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import timedelta

MARGIN: Final = 0.1
"""Part of a lease's duration by which belief ends early: room for the drift of clocks and a late timer."""


class LeaseBook:
    """The leases that one worker holds. Owned by one thread.

    Args:
        duration: How long the store lets a lease hold without a renewal.
    """

    def __init__(self, *, duration: timedelta) -> None:
        self._believed_s = duration.total_seconds() * (1 - MARGIN)
        self._until_s: dict[str, float] = {}

    def hold(self, tokens: Iterable[str], *, asked_at_s: float) -> None:
        """Note leases that were granted or renewed.

        Args:
            asked_at_s: The monotonic time just before the store was asked.
        """
        until_s = asked_at_s + self._believed_s
        for token in tokens:
            self._until_s[token] = until_s

    def drop(self, tokens: Iterable[str]) -> None:
        """Forget leases that were settled or lost."""
        for token in tokens:
            self._until_s.pop(token, None)

    def held(self) -> list[str]:
        """Return the tokens of all leases that were not dropped."""
        return list(self._until_s)

    def lapsed(self, now_s: float) -> list[str]:
        """Return the tokens that are no longer to be believed at the monotonic time ``now_s``."""
        return [token for token, until_s in self._until_s.items() if until_s <= now_s]

    def believed_until_s(self, token: str) -> float:
        """Return the monotonic time until which ``token`` is believed.

        Raises:
            KeyError: The lease is not held.
        """
        return self._until_s[token]

    def __len__(self) -> int:
        return len(self._until_s)
