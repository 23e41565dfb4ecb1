"""A clock that stands still until a test moves it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from threading import Condition
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from threading import Event

    from stem.clock import Clock

_GLANCE_S: Final = 0.005
# A thread in `wait` sleeps on an event of someone else's, so it cannot sleep on
# the clock as well: it looks at the clock this often, in real seconds.


@dataclass(eq=False)
class _Sleeper:
    event: Event
    deadline_s: float


class ManualClock:
    """A `stem.clock.Clock` that a test moves. Any thread.

    Args:
        start: The first reading of `wall`, aware.
    """

    def __init__(self, start: datetime = datetime(2026, 1, 1, tzinfo=UTC)) -> None:
        self._changed = Condition()
        self._wall = start.astimezone(UTC)  # guarded by _changed, as are all below
        self._monotonic_s = 0.0
        self._sleepers: list[_Sleeper] = []

    def wall(self) -> datetime:
        """Return the date and time that the clock stands at, aware, in UTC."""
        with self._changed:
            return self._wall

    def monotonic(self) -> float:
        """Return the seconds that the clock was advanced by so far."""
        with self._changed:
            return self._monotonic_s

    def wait(self, event: Event, timeout_s: float | None) -> bool:
        """Block until ``event`` is set or the clock was advanced by ``timeout_s`` seconds.

        Returns:
            Whether the event is set.
        """
        with self._changed:
            deadline_s = math.inf if timeout_s is None else self._monotonic_s + timeout_s
            sleeper = _Sleeper(event=event, deadline_s=deadline_s)
            self._sleepers.append(sleeper)
            self._changed.notify_all()
        try:
            while not event.is_set() and self.monotonic() < deadline_s:
                event.wait(_GLANCE_S)
        finally:
            with self._changed:
                self._sleepers.remove(sleeper)
        return event.is_set()

    def advance(self, duration: timedelta | float) -> None:
        """Move both readings forward and release the threads whose wait is over by then.

        Args:
            duration: Seconds if a number, at least 0.
        """
        step = duration if isinstance(duration, timedelta) else timedelta(seconds=duration)
        if step < timedelta(0):
            raise ValueError(f"time cannot go back by {-step}; see step_wall")
        with self._changed:
            self._wall += step
            self._monotonic_s += step.total_seconds()

    def step_wall(self, step: timedelta) -> None:
        """Set the date and time forward or back, as an operator or NTP does; `monotonic` stays."""
        with self._changed:
            self._wall += step

    def wait_for_sleepers(self, count: int, *, limit_s: float = 30.0) -> None:
        """Block until at least ``count`` threads are in `wait` and would stay there.

        Args:
            limit_s: Real seconds to wait for them.

        Raises:
            AssertionError: They did not come.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: self._asleep() >= count, timeout=limit_s):
                raise AssertionError(f"{self._asleep()} of {count} threads wait after {limit_s:g} s")

    def _asleep(self) -> int:
        # A thread whose time has come, but that has not run yet, is on its way out.
        return sum(
            sleeper.deadline_s > self._monotonic_s and not sleeper.event.is_set()
            for sleeper in self._sleepers
        )


if TYPE_CHECKING:
    _: Clock = ManualClock()
