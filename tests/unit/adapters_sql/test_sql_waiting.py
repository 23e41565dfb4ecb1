"""Waiting, and what an idle worker leaves alone."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import timedelta
from threading import Thread
from typing import TYPE_CHECKING

from stem.adapters.sql.stack import open_stack
from stem.clock import SystemClock
from stem.ports.broker import Release
from stem.testing import ManualClock
from stem.testing.contracts.samples import ending, lease, lease_one, new_task, publish, task_ids
from stem.testing.contracts.suite import offered

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from stem.ports.broker import Broker, LeaseSource
    from stem.ports.stack import Stack

    Open = Callable[..., Stack]

LONG_S = 60.0
CLOCK = SystemClock()


def opened_source(broker: Broker) -> LeaseSource:
    source = broker.source(owner="worker@one")
    assert lease(source) == []
    return source


def waiting(source: LeaseSource) -> Thread:
    thread = Thread(target=source.wait, args=(LONG_S,), daemon=True)
    thread.start()
    return thread


def ended(thread: Thread) -> bool:
    thread.join(LONG_S / 2)
    return not thread.is_alive()


def test_a_message_of_another_process_ends_the_wait(opened: Open, path: Path) -> None:
    source = opened_source(offered(opened(path).broker))
    thread = waiting(source)

    publish(offered(opened(path).broker), "t")

    assert ended(thread)
    assert task_ids(lease(source)) == ["t"]


def test_a_message_that_came_before_the_wait_ends_it(opened: Open, path: Path) -> None:
    broker = offered(opened(path).broker)
    source = opened_source(broker)
    publish(broker, "t")

    assert ended(waiting(source))


def test_what_this_source_gave_back_ends_its_wait(opened: Open, path: Path) -> None:
    broker = offered(opened(path).broker)
    source = broker.source(owner="worker@one")
    publish(broker, "t")
    source.settle([Release(token=lease_one(source).token)])

    assert ended(waiting(source))


def test_a_delayed_message_ends_the_wait_when_it_is_due(opened: Open, path: Path) -> None:
    broker = offered(opened(path).broker)
    source = opened_source(broker)
    began_s = CLOCK.monotonic()
    publish(broker, "t", due=timedelta(milliseconds=200))

    source.wait(LONG_S)

    assert 0.19 < CLOCK.monotonic() - began_s < LONG_S / 2
    assert task_ids(lease(source)) == ["t"]


def test_a_message_of_no_interest_does_not_end_the_wait(opened: Open, path: Path) -> None:
    clock = ManualClock()
    stack = open_stack(f"sqlite:///{path}", namespace="stem", clock=clock)
    broker = offered(stack.broker)
    source = opened_source(broker)
    thread = Thread(target=source.wait, args=(LONG_S,), daemon=True)
    thread.start()
    clock.wait_for_sleepers(1)

    publish(broker, "t", queue="other")
    clock.advance(1)
    clock.wait_for_sleepers(1)

    assert thread.is_alive()
    clock.advance(LONG_S)
    assert ended(thread)
    stack.close()


def test_resuming_a_queue_ends_the_wait_and_pausing_keeps_it(opened: Open, path: Path) -> None:
    stack = opened(path)
    broker, queues = offered(stack.broker), offered(stack.queues)
    source = opened_source(broker)
    queues.pause("default")
    publish(broker, "t")

    source.wait(0.05)
    assert lease(source) == []
    thread = waiting(source)
    queues.resume("default")

    assert ended(thread)
    assert task_ids(lease(source)) == ["t"]


def test_wake_before_the_wait_ends_it_once(opened: Open, path: Path) -> None:
    source = opened_source(offered(opened(path).broker))
    source.wake()

    assert ended(waiting(source))

    began_s = CLOCK.monotonic()
    source.wait(0.1)
    assert CLOCK.monotonic() - began_s > 0.09


def test_an_idle_worker_does_not_ask_for_the_write_lock(opened: Open, path: Path) -> None:
    stack = opened(path, "?busy_timeout=0s")
    broker, results = offered(stack.broker), offered(stack.results)
    publish(broker, "t", due=timedelta(days=1))
    source = opened_source(broker)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")

        assert lease(source) == []
        source.wait(0.02)
        assert broker.reclaim(limit=10, max_deliveries=3) == []
        results.wait(["t"], timeout_s=0.02)

        other.execute("ROLLBACK")


def test_a_result_written_by_another_process_ends_the_wait(opened: Open, path: Path) -> None:
    results = offered(opened(path).results)
    results.add([new_task("t")])
    thread = Thread(target=results.wait, args=(["t"],), kwargs={"timeout_s": LONG_S}, daemon=True)
    thread.start()

    offered(opened(path).results).finish([ending("t", at=CLOCK.wall())])

    assert ended(thread)


def test_many_threads_can_wait_while_others_work(opened: Open, path: Path) -> None:
    stack = opened(path)
    results = offered(stack.results)
    names = [f"t{number}" for number in range(20)]
    results.add([new_task(name) for name in names])
    threads = [
        Thread(target=results.wait, args=([name],), kwargs={"timeout_s": LONG_S}, daemon=True)
        for name in names
    ]
    for thread in threads:
        thread.start()

    results.finish([ending(name, at=CLOCK.wall()) for name in names])

    assert all(ended(thread) for thread in threads)
