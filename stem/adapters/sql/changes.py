"""What a worker's word makes of a record: pure, no statement is run here."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from stem.adapters.sql.rows import micros, micros_or_none, plain, plain_or_none, span_us, write_error
from stem.states import TaskState

if TYPE_CHECKING:
    from stem.message import ErrorInfo
    from stem.ports.results import Ending, EventKind, NewTask, RetryNote, Start


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A new state of one record.

    Attributes:
        fence, token: Of the delivery that the writer holds.
        columns: Set beside those above, whether the record exists or not.
        renewal: Parameters of the statement that changes a record that exists.
        birth: The further columns of a record that does not exist; None: then nothing is written.
        event: The row for the timeline.
    """

    task_id: str
    state: TaskState
    fence: int
    token: str
    attempt: int
    columns: dict[str, Any]
    event: dict[str, Any]
    renewal: dict[str, Any] = field(default_factory=dict[str, Any])
    birth: dict[str, Any] | None = None

    def update_row(self) -> dict[str, Any]:
        """Return the parameters of the statement that changes the record."""
        return {
            "key": self.task_id,
            "state": self.state,
            "fence": self.fence,
            "token": self.token,
            "attempt": self.attempt,
            **self.columns,
            **self.renewal,
        }

    def birth_row(self) -> dict[str, Any]:
        """Return the row of a record that did not exist."""
        return {
            "id": self.task_id,
            "state": self.state,
            "fence": self.fence,
            "token": self.token,
            "attempt": self.attempt,
            "generation": 0,
            **self.columns,
            **(self.birth or {}),
        }


def queued_row(task: NewTask, *, now_us: int) -> dict[str, Any]:
    """Return the row of a task that was just published."""
    return {
        "id": plain(task.id),
        "name": plain(task.name),
        "queue": plain(task.queue),
        "state": TaskState.QUEUED,
        "attempt": 1,
        "deliveries": 0,
        "generation": 0,
        "worker": "",
        "token": "",
        "fence": 0,
        "sent_us": micros(task.sent_at),
        "updated_us": now_us,
        "ttl_us": span_us(task.ttl),
        "root_id": plain_or_none(task.root_id),
        "parent_id": plain_or_none(task.parent_id),
        "group_id": plain_or_none(task.group_id),
    }


def queued_again_row(task_id: str, fence: int, generation: int, *, now_us: int) -> dict[str, Any]:
    """Return the parameters of the statement that makes a record new again."""
    return {
        "key": task_id,
        "state": TaskState.QUEUED,
        "attempt": 1,
        "deliveries": 0,
        "generation": generation,
        "worker": "",
        "token": "",
        "fence": fence,
        "updated_us": now_us,
        "started_us": None,
        "finished_us": None,
        "runtime_s": None,
        "expires_us": None,
        "error": None,
        "progress": None,
        "result": None,
    }


def started(start: Start, *, now_us: int) -> Change:
    """Return the change that a begun attempt makes."""
    at_us = micros(start.at)
    return Change(
        task_id=plain(start.task_id),
        state=TaskState.RUNNING,
        fence=start.fence,
        token=start.token,
        attempt=start.attempt,
        columns={
            "deliveries": start.deliveries,
            "worker": plain(start.worker),
            "started_us": at_us,
            "updated_us": now_us,
        },
        birth={
            "name": plain(start.name),
            "queue": plain(start.queue),
            "sent_us": at_us,
            "ttl_us": span_us(start.ttl),
        },
        event=event_row(start.task_id, at_us, "started", attempt=start.attempt, worker=start.worker),
    )


def retrying(note: RetryNote, *, now_us: int) -> Change:
    """Return the change that a failed attempt makes when another one follows."""
    return Change(
        task_id=plain(note.task_id),
        state=TaskState.RETRYING,
        fence=note.fence,
        token=note.token,
        attempt=note.attempt,
        columns={
            "deliveries": note.deliveries,
            "worker": plain(note.worker),
            "error": write_error(note.error),
            "updated_us": now_us,
        },
        event=event_row(
            note.task_id,
            micros(note.at),
            "retrying",
            attempt=note.attempt,
            worker=note.worker,
            error=note.error,
        ),
    )


def ended(ending: Ending, *, now_us: int) -> Change:
    """Return the change that a task's end makes."""
    at_us = micros(ending.finished_at)
    ttl_us = span_us(ending.ttl)
    began_us = micros_or_none(ending.started_at)
    return Change(
        task_id=plain(ending.task_id),
        state=ending.state,
        fence=ending.fence,
        token=ending.token,
        attempt=ending.attempt,
        columns={
            "deliveries": ending.deliveries,
            "worker": plain(ending.worker),
            "result": plain_or_none(ending.result),
            "error": write_error(ending.error),
            "finished_us": at_us,
            "runtime_s": ending.runtime_s,
            "updated_us": now_us,
        },
        renewal={"began_us": began_us, "ended_us": now_us},
        birth={
            "name": plain(ending.name),
            "queue": plain(ending.queue),
            "sent_us": at_us if began_us is None else began_us,
            "started_us": began_us,
            "ttl_us": ttl_us,
            "expires_us": now_us + ttl_us,
        },
        event=event_row(
            ending.task_id,
            at_us,
            # The terminal states and the events that tell of them have the same names.
            cast("EventKind", ending.state.value),
            attempt=ending.attempt,
            worker=ending.worker,
            error=ending.error,
        ),
    )


def event_row(
    task_id: str,
    at_us: int,
    kind: EventKind,
    *,
    attempt: int,
    worker: str = "",
    error: ErrorInfo | None = None,
    detail: str = "",
) -> dict[str, Any]:
    """Return a row for the timeline; ``error`` gives its detail, if there is one."""
    if error is not None:
        detail = error.message if kind == "cancelled" else f"{error.type}: {error.message}"
    return {
        "key": plain(task_id),
        "of_at_us": at_us,
        "of_kind": kind,
        "of_attempt": attempt,
        "of_worker": plain(worker),
        "of_detail": plain(detail),
    }
