"""How a buried message waits in the broker until it is moved into the store."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from stem.adapters.amqp import wire
from stem.codecs import pack, read_label
from stem.ports.deadletters import DeadLetter
from stem.states import DeadReason

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from stem.ports.broker import Bury

_REASON: Final = "x-stem-dead-reason"
_DETAIL: Final = "x-stem-dead-detail"
_QUEUE: Final = "x-stem-dead-queue"
_DELIVERIES: Final = "x-stem-dead-deliveries"
_FACTS: Final = "x-stem-dead-facts"
_OWN: Final = (_REASON, _DETAIL, _QUEUE, _DELIVERIES, _FACTS)

_WHY: Final = {
    "delivery_limit": (DeadReason.WORKER_LOST, "delivered more often than the queue allows"),
    "expired": (DeadReason.REJECTED, "it had waited longer than the queue allows"),
    "maxlen": (DeadReason.REJECTED, "the queue was full"),
    "rejected": (DeadReason.REJECTED, "a consumer rejected it"),
}


def marks(bury: Bury, *, queue: str, deliveries: int) -> dict[str, Any]:
    """Return the headers that keep why a message was buried."""
    return {
        _REASON: str(bury.reason),
        _DETAIL: bury.detail,
        _QUEUE: queue,
        _DELIVERIES: deliveries,
        _FACTS: json.dumps(bury.facts),
    }


def dead_letter(received: Any, *, now: datetime) -> DeadLetter:
    """Return what a message of the queue for dead letters says."""
    headers = wire.headers_of(received)
    message = wire.read(received)
    message = replace(
        message, headers={name: value for name, value in message.headers.items() if name not in _OWN}
    )
    label = read_label(message)
    reason, detail = _why(headers)
    queue = _text(headers, _QUEUE) or _text(headers, "x-first-death-queue")
    deliveries = headers.get(_DELIVERIES)
    return DeadLetter(
        id=_id(received, message.body),
        queue=queue,
        task_id=label.task_id,
        task=label.task,
        reason=reason,
        detail=detail,
        attempt=label.attempt if label.task_id else 0,
        deliveries=deliveries if isinstance(deliveries, int) else wire.deliveries(received),
        generation=label.generation,
        dead_at=now,
        payload=pack(message, queue=queue).encode(errors="surrogatepass"),
        facts=_facts(headers),
    )


def _why(headers: Mapping[str, Any]) -> tuple[DeadReason, str]:
    told = _text(headers, _REASON)
    if told in set(DeadReason):
        return DeadReason(told), _text(headers, _DETAIL)
    return _WHY.get(_text(headers, "x-first-death-reason"), (DeadReason.REJECTED, "the queue gave it up"))


def _facts(headers: Mapping[str, Any]) -> dict[str, object]:
    try:
        facts = json.loads(_text(headers, _FACTS) or "{}")
    except ValueError:
        return {}
    return facts if isinstance(facts, dict) else {}


def _text(headers: Mapping[str, Any], name: str) -> str:
    value = headers.get(name)
    return value if isinstance(value, str) else ""


def _id(received: Any, body: bytes) -> str:
    # The same whenever it is taken. Stem gives every message an id of its own; of foreign ones
    # that have none, two of one content cannot be told apart.
    told = received.properties.get("message_id") or received.properties.get("correlation_id")
    return f"amqp-{told or hashlib.sha256(body).hexdigest()}"
