"""Where foreign errors stop: what redis-py and the server raise becomes a `StoreError`.

The reasons are written here, not passed on: a server's own text can quote commands and values.
"""

from __future__ import annotations

import socket
import ssl
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from redis.exceptions import (
    AuthenticationError,
    AuthenticationWrongNumberOfArgsError,
    ConnectionError,
    RedisError,
    TimeoutError,
)

from stem.errors import (
    StoreCorruptError,
    StoreDeniedError,
    StoreError,
    StoreFullError,
    StoreUnavailableError,
    StoreVersionError,
)

if TYPE_CHECKING:
    from collections.abc import Generator


@dataclass(frozen=True, slots=True, kw_only=True)
class _Verdict:
    kind: type[StoreError]
    reason: str
    remedy: str


_DENIED: Final = _Verdict(
    kind=StoreDeniedError,
    reason="the server refused the user name or the password",
    remedy="check the credentials in the URL; special characters in them are percent-encoded",
)
_NO_RIGHT: Final = _Verdict(
    kind=StoreDeniedError,
    reason="the user lacks a right",
    remedy="allow it the keys and channels that begin with the prefix, and the commands"
    " @read @write @scripting @pubsub @connection (ACL SETUSER)",
)
_UNREACHABLE: Final = _Verdict(
    kind=StoreUnavailableError,
    reason="the server cannot be reached",
    remedy="check host, port and network, and that the server runs",
)
_NO_HOST: Final = _Verdict(
    kind=StoreUnavailableError,
    reason="the host name is not known",
    remedy="check the host in the URL and the name service",
)
_SLOW: Final = _Verdict(
    kind=StoreUnavailableError,
    reason="the server does not answer in time",
    remedy="look for a blocked server or network, or raise timeout in the URL",
)
_TLS: Final = _Verdict(
    kind=StoreError,
    reason="no TLS connection",
    remedy="check rediss://, the port, ssl_ca_certs, and that the certificate names this host",
)
_OTHER: Final = _Verdict(kind=StoreError, reason="the server refused", remedy="")

_CODES: Final = {
    "WRONGPASS": _DENIED,
    "NOAUTH": _Verdict(
        kind=StoreDeniedError,
        reason="the server wants a password",
        remedy="put one into the URL: redis://:password@host",
    ),
    "NOPERM": _NO_RIGHT,
    "OOM": _Verdict(
        kind=StoreFullError,
        reason="the server has used up its maxmemory",
        remedy="raise maxmemory, or let workers empty the queues; nothing was stored",
    ),
    "MISCONF": _Verdict(
        kind=StoreFullError,
        reason="the server cannot save its data and takes no writes",
        remedy="make space on the server's disk and look at its log",
    ),
    "LOADING": _Verdict(
        kind=StoreUnavailableError,
        reason="the server is loading its data",
        remedy="it answers when that is done",
    ),
    "READONLY": _Verdict(
        kind=StoreUnavailableError,
        reason="the server is a read-only replica",
        remedy="give the URL the primary, or use sentinel:// so that it is found after a failover",
    ),
    "MASTERDOWN": _Verdict(
        kind=StoreUnavailableError,
        reason="the server is a replica without its primary",
        remedy="give the URL the primary, or use sentinel://",
    ),
    "NOREPLICAS": _Verdict(
        kind=StoreUnavailableError,
        reason="the server has too few replicas to take writes",
        remedy="bring the replicas back, or change min-replicas-to-write",
    ),
    "BUSY": _Verdict(
        kind=StoreUnavailableError,
        reason="the server is busy with someone's script",
        remedy="wait, or end the script by SCRIPT KILL",
    ),
    "WRONGTYPE": _Verdict(
        kind=StoreCorruptError,
        reason="a key that Stem uses holds something else",
        remedy="give Stem a prefix or a database of its own in the URL, or delete the key",
    ),
    "out of range": _Verdict(
        kind=StoreError,
        reason="the server has no database of this number",
        remedy="use one below its setting databases, 16 unless changed",
    ),
}
_CLUSTER: Final = _Verdict(
    kind=StoreError,
    reason="the server is part of a Redis Cluster, which kombu's layout cannot use",
    remedy="use a single server, or Sentinel for failover",
)
_CODES.update(dict.fromkeys(("MOVED", "CROSSSLOT", "CLUSTERDOWN", "ASK "), _CLUSTER))
_TOO_OLD: Final = "unknown command"


@contextmanager
def translated(*, address: str, operation: str) -> Generator[None]:
    """Raise what goes wrong inside as a `StoreError`.

    Args:
        address: The server's URL, secrets masked.
        operation: What is being done, a verb.
    """
    try:
        yield
    except (RedisError, OSError) as error:
        verdict = _judge(error)
        raise verdict.kind(
            server=address, operation=operation, reason=verdict.reason, remedy=verdict.remedy
        ) from error


def is_cluster(*, address: str, operation: str) -> StoreError:
    """Return the error for a server that runs as a cluster."""
    return _CLUSTER.kind(server=address, operation=operation, reason=_CLUSTER.reason, remedy=_CLUSTER.remedy)


def _judge(error: Exception) -> _Verdict:
    match error:
        case AuthenticationError() | AuthenticationWrongNumberOfArgsError():
            return _by_code(error, _DENIED)
        case TimeoutError():
            return _SLOW
        case ConnectionError():
            return _by_code(error, _unreached(error))
        case OSError():
            return _unreached(error)
        case _:
            return _by_code(error, _OTHER)


def _unreached(error: BaseException) -> _Verdict:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLError):
            return _TLS
        if isinstance(cause, socket.gaierror):
            return _NO_HOST
        cause = cause.__cause__ or cause.__context__
    return _UNREACHABLE


def _by_code(error: Exception, otherwise: _Verdict) -> _Verdict:
    # redis-py takes some codes off the text, and servers before 7 put those of a
    # script into the middle of it.
    text = f"{getattr(error, 'status_code', '')} {error}"
    if _TOO_OLD in text.lower():
        return _Verdict(
            kind=StoreVersionError,
            reason="the server does not know a command that Stem needs",
            remedy="use Redis 6.2 or newer, or a compatible server",
        )
    return next((verdict for code, verdict in _CODES.items() if code in text), otherwise)
