"""Values to what is stored in Redis and back. Times are whole microseconds since 1970, as text."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from stem.message import ErrorInfo

if TYPE_CHECKING:
    from collections.abc import Iterable

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_LAST_US: Final = (datetime.max.replace(tzinfo=UTC) - _EPOCH) // _MICROSECOND

_WRITER: Final = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False)


def write_json(value: object) -> str:
    """Return compact JSON; every text in it must be `plain`."""
    return _WRITER.encode(value)


def micros(moment: datetime) -> int:
    """Return an aware date as microseconds since 1970."""
    return (moment - _EPOCH) // _MICROSECOND


def moment(at_us: int) -> datetime:
    """Return microseconds since 1970 as a date in UTC, the last one there is for whatever is later."""
    return _EPOCH + timedelta(microseconds=min(at_us, _LAST_US))


def span_us(duration: timedelta) -> int:
    """Return a duration in microseconds."""
    return duration // _MICROSECOND


def write_due(due: timedelta | datetime) -> str:
    """Return when a message is due, as the scripts read it: ``+<from now>`` or ``=<moment>``."""
    return f"+{span_us(due)}" if isinstance(due, timedelta) else f"={micros(due)}"


def plain(text: str) -> str:
    """Return ``text`` as UTF-8 can carry it: half surrogates escaped. NUL is escaped, too.

    Names and error messages can hold both (a file name that is not UTF-8, for instance).
    """
    if text.isascii() and "\0" not in text:
        return text
    return text.replace("\0", "\\x00").encode("utf-8", "backslashreplace").decode("utf-8")


def plain_list(texts: Iterable[str]) -> str:
    """Return texts as a JSON array."""
    return write_json([plain(text) for text in texts])


def told(error: ErrorInfo | None) -> str:
    """Return what a timeline says about an error; "" for None."""
    return "" if error is None else plain(f"{error.type}: {error.message}"[:1000])


def write_error(error: ErrorInfo) -> str:
    """Return an error as JSON text."""
    return write_json(_error_fields(error))


def _error_fields(error: ErrorInfo) -> dict[str, Any]:
    return {
        "type": plain(error.type),
        "message": plain(error.message),
        "traceback": plain(error.traceback),
        "cause": None if error.cause is None else _error_fields(error.cause),
    }


def read_error(text: bytes | None) -> ErrorInfo | None:
    """Return what `write_error` wrote; None stays None."""
    return None if text is None else _error(json.loads(text))


def _error(fields: dict[str, Any]) -> ErrorInfo:
    cause = fields["cause"]
    return ErrorInfo(
        type=fields["type"],
        message=fields["message"],
        traceback=fields["traceback"],
        cause=None if cause is None else _error(cause),
    )
