"""What the command line tells about each kind of thing: its JSON object."""

from __future__ import annotations

import base64
import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from datetime import datetime

    from stem.config.sources import Resolved
    from stem.message import ErrorInfo
    from stem.ports.broker import PendingMessage, QueueStats
    from stem.ports.deadletters import DeadLetter
    from stem.ports.heartbeats import Heartbeat
    from stem.ports.results import TaskRecord, TimelineEvent
    from stem.tasks.task import Task


def setting_items(resolved: Resolved) -> list[dict[str, Any]]:
    """Return the settings in their order: ``value`` as data, ``text`` as it is written in the environment."""
    from stem.config.settings import DECLARATIONS
    from stem.security.masking import mask_mapping

    values = mask_mapping({name: getattr(resolved.settings, name) for name in DECLARATIONS})
    return [
        {
            "name": name,
            "value": values[name],
            "text": declaration.write(values[name]),
            "origin": resolved.origins[name],
            "variable": declaration.variable,
        }
        for name, declaration in DECLARATIONS.items()
    ]


def queue_item(stats: QueueStats) -> dict[str, Any]:
    """Return how full a queue is."""
    return asdict(stats)


def definition_item(task: Task[Any, Any]) -> dict[str, Any]:
    """Return what an application says about one of its tasks."""
    lines = (task.__doc__ or "").strip().splitlines()
    return {"name": task.name, "queue": task.queue, "doc": lines[0] if lines else ""}


def message_item(message: PendingMessage) -> dict[str, Any]:
    """Return a task in flight, as its queue knows it.

    Of ``due_at``, ``lease_until`` and ``published_at`` the one that the state gives a meaning is set.
    """
    return {
        "id": message.task_id,
        "name": message.task,
        "queue": message.queue,
        "state": message.state,
        "attempt": message.attempt,
        "deliveries": message.deliveries,
        "priority": message.priority,
        "worker": message.owner,
        "due_at": message.at if message.state == "delayed" else None,
        "lease_until": message.at if message.state == "leased" else None,
        "published_at": message.at if message.state == "ready" else None,
    }


def record_item(record: TaskRecord) -> dict[str, Any]:
    """Return the record of a task; result and progress as values, not as text."""
    item = asdict(record)
    item["error"] = _error_item(record.error)
    for field in ("result", "progress"):
        item[field] = None if item[field] is None else json.loads(item[field])
    return item


def event_item(event: TimelineEvent) -> dict[str, Any]:
    """Return one step in a task's life."""
    return asdict(event)


def heartbeat_item(heartbeat: Heartbeat, *, now: datetime) -> dict[str, Any]:
    """Return what a worker last told, and how long ago: ``age_s``, seconds, by this machine's clock."""
    item = asdict(heartbeat)
    item["queues"] = dict(heartbeat.queues)
    item["age_s"] = (now - heartbeat.at).total_seconds()
    return item


def dead_letter_item(letter: DeadLetter) -> dict[str, Any]:
    """Return a dead letter without its bytes."""
    item = asdict(letter)
    del item["payload"]
    return item


def payload_item(payload: bytes) -> dict[str, Any]:
    """Return a dead letter's bytes: as ``text`` where they are UTF-8, else as ``base64``."""
    try:
        return {"text": payload.decode()}
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(payload).decode("ascii")}


def _error_item(error: ErrorInfo | None) -> dict[str, Any] | None:
    return None if error is None else asdict(error)
