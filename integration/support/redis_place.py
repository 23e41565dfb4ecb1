"""Places on a real Redis server: each test has a prefix of its own, and nothing is left behind."""

from __future__ import annotations

import os
import uuid
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import urlsplit, urlunsplit

from redis import Redis

from stem.adapters.redis.location import read_location
from stem.adapters.redis.stack import open_at_given_time
from stem.testing.contracts import ClockedHarness

if TYPE_CHECKING:
    from collections.abc import Callable

    from stem.ports.stack import OpenStack

SERVER = os.environ.get("STEM_TEST_REDIS_URL", "redis://127.0.0.1:6379/9")
PLAIN_DATABASE = 11
NAMESPACES = ("contract:", "other:")
"""What the keys of the contract suites' namespaces begin with."""

Change: TypeAlias = "Callable[[OpenStack], OpenStack]"


class RedisPlace:
    """A part of the server that is this test's alone.

    Args:
        prefixed: Whether its keys have a prefix of their own; without one they are in a database
            that only such tests use.
    """

    def __init__(self, *, prefixed: bool = True) -> None:
        self.prefix = f"stem-test-{uuid.uuid4().hex[:12]}:" if prefixed else ""
        split = urlsplit(SERVER)
        query = f"prefix={self.prefix}" if prefixed else ""
        path = split.path if prefixed else f"/{PLAIN_DATABASE}"
        self.url = urlunsplit(split._replace(path=path, query="&".join(filter(None, (split.query, query)))))
        self.location = read_location(self.url, namespace="stem")
        self.close()

    def harness(self, change: Change = lambda open_stack: open_stack) -> ClockedHarness:
        """Return a harness that moves the server's time, for an adapter changed in some way."""
        return ClockedHarness(change(open_at_given_time), self.url)

    def client(self) -> Any:
        """Return a plain client, to look behind the adapter's back."""
        return Redis.from_url(urlunsplit(urlsplit(self.url)._replace(query="")))

    def close(self) -> None:
        """Delete what is here."""
        for prefix in [self.prefix] if self.prefix else NAMESPACES:
            self._sweep(prefix)

    def _sweep(self, prefix: str) -> None:
        with self.client() as redis:
            keys = redis.scan_iter(match=f"{prefix}*", count=1000)
            while batch := list(islice(keys, 500)):
                redis.unlink(*batch)
