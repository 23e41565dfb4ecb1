"""One attempt at one task: decode, check, run, and say how it ended. Runs in the child."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from stem import codecs, signals
from stem.errors import (
    ArgumentsError,
    LeaseLostError,
    NotEncodableError,
    ShutdownError,
    UnknownTaskError,
)
from stem.message import Arguments, Envelope, ErrorInfo, Message, Refusal
from stem.middleware import compose
from stem.states import DeadReason
from stem.tasks.context import Cancellation, Context, Retry, running
from stem.worker.failure import class_name, describe
from stem.worker.outcome import GaveUp, GivenBack, LostLease, Outcome, RetryLater, Succeeded

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from stem.middleware import Middleware
    from stem.retry import RetryPolicy
    from stem.tasks.registry import Registry
    from stem.tasks.task import Task


class TaskApp(Protocol):
    """What a child needs from the application."""

    @property
    def tasks(self) -> Registry:
        """The registered tasks."""
        ...

    @property
    def middleware(self) -> Sequence[Middleware]:
        """Around every attempt, the first outermost."""
        ...

    @property
    def default_retry(self) -> RetryPolicy:
        """For tasks that have no policy of their own."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What the hub hands to a child.

    Attributes:
        key: Names the attempt between hub and child.
    """

    key: int
    message: Message
    queue: str
    deliveries: int

    def to_wire(self) -> tuple[Any, ...]:
        """Return everything but the key, as plain values. Headers and properties are dicts by then."""
        message = self.message
        return (
            message.headers,
            message.properties,
            message.body,
            message.content_type,
            message.content_encoding,
            self.queue,
            self.deliveries,
        )

    @classmethod
    def from_wire(cls, key: int, values: tuple[Any, ...]) -> Job:
        """Return the job that `to_wire` turned into ``values``."""
        headers, properties, body, content_type, encoding, queue, deliveries = values
        return cls(
            key=key,
            message=Message(
                headers=headers,
                properties=properties,
                body=body,
                content_type=content_type,
                content_encoding=encoding,
            ),
            queue=queue,
            deliveries=deliveries,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """A decoded job that is ready to run.

    Attributes:
        policy: When to try again, the message's overrides included.
        call: Runs the task inside its middleware; returns its result, or an
            awaitable of it for ``async def`` tasks.
    """

    task: Task[Any, Any]
    context: Context
    arguments: Arguments
    policy: RetryPolicy
    call: Callable[[], object]


class AttemptRunner:
    """Runs attempts of an application's tasks. Any thread of the child."""

    def __init__(self, app: TaskApp, *, worker_id: str) -> None:
        self._app = app
        self._worker_id = worker_id
        self._default_retry = app.default_retry  # reads the settings: better now than in the first task

    def prepare(self, job: Job, cancellation: Cancellation) -> Attempt | GaveUp:
        """Decode and check a job; nothing of the application runs yet."""
        envelope = codecs.read_envelope(job.message, queue=job.queue)
        if isinstance(envelope, Refusal):
            return refused(envelope)
        arguments = codecs.read_arguments(job.message)
        if isinstance(arguments, Refusal):
            return refused(arguments)
        task = self._app.tasks.find(envelope.name)
        if task is None:
            return _gave_up(DeadReason.TASK_UNKNOWN, UnknownTaskError(name=envelope.name))
        try:
            args, kwargs = task.signature.from_wire(arguments.args, arguments.kwargs)
        except ArgumentsError as error:
            return _gave_up(DeadReason.ARGS_MISMATCH, error)
        policy = self._policy(task, envelope)
        if isinstance(policy, Refusal):
            return refused(policy)
        context = Context(
            envelope=envelope,
            worker_id=self._worker_id,
            deliveries=job.deliveries,
            cancellation=cancellation,
        )
        function = partial(task.function, context) if task.bound else task.function
        call = compose(self._app.middleware, envelope, partial(function, *args, **kwargs))
        return Attempt(task=task, context=context, arguments=arguments, policy=policy, call=call)

    def run(self, attempt: Attempt, resolve: Callable[[object], object]) -> Outcome:
        """Run an attempt to its end.

        Args:
            resolve: Waits for what an ``async def`` task returned.
        """
        self._announce_start(attempt)
        with running(attempt.context):
            try:
                result = attempt.call()
                outcome = self.succeeded(attempt, resolve(result) if is_awaitable(result) else result)
            except BaseException as error:  # noqa: BLE001 - whatever a task raises is its outcome
                outcome = self.failed(attempt, error)
        self._announce_end(attempt, outcome)
        return outcome

    async def arun(self, attempt: Attempt) -> Outcome:
        """Run an attempt of an ``async def`` task to its end."""
        self._announce_start(attempt)
        with running(attempt.context):
            try:
                result: Any = attempt.call()
                outcome = self.succeeded(attempt, await result if is_awaitable(result) else result)
            except BaseException as error:  # noqa: BLE001 - whatever a task raises is its outcome
                outcome = self.failed(attempt, error)
        self._announce_end(attempt, outcome)
        return outcome

    def succeeded(self, attempt: Attempt, result: object) -> Outcome:
        """Return the outcome of an attempt that returned ``result``."""
        if attempt.context.envelope.ignore_result or result is None:
            return Succeeded(result=None)
        value = attempt.task.signature.result_to_wire(result)
        return Succeeded(result=codecs.dumps(value, what=f"the result of {attempt.task.name}"))

    def failed(self, attempt: Attempt, error: BaseException) -> Outcome:
        """Return the outcome of an attempt that raised ``error``."""
        cancellation = attempt.context.cancellation
        if isinstance(error, asyncio.CancelledError) and cancellation.interruption is not None:
            error = cancellation.interruption
        match error:
            case LeaseLostError() if cancellation.lease_lost:
                return LostLease()
            case ShutdownError():
                return GivenBack()
            case Retry():
                return self._retry_requested(attempt, error)
            case NotEncodableError():  # running it again gives the same result again
                return _gave_up(DeadReason.TASK_FAILED, error)
            case _ if isinstance(error, attempt.task.definition.autoretry_for):
                return self._retry(attempt, error, requested_s=None, body=None)
            case _:
                return _gave_up(DeadReason.TASK_FAILED, error)

    def _retry_requested(self, attempt: Attempt, request: Retry) -> Outcome:
        cause = request.cause or request.__cause__ or request.__context__ or request
        delay = request.delay
        requested_s = delay.total_seconds() if isinstance(delay, timedelta) else delay
        body = None
        if request.task_args is not None or request.task_kwargs is not None:
            arguments = attempt.arguments
            args = arguments.args if request.task_args is None else request.task_args
            kwargs = arguments.kwargs if request.task_kwargs is None else request.task_kwargs
            body = codecs.encode(
                attempt.context.envelope,
                Arguments(args=tuple(args), kwargs=kwargs, embed=arguments.embed),
            ).body
        return self._retry(attempt, cause, requested_s=requested_s, body=body, request=request)

    def _retry(
        self,
        attempt: Attempt,
        error: BaseException,
        *,
        requested_s: float | None,
        body: bytes | None,
        request: Retry | None = None,
    ) -> Outcome:
        policy = attempt.policy
        if request is not None and request.max_retries is not None:
            policy = replace(policy, max_retries=request.max_retries)
        # No secret depends on it: the draw only spreads retries over time.
        delay = policy.delay(attempt=attempt.context.attempt, chance=random.random())
        if delay is None:
            return _gave_up(DeadReason.RETRIES_EXHAUSTED, error)
        delay_s = delay.total_seconds() if requested_s is None else max(requested_s, 0.0)
        return RetryLater(delay_s=delay_s, error=describe(error), body=body)

    def _policy(self, task: Task[Any, Any], envelope: Envelope) -> RetryPolicy | Refusal:
        policy = task.definition.retry or self._default_retry
        return policy if envelope.retry is None else policy.with_overrides(envelope.retry)

    def _announce_start(self, attempt: Attempt) -> None:
        if signals.task_prerun.has_receivers:
            signals.task_prerun.send(
                signals.TaskPrerun(
                    envelope=attempt.context.envelope,
                    attempt=attempt.context.attempt,
                    context=attempt.context,
                )
            )

    def _announce_end(self, attempt: Attempt, outcome: Outcome) -> None:
        if signals.task_postrun.has_receivers:
            signals.task_postrun.send(
                signals.TaskPostrun(
                    envelope=attempt.context.envelope,
                    attempt=attempt.context.attempt,
                    context=attempt.context,
                    outcome=type(outcome).__name__,
                )
            )


def is_awaitable(value: object) -> bool:
    """Return whether ``value`` must be awaited to get a result."""
    return hasattr(value, "__await__")


def refused(refusal: Refusal) -> GaveUp:
    """Return the outcome of a message that could not be understood."""
    error = ErrorInfo(type="stem.Refusal", message=f"{refusal.reason}: {refusal.detail}")
    return GaveUp(reason=refusal.reason, error=error)


def _gave_up(reason: DeadReason, error: BaseException) -> GaveUp:
    return GaveUp(reason=reason, error=describe(error))


def unknown_task(envelope: Envelope) -> GaveUp:
    """Return the outcome of a message whose task is not registered."""
    error = UnknownTaskError(name=envelope.name)
    return GaveUp(
        reason=DeadReason.TASK_UNKNOWN,
        error=ErrorInfo(type=class_name(type(error)), message=str(error)),
    )
