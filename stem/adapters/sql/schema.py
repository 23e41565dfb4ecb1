"""The tables of one namespace, as the newest migration leaves them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    Table,
    Text,
    case,
    literal_column,
)

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement

HEAD: Final = "0001"
"""The revision that this release reads and writes; the last one in ``migrations/versions``."""

READY: Final = literal_column("'ready'", Text)
DELAYED: Final = literal_column("'delayed'", Text)
LEASED: Final = literal_column("'leased'", Text)
SUCCEEDED: Final = literal_column("'succeeded'", Text)
# Written into the statements, since a partial index is used only where the
# statement's own text implies the index's condition.

_KEY: Final = BigInteger().with_variant(Integer, "sqlite")


def version_table(namespace: str) -> str:
    """Return the name of the table that holds the revision."""
    return f"{namespace}_schema_version"


FENCES_PER_MESSAGE: Final = 2**20
"""A message is leased less often than that."""


class Schema:
    """The tables of one namespace.

    Task ids are random, so that an index of them is written all over the place, one
    page for each id of a batch. Only the records have one; messages and events name
    the record by its number, which never comes back.

    Attributes:
        message: One row for each message that is not dead or gone. ``due_us``: when it was published, or is
            due if that is later. ``until_us``: when its lease lapses, 0 unless leased. ``fence``: raised by
            each lease and never lowered, so that ``id.fence`` names one delivery. ``task_seq``: its record,
            NULL for one that had none when it was published.
        binding: Which queues a Kombu exchange feeds.
        queue: Every queue that holds or held a message. ``idle_us`` and ``used_us``: for the transient queues
            of Kombu's consumers, how long they may go unused, and since when they are.
        task: One record for each task.
        event: The tasks' timelines, in the order of ``id``.
        dead_letter: Buried messages; ``replayed_us`` is NULL until they are put back. ``entry_id``:
            how another database named what it gave up, else NULL.
        heartbeat: The last word of each worker; ``body`` is JSON.
        revoke: Tasks that must not start.

    Args:
        namespace: What the tables' names begin with.
        place: The schema of the database that they are in; None where there are no schemas.
    """

    def __init__(self, namespace: str, *, place: str | None = None) -> None:
        metadata = MetaData(schema=place)
        self.namespace = namespace
        self.metadata = metadata
        self.message = _message(metadata, f"{namespace}_message")
        self.binding = _binding(metadata, f"{namespace}_binding")
        self.queue = _queue(metadata, f"{namespace}_queue")
        self.task = _task(metadata, f"{namespace}_task")
        self.event = _event(metadata, f"{namespace}_event")
        self.dead_letter = _dead_letter(metadata, f"{namespace}_dead_letter")
        self.heartbeat = _heartbeat(metadata, f"{namespace}_heartbeat")
        self.revoke = _revoke(metadata, f"{namespace}_revoke")


def _message(metadata: MetaData, name: str) -> Table:
    table = Table(
        name,
        metadata,
        Column("id", _KEY, primary_key=True),
        Column("queue", Text, nullable=False),
        Column("state", Text, nullable=False),
        Column("priority", SmallInteger, nullable=False),
        Column("due_us", BigInteger, nullable=False),
        Column("until_us", BigInteger, nullable=False),
        Column("fence", BigInteger, nullable=False),
        Column("deliveries", Integer, nullable=False),
        Column("attempt", Integer, nullable=False),
        Column("generation", Integer, nullable=False),
        Column("owner", Text, nullable=False),
        Column("task_seq", BigInteger),
        Column("task_id", Text, nullable=False),
        Column("task", Text, nullable=False),
        Column("payload", LargeBinary, nullable=False),
        sqlite_autoincrement=True,
    )
    of = table.c
    # What stands last in an index here, and replayed_us below, is there so that counting never reads
    # the rows; state too, which SQLite would look up to be sure.
    _partial_index(
        f"{name}_ready", of.queue, of.priority.desc(), of.id, of.due_us, of.state, where=of.state == READY
    )
    _partial_index(f"{name}_delayed", of.queue, of.due_us, of.state, where=of.state == DELAYED)
    _partial_index(f"{name}_leased", of.queue, of.id, of.until_us, of.state, where=of.state == LEASED)
    _partial_index(f"{name}_task_seq", of.task_seq, where=of.task_seq.is_not(None))
    _partial_index(f"{name}_task_id", of.task_id, where=of.task_seq.is_(None))
    Index(f"{name}_queue", of.queue, of.id)
    return table


def _partial_index(name: str, *columns: ColumnElement[Any], where: ColumnElement[bool]) -> None:
    Index(name, *columns, sqlite_where=where, postgresql_where=where)


def _binding(metadata: MetaData, name: str) -> Table:
    table = Table(
        name,
        metadata,
        Column("exchange", Text, primary_key=True),
        Column("routing_key", Text, primary_key=True),
        Column("pattern", Text, primary_key=True),
        Column("queue", Text, primary_key=True),
    )
    Index(f"{name}_queue", table.c.queue)
    return table


def _queue(metadata: MetaData, name: str) -> Table:
    return Table(
        name,
        metadata,
        Column("name", Text, primary_key=True),
        Column("paused", Boolean, nullable=False),
        Column("idle_us", BigInteger),
        Column("used_us", BigInteger, nullable=False),
    )


def _task(metadata: MetaData, name: str) -> Table:
    table = Table(
        name,
        metadata,
        Column("seq", _KEY, primary_key=True),
        Column("id", Text, nullable=False, unique=True),
        Column("name", Text, nullable=False),
        Column("queue", Text, nullable=False),
        Column("state", Text, nullable=False),
        Column("attempt", Integer, nullable=False),
        Column("deliveries", Integer, nullable=False),
        Column("generation", Integer, nullable=False),
        Column("worker", Text, nullable=False),
        Column("token", Text, nullable=False),
        Column("fence", BigInteger, nullable=False),
        Column("sent_us", BigInteger, nullable=False),
        Column("updated_us", BigInteger, nullable=False),
        Column("started_us", BigInteger),
        Column("finished_us", BigInteger),
        Column("runtime_s", Float),
        Column("ttl_us", BigInteger, nullable=False),
        Column("expires_us", BigInteger),
        Column("root_id", Text),
        Column("parent_id", Text),
        Column("group_id", Text),
        Column("error", Text),
        Column("progress", Text),
        Column("result", Text),
        sqlite_autoincrement=True,
    )
    of = table.c
    # Pages are read from this one, whatever they are restricted by, without a look at the rows
    # that do not fit; an index for each column would make every change of state twice as dear.
    Index(f"{name}_updated", of.updated_us, of.seq, of.queue, of.state, of.name, of.worker)
    # What operators look for are the few that did not succeed.
    _partial_index(f"{name}_state", of.state, of.updated_us, of.seq, where=of.state != SUCCEEDED)
    _partial_index(f"{name}_expires", of.expires_us, where=of.expires_us.is_not(None))
    return table


def _event(metadata: MetaData, name: str) -> Table:
    table = Table(
        name,
        metadata,
        Column("id", _KEY, primary_key=True),
        Column("task_seq", BigInteger, nullable=False),
        Column("at_us", BigInteger, nullable=False),
        Column("kind", Text, nullable=False),
        Column("attempt", Integer, nullable=False),
        Column("worker", Text, nullable=False),
        Column("detail", Text, nullable=False),
        sqlite_autoincrement=True,
    )
    Index(f"{name}_task", table.c.task_seq, table.c.id)
    return table


def _dead_letter(metadata: MetaData, name: str) -> Table:
    table = Table(
        name,
        metadata,
        Column("id", _KEY, primary_key=True),
        Column("queue", Text, nullable=False),
        Column("task_id", Text, nullable=False),
        Column("task", Text, nullable=False),
        Column("reason", Text, nullable=False),
        Column("detail", Text, nullable=False),
        Column("attempt", Integer, nullable=False),
        Column("deliveries", Integer, nullable=False),
        Column("generation", Integer, nullable=False),
        Column("priority", SmallInteger, nullable=False),
        Column("fence", BigInteger, nullable=False),
        Column("dead_us", BigInteger, nullable=False),
        Column("replayed_us", BigInteger),
        Column("facts", Text, nullable=False),
        Column("payload", LargeBinary, nullable=False),
        Column("entry_id", Text, unique=True),
        sqlite_autoincrement=True,
    )
    of = table.c
    Index(f"{name}_queue", of.queue, of.id, of.replayed_us)
    for column in ("task", "task_id", "reason"):
        Index(f"{name}_{column}", of[column], of.id)
    return table


def _heartbeat(metadata: MetaData, name: str) -> Table:
    return Table(
        name,
        metadata,
        Column("worker_id", Text, primary_key=True),
        Column("boot_id", Text, nullable=False),
        Column("expires_us", BigInteger, nullable=False),
        Column("body", Text, nullable=False),
    )


def _revoke(metadata: MetaData, name: str) -> Table:
    table = Table(
        name,
        metadata,
        Column("task_id", Text, primary_key=True),
        Column("reason", Text, nullable=False),
        Column("terminate", Boolean, nullable=False),
        Column("revoked_us", BigInteger, nullable=False),
        Column("expires_us", BigInteger, nullable=False),
        Column("actor", Text, nullable=False),
    )
    Index(f"{name}_expires", table.c.expires_us)
    return table


def next_fence(message: Table) -> ColumnElement[int]:
    """Return what a lease sets a message's fence to.

    It grows with every lease of the message, and a message that is published later
    begins above every fence of an earlier one with the same task id.
    """
    of = message.c
    first = of.id * FENCES_PER_MESSAGE + 1
    return case((of.fence < first, first), else_=of.fence + 1)
