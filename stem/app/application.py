"""The application: its tasks, its settings, its workers."""

from __future__ import annotations

import os
import sys
from functools import partial
from pathlib import Path
from typing import (
    TYPE_CHECKING,
    Any,
    Literal,
    ParamSpec,
    TypeVar,
    Unpack,
    cast,
    overload,
)

from stem import ids
from stem.app.loading import load
from stem.app.stores import Stores
from stem.clock import SystemClock
from stem.errors import ConfigurationError
from stem.tasks.handle import Handle
from stem.tasks.options import Definition, define
from stem.tasks.registry import Registry
from stem.tasks.task import AsyncTask, SyncTask, Task, is_async

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence
    from datetime import timedelta

    from stem.app.makers import BoundTaskMaker, TaskMaker
    from stem.clock import Clock
    from stem.config.settings import Pool, Settings
    from stem.config.sources import Resolved
    from stem.lifecycle import Service
    from stem.middleware import Middleware
    from stem.retry import RetryPolicy
    from stem.tasks.options import CallOptions, TaskOptions
    from stem.tasks.publish import Publisher
    from stem.worker.worker import Worker

P = ParamSpec("P")
R = TypeVar("R")

_MAIN = frozenset({"__main__", "__mp_main__"})


class Stem(Stores):
    """A task queue application: its tasks, its settings, its stores.

    Making one opens nothing and reads nothing: settings are read at the first
    use that needs them, connections are made at the first use of a store.

    Args:
        name: Names the application in logs, and tasks that are defined in an
            interactive session.
        broker: The broker's URL; short for the setting ``broker_url``.
        result_backend: The result store's URL; short for ``result_backend_url``.
        middleware: Around every attempt, the first outermost.
        clock: For tests.
        settings: Any other setting by name; they win over the environment and files.
    """

    def __init__(
        self,
        name: str,
        *,
        broker: str | None = None,
        result_backend: str | None = None,
        middleware: Sequence[Middleware] = (),
        clock: Clock | None = None,
        **settings: object,
    ) -> None:
        super().__init__(clock=clock or SystemClock())
        self.name = name
        self.tasks = Registry()
        self.middleware: list[Middleware] = list(middleware)
        self._overrides = dict(settings)
        if broker is not None:
            self._overrides["broker_url"] = broker
        if result_backend is not None:
            self._overrides["result_backend_url"] = result_backend
        self._module = _caller_module()
        self._resolved: Resolved | None = None
        self._default_retry: RetryPolicy | None = None
        self._publisher: Publisher | None = None

    def __repr__(self) -> str:
        return f"<Stem {self.name}, {len(self.tasks)} tasks>"

    # settings

    @property
    def resolved(self) -> Resolved:
        """Every setting with where it came from; read once.

        Raises:
            ConfigurationError: Some setting cannot be used; every problem at once.
        """
        if self._resolved is None:
            from stem import signals
            from stem.config.sources import resolve

            resolved = resolve(overrides=self._overrides, environ=os.environ, cwd=Path.cwd())
            settings = resolved.settings
            signals.configure(enabled=settings.signals_enabled, disabled=settings.signals_disabled)
            self._resolved = resolved
        return self._resolved

    @property
    def settings(self) -> Settings:
        """Every setting."""
        return self.resolved.settings

    def override(self, **settings: object) -> None:
        """Set settings over those given before; only until they are first used.

        Raises:
            ConfigurationError: The settings are in use already.
        """
        if self._resolved is not None:
            raise ConfigurationError(problems=[f"{', '.join(settings)}: the settings are in use already"])
        self._overrides.update(settings)

    @property
    def default_retry(self) -> RetryPolicy:
        """The policy of tasks that have none of their own."""
        if self._default_retry is None:
            from stem.retry import RetryPolicy

            settings = self.settings
            self._default_retry = RetryPolicy(
                max_retries=settings.max_retries, base=settings.retry_base, cap=settings.retry_cap
            )
        return self._default_retry

    # tasks

    @overload
    def task(self, function: Callable[P, Awaitable[R]], /) -> AsyncTask[P, R]: ...  # type: ignore[overload-overlap]  # the first that fits is meant
    @overload
    def task(self, function: Callable[P, R], /) -> SyncTask[P, R]: ...
    @overload
    def task(self, /, *, bind: Literal[True], **options: Unpack[TaskOptions]) -> BoundTaskMaker: ...
    @overload
    def task(self, /, *, bind: Literal[False] = ..., **options: Unpack[TaskOptions]) -> TaskMaker: ...
    def task(
        self, function: Callable[..., Any] | None = None, /, *, bind: bool = False, **options: Any
    ) -> Any:
        """Make a function a task: ``@app.task``, or ``@app.task(queue="mail")``.

        Args:
            bind: Whether the function takes the task's `Context` as its first parameter.
            options: See `stem.tasks.options.TaskOptions`.

        Raises:
            ConfigurationError: Options that cannot be used, all at once.
            DuplicateTaskError: Another function has this name.
        """
        if function is not None:
            return self._register(function, bind=False, options={})
        return partial(self._register, bind=bind, options=options)

    def _register(
        self, function: Callable[..., Any], *, bind: bool, options: Mapping[str, Any]
    ) -> Task[Any, Any]:
        given = cast("TaskOptions", {key: value for key, value in options.items() if key != "name"})
        name = options.get("name") or f"{self._module_name(function.__module__)}.{function.__name__}"
        kind: type[Task[Any, Any]] = AsyncTask[..., Any] if is_async(function) else SyncTask[..., Any]
        task = kind(function, define(name, given), bound=bind, host=self)
        self.tasks.add(task)
        return task

    def send_task(
        self,
        name: str,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        **options: Unpack[CallOptions],
    ) -> Handle[Any]:
        """Publish a call of a task that need not be defined here.

        The arguments are checked against the signature only where the task is defined.

        Raises:
            ConfigurationError: Options that cannot be used, all at once.
            NotEncodableError: An argument has no JSON form.
            StoreError: The task is not published, or that is not known.
        """
        task = self.tasks.find(name)
        if task is not None:
            return task.apply_async(args, kwargs, **options)
        task_id = self.publisher.publish(Definition(name=name), args, kwargs or {}, options)
        return self.AsyncResult(task_id)

    def enqueue_in(
        self,
        connection: object,
        task: Task[..., Any] | str,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        **options: Unpack[CallOptions],
    ) -> Handle[Any]:
        """Publish a call within a database transaction: rolled back, it was never sent.

        Args:
            connection: A SQLAlchemy ``Connection`` or ``Session`` on the database that is broker
                and result store at once (PostgreSQL or SQLite). Ending the transaction is up to you.
            task: The task, or the name of one that need not be defined here.

        Raises:
            ConfigurationError: Options that cannot be used, or a connection to another database.
            NotEncodableError: An argument has no JSON form.
            StoreError: Nothing is written; the transaction has to be rolled back.
        """
        from stem.app.transactions import intake_of

        through = intake_of(self.broker, connection)
        known = self.tasks.find(task) if isinstance(task, str) else task
        if known is None:
            definition, wire = Definition(name=str(task)), (args, kwargs or {})
        else:
            definition, wire = known.definition, known.signature.to_wire(args, kwargs or {})
        task_id = self.publisher.publish(definition, *wire, options, through=through)
        return self.AsyncResult(task_id) if known is None else known.AsyncResult(task_id)

    def AsyncResult(self, task_id: str) -> Handle[Any]:
        """Return the handle of the task with this id; nothing is looked up."""
        return Handle(task_id, stores=self)

    @property
    def stores(self) -> Stem:
        """Where handles look: the application itself."""
        return self

    @property
    def publisher(self) -> Publisher:
        """Publishes calls."""
        if self._publisher is None:
            from stem.tasks.publish import Publisher

            self._publisher = Publisher(
                self.broker,
                default_queue=self.settings.default_queue,
                result_ttl=self.settings.result_ttl,
                clock=self.clock,
            )
        return self._publisher

    def close(self) -> None:
        """Free every connection; they are made again when needed. May be called twice."""
        self._publisher = None
        super().close()

    @property
    def revoke_ttl(self) -> timedelta:
        """How long a revocation is kept."""
        return self.settings.revoke_ttl

    # workers

    def worker(
        self,
        *,
        name: str | None = None,
        queues: Sequence[str] = (),
        pool: Pool | None = None,
        concurrency: int | None = None,
        app_path: str | None = None,
        log_level: str | None = None,
    ) -> Worker:
        """Return a worker for this application's tasks; its ``run()`` blocks until it is told to stop.

        Args:
            name: The worker's name, or ``name@host``; ``default`` by default.
            queues: What to take tasks from, the first ones first; the default queue by default.
            pool: How tasks are run; the setting ``pool`` by default.
            concurrency: How many at once; the setting ``concurrency`` by default.
            app_path: How child processes find this application, ``module:attribute``;
                by default it is looked for in the module that made it.
            log_level: What child processes log; None leaves logging to the application.

        Raises:
            ConfigurationError: Something cannot be used; every problem at once.
        """
        from stem.worker.worker import Worker, WorkerOptions, WorkerPorts, default_concurrency

        settings = self.settings
        worker_id = ids.worker_id(name)
        chosen = tuple(queues) or (settings.default_queue,)
        _check_names(worker_id, chosen)
        pool = pool or settings.pool
        options = WorkerOptions(
            id=worker_id,
            queues=chosen,
            pool=pool,
            concurrency=concurrency or settings.concurrency or default_concurrency(),
            lease=settings.lease_duration,
            renew_every=settings.lease_renew_every,
            max_deliveries=settings.max_deliveries,
            result_ttl=settings.result_ttl,
            grace=settings.shutdown_grace,
            heartbeat_every=settings.heartbeat_every,
            soft_limit_s=_seconds(settings.soft_time_limit),
            hard_limit_s=_seconds(settings.hard_time_limit),
            max_tasks_per_child=settings.max_tasks_per_child,
            app_path=app_path or ("" if pool == "solo" else self._path()),
            load=self._itself if pool == "solo" else load,
            log_level=log_level,
        )
        ports = WorkerPorts(
            broker=self.broker, results=self.results, revokes=self.revokes, heartbeats=self.heartbeats_store
        )
        return Worker(options, app=self, ports=ports, services=self._maintenance(), clock=self.clock)

    def _maintenance(self) -> list[Service]:
        from stem.lifecycle import PeriodicService
        from stem.maintenance.pruner import PRUNE_EVERY_S, Pruner
        from stem.maintenance.reaper import REAP_EVERY_S, Reaper

        settings = self.settings
        reaper = Reaper(self.broker, max_deliveries=settings.max_deliveries)
        pruner = Pruner(
            results=self.results,
            revokes=self.revokes,
            dead_letters=self.dead_letters,
            dead_letter_ttl=settings.dead_letter_ttl,
            clock=self.clock,
        )
        return [
            PeriodicService("reaper", reaper.tick, interval_s=REAP_EVERY_S, clock=self.clock),
            PeriodicService("pruner", pruner.tick, interval_s=PRUNE_EVERY_S, clock=self.clock),
        ]

    def _itself(self, path: str) -> Stem:
        return self

    def _path(self) -> str:
        module = sys.modules.get(self._module)
        names = [name for name, value in vars(module).items() if value is self] if module else []
        if not names:
            raise ConfigurationError(
                problems=[
                    f"application {self.name!r}: child processes cannot find it; "
                    "assign it to a variable of a module, or use the pool solo"
                ]
            )
        return f"{self._module}:{names[0]}"

    def _module_name(self, module: str) -> str:
        if module not in _MAIN:
            return module
        # The same name whether the file is run or imported.
        main = sys.modules["__main__"]
        spec, file = getattr(main, "__spec__", None), getattr(main, "__file__", None)
        if spec is not None:
            return str(spec.name).removesuffix(".__main__")
        return Path(file).stem if file else self.name


def _check_names(worker_id: str, queues: Sequence[str]) -> None:
    problems = [
        f"queue {queue!r}: expected 1 to 200 letters, digits or . _ : @ / -"
        for queue in queues
        if not ids.is_queue_name(queue)
    ]
    if not ids.is_worker_id(worker_id):
        problems.append(f"worker name: expected NAME or NAME@HOST, got {worker_id!r}")
    if problems:
        raise ConfigurationError(problems=problems)


def _seconds(duration: timedelta | None) -> float | None:
    return None if duration is None else duration.total_seconds()


def _caller_module() -> str:
    return str(sys._getframe(2).f_globals.get("__name__", "__main__"))
