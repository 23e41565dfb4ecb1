"""What each signal tells."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    from stem.message import Envelope, ErrorInfo
    from stem.states import DeadReason
    from stem.tasks.context import Context


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerInfo:
    """A worker, as it sees itself at the moment.

    Attributes:
        id: ``name@host``.
        queues: What it leases from.
        inflight: How many tasks it is running.
    """

    id: str
    queues: tuple[str, ...]
    inflight: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AboutTask:
    """Something about one task.

    Attributes:
        envelope: What the message's headers say.
    """

    envelope: Envelope

    @property
    def task_id(self) -> str:
        """The task's id."""
        return self.envelope.id

    @property
    def task_name(self) -> str:
        """The task's registered name."""
        return self.envelope.name

    @property
    def queue(self) -> str:
        """The queue that the message is in, goes to, or came from."""
        return self.envelope.queue


@dataclass(frozen=True, slots=True, kw_only=True)
class AboutDelivery(AboutTask):
    """Something about a task that a worker holds.

    Attributes:
        worker: Who holds it.
    """

    worker: WorkerInfo

    @property
    def worker_id(self) -> str:
        """The worker's id."""
        return self.worker.id


@dataclass(frozen=True, slots=True, kw_only=True)
class AboutRun(AboutTask):
    """Something about an attempt, seen from where it runs.

    Attributes:
        attempt: Its number, from 1.
        context: What the task itself is given.
    """

    attempt: int
    context: Context

    @property
    def worker_id(self) -> str:
        """The worker's id."""
        return self.context.worker_id


@dataclass(frozen=True, slots=True, kw_only=True)
class AboutWorker:
    """Something about a worker.

    Attributes:
        worker: Which one.
    """

    worker: WorkerInfo

    @property
    def worker_id(self) -> str:
        """The worker's id."""
        return self.worker.id


class BeforeTaskPublish(AboutTask):
    """A call is about to be published."""

    __slots__ = ()


class AfterTaskPublish(AboutTask):
    """A call has been published."""

    __slots__ = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskReceived(AboutDelivery):
    """A worker has a message in hand.

    Attributes:
        attempt: The attempt that the message stands for, from 1.
        deliveries: How often this attempt was delivered, this time included, from 1.
    """

    attempt: int
    deliveries: int


class TaskPrerun(AboutRun):
    """An attempt begins."""

    __slots__ = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskPostrun(AboutRun):
    """An attempt has ended, however it did.

    Attributes:
        outcome: ``Succeeded``, ``RetryLater``, ``GaveUp``, ``LostLease`` or ``GivenBack``.
    """

    outcome: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskSucceeded(AboutDelivery):
    """A task has returned.

    Attributes:
        attempt: The attempt that did, from 1.
        runtime: How long it ran.
        result: As JSON text; None when the task's results are ignored.
    """

    attempt: int
    runtime: timedelta
    result: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskRetry(AboutDelivery):
    """A task has failed and will be tried again.

    Attributes:
        attempt: The attempt that failed, from 1.
        error: What it failed with.
        next_retry_at: When the next attempt is due; aware, UTC, by the worker's clock.
    """

    attempt: int
    error: ErrorInfo
    next_retry_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskFailed(AboutDelivery):
    """A task has failed and will not be tried again by itself.

    Attributes:
        attempt: The last attempt, from 1.
        error: What it failed with.
    """

    attempt: int
    error: ErrorInfo


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskRevoked(AboutDelivery):
    """A task was cancelled because somebody asked for it.

    Attributes:
        reason: What they gave as the reason, "" when nothing.
    """

    reason: str


class TaskExpired(AboutDelivery):
    """A task was cancelled because it did not start before its `Envelope.expires`."""

    __slots__ = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskBuried:
    """A message was moved to the dead letters.

    Attributes:
        envelope: What its headers say; None when they cannot be read.
        queue: Where it came from.
        reason: Machine-readable.
        detail: For a person, one line.
        worker: Who moved it.
    """

    envelope: Envelope | None
    queue: str
    reason: DeadReason
    detail: str
    worker: WorkerInfo

    @property
    def task_id(self) -> str:
        """The task's id, "" when the message does not tell."""
        return "" if self.envelope is None else self.envelope.id

    @property
    def task_name(self) -> str:
        """The task's registered name, "" when the message does not tell."""
        return "" if self.envelope is None else self.envelope.name

    @property
    def worker_id(self) -> str:
        """The worker's id."""
        return self.worker.id


class LeaseLost(AboutDelivery):
    """A worker no longer holds a task that it was running; another one may be running it."""

    __slots__ = ()


class WorkerInit(AboutWorker):
    """A worker is about to start."""

    __slots__ = ()


class WorkerReady(AboutWorker):
    """A worker takes tasks."""

    __slots__ = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerStopping(AboutWorker):
    """A worker was told to stop.

    Attributes:
        reason: By what, ``SIGTERM`` or the reason given with a command.
    """

    reason: str = ""


class WorkerShutdown(AboutWorker):
    """A worker has stopped."""

    __slots__ = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerHeartbeat(AboutWorker):
    """A worker has said that it is alive.

    Attributes:
        at: When; aware, UTC, by the worker's clock.
    """

    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class AboutChild:
    """Something about a worker's child process.

    Attributes:
        worker_id: The worker that it belongs to.
        index: Its number within the worker.
    """

    worker_id: str
    index: int


class WorkerChildInit(AboutChild):
    """A child process is about to take tasks."""

    __slots__ = ()


class WorkerChildShutdown(AboutChild):
    """A child process takes no more tasks."""

    __slots__ = ()
