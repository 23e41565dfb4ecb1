"""One connection to the server. Used by one thread at a time, and not across a fork."""

from __future__ import annotations

import os
import select
from typing import TYPE_CHECKING, Any, Final

from redis.backoff import NoBackoff
from redis.connection import Connection, SSLConnection
from redis.exceptions import NoScriptError, ResponseError
from redis.retry import Retry
from redis.sentinel import Sentinel

from stem.adapters.redis.scripts import Script, script

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from stem.adapters.redis.location import Location
    from stem.adapters.redis.names import Names

_ONCE: Final = 0


class Link:
    """Sends commands and scripts, and reads the replies.

    Whatever goes wrong on the way closes it, so that no late reply can be taken for another's; the
    next call connects anew. Nothing is ever sent twice by itself.

    Args:
        protocol: 3 to be sent pushes, 2 otherwise.
    """

    def __init__(self, location: Location, names: Names, *, protocol: int = 2) -> None:
        self._location = location
        self._names = names
        self._protocol = protocol
        self._connection: Any = None
        self._pid = os.getpid()

    @property
    def is_open(self) -> bool:
        """Whether it is connected, as far as is known without asking."""
        return self._connection is not None

    @property
    def is_cut(self) -> bool:
        """Whether the server has closed the connection while nobody used it."""
        # Between calls there is nothing to be read, but for the end.
        return self.is_open and bool(select.select([self._connection._sock], [], [], 0)[0])

    @property
    def connection(self) -> Any:
        """Return redis-py's connection, connected."""
        if self._connection is None or self._pid != os.getpid():
            # Another process's socket: closed here, it stays open there.
            self.close()
            self._pid = os.getpid()
            self._connection = _connect(self._location, self._protocol)
        return self._connection

    def run(self, *command: str | bytes | int) -> Any:
        """Send one command; return the reply."""
        return self.run_all([command])[0]

    def run_all(self, commands: Sequence[Sequence[str | bytes | int]]) -> list[Any]:
        """Send commands together; return their replies, in order.

        Raises:
            RedisError: One was refused, the first one that was; the others were carried out.
        """
        if not commands:
            return []
        pack = self.connection.pack_command
        return self._checked(self._exchange([b"".join(pack(*command)) for command in commands]))

    def call(self, name: str, now: str, *arguments: str | bytes | int) -> Any:
        """Run a script; return its reply.

        Args:
            now: The time that it is to take for the server's; "" is the server's own.
        """
        return self.call_all(name, now, [arguments])[0]

    def call_all(self, name: str, now: str, calls: Iterable[Sequence[str | bytes | int]]) -> list[Any]:
        """Run a script several times, sent together; return the replies, in order."""
        wanted = script(name)
        packed = [self._packed(wanted, now, arguments) for arguments in calls]
        replies = self._exchange(packed)
        missed = [index for index, reply in enumerate(replies) if isinstance(reply, NoScriptError)]
        if missed:
            # The server was restarted, or forgot its scripts.
            self.run("SCRIPT", "LOAD", wanted.text)
            again = self._exchange([packed[index] for index in missed])
            for index, reply in zip(missed, again, strict=True):
                replies[index] = reply
        return self._checked(replies)

    def close(self) -> None:
        """Close the connection. May be called twice."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.disconnect()

    def _packed(self, wanted: Script, now: str, arguments: Sequence[str | bytes | int]) -> bytes:
        # By hand: a command's first twenty parts are always the same.
        fixed, prefixes = self._names.fixed
        parts = [
            b"*%d\r\n$7\r\nEVALSHA\r\n$40\r\n%b\r\n" % (fixed + len(arguments), wanted.digest),
            self._names.keys,
        ]
        parts += [_bulk(now), prefixes]
        parts += [_bulk(argument) for argument in arguments]
        return b"".join(parts)

    def _exchange(self, packed: Sequence[bytes]) -> list[Any]:
        connection = self.connection
        try:
            connection.send_packed_command([b"".join(packed)], check_health=False)
            return [_reply(connection) for _ in packed]
        except BaseException:
            # Also when a signal comes in between: the reply would be read by the next call.
            self.close()
            raise

    def _checked(self, replies: list[Any]) -> list[Any]:
        for reply in replies:
            if isinstance(reply, ResponseError):
                self._close_if_moved(reply)
                raise reply
        return replies

    def _close_if_moved(self, error: ResponseError) -> None:
        # After a failover the old server may answer on, as a replica; the next call asks where to go.
        if any(code in f"{getattr(error, 'status_code', '')} {error}" for code in ("READONLY", "MASTERDOWN")):
            self.close()


def _reply(connection: Any) -> Any:
    try:
        return connection.read_response(disconnect_on_error=False)
    except ResponseError as error:
        return error


def _bulk(value: str | bytes | int) -> bytes:
    data = value if isinstance(value, bytes) else str(value).encode()
    return b"$%d\r\n%b\r\n" % (len(data), data)


def _connect(location: Location, protocol: int) -> Any:
    options: dict[str, Any] = {
        "db": location.database,
        "username": location.username,
        "password": location.password,
        "socket_timeout": location.timeout.total_seconds(),
        "socket_connect_timeout": location.connect_timeout.total_seconds(),
        "socket_keepalive": True,
        "protocol": protocol,
        "retry": Retry(NoBackoff(), _ONCE),
    }
    host, port = location.hosts[0]
    if location.scheme == "sentinel":
        host, port = _ask_sentinels(location)
    kind: Any = Connection  # redis-py tells no types of it
    if location.scheme == "rediss" or location.tls:
        kind, options = SSLConnection, {**options, **location.tls}
    connection = kind(host=host, port=port, **options)
    connection.connect()
    return connection


def _ask_sentinels(location: Location) -> tuple[str, int]:
    make: Any = Sentinel  # redis-py tells no types of it
    sentinels = make(
        list(location.hosts),
        sentinel_kwargs={
            "username": location.sentinel_username,
            "password": location.sentinel_password,
            "socket_timeout": location.connect_timeout.total_seconds(),
            "socket_connect_timeout": location.connect_timeout.total_seconds(),
        },
    )
    try:
        host, port = sentinels.discover_master(location.master)
    finally:
        for client in sentinels.sentinels:
            client.close()
    return str(host), int(port)
