"""The child of ``--pool solo``: the worker's own main thread, for debugging."""

from __future__ import annotations

import os
import queue
import signal
import socket
from typing import TYPE_CHECKING, Any, Final

from stem.worker.child import serve
from stem.worker.frames import FrameReader, Kind
from stem.worker.holdings import ChildEnd
from stem.worker.slots.sync import WAKE_SIGNAL

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stem.worker.child import ChildSpec
    from stem.worker.children import ChildPool

_NUMBER: Final = 1
_CHUNK_BYTES: Final = 262_144


class SoloChild:
    """Speaks with the main thread as with a child process. It cannot be killed."""

    def __init__(self) -> None:
        self._sock: socket.socket | None = None
        self._reader = FrameReader()
        self._handed_over: queue.SimpleQueue[socket.socket | None] = queue.SimpleQueue()

    def serve(self, spec: ChildSpec) -> None:
        """Run tasks in the calling thread, the main one, until the hub ends."""
        while (sock := self._handed_over.get()) is not None:
            serve(spec, sock)

    def spawn(self) -> tuple[int, socket.socket]:
        """Hand a socket to the main thread; return the number 1 and the socket to watch."""
        ours, theirs = socket.socketpair()
        self._sock = ours
        self._reader = FrameReader()
        self._handed_over.put(theirs)
        return _NUMBER, ours

    def pids(self) -> dict[int, int]:
        """Return this process's id."""
        return {_NUMBER: os.getpid()}

    def receive(self, number: int) -> Iterator[tuple[Kind, int, Any]] | None:
        """Return the frames that the main thread has sent; None when it has ended."""
        assert self._sock is not None
        try:
            data = self._sock.recv(_CHUNK_BYTES)
        except (ConnectionError, OSError):
            return None
        return self._reader.feed(data) if data else None

    def send(self, number: int, frames: bytes) -> bool:
        """Send frames to the main thread."""
        if self._sock is None:
            return False
        self._sock.sendall(frames)
        return True

    def wake(self, number: int) -> None:
        """Make the main thread look at its socket."""
        signal.pthread_kill(_main_thread_id(), WAKE_SIGNAL)

    def kill(self, number: int) -> None:
        """Part from the main thread: what it still runs is not waited for."""
        if self._sock is not None:
            self._sock.shutdown(socket.SHUT_RDWR)

    def bury(self, number: int) -> ChildEnd:
        """Close the socket."""
        if self._sock is not None:
            self._sock.close()
            self._sock = None
        return ChildEnd(exit_code=None)

    def close(self, *, grace_s: float) -> None:
        """Let `serve` return once its task has ended."""
        self.bury(_NUMBER)
        self._handed_over.put(None)


def _main_thread_id() -> int:
    import threading

    ident = threading.main_thread().ident
    assert ident is not None
    return ident


if TYPE_CHECKING:
    _: type[ChildPool] = SoloChild
