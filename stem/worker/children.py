"""Start, feed, watch and end the worker's child processes."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import socket
import sys
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from multiprocessing import connection
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final, Protocol

from stem.worker.child import ChildSpec, main
from stem.worker.frames import FrameReader, Kind, write_frame
from stem.worker.holdings import ChildEnd
from stem.worker.slots.sync import WAKE_SIGNAL

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from multiprocessing.process import BaseProcess

log = logging.getLogger(__name__)

_CHUNK_BYTES: Final = 262_144

SEND_TIMEOUT_S: Final = 5.0
"""A child that does not take a frame for so long is beyond help and is killed."""

_PRELOAD: Final = ["stem.worker.child", "stem.worker.slots.sync", "stem.app", "stem.config.sources"]


@dataclass(slots=True, kw_only=True)
class _Child:
    process: BaseProcess
    sock: socket.socket
    reader: FrameReader = field(default_factory=FrameReader)


class ChildPool(Protocol):
    """What the hub needs from its children. Owned by the dispatcher's thread."""

    def spawn(self) -> tuple[int, socket.socket]:
        """Start a child; return its number and the socket to watch."""
        ...

    def pids(self) -> dict[int, int]:
        """Return the process ids of live children by their numbers. Any thread."""
        ...

    def receive(self, number: int) -> Iterator[tuple[Kind, int, Any]] | None:
        """Return the frames that a readable child has sent; None when it is gone."""
        ...

    def send(self, number: int, frames: bytes) -> bool:
        """Send frames; return False when the child is gone, or does not take them and was killed."""
        ...

    def wake(self, number: int) -> None:
        """Make a child that runs a task in its main thread look at its socket."""
        ...

    def kill(self, number: int) -> None:
        """End a child at once."""
        ...

    def bury(self, number: int) -> ChildEnd:
        """Free what is left of a child that is gone; return how it ended."""
        ...

    def close(self, *, grace_s: float) -> None:
        """End and free every child that is left; idle ones may take ``grace_s`` seconds to leave."""
        ...


class Children:
    """Child processes. Owned by the dispatcher's thread.

    Args:
        spec: What every child is told; its index is filled in.
    """

    def __init__(self, spec: ChildSpec) -> None:
        self._spec = spec
        self._context = multiprocessing.get_context("forkserver")
        # Children are forked from a process that has imported Stem, and
        # nothing else, and that has one thread: no lock can be held in it.
        self._context.set_forkserver_preload(_PRELOAD)
        self._children: dict[int, _Child] = {}
        self._started = 0

    def spawn(self) -> tuple[int, socket.socket]:
        """Start a child; return its number and the socket to watch."""
        self._started += 1
        ours, theirs = socket.socketpair()
        ours.settimeout(SEND_TIMEOUT_S)
        with theirs:
            process = self._context.Process(
                target=main,
                args=(replace(self._spec, index=self._started), theirs),
                name=f"stem-child-{self._started}",
                daemon=False,
            )
            with _without_main(self._spec.app_path):
                process.start()
        # Only the child has its end now, so its death closes the connection.
        self._children[self._started] = _Child(process=process, sock=ours)
        return self._started, ours

    def pids(self) -> dict[int, int]:
        """Return the process ids of live children by their numbers."""
        return {
            number: child.process.pid
            for number, child in list(self._children.items())
            if child.process.pid is not None
        }

    def receive(self, number: int) -> Iterator[tuple[Kind, int, Any]] | None:
        """Return the frames that a readable child has sent; None when it is gone."""
        child = self._children[number]
        try:
            data = child.sock.recv(_CHUNK_BYTES)
        except (ConnectionError, TimeoutError):
            return None
        return child.reader.feed(data) if data else None

    def send(self, number: int, frames: bytes) -> bool:
        """Send frames; return False when the child is gone, or does not take them and was killed."""
        child = self._children.get(number)
        if child is None:
            return False
        try:
            child.sock.sendall(frames)
        except TimeoutError:
            log.warning("child.stuck", extra={"child": number})
            self.kill(number)
            return False
        except ConnectionError:
            return False
        return True

    def wake(self, number: int) -> None:
        """Make a child that runs a task in its main thread look at its socket."""
        if self._spec.kind == "sync":
            self._signal(number, WAKE_SIGNAL)

    def kill(self, number: int) -> None:
        """End a child's process at once."""
        self._signal(number, signal.SIGKILL)

    def _signal(self, number: int, signum: signal.Signals) -> None:
        child = self._children.get(number)
        if child is not None and child.process.pid is not None and child.process.is_alive():
            os.kill(child.process.pid, signum)

    def bury(self, number: int) -> ChildEnd:
        """Free what is left of a child that is gone; return how it ended."""
        child = self._children.pop(number)
        child.sock.close()
        child.process.join(SEND_TIMEOUT_S)
        if child.process.exitcode is None:  # it closed its socket and lives on
            child.process.kill()
            child.process.join()
        end = ChildEnd(exit_code=child.process.exitcode)
        child.process.close()
        return end

    def close(self, *, grace_s: float) -> None:
        """End and free every child that is left; idle ones may take ``grace_s`` seconds to leave."""
        if grace_s:
            # A process's sentinel becomes readable when it ends.
            leaving: list[int] = [
                child.process.sentinel
                for number, child in self._children.items()
                if self.send(number, write_frame(Kind.DRAIN, 0))
            ]
            while leaving:
                gone = connection.wait(leaving, grace_s)
                leaving = [one for one in leaving if one not in gone] if gone else []
        for number in list(self._children):
            self.kill(number)
            self.bury(number)


@contextmanager
def _without_main(app_path: str) -> Generator[None]:
    """Keep a child from running the program's main module, unless the application is in it."""
    if app_path.partition(":")[0] == "__main__":
        yield
        return
    # multiprocessing runs the main module again in every child, so that what
    # is defined there can be unpickled. Nothing of ours is, and a program
    # without a guard around its last lines would start workers in its workers.
    main_module = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main_module


if TYPE_CHECKING:
    _: type[ChildPool] = Children
