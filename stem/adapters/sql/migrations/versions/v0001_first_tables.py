"""Make the first tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlalchemy as sa

if TYPE_CHECKING:
    from alembic.operations import Operations

revision = "0001"
down_revision = None

_KEY = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade(op: Operations, namespace: str) -> None:
    """Make the tables of ``namespace``."""
    _message(op, f"{namespace}_message")
    _binding(op, f"{namespace}_binding")
    _queue(op, f"{namespace}_queue")
    _task(op, f"{namespace}_task")
    _event(op, f"{namespace}_event")
    _dead_letter(op, f"{namespace}_dead_letter")
    _heartbeat(op, f"{namespace}_heartbeat")
    _revoke(op, f"{namespace}_revoke")


def _message(op: Operations, name: str) -> None:
    op.create_table(
        name,
        sa.Column("id", _KEY, primary_key=True),
        sa.Column("queue", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("priority", sa.SmallInteger, nullable=False),
        sa.Column("due_us", sa.BigInteger, nullable=False),
        sa.Column("until_us", sa.BigInteger, nullable=False),
        sa.Column("fence", sa.BigInteger, nullable=False),
        sa.Column("deliveries", sa.Integer, nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("generation", sa.Integer, nullable=False),
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("task_seq", sa.BigInteger),
        sa.Column("task_id", sa.Text, nullable=False),
        sa.Column("task", sa.Text, nullable=False),
        sa.Column("payload", sa.LargeBinary, nullable=False),
        sqlite_autoincrement=True,
    )
    ready = sa.text("state = 'ready'")
    delayed = sa.text("state = 'delayed'")
    leased = sa.text("state = 'leased'")
    op.create_index(
        f"{name}_ready",
        name,
        ["queue", sa.text("priority DESC"), "id", "due_us", "state"],
        sqlite_where=ready,
        postgresql_where=ready,
    )
    op.create_index(
        f"{name}_delayed", name, ["queue", "due_us", "state"], sqlite_where=delayed, postgresql_where=delayed
    )
    op.create_index(
        f"{name}_leased",
        name,
        ["queue", "id", "until_us", "state"],
        sqlite_where=leased,
        postgresql_where=leased,
    )
    recorded = sa.text("task_seq IS NOT NULL")
    unrecorded = sa.text("task_seq IS NULL")
    op.create_index(f"{name}_task_seq", name, ["task_seq"], sqlite_where=recorded, postgresql_where=recorded)
    op.create_index(
        f"{name}_task_id", name, ["task_id"], sqlite_where=unrecorded, postgresql_where=unrecorded
    )
    op.create_index(f"{name}_queue", name, ["queue", "id"])


def _binding(op: Operations, name: str) -> None:
    op.create_table(
        name,
        sa.Column("exchange", sa.Text, primary_key=True),
        sa.Column("routing_key", sa.Text, primary_key=True),
        sa.Column("pattern", sa.Text, primary_key=True),
        sa.Column("queue", sa.Text, primary_key=True),
    )
    op.create_index(f"{name}_queue", name, ["queue"])


def _queue(op: Operations, name: str) -> None:
    op.create_table(
        name,
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("paused", sa.Boolean, nullable=False),
        sa.Column("idle_us", sa.BigInteger),
        sa.Column("used_us", sa.BigInteger, nullable=False),
    )


def _task(op: Operations, name: str) -> None:
    op.create_table(
        name,
        sa.Column("seq", _KEY, primary_key=True),
        sa.Column("id", sa.Text, nullable=False, unique=True),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("queue", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("deliveries", sa.Integer, nullable=False),
        sa.Column("generation", sa.Integer, nullable=False),
        sa.Column("worker", sa.Text, nullable=False),
        sa.Column("token", sa.Text, nullable=False),
        sa.Column("fence", sa.BigInteger, nullable=False),
        sa.Column("sent_us", sa.BigInteger, nullable=False),
        sa.Column("updated_us", sa.BigInteger, nullable=False),
        sa.Column("started_us", sa.BigInteger),
        sa.Column("finished_us", sa.BigInteger),
        sa.Column("runtime_s", sa.Float),
        sa.Column("ttl_us", sa.BigInteger, nullable=False),
        sa.Column("expires_us", sa.BigInteger),
        sa.Column("root_id", sa.Text),
        sa.Column("parent_id", sa.Text),
        sa.Column("group_id", sa.Text),
        sa.Column("error", sa.Text),
        sa.Column("progress", sa.Text),
        sa.Column("result", sa.Text),
        sqlite_autoincrement=True,
    )
    op.create_index(f"{name}_updated", name, ["updated_us", "seq", "queue", "state", "name", "worker"])
    open_or_bad = sa.text("state != 'succeeded'")
    op.create_index(
        f"{name}_state",
        name,
        ["state", "updated_us", "seq"],
        sqlite_where=open_or_bad,
        postgresql_where=open_or_bad,
    )
    ended = sa.text("expires_us IS NOT NULL")
    op.create_index(f"{name}_expires", name, ["expires_us"], sqlite_where=ended, postgresql_where=ended)


def _event(op: Operations, name: str) -> None:
    op.create_table(
        name,
        sa.Column("id", _KEY, primary_key=True),
        sa.Column("task_seq", sa.BigInteger, nullable=False),
        sa.Column("at_us", sa.BigInteger, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("worker", sa.Text, nullable=False),
        sa.Column("detail", sa.Text, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index(f"{name}_task", name, ["task_seq", "id"])


def _dead_letter(op: Operations, name: str) -> None:
    op.create_table(
        name,
        sa.Column("id", _KEY, primary_key=True),
        sa.Column("queue", sa.Text, nullable=False),
        sa.Column("task_id", sa.Text, nullable=False),
        sa.Column("task", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("detail", sa.Text, nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("deliveries", sa.Integer, nullable=False),
        sa.Column("generation", sa.Integer, nullable=False),
        sa.Column("priority", sa.SmallInteger, nullable=False),
        sa.Column("fence", sa.BigInteger, nullable=False),
        sa.Column("dead_us", sa.BigInteger, nullable=False),
        sa.Column("replayed_us", sa.BigInteger),
        sa.Column("facts", sa.Text, nullable=False),
        sa.Column("payload", sa.LargeBinary, nullable=False),
        sa.Column("entry_id", sa.Text, unique=True),
        sqlite_autoincrement=True,
    )
    op.create_index(f"{name}_queue", name, ["queue", "id", "replayed_us"])
    for column in ("task", "task_id", "reason"):
        op.create_index(f"{name}_{column}", name, [column, "id"])


def _heartbeat(op: Operations, name: str) -> None:
    op.create_table(
        name,
        sa.Column("worker_id", sa.Text, primary_key=True),
        sa.Column("boot_id", sa.Text, nullable=False),
        sa.Column("expires_us", sa.BigInteger, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
    )


def _revoke(op: Operations, name: str) -> None:
    op.create_table(
        name,
        sa.Column("task_id", sa.Text, primary_key=True),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("terminate", sa.Boolean, nullable=False),
        sa.Column("revoked_us", sa.BigInteger, nullable=False),
        sa.Column("expires_us", sa.BigInteger, nullable=False),
        sa.Column("actor", sa.Text, nullable=False),
    )
    op.create_index(f"{name}_expires", name, ["expires_us"])
