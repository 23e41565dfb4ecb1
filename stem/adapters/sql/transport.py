"""A Kombu transport on the message tables: exchanges, fan-out, priorities, delays, leases.

``kombu.Connection("stem-sqlite:////path.db")`` after `register`, or without it
``kombu.Connection("sqlite:////path.db", transport="stem.adapters.sql.transport:Transport")``.
The URL takes the options of `stem.adapters.sql.stack.open_stack`; ``namespace`` and
``visibility_timeout`` (seconds) are transport options.
"""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Any, Final

from kombu.transport import TRANSPORT_ALIASES, virtual

from stem.adapters.sql.channel import Channel
from stem.adapters.sql.database import Database
from stem.adapters.sql.foreign import ForeignQueues
from stem.adapters.sql.location import read_location
from stem.adapters.sql.sqlite import SqliteDialect
from stem.clock import SystemClock
from stem.errors import StoreError, StoreUnavailableError

if TYPE_CHECKING:
    from stem.clock import Clock

# Kombu is not typed, and what checkers infer of its classes is narrower than what they mean.
_Transport: Any = virtual.Transport

ALIAS: Final = "stem-sqlite"
"""The URL scheme that `register` gives to Kombu."""


def register() -> None:
    """Let Kombu's and Celery's URLs name the transport ``stem-sqlite``. May be called twice."""
    TRANSPORT_ALIASES[ALIAS] = f"{__name__}:{Transport.__name__}"


class Transport(_Transport):  # type: ignore[misc] # see above
    """Kombu's connection to one database file.

    Attributes:
        clock: What leases and delays go by.
    """

    clock: Clock = SystemClock()
    Channel = Channel
    can_parse_url = True
    polling_interval: float = 0.05
    driver_type = "sql"
    driver_name = "sqlite3"
    implements = _Transport.implements.extend(exchange_type=frozenset(["direct", "topic", "fanout"]))
    connection_errors = (*_Transport.connection_errors, StoreUnavailableError)
    recoverable_connection_errors = connection_errors
    recoverable_channel_errors = ()
    channel_errors = (*_Transport.channel_errors, StoreError)

    def __init__(self, client: Any, **options: Any) -> None:
        super().__init__(client, **options)
        namespace = client.transport_options.get("namespace", "stem")
        location = read_location(_url(client.hostname), namespace=namespace)
        database = Database(SqliteDialect(location, clock=self.clock), namespace=namespace)
        self.queues = ForeignQueues(database, clock=self.clock)

    def establish_connection(self) -> Transport:
        """Connect, so that a database that cannot be used shows at once."""
        self.queues.check()
        super().establish_connection()
        return self

    def close_connection(self, connection: object) -> None:
        """Give back what is not settled, and free the connections."""
        super().close_connection(connection)
        self.queues.close()

    def driver_version(self) -> str:
        """Return SQLite's version."""
        return sqlite3.sqlite_version


def _url(hostname: str | None) -> str:
    scheme, separator, rest = (hostname or "").partition("://")
    return f"sqlite://{rest}" if separator else f"sqlite:///{scheme}"
