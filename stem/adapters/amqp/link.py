"""One connection to the server. Owned by one thread; never shared, never used after a fork."""

from __future__ import annotations

import math
import os
import select
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final, cast

from amqp.connection import Connection

from stem.adapters.amqp.errors import FOREIGN, judged, unanswered

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from stem.adapters.amqp.location import Location
    from stem.clock import Clock


_MOMENT_S: Final = 0.001


class Link:
    """A connection that is made when it is needed, and thrown away at its first error.

    py-amqp opens a channel again that the server has closed, by itself and without its
    consumers; an acknowledgement sent on it is about nothing, and closes it again. So no
    channel outlives an error here, nor does the connection.

    Attributes:
        generation: Grows with every connection that is thrown away.
        is_blocked: Whether the server has said that it takes no messages.
    """

    def __init__(self, location: Location, *, clock: Clock, heartbeat_s: float = 0.0) -> None:
        self.location = location
        self.clock = clock
        self.heartbeat_s = heartbeat_s
        self.generation = 0
        self.is_blocked = False
        self._connection: Any = None
        self._pid = 0
        # Kept, because py-amqp would shut the socket down, which is the parent's as well.
        self._inherited: list[Any] = []

    @property
    def is_up(self) -> bool:
        """Whether there is a connection, as far as is known."""
        self._leave_to_parent()
        return self._connection is not None

    @contextmanager
    def working(self, operation: str) -> Generator[Any]:
        """Give the connection, made if need be; whatever goes wrong with it inside ends it.

        Raises:
            StoreError: What the server or the network did.
        """
        self._leave_to_parent()
        try:
            if self._connection is None:
                self._connection = self._connect()
            yield self._connection
        except FOREIGN as error:
            self.drop()
            raise judged(error, self.location, operation) from error
        except BaseException:
            # Half a conversation: what comes next on this connection belongs to it.
            self.drop()
            raise

    def _connect(self) -> Any:
        where = self.location
        connection = Connection(
            host=f"{where.host}:{where.port}" if ":" not in where.host else f"[{where.host}]:{where.port}",
            userid=where.user,
            password=where.password,
            login_method="PLAIN",
            virtual_host=where.vhost,
            ssl=cast("bool", where.tls or False),  # options are taken, too
            heartbeat=math.ceil(self.heartbeat_s),
            connect_timeout=where.timeout_s,
            write_timeout=where.timeout_s,
            on_blocked=self._blocked,
            on_unblocked=self._unblocked,
            client_properties={"product": "Stem", "connection_name": f"stem {os.getpid()}"},
        )
        try:
            connection.connect()
        except BaseException:
            with suppress(*FOREIGN, AttributeError):
                connection.collect()
            raise
        # Else a call that needs an answer would wait for ever for a server that is gone.
        connection.sock.settimeout(where.timeout_s)
        self._pid = os.getpid()
        return connection

    def pump(self) -> None:
        """Take in whatever the server has sent, and give a sign of life. Does not block.

        Raises:
            StoreError: The connection is lost.
        """
        if not self.is_up:
            return
        with self.working("listen") as connection:
            if _has_input(connection):
                _read_all(connection)
            connection.heartbeat_tick()

    def await_until(self, done: Callable[[], bool], *, operation: str) -> None:
        """Take in what the server sends until ``done``, at most for the location's time.

        Raises:
            StoreError: The connection is lost, or the time is over.
        """
        deadline_s = self.clock.monotonic() + self.location.timeout_s
        with self.working(operation) as connection:
            while not done():
                left_s = deadline_s - self.clock.monotonic()
                if left_s <= 0:
                    raise unanswered(self.location, operation, blocked=self.is_blocked)
                with suppress(TimeoutError):
                    connection.blocking_read(left_s)

    def fileno(self) -> int | None:
        """Return the socket's number, to select on; None without a connection."""
        return self._connection.sock.fileno() if self.is_up else None

    def has_buffered(self) -> bool:
        """Return whether input is at hand that select would not tell of."""
        return self.is_up and _has_buffered(self._connection)

    def drop(self) -> None:
        """End the connection at once. What was leased through it is the server's again."""
        connection, self._connection = self._connection, None
        if connection is not None:
            self.generation += 1
            self.is_blocked = False
            # Not by asking the server, which may not answer.
            with suppress(*FOREIGN, AttributeError):
                connection.collect()

    def _leave_to_parent(self) -> None:
        if self._connection is not None and self._pid != os.getpid():
            self._inherited.append(self._connection)
            self._connection = None
            self.generation += 1

    def _blocked(self, reason: object) -> None:
        self.is_blocked = True

    def _unblocked(self) -> None:
        self.is_blocked = False


def _read_all(connection: Any) -> None:
    # The timeout is set once for all frames. It is not 0: py-amqp keeps the first half of a
    # frame when it times out, and forgets it when it would block.
    with suppress(TimeoutError), connection.transport.having_timeout(_MOMENT_S):
        while True:
            connection.on_inbound_frame(connection.transport.read_frame())


def _has_input(connection: Any) -> bool:
    return _has_buffered(connection) or bool(select.select([connection.sock], [], [], 0)[0])


def _has_buffered(connection: Any) -> bool:
    # Of TLS: bytes that were decrypted and not read.
    pending = getattr(connection.sock, "pending", None)
    return bool(connection.transport._read_buffer) or (pending is not None and pending() > 0)
