"""Messages to bytes and back, in Celery's protocol 2 and kombu's transport form.

Reading is strict and bounded: what cannot be understood comes back as a
`Refusal` with its reason, never as an exception, and no byte of a refused
body reaches a decoder. Values that JSON lacks are written the way kombu's own
JSON serializer writes them, ``{"__type__": …, "__value__": …}``.
"""

from __future__ import annotations

import base64
import binascii
import json
import uuid
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, cast

from stem.errors import NotEncodableError
from stem.message import Arguments, Envelope, Label, Message, Refusal
from stem.states import DeadReason

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

MAX_BODY_BYTES: Final = 16 * 1024 * 1024
"""Larger bodies are refused, in bytes after transport decoding."""

MAX_DEPTH: Final = 64
"""Deeper nesting of lists and objects is refused."""

CONTENT_TYPE: Final = "application/json"
ENCODING: Final = "utf-8"

SENT_AT: Final = "x-stem-sent-at"
GENERATION: Final = "x-stem-generation"
RETRY: Final = "x-stem-retry"

_EMPTY_EMBED: Final[dict[str, Any]] = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}


def dumps(value: object, *, what: str) -> str:
    """Return ``value`` as compact JSON text.

    Args:
        what: What is being encoded, for the error ("the result").

    Raises:
        NotEncodableError: A part of it has no JSON form, or is infinite or not a number.
    """
    try:
        return json.dumps(value, default=_tagged, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise NotEncodableError(what=what, reason=str(error) or "nested too deeply") from error


def loads(text: str) -> Any:
    """Return the value of JSON text that `dumps` wrote.

    Raises:
        ValueError: The text is not JSON, or holds an unknown type.
    """
    return json.loads(text, object_hook=_untagged)


def encode(envelope: Envelope, arguments: Arguments) -> Message:
    """Return the message that carries a call.

    Raises:
        NotEncodableError: An argument has no JSON form.
    """
    embed = {**_EMPTY_EMBED, **arguments.embed}
    body = dumps([arguments.args, arguments.kwargs, embed], what=f"the arguments of {envelope.name}")
    return Message(
        headers=write_headers(envelope),
        properties={
            "correlation_id": envelope.id,
            "reply_to": envelope.reply_to,
            "delivery_mode": 2,
            "priority": envelope.priority,
        },
        body=body.encode(),
    )


def write_headers(envelope: Envelope) -> dict[str, Any]:
    """Return the protocol 2 headers of ``envelope``."""
    headers: dict[str, Any] = {
        **envelope.extra,
        "lang": "py",
        "task": envelope.name,
        "id": envelope.id,
        "shadow": None,
        "eta": _iso(envelope.eta),
        "expires": _iso(envelope.expires),
        "group": envelope.group_id,
        "group_index": envelope.group_index,
        "retries": envelope.attempt - 1,
        "timelimit": [envelope.hard_limit_s, envelope.soft_limit_s],
        "root_id": envelope.root_id or envelope.id,
        "parent_id": envelope.parent_id,
        "origin": envelope.origin,
        "ignore_result": envelope.ignore_result,
    }
    if envelope.sent_at is not None:
        headers[SENT_AT] = envelope.sent_at.isoformat()
    if envelope.generation:
        headers[GENERATION] = envelope.generation
    if envelope.retry is not None:
        headers[RETRY] = dict(envelope.retry)
    return headers


def pack(message: Message, *, queue: str) -> str:
    """Return the JSON text in which kombu's virtual transports keep a message."""
    properties: dict[str, Any] = {
        **message.properties,
        "delivery_info": {"exchange": "", "routing_key": queue},
        "body_encoding": "base64",
        "delivery_tag": str(uuid.uuid4()),
    }
    return json.dumps(
        {
            "body": base64.b64encode(message.body).decode("ascii"),
            "content-encoding": message.content_encoding,
            "content-type": message.content_type,
            "headers": message.headers,
            "properties": properties,
        },
        separators=(",", ":"),
    )


def unpack(raw: str | bytes) -> Message | Refusal:
    """Return the message kept as JSON text by one of kombu's virtual transports."""
    try:
        outer = json.loads(raw)
    except (ValueError, RecursionError) as error:
        return _refuse(DeadReason.ENVELOPE_UNDECODABLE, f"not JSON: {type(error).__name__}")
    if not isinstance(outer, dict):
        return _refuse(DeadReason.ENVELOPE_INVALID, f"a JSON {type(outer).__name__}, not an object")
    fields = cast("dict[str, Any]", outer)
    headers, properties, body = fields.get("headers"), fields.get("properties"), fields.get("body")
    if not isinstance(headers, dict) or not isinstance(properties, dict):
        return _refuse(DeadReason.ENVELOPE_INVALID, "headers or properties are missing or no objects")
    known = cast("dict[str, Any]", properties)
    decoded = _transport_body(body, known.get("body_encoding"))
    if isinstance(decoded, Refusal):
        return decoded
    return Message(
        headers=cast("dict[str, Any]", headers),
        properties=known,
        body=decoded,
        content_type=str(fields.get("content-type")),
        content_encoding=str(fields.get("content-encoding")),
    )


def _transport_body(body: object, encoding: object) -> bytes | Refusal:
    if not isinstance(body, str):
        return _refuse(DeadReason.ENVELOPE_INVALID, "the body is missing or no text")
    if len(body) > MAX_BODY_BYTES * 4 // 3 + 4:
        return _refuse(DeadReason.BODY_TOO_LARGE, f"{len(body)} characters")
    try:
        return base64.b64decode(body, validate=True) if encoding == "base64" else body.encode()
    except (binascii.Error, ValueError) as error:
        return _refuse(DeadReason.BODY_UNDECODABLE, f"not base64: {error}")


def read_label(message: Message) -> Label:
    """Return what a store needs to know of a message; a header that cannot be read counts as missing."""
    headers = message.headers
    return Label(
        task_id=_text(headers, "id"),
        task=_text(headers, "task"),
        attempt=_count_or_0(headers, "retries") + 1,
        generation=_count_or_0(headers, GENERATION),
    )


def replayed(message: Message) -> Message:
    """Return the message that a dead letter's message is replaced by: attempt 1 of the next generation."""
    generation = read_label(message).generation + 1
    return replace(message, headers={**message.headers, "retries": 0, GENERATION: generation})


def read_envelope(message: Message, *, queue: str) -> Envelope | Refusal:
    """Return what the headers say.

    Args:
        queue: Where the message was taken from.
    """
    headers = message.headers
    for needed in ("id", "task"):
        if not isinstance(headers.get(needed), str) or not headers[needed]:
            return _refuse(DeadReason.HEADER_MISSING, needed)
    try:
        return _envelope(headers, message.properties, queue)
    except _BadHeaderError as error:
        return _refuse(DeadReason.HEADER_INVALID, error.header)


def read_arguments(message: Message) -> Arguments | Refusal:
    """Return what the body says; only JSON is decoded."""
    if message.content_type != CONTENT_TYPE:
        return _refuse(DeadReason.CONTENT_TYPE_REFUSED, message.content_type[:100])
    if len(message.body) > MAX_BODY_BYTES:
        return _refuse(DeadReason.BODY_TOO_LARGE, f"{len(message.body)} bytes")
    if _depth(message.body) > MAX_DEPTH:
        return _refuse(DeadReason.BODY_TOO_DEEP, f"more than {MAX_DEPTH} levels")
    try:
        value = json.loads(message.body.decode(ENCODING), object_hook=_untagged, parse_constant=_no_constant)
    except UnicodeDecodeError:
        return _refuse(DeadReason.BODY_UNDECODABLE, "not UTF-8")
    except (ValueError, TypeError, KeyError, ArithmeticError, RecursionError) as error:
        return _refuse(DeadReason.BODY_UNDECODABLE, f"not JSON: {type(error).__name__}")
    return _arguments(value)


def _arguments(value: object) -> Arguments | Refusal:
    match value:
        case [list(args), dict(kwargs), dict(embed)]:
            return Arguments(
                args=tuple(cast("list[Any]", args)),
                kwargs=cast("dict[str, Any]", kwargs),
                embed=cast("dict[str, Any]", embed),
            )
        case _:
            return _refuse(DeadReason.PAYLOAD_INVALID, "not [args, kwargs, embed]")


class _BadHeaderError(Exception):
    def __init__(self, header: str) -> None:
        self.header = header


_PROTOCOL: Final = frozenset(
    {
        "lang", "task", "id", "shadow", "eta", "expires", "group", "group_index", "retries", "timelimit",
        "root_id", "parent_id", "argsrepr", "kwargsrepr", "origin", "ignore_result",
        "replaced_task_nesting", "stamped_headers", "stamps", SENT_AT, GENERATION, RETRY,
    }
)  # fmt: skip


def _envelope(headers: Mapping[str, Any], properties: Mapping[str, Any], queue: str) -> Envelope:
    hard, soft = _limits(headers.get("timelimit"))
    return Envelope(
        id=headers["id"],
        name=headers["task"],
        queue=queue,
        attempt=_count(headers, "retries") + 1,
        generation=_count(headers, GENERATION),
        priority=properties.get("priority") or 0,
        eta=_when(headers, "eta"),
        expires=_when(headers, "expires"),
        sent_at=_when(headers, SENT_AT),
        soft_limit_s=soft,
        hard_limit_s=hard,
        root_id=headers.get("root_id"),
        parent_id=headers.get("parent_id"),
        group_id=headers.get("group"),
        group_index=headers.get("group_index"),
        ignore_result=bool(headers.get("ignore_result")),
        origin=str(headers.get("origin") or ""),
        reply_to=str(properties.get("reply_to") or ""),
        retry=_mapping(headers, RETRY),
        extra={key: value for key, value in headers.items() if key not in _PROTOCOL},
    )


def _count(headers: Mapping[str, Any], name: str) -> int:
    value = headers.get(name)
    if value is None:
        return 0
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**31:
        raise _BadHeaderError(name)
    return value


def _count_or_0(headers: Mapping[str, Any], name: str) -> int:
    try:
        return _count(headers, name)
    except _BadHeaderError:
        return 0


def _text(headers: Mapping[str, Any], name: str) -> str:
    value = headers.get(name)
    return value if isinstance(value, str) else ""


def _when(headers: Mapping[str, Any], name: str) -> datetime | None:
    value = headers.get(name)
    if value is None:
        return None
    try:
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return datetime.fromtimestamp(value, UTC)
        moment = datetime.fromisoformat(value)
    except (TypeError, ValueError, OverflowError, OSError):
        raise _BadHeaderError(name) from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _limits(value: object) -> tuple[float | None, float | None]:
    match value:
        case None:
            return None, None
        case [hard, soft] if _is_limit(hard) and _is_limit(soft):
            return hard, soft
        case _:
            raise _BadHeaderError("timelimit")


def _is_limit(value: object) -> bool:
    return value is None or (
        isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value < 10**9
    )


def _mapping(headers: Mapping[str, Any], name: str) -> Mapping[str, Any] | None:
    value = headers.get(name)
    if value is not None and not isinstance(value, dict):
        raise _BadHeaderError(name)
    return cast("Mapping[str, Any] | None", value)


def _depth(body: bytes) -> int:
    # Counted before decoding: the decoder recurses, and a body of brackets
    # alone would exhaust the stack of the process that reads it.
    if body.count(b"[") + body.count(b"{") <= MAX_DEPTH:
        return 0
    depth = deepest = 0
    in_text = escaped = False
    for byte in body:
        if in_text:
            escaped, in_text = (not escaped and byte == 0x5C), escaped or byte != 0x22
        elif byte == 0x22:
            in_text = True
        elif byte in b"[{":
            depth += 1
            deepest = max(deepest, depth)
        elif byte in b"]}":
            depth -= 1
    return deepest


def _no_constant(name: str) -> Any:
    raise ValueError(name)


def _refuse(reason: DeadReason, detail: str) -> Refusal:
    return Refusal(reason=reason, detail=detail)


def _iso(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()


def _tagged(value: object) -> Any:
    match value:
        case datetime():
            return _tag("datetime", value.isoformat())
        case date() | time():
            return _tag(type(value).__name__, value.isoformat())
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
    "decimal": Decimal,
    "uuid": lambda fields: uuid.UUID(hex=fields["hex"]),
    "bytes": str.encode,
    "base64": base64.b64decode,
}


def _untagged(value: dict[str, Any]) -> Any:
    if value.keys() != {"__type__", "__value__"}:
        return value
    marker = value["__type__"]
    if not isinstance(marker, str) or marker not in _UNTAG:
        raise ValueError("unknown __type__")
    return _UNTAG[marker](value["__value__"])


def seconds(duration: timedelta | None) -> float | None:
    """Return a duration as the wire's seconds; None stays None."""
    return None if duration is None else duration.total_seconds()
