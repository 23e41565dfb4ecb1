"""What ``redis:``, ``rediss:`` and ``sentinel:`` URLs open."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stem.adapters.redis.broker import RedisBroker
from stem.adapters.redis.database import Database
from stem.adapters.redis.deadletters import RedisDeadLetters
from stem.adapters.redis.heartbeats import RedisHeartbeats
from stem.adapters.redis.location import read_location
from stem.adapters.redis.queues import RedisQueues
from stem.adapters.redis.results import RedisResults
from stem.adapters.redis.revokes import RedisRevokes
from stem.ports.stack import Stack

if TYPE_CHECKING:
    from stem.clock import Clock
    from stem.ports.stack import OpenStack


def open_stack(url: str, *, namespace: str, clock: Clock) -> Stack:
    """Return every port on the database at ``url``; it connects on first use.

    Args:
        url: ``redis://[user:password@]host[:port][/number]``, ``rediss://`` for TLS, or
            ``sentinel://host:port,host:port/number?master=name``. Options in the query:
            ``prefix``, ``timeout=10s``, ``connect_timeout=5s``, ``visibility_timeout=1h`` (that of
            the Celery workers on the same queues), ``sentinel_username``, ``sentinel_password``,
            ``ssl_ca_certs``, ``ssl_certfile``, ``ssl_keyfile``, ``ssl_cert_reqs``, ``ssl_check_hostname``.
        namespace: ``stem`` shares kombu's queues; see `stem.adapters.redis.names`.

    Raises:
        ConfigurationError: The URL or the namespace cannot be used, every problem at once.
    """
    location = read_location(url, namespace=namespace)
    return stack_on(Database(location, namespace=namespace), clock=clock)


def open_at_given_time(url: str, *, namespace: str, clock: Clock) -> Stack:
    """Return the same, with the given clock in place of the server's, for tests that move time."""
    location = read_location(url, namespace=namespace)
    return stack_on(Database(location, namespace=namespace, wall=clock.wall), clock=clock)


def stack_on(database: Database, *, clock: Clock) -> Stack:
    """Return every port on ``database``."""
    return Stack(
        identity=database.address,
        close=database.close,
        broker=RedisBroker(database, clock=clock),
        queues=RedisQueues(database, clock=clock),
        dead_letters=RedisDeadLetters(database),
        results=RedisResults(database, clock=clock),
        heartbeats=RedisHeartbeats(database),
        revokes=RedisRevokes(database),
    )


if TYPE_CHECKING:
    _: OpenStack = open_stack
