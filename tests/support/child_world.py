"""A child's slots without a process: a thread plays the hub."""

from __future__ import annotations

import os
import select
import signal
import socket
import threading
from typing import TYPE_CHECKING, Any

from stem import Stem, codecs
from stem.message import Arguments, Envelope
from stem.worker.attempt import Job
from stem.worker.frames import FrameReader, Kind, write_frame
from stem.worker.outcome import outcome_from_wire

if TYPE_CHECKING:
    from collections.abc import Callable

    from stem.worker.outcome import Outcome

LIMIT_S = 20.0


def job(name: str, *args: object, key: int = 1, **envelope: Any) -> Job:
    """Return a job for the task ``name``."""
    message = codecs.encode(Envelope(id=f"id-{key}", name=name, **envelope), Arguments(args=args))
    return Job(key=key, message=message, queue="default", deliveries=1)


class HubEnd:
    """The hub's end of a child's socketpair."""

    def __init__(self) -> None:
        self.sock, self.child = socket.socketpair()
        self.sock.settimeout(LIMIT_S)
        self._reader = FrameReader()
        self._frames: list[tuple[Kind, int, Any]] = []

    def send(self, kind: Kind, key: int = 0, payload: Any = None) -> None:
        """Send a frame."""
        self.sock.sendall(write_frame(kind, key, payload))

    def run(self, one: Job) -> None:
        """Send a job."""
        self.send(Kind.RUN, one.key, one.to_wire())

    def receive(self) -> tuple[Kind, int, Any]:
        """Wait for the next frame."""
        while not self._frames:
            data = self.sock.recv(65536)
            assert data, "the child has closed its end"
            self._frames += self._reader.feed(data)
        return self._frames.pop(0)

    def outcome(self, *, wake: bool = False) -> Outcome:
        """Wait for the next outcome, waking the child like a hub if asked to."""
        if wake:
            self.wake_until_heard()
        kind, _, payload = self.receive()
        assert kind is Kind.DONE
        return outcome_from_wire(payload[1:])

    def wake(self) -> None:
        """Wake a child that runs tasks in its main thread; here, this process's."""
        os.kill(os.getpid(), signal.SIGUSR1)

    def wake_until_heard(self) -> None:
        """Wake the child until it sends something."""
        while not self._frames:
            self.wake()
            if select.select([self.sock], [], [], 0.05)[0]:
                return

    def close(self) -> None:
        """Close both ends."""
        self.sock.close()
        self.child.close()


def in_thread(hub: Callable[[], None]) -> threading.Thread:
    """Start ``hub`` in a thread."""
    thread = threading.Thread(target=hub, daemon=True)
    thread.start()
    return thread


def example_app() -> Stem:
    """Return an application with the tasks that the tests run."""
    import asyncio

    from stem import Context, Retry

    app = Stem("example")
    began = threading.Event()
    app.began = began  # type: ignore[attr-defined]

    @app.task(name="add")
    def add(x: int, y: int = 1) -> int:
        return x + y

    @app.task(name="fail")
    def fail() -> None:
        raise ValueError("no")

    @app.task(name="leave")
    def leave() -> None:
        raise SystemExit(3)

    @app.task(name="again")
    def again() -> None:
        raise Retry(delay=5)

    @app.task(name="again_with", bind=True)
    def again_with(ctx: Context, number: int) -> None:
        raise Retry(args=[number + 1])

    @app.task(name="flaky", autoretry_for=(OSError,), max_retries=2)
    def flaky() -> None:
        raise OSError("later")

    @app.task(name="unencodable")
    def unencodable() -> object:
        return object()

    @app.task(name="spin")
    def spin() -> None:
        began.set()
        while True:
            threading.Event().wait(0.005)

    @app.task(name="aspin")
    async def aspin() -> None:
        began.set()
        await asyncio.Event().wait()

    @app.task(name="checks", bind=True)
    def checks(ctx: Context) -> None:
        began.set()
        while True:
            threading.Event().wait(0.005)
            ctx.check()

    @app.task(name="aadd")
    async def aadd(x: int, y: int) -> int:
        await asyncio.sleep(0)
        return x + y

    @app.task(name="attempt", bind=True)
    def attempt(ctx: Context) -> list[object]:
        return [ctx.id, ctx.attempt, ctx.worker_id]

    return app
