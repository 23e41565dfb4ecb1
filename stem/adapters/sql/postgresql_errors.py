"""What PostgreSQL's errors mean: by their SQLSTATE, and by their text where there is none.

A connection that is refused has no code that a client can see, only the server's
words, which are matched in English; in another language they say "unreachable".
"""

from __future__ import annotations

from typing import Final

from stem.adapters.sql.verdicts import OTHER, Verdict
from stem.errors import StoreCorruptError, StoreDeniedError, StoreFullError, StoreUnavailableError

CONFLICT: Final = Verdict(
    kind=StoreUnavailableError,
    reason="another transaction was in the way each time",
    remedy="the same call may succeed now; look for long transactions at {place}",
    connection_is_good=True,
    is_conflict=True,
)
_GONE: Final = Verdict(
    kind=StoreUnavailableError,
    reason="the connection was lost",
    remedy="make sure that the server at {place} is up and can be reached",
)
_ENDED: Final = Verdict(
    kind=StoreUnavailableError,
    reason="the server ended the connection",
    remedy="see the server's log at {place} if it was not restarted on purpose",
)
_STARTING: Final = Verdict(
    kind=StoreUnavailableError,
    reason="the server is starting, stopping or recovering",
    remedy="wait for the server at {place}",
)
_FULL: Final = Verdict(
    kind=StoreFullError,
    reason="no space is left",
    remedy="make space on the disk of {place}; the same call then succeeds",
)
_CROWDED: Final = Verdict(
    kind=StoreUnavailableError,
    reason="the server takes no more connections",
    remedy="raise max_connections at {place}, or put a connection pool before it and add listen=off",
)
_EXHAUSTED: Final = Verdict(
    kind=StoreUnavailableError,
    reason="the server lacks memory or locks",
    remedy="look at the memory and at max_locks_per_transaction of {place}",
)
_CANCELLED: Final = Verdict(
    kind=StoreUnavailableError,
    reason="the server cancelled the statement",
    remedy="raise statement_timeout and lock_timeout at {place} for this role",
    connection_is_good=True,
)
_READ_ONLY: Final = Verdict(
    kind=StoreUnavailableError,
    reason="the server takes no writes",
    remedy="name the primary, or all hosts with target_session_attrs=read-write; {place} is a standby",
)
_PASSWORD: Final = Verdict(
    kind=StoreDeniedError,
    reason="user or password is wrong",
    remedy="correct the URL's user and password for {place}",
)
_NOT_ADMITTED: Final = Verdict(
    kind=StoreDeniedError,
    reason="the server does not admit this user from this host",
    remedy="add a line to pg_hba.conf at {place}, or use another sslmode",
)
_NO_DATABASE: Final = Verdict(
    kind=StoreDeniedError,
    reason="the database does not exist",
    remedy="create it at {place}, or correct the URL",
)
_NO_RIGHT: Final = Verdict(
    kind=StoreDeniedError,
    reason="the user lacks a right",
    remedy="grant the user of {place} USAGE and CREATE on the schema, and its tables",
)
_NO_TABLE: Final = Verdict(
    kind=StoreCorruptError,
    reason="a table or column is missing",
    remedy="restart this process to make the tables at {place} anew, or restore them from a backup",
)
_DAMAGED: Final = Verdict(
    kind=StoreCorruptError,
    reason="the data is damaged",
    remedy="stop the server at {place}, and restore it from a backup",
)
_NO_HOST: Final = Verdict(
    kind=StoreUnavailableError,
    reason="the host's name is unknown",
    remedy="correct the URL, or the name service of this host; asked for {place}",
)
_TLS: Final = Verdict(
    kind=StoreDeniedError,
    reason="TLS cannot be agreed on",
    remedy="check sslmode, sslrootcert and the certificate of {place}",
)
_UNREACHABLE: Final = Verdict(
    kind=StoreUnavailableError,
    reason="the server cannot be reached",
    remedy="make sure that a server listens at {place}",
)

_BY_CODE: Final = {
    "40001": CONFLICT,
    "40P01": CONFLICT,
    # Two wrote the same new row; the second one finds it when it tries again.
    "23505": CONFLICT,
    "25006": _READ_ONLY,
    "25P03": _ENDED,
    "28000": _NOT_ADMITTED,
    "28P01": _PASSWORD,
    "3D000": _NO_DATABASE,
    "42501": _NO_RIGHT,
    "42P01": _NO_TABLE,
    "42703": _NO_TABLE,
    "3F000": _NO_TABLE,
    "53100": _FULL,
    "53300": _CROWDED,
    "55P03": _CANCELLED,
    "57014": _CANCELLED,
    "57P03": _STARTING,
    "57P04": _NO_DATABASE,
    "58030": _DAMAGED,
}
_BY_CLASS: Final = {"08": _GONE, "53": _EXHAUSTED, "57": _ENDED, "XX": _DAMAGED}
_BY_WORDS: Final = (
    ("authentication failed", _PASSWORD),
    ("no password supplied", _PASSWORD),
    ("does not exist", _NO_DATABASE),
    ("permission denied", _NO_RIGHT),
    ("no pg_hba.conf entry", _NOT_ADMITTED),
    ("too many", _CROWDED),
    ("remaining connection slots", _CROWDED),
    ("starting up", _STARTING),
    ("shutting down", _STARTING),
    ("recovery mode", _STARTING),
    ("read-only", _READ_ONLY),
    ("hot standby", _READ_ONLY),
    ("certificate", _TLS),
    ("SSL", _TLS),
    ("resolve", _NO_HOST),
    ("translate host name", _NO_HOST),
    ("Name or service not known", _NO_HOST),
    ("terminating connection", _ENDED),
    ("closed the connection", _GONE),
    ("connection is closed", _GONE),
    ("connection is lost", _GONE),
    ("server closed", _GONE),
)


def judge(error: BaseException) -> tuple[Verdict, str]:
    """Return what an error of the driver means, and its code or kind."""
    code: str | None = getattr(error, "sqlstate", None)
    if code is not None:
        return _BY_CODE.get(code) or _BY_CLASS.get(code[:2], OTHER), code
    text = str(error)
    name = type(error).__name__
    for words, verdict in _BY_WORDS:
        if words in text:
            return verdict, name
    return (_UNREACHABLE if name in ("OperationalError", "ConnectionTimeout") else OTHER), name
