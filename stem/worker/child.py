"""The process that runs tasks. It talks to its hub and to nobody else."""

from __future__ import annotations

import os
import signal
import threading
from dataclasses import dataclass
from multiprocessing import connection, parent_process
from typing import TYPE_CHECKING, Literal, TypeAlias

from stem import signals
from stem.clock import SystemClock
from stem.observability.logging import configure_logging
from stem.worker.attempt import AttemptRunner
from stem.worker.link import Link

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable
    from types import FrameType

    from stem.worker.attempt import TaskApp

SlotKind: TypeAlias = Literal["sync", "threads", "coroutines"]

ORPHANED = 71
"""Exit code of a child whose hub has died."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildSpec:
    """What a child needs to know; it crosses the process boundary.

    Attributes:
        app_path: Names the application, ``module:attribute``.
        load: Turns the path into the application; a module-level function.
        kind: How attempts run.
        slots: How many at once.
        index: Which of the worker's children it is, from 1.
        log_level: What is logged, unless the application sets up logging; None leaves it alone.
    """

    app_path: str
    load: Callable[[str], TaskApp]
    worker_id: str
    kind: SlotKind
    slots: int
    index: int
    log_level: str | None = None


def main(spec: ChildSpec, sock: socket.socket) -> None:
    """Run tasks until the hub says to stop, or is gone. The body of a child process."""
    # A terminal's Ctrl-C and a supervisor's SIGTERM reach the whole group:
    # the hub decides what they mean, its children go on. A Python handler,
    # unlike SIG_IGN, is not inherited by programs that tasks start.
    for signum in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signum, _pass)
    threading.Thread(target=_exit_with_hub, name="stem-orphan-watch", daemon=True).start()
    serve(spec, sock)


def _pass(signum: int, frame: FrameType | None) -> None:
    pass


def serve(spec: ChildSpec, sock: socket.socket) -> None:
    """Run tasks from ``sock`` in this process until the hub says to stop, or is gone."""
    app = spec.load(spec.app_path)
    if spec.log_level is not None:
        configure_logging(spec.log_level, everybody=True)
    runner = AttemptRunner(app, worker_id=spec.worker_id)
    slots = _slots(spec, Link(sock), runner)
    signals.worker_child_init.send(signals.WorkerChildInit(worker_id=spec.worker_id, index=spec.index))
    try:
        slots.serve()
    finally:
        signals.worker_child_shutdown.send(
            signals.WorkerChildShutdown(worker_id=spec.worker_id, index=spec.index)
        )
        sock.close()


def _slots(spec: ChildSpec, link: Link, runner: AttemptRunner) -> _Slots:
    clock = SystemClock()
    match spec.kind:
        case "sync":
            from stem.worker.slots.sync import SyncSlots

            return SyncSlots(link, runner, clock=clock)
        case "threads":
            from stem.worker.slots.threads import ThreadSlots

            return ThreadSlots(link, runner, slots=spec.slots, clock=clock)
        case "coroutines":
            from stem.worker.slots.coroutines import CoroutineSlots

            return CoroutineSlots(link, runner, slots=spec.slots, clock=clock)


def _exit_with_hub() -> None:
    parent = parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        # The hub's leases will lapse and its tasks will run elsewhere; what
        # this process still does would be done twice.
        os._exit(ORPHANED)


if TYPE_CHECKING:
    from typing import Protocol

    class _Slots(Protocol):
        def serve(self) -> None: ...
