"""A call as a message: headers for the envelope, a body for the arguments."""

from __future__ import annotations

import bz2
import zlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeGuard

from stem.codecs.headers import (
    COMPRESSION,
    GENERATION,
    read_envelope,
    read_label,
    write_date,
    write_headers,
)
from stem.codecs.transport import MAX_BODY_BYTES
from stem.codecs.values import InvalidValueError, dumps, has_half_pairs, loads, too_complex
from stem.errors import NotEncodableError
from stem.message import Arguments, Envelope, Message, Refusal
from stem.states import DeadReason

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

CONTENT_TYPE: Final = "application/json"
ENCODING: Final = "utf-8"

_EMPTY_EMBED: Final[dict[str, Any]] = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}

_REFUSED_TYPES: Final = {
    "": "no content type",
    "application/data": "unserialized data",
    "application/x-msgpack": "msgpack",
    "application/x-python-serialize": "pickle",
    "application/x-yaml": "yaml",
}


def encode(envelope: Envelope, arguments: Arguments) -> Message:
    """Return the message that carries a call.

    Raises:
        NotEncodableError: A part of it has no JSON form, or readers would refuse it.
    """
    values = [arguments.args, arguments.kwargs, {**_EMPTY_EMBED, **arguments.embed}]
    what = f"the arguments of {envelope.name}"
    text = dumps(values, what=what)
    if has_half_pairs(text, values):
        raise NotEncodableError(what=what, reason="a text with half a surrogate pair")
    message = Message(
        headers=write_headers(envelope),
        properties={
            "correlation_id": envelope.id,
            "reply_to": envelope.reply_to,
            "delivery_mode": 2,
            "priority": envelope.priority,
        },
        body=text.encode(),
    )
    refused = _refused_body(message.body)
    if refused is not None:
        raise NotEncodableError(what=what, reason=refused.detail)
    read = read_envelope(message, queue=envelope.queue)
    if isinstance(read, Refusal):
        raise NotEncodableError(what=f"the headers of {envelope.name}", reason=read.detail)
    return message


def read_arguments(message: Message) -> Arguments | Refusal:
    """Return what the body says; only JSON is decoded."""
    if message.content_type != CONTENT_TYPE:
        detail = _REFUSED_TYPES.get(message.content_type, "an unknown content type")
        return _refuse(DeadReason.CONTENT_TYPE_REFUSED, detail)
    body = _inflated(message.body, message.headers.get(COMPRESSION))
    if isinstance(body, Refusal):
        return body
    refused = _refused_body(body)
    if refused is not None:
        return refused
    try:
        text = body.decode(ENCODING)
        value = loads(text)
    except InvalidValueError as error:
        return _refuse(DeadReason.BODY_INVALID, str(error))
    except ValueError:
        return _refuse(DeadReason.BODY_UNDECODABLE, "not JSON in UTF-8")
    if has_half_pairs(text, value):
        return _refuse(DeadReason.BODY_INVALID, "a text with half a surrogate pair")
    return _arguments(value)


def replayed(message: Message) -> Message:
    """Return the message that a dead letter's message is replaced by: attempt 1 of the next generation.

    Whoever replays wants it to run now, so the times that the producer set no longer hold.
    """
    generation = read_label(message).generation + 1
    fresh = {"retries": 0, "eta": None, "expires": None, GENERATION: generation}
    return replace(message, headers={**message.headers, **fresh})


def retried(message: Message, *, attempt: int, eta: datetime | None, body: bytes | None = None) -> Message:
    """Return the message of a later attempt. What other producers put into the headers stays.

    Args:
        attempt: Its number, from 2.
        eta: Not before this time; aware.
        body: Its arguments, from a message that `encode` made; None keeps the message's own.
    """
    headers = {**message.headers, "retries": attempt - 1, "eta": write_date(eta)}
    if body is None:
        return replace(message, headers=headers)
    headers.pop(COMPRESSION, None)
    return replace(message, headers=headers, body=body, content_type=CONTENT_TYPE, content_encoding=ENCODING)


def _refused_body(body: bytes) -> Refusal | None:
    if len(body) > MAX_BODY_BYTES:
        return _refuse(DeadReason.BODY_TOO_LARGE, f"more than {MAX_BODY_BYTES:,} bytes")
    return too_complex(body)


def _arguments(value: Any) -> Arguments | Refusal:
    match value:
        case [args, kwargs, embed] if _is_list(args) and _is_object(kwargs) and _is_object(embed):
            return Arguments(args=tuple(args), kwargs=kwargs, embed=embed)
        case _:
            return _refuse(DeadReason.PAYLOAD_INVALID, "not [args, kwargs, embed]")


def _is_list(value: object) -> TypeGuard[list[Any]]:
    return isinstance(value, list)


def _is_object(value: object) -> TypeGuard[dict[str, Any]]:
    return isinstance(value, dict)


class _Inflater(Protocol):
    """What `zlib` and `bz2` make for one stream."""

    @property
    def eof(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


def _zlib_or_gzip() -> _Inflater:
    return zlib.decompressobj(wbits=47)  # 32 + 15: kombu's "gzip" is zlib's form, that of others gzip's


_INFLATERS: Final[dict[str, Callable[[], _Inflater]]] = {
    "application/x-gzip": _zlib_or_gzip,
    "gzip": _zlib_or_gzip,
    "zlib": _zlib_or_gzip,
    "application/x-bz2": bz2.BZ2Decompressor,
    "bzip2": bz2.BZ2Decompressor,
    "bzip": bz2.BZ2Decompressor,
}
"""By the names under which kombu announces and knows them."""


def _inflated(body: bytes, compression: object) -> bytes | Refusal:
    if compression in (None, ""):
        return body
    make = _INFLATERS.get(compression) if isinstance(compression, str) else None
    if make is None:
        return _refuse(DeadReason.CONTENT_TYPE_REFUSED, "an unknown compression")
    inflater = make()
    try:
        inflated = inflater.decompress(body, MAX_BODY_BYTES + 1)
    except (zlib.error, OSError, ValueError, EOFError):
        return _refuse(DeadReason.BODY_UNDECODABLE, "not compressed as its header says")
    if len(inflated) > MAX_BODY_BYTES:
        return _refuse(DeadReason.BODY_TOO_LARGE, f"more than {MAX_BODY_BYTES:,} bytes when inflated")
    if not inflater.eof or inflater.unused_data:
        return _refuse(DeadReason.BODY_UNDECODABLE, "compressed data that is cut off or followed by more")
    return inflated


def _refuse(reason: DeadReason, detail: str) -> Refusal:
    return Refusal(reason=reason, detail=detail)
