"""Values to JSON text and back.

Values that JSON lacks are written the way kombu's own JSON serializer writes them,
``{"__type__": …, "__value__": …}``: datetime, date, time, Decimal, UUID and bytes.
"""

from __future__ import annotations

import base64
import json
import math
import uuid
from datetime import date, datetime, time
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from stem.errors import NotEncodableError
from stem.message import Refusal
from stem.states import DeadReason

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_DEPTH: Final = 64
"""Lists and objects inside each other; what is deeper is refused."""

MAX_ELEMENTS: Final = 1_000_000
"""Commas and opening brackets outside of strings; what has more is refused.

That is the number of members of all lists and objects, what is a list or an object counted twice.
The costliest million, short keys of one object, takes 130 MB while it is read (Python 3.11).
"""

MAX_DIGITS: Final = 4300
"""Digits of an integer; what has more is refused. Python's own limit, which an application may lift."""


class InvalidValueError(ValueError):
    """JSON, but with something in it that is refused. Its text holds no value of the message."""


def dumps(value: object, *, what: str) -> str:
    """Return ``value`` as compact JSON text, ASCII only.

    Args:
        what: What is being encoded, for the error ("the result").

    Raises:
        NotEncodableError: A part of it has no JSON form, or is infinite or not a number.
    """
    try:
        return _WRITER.encode(value)
    except (TypeError, ValueError, RecursionError) as error:
        raise NotEncodableError(what=what, reason=str(error) or "nested too deeply") from error


def loads(text: str) -> Any:
    """Return the value of JSON text that `dumps` wrote.

    Raises:
        ValueError: The text is not JSON, or holds something that `dumps` does not write.
    """
    return _READER.decode(text)


def loads_plain(text: str) -> Any:
    """Return the value of JSON text, tagged values left as mappings.

    Raises:
        ValueError: As `loads`.
    """
    return _PLAIN_READER.decode(text)


def has_half_pairs(text: str, value: object) -> bool:
    """Return whether ``value``, whose JSON text is ``text``, holds half a surrogate pair.

    Such a text cannot be written as UTF-8: no store, log or terminal takes it.
    """
    if "\\ud" not in text and "\\uD" not in text:
        return False
    try:
        _UNESCAPED_WRITER.encode(value).encode()
    except UnicodeEncodeError:
        return True
    return False


def too_complex(text: str | bytes) -> Refusal | None:
    """Return why JSON text is not to be decoded, None when it may be.

    Looks before the decoder does, which recurses into what is nested and makes an object of each
    member. Takes a few microseconds for most messages, half the time of `json.loads` for large ones.
    """
    data = text.encode(errors="surrogatepass") if isinstance(text, str) else text
    marks = data.translate(None, delete=_NO_MARKS)
    if marks.count(b"[") + marks.count(b"{") <= MAX_DEPTH and len(marks) <= MAX_ELEMENTS:
        return None  # even if none of them stands within a string
    if b"\\" in data:  # an escaped quote does not end a string
        unescaped = data.replace(b"\\\\", b"").replace(b'\\"', b"")
        marks = unescaped.translate(None, delete=_NO_MARKS)
    # Two quotes with nothing between enclose nothing, within a string or outside.
    outside = b"".join(marks.replace(b'""', b"").split(b'"')[::2])
    return _measured(outside)


def _measured(marks: bytes) -> Refusal | None:
    brackets = marks.replace(b",", b"").translate(_AS_SQUARE)
    if marks.count(b",") + brackets.count(b"[") > MAX_ELEMENTS:
        return Refusal(reason=DeadReason.BODY_TOO_LARGE, detail=f"more than {MAX_ELEMENTS:,} elements")
    for _ in range(MAX_DEPTH):
        brackets = brackets.replace(b"[]", b"")  # what has nothing in it: the innermost level
    # Brackets that were not closed are no JSON, but would be recursed into to find that out.
    if b"[]" in brackets or brackets.count(b"[") > MAX_DEPTH:
        return Refusal(reason=DeadReason.BODY_TOO_DEEP, detail=f"more than {MAX_DEPTH} levels")
    return None


_NO_MARKS: Final = bytes(set(range(256)) - set(b'[]{},"'))
_AS_SQUARE: Final = bytes.maketrans(b"{}", b"[]")


def _no_constant(_: str) -> Any:
    raise InvalidValueError("NaN or infinite")


def _finite(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise InvalidValueError("a number beyond the range of floats")
    return value


def _bounded(text: str) -> int:
    if len(text) > MAX_DIGITS:
        raise InvalidValueError(f"an integer of more than {MAX_DIGITS:,} digits")
    return int(text)


def _tagged(value: object) -> Any:
    match value:
        case datetime():
            return _tag("datetime", value.isoformat())
        case date() | time():
            return _tag("date" if isinstance(value, date) else "time", value.isoformat())
        case Decimal():
            return _tag("decimal", str(value))
        case uuid.UUID():
            return _tag("uuid", {"hex": value.hex})
        case bytes():
            return _tag_bytes(value)
        case _:
            raise TypeError(f"{type(value).__module__}.{type(value).__qualname__}")


def _tag(marker: str, value: Any) -> dict[str, Any]:
    return {"__type__": marker, "__value__": value}


def _tag_bytes(value: bytes) -> dict[str, Any]:
    try:
        return _tag("bytes", value.decode())
    except UnicodeDecodeError:
        return _tag("base64", base64.b64encode(value).decode("ascii"))


_UNTAG: Final[dict[str, Callable[[Any], Any]]] = {
    "datetime": datetime.fromisoformat,
    "date": lambda text: datetime.fromisoformat(text).date(),
    "time": time.fromisoformat,
    "decimal": lambda text: Decimal(_text(text)),
    "uuid": lambda fields: uuid.UUID(hex=_text(fields["hex"])),
    "bytes": lambda text: _text(text).encode(),
    "base64": lambda text: base64.b64decode(_text(text), validate=True),
}


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("no text")  # where Decimal or UUID would take a list or a number, too
    return value


def _untagged(value: dict[str, Any]) -> Any:
    if len(value) != 2 or "__type__" not in value or "__value__" not in value:
        return value
    marker = value["__type__"]
    if not isinstance(marker, str) or marker not in _UNTAG:
        raise InvalidValueError("an unknown __type__")
    try:
        return _UNTAG[marker](value["__value__"])
    except (ValueError, TypeError, KeyError, ArithmeticError):
        raise InvalidValueError(f"a __value__ that is no {marker}") from None


# Made once: making one takes as long as reading a small message.
_WRITER: Final = json.JSONEncoder(default=_tagged, separators=(",", ":"), allow_nan=False)
_UNESCAPED_WRITER: Final = json.JSONEncoder(default=_tagged, ensure_ascii=False)
_PLAIN_READER: Final = json.JSONDecoder(parse_constant=_no_constant, parse_float=_finite, parse_int=_bounded)
_READER: Final = json.JSONDecoder(
    object_hook=_untagged, parse_constant=_no_constant, parse_float=_finite, parse_int=_bounded
)
