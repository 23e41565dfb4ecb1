"""Waiting for messages without asking for them all the time.

On a connection of its own a source looks at its lists with CLIENT TRACKING on: the server then sends
one push when any of them changes, whoever changes it, Celery's producers too. A list that is not
empty ends the wait at once; a change between looking and waiting has sent its push: nothing is missed.
Where the server, or a proxy before it, sends no pushes, the lists are looked at again and again.
"""

from __future__ import annotations

import secrets
import select
import socket
import weakref
from contextlib import suppress
from itertools import chain
from typing import TYPE_CHECKING, Any, Final

from redis.exceptions import RedisError

from stem.adapters.redis.names import STEPS
from stem.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stem.adapters.redis.database import Database
    from stem.adapters.redis.link import Link
    from stem.clock import Clock

_SLICE_S: Final = 0.25
"""A wait looks at the clock this often: it may be one that a test moves."""
_PROBE_S: Final = 0.25
_POLLED_S: Final = (0.005, 0.25)
"""The shortest and the longest pause between two looks where no pushes come."""
_TRIES: Final = 3


class Doorbell:
    """Waits for one source. Its thread alone calls `wait` and `close`, any thread `wake`."""

    def __init__(self, database: Database, *, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._receiver, self._sender = socket.socketpair()
        self._receiver.setblocking(False)
        self._sender.setblocking(False)
        # For sources that are dropped without being closed.
        self._finalizer = weakref.finalize(self, _close, self._receiver, self._sender)
        self._link: Link | None = None
        self._failures = 0
        self._rung = False
        self._pause_s = _POLLED_S[0]

    def wait(self, queues: Sequence[str], timeout_s: float) -> None:
        """Block until there may be something in ``queues``, `wake` is called, or ``timeout_s`` pass.

        Never raises: what is wrong with the server shows at the next lease.
        """
        deadline_s = self._clock.monotonic() + timeout_s
        try:
            if self._failures < _TRIES:
                self._listen(queues, deadline_s)
                self._failures = 0
            else:
                self._poll(queues, deadline_s)
        except (RedisError, OSError, StoreError):
            self._failures += 1
            self._hang_up()

    def wake(self) -> None:
        """End a `wait` that is under way, or the next one."""
        with suppress(OSError):  # full, and so it rings already; or closed
            self._sender.send(b"!")

    def close(self) -> None:
        """Free connection and sockets. May be called twice."""
        self._hang_up()
        self._finalizer()

    def _listen(self, queues: Sequence[str], deadline_s: float) -> None:
        link = self._link or self._connect()
        connection = link.connection
        self._rung = False
        until_due_s = self._look(link, queues)
        deadline_s = min(deadline_s, self._clock.monotonic() + until_due_s)
        while not self._rung and not self._sleep(connection, deadline_s):
            while connection.can_read(timeout=0):
                connection.read_response(push_request=True)

    def _poll(self, queues: Sequence[str], deadline_s: float) -> None:
        while True:
            with self._database.link("wait") as link:
                until_due_s = self._look(link, queues)
            now_s = self._clock.monotonic()
            if until_due_s <= 0:
                self._pause_s = _POLLED_S[0]
                return
            pause_until_s = min(deadline_s, now_s + min(self._pause_s, until_due_s))
            self._pause_s = min(2 * self._pause_s, _POLLED_S[1])
            if self._sleep(None, pause_until_s, look_once=True) or self._clock.monotonic() >= deadline_s:
                return

    def _sleep(self, connection: Any, deadline_s: float, *, look_once: bool = False) -> bool:
        """Sleep until something can be read, at most a slice; return whether the wait is over."""
        left_s = deadline_s - self._clock.monotonic()
        if left_s <= 0:
            return not look_once
        # redis-py shows a connection's socket nowhere else.
        sockets = [self._receiver] if connection is None else [self._receiver, connection._sock]
        readable, _, _ = select.select(sockets, [], [], min(left_s, _SLICE_S))
        if self._receiver not in readable:
            return False
        self._receiver.recv(4096)
        return True

    def _look(self, link: Link, queues: Sequence[str]) -> float:
        """Return in how many seconds there will be something to lease, 0 for now; starts the tracking."""
        names = self._database.names
        commands: list[tuple[str | int, ...]] = [("TIME",), ("SMEMBERS", f"{names.own}paused")]
        for queue in queues:
            commands += [("LLEN", key) for key in names.lists_of(queue)]
            commands.append(("ZRANGE", f"{names.own}delayed:{queue}", 0, 0, "WITHSCORES"))
        (seconds, rest), paused, *replies = link.run_all(commands)
        now_us = int(self._database.now or int(seconds) * 1_000_000 + int(rest))
        size = len(STEPS) + 1
        until_due_s = float("inf")
        for position, queue in enumerate(queues):
            *lengths, delayed = replies[position * size : (position + 1) * size]
            if queue.encode() in paused:
                continue
            if any(lengths):
                return 0.0
            until_due_s = min(until_due_s, _until(delayed, now_us))
        return until_due_s

    def _connect(self) -> Link:
        link = self._database.own_link(protocol=3)
        self._link = link
        link.connection._parser.set_invalidation_push_handler(self._ring)
        link.run("CLIENT", "TRACKING", "ON", "NOLOOP")
        self._probe(link)
        return link

    def _probe(self, link: Link) -> None:
        key = f"{self._database.names.own}doorbell:{secrets.token_hex(6)}"
        link.run("GET", key)
        self._rung = False
        self._database.run_all("wait", [("SET", key, "1", "PX", 1000), ("DEL", key)])
        while not self._rung:
            if not link.connection.can_read(timeout=_PROBE_S):
                self._failures = _TRIES
                raise StoreError(
                    server=self._database.address, operation="wait", reason="the server sends no pushes"
                )
            link.connection.read_response(push_request=True)

    def _ring(self, push: Any) -> Any:
        self._rung = True
        return push

    def _hang_up(self) -> None:
        link, self._link = self._link, None
        if link is not None:
            link.close()


def _until(delayed: Sequence[Any], now_us: int) -> float:
    # The second version of the protocol gives [member, score], the third [[member, score]].
    flat = list(chain.from_iterable(each if isinstance(each, list) else [each] for each in delayed))
    return max(float(flat[1]) - now_us, 0.0) / 1e6 if flat else float("inf")


def _close(*sockets: socket.socket) -> None:
    for each in sockets:
        each.close()
