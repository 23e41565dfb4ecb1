"""Schemas on a real PostgreSQL server, made for a test and dropped after it."""

from __future__ import annotations

import os
import uuid
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import psycopg

from stem.adapters.sql.postgresql import PostgresqlDialect
from stem.adapters.sql.rows import micros
from stem.adapters.sql.server import read_server
from stem.adapters.sql.stack import assemble
from stem.testing.contracts.harness import ClockedHarness

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Connection

    from stem.clock import Clock
    from stem.ports.stack import OpenStack, Stack

SERVER = os.environ.get("STEM_TEST_POSTGRES_URL", "postgresql://postgres@127.0.0.1:5432/test")


class GivenTimeDialect(PostgresqlDialect):
    """PostgreSQL whose clock is the one that the stack is given, so that tests can move it."""

    def now_us(self, connection: Connection) -> int:
        """Return the given clock's time."""
        return micros(self._clock.wall())


def open_at_given_time(url: str, *, namespace: str, clock: Clock) -> Stack:
    """Open a stack that counts by ``clock`` instead of the server's."""
    server = read_server(url, namespace=namespace)
    dialect = GivenTimeDialect(server, namespace=namespace, clock=clock)
    return assemble(dialect, identity=server.identity, namespace=namespace, clock=clock)


class PostgresqlPlace:
    """One schema that is this test's alone."""

    def __init__(self) -> None:
        self.schema = f"stem_test_{uuid.uuid4().hex[:12]}"
        self.url = self.with_options()

    def with_options(self, **options: str) -> str:
        """Return the place's URL with options."""
        split = urlsplit(SERVER)
        query = {
            **dict(parse_qsl(split.query)),
            "schema": self.schema,
            "application_name": self.schema,
            **options,
        }
        return urlunsplit(split._replace(query=urlencode(query)))

    def connect(self) -> psycopg.Connection[Any]:
        """Return a plain connection whose statements find this schema's tables."""
        connection: psycopg.Connection[Any] = psycopg.connect(SERVER, autocommit=True)
        connection.execute(f"SET search_path TO {self.schema}".encode())
        return connection

    def harness(
        self, change: Callable[[OpenStack], OpenStack] = lambda open_stack: open_stack
    ) -> ClockedHarness:
        """Return a harness on the place, emptied, for an adapter changed in some way."""
        self.empty()
        return ClockedHarness(change(open_at_given_time), self.url)

    def empty(self) -> None:
        """Delete every row."""
        with self.connect() as connection:
            found = connection.execute(
                "SELECT tablename FROM pg_tables WHERE schemaname = %s", [self.schema]
            ).fetchall()
            names = [name for (name,) in found if not name.endswith("_schema_version")]
            connection.execute("; ".join(f"DELETE FROM {name}" for name in names).encode())

    def drop(self) -> None:
        """Delete the schema."""
        with self.connect() as connection:
            connection.execute(f"DROP SCHEMA IF EXISTS {self.schema} CASCADE".encode())

    def terminate(self) -> int:
        """End every connection that Stem has to the server; return how many."""
        with self.connect() as connection:
            rows = connection.execute(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
                "WHERE application_name = %s AND pid <> pg_backend_pid()",
                [self.schema],
            ).fetchall()
        return len(rows)
