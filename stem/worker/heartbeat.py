"""Say that this worker is alive, and what it is doing."""

from __future__ import annotations

import logging
import os
import socket
from collections import Counter
from importlib.metadata import version
from typing import TYPE_CHECKING, Final

import psutil

from stem import signals
from stem.errors import WorkerIdTakenError
from stem.ports.heartbeats import Heartbeat, InflightTask

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime, timedelta

    from stem.clock import Clock
    from stem.ports.heartbeats import Heartbeats
    from stem.worker.courier import Courier
    from stem.worker.holdings import RunningTask
    from stem.worker.hub import Hub

log = logging.getLogger(__name__)

MISSED: Final = 3
"""A worker that missed so many heartbeats counts as lost."""


class HeartbeatWriter:
    """Writes one worker's heartbeats.

    Args:
        pids: Returns the process ids of the children.
    """

    def __init__(
        self,
        heartbeats: Heartbeats,
        *,
        worker_id: str,
        boot_id: str,
        queues: Sequence[str],
        pool: str,
        every: timedelta,
        lease: timedelta,
        pids: Callable[[], dict[int, int]],
        hub: Hub,
        courier: Courier,
        clock: Clock,
    ) -> None:
        self._heartbeats = heartbeats
        self._worker_id = worker_id
        self._boot_id = boot_id
        self._queues = tuple(queues)
        self._pool = pool
        self._every = every
        self._lease = lease
        self._pids = pids
        self._hub = hub
        self._courier = courier
        self._clock = clock
        self._started_at = clock.wall()
        self._version = version("stem-tasks")

    def register(self) -> None:
        """Write the first heartbeat.

        Raises:
            WorkerIdTakenError: Another worker of this id is alive.
            StoreError: The store does not answer.
        """
        if self._write():
            return
        other = next((one for one in self._heartbeats.list() if one.worker_id == self._worker_id), None)
        if other is not None and not _may_live(other):
            # It died without a goodbye, on this host: its place is free.
            self._heartbeats.goodbye(other.worker_id, boot_id=other.boot_id)
        if not self._write():
            raise WorkerIdTakenError(
                worker_id=self._worker_id,
                host=other.host if other else "",
                pid=other.pid if other else 0,
            )

    def tick(self) -> None:
        """Write a heartbeat.

        Raises:
            StoreError: The store does not answer; the next tick tries again.
        """
        if not self._write():
            log.error("worker.id_taken", extra={"worker": self._worker_id})

    def goodbye(self) -> None:
        """Remove the heartbeat.

        Raises:
            StoreError: The store does not answer; the heartbeat expires by itself.
        """
        self._heartbeats.goodbye(self._worker_id, boot_id=self._boot_id)

    def _write(self) -> bool:
        heartbeat = self._snapshot()
        if signals.worker_heartbeat.has_receivers:
            worker = signals.WorkerInfo(id=self._worker_id, queues=self._queues, inflight=heartbeat.inflight)
            signals.worker_heartbeat.send(signals.WorkerHeartbeat(worker=worker, at=heartbeat.at))
        return self._heartbeats.beat(heartbeat, ttl=self._every * MISSED)

    def _snapshot(self) -> Heartbeat:
        running = self._hub.core.running()
        now = self._clock.wall()
        busy = Counter(task.delivery.queue for task in running)
        renewed = self._courier.last_renewal_at
        return Heartbeat(
            worker_id=self._worker_id,
            boot_id=self._boot_id,
            host=socket.gethostname(),
            pid=os.getpid(),
            version=self._version,
            started_at=self._started_at,
            at=now,
            interval_s=self._every.total_seconds(),
            pool=self._pool,
            queues={queue: busy[queue] for queue in self._queues},
            slots=self._hub.core.slots,
            inflight=len(running),
            processed=self._hub.core.processed,
            rss_bytes=_rss_bytes([os.getpid(), *self._pids().values()]),
            load=os.getloadavg(),
            last_renewal_at=renewed,
            tasks=tuple(self._inflight(task, renewed) for task in running),
        )

    def _inflight(self, task: RunningTask, renewed: datetime | None) -> InflightTask:
        started_at = task.started.wall if task.started else self._clock.wall()
        held_since = started_at if renewed is None else max(renewed, started_at)
        return InflightTask(
            task_id=task.envelope.id,
            name=task.envelope.name,
            queue=task.delivery.queue,
            attempt=task.envelope.attempt,
            deliveries=task.delivery.deliveries,
            started_at=started_at,
            lease_until=held_since + self._lease,
        )


def _may_live(other: Heartbeat) -> bool:
    if other.host != socket.gethostname():
        return True
    return other.pid != os.getpid() and psutil.pid_exists(other.pid)


def _rss_bytes(pids: Sequence[int]) -> int:
    total = 0
    for pid in pids:
        try:
            total += psutil.Process(pid).memory_info().rss
        except psutil.Error:  # it has just ended
            continue
    return total
