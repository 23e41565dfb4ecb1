"""Where workers say that they are alive."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime, timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class InflightTask:
    """A task that a worker is running.

    Attributes:
        lease_until: When its lease lapses unless renewed, by the worker's clock.
    """

    task_id: str
    name: str
    queue: str
    attempt: int
    deliveries: int
    started_at: datetime
    lease_until: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Heartbeat:
    """What a worker tells about itself.

    Attributes:
        worker_id: ``name@host``.
        boot_id: New at every start, so that two workers of one name are told apart.
        at: When it was made, by the worker's clock.
        interval_s: Seconds until the next one is to be expected.
        queues: Subscribed queues and how many tasks of each are running.
        slots: How many tasks it can run at once.
        inflight: How many tasks it is running.
        processed: Tasks ended since it started.
        rss_bytes: Resident memory of the hub and its children.
        load: The host's load average over 1, 5 and 15 minutes.
        last_renewal_at: When leases were last renewed; None before the first time.
    """

    worker_id: str
    boot_id: str
    host: str
    pid: int
    version: str
    started_at: datetime
    at: datetime
    interval_s: float
    pool: str
    queues: Mapping[str, int]
    slots: int
    inflight: int
    processed: int
    rss_bytes: int
    load: tuple[float, float, float]
    last_renewal_at: datetime | None = None
    tasks: tuple[InflightTask, ...] = ()


class Heartbeats(Protocol):
    """Keeps the last heartbeat of every worker. Any thread.

    Guarantees, each checked by `stem.testing.contracts.heartbeats`:

    H1. `beat` replaces the worker's earlier heartbeat.
    H2. `beat` of a second live worker with the same id and another boot id is refused: False.
    H3. An id is free again once its heartbeat is older than its time to live, or said goodbye.
    H4. `list` returns what is not older than its time to live, by the store's clock.
    """

    def beat(self, heartbeat: Heartbeat, *, ttl: timedelta) -> bool:
        """Store a heartbeat; return False when another live worker has this id."""
        ...

    def goodbye(self, worker_id: str, *, boot_id: str) -> None:
        """Remove the heartbeat, if it is this boot's."""
        ...

    def list(self) -> list[Heartbeat]:
        """Return the heartbeats of live workers, sorted by id."""
        ...

    def close(self) -> None:
        """Free connections. May be called twice."""
        ...
