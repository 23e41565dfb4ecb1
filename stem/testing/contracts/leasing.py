"""The part of the broker's contract that is about handing messages out: L2, L3, L5, L6, L8 and waiting."""

from __future__ import annotations

from datetime import timedelta, timezone
from functools import partial
from threading import Thread
from typing import TYPE_CHECKING

from stem.codecs import pack
from stem.message import Message
from stem.ports.broker import Release
from stem.testing.contracts.samples import (
    EVERY_DEAD_LETTER,
    LEASE,
    OWNER,
    QUEUE,
    SECOND,
    TTL,
    at_once,
    completion,
    every_settlement,
    lease,
    lease_one,
    message,
    publication,
    publish,
    rescheduling,
    task_id,
    task_ids,
)
from stem.testing.contracts.suite import Contract, needs, offered

if TYPE_CHECKING:
    from stem.ports.broker import Broker, LeaseSource
    from stem.testing.contracts.harness import StackHarness

PATIENCE_S = 30
"""Real seconds that a test waits for another thread."""


class LeasingContract(Contract):
    """What leasing and waiting promise."""

    def test_l2_a_leased_message_is_not_leased_again(
        self, harness: StackHarness, broker: Broker, source: LeaseSource
    ) -> None:
        publish(broker, "t")
        lease_one(source)
        other = broker.source(owner="worker@two")

        assert [lease(source), lease(other)] == [[], []]
        harness.let_pass(LEASE - SECOND)
        assert [lease(source), lease(other)] == [[], []]

    def test_l2_a_lapsed_lease_is_handed_on_by_reclaim_only(
        self, harness: StackHarness, broker: Broker, source: LeaseSource
    ) -> None:
        publish(broker, "t")
        lease_one(source)
        harness.let_pass(LEASE + SECOND)

        assert lease(source) == []
        broker.reclaim(limit=10, max_deliveries=3)

        assert task_ids(lease(source)) == ["t"]

    def test_l2_two_claimers_never_share(self, harness: StackHarness, broker: Broker) -> None:
        names = [f"t{number:03}" for number in range(200)]
        publish(broker, *names)
        sources = [offered(harness.reopen().broker).source(owner=f"worker@{number}") for number in range(4)]

        def drain(source: LeaseSource) -> list[str]:
            leased: list[str] = []
            while batch := task_ids(lease(source, limit=7, duration=TTL)):
                leased += batch
            return leased

        shares = at_once([partial(drain, source) for source in sources])

        assert sorted(name for share in shares for name in share) == names

    def test_l2_no_more_is_leased_than_asked_for(self, broker: Broker, source: LeaseSource) -> None:
        publish(broker, "a", "b", "c")

        assert task_ids(lease(source, limit=2)) == ["a", "b"]
        assert task_ids(lease(source, limit=2)) == ["c"]

    def test_l2_only_named_queues_are_leased_from(self, broker: Broker, source: LeaseSource) -> None:
        publish(broker, "t", queue="mail")

        assert lease(source, queues=[QUEUE, "mai", "mail.", "MAIL"]) == []
        assert lease(source, queues=[]) == []
        (delivery,) = lease(source, queues=[QUEUE, "mail", "mail"])

        assert (task_id(delivery), delivery.queue) == ("t", "mail")

    def test_l3_every_delivery_has_a_token_of_its_own(self, broker: Broker, source: LeaseSource) -> None:
        publish(broker, *(f"t{number}" for number in range(20)))

        tokens: set[str] = set()
        for _ in range(3):
            deliveries = lease(source)
            tokens |= {delivery.token for delivery in deliveries}
            source.settle([Release(token=delivery.token) for delivery in deliveries])

        assert len(tokens) == 60
        assert all(tokens)

    def test_l3_fences_grow_with_every_delivery(
        self, harness: StackHarness, broker: Broker, source: LeaseSource
    ) -> None:
        publish(broker, "t")

        fences = [(first := lease_one(source)).fence]
        source.settle([Release(token=first.token)])
        fences.append((second := lease_one(source)).fence)
        source.settle([rescheduling(second)])
        fences.append(lease_one(source).fence)
        harness.let_pass(LEASE)
        broker.reclaim(limit=10, max_deliveries=3)
        fences.append((last := lease_one(source)).fence)
        source.settle([every_settlement(last, at=harness.now())["bury"]])
        offered(harness.stack.dead_letters).replay(EVERY_DEAD_LETTER, limit=10)
        fences.append(lease_one(source).fence)

        assert fences == sorted(set(fences))

    @needs("publish_raw")
    def test_l3_fences_grow_when_an_id_is_published_again(
        self, harness: StackHarness, source: LeaseSource
    ) -> None:
        # Celery retries by publishing the id again, and the record would refuse a smaller fence for ever.
        earlier: list[int] = []
        harness.publish_raw(QUEUE, pack(message("t"), queue=QUEUE))
        for _ in range(3):
            delivery = lease_one(source)
            earlier.append(delivery.fence)
            source.settle([Release(token=delivery.token)])
        harness.publish_raw(QUEUE, pack(message("t", attempt=2), queue=QUEUE))

        fences = [delivery.fence for delivery in lease(source)]

        assert len(set(fences)) == 2
        assert min(fences) > max(earlier)

    def test_l3_deliveries_are_counted_per_attempt(
        self, harness: StackHarness, broker: Broker, source: LeaseSource
    ) -> None:
        publish(broker, "t")

        counts = [(first := lease_one(source)).deliveries]
        source.settle([Release(token=first.token)])
        counts.append((second := lease_one(source)).deliveries)
        source.settle([Release(token=second.token, counted=False)])
        counts.append((third := lease_one(source)).deliveries)
        harness.let_pass(LEASE)
        broker.reclaim(limit=10, max_deliveries=5)
        counts.append((fourth := lease_one(source)).deliveries)
        source.settle([rescheduling(fourth)])
        counts.append((fifth := lease_one(source)).deliveries)

        assert counts == [1, 2, 2, 3, 1]
        assert [each.redelivered for each in (first, second, third, fourth, fifth)] == [
            False,
            True,
            True,
            True,
            False,
        ]

    def test_l5_a_lease_holds_until_its_time_is_over(
        self, harness: StackHarness, broker: Broker, source: LeaseSource
    ) -> None:
        publish(broker, "a", "b")
        early, late = lease(source)

        harness.let_pass(LEASE - SECOND)
        assert source.settle([completion(early, at=harness.now())]) == [True]
        harness.let_pass(SECOND)
        assert source.settle([completion(late, at=harness.now())]) == [False]

    def test_l5_leases_of_one_call_hold_for_its_duration(
        self, harness: StackHarness, broker: Broker, source: LeaseSource
    ) -> None:
        publish(broker, "short", "long")
        short = lease_one(source, duration=SECOND)
        long = lease_one(source, duration=timedelta(days=2))

        harness.let_pass(timedelta(days=1))

        assert source.renew([short.token, long.token], duration=LEASE) == {short.token}

    def test_l5_a_renewed_lease_holds_from_now(
        self, harness: StackHarness, broker: Broker, source: LeaseSource
    ) -> None:
        publish(broker, "t")
        delivery = lease_one(source)

        for _ in range(5):
            harness.let_pass(LEASE - SECOND)
            assert source.renew([delivery.token], duration=LEASE) == set()
            assert broker.reclaim(limit=10, max_deliveries=3) == []
        harness.let_pass(LEASE)

        assert source.renew([delivery.token], duration=LEASE) == {delivery.token}

    def test_l6_delayed_not_visible_early_by_server_clock(
        self, harness: StackHarness, broker: Broker, source: LeaseSource
    ) -> None:
        publish(broker, "t", due=LEASE)

        assert lease(source) == []
        harness.let_pass(LEASE - SECOND)
        assert lease(source) == []
        harness.let_pass(SECOND)
        assert task_ids(lease(source)) == ["t"]
        assert lease(source) == []

    def test_l6_a_date_is_compared_with_the_stores_clock(
        self, harness: StackHarness, broker: Broker, source: LeaseSource
    ) -> None:
        due = harness.now() + LEASE
        east = due.astimezone(timezone(timedelta(hours=9)))
        broker.publish([publication("t", due=east), publication("past", due=due - timedelta(days=400))])

        assert task_ids(lease(source)) == ["past"]
        harness.let_pass(LEASE - SECOND)
        assert lease(source) == []
        harness.let_pass(2 * SECOND)
        assert task_ids(lease(source)) == ["t"]

    def test_l6_what_is_given_back_for_later_is_not_leased_early(
        self, harness: StackHarness, broker: Broker, source: LeaseSource
    ) -> None:
        publish(broker, "released", "rescheduled")
        released, rescheduled = lease(source)

        source.settle([Release(token=released.token, due=LEASE), rescheduling(rescheduled, due=LEASE)])

        harness.let_pass(LEASE - SECOND)
        assert lease(source) == []
        harness.let_pass(SECOND)
        assert sorted(task_ids(lease(source))) == ["released", "rescheduled"]

    def test_l6_delayed_messages_do_not_hold_up_others(self, broker: Broker, source: LeaseSource) -> None:
        publish(broker, *(f"later{number}" for number in range(20)), due=LEASE)
        publish(broker, "now")

        assert task_ids(lease(source, limit=1)) == ["now"]

    def test_l6_a_distant_date_is_kept(self, broker: Broker, source: LeaseSource) -> None:
        publish(broker, "t", due=timedelta(days=365 * 50))

        assert lease(source) == []

    @needs("priority")
    def test_l8_a_higher_priority_is_leased_first(self, broker: Broker, source: LeaseSource) -> None:
        priorities = [0, 9, 5, 9, 0, 3]
        broker.publish(
            [publication(f"t{number}", priority=priority) for number, priority in enumerate(priorities)]
        )

        assert task_ids(lease(source, limit=2)) == ["t1", "t3"]
        assert task_ids(lease(source)) == ["t2", "t5", "t0", "t4"]

    @needs("priority")
    def test_l8_a_message_keeps_its_priority(
        self, harness: StackHarness, broker: Broker, source: LeaseSource
    ) -> None:
        names = ["released", "rescheduled", "reclaimed", "buried"]
        broker.publish([publication(name, priority=7) for name in names])
        released, rescheduled, _, buried = lease(source)
        source.settle(
            [
                Release(token=released.token),
                rescheduling(rescheduled),
                every_settlement(buried, at=harness.now())["bury"],
            ]
        )
        harness.let_pass(LEASE)
        broker.reclaim(limit=10, max_deliveries=3)
        offered(harness.stack.dead_letters).replay(EVERY_DEAD_LETTER, limit=10)
        broker.publish([publication("lower", priority=6), publication("higher", priority=8)])

        order = task_ids(lease(source))

        assert order[0] == "higher"
        assert sorted(order[1:5]) == sorted(names)
        assert order[5] == "lower"

    def test_l8_the_first_named_queue_comes_first(self, broker: Broker, source: LeaseSource) -> None:
        publish(broker, "m1", "m2", queue="mail")
        publish(broker, "d1", "d2")

        assert task_ids(lease(source, limit=3, queues=[QUEUE, "mail"])) == ["d1", "d2", "m1"]
        assert task_ids(lease(source, limit=3, queues=[QUEUE, "mail"])) == ["m2"]

    def test_a_wake_up_ends_a_wait(self, source: LeaseSource) -> None:
        waiting = Thread(target=source.wait, args=(1e6,), daemon=True)
        waiting.start()

        source.wake()

        waiting.join(PATIENCE_S)
        assert not waiting.is_alive()

    def test_a_wake_up_before_the_wait_ends_it_too(self, source: LeaseSource) -> None:
        source.wake()
        waiting = Thread(target=source.wait, args=(1e6,), daemon=True)
        waiting.start()

        waiting.join(PATIENCE_S)
        assert not waiting.is_alive()

    def test_a_wait_ends_after_its_time(self, harness: StackHarness, source: LeaseSource) -> None:
        waiting = Thread(target=source.wait, args=(2.0,), daemon=True)
        waiting.start()

        pass_time_until_ended(harness, waiting)

    def test_a_wait_ends_when_there_is_something_to_lease(
        self, harness: StackHarness, source: LeaseSource
    ) -> None:
        lease(source)
        waiting = Thread(target=source.wait, args=(3600.0,), daemon=True)
        waiting.start()

        publish(offered(harness.reopen().broker), "t")

        pass_time_until_ended(harness, waiting)
        assert task_ids(lease(source)) == ["t"]

    def test_a_wait_ends_when_a_delayed_message_is_due(
        self, harness: StackHarness, broker: Broker, source: LeaseSource
    ) -> None:
        publish(broker, "t", due=10 * SECOND)
        lease(source)
        waiting = Thread(target=source.wait, args=(3600.0,), daemon=True)
        waiting.start()

        pass_time_until_ended(harness, waiting)
        harness.let_pass(10 * SECOND)
        assert task_ids(lease(source)) == ["t"]

    def test_the_content_of_a_delivery_is_the_callers_own(
        self, harness: StackHarness, broker: Broker, source: LeaseSource
    ) -> None:
        tags = ["a"]
        headers = {"id": "t", "task": "app.work", "tags": tags}
        broker.publish([publication("t", content=Message(headers=headers, properties={}, body=b"[]"))])
        tags.append("b")
        first = lease_one(source)
        assert isinstance(first.content, Message)
        first.content.headers["tags"].append("c")
        source.settle([Release(token=first.token)])

        second = lease_one(source)

        assert isinstance(second.content, Message)
        assert second.content.headers["tags"] == ["a"]

    def test_an_owner_needs_no_connection_until_it_leases(self, broker: Broker) -> None:
        source = broker.source(owner=OWNER)

        source.wake()
        source.close()
        source.close()


def pass_time_until_ended(harness: StackHarness, waiting: Thread) -> None:
    """Let the store's time pass, at most a thousand seconds, until the thread has ended."""
    for _ in range(1000):
        harness.let_pass(SECOND)
        waiting.join(0.02)
        if not waiting.is_alive():
            return
    raise AssertionError("the thread still waits")
