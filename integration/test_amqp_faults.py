"""The network between Stem and RabbitMQ: silent, cut, idle."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit

import pytest
from amqp_place import CLOCK, delete_queues, own_vhost
from fleet import until

from stem.adapters.amqp.source import AmqpSource
from stem.adapters.amqp.stack import open_stack
from stem.adapters.memory.stack import open_stack as open_memory
from stem.errors import StoreUnavailableError
from stem.testing.contracts.samples import LEASE, OWNER, QUEUE, completion, publication, publish, task_id
from stem.testing.contracts.suite import offered
from stem.testing.proxy import FaultProxy
from stem.two_stores import join_stacks

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stem.ports.broker import Broker, LeaseSource
    from stem.ports.stack import Stack

CUTS = 20
CONFIRM = b"\x00\x3c\x00\x50"
"""The class and method of ``basic.ack``, which the server sends as a confirm."""
QOS_OK = b"\x00\x3c\x00\x0b"
DELIVER = b"\x00\x3c\x00\x3c"


@pytest.fixture(scope="module")
def vhost() -> Iterator[str]:
    with own_vhost() as url:
        yield url


@pytest.fixture
def proxy(vhost: str) -> Iterator[FaultProxy]:
    delete_queues(vhost, QUEUE, "test.dlq")
    split = urlsplit(vhost)
    with FaultProxy(split.hostname or "127.0.0.1", split.port or 5672) as proxy:
        yield proxy


@pytest.fixture
def stack(vhost: str, proxy: FaultProxy) -> Iterator[Stack]:
    split = urlsplit(vhost)
    user, _, _ = split.netloc.rpartition("@")
    url = urlunsplit(split._replace(netloc=f"{user}@127.0.0.1:{proxy.port}", query="timeout=2s"))
    messages = open_stack(url, namespace="test", clock=CLOCK)
    stores = open_memory("memory://", namespace="test", clock=CLOCK)
    stack = join_stacks(messages, stores, result_ttl=timedelta(hours=1), clock=CLOCK)
    yield stack
    stack.close()


@pytest.fixture
def broker(stack: Stack) -> Broker:
    return offered(stack.broker)


@pytest.fixture
def source(broker: Broker) -> Iterator[LeaseSource]:
    source = broker.source(owner=OWNER)
    yield source
    source.close()


def insist_on_publishing(broker: Broker, name: str) -> None:
    def is_published() -> bool:
        try:
            broker.publish([publication(name)])
        except StoreUnavailableError:
            return False
        return True

    until(is_published, limit_s=20)


def work_off(source: LeaseSource, stack: Stack, count: int) -> list[str]:
    """Run everything, whatever the network does; return what was run, in order."""
    runs: list[str] = []

    def is_done() -> bool:
        try:
            for delivery in source.lease([QUEUE], limit=10, duration=LEASE):
                runs.append(task_id(delivery))
                source.settle([completion(delivery, at=CLOCK.wall())])
        except StoreUnavailableError:
            return False
        records = offered(stack.results).get([f"t{number}" for number in range(count)])
        if all(record.state.is_terminal for record in records.values()):
            return True
        source.wait(0.1)
        return False

    until(is_done, limit_s=60)
    return runs


def test_a_lost_confirm_loses_no_message(
    proxy: FaultProxy, stack: Stack, broker: Broker, source: LeaseSource
) -> None:
    for number in range(CUTS):
        proxy.cut_reply(CONFIRM)
        insist_on_publishing(broker, f"t{number}")
    assert proxy.cuts == CUTS
    proxy.heal()

    runs = work_off(source, stack, CUTS)

    assert set(runs) == {f"t{number}" for number in range(CUTS)}
    # A message that was published again is a copy, and runs once.
    assert len(runs) == CUTS


@pytest.mark.parametrize("marker", [DELIVER, QOS_OK], ids=["deliver", "settled"])
def test_a_connection_that_is_cut_again_and_again_loses_nothing(
    proxy: FaultProxy, stack: Stack, broker: Broker, source: LeaseSource, marker: bytes
) -> None:
    names = [f"t{number}" for number in range(CUTS)]
    publish(broker, *names)
    proxy.cut_reply(marker, times=CUTS)

    runs = work_off(source, stack, CUTS)

    assert set(runs) == set(names)
    timelines = [offered(stack.results).timeline(name) for name in names]
    assert all(sum(event.kind == "succeeded" for event in timeline) == 1 for timeline in timelines)


def test_a_silent_server_is_an_error_in_time(proxy: FaultProxy, broker: Broker) -> None:
    publish(broker, "before")
    proxy.black_hole()
    before_s = CLOCK.monotonic()

    with pytest.raises(StoreUnavailableError, match="no answer"):
        broker.publish([publication("during")])

    assert CLOCK.monotonic() - before_s < 10
    proxy.heal()
    insist_on_publishing(broker, "after")


def test_an_idle_source_keeps_its_connection_alive(vhost: str) -> None:
    delete_queues(vhost, QUEUE)
    stack = open_stack(f"{vhost}?heartbeat=1s", namespace="test", clock=CLOCK)
    source = offered(stack.broker).source(owner=OWNER)
    assert isinstance(source, AmqpSource)
    source.lease([QUEUE], limit=1, duration=timedelta(seconds=1))
    waiting = threading.Thread(target=source.wait, args=(5.0,))

    waiting.start()
    waiting.join(30)

    assert source._link.generation == 0
    assert source._link.is_up
    source.close()
    stack.close()
