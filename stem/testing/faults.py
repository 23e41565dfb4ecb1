"""Make calls to a stack fail, before or after they took effect.

A network fails in two ways that a caller cannot tell apart: the call never
arrived, or it was carried out and the reply was lost. Code that talks to a
store is right only if it is right in both cases.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import partial
from random import Random
from threading import Lock
from typing import TYPE_CHECKING, Any, Final, cast

from stem.errors import StoreUnavailableError
from stem.ports.broker import Broker, LeaseSource, QueueAdmin
from stem.ports.deadletters import DeadLetterOutlet, DeadLetters
from stem.ports.heartbeats import Heartbeats
from stem.ports.results import Results
from stem.ports.revokes import Revokes

if TYPE_CHECKING:
    from collections.abc import Callable

    from stem.ports.stack import Stack

PORTS: Final[dict[str, type]] = {
    "broker": Broker,
    "source": LeaseSource,
    "queues": QueueAdmin,
    "dead_letters": DeadLetters,
    "results": Results,
    "heartbeats": Heartbeats,
    "revokes": Revokes,
    "outlet": DeadLetterOutlet,
}
"""The ports whose calls can be made to fail: a stack's, by field name, and the broker's sources."""

_SPARED: Final = frozenset({"address", "capabilities", "close", "source", "wait", "wake"})


class Fault(StrEnum):
    """How a call fails; the caller sees a `StoreUnavailableError` either way."""

    NOT_EXECUTED = "not executed"
    REPLY_LOST = "executed, but the reply was lost"


@dataclass(frozen=True, slots=True, kw_only=True)
class Injected:
    """A call that was made to fail.

    Attributes:
        call: Port and method, ``broker.publish``.
    """

    call: str
    fault: Fault


class Faults:
    """Decides which calls fail: those of a plan, and others by chance. Any thread.

    Args:
        seed: The same seed and the same order of calls give the same faults.
        not_executed: Share of calls that fail without effect, 0 to 1.
        reply_lost: Share of calls that take effect and fail then, 0 to 1.
    """

    def __init__(self, *, seed: int = 0, not_executed: float = 0.0, reply_lost: float = 0.0) -> None:
        self._lock = Lock()
        self._chance = Random(seed)  # guarded by _lock, as are all below
        self._not_executed = not_executed
        self._reply_lost = reply_lost
        self._planned: dict[str, deque[Fault]] = {}
        self._injected: list[Injected] = []

    @property
    def injected(self) -> list[Injected]:
        """The calls that were made to fail so far, in order."""
        with self._lock:
            return list(self._injected)

    def fail_next(self, call: str, fault: Fault, *, times: int = 1) -> None:
        """Let the next calls fail, after those that are planned already.

        Args:
            call: Port and method, ``source.settle``; ports as in `PORTS`.
            times: How many calls, at least 1.

        Raises:
            ValueError: There is no such call, or it cannot be made to fail.
        """
        port, _, method = call.partition(".")
        if port not in PORTS or method in _SPARED or not hasattr(PORTS[port], method):
            raise ValueError(f"{call!r} is no call that can fail; ports: {', '.join(PORTS)}")
        with self._lock:
            self._planned.setdefault(call, deque()).extend([fault] * times)

    def stop(self) -> None:
        """Let no call fail any more."""
        with self._lock:
            self._planned.clear()
            self._not_executed = self._reply_lost = 0.0

    def wrap(self, stack: Stack) -> Stack:
        """Return ``stack`` with ports that fail as this object decides."""
        ports = {name: getattr(stack, name) for name in PORTS if name != "source"}
        wrapped: dict[str, Any] = {
            name: _Faulty(port, name=name, faults=self, server=stack.identity)
            for name, port in ports.items()
            if port is not None
        }
        return replace(stack, **wrapped)

    def draw(self, call: str) -> Fault | None:
        """Return how this call is to fail, None when it is not."""
        with self._lock:
            planned = self._planned.get(call)
            fault = planned.popleft() if planned else self._drawn(self._chance.random())
            if fault is not None:
                self._injected.append(Injected(call=call, fault=fault))
            return fault

    def _drawn(self, chance: float) -> Fault | None:
        if chance < self._not_executed:
            return Fault.NOT_EXECUTED
        if chance < self._not_executed + self._reply_lost:
            return Fault.REPLY_LOST
        return None


class _Faulty:
    """Stands before a port; has whatever attributes the port has."""

    def __init__(self, port: object, *, name: str, faults: Faults, server: str) -> None:
        self._port = port
        self._name = name
        self._faults = faults
        self._server = server

    def __getattr__(self, method: str) -> Any:
        found = getattr(self._port, method)
        if method == "source":
            return partial(self._source, found)
        if method in _SPARED or not callable(found):
            return found
        return partial(self._call, method, found)

    def _source(self, make: Callable[..., LeaseSource], *, owner: str) -> LeaseSource:
        source = _Faulty(make(owner=owner), name="source", faults=self._faults, server=self._server)
        return cast("LeaseSource", source)  # has all that the real source has

    def _call(self, method: str, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        fault = self._faults.draw(f"{self._name}.{method}")
        if fault is Fault.NOT_EXECUTED:
            raise self._error(method, fault)
        answer = function(*args, **kwargs)
        if fault is Fault.REPLY_LOST:
            raise self._error(method, fault)
        return answer

    def _error(self, method: str, fault: Fault) -> StoreUnavailableError:
        return StoreUnavailableError(server=self._server, operation=method, reason=f"injected: {fault}")
