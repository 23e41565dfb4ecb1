"""Attempts in threads of one child; its main thread reads the socket."""

from __future__ import annotations

import asyncio
import ctypes
import queue
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from stem.tasks.context import Cancellation
from stem.worker.attempt import Attempt, Job
from stem.worker.frames import Kind
from stem.worker.interruption import interruption

if TYPE_CHECKING:
    from stem.clock import Clock
    from stem.worker.attempt import AttemptRunner
    from stem.worker.link import Link
    from stem.worker.outcome import Outcome


@dataclass(slots=True, kw_only=True)
class _Running:
    """An attempt in a thread.

    Attributes:
        thread_id: None until a thread has taken it, and once it has ended. Guarded by the lock.
    """

    job: Job
    cancellation: Cancellation = field(default_factory=Cancellation)
    thread_id: int | None = None


class ThreadSlots:
    """Runs up to ``slots`` attempts at once, one thread each."""

    def __init__(self, link: Link, runner: AttemptRunner, *, slots: int, clock: Clock) -> None:
        self._link = link
        self._runner = runner
        self._slots = slots
        self._clock = clock
        self._jobs: queue.SimpleQueue[_Running | None] = queue.SimpleQueue()
        self._running: dict[int, _Running] = {}  # guarded by _lock
        self._lock = threading.Lock()

    def serve(self) -> None:
        """Run what the hub sends until it says to drain, or is gone."""
        threads = [
            threading.Thread(target=self._work, name=f"stem-slot-{number}", daemon=True)
            for number in range(1, self._slots + 1)
        ]
        for thread in threads:
            thread.start()
        self._link.ready(self._slots)
        if self._read():
            for _ in threads:
                self._jobs.put(None)
            for thread in threads:
                thread.join()

    def _read(self) -> bool:
        """Read frames; return True to finish what runs, False when the hub is gone."""
        while (frame := self._link.receive()) is not None:
            kind, key, payload = frame
            match kind:
                case Kind.DRAIN:
                    return True
                case Kind.RUN:
                    self._start(Job.from_wire(key, payload))
                case Kind.LOST:
                    self._lose(key)
                case Kind.INTERRUPT:
                    self._interrupt(key, interruption(payload))
                case _:
                    pass
        return False

    def _start(self, job: Job) -> None:
        running = _Running(job=job)
        with self._lock:
            self._running[job.key] = running
        self._jobs.put(running)

    def _lose(self, key: int) -> None:
        with self._lock:
            running = self._running.get(key)
        if running is not None:
            running.cancellation.lease_lost = True

    def _interrupt(self, key: int, error: BaseException) -> None:
        with self._lock:
            running = self._running.get(key)
            if running is None or running.cancellation.interruption is not None:
                return
            running.cancellation.interruption = error
            if running.thread_id is not None:
                _raise_in(running.thread_id, type(error))

    def _work(self) -> None:
        while (running := self._jobs.get()) is not None:
            started_s = self._clock.monotonic()
            outcome = self._attempt(running)
            self._link.done(running.job.key, outcome, self._clock.monotonic() - started_s)

    def _attempt(self, running: _Running) -> Outcome:
        attempt = self._runner.prepare(running.job, running.cancellation)
        if not isinstance(attempt, Attempt):
            self._end(running)
            return attempt
        try:
            with self._lock:
                running.thread_id = threading.get_ident()
            if running.cancellation.interruption is not None:  # it came before the thread did
                return self._runner.failed(attempt, running.cancellation.interruption)
            return self._runner.run(attempt, _run_coroutine)
        except Exception as error:  # noqa: BLE001 - an interruption that arrived just after the task
            return self._runner.failed(attempt, error)
        finally:
            self._end(running)

    def _end(self, running: _Running) -> None:
        with self._lock:
            if running.thread_id is not None:
                # An error that is still on its way must not hit the next task.
                _raise_in(running.thread_id, None)
            running.thread_id = None
            self._running.pop(running.job.key, None)


def _run_coroutine(awaitable: object) -> object:
    return asyncio.run(_awaited(awaitable))


async def _awaited(awaitable: Any) -> object:
    return await awaitable


def _raise_in(thread_id: int, error: type[BaseException] | None) -> None:
    # The interpreter raises it at the thread's next bytecode; None takes it back.
    ctypes.pythonapi.PyThreadState_SetAsyncExc(
        ctypes.c_ulong(thread_id), None if error is None else ctypes.py_object(error)
    )
