"""Where the record of every task is kept."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from datetime import datetime, timedelta

    from stem.message import ErrorInfo
    from stem.states import TaskState


@dataclass(frozen=True, slots=True, kw_only=True)
class NewTask:
    """What is known about a task when it is published.

    Attributes:
        id: The task's id.
        name: Its registered name.
        queue: Where it is published to.
        sent_at: By the producer's clock.
        ttl: How long the record is kept after the task has ended.
    """

    id: str
    name: str
    queue: str
    sent_at: datetime
    ttl: timedelta
    root_id: str | None = None
    parent_id: str | None = None
    group_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """A worker began an attempt.

    Attributes:
        token: Of the delivery; later writes about this attempt carry the same one.
        fence: Of the delivery; a smaller one than the record's is refused.
        name: The task's name, in case that no record exists (a foreign producer's message).
        ttl: For the same case.
    """

    task_id: str
    token: str
    fence: int
    attempt: int
    deliveries: int
    worker: str
    queue: str
    name: str
    at: datetime
    ttl: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How a task ended.

    Attributes:
        state: A terminal state.
        token, fence: Of the delivery that this is the outcome of.
        result: The result as JSON text; None unless succeeded, or when results are ignored.
        error: Unless succeeded.
        started_at: None when the task never started.
        runtime_s: Seconds that the last attempt ran; None when it never started.
        name, queue, ttl: In case that no record exists (a foreign producer's message).
    """

    task_id: str
    state: TaskState
    token: str
    fence: int
    attempt: int
    deliveries: int
    worker: str
    queue: str
    name: str
    finished_at: datetime
    ttl: timedelta
    result: str | None = None
    error: ErrorInfo | None = None
    started_at: datetime | None = None
    runtime_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryNote:
    """An attempt failed and another one is scheduled.

    Attributes:
        attempt: The attempt that failed, from 1.
        retry_at: When the next one is due, as far as the worker knows.
    """

    task_id: str
    token: str
    fence: int
    attempt: int
    deliveries: int
    worker: str
    at: datetime
    retry_at: datetime
    error: ErrorInfo | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskRecord:
    """All that is stored about one task.

    Attributes:
        attempt: The current or last attempt, from 1.
        deliveries: Deliveries of that attempt, from 0.
        generation: Replays from the dead letters, from 0.
        worker: Who runs or ran it, "" before the first start.
        result: JSON text; None unless succeeded.
        progress: JSON text of the last progress report, or None.
        expires_at: When the record may be deleted; None while the task has not ended.
        fence: The highest that was accepted, 0 before the first.
    """

    id: str
    name: str
    queue: str
    state: TaskState
    attempt: int
    deliveries: int
    generation: int
    worker: str
    sent_at: datetime
    updated_at: datetime
    started_at: datetime | None = None
    finished_at: datetime | None = None
    runtime_s: float | None = None
    result: str | None = None
    error: ErrorInfo | None = None
    progress: str | None = None
    root_id: str | None = None
    parent_id: str | None = None
    group_id: str | None = None
    expires_at: datetime | None = None
    fence: int = 0


EventKind: TypeAlias = Literal[
    "queued", "started", "retrying", "reclaimed", "succeeded", "failed", "cancelled", "replayed"
]


@dataclass(frozen=True, slots=True, kw_only=True)
class TimelineEvent:
    """One step in a task's life.

    Attributes:
        detail: The error's type and message, or why it was cancelled; "" when there is nothing to say.
    """

    at: datetime
    kind: EventKind
    attempt: int
    worker: str
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskQuery:
    """Which records to list; None fields do not restrict.

    Attributes:
        since, until: Bounds of ``updated_at``; since is included, until is not.
    """

    queue: str | None = None
    state: TaskState | None = None
    name: str | None = None
    worker: str | None = None
    since: datetime | None = None
    until: datetime | None = None


class Results(Protocol):
    """Keeps task records. Any thread.

    Guarantees, each checked by `stem.testing.contracts.results`:

    R1. `add` writes a ``queued`` record once; a second one with the same id changes nothing.
    R2. `start` is refused for a terminal record and for a fence below the record's; for an
        equal fence the token must be the record's.
    R3. `finish` and `retry` are refused unless their fence is at least the record's; for an
        equal fence the token must be the record's. Whatever takes a task from a worker's hands and
        writes records (reclaim, cancel, purge, replay) takes the token from the record.
    R4. A terminal state changes only by a replay.
    R5. An id that was never queued is told apart from one that waits: None.
    R6. Pages are newest first and neither repeat nor skip a record that stays unchanged while paging.
    R7. The timeline keeps the order of what happened, and survives retries and replays.
    R8. A record is deleted only after it has ended and its time to live has passed, by the store's clock.
    R9. Repeating the last accepted `start`, `retry` or `finish` is accepted and changes nothing, so that
        a caller whose reply was lost may ask again.
    R10. `release` lets a running record wait again, for the delivery that runs it and no other, and
        takes the token from the record.
    """

    def add(self, tasks: Sequence[NewTask]) -> list[bool]:
        """Write new records; for each, in order, whether it was new."""
        ...

    def start(self, starts: Sequence[Start]) -> list[bool]:
        """Note that attempts began; for each, in order, whether it may go on.

        A record is made for a task that has none.
        """
        ...

    def retry(self, retries: Sequence[RetryNote]) -> list[bool]:
        """Note that attempts failed and others follow; for each, in order, whether it was accepted.

        Refused for a task that has no record.
        """
        ...

    def release(self, starts: Sequence[Start]) -> None:
        """Note that attempts stopped without an outcome and their messages wait again.

        Passed over are those whose delivery the record no longer follows. The timeline says nothing of it.
        """
        ...

    def finish(self, endings: Sequence[Ending]) -> list[bool]:
        """Write how tasks ended; for each, in order, whether it was accepted.

        A record is made for a task that has none; one that exists keeps its own name, queue and ttl.
        """
        ...

    def get(self, task_ids: Collection[str]) -> dict[str, TaskRecord]:
        """Return the records that exist, by id."""
        ...

    def timeline(self, task_id: str) -> list[TimelineEvent]:
        """Return what happened to a task, oldest first; empty for an unknown one."""
        ...

    def page(
        self, query: TaskQuery, *, cursor: str | None = None, limit: int = 50
    ) -> tuple[list[TaskRecord], str | None]:
        """Return a page of records, last updated first, and the cursor of the next page.

        Raises:
            ConfigurationError: The cursor is not one of this method's.
        """
        ...

    def wait(self, task_ids: Collection[str], *, timeout_s: float) -> None:
        """Block until one of the records may have changed, or ``timeout_s`` pass.

        Returns at once when one of the tasks has ended already.
        """
        ...

    def forget(self, task_ids: Collection[str]) -> int:
        """Delete the records of tasks that have ended, with their timelines; return how many."""
        ...

    def prune(self, *, limit: int) -> int:
        """Delete up to ``limit`` records whose time to live has passed; return how many."""
        ...

    def close(self) -> None:
        """Free connections. May be called twice."""
        ...
