"""Turn calls into messages and hand them to the broker."""

from __future__ import annotations

import os
import socket
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from stem import codecs, ids, signals
from stem.errors import ConfigurationError
from stem.message import Arguments, Envelope
from stem.ports.broker import NOW, Publication
from stem.ports.results import NewTask
from stem.tasks.context import current_context
from stem.tasks.options import CallOptions, Definition, option_problems, to_duration, to_seconds

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from stem.clock import Clock
    from stem.ports.broker import Broker, Intake


class Publisher:
    """Publishes calls. Any thread.

    Args:
        broker: Takes the messages, and writes their records with them.
        default_queue: For tasks that name none.
        result_ttl: How long records are kept after their task has ended.
    """

    def __init__(self, broker: Broker, *, default_queue: str, result_ttl: timedelta, clock: Clock) -> None:
        self._broker = broker
        self._default_queue = default_queue
        self._result_ttl = result_ttl
        self._clock = clock
        self._origin = f"{os.getpid()}@{socket.gethostname()}"

    def publish(
        self,
        definition: Definition,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        options: CallOptions,
        *,
        through: Intake | None = None,
    ) -> str:
        """Publish one call and return its task id.

        A call with a ``task_id`` that is known already is not published again.

        Args:
            through: Takes the message instead of the broker.

        Raises:
            ConfigurationError: Options that cannot be used, all at once.
            NotEncodableError: An argument has no JSON form.
            StoreError: The task is not published, or that is not known;
                publishing again under the same ``task_id`` is safe.
        """
        now = self._clock.wall()
        envelope = self._envelope(definition, options, now)
        if signals.before_task_publish.has_receivers:
            signals.before_task_publish.send(signals.BeforeTaskPublish(envelope=envelope))
        message = codecs.encode(envelope, Arguments(args=tuple(args), kwargs=kwargs))
        task = NewTask(
            id=envelope.id,
            name=envelope.name,
            queue=envelope.queue,
            sent_at=now,
            ttl=self._result_ttl,
            root_id=envelope.root_id,
            parent_id=envelope.parent_id,
        )
        due = _due(options)
        (through or self._broker).publish(
            [
                Publication(
                    message=message, queue=envelope.queue, priority=envelope.priority, due=due, task=task
                )
            ]
        )
        if signals.after_task_publish.has_receivers:
            signals.after_task_publish.send(signals.AfterTaskPublish(envelope=envelope))
        return envelope.id

    def _envelope(self, definition: Definition, options: CallOptions, now: datetime) -> Envelope:
        problems = list(option_problems(dict(options), CallOptions)) if options else []
        problems += _time_problems(options)
        if problems:
            raise ConfigurationError(problems=[f"{definition.name}: {problem}" for problem in problems])
        parent = current_context()
        task_id = options.get("task_id") or ids.new_task_id()
        return Envelope(
            id=task_id,
            name=definition.name,
            queue=options.get("queue") or definition.queue or self._default_queue,
            priority=options.get("priority", definition.priority),
            eta=_eta(options, now),
            expires=_expires(options, definition, now),
            sent_at=now,
            soft_limit_s=to_seconds(options.get("soft_time_limit", definition.soft_limit_s)),
            hard_limit_s=to_seconds(options.get("time_limit", definition.hard_limit_s)),
            root_id=(parent.envelope.root_id or parent.id or task_id) if parent else task_id,
            parent_id=(parent.id or None) if parent else None,
            ignore_result=options.get("ignore_result", definition.ignore_result),
            origin=self._origin,
            retry=_retry_header(options),
            extra=options.get("headers") or {},
        )


def _time_problems(options: CallOptions) -> list[str]:
    problems: list[str] = []
    if "countdown" in options and "eta" in options:
        problems.append("countdown and eta: give one of them")
    for name in ("eta", "expires"):
        moment = options.get(name)
        if isinstance(moment, datetime) and moment.tzinfo is None:
            problems.append(f"{name}: expected a date with a time zone, got {moment.isoformat()}")
    return problems


def _due(options: CallOptions) -> timedelta | datetime:
    if "countdown" in options:
        return to_duration(options["countdown"])
    return options.get("eta", NOW)


def _eta(options: CallOptions, now: datetime) -> datetime | None:
    if "countdown" in options:
        return now + to_duration(options["countdown"])
    eta = options.get("eta")
    return None if eta is None else eta.astimezone(UTC)


def _expires(options: CallOptions, definition: Definition, now: datetime) -> datetime | None:
    expires = options.get("expires", definition.expires)
    if expires is None or isinstance(expires, datetime):
        return expires
    return now + to_duration(expires)


def _retry_header(options: CallOptions) -> Mapping[str, Any] | None:
    policy = options.get("retry")
    header = dict(policy.to_wire()) if policy is not None else {}
    if "max_retries" in options:
        header["max_retries"] = options["max_retries"]
    return header or None
