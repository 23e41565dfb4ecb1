"""The headers of Celery's message protocol 2, and Stem's own among them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, TypeGuard, cast

from stem.message import Envelope, Label, Message, Refusal
from stem.states import DeadReason

if TYPE_CHECKING:
    from collections.abc import Mapping

SENT_AT: Final = "x-stem-sent-at"
GENERATION: Final = "x-stem-generation"
RETRY: Final = "x-stem-retry"
COMPRESSION: Final = "compression"

MAX_LABEL: Final = 255
"""Characters of an id or a name; longer ones are refused."""

MAX_PRIORITY: Final = 9
"""The most urgent; brokers that know larger numbers have their messages read as this."""

_MAX_COUNT: Final = 2**31
_MAX_LIMIT_S: Final = 10**9

_PROTOCOL: Final = frozenset(
    {
        "lang", "task", "id", "shadow", "eta", "expires", "group", "group_index", "retries", "timelimit",
        "root_id", "parent_id", "argsrepr", "kwargsrepr", "origin", "ignore_result",
        "replaced_task_nesting", "stamped_headers", "stamps", COMPRESSION, SENT_AT, GENERATION, RETRY,
    }
)  # fmt: skip


def write_headers(envelope: Envelope) -> dict[str, Any]:
    """Return the protocol 2 headers of ``envelope``."""
    headers: dict[str, Any] = {
        **envelope.extra,
        "lang": "py",
        "task": envelope.name,
        "id": envelope.id,
        "shadow": None,
        "eta": write_date(envelope.eta),
        "expires": write_date(envelope.expires),
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


def write_date(moment: datetime | None) -> str | None:
    """Return a date as the wire's ISO 8601 text; None stays None."""
    return None if moment is None else moment.isoformat()


def read_envelope(message: Message, *, queue: str) -> Envelope | Refusal:
    """Return what the headers say.

    Args:
        queue: Where the message was taken from.
    """
    headers = message.headers
    if "id" not in headers and "task" not in headers:
        # protocol 1, Celery's until 3.1 and behind ``task_protocol = 1``, has all of it in the body
        return Refusal(reason=DeadReason.ENVELOPE_INVALID, detail="no headers of task message protocol 2")
    for needed in ("id", "task"):
        if headers.get(needed) in (None, ""):
            return Refusal(reason=DeadReason.HEADER_MISSING, detail=needed)
    try:
        return _envelope(headers, message.properties, queue)
    except _BadHeaderError as error:
        return Refusal(reason=DeadReason.HEADER_INVALID, detail=error.header)


def read_label(message: Message) -> Label:
    """Return what a store needs to know of a message; a header that cannot be read counts as missing."""
    headers = message.headers
    return Label(
        task_id=_label_or_empty(headers.get("id")),
        task=_label_or_empty(headers.get("task")),
        attempt=_count_or_0(headers, "retries") + 1,
        generation=_count_or_0(headers, GENERATION),
    )


def read_priority(message: Message | Refusal) -> int:
    """Return how urgent a message is, 0 to 9; 0 where that cannot be read."""
    if isinstance(message, Refusal):
        return 0
    return min(_count_or_0(message.properties, "priority"), MAX_PRIORITY)


class _BadHeaderError(Exception):
    def __init__(self, header: str) -> None:
        self.header = header


def _envelope(headers: Mapping[str, Any], properties: Mapping[str, Any], queue: str) -> Envelope:
    hard, soft = _limits(headers.get("timelimit"))
    return Envelope(
        id=_label(headers, "id"),
        name=_label(headers, "task"),
        queue=queue,
        attempt=_count(headers, "retries") + 1,
        generation=_count(headers, GENERATION),
        priority=min(_count(properties, "priority"), MAX_PRIORITY),
        eta=_date(headers, "eta"),
        expires=_date(headers, "expires"),
        sent_at=_date(headers, SENT_AT),
        soft_limit_s=soft,
        hard_limit_s=hard,
        root_id=_optional_label(headers, "root_id"),
        parent_id=_optional_label(headers, "parent_id"),
        group_id=_optional_label(headers, "group"),
        group_index=None if headers.get("group_index") is None else _count(headers, "group_index"),
        ignore_result=bool(headers.get("ignore_result")),
        origin=_label_or_empty(headers.get("origin")),
        reply_to=_optional_label(properties, "reply_to") or "",
        retry=_mapping(headers, RETRY),
        extra={key: value for key, value in headers.items() if key not in _PROTOCOL},
    )


def _is_label(value: object) -> TypeGuard[str]:
    # Printable: a NUL or half a surrogate pair is refused by some stores, a
    # line break forges lines in logs.
    return isinstance(value, str) and 0 < len(value) <= MAX_LABEL and value.isprintable()


def _label(headers: Mapping[str, Any], name: str) -> str:
    value = headers.get(name)
    if not _is_label(value):
        raise _BadHeaderError(name)
    return value


def _optional_label(headers: Mapping[str, Any], name: str) -> str | None:
    return None if headers.get(name) in (None, "") else _label(headers, name)


def _label_or_empty(value: object) -> str:
    return value if _is_label(value) else ""


def _count(headers: Mapping[str, Any], name: str) -> int:
    value = headers.get(name)
    if value is None:
        return 0
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < _MAX_COUNT:
        raise _BadHeaderError(name)
    return value


def _count_or_0(headers: Mapping[str, Any], name: str) -> int:
    try:
        return _count(headers, name)
    except _BadHeaderError:
        return 0


def _date(headers: Mapping[str, Any], name: str) -> datetime | None:
    """Return a date in UTC, from ISO 8601 text (UTC unless it says otherwise) or seconds since 1970."""
    value = headers.get(name)
    if value is None:
        return None
    try:
        if isinstance(value, bool):
            raise TypeError("a flag is no date")
        if isinstance(value, (int, float)):
            return datetime.fromtimestamp(value, UTC)
        moment = datetime.fromisoformat(value)
        # also because year 1 at +14:00 could not be compared with anything
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (TypeError, ValueError, OverflowError, OSError):
        raise _BadHeaderError(name) from None


def _limits(value: Any) -> tuple[float | None, float | None]:
    match value:
        case None:
            return None, None
        case [hard, soft]:
            return _limit(hard), _limit(soft)
        case _:
            raise _BadHeaderError("timelimit")


def _limit(value: object) -> float | None:
    if value is None:
        return None
    if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < _MAX_LIMIT_S:
        return value or None  # to Celery 0 is no limit, too
    raise _BadHeaderError("timelimit")


def _mapping(headers: Mapping[str, Any], name: str) -> Mapping[str, Any] | None:
    value = headers.get(name)
    if value is not None and not isinstance(value, dict):
        raise _BadHeaderError(name)
    return cast("Mapping[str, Any] | None", value)
