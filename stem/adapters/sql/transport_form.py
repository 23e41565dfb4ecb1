"""A message as Kombu's virtual channels hand it to a consumer: read, or refused."""

from __future__ import annotations

from typing import Any

from kombu.utils.json import loads

from stem.codecs import unpack
from stem.message import Refusal
from stem.states import DeadReason

_CAUSES = (ValueError, TypeError, AttributeError, LookupError, ArithmeticError, RecursionError)
# Of what is wrong with a value that Kombu has written with its type, as in {"__type__": "uuid", …}.


def read_transport_form(payload: bytes) -> dict[str, Any] | Refusal:
    """Return the fields of a message, checked so that no consumer stumbles over them.

    Args:
        payload: As Kombu's producers or `stem.codecs.pack` wrote it.
    """
    content = unpack(payload)
    if isinstance(content, Refusal):
        return content
    try:
        fields = loads(payload)
    except _CAUSES as error:
        return _invalid(f"a header's value is not of its type: {type(error).__name__}")
    if not isinstance(fields, dict):
        return _invalid("no object")
    properties = fields.get("properties")
    if not isinstance(fields.get("headers"), dict) or not isinstance(properties, dict):
        return _invalid("headers or properties are no objects")
    if not isinstance(properties.setdefault("delivery_info", {}), dict):
        return _invalid("properties.delivery_info is no object")
    return fields


def _invalid(detail: str) -> Refusal:
    return Refusal(reason=DeadReason.ENVELOPE_INVALID, detail=detail)
