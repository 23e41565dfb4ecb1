"""What a contract suite asks of whoever runs it on an adapter."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

from stem.testing.clock import ManualClock

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    from stem.ports.stack import OpenStack, Stack

NAMESPACE = "contract"
"""The namespace that harnesses open unless told otherwise."""


class StackHarness(Protocol):
    """One empty database, and power over its clock."""

    @property
    def stack(self) -> Stack:
        """The stack under test, opened in `NAMESPACE`."""
        ...

    def now(self) -> datetime:
        """Return the time by the store's clock, aware."""
        ...

    def let_pass(self, duration: timedelta) -> None:
        """Let the store's clock go on by ``duration``: move its clock, or shift its rows."""
        ...

    def reopen(self, *, namespace: str = NAMESPACE) -> Stack:
        """Return a stack of its own on the same database, as another process would open it."""
        ...

    def publish_raw(self, queue: str, payload: str) -> None:
        """Put ``payload`` into ``queue`` as a foreign producer would (feature ``publish_raw``)."""
        ...

    def close(self) -> None:
        """Close every stack that was opened."""
        ...


@runtime_checkable
class TakesRaw(Protocol):
    """A broker that stores a payload as it is, known ids and garbage alike."""

    def publish_raw(self, queue: str, payload: str) -> None:
        """Store ``payload``, ready to be leased."""
        ...


class ClockedHarness:
    """A harness for adapters that keep the time of the clock they are given.

    Args:
        open_stack: The adapter.
        url: Of an empty database that several stacks can share.
    """

    def __init__(self, open_stack: OpenStack, url: str) -> None:
        self.clock = ManualClock()
        self._open_stack = open_stack
        self._url = url
        self._opened: list[Stack] = []
        self._stack = self.reopen()

    @property
    def stack(self) -> Stack:
        """The stack under test."""
        return self._stack

    def now(self) -> datetime:
        """Return what the clock says."""
        return self.clock.wall()

    def let_pass(self, duration: timedelta) -> None:
        """Advance the clock."""
        self.clock.advance(duration)

    def reopen(self, *, namespace: str = NAMESPACE) -> Stack:
        """Return another stack on the same database and clock."""
        stack = self._open_stack(self._url, namespace=namespace, clock=self.clock)
        self._opened.append(stack)
        return stack

    def publish_raw(self, queue: str, payload: str) -> None:
        """Put ``payload`` into ``queue`` as it is."""
        _raw(self._stack.broker).publish_raw(queue, payload)

    def close(self) -> None:
        """Close every stack that was opened."""
        for stack in self._opened:
            stack.close()


def _raw(broker: object) -> TakesRaw:
    if not isinstance(broker, TakesRaw):
        raise NotImplementedError("the adapter takes no raw payloads; say so in the suite's lacks")
    return broker


if TYPE_CHECKING:

    def _(harness: ClockedHarness) -> StackHarness:
        return harness
