"""Attempts as coroutines of one event loop in the child's main thread.

Tasks that are plain functions run in threads beside the loop.
"""

from __future__ import annotations

import asyncio
import inspect
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from stem.errors import LeaseLostError
from stem.tasks.context import Cancellation
from stem.worker.attempt import Attempt, Job
from stem.worker.frames import Kind
from stem.worker.interruption import interruption

if TYPE_CHECKING:
    from stem.clock import Clock
    from stem.worker.attempt import AttemptRunner
    from stem.worker.link import Link
    from stem.worker.outcome import Outcome

_CHUNK_BYTES = 65_536


class CoroutineSlots:
    """Runs up to ``slots`` attempts at once in one event loop."""

    def __init__(self, link: Link, runner: AttemptRunner, *, slots: int, clock: Clock) -> None:
        self._link = link
        self._runner = runner
        self._slots = slots
        self._clock = clock
        self._running: dict[int, tuple[asyncio.Task[None], Cancellation]] = {}
        # Two senders at once could interleave their frames once the socket is full.
        self._sending = asyncio.Lock()

    def serve(self) -> None:
        """Run what the hub sends until it says to drain, or is gone."""
        with ThreadPoolExecutor(self._slots, thread_name_prefix="stem-slot") as threads:
            asyncio.run(self._serve(threads))

    async def _serve(self, threads: ThreadPoolExecutor) -> None:
        loop = asyncio.get_running_loop()
        self._link.sock.setblocking(False)
        await self._send(self._link.ready_frame(self._slots))
        while self._link.feed(await self._receive(loop)):
            while (frame := self._link.waiting()) is not None:
                kind, key, payload = frame
                if kind is Kind.DRAIN:
                    await asyncio.gather(*(task for task, _ in self._running.values()))
                    return
                self._act(kind, key, payload, threads)
        for task, _ in self._running.values():
            task.cancel()

    async def _receive(self, loop: asyncio.AbstractEventLoop) -> bytes:
        try:
            return await loop.sock_recv(self._link.sock, _CHUNK_BYTES)
        except ConnectionError:
            return b""

    def _act(self, kind: Kind, key: int, payload: Any, threads: ThreadPoolExecutor) -> None:
        if kind is Kind.RUN:
            cancellation = Cancellation()
            job = Job.from_wire(key, payload)
            task = asyncio.get_running_loop().create_task(self._run(job, cancellation, threads))
            self._running[key] = (task, cancellation)
            return
        if key not in self._running:
            return
        task, cancellation = self._running[key]
        if kind is Kind.LOST:
            cancellation.lease_lost = True
            self._cancel(task, cancellation, LeaseLostError(task_id=str(payload)))
        elif kind is Kind.INTERRUPT:
            self._cancel(task, cancellation, interruption(payload))

    def _cancel(self, task: asyncio.Task[None], cancellation: Cancellation, error: BaseException) -> None:
        if cancellation.interruption is None:
            cancellation.interruption = error
            task.cancel()

    async def _run(self, job: Job, cancellation: Cancellation, threads: ThreadPoolExecutor) -> None:
        started_s = self._clock.monotonic()
        attempt = self._runner.prepare(job, cancellation)
        outcome = await self._outcome(attempt, threads) if isinstance(attempt, Attempt) else attempt
        self._running.pop(job.key, None)
        await self._send(self._link.done_frame(job.key, outcome, self._clock.monotonic() - started_s))

    async def _send(self, frame: bytes) -> None:
        async with self._sending:
            await asyncio.get_running_loop().sock_sendall(self._link.sock, frame)

    async def _outcome(self, attempt: Attempt, threads: ThreadPoolExecutor) -> Outcome:
        if inspect.iscoroutinefunction(attempt.task.function):
            return await self._runner.arun(attempt)
        # The thread cannot be interrupted: a soft limit on a plain function
        # acts when it returns, a hard limit kills the child.
        loop = asyncio.get_running_loop()
        running = loop.run_in_executor(threads, self._runner.run, attempt, _resolve)
        while True:
            try:
                return await asyncio.shield(running)
            except asyncio.CancelledError:
                if running.done():
                    return running.result()


def _resolve(awaitable: object) -> object:
    return asyncio.run(_awaited(awaitable))


async def _awaited(awaitable: Any) -> object:
    return await awaitable
