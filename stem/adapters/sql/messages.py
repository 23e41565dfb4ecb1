"""The messages that are not dead or gone: every statement about them, within a given transaction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from sqlalchemy import bindparam, delete, func, or_, select, union_all, update

from stem.adapters.sql.prepared import Prepared
from stem.adapters.sql.rows import due_us, members, plain, read_token, write_token
from stem.adapters.sql.schema import DELAYED, LEASED, READY
from stem.codecs import pack, read_label, unpack
from stem.message import Label, Message

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence
    from datetime import datetime, timedelta

    from sqlalchemy import Executable, Update

    from stem.adapters.sql.database import Transaction
    from stem.adapters.sql.dialect import Dialect
    from stem.adapters.sql.rows import AnySelect
    from stem.adapters.sql.schema import Schema
    from stem.ports.broker import Publication

_PROMOTED_AT_ONCE: Final = 1000
# Whoever waits looks within this time, and finds what is due later.
_SOON_US: Final = 2_000_000
_NO_LABEL: Final = Label(task_id="", task="", attempt=1, generation=0)


class Claimed(NamedTuple):
    """A message that was just leased."""

    id: int
    priority: int
    fence: int
    deliveries: int
    payload: bytes

    @property
    def token(self) -> str:
        """The token of this delivery."""
        return write_token(self.id, self.fence)


class Held(NamedTuple):
    """A message without its payload; the columns of `held_columns`."""

    id: int
    fence: int
    queue: str
    task_id: str
    task: str
    attempt: int
    deliveries: int
    owner: str

    @property
    def token(self) -> str:
        """The token of its current or last delivery."""
        return write_token(self.id, self.fence)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """What there is to lease from some queues.

    Attributes:
        stocked: Queues with something to lease, in the order asked for, and whether
            some of it is delayed messages that have become due.
        next_us: When the next delayed message is due; None when there is none.
    """

    stocked: dict[str, bool]
    next_us: int | None


class Messages:
    """Statements about the message table, compiled once."""

    def __init__(self, schema: Schema, dialect: Dialect) -> None:
        self._schema = schema
        message, task = schema.message, schema.task
        of = message.c
        among = select(dialect.members("given").c.value)
        among_keys = select(dialect.members("given", numbers=True).c.value)
        seq = select(task.c.seq).where(task.c.id == bindparam("of_task")).scalar_subquery()
        self._add = Prepared(message.insert().values(task_seq=seq), dialect)
        self._add_queue = dialect.insert(schema.queue)
        self._known = union_all(
            select(task.c.id).where(task.c.id.in_(among)),
            select(of.task_id).where(of.task_seq.is_(None), of.task_id.in_(among)),
        )
        waiting = held_columns(schema).where(or_(of.state == READY, of.state == DELAYED))
        recorded = select(task.c.seq).where(task.c.id.in_(among))
        self._waiting = (
            waiting.where(of.task_seq.in_(recorded)).with_for_update(),
            waiting.where(of.task_seq.is_(None), of.task_id.in_(among)).with_for_update(),
        )
        self._outlook = _outlook(schema, dialect)
        self._promote = _promote(schema)
        self._claim = dialect.claim(schema)
        self._held = (
            held_columns(schema)
            .where(of.id.in_(among_keys), of.state == LEASED, of.until_us > bindparam("now"))
            .with_for_update()
        )
        self._lapsed = (
            held_columns(schema)
            .where(of.state == LEASED, of.until_us <= bindparam("now"), of.owner.like(bindparam("of_owners")))
            .order_by(of.until_us, of.id)
            .limit(bindparam("at_most"))
            .with_for_update(skip_locked=True)
        )
        self._any_lapsed = select(of.id).where(of.state == LEASED, of.until_us <= bindparam("now")).limit(1)
        self._renew = update(message).where(of.id.in_(among_keys)).values(until_us=bindparam("until"))
        self._remove = delete(message).where(of.id.in_(among_keys))
        by_id = update(message).where(of.id == bindparam("key"))
        self._give_back = Prepared(
            by_id.values(
                due_us=func.coalesce(bindparam("due"), of.due_us),
                deliveries=of.deliveries - bindparam("uncounted"),
            ),
            dialect,
        )
        self._replace = Prepared(by_id, dialect)

    def known(self, transaction: Transaction, ids: Collection[str]) -> set[str]:
        """Return which of these task ids are live or have a record."""
        return set(transaction.connection.execute(self._known, {"given": members(ids)}).scalars())

    def waiting(self, transaction: Transaction, ids: Collection[str]) -> list[Held]:
        """Return the messages of these tasks that are not leased."""
        given = {"given": members(ids)}
        return [
            Held._make(row)
            for statement in self._waiting
            for row in transaction.connection.execute(statement, given)
        ]

    def add(self, transaction: Transaction, rows: Sequence[dict[str, Any]]) -> None:
        """Store rows made by `new_row`; after the records that belong to them."""
        if rows:
            queues = [
                {"name": name, "paused": False, "used_us": transaction.now_us}
                for name in dict.fromkeys(row["queue"] for row in rows)
            ]
            transaction.connection.execute(self._add_queue, queues)
            self._add.run(transaction.connection, rows)
            soon_us = transaction.now_us + _SOON_US
            transaction.bells.update(row["queue"] for row in rows if row["due_us"] < soon_us)

    def outlook(self, transaction: Transaction, queues: str) -> Outlook:
        """Return what there is to lease; changes nothing.

        Args:
            queues: A JSON array of names.
        """
        stocked: dict[str, bool] = {}
        delayed_us: list[int] = []
        for row in transaction.connection.execute(self._outlook, {"given": queues}).all():
            is_due = row.next_us is not None and row.next_us <= transaction.now_us
            if row.ready or is_due:
                stocked[row.value] = is_due
            if row.next_us is not None:
                delayed_us.append(row.next_us)
        return Outlook(stocked=stocked, next_us=min(delayed_us, default=None))

    def promote(self, transaction: Transaction, queue: str) -> None:
        """Make delayed messages ready that are due."""
        transaction.connection.execute(self._promote, {"of_queue": queue, "now": transaction.now_us})

    def claim(
        self, transaction: Transaction, queue: str, *, limit: int, lease_us: int, owner: str
    ) -> list[Claimed]:
        """Lease up to ``limit`` ready messages, in the order in which they are to be run."""
        leased = transaction.connection.execute(
            self._claim,
            {
                "of_queue": queue,
                "at_most": limit,
                "until": transaction.now_us + lease_us,
                "holder": plain(owner),
            },
        ).all()
        return sorted(map(Claimed._make, leased), key=_rank)

    def held(self, transaction: Transaction, tokens: Iterable[str]) -> dict[str, Held]:
        """Return the messages whose lease is held by one of these tokens, by token."""
        parsed = {token: pair for token in tokens if (pair := read_token(token))}
        given = {"given": members([key for key, _ in parsed.values()]), "now": transaction.now_us}
        found = map(Held._make, transaction.connection.execute(self._held, given).all())
        current = {(message.id, message.fence): message for message in found}
        return {token: current[pair] for token, pair in parsed.items() if pair in current}

    def any_lapsed(self, transaction: Transaction) -> bool:
        """Return whether a lease has lapsed."""
        return (
            transaction.connection.execute(self._any_lapsed, {"now": transaction.now_us}).first() is not None
        )

    def lapsed(self, transaction: Transaction, *, limit: int, owners: str = "%") -> list[Held]:
        """Return messages whose lease has lapsed, first lapsed first.

        Args:
            owners: Whose leases, a pattern of LIKE.
        """
        given = {"now": transaction.now_us, "at_most": limit, "of_owners": owners}
        return list(map(Held._make, transaction.connection.execute(self._lapsed, given)))

    def renew(self, transaction: Transaction, ids: Collection[int], *, lease_us: int) -> None:
        """Let leases hold from now."""
        until = transaction.now_us + lease_us
        transaction.connection.execute(self._renew, {"given": members(ids), "until": until})

    def remove(self, transaction: Transaction, ids: Collection[int]) -> None:
        """Delete messages."""
        if ids:
            transaction.connection.execute(self._remove, {"given": members(ids)})

    def give_back(self, transaction: Transaction, rows: Sequence[dict[str, Any]]) -> None:
        """Make leased messages ready or delayed again; see `given_back`."""
        self._give_back.run(transaction.connection, rows)

    def replace(self, transaction: Transaction, rows: Sequence[dict[str, Any]]) -> None:
        """Put the next attempt's message in the place of the last one's; see `replacement`."""
        self._replace.run(transaction.connection, rows)


def publication_row(publication: Publication, label: Label, *, now_us: int) -> dict[str, Any]:
    """Return the row of a message that is published."""
    return new_row(
        queue=publication.queue,
        payload=pack(publication.message, queue=publication.queue).encode(),
        label=label,
        priority=publication.priority,
        due_us=due_us(publication.due, now_us=now_us),
        now_us=now_us,
    )


def new_row(
    *, queue: str, payload: bytes, label: Label, priority: int, due_us: int, now_us: int
) -> dict[str, Any]:
    """Return the row of a message that was never leased."""
    return {
        "queue": plain(queue),
        "state": _waiting(due_us, now_us),
        "priority": priority,
        "due_us": max(due_us, now_us),
        "until_us": 0,
        "fence": 0,
        "deliveries": 0,
        "attempt": label.attempt,
        "generation": label.generation,
        "owner": "",
        "of_task": plain(label.task_id),
        "task_id": plain(label.task_id),
        "task": plain(label.task),
        "payload": payload,
    }


def raw_row(queue: str, payload: bytes, *, due_us: int, now_us: int, priority: int = 0) -> dict[str, Any]:
    """Return the row of a message in transport form, whether it can be read or not."""
    content = unpack(payload)
    return new_row(
        queue=queue,
        payload=payload,
        label=read_label(content) if isinstance(content, Message) else _NO_LABEL,
        priority=priority,
        due_us=due_us,
        now_us=now_us,
    )


def given_back(key: int, due: timedelta | datetime, *, counted: bool, now_us: int) -> dict[str, Any]:
    """Return what `Messages.give_back` is to do with one message."""
    at_us = due_us(due, now_us=now_us)
    return {
        "key": key,
        "state": _waiting(at_us, now_us),
        "due": at_us if at_us > now_us else None,
        "uncounted": 0 if counted else 1,
        "until_us": 0,
        "owner": "",
    }


def replacement(
    held: Held, message: Message, *, attempt: int, due: timedelta | datetime, now_us: int
) -> dict[str, Any]:
    """Return what `Messages.replace` is to do with one message."""
    at_us = due_us(due, now_us=now_us)
    label = read_label(message)
    return {
        "key": held.id,
        "state": _waiting(at_us, now_us),
        "due_us": max(at_us, now_us),
        "until_us": 0,
        "deliveries": 0,
        "attempt": attempt,
        "owner": "",
        "task_id": plain(label.task_id),
        "task": plain(label.task),
        "payload": pack(message, queue=held.queue).encode(),
    }


def _waiting(due_us: int, now_us: int) -> str:
    return "delayed" if due_us > now_us else "ready"


def _rank(message: Claimed) -> tuple[int, int]:
    return -message.priority, message.id


def held_columns(schema: Schema) -> AnySelect:
    """Return the statement that reads messages without their payload; conditions are to be added."""
    of = schema.message.c
    return select(*[of[name] for name in Held._fields])


def _outlook(schema: Schema, dialect: Dialect) -> Executable:
    of, queue = schema.message.c, schema.queue
    asked = dialect.members("given")
    ready = select(of.id).where(of.state == READY, of.queue == asked.c.value).correlate(asked).exists()
    next_us = (
        select(func.min(of.due_us))
        .where(of.state == DELAYED, of.queue == asked.c.value)
        .correlate(asked)
        .scalar_subquery()
    )
    paused = (
        select(queue.c.name).where(queue.c.name == asked.c.value, queue.c.paused).correlate(asked).exists()
    )
    return select(asked.c.value, ready.label("ready"), next_us.label("next_us")).where(~paused)


def _promote(schema: Schema) -> Update:
    of = schema.message.c
    due = (
        select(of.id)
        .where(of.state == DELAYED, of.queue == bindparam("of_queue"), of.due_us <= bindparam("now"))
        .order_by(of.due_us)
        .limit(_PROMOTED_AT_ONCE)
        .with_for_update(skip_locked=True)
    )
    return update(schema.message).where(of.id.in_(due)).values(state=READY)
