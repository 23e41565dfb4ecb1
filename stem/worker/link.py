"""The child's end of its socketpair."""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING, Any

from stem.worker.frames import FrameReader, Kind, write_frame
from stem.worker.outcome import outcome_to_wire

if TYPE_CHECKING:
    import socket

    from stem.worker.outcome import Outcome

Frame = tuple[Kind, int, Any]

_CHUNK_BYTES = 65_536


class Link:
    """Sends and receives frames. One thread receives, any thread sends."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._reader = FrameReader()
        self._waiting: deque[Frame] = deque()
        self._sending = threading.Lock()
        self._closed = False

    @property
    def sock(self) -> socket.socket:
        """The socket, for an event loop to read."""
        return self._sock

    def receive(self) -> Frame | None:
        """Wait for the next frame; None when the hub is gone."""
        while not self._waiting:
            if self._closed or not self.feed(self._read(blocking=True)):
                return None
        return self._waiting.popleft()

    def peek(self) -> list[Frame]:
        """Read what is there without waiting; return all frames that were not received yet."""
        self.feed(self._read(blocking=False))
        return list(self._waiting)

    def feed(self, data: bytes | None) -> bool:
        """Take in bytes from the socket; return False when they say that the hub is gone."""
        if data is None:
            return True
        if not data:
            self._closed = True
            return False
        self._waiting.extend(self._reader.feed(data))
        return True

    def waiting(self) -> Frame | None:
        """Return the next frame that has been read already, or None."""
        return self._waiting.popleft() if self._waiting else None

    def withdraw(self, key: int) -> bool:
        """Take a job back that has been read and not been received; return whether there was one."""
        for frame in self._waiting:
            if frame[0] is Kind.RUN and frame[1] == key:
                self._waiting.remove(frame)
                return True
        return False

    def forgotten(self, key: int) -> None:
        """Say that an attempt was not started and never will be."""
        self._send(write_frame(Kind.FORGOTTEN, key))

    def ready(self, slots: int) -> None:
        """Say that tasks can be run, so many at once."""
        self._send(self.ready_frame(slots))

    def done(self, key: int, outcome: Outcome, runtime_s: float) -> None:
        """Say how an attempt ended and how many seconds it took."""
        self._send(self.done_frame(key, outcome, runtime_s))

    @staticmethod
    def ready_frame(slots: int) -> bytes:
        """Return the frame that `ready` sends."""
        return write_frame(Kind.READY, 0, slots)

    @staticmethod
    def done_frame(key: int, outcome: Outcome, runtime_s: float) -> bytes:
        """Return the frame that `done` sends."""
        return write_frame(Kind.DONE, key, (runtime_s, *outcome_to_wire(outcome)))

    def _send(self, frame: bytes) -> None:
        with self._sending:
            self._sock.sendall(frame)

    def _read(self, *, blocking: bool) -> bytes | None:
        import socket

        try:
            return self._sock.recv(_CHUNK_BYTES, 0 if blocking else socket.MSG_DONTWAIT)
        except BlockingIOError:
            return None
        except ConnectionError:
            return b""
