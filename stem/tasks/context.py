"""What a running task can ask and say."""

from __future__ import annotations

import contextvars
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from stem.errors import LeaseLostError
from stem.message import Envelope

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping, Sequence
    from datetime import datetime, timedelta

_current: contextvars.ContextVar[Context | None] = contextvars.ContextVar("stem_context", default=None)


class Retry(Exception):
    """Raised inside a task to run it again later.

    Args:
        delay: Seconds or a duration until the next attempt; None asks the
            task's retry policy.
        cause: The error that led to it, for the record; None takes the one
            that is being handled.
        args, kwargs: Arguments of the next attempt; None keeps the current ones.
        max_retries: Overrides the policy's limit for this task run; None keeps it.
    """

    def __init__(
        self,
        delay: timedelta | float | None = None,
        *,
        cause: BaseException | None = None,
        args: Sequence[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        max_retries: int | None = None,
    ) -> None:
        self.delay = delay
        self.cause = cause
        self.task_args = args
        self.task_kwargs = kwargs
        self.max_retries = max_retries
        super().__init__("retry requested")


@dataclass(slots=True, kw_only=True)
class Cancellation:
    """Whether a running attempt was told to stop. Written by the worker, read by the task.

    Attributes:
        lease_lost: The lease is gone: what the task still does may be done twice.
        interruption: What a coroutine was cancelled for; None unless the worker did it.
    """

    lease_lost: bool = False
    interruption: BaseException | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """One attempt at a task, seen from inside.

    Attributes:
        envelope: What the message says.
        worker_id: ``name@host``; "" when the task was called directly.
        deliveries: How often this attempt was delivered, from 1.
    """

    envelope: Envelope
    worker_id: str = ""
    deliveries: int = 1
    cancellation: Cancellation = field(default_factory=Cancellation)

    @property
    def id(self) -> str:
        """The task's id."""
        return self.envelope.id

    @property
    def attempt(self) -> int:
        """The attempt, from 1."""
        return self.envelope.attempt

    @property
    def redelivered(self) -> bool:
        """Whether an earlier delivery of this attempt was lost with its worker."""
        return self.deliveries > 1

    @property
    def eta(self) -> datetime | None:
        """When the task was due; None for at once."""
        return self.envelope.eta

    def check(self) -> None:
        """Return if the task may go on; call it before work that must not be done twice.

        Raises:
            LeaseLostError: The lease is lost; another worker may be running the task.
        """
        if self.cancellation.lease_lost:
            raise LeaseLostError(task_id=self.id)

    def retry(self, delay: timedelta | float | None = None, *, cause: BaseException | None = None) -> Retry:
        """Return what to raise to be run again: ``raise ctx.retry(delay=5)``."""
        return Retry(delay, cause=cause)


def current_context() -> Context | None:
    """Return the context of the task that runs here; None outside of tasks."""
    return _current.get()


@contextmanager
def running(context: Context) -> Generator[None]:
    """Make ``context`` the current one inside the block."""
    token = _current.set(context)
    try:
        yield
    finally:
        _current.reset(token)


def local_context(name: str) -> Context:
    """Return the context of a task that is called directly, without a worker."""
    return Context(envelope=Envelope(id="", name=name))
