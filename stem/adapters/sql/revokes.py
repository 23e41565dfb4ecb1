"""Orders that tasks must not run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import bindparam, case, delete, or_, select, update

from stem.adapters.sql.conflicts import repeated
from stem.adapters.sql.rows import AnyRow, members, moment, plain, span_us
from stem.ports.pages import read_cursor, write_cursor
from stem.ports.revokes import Revocation

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from datetime import timedelta

    from stem.adapters.sql.database import Database
    from stem.ports.revokes import Revokes


class SqlRevokes:
    """A `stem.ports.revokes.Revokes`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._table = table = database.schema.revoke
        of = table.c
        among = select(database.dialect.members("given").c.value)
        self._forget_old = delete(table).where(of.task_id.in_(among), of.expires_us <= bindparam("now"))
        self._add = database.dialect.insert(table)
        self._extend = (
            update(table)
            .where(of.task_id.in_(among))
            .values(
                expires_us=case(
                    (of.expires_us < bindparam("until"), bindparam("until")), else_=of.expires_us
                ),
                terminate=or_(of.terminate, bindparam("to_stop")),
            )
        )
        self._unrevoke = delete(table).where(of.task_id.in_(among), of.expires_us > bindparam("now"))
        self._any = select(of.task_id).limit(1)
        self._matching = select(table).where(of.task_id.in_(among), of.expires_us > bindparam("now"))
        self._expired = (
            select(of.task_id)
            .where(of.expires_us <= bindparam("now"))
            .order_by(of.expires_us)
            .limit(bindparam("at_most"))
        )
        self._delete = delete(table).where(of.task_id.in_(among))

    @repeated
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
        if not task_ids:
            return
        given = members(task_ids)
        with self._database.write("revoke") as transaction:
            connection, now_us = transaction.connection, transaction.now_us
            until_us = now_us + span_us(ttl)
            rows = [
                {
                    "task_id": plain(task_id),
                    "reason": plain(reason),
                    "terminate": terminate,
                    "revoked_us": now_us,
                    "expires_us": until_us,
                    "actor": plain(actor),
                }
                for task_id in task_ids
            ]
            connection.execute(self._forget_old, {"given": given, "now": now_us})
            connection.execute(self._add, rows)
            connection.execute(self._extend, {"given": given, "until": until_us, "to_stop": terminate})

    @repeated
    def unrevoke(self, task_ids: Collection[str]) -> int:
        """Take orders back; return how many there were."""
        with self._database.write("unrevoke") as transaction:
            given = {"given": members(task_ids), "now": transaction.now_us}
            return transaction.connection.execute(self._unrevoke, given).rowcount

    def matching(self, task_ids: Collection[str]) -> dict[str, Revocation]:
        """Return the revocations among these ids, by task id."""
        with self._database.read("matching") as transaction:
            # Mostly there are none at all, and workers ask for every batch that they lease.
            if transaction.connection.execute(self._any).first() is None:
                return {}
            given = {"given": members(task_ids), "now": transaction.now_us}
            rows = transaction.connection.execute(self._matching, given)
            return {row.task_id: _revocation(row) for row in rows}

    def page(self, *, cursor: str | None = None, limit: int = 50) -> tuple[list[Revocation], str | None]:
        """Return a page of revocations in the order of their task ids, and the cursor of the next page."""
        of = self._table.c
        statement = select(self._table).order_by(of.task_id).limit(limit + 1)
        if cursor is not None:
            statement = statement.where(of.task_id > read_cursor(cursor, str)[0])
        with self._database.read("page") as transaction:
            rows = transaction.connection.execute(statement.where(of.expires_us > transaction.now_us)).all()
        following = write_cursor(rows[limit - 1].task_id) if len(rows) > limit else None
        return [_revocation(row) for row in rows[:limit]], following

    @repeated
    def prune(self, *, limit: int) -> int:
        """Delete up to ``limit`` expired revocations; return how many."""
        with self._database.write("prune") as transaction:
            given = {"now": transaction.now_us, "at_most": limit}
            ids = transaction.connection.execute(self._expired, given).scalars().all()
            transaction.connection.execute(self._delete, {"given": members(ids)})
            return len(ids)

    def close(self) -> None:
        """Free the connections. May be called twice."""
        self._database.close()


def _revocation(row: AnyRow) -> Revocation:
    return Revocation(
        task_id=row.task_id,
        reason=row.reason,
        terminate=row.terminate,
        revoked_at=moment(row.revoked_us),
        expires_at=moment(row.expires_us),
        actor=row.actor,
    )


if TYPE_CHECKING:
    _: Callable[..., Revokes] = SqlRevokes
