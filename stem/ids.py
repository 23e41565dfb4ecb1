"""Make and check task, worker and message identifiers."""

from __future__ import annotations

import os
import re
import socket
import uuid

_WORKER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,99}@[A-Za-z0-9][A-Za-z0-9._:-]{0,199}")
_QUEUE = re.compile(r"[A-Za-z0-9._:@/-]{1,200}")

DEFAULT_WORKER_NAME = "default"


def new_task_id() -> str:
    """Return a random task id, a UUID in Celery's spelling."""
    return str(uuid.uuid4())


def successor_id(parent: str, index: int) -> str:
    """Return the id of a task that ``parent`` publishes as its ``index``-th successor.

    The same parent and index always give the same id, so that publishing a
    successor again after a crash makes no second task.

    Args:
        parent: The parent's task id.
        index: Position among the successors, from 0.
    """
    return str(uuid.uuid5(uuid.NAMESPACE_OID, f"stem:{parent}:{index}"))


def worker_id(name: str | None = None) -> str:
    """Return a worker id, ``name@host``.

    Args:
        name: A name, or ``name@host``; None is ``default``. ``%h`` stands for
            the host's name and ``%p`` for the process id.
    """
    host = socket.gethostname() or "localhost"
    given = (name or DEFAULT_WORKER_NAME).replace("%h", host).replace("%p", str(os.getpid()))
    return given if "@" in given else f"{given}@{host}"


def is_worker_id(text: str) -> bool:
    """Return whether ``text`` has the form ``name@host``."""
    return _WORKER.fullmatch(text) is not None


def is_queue_name(text: str) -> bool:
    """Return whether ``text`` may name a queue: 1 to 200 of letters, digits and ``. _ : @ / -``."""
    return _QUEUE.fullmatch(text) is not None
