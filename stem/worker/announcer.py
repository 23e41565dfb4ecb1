"""Calls signal receivers in a thread of its own, so that a slow one holds nothing up."""

from __future__ import annotations

import logging
import queue
import threading
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from stem.worker.effects import Announcement

log = logging.getLogger(__name__)

MAX_WAITING: Final = 10_000
"""Announcements beyond this are dropped and counted: receivers are too slow."""


class Announcer:
    """Makes announcements one after the other. Any thread."""

    def __init__(self) -> None:
        self._waiting: queue.Queue[Announcement | None] = queue.Queue(MAX_WAITING)
        self._thread = threading.Thread(target=self._run, name="stem-announcer", daemon=True)
        self._dropped = 0

    def start(self) -> None:
        """Begin; returns at once."""
        self._thread.start()

    def stop(self, *, timeout_s: float) -> None:
        """Make the announcements that wait, for at most ``timeout_s`` seconds, and end."""
        if not self._thread.is_alive():
            return
        try:
            self._waiting.put(None, timeout=timeout_s)
        except queue.Full:
            return
        self._thread.join(timeout_s)

    def announce(self, announcement: Announcement) -> None:
        """Make an announcement soon; never blocks."""
        try:
            self._waiting.put_nowait(announcement)
        except queue.Full:
            self._dropped += 1
            if self._dropped == 1 or self._dropped % 1000 == 0:
                log.warning("signal.dropped", extra={"count": self._dropped})

    def _run(self) -> None:
        while (announcement := self._waiting.get()) is not None:
            announcement()
