"""Where it is written that tasks must not run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from datetime import datetime, timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Revocation:
    """An order not to run a task.

    Attributes:
        terminate: Whether a running attempt is to be stopped as well.
        expires_at: When the order is forgotten.
        actor: Who asked for it, "" when not known.
    """

    task_id: str
    reason: str
    terminate: bool
    revoked_at: datetime
    expires_at: datetime
    actor: str = ""


class Revokes(Protocol):
    """Keeps revocations. Any thread.

    Guarantees, each checked by `stem.testing.contracts.revokes`:

    V1. When `revoke` has returned, `matching` finds the id from any process.
    V2. A second `revoke` of an id keeps the first reason and the later expiry; once asked to
        terminate it stays so.
    V3. A revocation is forgotten when it expires, by the store's clock, and by `unrevoke`.
    """

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
        ...

    def unrevoke(self, task_ids: Collection[str]) -> int:
        """Take orders back; return how many there were."""
        ...

    def matching(self, task_ids: Collection[str]) -> dict[str, Revocation]:
        """Return the revocations among these ids, by task id."""
        ...

    def page(self, *, cursor: str | None = None, limit: int = 50) -> tuple[Sequence[Revocation], str | None]:
        """Return a page of revocations in the order of their task ids, and the cursor of the next page.

        Raises:
            ConfigurationError: The cursor is not one of this method's.
        """
        ...

    def prune(self, *, limit: int) -> int:
        """Delete up to ``limit`` expired revocations; return how many."""
        ...

    def close(self) -> None:
        """Free connections. May be called twice."""
        ...
