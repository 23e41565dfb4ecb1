"""A TCP proxy on loopback that misbehaves on demand: slow, deaf, cut, reset.

It stands between Stem and a real server, so that a test can lose exactly the
reply that it means.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

_CHUNK_BYTES: Final = 65_536
_START_LIMIT_S: Final = 10.0
_RESET: Final = struct.pack("ii", 1, 0)  # SO_LINGER on, 0 s: closing sends RST


@dataclass(frozen=True, eq=False, slots=True)
class _Link:
    """A client's connection and the one to the server behind it."""

    client: asyncio.StreamWriter
    server: asyncio.StreamWriter


class FaultProxy:
    """Forwards connections to a server until told otherwise. Any thread.

    Use it as a context manager; clients connect to ``127.0.0.1`` and `port`.

    Args:
        host, port: The server.
    """

    def __init__(self, host: str, port: int) -> None:
        self._upstream = (host, port)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="stem-fault-proxy", daemon=True)
        self._listening = threading.Event()
        self._links: set[_Link] = set()  # touched by the proxy's thread only
        self._open = asyncio.Event()
        self._refusing = False
        self._latency_s = 0.0
        self._marker: bytes | None = None
        self._cuts_left = 0
        self.port = 0
        self.cuts = 0

    def __enter__(self) -> Self:
        self._thread.start()
        if not self._listening.wait(_START_LIMIT_S):
            raise TimeoutError("the proxy does not listen")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_START_LIMIT_S)

    def delay(self, seconds: float) -> None:
        """Hold every chunk, in both directions, for so long; 0 is no more."""
        self._latency_s = seconds

    def black_hole(self) -> None:
        """Keep connections open and deliver nothing until `heal`."""
        self._call(self._open.clear)

    def refuse(self) -> None:
        """Reset every connection, and each new one, until `heal`."""
        self._refusing = True
        self.reset()

    def heal(self) -> None:
        """Forward again, at full speed, what was held included."""
        self._refusing = False
        self._latency_s = 0.0
        self._call(self._open.set)

    def reset(self) -> None:
        """Reset every connection now; new ones are forwarded."""
        self._call(self._cut_all)

    def cut_reply(self, marker: bytes, *, times: int = 1) -> None:
        """Reset the connection instead of delivering a reply that contains ``marker``.

        Args:
            marker: Within one chunk of what the server sends; b"" is any reply.
            times: How many replies; `cuts` counts them.
        """
        self._cuts_left = times
        self._marker = marker

    # the proxy's thread

    def _call(self, step: Callable[[], object]) -> None:
        """Let the proxy's thread do a step, and wait until it has."""
        done = threading.Event()

        def run() -> None:
            step()
            done.set()

        self._loop.call_soon_threadsafe(run)
        done.wait(_START_LIMIT_S)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._open.set()
        server = self._loop.run_until_complete(asyncio.start_server(self._accept, "127.0.0.1", 0))
        self.port = server.sockets[0].getsockname()[1]
        self._listening.set()
        self._loop.run_forever()
        server.close()
        self._cut_all()
        tasks = asyncio.all_tasks(self._loop)
        for task in tasks:
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        self._loop.close()

    async def _accept(self, reader: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        if self._refusing:
            _reset(client)
            return
        try:
            replies, server = await asyncio.open_connection(*self._upstream)
        except OSError:
            _reset(client)
            return
        link = _Link(client, server)
        self._links.add(link)
        try:
            await asyncio.gather(
                self._forward(reader, server, link, replies=False),
                self._forward(replies, client, link, replies=True),
            )
        finally:
            self._links.discard(link)
            client.close()
            server.close()

    async def _forward(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, link: _Link, *, replies: bool
    ) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(_CHUNK_BYTES):
                if replies and self._is_cut(data):
                    self._cut(link)
                    return
                if self._latency_s:
                    await asyncio.sleep(self._latency_s)
                await self._open.wait()
                writer.write(data)
                await writer.drain()
            writer.write_eof()

    def _is_cut(self, data: bytes) -> bool:
        if self._marker is None or not self._cuts_left or self._marker not in data:
            return False
        self._cuts_left -= 1
        self.cuts += 1
        return True

    def _cut_all(self) -> None:
        for link in list(self._links):
            self._cut(link)

    def _cut(self, link: _Link) -> None:
        self._links.discard(link)
        _reset(link.client)
        _reset(link.server)


def _reset(writer: asyncio.StreamWriter) -> None:
    sock: socket.socket | None = writer.get_extra_info("socket")
    if sock is not None:
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    writer.transport.abort()
