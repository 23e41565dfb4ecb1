"""Looking into queues whose pauses, dead letters and records lie in another database."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Final, Literal

from stem.codecs import read_label
from stem.message import ErrorInfo, Message
from stem.ports.broker import Complete, Level
from stem.states import TaskState

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from stem.ports.broker import Broker, PendingMessage, QueueAdmin, QueueState, QueueStats
    from stem.two_stores.records import Records

_AT_ONCE: Final = 100
_LEASE: Final = timedelta(seconds=60)
_WAITING: Final[tuple[Literal["ready", "delayed"], ...]] = ("ready", "delayed")


class TwoStoreQueues:
    """The broker's queues, with pauses and dead letters of the stores.

    Args:
        stores: Keeps the pauses; replayed messages may wait in its own queues for a moment.
    """

    def __init__(self, queues: QueueAdmin, *, broker: Broker, stores: QueueAdmin, records: Records) -> None:
        self._queues = queues
        self._broker = broker
        self._stores = stores
        self._records = records

    def queues(self) -> list[str]:
        """Return every queue that holds, or has held, a message, sorted."""
        return sorted({*self._queues.queues(), *self._stores.queues()})

    def stats(self, queues: Collection[str] | None = None) -> list[QueueStats]:
        """Return how full each queue is, sorted by name; None asks for all."""
        names = self.queues() if queues is None else queues
        kept = {stats.queue: stats for stats in self._stores.stats(names)}
        return [_sum(stats, kept[stats.queue]) for stats in self._queues.stats(names)]

    def browse(
        self, queue: str, *, state: QueueState | None = None, cursor: str | None = None, limit: int = 50
    ) -> tuple[list[PendingMessage], str | None]:
        """Return a page of the messages of ``queue``, oldest first, and the cursor of the next one."""
        return self._queues.browse(queue, state=state, cursor=cursor, limit=limit)

    def purge(self, queue: str) -> int:
        """Remove what is ready or delayed; return how many messages. Their records become cancelled.

        From a broker that cannot be browsed each message is leased to be removed; delayed ones stay.
        """
        reason = "the queue was purged"
        if self._broker.capabilities.browse is Level.NONE:
            return sum(self._purge_leased(queue, reason))
        removed = sum(len(self.cancel(ids, reason=reason)) for ids in self._waiting(queue))
        # What is left names no task, and has no record.
        return removed + self._queues.purge(queue)

    def _waiting(self, queue: str) -> Iterator[set[str]]:
        for state in _WAITING:
            cursor, is_first = None, True
            while is_first or cursor is not None:
                page, cursor = self._queues.browse(queue, state=state, cursor=cursor, limit=_AT_ONCE)
                is_first = False
                yield {pending.task_id for pending in page if pending.task_id}

    def _purge_leased(self, queue: str, reason: str) -> Iterator[int]:
        source = self._broker.source(owner="stem-purge")
        try:
            while deliveries := source.lease([queue], limit=_AT_ONCE, duration=_LEASE):
                contents = [delivery.content for delivery in deliveries]
                labels = [read_label(content) for content in contents if isinstance(content, Message)]
                self._cancelled({label.task_id for label in labels if label.task_id}, reason)
                yield sum(source.settle([Complete(token=delivery.token) for delivery in deliveries]))
        finally:
            source.close()

    def cancel(self, task_ids: Collection[str], *, reason: str) -> set[str]:
        """Remove waiting messages of these tasks, then end their records; return the removed ids."""
        removed = self._queues.cancel(task_ids, reason=reason)
        self._cancelled(removed, reason)
        return removed

    def _cancelled(self, ids: set[str], reason: str) -> None:
        if ids:
            error = ErrorInfo(type="stem.Cancelled", message=reason)
            self._records.end(ids, TaskState.CANCELLED, errors=dict.fromkeys(ids, error), generation={})

    def pause(self, queue: str) -> None:
        """Stop leasing from ``queue`` until `resume`."""
        self._stores.pause(queue)

    def resume(self, queue: str) -> None:
        """Lease from ``queue`` again."""
        self._stores.resume(queue)


def _sum(stats: QueueStats, kept: QueueStats) -> QueueStats:
    return replace(
        stats,
        ready=stats.ready + kept.ready,
        delayed=stats.delayed + kept.delayed,
        leased=stats.leased + kept.leased,
        dead=stats.dead + kept.dead,
        paused=stats.paused or kept.paused,
    )


if TYPE_CHECKING:
    _: Callable[..., QueueAdmin] = TwoStoreQueues
