"""Looking into queues and changing them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from stem.adapters.redis import scripts
from stem.adapters.redis.browsing import Browser
from stem.adapters.redis.celery_results import write_meta
from stem.adapters.redis.values import plain, write_json
from stem.message import ErrorInfo
from stem.ports.broker import QueueStats
from stem.states import TaskState

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from stem.adapters.redis.database import Database
    from stem.clock import Clock
    from stem.ports.broker import PendingMessage, QueueAdmin, QueueState

_AT_ONCE: Final = 500


class RedisQueues:
    """A `stem.ports.broker.QueueAdmin`.

    A queue into which only foreign producers have written becomes known when Stem first leases from it.
    """

    def __init__(self, database: Database, *, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._own = database.names.own
        self._browser = Browser(database)

    def queues(self) -> list[str]:
        """Return every queue that holds, or has held, a message, sorted."""
        (names,) = self._database.run_all("list queues", [("SMEMBERS", f"{self._own}queues")])
        return sorted(name.decode() for name in names)

    def stats(self, queues: Collection[str] | None = None) -> list[QueueStats]:
        """Return how full each queue is, sorted by name; None asks for all.

        The age tells of messages that Stem published or has had in its hands.
        """
        names = self.queues() if queues is None else sorted(set(queues))
        if not names:
            return []
        now_us, rows = self._database.call("count messages", scripts.STATS, *map(plain, names))
        return [_stats(name, row, int(now_us)) for name, row in zip(names, rows, strict=True)]

    def browse(
        self, queue: str, *, state: QueueState | None = None, cursor: str | None = None, limit: int = 50
    ) -> tuple[list[PendingMessage], str | None]:
        """Return a page of the messages of ``queue`` and the cursor of the next one.

        Leased ones come first, then those that are ready, then delayed ones; oldest first in each place.
        """
        return self._browser.page(queue, state=state, cursor=cursor, limit=limit)

    def purge(self, queue: str) -> int:
        """Remove what is ready or delayed; return how many messages. Their records become cancelled."""
        reason = "the queue was purged"
        (before,) = self.stats([queue])
        removed, waiting = 0, before.ready + before.delayed
        while removed < waiting:
            # No more than there were, so that a busy producer cannot keep this going for ever.
            limit = min(_AT_ONCE, waiting - removed)
            step = int(
                self._database.call("purge", scripts.PURGE, plain(queue), limit, reason, self._meta(reason))
            )
            if step == 0:
                break
            removed += step
        return removed

    def cancel(self, task_ids: Collection[str], *, reason: str) -> set[str]:
        """Remove waiting messages of these tasks; return the ids that were removed.

        A ready message is looked for in its list, newest first.
        """
        ids = {plain(task_id): task_id for task_id in task_ids}
        asked: dict[str, Any] = {"reason": plain(reason), "meta": self._meta(reason)}
        if not ids:
            return set()
        removed, elsewhere = self._database.call(
            "cancel", scripts.CANCEL, write_json({**asked, "ids": list(ids)})
        )
        places: dict[tuple[str, int], set[str]] = {}
        for task_id, step, queue in elsewhere:
            places.setdefault((queue.decode(), int(step)), set()).add(task_id.decode())
        for (queue, step), wanted in places.items():
            removed += self._cancel_in_list({**asked, "queue": queue, "step": step}, wanted)
        return {ids[task_id.decode()] for task_id in removed}

    def pause(self, queue: str) -> None:
        """Stop leasing from ``queue`` until `resume`."""
        self._database.run_all("pause", [("SADD", f"{self._own}paused", plain(queue))])

    def resume(self, queue: str) -> None:
        """Lease from ``queue`` again."""
        self._database.run_all("resume", [("SREM", f"{self._own}paused", plain(queue))])

    def _cancel_in_list(self, asked: dict[str, Any], wanted: set[str]) -> list[bytes]:
        cancelled: list[bytes] = []
        first, seen = 0, _AT_ONCE
        while wanted and seen == _AT_ONCE:
            query = {**asked, "ids": sorted(wanted), "first": first, "count": _AT_ONCE}
            removed, seen = self._database.call("cancel", scripts.CANCEL, write_json(query))
            # From the left, where messages come in: what is looked at next can move away from there only.
            first += seen - len(removed)
            cancelled += removed
            wanted -= {task_id.decode() for task_id in removed}
        return cancelled

    def _meta(self, reason: str) -> str:
        error = ErrorInfo(type="celery.exceptions.TaskRevokedError", message=reason)
        return write_meta(TaskState.CANCELLED, error=error, at=self._clock.wall())


def _stats(queue: str, row: list[Any], now_us: int) -> QueueStats:
    ready, delayed, leased, dead, paused, since = row
    return QueueStats(
        queue=queue,
        ready=ready,
        delayed=delayed,
        leased=leased,
        dead=dead,
        oldest_age_s=max(now_us - int(since), 0) / 1e6 if since and ready else None,
        paused=paused == 1,
    )


if TYPE_CHECKING:
    _: Callable[..., QueueAdmin] = RedisQueues
