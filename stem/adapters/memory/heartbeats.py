"""The workers' heartbeats in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import timedelta

    from stem.adapters.memory.database import Database
    from stem.clock import Clock
    from stem.ports.heartbeats import Heartbeat, Heartbeats


class MemoryHeartbeats:
    """The heartbeats of a `Database`."""

    def __init__(self, *, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def beat(self, heartbeat: Heartbeat, *, ttl: timedelta) -> bool:
        """Store a heartbeat; return False when another live worker has this id."""
        kept = self._database.heartbeats
        with self._database.lock:
            now = self._clock.wall()
            known = kept.get(heartbeat.worker_id)
            if known is not None and known[1] > now and known[0].boot_id != heartbeat.boot_id:
                return False
            kept[heartbeat.worker_id] = (heartbeat, now + ttl)
        return True

    def goodbye(self, worker_id: str, *, boot_id: str) -> None:
        """Remove the heartbeat, if it is this boot's."""
        with self._database.lock:
            known = self._database.heartbeats.get(worker_id)
            if known is not None and known[0].boot_id == boot_id:
                del self._database.heartbeats[worker_id]

    def list(self) -> list[Heartbeat]:
        """Return the heartbeats of live workers, sorted by id."""
        with self._database.lock:
            now = self._clock.wall()
            live = [beat for beat, dead_from in self._database.heartbeats.values() if dead_from > now]
        return sorted(live, key=lambda beat: beat.worker_id)

    def close(self) -> None:
        """Do nothing: there is no connection."""


if TYPE_CHECKING:

    def _(heartbeats: MemoryHeartbeats) -> Heartbeats:
        return heartbeats
