"""What is written to a record, column by column: pure, no statement is run here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from stem.adapters.sql.rows import micros, micros_or_none, plain, plain_or_none, span_us, write_error
from stem.states import TaskState

if TYPE_CHECKING:
    from stem.message import ErrorInfo
    from stem.ports.results import Ending, EventKind, NewTask, RetryNote, Start


def queued(task: NewTask, *, now_us: int) -> dict[str, Any]:
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


def queued_again(task_id: str, fence: int, generation: int, *, now_us: int) -> dict[str, Any]:
    """Return the columns of a replayed task, and its id as ``key``."""
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


def started(start: Start, *, now_us: int) -> dict[str, Any]:
    """Return the columns that a begun attempt sets, and the task's id as ``key``."""
    return {
        "key": plain(start.task_id),
        "state": TaskState.RUNNING,
        "fence": start.fence,
        "token": start.token,
        "attempt": start.attempt,
        "deliveries": start.deliveries,
        "worker": plain(start.worker),
        "started_us": micros(start.at),
        "updated_us": now_us,
    }


def retrying(note: RetryNote, *, now_us: int) -> dict[str, Any]:
    """Return the columns that a failed attempt sets when another follows, and the task's id as ``key``."""
    return {
        "key": plain(note.task_id),
        "state": TaskState.RETRYING,
        "fence": note.fence,
        "token": note.token,
        "attempt": note.attempt,
        "deliveries": note.deliveries,
        "worker": plain(note.worker),
        "error": write_error(note.error),
        "updated_us": now_us,
    }


def ended(ending: Ending, *, now_us: int) -> dict[str, Any]:
    """Return the columns that a task's end sets, and the task's id as ``key``.

    ``began_us`` and ``ended_us`` are for the statement, which knows what the record says already.
    """
    return {
        "key": plain(ending.task_id),
        "state": ending.state,
        "fence": ending.fence,
        "token": ending.token,
        "attempt": ending.attempt,
        "deliveries": ending.deliveries,
        "worker": plain(ending.worker),
        "result": plain_or_none(ending.result),
        "error": write_error(ending.error),
        "finished_us": micros(ending.finished_at),
        "runtime_s": ending.runtime_s,
        "updated_us": now_us,
        "began_us": micros_or_none(ending.started_at),
        "ended_us": now_us,
    }


def born_started(start: Start, *, now_us: int) -> dict[str, Any]:
    """Return the row of a task without a record that has begun: a foreign producer's."""
    row = started(start, now_us=now_us)
    sent_us = row["started_us"]
    return _born(row, start, sent_us=sent_us)


def born_ended(ending: Ending, *, now_us: int) -> dict[str, Any]:
    """Return the row of a task without a record that has ended: a foreign producer's."""
    row = ended(ending, now_us=now_us)
    began_us = row.pop("began_us")
    row["started_us"] = began_us
    row["expires_us"] = row.pop("ended_us") + span_us(ending.ttl)
    return _born(row, ending, sent_us=row["finished_us"] if began_us is None else began_us)


def _born(row: dict[str, Any], source: Start | Ending, *, sent_us: int) -> dict[str, Any]:
    row["id"] = row.pop("key")
    row["name"] = plain(source.name)
    row["queue"] = plain(source.queue)
    row["generation"] = 0
    row["sent_us"] = sent_us
    row["ttl_us"] = span_us(source.ttl)
    return row


def told_started(start: Start) -> dict[str, Any]:
    """Return the timeline's row for a begun attempt."""
    return told(start.task_id, micros(start.at), "started", attempt=start.attempt, worker=start.worker)


def told_retrying(note: RetryNote) -> dict[str, Any]:
    """Return the timeline's row for a failed attempt that another one follows."""
    return told(
        note.task_id, micros(note.at), "retrying", attempt=note.attempt, worker=note.worker, error=note.error
    )


def told_ended(ending: Ending) -> dict[str, Any]:
    """Return the timeline's row for a task's end."""
    return told(
        ending.task_id,
        micros(ending.finished_at),
        # The terminal states and the events that tell of them have the same names.
        cast("EventKind", ending.state.value),
        attempt=ending.attempt,
        worker=ending.worker,
        error=ending.error,
    )


def told(
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
