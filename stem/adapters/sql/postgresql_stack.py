"""What ``postgresql:`` and ``postgres:`` URLs open."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stem.adapters.sql.postgresql import PostgresqlDialect
from stem.adapters.sql.server import read_server
from stem.adapters.sql.stack import assemble

if TYPE_CHECKING:
    from stem.clock import Clock
    from stem.ports.stack import OpenStack, Stack


def open_stack(url: str, *, namespace: str, clock: Clock) -> Stack:
    """Return every port on the database at ``url``; it connects on first use.

    Leases lapse and messages become due by the server's clock; ``clock`` is for waiting.

    Args:
        url: ``postgresql://user:password@host:5432/database``, with the options ``schema=public`` and
            ``listen=on|off`` in the query, and libpq's own on reaching the server (``sslmode``,
            ``connect_timeout``, ``host`` for the directory of a socket ...). Several hosts, separated by
            commas, are tried in order.
        namespace: What the tables' names begin with.

    Raises:
        ConfigurationError: The URL or the namespace cannot be used, every problem at once.
    """
    server = read_server(url, namespace=namespace)
    dialect = PostgresqlDialect(server, namespace=namespace, clock=clock)
    return assemble(dialect, identity=server.identity, namespace=namespace, clock=clock)


if TYPE_CHECKING:
    _: OpenStack = open_stack
