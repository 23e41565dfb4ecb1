"""Messages that go to the dead letters, within a given transaction."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from sqlalchemy import BigInteger, Integer, Text, bindparam, insert, select

from stem.adapters.sql.prepared import Prepared
from stem.adapters.sql.rows import plain

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stem.adapters.sql.database import Transaction
    from stem.adapters.sql.dialect import Dialect
    from stem.adapters.sql.messages import Held
    from stem.adapters.sql.schema import Schema
    from stem.ports.broker import Bury
    from stem.states import DeadReason


class Burials:
    """The statement that copies a message into the dead letters; who calls it removes the message."""

    def __init__(self, schema: Schema, dialect: Dialect) -> None:
        of, dead = schema.message.c, schema.dead_letter
        told: dict[str, Any] = {
            "task_id": bindparam("of_task_id", type_=Text),
            "task": bindparam("of_task", type_=Text),
            "reason": bindparam("why", type_=Text),
            "detail": bindparam("in_detail", type_=Text),
            "attempt": bindparam("last_attempt", type_=Integer),
            "dead_us": bindparam("now", type_=BigInteger),
            "facts": bindparam("more", type_=Text),
        }
        kept: dict[str, Any] = {
            name: of[name] for name in ("queue", "deliveries", "generation", "priority", "fence", "payload")
        }
        source = select(*told.values(), *kept.values()).where(of.id == bindparam("key"))
        self._copy = Prepared(insert(dead).from_select([*told, *kept], source), dialect)

    def copy(self, transaction: Transaction, rows: Sequence[dict[str, Any]]) -> None:
        """Copy messages into the dead letters; see `asked_for` and `lost`."""
        self._copy.run(transaction.connection, rows)


def asked_for(held: Held, bury: Bury, *, now_us: int) -> dict[str, Any]:
    """Return what `Burials.copy` is to write for a settlement."""
    return {
        "key": held.id,
        "of_task_id": plain(bury.task_id),
        "of_task": plain(bury.task),
        "why": bury.reason,
        "in_detail": plain(bury.detail),
        "last_attempt": bury.attempt,
        "now": now_us,
        "more": json.dumps(bury.facts),
    }


def lost(held: Held, reason: DeadReason, detail: str, *, now_us: int) -> dict[str, Any]:
    """Return what `Burials.copy` is to write for a message that the store itself buries."""
    return {
        "key": held.id,
        "of_task_id": held.task_id,
        "of_task": held.task,
        "why": reason,
        "in_detail": plain(detail),
        "last_attempt": held.attempt if held.task_id else 0,
        "now": now_us,
        "more": json.dumps({"owner": held.owner}),
    }
