"""Bring the schema to the newest revision, or refuse.

The revision is read with a plain SELECT, since alembic takes half a second to
import and is not needed when there is nothing to do. The steps run in one
transaction: of several processes that find an old schema at once, one makes
them while the others wait for its lock, and one that is killed leaves nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import column, inspect, select, table

from stem.adapters.sql.schema import HEAD, version_table

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from stem.adapters.sql.dialect import Dialect


def ensure_schema(connection: Connection, *, dialect: Dialect, namespace: str) -> None:
    """Leave the schema of ``namespace`` at `HEAD`.

    Args:
        connection: Outside of a transaction.

    Raises:
        StoreVersionError: The schema was made by a newer release.
    """
    if _revision(connection, namespace, dialect.schema) == HEAD:
        return
    # Before the lock is taken: nobody should wait for an import.
    from stem.adapters.sql.upgrade import upgrade

    dialect.begin_migration(connection)
    try:
        # Read again: who held the lock before us may have made the steps.
        current = _revision(connection, namespace, dialect.schema)
        if current != HEAD:
            upgrade(connection, dialect=dialect, current=current, namespace=namespace)
    except BaseException:
        connection.rollback()
        raise
    connection.commit()


def _revision(connection: Connection, namespace: str, schema: str | None) -> str | None:
    name = version_table(namespace)
    if not inspect(connection).has_table(name, schema=schema):
        return None
    versions = table(name, column("version_num"), schema=schema)
    return connection.execute(select(versions.c.version_num)).scalar()
