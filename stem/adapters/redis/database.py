"""The server as all ports of a stack share it: connections, the time, and errors in our words."""

from __future__ import annotations

import os
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from stem.adapters.redis.boot import check
from stem.adapters.redis.errors import translated
from stem.adapters.redis.link import Link
from stem.adapters.redis.names import Names
from stem.adapters.redis.values import micros

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Sequence
    from datetime import datetime

    from stem.adapters.redis.location import Location

_IDLE_LINKS = 8


class Database:
    """One database number of one server, under one prefix and namespace. Any thread.

    Args:
        wall: A clock to be taken for the server's, in tests; None is the server's own.
    """

    def __init__(
        self, location: Location, *, namespace: str, wall: Callable[[], datetime] | None = None
    ) -> None:
        self.location = location
        self.names = Names(prefix=location.prefix, namespace=namespace)
        self.visible_s = str(int(location.visibility_timeout.total_seconds()))
        self._wall = wall
        self._lock = threading.Lock()
        self._idle: list[Link] = []  # guarded by _lock, as are all below
        self._own: WeakSet[Link] = WeakSet()
        self._checked = False
        self._pid = os.getpid()

    @property
    def address(self) -> str:
        """The URL, without secrets."""
        return self.location.address

    @property
    def now(self) -> str:
        """What scripts are to take for the server's time; "" is that time itself."""
        return "" if self._wall is None else str(micros(self._wall()))

    def call(self, operation: str, script: str, *arguments: str | bytes | int) -> Any:
        """Run a script on a connection of the pool; return its reply.

        Args:
            operation: What it is done for, a verb, for errors.

        Raises:
            StoreError: The server did not answer, or said no.
        """
        with self.link(operation) as link:
            return link.call(script, self.now, *arguments)

    def call_all(
        self, operation: str, script: str, calls: Iterable[Sequence[str | bytes | int]]
    ) -> list[Any]:
        """Run a script several times in one round trip; return the replies, in order."""
        with self.link(operation) as link:
            return link.call_all(script, self.now, calls)

    def run_all(self, operation: str, commands: Sequence[Sequence[str | bytes | int]]) -> list[Any]:
        """Send commands in one round trip; return the replies, in order."""
        with self.link(operation) as link:
            return link.run_all(commands)

    @contextmanager
    def link(self, operation: str) -> Generator[Link]:
        """Lend a connection of the pool."""
        link = self._take()
        try:
            with self.guarded(operation, link):
                yield link
        finally:
            self._give_back(link)

    @contextmanager
    def guarded(self, operation: str, link: Link) -> Generator[None]:
        """Translate what goes wrong on ``link``; the server is checked before its first use."""
        with translated(address=self.address, operation=operation):
            if link.is_cut:
                link.close()  # so that it connects anew
            if not self._checked:
                check(link, address=self.address, operation=operation)
                self._checked = True
            yield

    def own_link(self, *, protocol: int = 2) -> Link:
        """Return a connection for one owner, who closes it; closed with the database at the latest."""
        link = Link(self.location, self.names, protocol=protocol)
        with self._lock:
            self._own.add(link)
        return link

    def close(self) -> None:
        """Close every connection. May be called twice."""
        with self._lock:
            links, self._idle = [*self._idle, *self._own], []
        for link in links:
            link.close()

    def _take(self) -> Link:
        with self._lock:
            if self._pid != os.getpid():
                # After a fork these are another process's.
                self._pid, self._idle = os.getpid(), []
            return self._idle.pop() if self._idle else Link(self.location, self.names)

    def _give_back(self, link: Link) -> None:
        if link.is_open:
            with self._lock:
                if len(self._idle) < _IDLE_LINKS:
                    self._idle.append(link)
                    return
        link.close()
