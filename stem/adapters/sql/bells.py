"""Waking those who wait, without polling for it.

After a commit that others may wait for, the writer rings: it sends the name of a
queue, or `RESULTS`, to whoever listens. A bell is a hint and may get lost, so that
every waiting thread also looks once a second. To spare the server, a writer rings
for each name at most once in `QUIET_S`; whoever was rung for looks once more after
that time, and so finds what was not rung for. While nobody listens, threads poll,
faster after something has happened.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from threading import Event

    from stem.adapters.sql.dialect import Watch
    from stem.adapters.sql.listener import Listener
    from stem.clock import Clock

RESULTS: Final = ""
"""What is rung for those who wait for results; no queue has this name."""

QUIET_S: Final = 0.05

_MARGIN_S: Final = 0.02
_POLL_S: Final = 1.0
_FASTEST_POLL_S: Final = 0.01
_SLOWEST_POLL_S: Final = 0.25
_POLL_GROWTH: Final = 1.5
_REMEMBERED: Final = 1000


class Limiter:
    """Says which names are worth a bell. Any thread."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        # No lock, which a fork could copy while it is held. Two threads that meet here ring twice.
        self._rung_s: dict[str, float] = {}

    def worth(self, names: Iterable[str]) -> list[str]:
        """Return the names that were not rung for in the last `QUIET_S`, and count them as rung for."""
        now_s = self._clock.monotonic()
        if len(self._rung_s) > _REMEMBERED:
            self._rung_s = {}
        due = [name for name in names if now_s - self._rung_s.get(name, -QUIET_S) >= QUIET_S]
        self._rung_s.update(dict.fromkeys(due, now_s))
        return due


class BellWatch:
    """Waits for bells, and looks now and then in case that one was lost.

    Args:
        listener: Gives what hears the bells in this process; None while there is nothing to hear them.
    """

    def __init__(self, clock: Clock, listener: Callable[[], Listener] | None) -> None:
        self._clock = clock
        self._listener = listener
        self._poll_s = _FASTEST_POLL_S
        self._look_at_s = 0.0
        # Written by the listener's thread. It sets `_rung` first and the sleeper's event then, and
        # `pause` looks at them in the other order, so that neither needs a lock.
        self._rung = False
        self._again_at_s: float | None = None
        self._sleeper: Event | None = None
        self._join()

    def _join(self) -> None:
        # Each time: after a fork the listener is another one.
        if self._listener is not None:
            self._listener().add(self)

    def ring(self) -> None:
        """Note a bell. Any thread."""
        self._rung = True
        self._again_at_s = self._clock.monotonic() + QUIET_S + _MARGIN_S
        sleeper = self._sleeper
        if sleeper is not None:
            sleeper.set()

    def changed(self) -> bool:
        """Return whether another connection may have committed since the last call."""
        now_s = self._clock.monotonic()
        if not self._rung and now_s < self._look_at_s and not self._is_again(now_s):
            return False
        self._rung = False
        self._look_at_s = now_s + self._interval_s()
        return True

    def _is_again(self, now_s: float) -> bool:
        if self._again_at_s is None or now_s < self._again_at_s:
            return False
        self._again_at_s = None
        return True

    def pause(self, seconds: float, *, woken: Event) -> None:
        """Block until a bell is heard, it is time to look again, or for ``seconds``."""
        self._join()
        now_s = self._clock.monotonic()
        limit_s = min(seconds, self._interval_s())
        again_at_s = self._again_at_s
        if again_at_s is not None:
            limit_s = min(limit_s, max(again_at_s - now_s, 0.0))
        self._sleeper = woken
        if not self._rung:
            self._clock.wait(woken, limit_s)
        self._sleeper = None
        # Before the look that follows, so that no bell is taken for one that was answered.
        self._rung = False
        self._is_again(self._clock.monotonic())

    def _interval_s(self) -> float:
        if self._listener is not None:
            return _POLL_S * random.uniform(0.75, 1.25)
        self._poll_s = min(self._poll_s * _POLL_GROWTH, _SLOWEST_POLL_S)
        return self._poll_s

    def quicken(self) -> None:
        """Expect the next commit soon."""
        self._poll_s = _FASTEST_POLL_S


if TYPE_CHECKING:
    _: Callable[..., Watch] = BellWatch
