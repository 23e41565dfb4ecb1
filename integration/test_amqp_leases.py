"""Messages on a real RabbitMQ: what is leased through a connection, and what becomes of it."""

from __future__ import annotations

import os
import threading
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
from amqp_place import CLOCK, ctl, declare_queue, delete_queues, own_vhost, refuses, vhost_of
from fleet import until

from stem.adapters.amqp.stack import open_stack
from stem.adapters.memory.stack import open_stack as open_memory
from stem.codecs import unpack
from stem.errors import ConfigurationError, StoreDeniedError, StoreError, StoreUnavailableError
from stem.message import Message
from stem.ports.broker import Bury, Complete, Release
from stem.states import DeadReason, TaskState
from stem.testing.contracts.samples import (
    EVERY_DEAD_LETTER,
    LEASE,
    OWNER,
    QUEUE,
    burial,
    completion,
    ending_of,
    lease,
    message,
    publication,
    publish,
    rescheduling,
    task_id,
    task_ids,
)
from stem.testing.contracts.suite import offered
from stem.two_stores import join_stacks

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stem.message import Delivery
    from stem.ports.broker import LeaseSource
    from stem.ports.stack import Stack

QUEUE_TYPES = ["quorum", "classic"]
DEAD_QUEUE = "test.dlq"


class World:
    """A virtual host, stores in memory, and processes that use both."""

    def __init__(self, url: str, queue_type: str) -> None:
        self.url = url
        self.queue_type = queue_type
        self._stores = open_memory("memory://", namespace="test", clock=CLOCK)
        self._opened: list[Stack] = []
        self._sources: list[LeaseSource] = []

    def process(self, options: str = "") -> Stack:
        messages = open_stack(
            f"{self.url}?queue_type={self.queue_type}{options}", namespace="test", clock=CLOCK
        )
        joined = join_stacks(messages, self._stores, result_ttl=LEASE, clock=CLOCK)
        self._opened.append(joined)
        return joined

    def source(self, owner: str = OWNER, *, of: Stack | None = None) -> LeaseSource:
        source = offered((of or self.process()).broker).source(owner=owner)
        self._sources.append(source)
        return source

    def cut(self) -> None:
        """End every connection, as a restart of the server would."""
        ctl("close_all_connections", "--vhost", vhost_of(self.url), "test")

    def ends(self, name: str) -> list[str]:
        timeline = offered(self._stores.results).timeline(name)
        return [event.kind for event in timeline if event.kind in ("succeeded", "failed", "cancelled")]

    def close(self) -> None:
        for port in (*self._sources, *self._opened):
            port.close()


@pytest.fixture(scope="module")
def vhost() -> Iterator[str]:
    with own_vhost() as url:
        yield url


@pytest.fixture(params=QUEUE_TYPES)
def world(request: pytest.FixtureRequest, vhost: str) -> Iterator[World]:
    delete_queues(vhost, QUEUE, "mail", "high.mail", DEAD_QUEUE)
    world = World(vhost, request.param)
    yield world
    world.close()


def wait_for(source: LeaseSource, *, count: int = 1, queues: tuple[str, ...] = (QUEUE,)) -> list[Delivery]:
    """Lease until there are so many."""
    leased: list[Delivery] = []

    def enough() -> bool:
        leased.extend(source.lease(queues, limit=count - len(leased), duration=LEASE))
        if len(leased) < count:
            source.wait(0.2)
        return len(leased) == count

    until(enough, limit_s=15, what=f"{count} messages")
    return leased


def nothing_left(world: World) -> bool:
    return not wait_shortly(world.source("worker@last"))


def wait_shortly(source: LeaseSource) -> list[Delivery]:
    leased = lease(source)
    if not leased:
        source.wait(0.3)
        leased = lease(source)
    return leased


def test_a_message_is_published_leased_and_settled(world: World) -> None:
    stack = world.process()
    publish(offered(stack.broker), "a", "b", "c")
    source = world.source(of=stack)

    deliveries = wait_for(source, count=3)

    assert task_ids(deliveries) == ["a", "b", "c"]
    assert {each.deliveries for each in deliveries} == {1}
    assert source.settle([completion(each, at=CLOCK.wall()) for each in deliveries]) == [True] * 3
    assert source.settle([completion(each, at=CLOCK.wall()) for each in deliveries]) == [False] * 3
    assert world.ends("a") == ["succeeded"]
    assert nothing_left(world)


def test_a_lost_connection_loses_every_lease_and_no_message(world: World) -> None:
    stack = world.process()
    publish(offered(stack.broker), "t")
    source = world.source(of=stack)
    (first,) = wait_for(source)

    world.cut()

    until(lambda: source.renew([first.token], duration=LEASE) == {first.token}, limit_s=5)
    other = world.source("worker@two")
    (second,) = wait_for(other)
    assert (task_id(second), second.deliveries) == ("t", 2)
    assert second.fence > first.fence
    assert source.settle([completion(first, at=CLOCK.wall())]) == [False]
    assert other.settle([completion(second, at=CLOCK.wall())]) == [True]
    assert world.ends("t") == ["succeeded"]


def test_settling_after_the_connection_was_lost_is_refused_or_an_error(world: World) -> None:
    stack = world.process()
    publish(offered(stack.broker), "t")
    source = world.source(of=stack)
    (delivery,) = wait_for(source)
    world.cut()

    def settled() -> list[bool]:
        try:
            return source.settle([completion(delivery, at=CLOCK.wall())])
        except StoreUnavailableError:
            return source.settle([completion(delivery, at=CLOCK.wall())])

    assert settled() == [False]
    # Its result may have been written before the loss was seen; then the message goes unrun.
    for again in wait_shortly(source):
        source.settle([completion(again, at=CLOCK.wall())])
    assert world.ends("t") == ["succeeded"]
    assert nothing_left(world)


def test_a_closed_source_gives_back_what_it_held(world: World) -> None:
    stack = world.process()
    publish(offered(stack.broker), "leased", "pushed")
    source = world.source(of=stack)
    source.lease([QUEUE], limit=2, duration=LEASE)
    source.close()
    source.close()

    again = wait_for(world.source("worker@two"), count=2)

    assert sorted(task_ids(again)) == ["leased", "pushed"]


def test_what_was_pushed_and_never_leased_does_not_count(world: World) -> None:
    stack = world.process()
    broker = offered(stack.broker)
    publish(broker, "a", "b", "c")
    first = world.source(of=stack)
    first.lease([QUEUE], limit=3, duration=LEASE)
    publish(broker, "d")
    first.wait(0.5)
    first.close()

    again = wait_for(world.source("worker@two"), count=4)

    counts = {task_id(each): each.deliveries for each in again}
    assert counts["d"] == 1


def test_deliveries_are_counted_per_attempt(world: World) -> None:
    stack = world.process()
    publish(offered(stack.broker), "t")
    source = world.source(of=stack)

    counts: list[int] = []
    for settle in (
        lambda each: Release(token=each.token),
        lambda each: Release(token=each.token),
        lambda each: Release(token=each.token, counted=False),
        rescheduling,
        lambda each: completion(each, at=CLOCK.wall()),
    ):
        (delivery,) = wait_for(source)
        counts.append(delivery.deliveries)
        assert source.settle([settle(delivery)]) == [True]

    assert counts == [1, 2, 3, 3, 1]
    assert nothing_left(world)


@pytest.mark.parametrize("queue", ["mail", "high.mail"])
def test_a_delayed_message_comes_once_and_never_early(world: World, queue: str) -> None:
    stack = world.process()
    broker = offered(stack.broker)
    publish(broker, "other", queue="high.mail" if queue == "mail" else "mail")
    before_s = CLOCK.monotonic()
    broker.publish([publication("t", queue=queue, due=timedelta(seconds=1.2))])
    source = world.source(of=stack)

    (delivery,) = wait_for(source, queues=(queue,))

    assert 1.2 <= CLOCK.monotonic() - before_s < 5
    assert task_id(delivery) == "t"
    assert source.settle([completion(delivery, at=CLOCK.wall())]) == [True]
    (other,) = wait_for(source, queues=("mail", "high.mail"))
    assert task_id(other) == "other"
    assert source.settle([completion(other, at=CLOCK.wall())]) == [True]


def test_a_retry_waits_and_comes_as_the_next_attempt(world: World) -> None:
    stack = world.process()
    publish(offered(stack.broker), "t")
    source = world.source(of=stack)
    (first,) = wait_for(source)

    source.settle([rescheduling(first, due=timedelta(seconds=1))])

    (second,) = wait_for(source)
    assert isinstance(second.content, Message)
    assert second.content.headers["retries"] == 1
    assert (second.deliveries, second.fence > first.fence) == (1, True)


def test_what_is_delivered_too_often_is_buried_when_it_comes_again(world: World) -> None:
    stack = world.process()
    broker = offered(stack.broker)
    broker.reclaim(limit=10, max_deliveries=2)
    publish(broker, "t", "neighbour")
    source = world.source(of=stack)
    for _ in range(2):
        deliveries = {task_id(each): each for each in wait_for(source, count=1)}
        source.settle([Release(token=deliveries["t"].token)])

    leased: list[str] = []

    def is_buried() -> bool:
        leased.extend(task_ids(wait_shortly(source)))
        broker.reclaim(limit=10, max_deliveries=2)
        return offered(stack.dead_letters).count(EVERY_DEAD_LETTER) == 1

    until(is_buried, limit_s=10)
    assert leased == ["neighbour"]
    (entry,) = offered(stack.dead_letters).page(EVERY_DEAD_LETTER)[0]
    assert (entry.task_id, entry.reason, entry.queue) == ("t", DeadReason.WORKER_LOST, QUEUE)
    assert offered(stack.results).get(["t"])["t"].state is TaskState.FAILED


def test_the_queues_own_limit_leads_to_the_dead_letters(vhost: str) -> None:
    delete_queues(vhost, QUEUE, DEAD_QUEUE)
    world = World(vhost, "quorum")
    stack = world.process("&delivery_limit=1")
    publish(offered(stack.broker), "t")
    for _ in range(2):
        source = world.source(of=stack)
        wait_for(source)
        source.close()

    def drained() -> bool:
        offered(stack.broker).reclaim(limit=10, max_deliveries=9)
        return offered(stack.dead_letters).count(EVERY_DEAD_LETTER) == 1

    until(drained, limit_s=15)
    (entry,) = offered(stack.dead_letters).page(EVERY_DEAD_LETTER)[0]
    assert (entry.task_id, entry.reason, entry.queue) == ("t", DeadReason.WORKER_LOST, QUEUE)
    assert offered(stack.results).get(["t"])["t"].state is TaskState.FAILED
    (replayed,) = offered(stack.dead_letters).replay(EVERY_DEAD_LETTER, limit=10)
    assert replayed.task_id == "t"
    (again,) = wait_for(world.source(of=stack))
    assert (task_id(again), again.deliveries) == ("t", 1)
    world.close()


def test_a_buried_message_is_in_the_store_with_its_bytes(world: World) -> None:
    stack = world.process()
    body = bytes(range(256))
    offered(stack.broker).publish([publication("t", content=message("t", body=body))])
    source = world.source(of=stack)
    (delivery,) = wait_for(source)

    assert source.settle([burial(delivery, at=CLOCK.wall())]) == [True]

    (entry,) = offered(stack.dead_letters).page(EVERY_DEAD_LETTER)[0]
    kept = unpack(entry.payload)
    assert isinstance(kept, Message)
    assert kept.body == body
    assert offered(stack.results).get(["t"])["t"].state is TaskState.FAILED
    assert nothing_left(world)


def test_a_message_that_names_no_task_is_buried_through_the_broker(world: World) -> None:
    stack = world.process()
    nameless = Message(headers={"x": 1}, properties={}, body=b"\x00 nothing")
    offered(stack.broker).publish([publication("", content=nameless, recorded=False)])
    source = world.source(of=stack)
    (delivery,) = wait_for(source)
    bury = Bury(token=delivery.token, reason=DeadReason.HEADER_MISSING, detail="id", facts={"cells": [1, 2]})

    assert source.settle([bury]) == [True]

    (entry,) = offered(stack.dead_letters).page(EVERY_DEAD_LETTER)[0]
    assert (entry.reason, entry.detail, entry.queue, entry.facts) == (
        bury.reason,
        "id",
        QUEUE,
        {"cells": [1, 2]},
    )
    assert nothing_left(world)


def test_a_message_that_was_published_twice_runs_once(world: World) -> None:
    stack = world.process()
    broker: Any = offered(stack.broker)
    publish(broker, "t")
    broker.inner.publish([publication("t", recorded=False)])
    source = world.source(of=stack)

    deliveries = wait_shortly(source) + wait_shortly(source)

    assert task_ids(deliveries) == ["t"]
    assert source.settle([completion(deliveries[0], at=CLOCK.wall())]) == [True]
    assert nothing_left(world)
    assert broker.publish([publication("t")]) == [False]


def test_two_sources_never_share(world: World) -> None:
    stack = world.process()
    names = [f"t{number:03}" for number in range(200)]
    publish(offered(stack.broker), *names)
    shares: list[list[str]] = [[], []]

    def drain(share: list[str]) -> None:
        source = world.source(f"worker@{id(share)}")
        while batch := wait_shortly(source):
            share += task_ids(batch)
            source.settle([completion(each, at=CLOCK.wall()) for each in batch])

    threads = [threading.Thread(target=drain, args=(share,)) for share in shares]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert sorted(shares[0] + shares[1]) == names


def test_nothing_is_leased_from_a_paused_queue(world: World) -> None:
    stack = world.process()
    publish(offered(stack.broker), "t")
    publish(offered(stack.broker), "m", queue="mail")
    offered(stack.queues).pause(QUEUE)
    source = world.source(of=stack)

    assert task_ids(wait_for(source, queues=(QUEUE, "mail"))) == ["m"]
    assert source.lease([QUEUE, "mail"], limit=9, duration=LEASE) == []
    offered(stack.queues).resume(QUEUE)

    assert task_ids(wait_for(source, queues=(QUEUE, "mail"))) == ["t"]


def test_a_purged_queues_records_are_cancelled(world: World) -> None:
    stack = world.process()
    publish(offered(stack.broker), "a", "b")

    until(lambda: offered(stack.queues).stats([QUEUE])[0].ready == 2, limit_s=5)
    assert offered(stack.queues).purge(QUEUE) == 2

    records = offered(stack.results).get(["a", "b"])
    assert {record.state for record in records.values()} == {TaskState.CANCELLED}
    assert nothing_left(world)


def test_what_cannot_be_shown_is_told(world: World) -> None:
    queues = offered(world.process().queues)

    with pytest.raises(ConfigurationError, match="shows no waiting messages"):
        queues.browse(QUEUE)
    assert queues.cancel(["t"], reason="") == set()
    assert [(stats.queue, stats.ready) for stats in queues.stats(["never"])] == [("never", 0)]


def test_an_existing_queue_is_used_as_it_is(vhost: str, caplog: pytest.LogCaptureFixture) -> None:
    delete_queues(vhost, "mail", DEAD_QUEUE)
    declare_queue(vhost, "mail", **{"x-max-length": 1000})
    world = World(vhost, "quorum")
    stack = world.process()
    publish(offered(stack.broker), "t", queue="mail")
    source = world.source(of=stack)
    (delivery,) = wait_for(source, queues=("mail",))
    source.settle([Release(token=delivery.token)])
    (delivery,) = wait_for(source, queues=("mail",))
    source.settle([completion(delivery, at=CLOCK.wall())])

    assert not refuses(vhost, "mail", **{"x-max-length": 1000})
    assert [record.message for record in caplog.records].count("queue.classic") == 1
    world.close()


def test_a_queue_that_is_deleted_is_made_again(world: World) -> None:
    stack = world.process()
    publish(offered(stack.broker), "a")
    source = world.source(of=stack)
    wait_for(source)

    delete_queues(world.url, QUEUE)
    publish(offered(stack.broker), "b")

    # RabbitMQ 3.10 lets the consumer of a deleted quorum queue starve once the queue is there
    # again, for as long as its connection lives.
    if world.queue_type == "quorum":
        source.close()
        source = world.source()
    assert task_ids(wait_for(source)) == ["b"]


def test_a_full_queue_refuses_and_the_producer_is_told(vhost: str) -> None:
    delete_queues(vhost, "mail")
    declare_queue(vhost, "mail", **{"x-max-length": 1, "x-overflow": "reject-publish"})
    world = World(vhost, "quorum")
    broker = offered(world.process().broker)
    publish(broker, "a", queue="mail")

    with pytest.raises(StoreUnavailableError, match="refused a message"):
        broker.publish([publication("b", queue="mail")])
    world.close()
    delete_queues(vhost, "mail")


def test_a_connection_that_ended_while_nothing_was_sent_costs_nothing(world: World) -> None:
    broker = offered(world.process().broker)
    publish(broker, "a")
    world.cut()

    publish(broker, "b")

    assert sorted(task_ids(wait_for(world.source(), count=2))) == ["a", "b"]


def test_a_wake_up_ends_a_wait(world: World) -> None:
    source = world.source()
    lease(source)
    waiting = threading.Thread(target=source.wait, args=(60.0,), daemon=True)
    waiting.start()

    source.wake()

    waiting.join(5)
    assert not waiting.is_alive()
    source.wake()
    source.wait(60.0)


def test_a_wait_ends_when_a_message_is_pushed(world: World) -> None:
    source = world.source()
    lease(source)
    waiting = threading.Thread(target=source.wait, args=(60.0,), daemon=True)
    waiting.start()

    publish(offered(world.process().broker), "t")

    waiting.join(5)
    assert not waiting.is_alive()
    assert task_ids(lease(source)) == ["t"]


@pytest.mark.parametrize(
    ("url", "kind", "words"),
    [
        ("amqp://guest:wrong-secret@{server}//", StoreDeniedError, "user and password"),
        ("amqp://guest:guest@{server}/no-such-vhost", StoreDeniedError, "virtual host"),
        ("amqp://guest:wrong-secret@127.0.0.1:9//", StoreUnavailableError, "RabbitMQ runs there"),
        ("amqps://guest:guest@{server}//?timeout=3s", StoreError, "127.0.0.1"),
    ],
    ids=["wrong password", "no such vhost", "refused", "no TLS there"],
)
def test_what_went_wrong_is_told_in_one_line_without_secrets(
    vhost: str, url: str, kind: type[StoreError], words: str
) -> None:
    server = urlsplit(vhost).netloc.rpartition("@")[2]
    stack = open_stack(url.format(server=server), namespace="test", clock=CLOCK)

    with pytest.raises(kind) as told:
        offered(stack.broker).publish([publication("t")])

    assert words in str(told.value)
    assert "\n" not in str(told.value)
    assert "wrong-secret" not in str(told.value)
    assert "wrong-secret" not in repr(stack)


def test_a_blocked_server_takes_nothing_and_says_so(vhost: str) -> None:
    world = World(vhost, "quorum")
    broker = offered(world.process("&timeout=2s").broker)
    delete_queues(vhost, QUEUE)
    publish(broker, "before")
    limit = ctl("eval", "vm_memory_monitor:get_vm_memory_high_watermark().").strip()
    ctl("set_vm_memory_high_watermark", "0.000001")
    try:
        until(lambda: "resource_limit" in ctl("eval", "rabbit_alarm:get_alarms()."), limit_s=20)
        with pytest.raises(StoreError) as told:
            broker.publish([publication("during")])
        assert told.value.transient
        assert "alarm" in str(told.value)
    finally:
        ctl("set_vm_memory_high_watermark", limit)

    assert broker.publish([publication("during")]) == [True]
    world.close()


def test_a_reply_that_comes_too_late_for_the_consumer_costs_the_lease_only(vhost: str) -> None:
    """The server closes the channel of whoever works longer than its ``consumer_timeout``."""
    delete_queues(vhost, QUEUE)
    before = ctl("eval", "application:get_env(rabbit, consumer_timeout).").strip()
    assert before.startswith("{ok,"), before
    ctl("eval", "application:set_env(rabbit, consumer_timeout, 1000).")
    world = World(vhost, "quorum")
    try:
        stack = world.process()
        publish(offered(stack.broker), "t")
        source = world.source(of=stack)
        (first,) = wait_for(source)
        # The server looks once a minute.
        until(lambda: source.renew([first.token], duration=LEASE) == {first.token}, limit_s=90)

        (second,) = wait_for(source)
        assert (task_id(second), second.deliveries) == ("t", 2)
        assert source.settle([replace(completion(first, at=CLOCK.wall()))]) == [False]
        assert source.settle([completion(second, at=CLOCK.wall())]) == [True]
        assert world.ends("t") == ["succeeded"]
    finally:
        value = before.removeprefix("{ok,").removesuffix("}")
        ctl("eval", f"application:set_env(rabbit, consumer_timeout, {value}).")
        world.close()


def test_a_fork_leaves_the_connection_to_the_parent(world: World) -> None:
    broker = offered(world.process().broker)
    publish(broker, "a")

    child = os.fork()
    if child == 0:
        try:
            publish(broker, "b")
            os._exit(0)
        finally:
            os._exit(1)
    _, status = os.waitpid(child, 0)

    assert status == 0
    publish(broker, "c")
    assert sorted(task_ids(wait_for(world.source(), count=2))) in (["a", "c"], ["a", "b"], ["b", "c"])


def test_successors_are_published_with_the_completion(world: World) -> None:
    stack = world.process()
    publish(offered(stack.broker), "t")
    source = world.source(of=stack)
    (delivery,) = wait_for(source)
    ending = ending_of(delivery, at=CLOCK.wall())

    complete = Complete(token=delivery.token, ending=ending, successors=(publication("next"),))
    assert source.settle([complete]) == [True]

    assert task_ids(wait_for(source)) == ["next"]


def test_deleted_queues_for_delays_are_made_again(world: World) -> None:
    stack = world.process()
    offered(stack.broker).publish([publication("first", due=timedelta(seconds=1))])
    source = world.source(of=stack)
    (first,) = wait_for(source)

    delete_queues(world.url)
    offered(stack.broker).publish([publication("second", due=timedelta(seconds=1))])
    assert source.settle([rescheduling(first, due=timedelta(seconds=1))]) == [True]

    assert sorted(task_ids(wait_for(source, count=2))) == ["first", "second"]
