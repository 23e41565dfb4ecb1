"""The workers' heartbeats."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from stem.adapters.redis import scripts
from stem.adapters.redis.values import plain, span_us
from stem.ports.heartbeats import Heartbeat, InflightTask

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import timedelta

    from stem.adapters.redis.database import Database
    from stem.ports.heartbeats import Heartbeats

_DATES: Final = ("started_at", "at", "last_renewal_at")
_TASK_DATES: Final = ("started_at", "lease_until")


class RedisHeartbeats:
    """A `stem.ports.heartbeats.Heartbeats`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def beat(self, heartbeat: Heartbeat, *, ttl: timedelta) -> bool:
        """Store a heartbeat; return False when another live worker has this id."""
        text = json.dumps(asdict(heartbeat), separators=(",", ":"), default=datetime.isoformat)
        worker, boot = plain(heartbeat.worker_id), plain(heartbeat.boot_id)
        kept: int = self._database.call("beat", scripts.BEAT, worker, boot, span_us(ttl), text)
        return kept == 1

    def goodbye(self, worker_id: str, *, boot_id: str) -> None:
        """Remove the heartbeat, if it is this boot's."""
        self._database.call("say goodbye", scripts.GOODBYE, plain(worker_id), plain(boot_id))

    def list(self) -> list[Heartbeat]:
        """Return the heartbeats of live workers, sorted by id."""
        texts = self._database.call("list workers", scripts.ALIVE)
        return sorted(map(_heartbeat, texts), key=lambda heartbeat: heartbeat.worker_id)

    def close(self) -> None:
        """Free the connections. May be called twice."""
        self._database.close()


def _heartbeat(text: bytes) -> Heartbeat:
    fields: dict[str, Any] = json.loads(text)
    tasks = [InflightTask(**_dated(task, _TASK_DATES)) for task in fields["tasks"]]
    known: dict[str, Any] = {**_dated(fields, _DATES), "load": tuple(fields["load"]), "tasks": tuple(tasks)}
    return Heartbeat(**known)


def _dated(fields: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {
        name: datetime.fromisoformat(value) if name in names and value is not None else value
        for name, value in fields.items()
    }


if TYPE_CHECKING:
    _: Callable[..., Heartbeats] = RedisHeartbeats
