"""The part of the broker's contract that is about lapsed leases: B5 and B6."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from stem.codecs import unpack
from stem.message import Message
from stem.ports.broker import Reclaimed, Release
from stem.states import DeadReason, TaskState
from stem.testing.contracts.samples import (
    EVERY_DEAD_LETTER,
    LEASE,
    OWNER,
    QUEUE,
    SECOND,
    TASK,
    at_once,
    completion,
    ending_of,
    lease,
    lease_one,
    message,
    publication,
    publish,
    rescheduling,
    start_of,
    task_ids,
)
from stem.testing.contracts.suite import Contract, needs, offered

if TYPE_CHECKING:
    from stem.ports.broker import Broker, LeaseSource
    from stem.ports.deadletters import DeadLetters
    from stem.ports.results import Results
    from stem.testing.contracts.harness import StackHarness


class ReclaimingContract(Contract):
    """What taking lapsed leases away promises."""

    def test_b5_a_lapsed_lease_is_handed_on(
        self, harness: StackHarness, broker: Broker, source: LeaseSource
    ) -> None:
        publish(broker, "t")
        lease_one(source)

        harness.let_pass(LEASE)
        reclaimed = broker.reclaim(limit=10, max_deliveries=3)

        assert reclaimed == [
            Reclaimed(task_id="t", task=TASK, queue=QUEUE, deliveries=1, owner=OWNER, buried=False)
        ]
        assert task_ids(lease(source)) == ["t"]

    def test_b5_what_has_not_lapsed_is_left_alone(
        self, harness: StackHarness, broker: Broker, source: LeaseSource
    ) -> None:
        publish(broker, "held", "ready")
        held = lease_one(source)
        publish(broker, "later", due=10 * LEASE)
        harness.let_pass(LEASE - SECOND)

        assert broker.reclaim(limit=10, max_deliveries=1) == []

        assert source.settle([completion(held, at=harness.now())]) == [True]

    def test_b5_a_closed_sources_leases_lapse_by_themselves(
        self, harness: StackHarness, broker: Broker, source: LeaseSource
    ) -> None:
        publish(broker, "t")
        lease_one(source)
        source.close()

        assert broker.reclaim(limit=10, max_deliveries=3) == []
        harness.let_pass(LEASE)

        assert [each.task_id for each in broker.reclaim(limit=10, max_deliveries=3)] == ["t"]

    def test_b5_no_more_is_taken_than_asked_for(
        self, harness: StackHarness, broker: Broker, source: LeaseSource
    ) -> None:
        names = [f"t{number}" for number in range(10)]
        publish(broker, *names)
        lease(source)
        harness.let_pass(LEASE)

        rounds = [broker.reclaim(limit=4, max_deliveries=3) for _ in range(4)]

        assert [len(each) for each in rounds] == [4, 4, 2, 0]
        assert sorted(each.task_id for round_ in rounds for each in round_) == names

    def test_b5_leases_of_every_queue_and_worker_are_taken(
        self, harness: StackHarness, broker: Broker, source: LeaseSource
    ) -> None:
        publish(broker, "d")
        publish(broker, "m", queue="mail")
        lease_one(source)
        lease(broker.source(owner="worker@two"), queues=["mail"])
        harness.let_pass(LEASE)

        reclaimed = broker.reclaim(limit=10, max_deliveries=3)

        facts = sorted((each.task_id, each.queue, each.owner) for each in reclaimed)
        assert facts == [("d", QUEUE, OWNER), ("m", "mail", "worker@two")]

    def test_b5_sweep_is_safe_concurrently(
        self, harness: StackHarness, broker: Broker, source: LeaseSource
    ) -> None:
        names = [f"t{number:03}" for number in range(100)]
        publish(broker, *names)
        lease(source)
        harness.let_pass(LEASE)
        brokers = [offered(harness.reopen().broker) for _ in range(4)]

        def sweep(broker: Broker) -> list[str]:
            taken: list[str] = []
            while batch := broker.reclaim(limit=7, max_deliveries=3):
                taken += [each.task_id for each in batch]
            return taken

        shares = at_once([partial(sweep, each) for each in brokers])

        assert sorted(name for share in shares for name in share) == names
        assert sorted(task_ids(lease(source))) == names

    @needs("publish_raw")
    def test_b5_garbage_is_handed_on_too(
        self, harness: StackHarness, broker: Broker, source: LeaseSource, dead_letters: DeadLetters
    ) -> None:
        harness.publish_raw(QUEUE, "{")
        lease(source)
        harness.let_pass(LEASE)

        (once,) = broker.reclaim(limit=10, max_deliveries=2)
        lease(source)
        harness.let_pass(LEASE)
        (twice,) = broker.reclaim(limit=10, max_deliveries=2)

        assert [(each.task_id, each.task, each.buried) for each in (once, twice)] == [
            ("", "", False),
            ("", "", True),
        ]
        (entry,) = dead_letters.page(EVERY_DEAD_LETTER)[0]
        assert (entry.payload, entry.task_id, entry.attempt) == (b"{", "", 0)

    @needs("atomic_results")
    def test_b5_the_record_waits_again_and_is_out_of_the_old_workers_hands(
        self, harness: StackHarness, broker: Broker, source: LeaseSource, results: Results
    ) -> None:
        publish(broker, "t")
        delivery = lease_one(source)
        results.start([start_of(delivery, at=harness.now())])
        harness.let_pass(LEASE)
        broker.reclaim(limit=10, max_deliveries=3)

        late = results.finish([ending_of(delivery, at=harness.now())])

        assert late == [False]
        assert results.get(["t"])["t"].state is TaskState.QUEUED
        assert [event.kind for event in results.timeline("t")] == ["queued", "started", "reclaimed"]

    def test_b6_what_was_delivered_too_often_is_buried_once(
        self, harness: StackHarness, broker: Broker, source: LeaseSource, dead_letters: DeadLetters
    ) -> None:
        sent = message("t", body=b"[[1],{},{}]")
        broker.publish([publication("t", content=sent)])

        buried: list[bool] = []
        for _ in range(3):
            lease_one(source)
            harness.let_pass(LEASE)
            buried += [each.buried for each in broker.reclaim(limit=10, max_deliveries=3)]

        assert buried == [False, False, True]
        assert broker.reclaim(limit=10, max_deliveries=3) == []
        assert lease(source) == []
        (entry,) = dead_letters.page(EVERY_DEAD_LETTER)[0]
        assert (entry.task_id, entry.task, entry.queue) == ("t", TASK, QUEUE)
        assert (entry.reason, entry.attempt, entry.deliveries) == (DeadReason.WORKER_LOST, 1, 3)
        kept = unpack(entry.payload)
        assert isinstance(kept, Message)
        assert kept.body == sent.body

    def test_b6_many_sweepers_bury_it_once(
        self, harness: StackHarness, broker: Broker, source: LeaseSource, dead_letters: DeadLetters
    ) -> None:
        names = [f"t{number:02}" for number in range(40)]
        publish(broker, *names)
        lease(source)
        harness.let_pass(LEASE)
        brokers = [offered(harness.reopen().broker) for _ in range(4)]

        shares = at_once([partial(each.reclaim, limit=100, max_deliveries=1) for each in brokers])

        assert sorted(each.task_id for share in shares for each in share) == names
        assert dead_letters.count(EVERY_DEAD_LETTER) == 40

    def test_b6_deliveries_that_do_not_count_bury_nothing(
        self, harness: StackHarness, broker: Broker, source: LeaseSource
    ) -> None:
        publish(broker, "t")
        for _ in range(5):
            source.settle([Release(token=lease_one(source).token, counted=False)])
        lease_one(source)
        harness.let_pass(LEASE)

        (reclaimed,) = broker.reclaim(limit=10, max_deliveries=2)

        assert (reclaimed.deliveries, reclaimed.buried) == (1, False)

    def test_b6_every_attempt_is_counted_anew(
        self, harness: StackHarness, broker: Broker, source: LeaseSource
    ) -> None:
        publish(broker, "t")
        lease_one(source)
        harness.let_pass(LEASE)
        broker.reclaim(limit=10, max_deliveries=2)
        source.settle([rescheduling(lease_one(source))])
        lease_one(source)
        harness.let_pass(LEASE)

        (reclaimed,) = broker.reclaim(limit=10, max_deliveries=2)

        assert (reclaimed.deliveries, reclaimed.buried) == (1, False)

    @needs("atomic_results")
    def test_b6_the_record_has_failed(
        self, harness: StackHarness, broker: Broker, source: LeaseSource, results: Results
    ) -> None:
        publish(broker, "t")
        delivery = lease_one(source)
        results.start([start_of(delivery, at=harness.now())])
        harness.let_pass(LEASE)
        broker.reclaim(limit=10, max_deliveries=1)

        late = results.finish([ending_of(delivery, at=harness.now())])

        record = results.get(["t"])["t"]
        assert late == [False]
        assert record.state is TaskState.FAILED
        assert record.error is not None
        assert record.error.type == "stem.errors.WorkerLostError"
        assert record.finished_at is not None
        assert record.expires_at is not None
        assert results.timeline("t")[-1].kind == "failed"

    @needs("atomic_results")
    def test_b6_what_has_no_record_gets_none(
        self, harness: StackHarness, broker: Broker, source: LeaseSource, results: Results
    ) -> None:
        broker.publish([publication("t", recorded=False)])
        lease_one(source)
        harness.let_pass(LEASE)

        (reclaimed,) = broker.reclaim(limit=10, max_deliveries=1)

        assert reclaimed.buried
        assert results.get(["t"]) == {}
