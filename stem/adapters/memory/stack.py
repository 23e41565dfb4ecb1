"""The adapter for ``memory:`` URLs."""

from __future__ import annotations

import re
import uuid
from functools import cache
from threading import Lock
from typing import TYPE_CHECKING, Final
from weakref import WeakValueDictionary

from stem.adapters.memory.broker import MemoryBroker
from stem.adapters.memory.database import Database
from stem.adapters.memory.deadletters import MemoryDeadLetters
from stem.adapters.memory.heartbeats import MemoryHeartbeats
from stem.adapters.memory.queues import MemoryQueues
from stem.adapters.memory.results import MemoryResults
from stem.adapters.memory.revokes import MemoryRevokes
from stem.errors import ConfigurationError
from stem.ports.stack import Stack

if TYPE_CHECKING:
    from stem.clock import Clock
    from stem.ports.stack import OpenStack

_URL: Final = re.compile(r"memory://([A-Za-z0-9._-]{0,100})/?")
_NAMESPACE: Final = re.compile(r"[a-z][a-z0-9_]{0,29}")
_OPENING: Final = Lock()


def open_stack(url: str, *, namespace: str, clock: Clock) -> Stack:
    """Return the stack behind a ``memory:`` URL.

    ``memory://name`` is shared by all who open that name in this process, as
    long as one of their stacks, or a port of one, is referenced;
    ``memory://`` is private.

    Raises:
        ConfigurationError: The URL or the namespace cannot be used.
    """
    found = _URL.fullmatch(url)
    problems: list[str] = []
    if found is None:
        problems.append("memory URL: expected memory:// or memory://name, without options or credentials")
    if not _NAMESPACE.fullmatch(namespace):
        problems.append(
            f"namespace: expected a letter, then up to 29 lower-case letters, digits and _, got {namespace!r}"
        )
    if found is None or problems:
        raise ConfigurationError(problems=problems)
    # Two private databases must not pass for one, hence the id.
    name = found[1] or f"private-{uuid.uuid4()}"
    return _stack(_database(name, namespace), clock=clock, identity=f"memory://{name}")


def _database(name: str, namespace: str) -> Database:
    with _OPENING:
        return _databases().setdefault((name, namespace), Database())


@cache
def _databases() -> WeakValueDictionary[tuple[str, str], Database]:
    return WeakValueDictionary()


def _stack(database: Database, *, clock: Clock, identity: str) -> Stack:
    return Stack(
        identity=identity,
        close=lambda: None,
        broker=MemoryBroker(database=database, clock=clock, address=identity),
        queues=MemoryQueues(database=database, clock=clock),
        dead_letters=MemoryDeadLetters(database=database, clock=clock),
        results=MemoryResults(database=database, clock=clock),
        heartbeats=MemoryHeartbeats(database=database, clock=clock),
        revokes=MemoryRevokes(database=database, clock=clock),
    )


if TYPE_CHECKING:
    _: OpenStack = open_stack
