"""What ``sqlite:`` URLs open, and the stack of every other database that speaks SQL."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stem.adapters.sql.broker import SqlBroker
from stem.adapters.sql.database import Database
from stem.adapters.sql.deadletters import SqlDeadLetters
from stem.adapters.sql.heartbeats import SqlHeartbeats
from stem.adapters.sql.location import read_location
from stem.adapters.sql.queues import SqlQueues
from stem.adapters.sql.results import SqlResults
from stem.adapters.sql.revokes import SqlRevokes
from stem.adapters.sql.sqlite import SqliteDialect
from stem.adapters.sql.tables import Tables
from stem.ports.stack import Stack

if TYPE_CHECKING:
    from stem.adapters.sql.dialect import Dialect
    from stem.clock import Clock
    from stem.ports.stack import OpenStack


def open_stack(url: str, *, namespace: str, clock: Clock) -> Stack:
    """Return every port on the database at ``url``; it connects on first use.

    Args:
        url: ``sqlite:///relative.db`` or ``sqlite:////absolute/path.db``, with the options
            ``synchronous=normal|full`` and ``busy_timeout=5s`` in the query.
        namespace: What the tables' names begin with.

    Raises:
        ConfigurationError: The URL or the namespace cannot be used, every problem at once.
    """
    location = read_location(url, namespace=namespace)
    dialect = SqliteDialect(location, clock=clock)
    return assemble(dialect, identity=location.address, namespace=namespace, clock=clock)


def assemble(dialect: Dialect, *, identity: str, namespace: str, clock: Clock) -> Stack:
    """Return every port on one database."""
    database = Database(dialect, namespace=namespace)
    tables = Tables(database)
    return Stack(
        identity=identity,
        close=database.close,
        broker=SqlBroker(database, tables, clock=clock),
        queues=SqlQueues(database, tables),
        dead_letters=SqlDeadLetters(database, tables),
        results=SqlResults(database, tables, clock=clock),
        heartbeats=SqlHeartbeats(database),
        revokes=SqlRevokes(database),
    )


if TYPE_CHECKING:
    _: OpenStack = open_stack
