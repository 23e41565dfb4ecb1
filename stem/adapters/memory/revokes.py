"""The revocations in memory."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from stem.ports.pages import read_cursor, write_cursor
from stem.ports.revokes import Revocation

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from datetime import timedelta

    from stem.adapters.memory.database import Database
    from stem.clock import Clock
    from stem.ports.revokes import Revokes


class MemoryRevokes:
    """The revocations of a `Database`."""

    def __init__(self, *, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def revoke(
        self,
        task_ids: Collection[str],
        *,
        reason: str,
        ttl: timedelta,
        terminate: bool = False,
        actor: str = "",
    ) -> None:
        """Order that these tasks must not start."""
        with self._database.lock:
            now = self._clock.wall()
            for task_id in task_ids:
                order = Revocation(
                    task_id=task_id,
                    reason=reason,
                    terminate=terminate,
                    revoked_at=now,
                    expires_at=now + ttl,
                    actor=actor,
                )
                first = self._database.revocations.get(task_id)
                if first is not None and first.expires_at > now:
                    order = _joined(first, order)
                self._database.revocations[task_id] = order

    def unrevoke(self, task_ids: Collection[str]) -> int:
        """Take orders back; return how many there were."""
        with self._database.lock:
            live = self._live()
            taken_back = set(task_ids) & live.keys()
            for task_id in taken_back:
                del self._database.revocations[task_id]
        return len(taken_back)

    def matching(self, task_ids: Collection[str]) -> dict[str, Revocation]:
        """Return the revocations among these ids, by task id."""
        orders = self._database.revocations
        with self._database.lock:
            now = self._clock.wall()
            found = {task_id: orders[task_id] for task_id in task_ids if task_id in orders}
        return {task_id: order for task_id, order in found.items() if order.expires_at > now}

    def page(self, *, cursor: str | None = None, limit: int = 50) -> tuple[Sequence[Revocation], str | None]:
        """Return a page of revocations in the order of their task ids, and the cursor of the next page."""
        after = None if cursor is None else str(read_cursor(cursor, str)[0])
        with self._database.lock:
            live = self._live()
        rest = sorted(task_id for task_id in live if after is None or task_id > after)
        following = write_cursor(rest[limit - 1]) if len(rest) > limit else None
        return [live[task_id] for task_id in rest[:limit]], following

    def prune(self, *, limit: int) -> int:
        """Delete up to ``limit`` expired revocations; return how many."""
        with self._database.lock:
            expired = sorted(self._database.revocations.keys() - self._live().keys())[:limit]
            for task_id in expired:
                del self._database.revocations[task_id]
        return len(expired)

    def close(self) -> None:
        """Do nothing: there is no connection."""

    def _live(self) -> dict[str, Revocation]:
        now = self._clock.wall()
        orders = self._database.revocations
        return {task_id: order for task_id, order in orders.items() if order.expires_at > now}


def _joined(first: Revocation, second: Revocation) -> Revocation:
    return replace(
        first,
        terminate=first.terminate or second.terminate,
        expires_at=max(first.expires_at, second.expires_at),
    )


if TYPE_CHECKING:

    def _(revokes: MemoryRevokes) -> Revokes:
        return revokes
