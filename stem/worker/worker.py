"""A worker: its services, and the order in which they start and stop."""

from __future__ import annotations

import logging
import os
import signal
import threading
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING

from stem import signals
from stem.errors import StoreUnavailableError
from stem.lifecycle import PeriodicService
from stem.worker.announcer import Announcer
from stem.worker.child import ChildSpec
from stem.worker.children import Children
from stem.worker.core import WorkerCore
from stem.worker.courier import Courier
from stem.worker.heartbeat import HeartbeatWriter
from stem.worker.holdings import Stopping
from stem.worker.hub import Hub
from stem.worker.solo import SoloChild
from stem.worker.verdicts import Verdicts

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import timedelta
    from types import FrameType

    from stem.clock import Clock
    from stem.config.settings import Pool
    from stem.lifecycle import Service
    from stem.message import Envelope
    from stem.ports.broker import Broker
    from stem.ports.heartbeats import Heartbeats
    from stem.ports.results import Results
    from stem.ports.revokes import Revokes
    from stem.worker.attempt import TaskApp
    from stem.worker.child import SlotKind

log = logging.getLogger(__name__)

_FLUSH_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerOptions:
    """How a worker is to run.

    Attributes:
        id: ``name@host``.
        queues: What to lease from, the first ones first.
        concurrency: Attempts at once.
        soft_limit_s, hard_limit_s: For tasks that have no limits of their own; None is none.
        app_path: Names the application for child processes, ``module:attribute``.
        load: Turns the path into the application; a module-level function.
        log_level: What child processes log; None leaves logging to the application.
    """

    id: str
    queues: Sequence[str]
    pool: Pool
    concurrency: int
    lease: timedelta
    renew_every: timedelta
    max_deliveries: int
    result_ttl: timedelta
    grace: timedelta
    heartbeat_every: timedelta
    soft_limit_s: float | None
    hard_limit_s: float | None
    max_tasks_per_child: int | None
    app_path: str
    load: Callable[[str], TaskApp]
    log_level: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerPorts:
    """What a worker works on."""

    broker: Broker
    results: Results
    revokes: Revokes
    heartbeats: Heartbeats


class Worker:
    """Runs an application's tasks until it is told to stop.

    Args:
        app: The application, for its tasks.
        services: Run beside it, started after its first heartbeat and stopped
            after its last task.
    """

    def __init__(
        self,
        options: WorkerOptions,
        *,
        app: TaskApp,
        ports: WorkerPorts,
        services: Sequence[Service],
        clock: Clock,
    ) -> None:
        self.id = options.id
        self.ready = threading.Event()
        self._options = options
        self._app = app
        self._services = tuple(services)
        self._clock = clock
        self._info = signals.WorkerInfo(id=options.id, queues=tuple(options.queues), inflight=0)
        self._announcer = Announcer()
        self._children = SoloChild() if options.pool == "solo" else Children(self._child_spec())
        self._hub = Hub(
            self._core(), self._children, announcer=self._announcer, clock=clock, on_ready=self._on_ready
        )
        self._courier = Courier(
            source=ports.broker.source(owner=options.id),
            results=ports.results,
            revokes=ports.revokes,
            queues=options.queues,
            lease=options.lease,
            renew_every=options.renew_every,
            dispatcher=self._hub,
            announce=self._announcer.announce,
            clock=clock,
        )
        self._heartbeat = HeartbeatWriter(
            ports.heartbeats,
            worker_id=options.id,
            boot_id=uuid.uuid4().hex,
            queues=options.queues,
            pool=options.pool,
            every=options.heartbeat_every,
            lease=options.lease,
            pids=self._children.pids,
            hub=self._hub,
            courier=self._courier,
            clock=clock,
        )
        self._requested = Stopping.NO

    def run(self) -> int:
        """Work until told to stop; return the exit code 0.

        In the main thread SIGTERM stops warm, SIGINT soft and SIGQUIT hard, and each
        further SIGTERM or SIGINT stops more urgently.

        Raises:
            WorkerIdTakenError: Another worker of this id is alive.
            StoreError: The broker or a store refuses for good.
        """
        before = self._install_signal_handlers()
        try:
            self._run()
        finally:
            for signum, handler in before.items():
                signal.signal(signum, handler)
        if self._hub.failure is not None:
            raise self._hub.failure
        return 0

    def stop(self, how: Stopping = Stopping.WARM) -> None:
        """Begin to stop; `run` returns once it is done. Any thread; again to stop more urgently."""
        self._hub.stop(how)

    def child_pids(self) -> dict[int, int]:
        """Return the process ids of the children by their numbers."""
        return self._children.pids()

    def _run(self) -> None:
        signals.worker_init.send(signals.WorkerInit(worker=self._info))
        self._register()
        heartbeats = PeriodicService(
            "heartbeat",
            self._heartbeat.tick,
            interval_s=self._options.heartbeat_every.total_seconds(),
            clock=self._clock,
        )
        # Receivers first, so that nothing is announced to nobody; leasing last.
        self._announcer.start()
        for service in (heartbeats, *self._services):
            service.start()
        self._courier.start()
        log.info("worker.started", extra={"worker": self.id, "queues": ",".join(self._options.queues)})
        try:
            self._work()
        finally:
            self._shut_down(heartbeats)

    def _work(self) -> None:
        if not isinstance(self._children, SoloChild):
            self._hub.run(self._courier)
            return
        hub = threading.Thread(target=self._hub.run, args=(self._courier,), name="stem-hub", daemon=True)
        hub.start()
        self._children.serve(self._child_spec())
        hub.join()

    def _shut_down(self, heartbeats: Service) -> None:
        signals.worker_stopping.send(signals.WorkerStopping(worker=self._info))
        # Settlements of the last tasks go out before the heartbeat stops.
        self._courier.stop(timeout_s=_FLUSH_TIMEOUT_S)
        for service in reversed(self._services):
            service.stop()
        heartbeats.stop()
        try:
            self._heartbeat.goodbye()
        except StoreUnavailableError as error:
            log.warning("worker.no_goodbye", extra={"worker": self.id, "reason": error.reason})
        signals.worker_shutdown.send(signals.WorkerShutdown(worker=self._info))
        self._announcer.stop(timeout_s=_FLUSH_TIMEOUT_S)
        log.info("worker.stopped", extra={"worker": self.id, "processed": self._hub.core.processed})

    def _register(self) -> None:
        pause = threading.Event()
        for attempt in range(1, 2**31):
            try:
                return self._heartbeat.register()
            except StoreUnavailableError as error:
                log.warning(
                    "store.unavailable",
                    extra={"server": error.server, "reason": error.reason, "attempt": attempt},
                )
                self._clock.wait(pause, min(0.2 * 2**attempt, 5.0))
        raise AssertionError("unreachable")

    def _on_ready(self) -> None:
        self.ready.set()
        log.info("worker.ready", extra={"worker": self.id, "slots": self._hub.core.slots})
        signals.worker_ready.send(signals.WorkerReady(worker=self._info))

    def _core(self) -> WorkerCore:
        options = self._options
        return WorkerCore(
            verdicts=Verdicts(
                worker=self._info, result_ttl=options.result_ttl, max_deliveries=options.max_deliveries
            ),
            facts=_Facts(self._app, options),
            children=options.concurrency if options.pool == "prefork" else 1,
            grace_s=options.grace.total_seconds(),
            max_tasks_per_child=options.max_tasks_per_child,
            send_ahead=options.pool in {"prefork", "solo"},
        )

    def _child_spec(self) -> ChildSpec:
        kinds: dict[Pool, SlotKind] = {
            "prefork": "sync",
            "solo": "sync",
            "threads": "threads",
            "asyncio": "coroutines",
        }
        kind = kinds[self._options.pool]
        return ChildSpec(
            app_path=self._options.app_path,
            load=self._options.load,
            worker_id=self._options.id,
            kind=kind,
            slots=1 if kind == "sync" else self._options.concurrency,
            index=1,
            log_level=self._options.log_level,
        )

    def _install_signal_handlers(self) -> dict[signal.Signals, signal._HANDLER]:
        if threading.current_thread() is not threading.main_thread():
            return {}
        handlers = {
            signal.SIGTERM: self._on_terminate,
            signal.SIGINT: self._on_interrupt,
            signal.SIGQUIT: self._on_quit,
        }
        return {signum: signal.signal(signum, handler) for signum, handler in handlers.items()}

    def _on_terminate(self, signum: int, frame: FrameType | None) -> None:
        self._request_stop(Stopping.WARM)

    def _on_interrupt(self, signum: int, frame: FrameType | None) -> None:
        self._request_stop(Stopping.SOFT)

    def _request_stop(self, how: Stopping) -> None:
        # Each further request is more urgent than the one before.
        self._requested = Stopping(min(max(self._requested + 1, how), Stopping.HARD))
        self.stop(self._requested)

    def _on_quit(self, signum: int, frame: FrameType | None) -> None:
        self.stop(Stopping.HARD)


class _Facts:
    """What the core asks about tasks."""

    def __init__(self, app: TaskApp, options: WorkerOptions) -> None:
        self._tasks = app.tasks
        self._soft_s = options.soft_limit_s
        # The thread of a solo worker cannot be killed without the worker.
        self._can_kill = options.pool != "solo"
        self._hard_s = options.hard_limit_s

    def knows(self, name: str) -> bool:
        """Return whether a task of this name is registered."""
        return name in self._tasks

    def limits_s(self, envelope: Envelope) -> tuple[float | None, float | None]:
        """Return the limits of the call, else of the task, else of the worker."""
        task = self._tasks.find(envelope.name)
        soft_s, hard_s = envelope.soft_limit_s, envelope.hard_limit_s
        if task is not None:
            soft_s = task.definition.soft_limit_s if soft_s is None else soft_s
            hard_s = task.definition.hard_limit_s if hard_s is None else hard_s
        hard_s = self._hard_s if hard_s is None else hard_s
        return self._soft_s if soft_s is None else soft_s, hard_s if self._can_kill else None


def default_concurrency() -> int:
    """Return how many CPUs this process may use, at least 1."""
    return max(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1, 1)
