"""The dispatcher's thread: waits for children, courier and time, and carries out what the core decides."""

from __future__ import annotations

import contextlib
import heapq
import logging
import selectors
import socket
from collections import deque
from typing import TYPE_CHECKING, Final, TypeAlias, assert_never

from stem.worker.effects import Announce, Drain, Effect, Grant, Kill, Note, Run, Settle, Spawn, Tell, Wake
from stem.worker.frames import Kind, write_frame
from stem.worker.holdings import Moment, Stopping
from stem.worker.outcome import outcome_from_wire

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from stem.clock import Clock
    from stem.errors import StoreError
    from stem.worker.announcer import Announcer
    from stem.worker.children import ChildPool
    from stem.worker.core import WorkerCore
    from stem.worker.courier import Courier
    from stem.worker.holdings import Arrival, ChildEnd

log = logging.getLogger(__name__)

TICK_S: Final = 0.05
"""How often time limits are looked at while something runs."""

LEAVE_S: Final = 2.0
"""How long children that have nothing to do may take to leave, for their shutdown signal's receivers."""

_WAKER: Final = 0

Inboxed: TypeAlias = "Callable[[Moment], Sequence[Effect]]"


class Hub:
    """Runs the core. `run` owns it; the other methods are for other threads.

    Args:
        on_ready: Called once, when the first child is ready.
    """

    def __init__(
        self,
        core: WorkerCore,
        children: ChildPool,
        *,
        announcer: Announcer,
        clock: Clock,
        on_ready: Callable[[], None],
    ) -> None:
        self.core = core
        self._children = children
        self._announcer = announcer
        self._clock = clock
        self._on_ready = on_ready
        self._courier: Courier | None = None
        self._inbox: deque[Inboxed] = deque()
        self._selector = selectors.DefaultSelector()
        self._waker, self._woken = socket.socketpair()
        self._spawns: list[float] = []  # a heap of monotonic times
        self._ready = False
        self._tick_at_s: float | None = None
        self.failure: StoreError | None = None

    # any thread

    def deliver(self, arrivals: Sequence[Arrival]) -> None:
        """Messages were leased."""
        self._post(lambda now: self.core.arrived(arrivals, now))

    def lose(self, tokens: Sequence[str]) -> None:
        """Leases are lost."""
        self._post(lambda _: self.core.lost(tokens))

    def fail(self, error: StoreError) -> None:
        """The broker refused for good: end, keep nothing."""
        self.failure = error
        self._post(lambda now: self.core.stop(Stopping.HARD, now))

    def stop(self, how: Stopping) -> None:
        """Begin to stop, or stop more urgently. Safe in a signal handler."""
        self._post(lambda now: self.core.stop(how, now))

    def _post(self, event: Inboxed) -> None:
        self._inbox.append(event)
        with contextlib.suppress(OSError):  # it is awake already, or has ended
            self._woken.send(b"\0", socket.MSG_DONTWAIT)

    # the dispatcher's thread

    def run(self, courier: Courier) -> None:
        """Work until the core has finished; the children are gone then."""
        self._courier = courier
        self._selector.register(self._waker, selectors.EVENT_READ, _WAKER)
        grace_s = 0.0
        try:
            self._perform(self.core.start())
            while not self.core.finished:
                self._round()
            grace_s = LEAVE_S if self.core.stopping < Stopping.HARD else 0.0
        finally:
            self._children.close(grace_s=grace_s)
            self._selector.close()
            self._waker.close()
            self._woken.close()

    def _round(self) -> None:
        ready = self._selector.select(self._timeout_s())
        now = Moment(self._clock.monotonic(), self._clock.wall())
        effects: list[Effect] = []
        for key, _ in ready:
            number: int = key.data
            effects += self._hear(number, now) if number else self._read_inbox(now)
        if self._tick_at_s is not None and now.mono_s >= self._tick_at_s:
            self._tick_at_s = now.mono_s + TICK_S
            effects += self.core.tick(now)
        effects += self.core.next(now)
        self._perform(effects)
        self._spawn_due(now)

    def _timeout_s(self) -> float | None:
        now_s = self._clock.monotonic()
        if not self.core.busy:
            self._tick_at_s = None
        elif self._tick_at_s is None:
            self._tick_at_s = now_s + TICK_S
        times = [at_s for at_s in (self._tick_at_s, *self._spawns[:1]) if at_s is not None]
        return max(min(times) - now_s, 0.0) if times else None

    def _read_inbox(self, now: Moment) -> list[Effect]:
        self._waker.recv(4096)
        effects: list[Effect] = []
        while self._inbox:
            effects += self._inbox.popleft()(now)
        return effects

    def _hear(self, number: int, now: Moment) -> list[Effect]:
        frames = self._children.receive(number)
        if frames is None:
            return self._child_gone(number, now)
        effects: list[Effect] = []
        for kind, key, payload in frames:
            if kind is Kind.READY:
                self.core.child_ready(number, payload)
                self._first_ready()
            elif kind is Kind.DONE:
                effects += self.core.done(key, outcome_from_wire(payload[1:]), payload[0], now)
            elif kind is Kind.FORGOTTEN:
                effects += self.core.forgotten(key, now)
        return effects

    def _first_ready(self) -> None:
        if not self._ready:
            self._ready = True
            self._on_ready()

    def _child_gone(self, number: int, now: Moment) -> list[Effect]:
        end = self._watch_no_more(number)
        log.info("child.ended", extra={"child": number, "exit_code": end.exit_code})
        return self.core.child_gone(number, end, now)

    def _watch_no_more(self, number: int) -> ChildEnd:
        for key in list(self._selector.get_map().values()):
            if key.data == number:
                self._selector.unregister(key.fileobj)
        return self._children.bury(number)

    # effects

    def _perform(self, effects: Sequence[Effect]) -> None:
        settles: list[Settle] = []
        runs: dict[int, list[bytes]] = {}
        for effect in effects:
            match effect:
                case Settle():
                    settles.append(effect)
                case Run(child=child, job=job):
                    runs.setdefault(child, []).append(write_frame(Kind.RUN, job.key, job.to_wire()))
                case _:
                    self._perform_one(effect)
        # Settlements go first: their messages must not wait for a slow socket.
        if settles and self._courier is not None:
            self._courier.settle(settles)
        for child, frames in runs.items():
            self._children.send(child, b"".join(frames))

    def _perform_one(self, effect: Note | Announce | Grant | Tell | Wake | Kill | Drain | Spawn) -> None:
        match effect:
            case Grant(credits=credits):
                self._to_courier().grant(credits)
            case Note(start=start):
                self._to_courier().note(start)
            case Announce(announcement=announcement):
                self._announcer.announce(announcement)
            case Spawn(delay_s=delay_s):
                heapq.heappush(self._spawns, self._clock.monotonic() + delay_s)
            case _:
                self._perform_on_child(effect)

    def _perform_on_child(self, effect: Tell | Wake | Kill | Drain) -> None:
        match effect:
            case Wake(child=child):
                self._children.wake(child)
            case Tell(child=child, key=key, kind=kind, payload=payload):
                if self._children.send(child, write_frame(kind, key, payload)):
                    self._children.wake(child)
            case Kill(child=child):
                self._children.kill(child)
            case Drain(child=child):
                self._children.send(child, write_frame(Kind.DRAIN, 0))
            case _:
                assert_never(effect)

    def _to_courier(self) -> Courier:
        assert self._courier is not None
        return self._courier

    def _spawn_due(self, now: Moment) -> None:
        while self._spawns and self._spawns[0] <= now.mono_s:
            heapq.heappop(self._spawns)
            number, sock = self._children.spawn()
            self.core.child_starting(number)
            self._selector.register(sock, selectors.EVENT_READ, number)
