"""Values to columns and back. Every time is stored as whole microseconds since the epoch (``…_us``)."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from stem.message import ErrorInfo

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy import Row, Select

AnyRow: TypeAlias = "Row[*tuple[Any, ...]]"
AnySelect: TypeAlias = "Select[*tuple[Any, ...]]"

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_LAST_US: Final = (datetime.max.replace(tzinfo=UTC) - _EPOCH) // _MICROSECOND


def micros(moment: datetime) -> int:
    """Return an aware date as microseconds since the epoch."""
    return (moment - _EPOCH) // _MICROSECOND


def micros_or_none(moment: datetime | None) -> int | None:
    """Return an aware date as microseconds since the epoch; None stays None."""
    return None if moment is None else micros(moment)


def moment(at_us: int) -> datetime:
    """Return microseconds since the epoch as a date in UTC."""
    return _EPOCH + timedelta(microseconds=at_us)


def moment_or_none(at_us: int | None) -> datetime | None:
    """Return microseconds since the epoch as a date in UTC; None stays None."""
    return None if at_us is None else moment(at_us)


def span_us(duration: timedelta) -> int:
    """Return a duration in microseconds."""
    return duration // _MICROSECOND


def due_us(due: timedelta | datetime, *, now_us: int) -> int:
    """Return when a message is due: a duration counts from ``now_us``. At most the last date there is."""
    at_us = now_us + span_us(due) if isinstance(due, timedelta) else micros(due)
    return min(at_us, _LAST_US)


def write_token(message_id: int, fence: int) -> str:
    """Return the token of one delivery: the message's row id and its fence."""
    return f"{message_id}.{fence}"


def read_token(token: str) -> tuple[int, int] | None:
    """Return row id and fence, or None when this adapter did not make the token."""
    message_id, _, fence = token.partition(".")
    if message_id.isdecimal() and fence.isdecimal():
        return int(message_id), int(fence)
    return None


def plain(text: str) -> str:
    """Return ``text`` as every database can store it: without NUL, and half surrogates escaped.

    Names and error messages can hold both (a file name that is not UTF-8, for instance).
    """
    if text.isascii() and "\0" not in text:
        return text
    return text.replace("\0", "\\x00").encode("utf-8", "backslashreplace").decode("utf-8")


def plain_or_none(text: str | None) -> str | None:
    """Return ``text`` as every database can store it; None stays None."""
    return None if text is None else plain(text)


def members(values: Iterable[str] | Iterable[int]) -> str:
    """Return the JSON array that `stem.adapters.sql.dialect.Dialect.members` takes as its parameter."""
    return json.dumps([plain(value) if isinstance(value, str) else value for value in values])


def write_error(error: ErrorInfo | None) -> str | None:
    """Return an error as JSON text; None stays None."""
    return None if error is None else json.dumps(_error_fields(error), separators=(",", ":"))


def _error_fields(error: ErrorInfo) -> dict[str, Any]:
    return {
        "type": error.type,
        "message": error.message,
        "traceback": error.traceback,
        "cause": None if error.cause is None else _error_fields(error.cause),
    }


def read_error(text: str | None) -> ErrorInfo | None:
    """Return what `write_error` wrote."""
    return None if text is None else _error(json.loads(text))


def _error(fields: dict[str, Any]) -> ErrorInfo:
    cause = fields["cause"]
    return ErrorInfo(
        type=fields["type"],
        message=fields["message"],
        traceback=fields["traceback"],
        cause=None if cause is None else _error(cause),
    )
