"""A published task, seen from outside."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar, cast

from stem import codecs
from stem.errors import ResultTimeoutError, TaskCancelledError, TaskFailedError
from stem.states import TaskState

if TYPE_CHECKING:
    from collections.abc import Callable

    from stem.clock import Clock
    from stem.ports.broker import QueueAdmin
    from stem.ports.results import Results, TaskRecord
    from stem.ports.revokes import Revokes

R = TypeVar("R", covariant=True)

_LONGEST_WAIT_S = 1.0


class TaskStores(Protocol):
    """Where a handle looks; opened on first use."""

    @property
    def results(self) -> Results:
        """The task records."""
        ...

    @property
    def queues(self) -> QueueAdmin:
        """The queues, to take waiting messages out of."""
        ...

    @property
    def revokes(self) -> Revokes:
        """The revocations."""
        ...

    @property
    def clock(self) -> Clock:
        """For deadlines."""
        ...

    @property
    def revoke_ttl(self) -> timedelta:
        """How long a revocation is kept."""
        ...


def _same(value: object) -> object:
    return value


class Handle(Generic[R]):
    """A published task: its state, its result, and how to stop it. Any thread.

    Args:
        task_id: The task's id; it need not exist (yet).
        stores: Where to look.
        convert: Turns a decoded result into what the task is annotated to return.
    """

    __slots__ = ("_convert", "_stores", "id")

    def __init__(
        self, task_id: str, *, stores: TaskStores, convert: Callable[[object], object] = _same
    ) -> None:
        self.id = task_id
        self._stores = stores
        self._convert = convert

    def __repr__(self) -> str:
        return f"<Handle {self.id}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Handle) and self.id == str(other.id)

    def __hash__(self) -> int:
        return hash(self.id)

    @property
    def record(self) -> TaskRecord | None:
        """All that is stored about the task; None when nothing is (any more)."""
        return self._stores.results.get([self.id]).get(self.id)

    @property
    def state(self) -> TaskState | None:
        """Where the task stands; None when no such task is known."""
        record = self.record
        return None if record is None else record.state

    def ready(self) -> bool:
        """Return whether the task has ended."""
        state = self.state
        return state is not None and state.is_terminal

    def get(self, timeout: timedelta | float | None = None) -> R:
        """Wait for the task to end and return its result.

        Args:
            timeout: Seconds or a duration; None waits for ever.

        Raises:
            TaskFailedError: The task failed, or its message lies in the dead letters.
            TaskCancelledError: It was revoked, or it expired.
            ResultTimeoutError: It has not ended in time.
            StoreError: The result store does not answer.
        """
        return self._result(self._wait(timeout))

    async def aget(self, timeout: timedelta | float | None = None) -> R:
        """Wait like `get`, without blocking the event loop."""
        import asyncio  # costs 40 ms, which no other call needs

        return await asyncio.to_thread(self.get, timeout)

    def forget(self) -> bool:
        """Delete the task's record; return whether there was one of a task that has ended."""
        return self._stores.results.forget([self.id]) == 1

    def revoke(self, *, terminate: bool = False, reason: str = "revoked") -> None:
        """Order that the task must not start; it is cancelled where it waits.

        The order is stored before this returns.

        Args:
            terminate: Whether a running attempt is to be stopped as well.
            reason: For the record, one line.
        """
        stores = self._stores
        stores.revokes.revoke([self.id], reason=reason, ttl=stores.revoke_ttl, terminate=terminate)
        stores.queues.cancel([self.id], reason=reason)

    def _wait(self, timeout: timedelta | float | None) -> TaskRecord:
        limit = timeout if timeout is None or isinstance(timeout, timedelta) else timedelta(seconds=timeout)
        clock = self._stores.clock
        deadline_s = None if limit is None else clock.monotonic() + limit.total_seconds()
        while True:
            record = self.record
            if record is not None and record.state.is_terminal:
                return record
            left_s = _LONGEST_WAIT_S if deadline_s is None else deadline_s - clock.monotonic()
            if limit is not None and left_s <= 0:
                raise ResultTimeoutError(task_id=self.id, timeout=limit)
            self._stores.results.wait([self.id], timeout_s=min(left_s, _LONGEST_WAIT_S))

    def _result(self, record: TaskRecord) -> R:
        error = record.error
        if record.state is TaskState.FAILED:
            raise TaskFailedError(
                task_id=self.id,
                type=error.type if error else "unknown",
                message=error.message if error else "",
                traceback=error.traceback if error else "",
            )
        if record.state is TaskState.CANCELLED:
            raise TaskCancelledError(task_id=self.id, reason=error.message if error else "")
        value = None if record.result is None else codecs.loads(record.result)
        return cast("R", self._convert(value))
