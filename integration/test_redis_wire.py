"""What lies in Redis is kombu's: kombu alone reads, restores and consumes it."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from fleet import until
from kombu import Connection, Consumer, Queue
from redis_place import RedisPlace

from stem.adapters.redis.stack import open_stack
from stem.clock import SystemClock
from stem.message import Message
from stem.ports.broker import Complete, Release
from stem.testing.contracts.samples import completion, message, publication, task_id, task_ids
from stem.testing.contracts.suite import offered

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stem.message import Delivery
    from stem.ports.stack import Stack

LEASE = timedelta(seconds=30)
NOW = datetime(2026, 1, 1, tzinfo=UTC)


class Shared:
    """One part of the server, as Stem and as kombu see it."""

    def __init__(self) -> None:
        self.place = RedisPlace()
        self.stack: Stack = open_stack(
            self.place.url + "&visibility_timeout=1s", namespace="stem", clock=SystemClock()
        )
        self.broker = offered(self.stack.broker)
        self.source = self.broker.source(owner="w1@host")
        self.redis = self.place.client()
        options = {
            "global_keyprefix": self.place.prefix,
            "visibility_timeout": 1,
            "unacked_restore_interval": 1,
            "unacked_restore_throttle": 1,
        }
        self.kombu = Connection(self.place.url.partition("?")[0], transport_options=options)

    def lease(self, limit: int = 10) -> list[Delivery]:
        return self.source.lease(["mail"], limit=limit, duration=LEASE)

    def consume(self, count: int) -> list[Any]:
        got: list[Any] = []

        def take(body: Any, delivered: Any) -> None:
            got.append(delivered)
            delivered.ack()

        queue = Queue("mail", routing_key="mail", no_declare=True)
        with self.kombu.channel() as channel, Consumer(channel, [queue], callbacks=[take], accept=["json"]):
            while len(got) < count:
                self.kombu.drain_events(timeout=10)
        return got

    def restore(self) -> None:
        """Do what a Celery worker does every now and then."""
        with self.kombu.channel() as channel:
            channel.qos.restore_visible(num=None, interval=1)

    def lists(self) -> dict[str, int]:
        keys = {"": "mail", "3": "mail\x06\x163", "6": "mail\x06\x166", "9": "mail\x06\x169"}
        return {step: self.redis.llen(self.place.prefix + key) for step, key in keys.items()}

    def make_old(self, seconds: float) -> None:
        key = f"{self.place.prefix}unacked_index"
        for token, score in self.redis.zrange(key, 0, -1, withscores=True):
            self.redis.zadd(key, {token: score - seconds})


@pytest.fixture
def shared() -> Iterator[Shared]:
    shared = Shared()
    yield shared
    shared.kombu.release()
    shared.redis.close()
    shared.source.close()
    shared.stack.close()
    shared.place.close()


def published(shared: Shared, *names: str, priority: int = 0, **options: Any) -> None:
    batch = [publication(name, queue="mail", priority=priority, **options) for name in names]
    assert shared.broker.publish(batch) == [True] * len(names)


def test_kombu_consumes_what_stem_publishes(shared: Shared) -> None:
    published(shared, "a", "b")

    got = shared.consume(2)

    assert [each.headers["id"] for each in got] == ["a", "b"]
    assert got[0].payload == [[], {}, {"callbacks": None, "errbacks": None, "chain": None, "chord": None}]


def test_stem_leases_what_kombu_publishes(shared: Shared) -> None:
    sent = message("t")
    producer = shared.kombu.Producer()
    producer.publish(
        [[1], {}, {}], routing_key="mail", exchange="", headers=dict(sent.headers), serializer="json"
    )

    (delivery,) = shared.lease()

    assert task_id(delivery) == "t"
    assert isinstance(delivery.content, Message)
    assert json.loads(delivery.content.body) == [[1], {}, {}]
    assert shared.source.settle([Complete(token=delivery.token)]) == [True]
    assert shared.redis.hlen(f"{shared.place.prefix}unacked") == 0


@pytest.mark.parametrize(("priority", "step"), [(0, ""), (2, ""), (3, "3"), (5, "3"), (8, "6"), (9, "9")])
def test_a_priority_lies_where_kombu_would_put_it(shared: Shared, priority: int, step: str) -> None:
    published(shared, "t", priority=priority)
    shared.kombu.Producer().publish({}, routing_key="mail", exchange="", priority=priority)

    assert shared.lists() == {"": 0, "3": 0, "6": 0, "9": 0, step: 2}


def test_ten_priorities_are_kept_in_four_lists(shared: Shared) -> None:
    order = [3, 0, 9, 7, 5, 2, 8, 1, 6, 4]
    for round_ in range(3):
        for priority in order:
            published(shared, f"{priority}-{round_}", priority=priority)

    leased = task_ids(shared.lease(30))

    assert leased == [f"{priority}-{round_}" for priority in range(9, -1, -1) for round_ in range(3)]


def test_celery_restores_what_a_dead_worker_of_stem_held(shared: Shared) -> None:
    published(shared, "t", priority=5)
    (delivery,) = shared.lease()
    shared.restore()
    assert shared.lists()["3"] == 0, "a live lease was taken"

    shared.make_old(10)
    shared.restore()

    assert shared.lists() == {"": 0, "3": 1, "6": 0, "9": 0}
    assert shared.source.settle([completion(delivery, at=NOW)]) == [False]
    (again,) = shared.lease()
    assert (task_id(again), again.deliveries) == ("t", 2)
    assert shared.source.settle([completion(again, at=NOW)]) == [True]


def test_celery_alone_brings_a_delayed_message_back_at_its_time(shared: Shared) -> None:
    published(shared, "soon", "later", due=timedelta(seconds=1))
    shared.broker.publish([publication("never", queue="mail", due=timedelta(hours=1))])
    shared.restore()
    assert sum(shared.lists().values()) == 0

    def both_are_back() -> bool:
        shared.restore()
        return sum(shared.lists().values()) == 2

    until(both_are_back, limit_s=10)
    assert sorted(each.headers["id"] for each in shared.consume(2)) == ["later", "soon"]
    assert shared.lease() == []
    assert offered(shared.stack.queues).stats(["mail"])[0].delayed == 1


def test_what_stem_gives_back_celery_consumes(shared: Shared) -> None:
    published(shared, "t")
    (delivery,) = shared.lease()
    shared.source.settle([Release(token=delivery.token)])

    (got,) = shared.consume(1)

    assert got.headers["id"] == "t"


def test_the_server_rules_the_time_not_the_worker(shared: Shared) -> None:
    class Wrong(SystemClock):
        def wall(self) -> datetime:
            return super().wall() + timedelta(hours=2)

    stack = open_stack(shared.place.url, namespace="stem", clock=Wrong())
    published(shared, "t")
    published(shared, "later", due=timedelta(hours=1))
    source = offered(stack.broker).source(owner="w2@host")

    (delivery,) = source.lease(["mail"], limit=10, duration=LEASE)

    assert task_id(delivery) == "t"
    assert offered(stack.broker).reclaim(limit=10, max_deliveries=3) == []
    assert source.settle([Complete(token=delivery.token)]) == [True]
    source.close()
    stack.close()


def test_garbage_is_kept_out_of_celerys_sight(shared: Shared) -> None:
    broker: Any = shared.broker
    broker.publish_raw("mail", '{"body": 1}')
    shared.lease()

    assert shared.redis.hlen(f"{shared.place.prefix}unacked") == 1
    assert shared.redis.zcard(f"{shared.place.prefix}unacked_index") == 0
