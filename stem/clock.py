"""The only module that reads a clock."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from threading import Event


class Clock(Protocol):
    """Two clocks, named for their use, and a way to wait."""

    def wall(self) -> datetime:
        """Return the date and time, aware, in UTC.

        For what is stored, logged or sent. It can jump either way; never
        subtract two readings to measure a duration.
        """
        ...

    def monotonic(self) -> float:
        """Return seconds since an arbitrary start; it never goes back."""
        ...

    def wait(self, event: Event, timeout_s: float | None) -> bool:
        """Block until ``event`` is set or ``timeout_s`` seconds pass.

        Args:
            event: What ends the wait early.
            timeout_s: Seconds, at least 0; None waits for the event alone.

        Returns:
            Whether the event is set.
        """
        ...


class SystemClock:
    """The machine's clocks."""

    __slots__ = ()

    def wall(self) -> datetime:
        """Return the date and time, aware, in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Return seconds since an arbitrary start; it never goes back."""
        return time.monotonic()

    def wait(self, event: Event, timeout_s: float | None) -> bool:
        """Block until ``event`` is set or ``timeout_s`` seconds pass."""
        return event.wait(timeout_s)


if TYPE_CHECKING:
    _: type[Clock] = SystemClock
