"""The task records, for everybody who asks."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from stem.adapters.redis import scripts, writes
from stem.adapters.redis.values import micros, moment, plain, plain_list, read_error, write_json
from stem.adapters.redis.waiting import wait_for_results
from stem.ports.pages import read_cursor, write_cursor
from stem.ports.results import TaskRecord, TimelineEvent
from stem.states import TaskState

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from stem.adapters.redis.database import Database
    from stem.clock import Clock
    from stem.ports.results import Ending, NewTask, Results, RetryNote, Start, TaskQuery

_SCANNED: Final = 1000
"""Entries of an index that one run of the script looks at."""


class RedisResults:
    """A `stem.ports.results.Results`."""

    def __init__(self, database: Database, *, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def add(self, tasks: Sequence[NewTask]) -> list[bool]:
        """Write new records; for each, in order, whether it was new."""
        return self._write("add", [writes.new_task(task) for task in tasks])

    def start(self, starts: Sequence[Start]) -> list[bool]:
        """Note that attempts began; for each, in order, whether it may go on."""
        return self._write("start", [writes.start(start) for start in starts])

    def release(self, starts: Sequence[Start]) -> None:
        """Note that attempts stopped without an outcome and their messages wait again."""
        self._write("release", [writes.start(start) for start in starts])

    def retry(self, retries: Sequence[RetryNote]) -> list[bool]:
        """Note that attempts failed and others follow; for each, in order, whether it was accepted."""
        return self._write("retry", [writes.retry(note) for note in retries])

    def finish(self, endings: Sequence[Ending]) -> list[bool]:
        """Write how tasks ended; for each, in order, whether it was accepted."""
        return self._write("finish", [writes.ending(ending) for ending in endings])

    def get(self, task_ids: Collection[str]) -> dict[str, TaskRecord]:
        """Return the records that exist, by id."""
        names = self._database.names
        replies = self._database.run_all("get", [("HGETALL", names.task(plain(each))) for each in task_ids])
        return {
            task_id: _record(task_id, reply)
            for task_id, reply in zip(task_ids, replies, strict=True)
            if reply
        }

    def timeline(self, task_id: str) -> list[TimelineEvent]:
        """Return what happened to a task, oldest first; empty for an unknown one."""
        key = self._database.names.task(plain(task_id))
        (log,) = self._database.run_all("get", [("HGET", key, "log")])
        return [_event(*json.loads(line)) for line in (log or b"").splitlines()]

    def page(
        self, query: TaskQuery, *, cursor: str | None = None, limit: int = 50
    ) -> tuple[list[TaskRecord], str | None]:
        """Return a page of records, last updated first, and the cursor of the next page."""
        found = self._find(
            query, before=None if cursor is None else int(read_cursor(cursor, int)[0]), limit=limit
        )
        records = self.get([task_id for task_id, _ in found[:limit]])
        following = write_cursor(found[limit - 1][1]) if len(found) > limit else None
        return list(records.values()), following

    def wait(self, task_ids: Collection[str], *, timeout_s: float) -> None:
        """Block until one of the records may have changed, or ``timeout_s`` pass."""
        wait_for_results(self._database, self._clock, task_ids, timeout_s=timeout_s)

    def forget(self, task_ids: Collection[str]) -> int:
        """Delete the records of tasks that have ended; return how many."""
        return int(self._database.call("forget", scripts.FORGET, "", plain_list(set(task_ids))))

    def prune(self, *, limit: int) -> int:
        """Delete up to ``limit`` records whose time to live has passed; return how many."""
        return int(self._database.call("prune", scripts.FORGET, limit))

    def close(self) -> None:
        """Free the connections. May be called twice."""
        self._database.close()

    def _write(self, kind: str, packed: list[writes.Write]) -> list[bool]:
        if not packed:
            return []
        return [answer == 1 for answer in self._database.call(kind, scripts.RECORD, kind, write_json(packed))]

    def _find(self, query: TaskQuery, *, before: int | None, limit: int) -> list[tuple[str, int]]:
        # A record's version is the time of its last write, so bounds of time are bounds of versions.
        bounds = [each for each in (before, query.until and micros(query.until)) if each is not None]
        asked: dict[str, Any] = {
            "before": str(min(bounds)) if bounds else "+inf",
            "since": "-inf" if query.since is None else str(micros(query.since)),
            "scan": str(_SCANNED),
        }
        wanted = {"queue": query.queue, "state": query.state, "name": query.name, "worker": query.worker}
        asked |= {name: plain(value) for name, value in wanted.items() if value is not None}
        found: list[tuple[str, int]] = []
        while len(found) <= limit:
            asked["limit"] = str(limit + 1 - len(found))
            position, *entries = self._database.call("list", scripts.PAGE, write_json(asked))
            found += [(task_id.decode(), int(version)) for task_id, version in entries]
            if not position:
                break
            asked["before"] = position.decode()
        return found


def _record(task_id: str, reply: Sequence[bytes]) -> TaskRecord:
    of = dict(zip(reply[::2], reply[1::2], strict=True))
    runtime = of.get(b"runtime")
    return TaskRecord(
        id=task_id,
        name=of[b"name"].decode(),
        queue=of[b"queue"].decode(),
        state=TaskState(of[b"state"].decode()),
        attempt=int(of[b"attempt"]),
        deliveries=int(of[b"deliveries"]),
        generation=int(of[b"generation"]),
        worker=of[b"worker"].decode(),
        fence=int(of[b"fence"]),
        sent_at=moment(int(of[b"sent"])),
        updated_at=moment(int(of[b"updated"])),
        started_at=_moment(of.get(b"started")),
        finished_at=_moment(of.get(b"finished")),
        runtime_s=None if runtime is None else float(runtime),
        result=_text(of.get(b"result")),
        error=read_error(of.get(b"error")),
        progress=_text(of.get(b"progress")),
        root_id=_text(of.get(b"root")),
        parent_id=_text(of.get(b"parent")),
        group_id=_text(of.get(b"group")),
        expires_at=_moment(of.get(b"expires")),
    )


def _moment(value: bytes | None) -> Any:
    return None if value is None else moment(int(value))


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode()


def _event(at_us: int, kind: Any, attempt: int, worker: str, detail: str) -> TimelineEvent:
    return TimelineEvent(at=moment(at_us), kind=kind, attempt=attempt, worker=worker, detail=detail)


if TYPE_CHECKING:
    _: Callable[..., Results] = RedisResults
