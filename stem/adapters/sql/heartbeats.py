"""The last word of every worker."""

from __future__ import annotations

import json
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import bindparam, delete, select, update

from stem.adapters.sql.conflicts import repeated
from stem.adapters.sql.rows import span_us
from stem.ports.heartbeats import Heartbeat, InflightTask

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import timedelta

    from stem.adapters.sql.database import Database
    from stem.ports.heartbeats import Heartbeats


class SqlHeartbeats:
    """A `stem.ports.heartbeats.Heartbeats`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        table = database.schema.heartbeat
        of = table.c
        self._forget_old = delete(table).where(of.expires_us <= bindparam("now"))
        self._add = database.dialect.insert(table)
        self._replace = update(table).where(
            of.worker_id == bindparam("worker"), of.boot_id == bindparam("boot")
        )
        self._goodbye = delete(table).where(
            of.worker_id == bindparam("worker"), of.boot_id == bindparam("boot")
        )
        self._list = select(of.body).where(of.expires_us > bindparam("now")).order_by(of.worker_id)

    @repeated
    def beat(self, heartbeat: Heartbeat, *, ttl: timedelta) -> bool:
        """Store a heartbeat; return False when another live worker has this id."""
        key = {"worker": heartbeat.worker_id, "boot": heartbeat.boot_id}
        with self._database.write("beat") as transaction:
            connection, now_us = transaction.connection, transaction.now_us
            word = {"expires_us": now_us + span_us(ttl), "body": _write(heartbeat)}
            connection.execute(self._forget_old, {"now": now_us})
            connection.execute(
                self._add, {"worker_id": heartbeat.worker_id, "boot_id": heartbeat.boot_id, **word}
            )
            # Only the row of this boot takes it: what stands there now is live.
            return connection.execute(self._replace, {**key, **word}).rowcount == 1

    @repeated
    def goodbye(self, worker_id: str, *, boot_id: str) -> None:
        """Remove the heartbeat, if it is this boot's."""
        with self._database.write("goodbye") as transaction:
            transaction.connection.execute(self._goodbye, {"worker": worker_id, "boot": boot_id})

    def list(self) -> list[Heartbeat]:
        """Return the heartbeats of live workers, sorted by id."""
        with self._database.read("list") as transaction:
            bodies = transaction.connection.execute(self._list, {"now": transaction.now_us}).scalars()
            return [_read(body) for body in bodies]

    def close(self) -> None:
        """Free the connections. May be called twice."""
        self._database.close()


def _write(heartbeat: Heartbeat) -> str:
    fields: dict[str, Any] = {
        "worker_id": heartbeat.worker_id,
        "boot_id": heartbeat.boot_id,
        "host": heartbeat.host,
        "pid": heartbeat.pid,
        "version": heartbeat.version,
        "started_at": heartbeat.started_at.isoformat(),
        "at": heartbeat.at.isoformat(),
        "interval_s": heartbeat.interval_s,
        "pool": heartbeat.pool,
        "queues": dict(heartbeat.queues),
        "slots": heartbeat.slots,
        "inflight": heartbeat.inflight,
        "processed": heartbeat.processed,
        "rss_bytes": heartbeat.rss_bytes,
        "load": list(heartbeat.load),
        "last_renewal_at": heartbeat.last_renewal_at and heartbeat.last_renewal_at.isoformat(),
        "tasks": [_write_task(task) for task in heartbeat.tasks],
    }
    return json.dumps(fields)


def _write_task(task: InflightTask) -> dict[str, Any]:
    return {
        "task_id": task.task_id,
        "name": task.name,
        "queue": task.queue,
        "attempt": task.attempt,
        "deliveries": task.deliveries,
        "started_at": task.started_at.isoformat(),
        "lease_until": task.lease_until.isoformat(),
    }


def _read(body: str) -> Heartbeat:
    fields: dict[str, Any] = json.loads(body)
    renewal = fields["last_renewal_at"]
    fields["started_at"] = datetime.fromisoformat(fields["started_at"])
    fields["at"] = datetime.fromisoformat(fields["at"])
    fields["load"] = tuple(fields["load"])
    fields["last_renewal_at"] = None if renewal is None else datetime.fromisoformat(renewal)
    fields["tasks"] = tuple(_read_task(task) for task in fields["tasks"])
    return Heartbeat(**fields)


def _read_task(fields: dict[str, Any]) -> InflightTask:
    fields["started_at"] = datetime.fromisoformat(fields["started_at"])
    fields["lease_until"] = datetime.fromisoformat(fields["lease_until"])
    return InflightTask(**fields)


if TYPE_CHECKING:
    _: Callable[..., Heartbeats] = SqlHeartbeats
