"""Publishing within a transaction that is somebody else's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import Connection, event
from sqlalchemy.orm import Session

from stem.adapters.sql.database import Transaction
from stem.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stem.adapters.sql.database import Database
    from stem.adapters.sql.tables import Tables
    from stem.ports.broker import Publication


def publish_in(
    database: Database, tables: Tables, caller: object, publications: Sequence[Publication]
) -> list[bool]:
    """Store messages and records within the transaction of ``caller``, which ends it.

    Raises:
        ConfigurationError: It is not a SQLAlchemy connection to this database with a transaction.
        StoreError: Nothing was stored; the caller has to roll back.
    """
    connection = caller.connection() if isinstance(caller, Session) else caller
    if not isinstance(connection, Connection):
        raise _refusal(f"expected a SQLAlchemy Connection or Session, got {type(caller).__name__}")
    # On a connection of ours: the tables are not part of the caller's transaction.
    with database.read("publish"):
        pass
    with database.translated("publish"):
        problem = database.dialect.join(connection)
        if problem is not None:
            raise _refusal(problem)
        transaction = Transaction(connection, database.dialect.now_us(connection))
        answers = tables.publish(transaction, publications)
    if transaction.bells:

        def ring(_: Connection) -> None:
            database.ring(transaction.bells)

        # Rung as the commit begins. Whoever hears it too early looks once more a moment later.
        event.listen(connection, "commit", ring, once=True)
    return answers


def _refusal(problem: str) -> ConfigurationError:
    return ConfigurationError(problems=[f"enqueue_in: {problem}"])
