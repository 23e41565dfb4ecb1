"""One attempt at a time, in the child's main thread.

The main thread runs the task, so nobody reads the socket meanwhile. The hub
sends a frame and then SIGUSR1; the handler reads the frame and acts on it.
Jobs may be sent ahead; they wait in the link until the one before has ended.
"""

from __future__ import annotations

import asyncio
import signal
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

from stem.errors import LeaseLostError
from stem.tasks.context import Cancellation
from stem.worker.attempt import Attempt, Job
from stem.worker.frames import Kind
from stem.worker.interruption import interruption

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from types import FrameType

    from stem.clock import Clock
    from stem.worker.attempt import AttemptRunner
    from stem.worker.link import Frame, Link

WAKE_SIGNAL = signal.SIGUSR1
"""Tells a child that runs tasks in its main thread to look at its socket."""


class SyncSlots:
    """Runs one attempt at a time."""

    def __init__(self, link: Link, runner: AttemptRunner, *, clock: Clock) -> None:
        self._link = link
        self._runner = runner
        self._clock = clock
        self._key = 0
        self._cancellation = Cancellation()
        self._armed = False
        self._woken = False
        self._loop: asyncio.Runner | None = None
        self._coroutine: asyncio.Task[Any] | None = None

    def serve(self) -> None:
        """Run what the hub sends until it says to drain, or is gone."""
        before = signal.signal(WAKE_SIGNAL, self._on_wake)
        try:
            self._link.ready(1)
            while (frame := self._next()) is not None:
                kind, key, payload = frame
                if kind is Kind.DRAIN:
                    return
                if kind is Kind.RUN:
                    self._run(Job.from_wire(key, payload))
        finally:
            signal.signal(WAKE_SIGNAL, before)
            if self._loop is not None:
                self._loop.close()

    def _next(self) -> Frame | None:
        if self._woken:  # by a frame behind the jobs that were sent ahead
            self._look()
        return self._link.receive()

    def _run(self, job: Job) -> None:
        started_s = self._clock.monotonic()
        self._key, self._cancellation = job.key, Cancellation()
        attempt = self._runner.prepare(job, self._cancellation)
        if isinstance(attempt, Attempt):
            guarded = replace(attempt, call=lambda: self._guarded(attempt.call))
            outcome = self._runner.run(guarded, self._await)
        else:
            outcome = attempt
        self._key = 0
        self._link.done(job.key, outcome, self._clock.monotonic() - started_s)

    def _guarded(self, call: Callable[[], object]) -> object:
        # Only inside this window may the handler raise: the same error in
        # Stem's own code would end the child instead of the task.
        self._armed = True
        try:
            if self._woken:
                self._look()
            return call()
        finally:
            self._armed = False

    def _await(self, awaitable: object) -> object:
        if self._loop is None:
            self._loop = asyncio.Runner()
        try:
            return self._loop.run(self._as_coroutine(awaitable))
        finally:
            self._coroutine = None

    async def _as_coroutine(self, awaitable: object) -> object:
        self._coroutine = asyncio.current_task()
        return await cast("Coroutine[Any, Any, object]", awaitable)

    def _on_wake(self, signum: int, frame: FrameType | None) -> None:
        if self._armed or self._coroutine is not None:
            self._look()
        else:
            self._woken = True  # looked at before the next task starts

    def _look(self) -> None:
        self._woken = False
        for kind, key, payload in self._link.peek():
            if kind is Kind.FORGET and self._link.withdraw(key):
                self._link.forgotten(key)
            if key != self._key:
                continue
            if kind is Kind.LOST and not self._cancellation.lease_lost:
                self._cancellation.lease_lost = True
                self._cancel(LeaseLostError(task_id=str(payload)))
            if kind is Kind.INTERRUPT and self._cancellation.interruption is None:
                self._interrupt(interruption(payload))

    def _interrupt(self, error: BaseException) -> None:
        if self._coroutine is not None:
            self._cancel(error)
            return
        self._cancellation.interruption = error
        self._armed = False  # one error is enough
        raise error

    def _cancel(self, error: BaseException) -> None:
        # Coroutines are cancelled; synchronous code learns at its next ctx.check().
        if self._coroutine is not None:
            self._cancellation.interruption = error
            self._coroutine.get_loop().call_soon_threadsafe(self._coroutine.cancel)
