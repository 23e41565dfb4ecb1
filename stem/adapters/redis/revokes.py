"""The revocations."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from stem.adapters.redis import scripts
from stem.adapters.redis.values import moment, plain, plain_list, span_us, write_json
from stem.ports.pages import read_cursor, write_cursor
from stem.ports.revokes import Revocation

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from datetime import timedelta

    from stem.adapters.redis.database import Database
    from stem.ports.revokes import Revokes


class RedisRevokes:
    """A `stem.ports.revokes.Revokes`."""

    def __init__(self, database: Database) -> None:
        self._database = database

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
        told = f"{write_json(plain(reason))},{write_json(plain(actor))}"
        self._database.call(
            "revoke", scripts.REVOKE, plain_list(task_ids), span_us(ttl), int(terminate), told
        )

    def unrevoke(self, task_ids: Collection[str]) -> int:
        """Take orders back; return how many there were."""
        return int(self._database.call("unrevoke", scripts.UNREVOKE, plain_list(set(task_ids))))

    def matching(self, task_ids: Collection[str]) -> dict[str, Revocation]:
        """Return the revocations among these ids, by task id."""
        if not task_ids:
            return {}
        reply = self._database.call("look for revocations", scripts.REVOKED, plain_list(set(task_ids)))
        return {order.task_id: order for order in _revocations(reply)}

    def page(self, *, cursor: str | None = None, limit: int = 50) -> tuple[Sequence[Revocation], str | None]:
        """Return a page of revocations in the order of their task ids, and the cursor of the next page."""
        after = "" if cursor is None else str(read_cursor(cursor, str)[0])
        reply = self._database.call("list revocations", scripts.REVOKED, "", after, limit + 1)
        orders = _revocations(reply)
        following = write_cursor(orders[limit - 1].task_id) if len(orders) > limit else None
        return orders[:limit], following

    def prune(self, *, limit: int) -> int:
        """Delete up to ``limit`` expired revocations; return how many."""
        return int(self._database.call("prune revocations", scripts.UNREVOKE, "", limit))

    def close(self) -> None:
        """Free the connections. May be called twice."""
        self._database.close()


def _revocations(reply: Sequence[bytes]) -> list[Revocation]:
    return [
        _revocation(task_id.decode(), int(till), json.loads(b"[%b]" % order))
        for task_id, till, order in zip(reply[::3], reply[1::3], reply[2::3], strict=True)
    ]


def _revocation(task_id: str, till_us: int, order: list[Any]) -> Revocation:
    terminate, revoked_us, reason, actor = order
    return Revocation(
        task_id=task_id,
        reason=reason,
        terminate=terminate == 1,
        revoked_at=moment(revoked_us),
        expires_at=moment(till_us),
        actor=actor,
    )


if TYPE_CHECKING:
    _: Callable[..., Revokes] = RedisRevokes
