"""The task records and the rules of writing them. Guarded by `Database.lock`."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import count
from typing import TYPE_CHECKING, Any, cast

from stem.ports.results import EventKind, TaskRecord, TimelineEvent
from stem.states import TaskState

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime, timedelta
    from threading import Event

    from stem.message import ErrorInfo
    from stem.ports.results import Ending, NewTask, RetryNote, Start


@dataclass(slots=True, kw_only=True)
class Entry:
    """A record and what only the store needs to know.

    Attributes:
        fence, token: Of the delivery that the record follows; the token is None
            when no delivery may write about it any more.
        version: Grows with every write to any record.
    """

    record: TaskRecord
    ttl: timedelta
    fence: int = 0
    token: str | None = None
    version: int = 0
    timeline: list[TimelineEvent] = field(default_factory=list[TimelineEvent])

    def follows(self, write: Start | RetryNote | Ending) -> bool:
        """Return whether ``write`` is of the delivery that wrote last."""
        return (self.fence, self.token) == (write.fence, write.token)

    def admits(self, write: Start | RetryNote | Ending) -> bool:
        """Return whether the task has not ended and ``write`` is of its current delivery or a later one."""
        return not self.record.state.is_terminal and (self.fence < write.fence or self.follows(write))


class Records:
    """All records, by task id.

    Attributes:
        watchers: Events to set when a task's record changes, by task id.
    """

    def __init__(self) -> None:
        self.entries: dict[str, Entry] = {}
        self.watchers: dict[str, set[Event]] = {}
        self._versions = count(1)

    def add(self, task: NewTask, now: datetime) -> bool:
        """Write a ``queued`` record, unless there is one."""
        if task.id in self.entries:
            return False
        self._create(task.id, task.name, task.queue, task.sent_at, task.ttl, now)
        entry = self.entries[task.id]
        entry.record = replace(
            entry.record, root_id=task.root_id, parent_id=task.parent_id, group_id=task.group_id
        )
        self._write(entry, now, "queued")
        return True

    def start(self, start: Start, now: datetime) -> bool:
        """Note that an attempt began."""
        if start.task_id not in self.entries:
            self._create(start.task_id, start.name, start.queue, start.at, start.ttl, now)
        entry = self.entries[start.task_id]
        if entry.follows(start) and entry.record.state is TaskState.RUNNING:
            return True
        if not entry.admits(start):
            return False
        entry.fence, entry.token = start.fence, start.token
        self._write(entry, now, "started", **_of(start), state=TaskState.RUNNING, started_at=start.at)
        return True

    def retry(self, note: RetryNote, now: datetime) -> bool:
        """Note that an attempt failed and another follows."""
        entry = self.entries.get(note.task_id)
        if entry is None:
            return False
        if entry.follows(note) and entry.record.state is TaskState.RETRYING:
            return True
        if not entry.admits(note):
            return False
        entry.fence, entry.token = note.fence, note.token
        facts = _of(note)
        self._write(
            entry, now, "retrying", _told(note.error), **facts, state=TaskState.RETRYING, error=note.error
        )
        return True

    def finish(self, ending: Ending, now: datetime) -> bool:
        """Write how a task ended."""
        if ending.task_id not in self.entries:
            sent_at = ending.started_at or ending.finished_at
            self._create(ending.task_id, ending.name, ending.queue, sent_at, ending.ttl, now)
        entry = self.entries[ending.task_id]
        if entry.follows(ending) and entry.record.state.is_terminal:
            return True
        if not entry.admits(ending):
            return False
        entry.fence, entry.token = ending.fence, ending.token
        self._end(
            entry,
            now,
            ending.state,
            _told(ending.error),
            **_of(ending),
            started_at=ending.started_at or entry.record.started_at,
            finished_at=ending.finished_at,
            runtime_s=ending.runtime_s,
            result=ending.result,
            error=ending.error,
        )
        return True

    def give_back(self, start: Start, now: datetime) -> None:
        """Let a task wait again whose running delivery ended without an outcome."""
        entry = self.entries.get(start.task_id)
        if entry is not None and entry.follows(start) and entry.record.state is TaskState.RUNNING:
            entry.token = None
            self._write(entry, now, None, state=TaskState.QUEUED)

    def release(self, task_id: str, *, fence: int, now: datetime) -> None:
        """Let a task wait again that its holder gave back."""
        entry = self._open(task_id, fence)
        if entry is not None and entry.record.state is TaskState.RUNNING:
            self._write(entry, now, None, state=TaskState.QUEUED)

    def reclaim(self, task_id: str, *, fence: int, now: datetime) -> None:
        """Let a task wait again that was taken from its holder."""
        entry = self._open(task_id, fence)
        if entry is not None:
            entry.token = None
            running = entry.record.state is TaskState.RUNNING
            self._write(entry, now, "reclaimed", state=TaskState.QUEUED if running else entry.record.state)

    def lose(self, task_id: str, *, fence: int, deliveries: int, error: ErrorInfo, now: datetime) -> None:
        """End a task that was taken from its holder for the last time."""
        entry = self._open(task_id, fence)
        if entry is not None:
            entry.token = None
            self._end(
                entry,
                now,
                TaskState.FAILED,
                _told(error),
                deliveries=deliveries,
                finished_at=now,
                error=error,
            )

    def cancel(self, task_id: str, *, reason: str, now: datetime) -> None:
        """End a task whose message was removed while it waited."""
        entry = self.entries.get(task_id)
        if entry is not None and not entry.record.state.is_terminal:
            entry.token = None
            self._end(entry, now, TaskState.CANCELLED, reason, finished_at=now)

    def replay(self, task_id: str, *, generation: int, now: datetime) -> None:
        """Let a task begin anew."""
        entry = self.entries.get(task_id)
        if entry is not None:
            entry.token = None
            blank = TaskRecord(
                id=task_id,
                name=entry.record.name,
                queue=entry.record.queue,
                state=TaskState.QUEUED,
                attempt=1,
                deliveries=0,
                generation=generation,
                worker="",
                sent_at=entry.record.sent_at,
                updated_at=now,
                root_id=entry.record.root_id,
                parent_id=entry.record.parent_id,
                group_id=entry.record.group_id,
            )
            entry.record = blank
            self._write(entry, now, "replayed")

    def generation(self, task_id: str) -> int:
        """Return how often a task was replayed; 0 when it has no record."""
        entry = self.entries.get(task_id)
        return 0 if entry is None else entry.record.generation

    def any_ended(self, task_ids: Collection[str]) -> bool:
        """Return whether one of the tasks has a record in a terminal state."""
        found = (self.entries[task_id] for task_id in task_ids if task_id in self.entries)
        return any(entry.record.state.is_terminal for entry in found)

    def _open(self, task_id: str, fence: int) -> Entry | None:
        entry = self.entries.get(task_id)
        if entry is None or entry.record.state.is_terminal or entry.fence > fence:
            return None
        return entry

    def _create(
        self, task_id: str, name: str, queue: str, sent_at: datetime, ttl: timedelta, now: datetime
    ) -> None:
        record = TaskRecord(
            id=task_id,
            name=name,
            queue=queue,
            state=TaskState.QUEUED,
            attempt=1,
            deliveries=0,
            generation=0,
            worker="",
            sent_at=sent_at,
            updated_at=now,
        )
        self.entries[task_id] = Entry(record=record, ttl=ttl)

    def _end(self, entry: Entry, now: datetime, state: TaskState, detail: str, **changes: Any) -> None:
        kind = cast("EventKind", state.value)  # the three terminal states are kinds of events, too
        self._write(entry, now, kind, detail, **changes, state=state, expires_at=now + entry.ttl)

    def _write(
        self, entry: Entry, now: datetime, kind: EventKind | None, detail: str = "", **changes: Any
    ) -> None:
        entry.record = record = replace(entry.record, **changes, updated_at=now, fence=entry.fence)
        entry.version = next(self._versions)
        if kind is not None:
            entry.timeline.append(
                TimelineEvent(at=now, kind=kind, attempt=record.attempt, worker=record.worker, detail=detail)
            )
        for watcher in self.watchers.get(record.id, ()):
            watcher.set()


def _of(write: Start | RetryNote | Ending) -> dict[str, Any]:
    return {"attempt": write.attempt, "deliveries": write.deliveries, "worker": write.worker}


def _told(error: ErrorInfo | None) -> str:
    return "" if error is None else f"{error.type}: {error.message}"
