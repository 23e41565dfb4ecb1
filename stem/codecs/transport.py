"""The JSON text in which kombu's virtual transports keep a message."""

from __future__ import annotations

import base64
import uuid
from typing import TYPE_CHECKING, Any, Final, cast

from stem.codecs.values import InvalidValueError, dumps, loads_plain, too_complex
from stem.message import Message, Refusal
from stem.states import DeadReason

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_BODY_BYTES: Final = 16 * 1024 * 1024
"""Larger bodies are refused, in bytes after transport decoding and decompression."""

MAX_RAW_CHARACTERS: Final = 2 * MAX_BODY_BYTES
"""Larger messages are refused unread: the largest body takes 4/3 of its size in base64."""


def pack(message: Message, *, queue: str) -> str:
    """Return the JSON text in which kombu's virtual transports keep a message.

    Raises:
        NotEncodableError: A header or property has no JSON form.
    """
    properties: dict[str, Any] = {
        **message.properties,
        "delivery_info": {"exchange": "", "routing_key": queue},
        "body_encoding": "base64",
        "delivery_tag": str(uuid.uuid4()),
    }
    fields = {
        "body": base64.b64encode(message.body).decode("ascii"),
        "content-encoding": message.content_encoding,
        "content-type": message.content_type,
        "headers": message.headers,
        "properties": properties,
    }
    return dumps(fields, what="the headers")


def unpack(raw: str | bytes) -> Message | Refusal:
    """Return the message kept as JSON text by one of kombu's virtual transports."""
    if len(raw) > MAX_RAW_CHARACTERS:
        return _refuse(DeadReason.BODY_TOO_LARGE, f"a message of {len(raw)} characters")
    refused = too_complex(raw)
    if refused is not None:
        return _refuse(DeadReason.ENVELOPE_INVALID, refused.detail)
    try:
        outer = loads_plain(raw if isinstance(raw, str) else raw.decode())
    except InvalidValueError as error:
        return _refuse(DeadReason.ENVELOPE_INVALID, str(error))
    except ValueError:
        return _refuse(DeadReason.ENVELOPE_UNDECODABLE, "not JSON in UTF-8")
    if not isinstance(outer, dict):
        return _refuse(DeadReason.ENVELOPE_INVALID, f"a JSON {type(outer).__name__}, not an object")
    return _message(cast("Mapping[str, object]", outer))


def _message(fields: Mapping[str, object]) -> Message | Refusal:
    headers, properties = fields.get("headers"), fields.get("properties")
    if not isinstance(headers, dict) or not isinstance(properties, dict):
        return _refuse(DeadReason.ENVELOPE_INVALID, "headers or properties are missing or no objects")
    known = cast("Mapping[str, Any]", properties)
    # Stem does without it. A Celery worker on the same queue does not: it
    # would drop its connection over such a message, again and again.
    if known.get("delivery_tag") is None:
        return _refuse(DeadReason.ENVELOPE_INVALID, "properties.delivery_tag is missing")
    body = _body(fields.get("body"), known.get("body_encoding"))
    if isinstance(body, Refusal):
        return body
    return Message(
        headers=cast("Mapping[str, Any]", headers),
        properties=known,
        body=body,
        content_type=_text(fields.get("content-type")),
        content_encoding=_text(fields.get("content-encoding")),
    )


def _body(body: object, encoding: object) -> bytes | Refusal:
    if not isinstance(body, str):
        return _refuse(DeadReason.ENVELOPE_INVALID, "the body is missing or no text")
    try:
        match encoding:
            case "base64":
                return base64.b64decode(body, validate=True)
            case None:
                return body.encode()
            case _:
                return _refuse(DeadReason.ENVELOPE_INVALID, "properties.body_encoding is unknown")
    except ValueError:
        return _refuse(DeadReason.BODY_UNDECODABLE, "not base64" if encoding else "not UTF-8")


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _refuse(reason: DeadReason, detail: str) -> Refusal:
    return Refusal(reason=reason, detail=detail)
