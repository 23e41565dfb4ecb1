"""What travels: a message as brokers carry it, and what its parts mean."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from stem.states import DeadReason


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One message as a broker carries it: readable headers, an opaque body.

    Attributes:
        headers: Celery's protocol 2 headers and Stem's ``x-stem-*``; JSON values only.
        properties: AMQP basic properties (``correlation_id``, ``reply_to``, ``priority`` …).
        body: The encoded ``[args, kwargs, embed]``.
        content_type: Of the body, ``application/json`` from Stem.
        content_encoding: Character encoding of the body, ``utf-8`` from Stem.
    """

    headers: Mapping[str, Any]
    properties: Mapping[str, Any]
    body: bytes
    content_type: str = "application/json"
    content_encoding: str = "utf-8"


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Why a message, or a part of it, could not be understood.

    Attributes:
        reason: The machine-readable reason, as stored with the dead letter.
        detail: What exactly was wrong, for a person; one line, never a value of the message.
    """

    reason: DeadReason
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """What a message's headers say: everything about a call but its arguments.

    Attributes:
        id: The task's id.
        name: The task's registered name.
        queue: The queue it was published to, or taken from.
        attempt: The attempt this message stands for, from 1.
        generation: How many times the task was replayed from the dead letters, from 0.
        priority: 0 to 9; a higher number is more urgent.
        eta: Not before this time; aware.
        expires: Not after this time; aware.
        sent_at: When the producer published it; None from producers that do not say.
        soft_limit_s: Seconds until the running task is told, above 0; None is no limit.
        hard_limit_s: Seconds until the running task is killed, above 0; None is no limit.
        retry: Overrides of the task's retry policy for this call, by field name.
        extra: Headers that belong to the application.
    """

    id: str
    name: str
    queue: str = "default"
    attempt: int = 1
    generation: int = 0
    priority: int = 0
    eta: datetime | None = None
    expires: datetime | None = None
    sent_at: datetime | None = None
    soft_limit_s: float | None = None
    hard_limit_s: float | None = None
    root_id: str | None = None
    parent_id: str | None = None
    group_id: str | None = None
    group_index: int | None = None
    ignore_result: bool = False
    origin: str = ""
    reply_to: str = ""
    retry: Mapping[str, Any] | None = None
    extra: Mapping[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """What a store needs to know of a message that it keeps.

    Attributes:
        task_id: "" when the message does not tell.
        task: The task's name, "" when the message does not tell.
        attempt: From 1.
        generation: Replays before this one, from 0.
    """

    task_id: str
    task: str
    attempt: int
    generation: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Arguments:
    """What a message's body says.

    Attributes:
        args: Positional arguments, decoded.
        kwargs: Keyword arguments, decoded.
        embed: Celery's fourth part: ``callbacks``, ``errbacks``, ``chain``, ``chord``.
    """

    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict[str, Any])
    embed: Mapping[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """A message that this process holds under a lease.

    Attributes:
        token: Names this delivery and no other; proves to the broker that the lease is held.
        queue: Where it was taken from.
        content: The message, or why its transport form could not be read.
        deliveries: How often it has been delivered in this attempt, this one included, from 1.
        fence: Grows with every delivery of one task id; a store refuses smaller ones.
        redelivered: Whether an earlier delivery was lost.
    """

    token: str
    queue: str
    content: Message | Refusal
    deliveries: int = 1
    fence: int = 1

    @property
    def redelivered(self) -> bool:
        """Whether an earlier delivery of this attempt ended without an outcome."""
        return self.deliveries > 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorInfo:
    """An error as data; it is never turned back into code.

    Attributes:
        type: Module and name of the class, ``builtins.ValueError``.
        message: Its text, at most 8,192 characters.
        traceback: Frames as text, without local variables; "" when there is none.
        cause: The error that led to it, or None.
    """

    type: str
    message: str
    traceback: str = ""
    cause: ErrorInfo | None = None
