"""Adapters with a bug: each was found in a queue that people use, and the lease model must find it again.

A mutant wraps whatever an adapter opens, so that each bug can be put into every adapter.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, cast

from stem.codecs import pack
from stem.message import Message
from stem.ports.broker import NOW, Complete

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from datetime import datetime, timedelta
    from threading import Event

    from stem.clock import Clock
    from stem.message import Delivery
    from stem.ports.broker import LeaseSource, Publication, Reclaimed, Settlement
    from stem.ports.deadletters import DeadLetter, DeadLetterQuery
    from stem.ports.results import Ending
    from stem.ports.stack import OpenStack, Stack
    from stem.testing.contracts.harness import TakesRaw


class TurnedBackClock:
    """A clock whose date can be held at an earlier moment."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.held_at: datetime | None = None

    def wall(self) -> datetime:
        return self.held_at or self._clock.wall()

    def monotonic(self) -> float:
        return self._clock.monotonic()

    def wait(self, event: Event, timeout_s: float | None) -> bool:
        return self._clock.wait(event, timeout_s)


@dataclass
class Memory:
    """What the stacks of one database remember together."""

    task_of: dict[str, str] = field(default_factory=dict[str, str])
    token_of: dict[str, str] = field(default_factory=dict[str, str])
    leased_at: dict[str, datetime] = field(default_factory=dict[str, "datetime"])
    deliveries: dict[str, Delivery] = field(default_factory=dict[str, "Delivery"])

    def note(self, delivery: Delivery, now: datetime) -> None:
        assert isinstance(delivery.content, Message)
        task_id = delivery.content.headers["id"]
        self.task_of[delivery.token] = task_id
        self.token_of[task_id] = delivery.token
        self.leased_at[delivery.token] = now
        self.deliveries[delivery.token] = delivery


class Wrapper:
    """Passes on whatever is not overridden."""

    def __init__(self, wrapped: Any, memory: Memory, clock: TurnedBackClock) -> None:
        self._wrapped = wrapped
        self._memory = memory
        self._clock = clock

    def __getattr__(self, name: str) -> Any:
        return getattr(self._wrapped, name)


class Source(Wrapper):
    """Remembers what it leased."""

    broker: TakesRaw

    def lease(self, queues: Sequence[str], *, limit: int, duration: timedelta) -> list[Delivery]:
        leased = cast("LeaseSource", self._wrapped).lease(queues, limit=limit, duration=duration)
        for delivery in leased:
            self._memory.note(delivery, self._clock.wall())
        return leased


class Broker(Wrapper):
    """Hands out sources of the mutant's class."""

    source_class: type[Source] = Source

    def source(self, *, owner: str) -> Source:
        source = self.source_class(self._wrapped.source(owner=owner), self._memory, self._clock)
        source.broker = self._wrapped
        return source


class UnfencedAcknowledgement(Broker):
    """Acknowledging asks for the task's id alone; any delivery of it will do."""

    class source_class(Source):
        def settle(self, settlements: Sequence[Settlement]) -> list[bool]:
            memory = self._memory
            unfenced = [
                replace(each, token=memory.token_of[memory.task_of[each.token]])
                if isinstance(each, Complete)
                else each
                for each in settlements
            ]
            return cast("list[bool]", self._wrapped.settle(unfenced))


class RenewalByCopy(Broker):
    """Renewing puts a copy of the message into its queue."""

    class source_class(Source):
        def renew(self, tokens: Collection[str], *, duration: timedelta) -> set[str]:
            lost = cast("set[str]", self._wrapped.renew(tokens, duration=duration))
            for token in set(tokens) - lost:
                delivery = self._memory.deliveries[token]
                assert isinstance(delivery.content, Message)
                self.broker.publish_raw(delivery.queue, pack(delivery.content, queue=delivery.queue))
            return lost


class LateAcknowledgement(Broker):
    """Acknowledging looks at the token, not at the time."""

    class source_class(Source):
        def settle(self, settlements: Sequence[Settlement]) -> list[bool]:
            return [self._settle_one(each) for each in settlements]

        def _settle_one(self, settlement: Settlement) -> bool:
            if isinstance(settlement, Complete):
                self._clock.held_at = self._memory.leased_at[settlement.token]
            try:
                return cast("list[bool]", self._wrapped.settle([settlement]))[0]
            finally:
                self._clock.held_at = None


class NothingReclaimed(Broker):
    """Who lost its lease keeps it for ever."""

    def reclaim(self, *, limit: int, max_deliveries: int) -> list[Reclaimed]:
        return []


class NothingDelayed(Broker):
    """Delayed messages are there at once."""

    def publish(self, publications: Sequence[Publication]) -> list[bool]:
        return cast("list[bool]", self._wrapped.publish([replace(each, due=NOW) for each in publications]))


class ReplayWithoutMark(Wrapper):
    """Replaying passes over the mark of what was replayed before."""

    broker: TakesRaw

    def replay(
        self, query: DeadLetterQuery, *, limit: int, delay: timedelta | None = None
    ) -> list[DeadLetter]:
        before, _ = self._wrapped.page(replace(query, replayed=True), limit=1000)
        replayed: list[DeadLetter] = self._wrapped.replay(query, limit=limit, delay=delay)
        again = [each for each in before if each.replayed_at is not None]
        for each in again:
            self.broker.publish_raw(each.queue, each.payload.decode())
        return [*replayed, *again]


class UnfencedResults(Wrapper):
    """Whoever finishes last is believed."""

    def finish(self, endings: Sequence[Ending]) -> list[bool]:
        return cast("list[bool]", self._wrapped.finish([replace(each, fence=2**60) for each in endings]))


class DeafQueues(Wrapper):
    """Pausing a queue does nothing."""

    def pause(self, queue: str) -> None: ...


def mutate_broker(mutant: type[Broker]) -> Callable[[Stack, Memory, TurnedBackClock], Stack]:
    def mutate(stack: Stack, memory: Memory, clock: TurnedBackClock) -> Stack:
        return replace(stack, broker=cast("Any", mutant(stack.broker, memory, clock)))

    return mutate


def mutate_replay(stack: Stack, memory: Memory, clock: TurnedBackClock) -> Stack:
    mutant = ReplayWithoutMark(stack.dead_letters, memory, clock)
    mutant.broker = cast("TakesRaw", stack.broker)
    return replace(stack, dead_letters=cast("Any", mutant))


def mutate_results(stack: Stack, memory: Memory, clock: TurnedBackClock) -> Stack:
    return replace(stack, results=cast("Any", UnfencedResults(stack.results, memory, clock)))


def mutate_queues(stack: Stack, memory: Memory, clock: TurnedBackClock) -> Stack:
    return replace(stack, queues=cast("Any", DeafQueues(stack.queues, memory, clock)))


MUTANTS: dict[str, Callable[[Stack, Memory, TurnedBackClock], Stack]] = {
    "acknowledging without a fence": mutate_broker(UnfencedAcknowledgement),
    "renewing by a copy": mutate_broker(RenewalByCopy),
    "acknowledging after the lease lapsed": mutate_broker(LateAcknowledgement),
    "replaying twice": mutate_replay,
    "lapsed leases are never restored": mutate_broker(NothingReclaimed),
    "delayed messages come early": mutate_broker(NothingDelayed),
    "results without a fence": mutate_results,
    "pausing does nothing": mutate_queues,
}


def mutant(name: str, open_stack: OpenStack) -> OpenStack:
    """Return an adapter with the bug; what it opens for one database has one memory."""
    memory = Memory()
    mutate = MUTANTS[name]

    def open_mutant(url: str, *, namespace: str, clock: Clock) -> Stack:
        turned = TurnedBackClock(clock)
        return mutate(open_stack(url, namespace=namespace, clock=turned), memory, turned)

    return open_mutant
