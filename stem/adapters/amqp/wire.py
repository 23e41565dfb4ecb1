"""Messages to AMQP's properties and back."""

from __future__ import annotations

import struct
import uuid
from base64 import b64encode
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, cast

from amqp.basic_message import Message as AmqpMessage
from amqp.exceptions import AMQPError

from stem.errors import NotEncodableError
from stem.message import Message

if TYPE_CHECKING:
    from collections.abc import Mapping

DELIVERIES: Final = "x-stem-deliveries"
"""Deliveries of the attempt before this copy of its message was made."""

_COUNT: Final = "x-delivery-count"
_BROKERS_OWN: Final = ("x-death", "x-first-death-", "x-last-death-", _COUNT, "x-acquired-count", DELIVERIES)

# Not carried over: ``expiration`` would have the broker drop the message, ``user_id`` must be
# that of the connection, and the others are set here.
_PROPERTIES: Final = frozenset({"correlation_id", "reply_to", "message_id", "type", "app_id", "timestamp"})


class _WrittenOnce(AmqpMessage):  # type: ignore[misc]  # its package has no types
    """A message whose properties are put into bytes once: to see that they can be, and to be sent."""

    def _serialize_properties(self) -> bytes:
        if "_written" not in self.__dict__:
            self.__dict__["_written"] = super()._serialize_properties()
        written: bytes = self.__dict__["_written"]
        return written


def write(
    message: Message, *, priority: int, deliveries: int = 0, more: Mapping[str, Any] | None = None
) -> Any:
    """Return the message as py-amqp sends it, persistent.

    Args:
        deliveries: Of the attempt so far.
        more: Headers to add.

    Raises:
        NotEncodableError: A header has no form in AMQP's tables.
    """
    headers = {**message.headers, **(more or {})}
    if deliveries:
        headers[DELIVERIES] = deliveries
    properties = {name: value for name, value in message.properties.items() if name in _PROPERTIES and value}
    properties.setdefault("message_id", str(uuid.uuid4()))
    written = _WrittenOnce(
        cast("str", message.body),  # bytes are taken, and sent as they are
        content_type=message.content_type,
        content_encoding=message.content_encoding,
        application_headers=headers,
        delivery_mode=2,
        priority=priority,
        **properties,
    )
    try:
        written._serialize_properties()
    except (TypeError, ValueError, struct.error, AMQPError) as error:
        raise NotEncodableError(what="the headers", reason=f"no form in AMQP: {error}") from error
    return written


def read(received: Any) -> Message:
    """Return what the broker delivered, without the headers of its own."""
    properties = dict(received.properties)
    headers = _plain(properties.pop("application_headers", None) or {})
    body = received.body
    return Message(
        headers={name: value for name, value in headers.items() if not name.startswith(_BROKERS_OWN)},
        properties={
            name: _plain(value)
            for name, value in properties.items()
            if name not in ("content_type", "content_encoding")
        },
        body=body.encode() if isinstance(body, str) else bytes(body),
        content_type=_plain(properties.get("content_type", "")),
        content_encoding=_plain(properties.get("content_encoding", "")),
    )


def headers_of(received: Any) -> dict[str, Any]:
    """Return all headers, the broker's own too."""
    plain: dict[str, Any] = _plain(received.properties.get("application_headers") or {})
    return plain


def is_counted(received: Any) -> bool:
    """Return whether the queue itself counts deliveries; only a redelivered message tells."""
    return _COUNT in (received.properties.get("application_headers") or {})


def deliveries(received: Any) -> int:
    """Return how often the message was delivered in its attempt, this time included, from 1.

    A classic queue tells only whether it was delivered before.
    """
    headers = received.properties.get("application_headers") or {}
    before, counted = headers.get(DELIVERIES), headers.get(_COUNT)
    if not isinstance(before, int) or before < 0:
        before = 0
    if not isinstance(counted, int):
        counted = int(bool(received.delivery_info.get("redelivered")))
    return before + counted + 1


def _plain(value: Any) -> Any:
    """Return a value of AMQP's tables as JSON has it."""
    match value:
        case dict():
            return {_text(key): _plain(each) for key, each in value.items()}
        case list():
            return [_plain(each) for each in value]
        case bytes() | bytearray() | memoryview():
            return _text(bytes(value))
        case Decimal():
            return float(value)
        case datetime():
            return value.replace(tzinfo=UTC).isoformat()
        case _:
            return value


def _text(value: Any) -> str:
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            return b64encode(value).decode()
    return str(value)
