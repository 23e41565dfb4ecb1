"""Stem and plain kombu, as Celery uses it, on the same queues of one RabbitMQ."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from amqp_place import CLOCK, delete_queues, own_vhost
from fleet import until
from kombu import Connection, Exchange, Queue
from kombu.transport.native_delayed_delivery import (
    MAX_LEVEL,
    bind_queue_to_native_delayed_delivery_exchange,
    calculate_routing_key,
    declare_native_delayed_delivery_exchanges_and_queues,
    level_name,
)

from stem.adapters.amqp.stack import open_stack
from stem.codecs import read_arguments, read_envelope
from stem.message import Arguments, Envelope, Message
from stem.ports.broker import Complete
from stem.testing.contracts.samples import LEASE, TASK, publication
from stem.testing.contracts.suite import offered

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stem.message import Delivery
    from stem.ports.broker import LeaseSource
    from stem.ports.stack import Stack

QUEUE = "mixed"
PROTOCOL_2 = {"id": "from-celery", "task": TASK, "lang": "py", "retries": 0, "eta": None}


@pytest.fixture(scope="module")
def vhost() -> Iterator[str]:
    with own_vhost() as url:
        yield url


@pytest.fixture
def celery(vhost: str) -> Iterator[Connection]:
    delete_queues(vhost, QUEUE, "stem.dlq")
    with Connection(vhost) as connection:
        yield connection


@pytest.fixture
def stack(celery: Connection, vhost: str) -> Iterator[Stack]:
    stack = open_stack(vhost, namespace="stem", clock=CLOCK)
    yield stack
    stack.close()


@pytest.fixture
def source(stack: Stack) -> Iterator[LeaseSource]:
    source = offered(stack.broker).source(owner="w@one")
    yield source
    source.close()


def celery_queue() -> Queue:
    """Return the queue as Celery declares it with quorum queues and delayed delivery."""
    return Queue(
        QUEUE,
        Exchange(QUEUE, type="topic"),
        routing_key=QUEUE,
        queue_arguments={"x-queue-type": "quorum"},
    )


def one(source: LeaseSource) -> Delivery:
    leased: list[Delivery] = []

    def is_there() -> bool:
        leased.extend(source.lease([QUEUE], limit=1, duration=LEASE))
        if not leased:
            source.wait(0.2)
        return bool(leased)

    until(is_there, limit_s=10)
    return leased[0]


def consume_one(connection: Connection) -> Any:
    got: list[Any] = []
    with connection.Consumer(Queue(QUEUE, no_declare=True), accept=["json"]) as consumer:
        consumer.register_callback(lambda body, message: (got.append((body, message)), message.ack()))
        while not got:
            connection.drain_events(timeout=10)
    return got[0]


def test_stem_runs_what_celery_publishes(celery: Connection, source: LeaseSource) -> None:
    celery_queue()(celery.channel()).declare()
    with celery.Producer(serializer="json") as producer:
        producer.publish(
            [[1, 2], {"x": "ü"}, {}],
            exchange=QUEUE,
            routing_key=QUEUE,
            headers=PROTOCOL_2,
            correlation_id="from-celery",
            delivery_mode=2,
        )

    delivery = one(source)

    assert isinstance(delivery.content, Message)
    envelope = read_envelope(delivery.content, queue=QUEUE)
    assert isinstance(envelope, Envelope)
    assert (envelope.id, envelope.name, envelope.attempt) == ("from-celery", TASK, 1)
    arguments = read_arguments(delivery.content)
    assert isinstance(arguments, Arguments)
    assert (arguments.args, arguments.kwargs) == ((1, 2), {"x": "ü"})
    assert source.settle([Complete(token=delivery.token)]) == [True]


def test_celery_runs_what_stem_publishes(celery: Connection, stack: Stack) -> None:
    celery_queue()(celery.channel()).declare()
    offered(stack.broker).publish([publication("from-stem", queue=QUEUE, recorded=False)])

    body, message = consume_one(celery)

    assert body[:2] == [[], {}]
    assert (message.headers["id"], message.headers["task"]) == ("from-stem", TASK)
    assert message.properties["delivery_mode"] == 2


@pytest.mark.parametrize("queues_made_by", ["celery", "stem"])
def test_celery_gets_what_stem_holds_back(celery: Connection, stack: Stack, queues_made_by: str) -> None:
    if queues_made_by == "celery":
        declare_native_delayed_delivery_exchanges_and_queues(celery, "quorum")
        queue = celery_queue()
        queue(celery.channel()).declare()
        bind_queue_to_native_delayed_delivery_exchange(celery, queue)
    later = publication("late", queue=QUEUE, due=timedelta(seconds=1), recorded=False)
    before_s = CLOCK.monotonic()
    offered(stack.broker).publish([later])

    _, message = consume_one(celery)

    assert CLOCK.monotonic() - before_s >= 1
    assert message.headers["id"] == "late"
    assert celery.channel().queue_declare(QUEUE, passive=True).message_count == 0


def test_stem_gets_what_celery_holds_back(celery: Connection, source: LeaseSource) -> None:
    declare_native_delayed_delivery_exchanges_and_queues(celery, "quorum")
    source.lease([QUEUE], limit=1, duration=LEASE)
    before_s = CLOCK.monotonic()
    with celery.Producer(serializer="json") as producer:
        producer.publish(
            [[], {}, {}],
            exchange=level_name(MAX_LEVEL),
            routing_key=calculate_routing_key(1, QUEUE),
            headers=PROTOCOL_2,
            delivery_mode=2,
        )

    delivery = one(source)

    assert CLOCK.monotonic() - before_s >= 1
    assert isinstance(delivery.content, Message)
    assert delivery.content.headers["id"] == "from-celery"
    assert not any(name.startswith("x-death") for name in delivery.content.headers)
    assert source.settle([Complete(token=delivery.token)]) == [True]


def test_celery_takes_over_what_stem_had_leased(
    celery: Connection, stack: Stack, source: LeaseSource
) -> None:
    offered(stack.broker).publish([publication("t", queue=QUEUE, recorded=False)])
    one(source)
    source.close()

    _, message = consume_one(celery)

    assert message.headers["id"] == "t"
