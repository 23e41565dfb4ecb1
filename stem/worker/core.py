"""The dispatcher's decisions: events in, effects out, no I/O, no clock.

All state of the tasks that a worker holds lives here, and one thread owns it.

    arrived ─► refused, unknown, revoked, expired ─► settle
       │
       ├─► due later ─► release
       ▼
    buffered ─► running ─► done ─► settle
                  │  │
                  │  └─► lease lost ─► told, its outcome is dropped
                  └────► child gone ─► released, or buried after too many deliveries

The worker leases by credit: it grants the courier as many credits as it can
use, and a credit is spent by a delivery and comes back when the delivery is
settled.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final, Protocol, assert_never

from stem.message import Refusal
from stem.worker import interruption
from stem.worker.attempt import Job, unknown_task
from stem.worker.effects import Drain, Effect, Grant, Kill, Note, Run, Spawn, Tell, Wake
from stem.worker.frames import Kind
from stem.worker.holdings import Arrival, Buffered, ChildEnd, ChildState, Moment, RunningTask, Stopping
from stem.worker.outcome import GaveUp, GivenBack, LostLease, RetryLater, Succeeded

if TYPE_CHECKING:
    from collections.abc import Iterable

    from stem.message import Delivery, Envelope
    from stem.worker.outcome import Outcome
    from stem.worker.verdicts import Verdicts

NOTE_AFTER_S: Final = 0.05
"""Shorter attempts are never written as running: their end follows at once."""

STALE_AFTER_S: Final = 0.25
"""A message that waits longer for a free slot is given back."""

LOOK_AHEAD_S: Final = 0.05
"""As many messages are leased ahead as are run in this time."""

MAX_LOOK_AHEAD: Final = 200

SEND_AHEAD_S: Final = 0.004
"""A child that runs one attempt at a time is given as many jobs ahead as it runs in this time."""

MAX_SEND_AHEAD: Final = 16

WAKES: Final = 20
"""How often a task that was told something is woken again, a tick apart.

A signal that arrives just before a system call blocks is seen only once that
call returns; the next signal ends the call.
"""

SOFT_GRACE_S: Final = 5.0
"""How long interrupted tasks have before their process is killed."""


class TaskFacts(Protocol):
    """What the core asks about tasks."""

    def knows(self, name: str) -> bool:
        """Return whether a task of this name is registered."""
        ...

    def limits_s(self, envelope: Envelope) -> tuple[float | None, float | None]:
        """Return the soft and the hard time limit of a call, in seconds."""
        ...


class WorkerCore:
    """Decides what happens to every delivery of one worker.

    Args:
        verdicts: Makes settlements.
        facts: Knows the tasks.
        children: How many child processes there are to be.
        grace_s: Seconds that a warm stop waits for running tasks.
        max_tasks_per_child: A child is replaced after so many; None is never.
        send_ahead: Whether children run what they are given one after the other, in order,
            so that the first of it is what runs.
    """

    def __init__(
        self,
        *,
        verdicts: Verdicts,
        facts: TaskFacts,
        children: int,
        grace_s: float,
        max_tasks_per_child: int | None = None,
        send_ahead: bool = False,
    ) -> None:
        self._verdicts = verdicts
        self._facts = facts
        self._wanted_children = children
        self._grace_s = grace_s
        self._max_tasks = max_tasks_per_child
        self._sends_ahead = send_ahead
        self._children: dict[int, ChildState] = {}
        self._idle: deque[int] = deque()
        self._buffer: deque[Buffered] = deque()
        self._running: dict[int, RunningTask] = {}
        self._by_token: dict[str, int] = {}
        self._credits = 0
        self._next_key = 1
        self._average_s: float | None = None
        self._stopping = Stopping.NO
        self._deadline_s = 0.0
        self.processed = 0
        self.boots_failed = 0

    # what others look at

    @property
    def stopping(self) -> Stopping:
        """How urgently the worker is stopping."""
        return self._stopping

    @property
    def finished(self) -> bool:
        """Whether nothing is held any more and the worker may exit."""
        return bool(self._stopping) and not self._running and not self._buffer

    @property
    def busy(self) -> bool:
        """Whether `tick` has something to watch."""
        return bool(self._running or self._buffer or self._stopping)

    @property
    def slots(self) -> int:
        """How many attempts the children that are ready can run at once."""
        return sum(child.slots for child in self._children.values() if not child.draining)

    def running(self) -> list[RunningTask]:
        """Return what is running; a copy that any thread may ask for."""
        return [task for task in list(self._running.values()) if task.started is not None]

    # events

    def start(self) -> list[Effect]:
        """Begin: ask for the children."""
        return [Spawn(delay_s=0.0) for _ in range(self._wanted_children)]

    def child_starting(self, child: int) -> None:
        """A child's process was started; it is not ready yet."""
        self._children[child] = ChildState()

    def child_ready(self, child: int, slots: int) -> None:
        """A child has imported the tasks and can run ``slots`` at once."""
        self._children[child].slots = slots
        self._idle.extend([child] * slots)
        self.boots_failed = 0

    def arrived(self, arrivals: Iterable[Arrival], now: Moment) -> list[Effect]:
        """Messages were leased."""
        effects: list[Effect] = []
        for arrival in arrivals:
            self._credits -= 1
            effects += self._sort(arrival, now)
        return effects

    def done(self, key: int, outcome: Outcome, runtime_s: float, now: Moment) -> list[Effect]:
        """A child told how an attempt ended."""
        running = self._forget(key)
        if running is None:
            return []
        self._measure(runtime_s)
        child = self._children[running.child]
        child.tasks_run += 1
        effects = [] if running.lost else self._settle(running, outcome, runtime_s, now)
        self._leave(running, child, now)
        if self._max_tasks is not None:
            effects += self._recycle(running.child, self._max_tasks)
        return effects

    def forgotten(self, key: int, now: Moment) -> list[Effect]:
        """A child told that it will not start an attempt that it was given ahead."""
        running = self._forget(key)
        if running is None:
            return []
        self._leave(running, self._children[running.child], now)
        return [] if running.lost else [self._give_back(running.delivery)]

    def child_gone(self, child_id: int, end: ChildEnd, now: Moment) -> list[Effect]:
        """A child's process has ended."""
        child = self._children.pop(child_id)
        self._idle = deque(idle for idle in self._idle if idle != child_id)
        effects: list[Effect] = []
        for key in child.keys:
            running = self._forget(key)
            if running is not None and not running.lost:
                effects += self._abandoned(running, child, end, now)
        if not self._stopping and len(self._children) < self._wanted_children:
            effects.append(Spawn(delay_s=self._boot_delay_s(child)))
        return effects

    def lost(self, tokens: Iterable[str]) -> list[Effect]:
        """Leases are lost: tell the tasks; what they return will be dropped."""
        gone = set(tokens)
        effects: list[Effect] = []
        for token in gone:
            running = self._running.get(self._by_token.get(token, 0))
            if running is not None and not running.lost:
                running.lost = True
                effects += self._lose(running)
        self._buffer = deque(waiting for waiting in self._buffer if waiting.delivery.token not in gone)
        return effects

    def stop(self, how: Stopping, now: Moment) -> list[Effect]:
        """Begin to stop, or stop more urgently."""
        if how <= self._stopping:
            return []
        self._stopping = how
        effects: list[Effect] = [self._give_back(waiting.delivery) for waiting in self._buffer]
        self._buffer.clear()
        for child in self._children.values():
            effects += self._recall(child)
        match how:
            case Stopping.WARM:
                self._deadline_s = now.mono_s + self._grace_s
            case Stopping.SOFT:
                self._deadline_s = now.mono_s + SOFT_GRACE_S
                effects += [
                    self._tell(running, Kind.INTERRUPT, interruption.shutdown()) for running in self.running()
                ]
            case Stopping.HARD:
                effects += [self._kill(child) for child in list(self._children)]
            case Stopping.NO:
                pass
        return effects

    def tick(self, now: Moment) -> list[Effect]:
        """Time has passed: limits, stale messages, the grace period."""
        effects: list[Effect] = []
        for running in self.running():
            effects += self._watch(running, now)
        for child_id, child in self._children.items():
            if child.kill_at_s is not None and (child.kill_at_s <= now.mono_s or len(child.keys) <= 1):
                effects.append(self._kill(child_id))
        effects += self._give_back_stale(now)
        if self._stopping and self._stopping < Stopping.HARD and now.mono_s >= self._deadline_s:
            effects += self.stop(Stopping(self._stopping + 1), now)
        return effects

    def next(self, now: Moment) -> list[Effect]:
        """Fill the slots and ask for more; called once after the events of a round."""
        effects = self._dispatch(now) if self._buffer else []
        effects += self._grant()
        return effects

    # deciding

    def _sort(self, arrival: Arrival, now: Moment) -> list[Effect]:
        delivery, envelope = arrival.delivery, arrival.envelope
        if isinstance(envelope, Refusal):
            return [self._verdicts.refused(delivery, envelope, now.wall)]
        effects: list[Effect] = list(self._verdicts.received(delivery, envelope))
        if self._stopping:
            return [*effects, self._give_back(delivery)]
        if arrival.revocation is not None:
            verdict = self._verdicts.cancelled(delivery, envelope, arrival.revocation.reason, now.wall)
        elif envelope.expires is not None and envelope.expires <= now.wall:
            verdict = self._verdicts.expired(delivery, envelope, now.wall)
        elif envelope.sent_at is None and envelope.eta is not None and envelope.eta > now.wall:
            # From a producer that leaves waiting to the worker. Counted from
            # now: a date might have passed already by the store's clock.
            return [*effects, self._verdicts.postponed(delivery, envelope.eta - now.wall)]
        elif not self._facts.knows(envelope.name):
            verdict = self._verdicts.gave_up(delivery, envelope, unknown_task(envelope), None, None, now.wall)
        else:
            self._buffer.append(Buffered(delivery, envelope, now.mono_s))
            return effects
        return [*effects, verdict]

    def _dispatch(self, now: Moment) -> list[Effect]:
        effects: list[Effect] = []
        while self._buffer and self._idle:
            child_id = self._idle.popleft()
            child = self._children[child_id]
            if child.draining:
                continue
            effects.append(self._run(child_id, child, self._buffer.popleft(), now))
        if self._buffer and self._sends_ahead:
            effects += self._send_ahead(now)
        return effects

    def _send_ahead(self, now: Moment) -> list[Effect]:
        ahead = min(int(SEND_AHEAD_S / max(self._average_s or 1.0, 1e-5)), MAX_SEND_AHEAD)
        effects: list[Effect] = []
        for child_id, child in self._children.items():
            if not child.slots or child.draining or len(child.keys) > 1 + ahead // 2:
                continue
            room = 1 + ahead - len(child.keys)
            if self._max_tasks is not None:
                room = min(room, self._max_tasks - child.tasks_run - len(child.keys))
            effects += [
                self._run(child_id, child, self._buffer.popleft(), now)
                for _ in range(min(room, len(self._buffer)))
            ]
        return effects

    def _run(self, child_id: int, child: ChildState, waiting: Buffered, now: Moment) -> Effect:
        delivery, envelope = waiting.delivery, waiting.envelope
        key = self._next_key
        self._next_key += 1
        soft_s, hard_s = self._facts.limits_s(envelope)
        self._running[key] = RunningTask(
            key=key,
            child=child_id,
            delivery=delivery,
            envelope=envelope,
            started=now if len(child.keys) < child.slots else None,
            soft_s=soft_s,
            hard_s=hard_s,
        )
        self._by_token[delivery.token] = key
        child.keys[key] = None
        assert not isinstance(delivery.content, Refusal)
        job = Job(key=key, message=delivery.content, queue=delivery.queue, deliveries=delivery.deliveries)
        return Run(child=child_id, job=job)

    def _settle(self, running: RunningTask, outcome: Outcome, runtime_s: float, now: Moment) -> list[Effect]:
        self.processed += 1
        delivery, envelope = running.delivery, running.envelope
        started = (running.started or now).wall
        match outcome:
            case Succeeded(result=result):
                return [self._verdicts.succeeded(delivery, envelope, result, started, runtime_s, now.wall)]
            case RetryLater():
                return [self._verdicts.retry(delivery, envelope, outcome, now.wall)]
            case GaveUp():
                return [self._verdicts.gave_up(delivery, envelope, outcome, started, runtime_s, now.wall)]
            case GivenBack():
                return [self._give_back(delivery)]
            case LostLease():
                return []
            case _:
                assert_never(outcome)

    def _abandoned(self, running: RunningTask, child: ChildState, end: ChildEnd, now: Moment) -> list[Effect]:
        delivery, envelope, started = running.delivery, running.envelope, running.started
        # Not started, or killed for another task, or because the worker stops: nobody's fault.
        if started is None or (child.killed and child.overdue != running.key):
            return [self._give_back(delivery)]
        runtime_s = now.mono_s - started.mono_s
        if child.overdue == running.key:
            return [
                self._verdicts.overdue(
                    delivery, envelope, running.hard_s or 0.0, started.wall, runtime_s, now.wall
                )
            ]
        return [
            self._verdicts.child_lost(delivery, envelope, end.exit_code, started.wall, runtime_s, now.wall)
        ]

    def _watch(self, running: RunningTask, now: Moment) -> list[Effect]:
        assert running.started is not None
        elapsed_s = now.mono_s - running.started.mono_s
        effects: list[Effect] = []
        if elapsed_s >= STALE_AFTER_S:
            effects += self._recall(self._children[running.child])
        if not running.noted and elapsed_s >= NOTE_AFTER_S and not running.lost:
            running.noted = True
            effects.append(
                Note(self._verdicts.started(running.delivery, running.envelope, running.started.wall))
            )
        if running.soft_s is not None and not running.told and elapsed_s >= running.soft_s:
            running.told = True
            effects.append(self._tell(running, Kind.INTERRUPT, interruption.soft_limit(running.soft_s)))
        elif running.wakes:
            running.wakes -= 1
            effects.append(Wake(child=running.child))
        if running.hard_s is not None and elapsed_s >= running.hard_s:
            effects += self._overdue(running, now)
        return effects

    def _overdue(self, running: RunningTask, now: Moment) -> list[Effect]:
        child = self._children[running.child]
        if child.overdue is not None or child.killed:
            return []
        child.overdue = running.key
        child.draining = True
        if child.slots == 1 or len(child.keys) == 1:
            return [self._kill(running.child)]
        child.kill_at_s = now.mono_s + SOFT_GRACE_S  # its siblings may finish first
        return []

    def _kill(self, child_id: int) -> Effect:
        child = self._children[child_id]
        child.killed = child.draining = True
        child.kill_at_s = None
        return Kill(child=child_id)

    def _lose(self, running: RunningTask) -> list[Effect]:
        if running.started is None:
            return self._recall(self._children[running.child])
        told = self._tell(running, Kind.LOST, running.envelope.id)
        return [told, *self._verdicts.lease_lost(running.envelope)]

    def _recall(self, child: ChildState) -> list[Effect]:
        """Ask a child not to start what waits in it behind another attempt."""
        effects: list[Effect] = []
        for key in child.keys:
            waiting = self._running[key]
            if waiting.started is None and not waiting.recalled:
                waiting.recalled = True
                effects.append(Tell(child=waiting.child, key=key, kind=Kind.FORGET, payload=None))
        if effects:
            self._running[next(iter(child.keys))].wakes = WAKES
        return effects

    def _tell(self, running: RunningTask, kind: Kind, payload: object) -> Effect:
        running.wakes = WAKES
        return Tell(child=running.child, key=running.key, kind=kind, payload=payload)

    def _recycle(self, child_id: int, max_tasks: int) -> list[Effect]:
        child = self._children[child_id]
        if child.draining or child.tasks_run < max_tasks:
            return []
        child.draining = True
        # The replacement starts before the old one ends, so that slots stay filled.
        return [Spawn(delay_s=0.0), Drain(child=child_id)]

    def _boot_delay_s(self, child: ChildState) -> float:
        if child.slots:
            return 0.0
        # It died before it was ready: whatever broke it will break the next one.
        self.boots_failed += 1
        return min(0.5 * 2.0 ** min(self.boots_failed - 1, 10), 30.0)

    def _give_back(self, delivery: Delivery) -> Effect:
        return self._verdicts.given_back(delivery)

    def _give_back_stale(self, now: Moment) -> list[Effect]:
        effects: list[Effect] = []
        while self._buffer and now.mono_s - self._buffer[0].since_s >= STALE_AFTER_S:
            effects.append(self._give_back(self._buffer.popleft().delivery))
            # The slots are slower than they seemed: look less far ahead.
            self._average_s = max(self._average_s or 0.0, STALE_AFTER_S)
        return effects

    # keeping count

    def _leave(self, running: RunningTask, child: ChildState, now: Moment) -> None:
        """Take an attempt out of its child, and let the next one behind it begin."""
        del child.keys[running.key]
        if len(child.keys) < child.slots:
            if not child.draining:
                self._idle.append(running.child)
        elif child.slots == 1:
            following = self._running[next(iter(child.keys))]
            following.started = following.started or now

    def _forget(self, key: int) -> RunningTask | None:
        running = self._running.pop(key, None)
        if running is not None:
            self._by_token.pop(running.delivery.token, None)
        return running

    def _measure(self, runtime_s: float) -> None:
        before = self._average_s
        self._average_s = runtime_s if before is None else before + 0.1 * (runtime_s - before)

    def _look_ahead(self, slots: int) -> int:
        if self._average_s is None:
            return 0
        return min(int(slots * LOOK_AHEAD_S / max(self._average_s, 1e-5)), MAX_LOOK_AHEAD)

    def _grant(self) -> list[Effect]:
        slots = self.slots
        ahead = 0 if self._stopping else self._look_ahead(slots)
        wanted = 0 if self._stopping else slots + ahead
        missing = wanted - (self._credits + len(self._buffer) + len(self._running))
        if missing <= 0 and self._credits <= 0:
            return []
        if missing > 0 and len(self._buffer) > ahead // 2:
            return []  # there is enough at hand: lease in larger batches
        change = max(missing, -self._credits)
        if not change:
            return []
        self._credits += change
        return [Grant(change)]
