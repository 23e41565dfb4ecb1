"""What hub and children say to each other over their socketpair.

A frame is a header (payload length, kind, key) and a payload in marshal's
format: both ends are the same interpreter, and nothing but these two processes
can write to the socket. A frame that its sender did not finish is discarded.
"""

from __future__ import annotations

import marshal
import struct
from enum import IntEnum
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

_HEADER: Final = struct.Struct("!IBQ")


class Kind(IntEnum):
    """What a frame says."""

    RUN = 1
    """To the child: start an attempt."""
    LOST = 2
    """To the child: the attempt's lease is lost."""
    INTERRUPT = 3
    """To the child: raise an error inside the attempt."""
    DRAIN = 4
    """To the child: exit once nothing runs."""
    FORGET = 5
    """To the child: do not start this attempt, if it has not started."""
    READY = 6
    """From the child: tasks are imported; so many slots."""
    DONE = 7
    """From the child: the attempt's outcome."""
    FORGOTTEN = 8
    """From the child: the attempt was not started and never will be."""


_KINDS: Final = {int(kind): kind for kind in Kind}  # looking up costs a tenth of converting


def write_frame(kind: Kind, key: int, payload: Any = None) -> bytes:
    """Return one frame.

    Args:
        key: Names the attempt; 0 for frames about the whole child.
        payload: Anything that marshal takes.
    """
    body = marshal.dumps(payload)
    return _HEADER.pack(len(body), kind, key) + body


class FrameReader:
    """Cuts a stream of bytes into frames."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[tuple[Kind, int, Any]]:
        """Yield the frames that are complete with ``data``: kind, key, payload."""
        buffer = self._buffer
        buffer += data
        start = 0
        while len(buffer) - start >= _HEADER.size:
            size, kind, key = _HEADER.unpack_from(buffer, start)
            end = start + _HEADER.size + size
            if len(buffer) < end:
                break
            yield _KINDS[kind], key, marshal.loads(memoryview(buffer)[start + _HEADER.size : end])
            start = end
        del buffer[:start]
