"""Waiting: by pushes of the server, and by looking again and again where there are none."""

from __future__ import annotations

import os
import threading
import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from redis import Redis
from redis_place import RedisPlace
from redis_server import RedisServer, needs_binary

from stem.adapters.redis.stack import open_stack
from stem.clock import SystemClock
from stem.testing.contracts.samples import OWNER, publication, task_ids
from stem.testing.contracts.suite import offered

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from stem.adapters.redis.source import RedisSource
    from stem.ports.broker import Broker

LEASE = timedelta(seconds=30)
CLOCK = SystemClock()


class Waiting:
    """A source, and a producer on connections of its own."""

    def __init__(self, url: str | None = None) -> None:
        self.place = RedisPlace()
        self.stacks = [
            open_stack(url or self.place.url, namespace="stem", clock=SystemClock()) for _ in range(2)
        ]
        self.broker: Broker = offered(self.stacks[0].broker)
        self.source: Any = offered(self.stacks[1].broker).source(owner=OWNER)
        self.source.lease(["first", "second"], limit=1, duration=LEASE)

    def waited_s(self, timeout_s: float) -> float:
        began_s = CLOCK.monotonic()
        self.source.wait(timeout_s)
        return CLOCK.monotonic() - began_s

    def after(self, seconds: float, publication: Any) -> threading.Timer:
        timer = threading.Timer(seconds, self.broker.publish, [[publication]])
        timer.start()
        return timer

    def make_deaf(self) -> None:
        self.source._doorbell._failures = 3

    def close(self) -> None:
        self.source.close()
        for stack in self.stacks:
            stack.close()
        self.place.close()


@pytest.fixture(params=["pushes", "polling"])
def waiting(request: pytest.FixtureRequest) -> Iterator[Waiting]:
    waiting = Waiting()
    if request.param == "polling":
        waiting.make_deaf()
    yield waiting
    waiting.close()


def test_the_server_sends_pushes() -> None:
    waiting = Waiting()

    waiting.source.wait(0.01)

    source: RedisSource = waiting.source
    assert source._doorbell._failures == 0
    assert source._doorbell._link is not None
    waiting.close()


@pytest.mark.parametrize("queue", ["first", "second"])
@pytest.mark.parametrize("priority", [0, 9])
def test_a_message_ends_the_wait(waiting: Waiting, queue: str, priority: int) -> None:
    timer = waiting.after(0.2, publication("t", queue=queue, priority=priority))

    waited_s = waiting.waited_s(20)

    timer.join()
    assert 0.1 < waited_s < 5
    assert task_ids(waiting.source.lease(["first", "second"], limit=1, duration=LEASE)) == ["t"]


def test_a_message_that_was_there_ends_the_wait_at_once(waiting: Waiting) -> None:
    waiting.broker.publish([publication("t", queue="second")])

    assert waiting.waited_s(20) < 5


def test_a_new_delayed_message_ends_the_wait_at_its_time(waiting: Waiting) -> None:
    waiting.after(0.1, publication("t", queue="first", due=timedelta(seconds=0.5))).join()
    waited_s = sum(waiting.waited_s(20) for _ in range(1))
    while not (leased := waiting.source.lease(["first"], limit=1, duration=LEASE)):
        waited_s += waiting.waited_s(20)

    assert task_ids(leased) == ["t"]
    assert 0.3 < waited_s < 5


def test_messages_of_a_paused_queue_do_not_end_the_wait(waiting: Waiting) -> None:
    queues = offered(waiting.stacks[0].queues)
    queues.pause("first")
    waiting.broker.publish([publication("t", queue="first")])

    assert waiting.waited_s(0.5) >= 0.5
    timer = threading.Timer(0.2, queues.resume, ["first"])
    timer.start()
    assert 0.1 < waiting.waited_s(20) < 5
    timer.join()


def test_a_wake_up_ends_the_wait(waiting: Waiting) -> None:
    timer = threading.Timer(0.2, waiting.source.wake)
    timer.start()

    assert waiting.waited_s(20) < 5
    timer.join()


def test_waiting_takes_little_of_the_processor(waiting: Waiting) -> None:
    waiting.source.wait(0.3)
    began_s = time.process_time()

    waiting.source.wait(3)

    assert time.process_time() - began_s < 0.03 * 3


@needs_binary
@pytest.mark.parametrize("deaf", [False, True])
def test_cut_connections_are_made_again(tmp_path: Path, deaf: bool) -> None:
    with RedisServer(tmp_path) as server:
        server.ready()
        waiting = Waiting(server.url())
        if deaf:
            waiting.make_deaf()
        waiting.source.wait(0.05)
        with Redis(port=server.port) as redis:
            redis.client_kill_filter(_type="normal", skipme=True)

        waiting.source.wait(0.05)
        timer = waiting.after(0.2, publication("t", queue="first"))
        while not waiting.source.lease(["first"], limit=1, duration=LEASE):
            assert waiting.waited_s(20) < 5
        timer.join()
        waiting.close()


def test_a_child_of_a_fork_uses_connections_of_its_own(waiting: Waiting) -> None:
    waiting.broker.publish([publication("before", queue="first")])
    child = os.fork()
    if child == 0:
        try:
            published = waiting.broker.publish([publication("child", queue="first")])
        finally:
            os._exit(0 if published == [True] else 1)
    answers = [waiting.broker.publish([publication(f"t{number}", queue="first")]) for number in range(100)]

    assert os.waitpid(child, 0)[1] == 0
    assert answers == [[True]] * 100
    assert offered(waiting.stacks[0].queues).stats(["first"])[0].ready == 102
