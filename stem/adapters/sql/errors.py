"""Where foreign errors stop: what SQLAlchemy and the database raise becomes a `StoreError`.

The reasons are written here, not passed on: a database's own text can quote
statements and values.
"""

from __future__ import annotations

import sqlite3
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from stem.adapters.sql.verdicts import OTHER, Verdict
from stem.errors import (
    StoreCorruptError,
    StoreDeniedError,
    StoreError,
    StoreFullError,
    StoreUnavailableError,
)

if TYPE_CHECKING:
    from collections.abc import Generator


_LOCKED: Final = Verdict(
    kind=StoreUnavailableError,
    reason="another process holds the write lock",
    remedy="end what keeps {place} locked, or raise busy_timeout in the URL",
    connection_is_good=True,
)
_FULL: Final = Verdict(
    kind=StoreFullError,
    reason="no space is left",
    remedy="make space on the disk of {place}; the same call then succeeds",
)
_DISK: Final = Verdict(
    kind=StoreUnavailableError,
    reason="the disk does not answer as it should",
    remedy="look at the disk of {place}; it must be a local one",
)
_CORRUPT: Final = Verdict(
    kind=StoreCorruptError,
    reason="the file is damaged",
    remedy="stop every process that uses {place}, keep a copy, and restore it from a backup",
)
_FOREIGN: Final = Verdict(
    kind=StoreCorruptError,
    reason="the file is not an SQLite database",
    remedy="give the URL another file than {place}",
)
_READ_ONLY: Final = Verdict(
    kind=StoreDeniedError,
    reason="the file may not be written",
    remedy="let this user write {place} and its directory",
)
_NO_FILE: Final = Verdict(
    kind=StoreDeniedError,
    reason="the file cannot be opened",
    remedy="make sure that the directory of {place} exists and that this user may write it",
)

_SQLITE: Final = {
    sqlite3.SQLITE_BUSY: _LOCKED,
    sqlite3.SQLITE_LOCKED: _LOCKED,
    sqlite3.SQLITE_PROTOCOL: _LOCKED,
    sqlite3.SQLITE_FULL: _FULL,
    sqlite3.SQLITE_IOERR: _DISK,
    # The write-ahead log's index is grown to its full size when it is made, so
    # that a full disk shows here and not as a signal in the middle of a write.
    sqlite3.SQLITE_IOERR_SHMSIZE: _FULL,
    sqlite3.SQLITE_CORRUPT: _CORRUPT,
    sqlite3.SQLITE_IOERR_SHORT_READ: _CORRUPT,
    sqlite3.SQLITE_NOTADB: _FOREIGN,
    sqlite3.SQLITE_FORMAT: _FOREIGN,
    sqlite3.SQLITE_READONLY: _READ_ONLY,
    sqlite3.SQLITE_PERM: _READ_ONLY,
    sqlite3.SQLITE_AUTH: _READ_ONLY,
    sqlite3.SQLITE_CANTOPEN: _NO_FILE,
}


@contextmanager
def translated(*, address: str, place: str, operation: str) -> Generator[None]:
    """Raise what goes wrong inside as a `StoreError`.

    Args:
        address: The database's URL, secrets masked.
        place: What a person would have to look at, a path for instance.
        operation: What is being done, a verb.
    """
    try:
        yield
    except (SQLAlchemyError, sqlite3.Error) as error:
        verdict, code = _judge(error)
        raise verdict.kind(
            server=address,
            operation=operation,
            reason=f"{verdict.reason} ({code})",
            remedy=verdict.remedy.format(place=place),
        ) from error


def is_harmless(error: BaseException) -> bool:
    """Return whether the connection is as good as before: another process was in the way, for instance."""
    return _judge(error)[0].connection_is_good


def is_conflict(error: StoreError) -> bool:
    """Return whether the transaction met another one, and was undone."""
    return error.__cause__ is not None and _judge(error.__cause__)[0].is_conflict


def reason_of(error: BaseException) -> str:
    """Return why something failed, one line without secrets."""
    verdict, code = _judge(error)
    return f"{verdict.reason} ({code})"


def _judge(error: BaseException) -> tuple[Verdict, str]:
    cause = error.orig if isinstance(error, DBAPIError) else error
    code = getattr(cause, "sqlite_errorcode", None)
    if cause is not None and type(cause).__module__.startswith("psycopg"):
        # Loaded only with its driver.
        from stem.adapters.sql.postgresql_errors import judge

        return judge(cause)
    if code is None:
        return OTHER, type(cause).__name__
    verdict = _SQLITE.get(code) or _SQLITE.get(code & 0xFF, OTHER)
    return verdict, getattr(cause, "sqlite_errorname", str(code))
