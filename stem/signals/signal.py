"""One signal: who listens to it, and how it is sent.

Blinker keeps the receivers. It calls them in no fixed order, lets the first one that
raises stop the rest and the sender, and forgets functions that nobody else holds; what is
sent by a worker must not, hence this class around it.
"""

from __future__ import annotations

import inspect
import itertools
import logging
import threading
import weakref
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Generic, TypeAlias, TypeVar, cast, overload

import blinker

from stem.clock import SystemClock
from stem.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime
    from types import TracebackType

    from stem.clock import Clock

log = logging.getLogger(__name__)

P = TypeVar("P")


@dataclass(slots=True, kw_only=True)
class SignalContext:
    """What a handler is told beside the payload.

    Attributes:
        name: The signal's name, ``task-retry``.
        sent_at: When it was sent; aware, UTC.
        cancelled: Whether a handler has called `cancel`.
    """

    name: str
    sent_at: datetime
    cancelled: bool = False

    def cancel(self) -> None:
        """Pass over the handlers that were connected after this one, this time."""
        self.cancelled = True


Handler: TypeAlias = Callable[[P], object] | Callable[[P, SignalContext], object]
"""Takes the payload, or the payload and the context; what it returns is ignored."""

FILTERS: Final = ("task_name", "task_id", "queue", "worker_id")
"""What ``where`` may ask for, as far as the signal's payload has it."""


class Subscription(Generic[P]):
    """A handler that is connected to a signal. Calling it calls the handler.

    In a ``with`` statement it is disconnected at the end.
    """

    __slots__ = (
        "__weakref__",
        "_find",
        "_once",
        "_signal",
        "_takes_context",
        "_where",
        "dispatch_uid",
        "number",
    )

    def __init__(
        self,
        signal: Signal[P],
        handler: Handler[P],
        *,
        where: Mapping[str, object],
        once: bool,
        weak: bool,
        dispatch_uid: str | None,
        number: int,
    ) -> None:
        self._signal = signal
        self._takes_context = _takes_context(handler, signal.name)
        self._find = self._weak(handler) if weak else lambda: handler
        self._where = dict(where)
        self._once = threading.Lock() if once else None  # taken by the one call that is made
        self.dispatch_uid = dispatch_uid
        self.number = number

    def __call__(self, *args: Any) -> Any:
        """Call the handler; nothing happens if it was held weakly and is gone."""
        handler = self._find()
        return None if handler is None else cast("Callable[..., Any]", handler)(*args)

    def __enter__(self) -> Subscription[P]:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.disconnect()

    def disconnect(self) -> None:
        """Call the handler no more. May be called twice, from any thread."""
        self._signal.drop(self)

    def receive(self, payload: P, context: SignalContext) -> None:
        """Call the handler if the payload is what it asked for; log what it raises."""
        try:
            if self._wants(payload) and self._claim():
                self(payload, context) if self._takes_context else self(payload)
        except (Exception, SystemExit):  # a receiver must not hurt its sender
            log.exception(
                "signal.receiver_failed", extra={"signal": context.name, "receiver": _name(self._find())}
            )

    def _weak(self, handler: Handler[P]) -> Callable[[], Handler[P] | None]:
        make = weakref.WeakMethod if inspect.ismethod(handler) else weakref.ref
        return cast("Callable[[], Handler[P] | None]", make(handler, self._forget))

    def _forget(self, _: object) -> None:
        self.disconnect()

    def _wants(self, payload: P) -> bool:
        return all(_matches(getattr(payload, name), wanted) for name, wanted in self._where.items())

    def _claim(self) -> bool:
        if self._once is None:
            return True
        first = self._once.acquire(blocking=False)
        if first:
            self.disconnect()
        return first


class Signal(Generic[P]):
    """Tells whoever is connected that something has happened. Any thread.

    Handlers are called one after the other, in the order in which they were connected, by
    the thread that sends. What they raise is logged, whatever they do to the payload or
    return changes nothing.

    Attributes:
        name: With hyphens, ``task-retry``.
        payload: The class of what is sent.
        when: A sentence on when, exactly, it is sent.
    """

    def __init__(self, name: str, payload: type[P], *, when: str, clock: Clock | None = None) -> None:
        self.name = name
        self.payload = payload
        self.when = when
        self._clock = clock or SystemClock()
        self._numbers = itertools.count()
        self._blinker = blinker.NamedSignal(name, doc=when)
        # Re-entrant: the collector may drop a weak receiver at any moment, also while this thread connects.
        self._lock = threading.RLock()

    @property
    def has_receivers(self) -> bool:
        """Whether sending calls anyone; ask before a payload is made that is costly to make."""
        return bool(self._blinker.receivers) and not self._blinker.is_muted

    @property
    def enabled(self) -> bool:
        """Whether it is sent; a disabled signal keeps its receivers."""
        return not self._blinker.is_muted

    @enabled.setter
    def enabled(self, value: bool) -> None:
        self._blinker.is_muted = not value

    @overload
    def connect(
        self,
        handler: Handler[P],
        *,
        where: Mapping[str, object] | None = None,
        once: bool = False,
        weak: bool = False,
        dispatch_uid: str | None = None,
    ) -> Subscription[P]: ...

    @overload
    def connect(
        self,
        handler: None = None,
        *,
        where: Mapping[str, object] | None = None,
        once: bool = False,
        weak: bool = False,
        dispatch_uid: str | None = None,
    ) -> Callable[[Handler[P]], Subscription[P]]: ...

    def connect(
        self,
        handler: Handler[P] | None = None,
        *,
        where: Mapping[str, object] | None = None,
        once: bool = False,
        weak: bool = False,
        dispatch_uid: str | None = None,
    ) -> Subscription[P] | Callable[[Handler[P]], Subscription[P]]:
        """Call ``handler`` whenever the signal is sent. Also a decorator, with or without arguments.

        Args:
            handler: Takes ``(payload)`` or ``(payload, context)``. It gets the context if it
                needs a second argument, or names it ``context``.
            where: Only for payloads that have these values: ``task_name``, ``task_id``, ``queue``,
                ``worker_id``; a set, list or tuple stands for any of its values.
            once: Only for the first payload that matches.
            weak: Do not keep the handler alive; for methods of objects that come and go.
            dispatch_uid: A handler is connected once under one id; connecting another one
                changes nothing and returns the first one's subscription.

        Raises:
            ConfigurationError: The handler cannot be called so, or the payload has no such value.
        """
        wanted: Mapping[str, object] = where or {}
        self._check(wanted)
        if handler is None:
            return lambda given: self.connect(
                given, where=where, once=once, weak=weak, dispatch_uid=dispatch_uid
            )
        with self._lock:
            known = next((one for one in self._receivers() if one.dispatch_uid == dispatch_uid), None)
            if dispatch_uid is not None and known is not None:
                return known
            added = Subscription(
                self,
                handler,
                where=wanted,
                once=once,
                weak=weak,
                dispatch_uid=dispatch_uid,
                number=next(self._numbers),
            )
            self._blinker.connect(added, weak=False)
        return added

    def drop(self, subscription: Subscription[P]) -> None:
        """Forget a subscription; see `Subscription.disconnect`."""
        with self._lock:
            self._blinker.disconnect(subscription)

    def send(self, payload: P) -> None:
        """Call the handlers that are connected; only what is no `Exception` or `SystemExit` gets out."""
        if not self.has_receivers:
            return
        context = SignalContext(name=self.name, sent_at=self._clock.wall())
        for receiver in self._receivers():
            if context.cancelled:
                return
            receiver.receive(payload, context)

    def _receivers(self) -> list[Subscription[P]]:
        found = cast("Iterable[Subscription[P]]", self._blinker.receivers_for(blinker.ANY))
        return sorted(found, key=lambda one: one.number)

    def _check(self, where: Mapping[str, object]) -> None:
        known = [name for name in FILTERS if hasattr(self.payload, name)]
        problems = [
            f"signal {self.name}: where: expected {' or '.join(known) or 'nothing'}, got {name}"
            for name in where
            if name not in known
        ]
        if problems:
            raise ConfigurationError(problems=problems)


def _takes_context(handler: object, signal: str) -> bool:
    expected = (
        f"signal {signal}: handler {_name(handler)}: expected a function of (payload) or (payload, context)"
    )
    if not callable(handler):
        raise ConfigurationError(problems=[f"{expected}, got a {type(handler).__name__}"])
    if inspect.iscoroutinefunction(handler):
        raise ConfigurationError(problems=[f"{expected}, got a coroutine function, which nobody would await"])
    try:
        signature = inspect.signature(handler)
    except ValueError:  # some functions written in C do not tell
        return False
    takes_payload, takes_both = _takes(signature, 1), _takes(signature, 2)
    if takes_both and (not takes_payload or "context" in list(signature.parameters)[1:2]):
        return True
    if not takes_payload:
        raise ConfigurationError(problems=[f"{expected}, got {signature}"])
    return False


def _takes(signature: inspect.Signature, count: int) -> bool:
    try:
        signature.bind(*[None] * count)
    except TypeError:
        return False
    return True


def _matches(value: object, wanted: object) -> bool:
    if isinstance(wanted, Collection) and not isinstance(wanted, str):
        return value in cast("Collection[object]", wanted)
    return value == wanted


def _name(handler: object) -> str:
    return getattr(handler, "__qualname__", None) or type(handler).__name__
