"""Long-lived parts: a tick, a thread, and a way to stop."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from stem.clock import Clock

log = logging.getLogger(__name__)


class Service(Protocol):
    """Something that runs until it is stopped."""

    def start(self) -> None:
        """Begin; returns at once. Once only."""
        ...

    def stop(self) -> None:
        """End, and return when ended. Any thread; before `start`, and twice, too."""
        ...


class PeriodicService:
    """Calls a tick now and then every ``interval_s`` in a thread of its own.

    A tick that raises is logged and does not end the service.
    """

    def __init__(self, name: str, tick: Callable[[], object], *, interval_s: float, clock: Clock) -> None:
        self._tick = tick
        self._name = name
        self._interval_s = interval_s
        self._clock = clock
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"stem-{name}", daemon=True)

    def start(self) -> None:
        """Begin; returns at once. Once only."""
        self._thread.start()

    def stop(self) -> None:
        """End after the tick that is under way; returns when ended."""
        self._stopping.set()
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join()

    def tick(self) -> None:
        """Do one round, as the thread does; errors are logged."""
        try:
            self._tick()
        except Exception:  # one bad round must not end the service
            log.exception("service.tick_failed", extra={"service": self._name})

    def _run(self) -> None:
        self.tick()
        while not self._clock.wait(self._stopping, self._interval_s):
            self.tick()


if TYPE_CHECKING:
    _: type[Service] = PeriodicService
