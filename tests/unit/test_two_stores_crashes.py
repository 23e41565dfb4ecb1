"""The process dies between any two steps; another one goes on. Nothing is lost, and one result counts."""

from __future__ import annotations

import uuid
from datetime import timedelta
from itertools import count
from typing import TYPE_CHECKING, Any, cast

import pytest
from two_stores import RESULT_TTL

from stem.adapters.memory.stack import open_stack
from stem.codecs import pack, read_label
from stem.errors import StoreUnavailableError
from stem.message import Message
from stem.ports.broker import Bury, Complete, Release
from stem.ports.deadletters import DeadLetterQuery
from stem.states import DeadReason, TaskState
from stem.testing import ManualClock
from stem.testing.contracts.samples import (
    EVERY_DEAD_LETTER,
    HISTORY,
    LEASE,
    OWNER,
    QUEUE,
    SECOND,
    burial,
    completion,
    ending_of,
    lease,
    lease_one,
    publication,
    rescheduling,
)
from stem.testing.contracts.suite import offered
from stem.testing.faults import Fault, Faults
from stem.two_stores import join_stacks

if TYPE_CHECKING:
    from collections.abc import Callable

    from stem.message import Delivery
    from stem.ports.broker import LeaseSource
    from stem.ports.stack import Stack

PORTS = ("broker", "queues", "dead_letters", "results")
TERMINAL = {"succeeded", "failed", "cancelled"}


class Crash(BaseException):
    """The process is gone; nothing of it may catch this."""


class Fuse:
    """Dies at the n-th call that reaches a database: before it is made, or once it is done."""

    def __init__(self, dies_at: int, *, done: bool) -> None:
        self._calls = count(1)
        self._dies_at = dies_at
        self._done = done
        self.blown = False

    def call(self, method: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        if self.blown:
            raise Crash  # a dead process calls nobody, in ``finally`` neither
        number = next(self._calls)
        if number == self._dies_at and not self._done:
            self.blown = True
            raise Crash
        answer = method(*args, **kwargs)
        if number == self._dies_at:
            self.blown = True
            raise Crash
        return answer


class Fused:
    """A port behind a fuse."""

    def __init__(self, port: Any, fuse: Fuse) -> None:
        self._port = port
        self._fuse = fuse

    def __getattr__(self, name: str) -> Any:
        member = getattr(self._port, name)
        if not callable(member):
            return member
        if name == "source":
            return lambda **kwargs: Fused(member(**kwargs), self._fuse)
        return lambda *args, **kwargs: self._fuse.call(member, *args, **kwargs)


class World:
    """Two databases that survive, and processes that do not."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self._name = str(uuid.uuid4())
        self.raw = self._open("messages").broker
        self.stores = self._open("stores")
        self.runs: list[str] = []
        self.is_followed = False

    def _open(self, part: str) -> Stack:
        return open_stack(f"memory://{self._name}-{part}", namespace="world", clock=self.clock)

    def parts(self) -> tuple[Stack, Stack]:
        return self._open("messages"), self._open("stores")

    def process(self, fuse: Fuse | None = None) -> Stack:
        parts = self.parts()
        if fuse is not None:
            for part in parts:
                for port in PORTS:
                    object.__setattr__(part, port, Fused(getattr(part, port), fuse))
        return join_stacks(parts[0], parts[1], result_ttl=RESULT_TTL, clock=self.clock)

    def run(self, source: LeaseSource) -> Delivery:
        delivery = lease_one(source)
        if isinstance(delivery.content, Message):
            self.runs.append(read_label(delivery.content).task_id)
        return delivery

    def finished(self, delivery: Delivery) -> Complete:
        """Return how a task ends well: ``t`` is followed by another where this world says so."""
        ending = ending_of(delivery, at=self.clock.wall())
        followed = self.is_followed and ending.task_id == "t"
        successors = (publication("after-t"),) if followed else ()
        return Complete(token=delivery.token, ending=ending, successors=successors)

    def work_off(self) -> None:
        """Let another process do all that is left, each task ending well."""
        stack = self.process()
        broker = offered(stack.broker)
        source = broker.source(owner="worker@two")
        for _ in range(4):
            self.clock.advance(LEASE * 3)
            broker.reclaim(limit=100, max_deliveries=5)
            for delivery in lease(source):
                if isinstance(delivery.content, Message):
                    self.runs.append(read_label(delivery.content).task_id)
                    source.settle([self.finished(delivery)])
                else:
                    source.settle([refusal(delivery)])
        (stats,) = offered(stack.queues).stats([QUEUE])
        assert (stats.ready, stats.delayed, stats.leased) == (0, 0, 0), "a message is left"

    def ends(self, task_id: str) -> list[str]:
        timeline = offered(self.stores.results).timeline(task_id)
        return [event.kind for event in timeline if event.kind in TERMINAL]

    def state(self, task_id: str) -> TaskState | None:
        record = offered(self.stores.results).get([task_id]).get(task_id)
        return None if record is None else record.state

    def dead(self, *, replayed: bool = False) -> int:
        return offered(self.stores.dead_letters).count(HISTORY if replayed else EVERY_DEAD_LETTER)


def refusal(delivery: Delivery) -> Bury:
    return Bury(token=delivery.token, reason=DeadReason.ENVELOPE_UNDECODABLE, detail="not JSON")


def nothing(world: World, stack: Stack) -> None: ...


def publish(world: World, stack: Stack) -> None:
    offered(stack.broker).publish([publication("t")])


def start(world: World, stack: Stack) -> Delivery:
    return world.run(offered(stack.broker).source(owner=OWNER))


def complete(world: World, stack: Stack) -> None:
    world.is_followed = True
    source = offered(stack.broker).source(owner=OWNER)
    source.settle([world.finished(world.run(source))])


def release(world: World, stack: Stack) -> None:
    source = offered(stack.broker).source(owner=OWNER)
    source.settle([Release(token=world.run(source).token, due=SECOND)])


def release_unstarted(world: World, stack: Stack) -> None:
    source = offered(stack.broker).source(owner=OWNER)
    source.settle([Release(token=lease_one(source).token, counted=False)])


def retry(world: World, stack: Stack) -> None:
    source = offered(stack.broker).source(owner=OWNER)
    source.settle([rescheduling(world.run(source), due=SECOND)])


def bury(world: World, stack: Stack) -> None:
    source = offered(stack.broker).source(owner=OWNER)
    source.settle([burial(world.run(source), at=world.clock.wall())])


def give_up(world: World, stack: Stack) -> None:
    offered(stack.broker).reclaim(limit=10, max_deliveries=1)


def lapse(world: World, stack: Stack) -> None:
    start(world, stack)
    world.clock.advance(LEASE)


def replay(world: World, stack: Stack) -> None:
    offered(stack.dead_letters).replay(DeadLetterQuery(ids=["t"]), limit=10)


def replay_later(world: World, stack: Stack) -> None:
    offered(stack.dead_letters).replay(DeadLetterQuery(ids=["t"]), limit=10, delay=timedelta(seconds=5))


def published(world: World, stack: Stack) -> None:
    publish(world, stack)


def leased_and_lapsed(world: World, stack: Stack) -> None:
    publish(world, stack)
    lapse(world, stack)


def buried(world: World, stack: Stack) -> None:
    publish(world, stack)
    bury(world, stack)


def purge(world: World, stack: Stack) -> None:
    offered(stack.queues).purge(QUEUE)


SCENARIOS: dict[str, tuple[Callable[[World, Stack], Any], Callable[[World, Stack], Any]]] = {
    "publish": (nothing, publish),
    "start": (published, start),
    "complete": (published, complete),
    "release": (published, release),
    "release what was not started": (published, release_unstarted),
    "retry": (published, retry),
    "bury": (published, bury),
    "give up": (leased_and_lapsed, give_up),
    "replay": (buried, replay),
    "replay later": (buried, replay_later),
}


def crashed(name: str, dies_at: int, *, done: bool) -> tuple[World, bool]:
    """Run a scenario whose process dies; return the world, and whether it died at all."""
    before, step = SCENARIOS[name]
    world = World()
    before(world, world.process())
    fuse = Fuse(dies_at, done=done)
    try:
        step(world, world.process(fuse))
    except Crash:
        return world, True
    assert not fuse.blown, "a crash was caught"
    return world, False


@pytest.mark.parametrize("done", [False, True], ids=["not done", "done, not answered"])
@pytest.mark.parametrize("name", SCENARIOS)
def test_a_crash_at_any_call_loses_nothing_and_leaves_one_result(name: str, done: bool) -> None:
    for dies_at in count(1):
        world, died = crashed(name, dies_at, done=done)
        if not died:
            break
        if name == "publish":
            # Nobody told the caller that it is published, so it publishes again.
            publish(world, world.process())
        if name.startswith("replay") and world.dead() == 1:
            replay(world, world.process())
        world.work_off()
        check(world, name, f"{name}, call {dies_at}")

    assert dies_at > 1, "no call reached a database"


def check(world: World, name: str, where: str) -> None:
    ends = world.ends("t")
    lives = 2 if name.startswith("replay") else 1
    assert len(ends) == lives, f"{where}: ended {ends}"
    assert world.state("t") in {TaskState.SUCCEEDED, TaskState.FAILED}, where
    assert world.runs.count("t") <= lives + 1, f"{where}: ran {world.runs}"
    if name == "complete":
        assert world.ends("after-t") == ["succeeded"], where
        assert world.runs.count("after-t") == 1, where
    if ends == ["failed"]:
        assert world.dead() == 1, f"{where}: failed, and not in the dead letters"
    assert world.dead(replayed=True) <= 1, where


@pytest.mark.parametrize("done", [False, True], ids=["not done", "done, not answered"])
def test_a_crash_while_garbage_is_buried_keeps_its_bytes_once(done: bool) -> None:
    for dies_at in count(1):
        world = World()
        cast("Any", world.raw).publish_raw(QUEUE, "{ garbage")
        fuse = Fuse(dies_at, done=done)
        try:
            source = offered(world.process(fuse).broker).source(owner=OWNER)
            source.settle([refusal(lease_one(source))])
        except Crash:
            world.work_off()
        (entry,) = offered(world.stores.dead_letters).page(EVERY_DEAD_LETTER)[0]
        assert entry.payload == b"{ garbage", dies_at
        if not fuse.blown:
            break


@pytest.mark.parametrize("done", [False, True], ids=["not done", "done, not answered"])
def test_a_crash_while_a_queue_is_purged_runs_a_task_or_cancels_it(done: bool) -> None:
    for dies_at in count(1):
        world = World()
        publish(world, world.process())
        fuse = Fuse(dies_at, done=done)
        try:
            purge(world, world.process(fuse))
        except Crash:
            purge(world, world.process())
        world.work_off()
        # The one gap that is told of: its message is removed, and nobody noted it.
        assert world.ends("t") == ["cancelled"] or (world.state("t"), world.runs) == (TaskState.QUEUED, [])
        if not fuse.blown:
            assert world.ends("t") == ["cancelled"]
            break


def test_a_message_that_was_published_twice_runs_once() -> None:
    world = World()
    stack = world.process()
    broker = cast("Any", stack.broker)
    publish(world, stack)
    first = lease_one(broker.source(owner=OWNER))
    assert isinstance(first.content, Message)
    broker.inner.publish_raw(QUEUE, pack(first.content, queue=QUEUE))

    assert lease(broker.source(owner="worker@two")) == []

    world.work_off()
    assert world.ends("t") == ["succeeded"]


def test_a_worker_that_was_overtaken_cannot_write() -> None:
    world = World()
    stack = world.process()
    publish(world, stack)
    late = offered(stack.broker).source(owner=OWNER)
    first = lease_one(late)
    world.clock.advance(LEASE)
    offered(stack.broker).reclaim(limit=10, max_deliveries=5)
    second_source = offered(world.process().broker).source(owner="worker@two")
    second = lease_one(second_source)

    assert late.settle([completion(first, at=world.clock.wall())]) == [False]
    assert offered(stack.results).finish([ending_of(first, at=world.clock.wall())]) == [False]
    assert second_source.settle([completion(second, at=world.clock.wall())]) == [True]

    assert world.ends("t") == ["succeeded"]


@pytest.mark.parametrize("call", ["results.get", "results.start"])
@pytest.mark.parametrize("fault", list(Fault))
def test_while_the_stores_fail_messages_are_given_back(call: str, fault: Fault) -> None:
    world = World()
    publish(world, world.process())
    faults = Faults()
    messages, stores = world.parts()
    stack = join_stacks(messages, faults.wrap(stores), result_ttl=RESULT_TTL, clock=world.clock)
    source = offered(stack.broker).source(owner=OWNER)
    faults.fail_next(call, fault)

    with pytest.raises(StoreUnavailableError):
        lease(source)

    (delivery,) = lease(source)
    assert delivery.deliveries == (2 if call == "results.start" else 1)
    assert source.settle([completion(delivery, at=world.clock.wall())]) == [True]
    assert world.ends("t") == ["succeeded"]
