"""The steps from an old schema to the newest, by alembic. Imported only when there are any."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from stem.adapters.sql.schema import HEAD, version_table
from stem.errors import StoreVersionError

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from stem.adapters.sql.dialect import Dialect

MIGRATIONS: Final = Path(__file__).parent / "migrations"


def upgrade(connection: Connection, *, dialect: Dialect, current: str | None, namespace: str) -> None:
    """Make the missing steps.

    Args:
        connection: In a transaction, which is left open.
        current: The revision that was found; None when there are no tables yet.

    Raises:
        StoreVersionError: ``current`` is none that this release knows.
    """
    history = ScriptDirectory(str(MIGRATIONS))
    if current is not None and current not in {step.revision for step in history.walk_revisions()}:
        raise StoreVersionError(
            server=dialect.address,
            operation="migrate",
            reason=f"the schema is at revision {current}, this release knows revisions up to {HEAD}",
            remedy="use the release of Stem that made it, or a newer one",
        )
    # The steps name tables only; where those are, the database knows.
    if dialect.schema is not None:
        connection = connection.execution_options(schema_translate_map={None: dialect.schema})
    context = MigrationContext.configure(
        connection,
        opts={"version_table": version_table(namespace), "version_table_schema": dialect.schema},
    )
    operations = Operations(context)
    for step in reversed(list(history.iterate_revisions("head", current or "base"))):
        step.module.upgrade(operations, namespace)
    context.stamp(history, "head")
