"""Hears the bells that other processes ring by NOTIFY, on a connection of its own.

One thread for each process and database. A lost connection is made again with a
pause between the tries; meanwhile those who wait look for themselves once a second.
"""

from __future__ import annotations

import logging
import os
import random
import select
from contextlib import closing
from threading import Event, Lock, Thread
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakSet

import psycopg

from stem.adapters.sql.errors import reason_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from stem.adapters.sql.bells import BellWatch
    from stem.clock import Clock

log = logging.getLogger(__name__)

_RETRY_S: Final = 1.0


class Listener:
    """Passes bells on to watches; starts with the first one. Any thread.

    Args:
        connect: Makes a connection outside of a transaction.
        channel: A name of lower-case letters, digits and ``_``.
        address: Of the server, for the log.
    """

    def __init__(
        self, connect: Callable[[], psycopg.Connection[Any]], *, channel: str, address: str, clock: Clock
    ) -> None:
        self._connect = connect
        self._channel = channel
        self._address = address
        self._clock = clock
        self._lock = Lock()
        self._watches: WeakSet[BellWatch] = WeakSet()  # guarded by _lock
        self._thread: Thread | None = None  # guarded by _lock
        self._stopped = Event()
        self._stop_fd = -1

    def add(self, watch: BellWatch) -> None:
        """Let a watch hear bells for as long as it lives. Harmless when it does already."""
        with self._lock:
            self._watches.add(watch)
            if self._thread is None and not self._stopped.is_set():
                reader, self._stop_fd = os.pipe()
                self._thread = Thread(target=self._run, args=(reader,), name="stem-listener", daemon=True)
                self._thread.start()

    def stop(self) -> None:
        """Close the connection and end the thread. May be called twice."""
        self._stopped.set()
        with self._lock:
            thread, self._thread = self._thread, None
        if thread is not None:
            os.close(self._stop_fd)
            thread.join()

    def _run(self, reader: int) -> None:
        try:
            while not self._stopped.is_set():
                self._try(reader)
        finally:
            os.close(reader)

    def _try(self, reader: int) -> None:
        try:
            with closing(self._connect()) as connection:
                connection.execute(f'LISTEN "{self._channel}"'.encode())
                # What was rung before is lost, so all look for themselves.
                self._ring()
                self._listen(connection.pgconn, reader)
        except (psycopg.Error, OSError) as error:
            fields = {"server": self._address, "reason": reason_of(error)}
            log.warning("listener.lost", extra=fields)
            self._clock.wait(self._stopped, _RETRY_S * random.uniform(0.5, 1.5))

    def _listen(self, connection: psycopg.pq.abc.PGconn, reader: int) -> None:
        poll = select.poll()
        poll.register(connection.socket, select.POLLIN)
        # Its other end is closed by `stop`, which is heard here at once.
        poll.register(reader, select.POLLIN)
        while not self._stopped.is_set():
            poll.poll()
            connection.consume_input()
            heard = False
            while connection.notifies() is not None:
                heard = True
            if heard:
                self._ring()

    def _ring(self) -> None:
        with self._lock:
            watches = list(self._watches)
        for watch in watches:
            watch.ring()
