"""What every adapter promises to callers that ask again because they got no reply."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, TypeVar

import pytest

from stem.errors import StoreUnavailableError
from stem.states import TaskState
from stem.testing.contracts.samples import (
    EVERY_DEAD_LETTER,
    LEASE,
    OWNER,
    burial,
    bury_all,
    completion,
    ending,
    every_settlement,
    lease,
    lease_one,
    new_task,
    publication,
    publish,
    retry_note,
    start,
    start_of,
    task_id,
    task_ids,
)
from stem.testing.contracts.settling import KINDS, snapshot
from stem.testing.contracts.suite import Contract, needs, offered
from stem.testing.faults import Fault, Faults

if TYPE_CHECKING:
    from collections.abc import Callable

    from stem.ports.broker import Broker, LeaseSource, QueueAdmin, Settlement
    from stem.ports.deadletters import DeadLetters
    from stem.ports.results import Results
    from stem.ports.stack import Stack
    from stem.testing.contracts.harness import StackHarness

TRIES = 100
Answer = TypeVar("Answer")


class LostRepliesContract(Contract):
    """Asking again loses nothing and doubles nothing."""

    @pytest.fixture
    def faults(self) -> Faults:
        """Return the faults of the stack under test; none so far."""
        return Faults()

    @pytest.fixture
    def faulty(self, harness: StackHarness, faults: Faults) -> Stack:
        """Return the stack under test, whose calls may fail."""
        return faults.wrap(harness.stack)

    def test_b1_publish_error_is_raised(self, faults: Faults, faulty: Stack, source: LeaseSource) -> None:
        faults.fail_next("broker.publish", Fault.NOT_EXECUTED)

        with pytest.raises(StoreUnavailableError) as failed:
            offered(faulty.broker).publish([publication("t")])

        assert failed.value.transient
        assert lease(source) == []
        publish(offered(faulty.broker), "t")
        assert task_ids(lease(source)) == ["t"]

    def test_b2_publishing_again_stores_one(self, faults: Faults, faulty: Stack, source: LeaseSource) -> None:
        faults.fail_next("broker.publish", Fault.REPLY_LOST, times=2)

        answer = insist(lambda: offered(faulty.broker).publish([publication("a"), publication("b")]))

        assert answer == [False, False]
        assert task_ids(lease(source)) == ["a", "b"]

    def test_l2_claim_reply_lost_is_recovered(
        self, harness: StackHarness, faults: Faults, faulty: Stack, broker: Broker
    ) -> None:
        publish(broker, "a", "b")
        source = offered(faulty.broker).source(owner=OWNER)
        faults.fail_next("source.lease", Fault.REPLY_LOST)

        with pytest.raises(StoreUnavailableError):
            lease(source)

        assert lease(source) == []
        harness.let_pass(LEASE)
        assert len(broker.reclaim(limit=10, max_deliveries=3)) == 2
        again = lease(source)
        assert sorted(task_ids(again)) == ["a", "b"]
        assert [delivery.deliveries for delivery in again] == [2, 2]

    @pytest.mark.parametrize("kind", KINDS)
    def test_l9_settling_again_changes_nothing_more(
        self, harness: StackHarness, faults: Faults, faulty: Stack, broker: Broker, kind: str
    ) -> None:
        publish(broker, "t")
        source = offered(faulty.broker).source(owner=OWNER)
        settlement = every_settlement(lease_one(source), at=harness.now())[kind]
        faults.fail_next("source.settle", Fault.REPLY_LOST)
        with pytest.raises(StoreUnavailableError):
            source.settle([settlement])
        after = snapshot(harness)

        assert source.settle([settlement]) == [False]

        assert snapshot(harness) == after

    def test_l9_what_was_not_settled_can_be_settled_again(
        self, harness: StackHarness, faults: Faults, faulty: Stack, broker: Broker
    ) -> None:
        publish(broker, "a", "b")
        source = offered(faulty.broker).source(owner=OWNER)
        first, second = lease(source)
        settlements: list[Settlement] = [
            completion(first, at=harness.now()),
            burial(second, at=harness.now()),
        ]
        faults.fail_next("source.settle", Fault.NOT_EXECUTED, times=2)

        assert insist(lambda: source.settle(settlements)) == [True, True]

    def test_l4_renewing_again_is_harmless(self, faults: Faults, faulty: Stack, broker: Broker) -> None:
        publish(broker, "t")
        source = offered(faulty.broker).source(owner=OWNER)
        token = lease_one(source).token
        faults.fail_next("source.renew", Fault.REPLY_LOST)

        assert insist(lambda: source.renew([token], duration=LEASE)) == set()

    def test_b5_a_reclaim_without_a_reply_hands_on_all_the_same(
        self, harness: StackHarness, faults: Faults, faulty: Stack, broker: Broker, source: LeaseSource
    ) -> None:
        publish(broker, "t")
        lease_one(source)
        harness.let_pass(LEASE)
        faults.fail_next("broker.reclaim", Fault.REPLY_LOST)

        answer = insist(lambda: offered(faulty.broker).reclaim(limit=10, max_deliveries=3))

        assert answer == []
        assert task_ids(lease(source)) == ["t"]

    @needs("cancel_pending")
    def test_q2_cancelling_again_changes_nothing_more(
        self, faults: Faults, faulty: Stack, broker: Broker, queues: QueueAdmin, source: LeaseSource
    ) -> None:
        publish(broker, "t", "u")
        faults.fail_next("queues.cancel", Fault.REPLY_LOST)

        assert insist(lambda: offered(faulty.queues).cancel(["t"], reason="no longer wanted")) == set()

        assert task_ids(lease(source)) == ["u"]
        assert queues.cancel(["t"], reason="no longer wanted") == set()

    def test_d2_replaying_again_puts_nothing_back_twice(
        self,
        harness: StackHarness,
        faults: Faults,
        faulty: Stack,
        broker: Broker,
        source: LeaseSource,
        dead_letters: DeadLetters,
    ) -> None:
        bury_all(harness, broker, source, "a", "b")
        faults.fail_next("dead_letters.replay", Fault.REPLY_LOST)

        answer = insist(lambda: offered(faulty.dead_letters).replay(EVERY_DEAD_LETTER, limit=10))

        assert answer == []
        assert task_ids(lease(source)) == ["a", "b"]
        assert dead_letters.count(EVERY_DEAD_LETTER) == 0

    def test_r9_every_note_may_be_repeated(
        self, harness: StackHarness, faults: Faults, faulty: Stack, results: Results
    ) -> None:
        unsure, now = offered(faulty.results), harness.now()
        results.add([new_task("t")])
        for call in ("results.start", "results.retry", "results.finish"):
            faults.fail_next(call, Fault.REPLY_LOST, times=2)

        assert insist(lambda: unsure.start([start("t", at=now)])) == [True]
        assert insist(lambda: unsure.retry([retry_note("t", at=now)])) == [True]
        assert insist(lambda: unsure.finish([ending("t", at=now)])) == [True]

        assert [event.kind for event in results.timeline("t")] == [
            "queued",
            "started",
            "retrying",
            "succeeded",
        ]

    def test_v1_revoking_again_makes_one_order(
        self, harness: StackHarness, faults: Faults, faulty: Stack
    ) -> None:
        faults.fail_next("revokes.revoke", Fault.REPLY_LOST)

        insist(lambda: offered(faulty.revokes).revoke(["t"], reason="why", ttl=LEASE))

        assert [each.task_id for each in offered(harness.stack.revokes).page()[0]] == ["t"]

    @needs("depth")
    @pytest.mark.parametrize("seed", range(5))
    def test_l7_a_storm_of_faults_loses_and_doubles_nothing(
        self, harness: StackHarness, queues: QueueAdmin, results: Results, seed: int
    ) -> None:
        faults = Faults(seed=seed, not_executed=0.2, reply_lost=0.2)
        stack = faults.wrap(harness.stack)
        broker = offered(stack.broker)
        firsts = [f"t{number:02}" for number in range(30)]
        for name in firsts:
            insist(partial(broker.publish, [publication(name)]))

        rounds = 0
        while any(each.ready + each.delayed + each.leased for each in queues.stats()):
            work_through_a_batch(harness, stack)
            harness.let_pass(LEASE)
            insist(partial(broker.reclaim, limit=100, max_deliveries=TRIES))
            rounds += 1
            assert rounds < TRIES

        assert len(faults.injected) > 20
        names = [*firsts, *(f"{name}-next" for name in firsts)]
        assert {record.state for record in results.get(names).values()} == {TaskState.SUCCEEDED}
        ends = [[event.kind for event in results.timeline(name)].count("succeeded") for name in names]
        assert ends == [1] * len(names)


def insist(call: Callable[[], Answer]) -> Answer:
    """Ask until there is an answer."""
    for _ in range(TRIES):
        try:
            return call()
        except StoreUnavailableError:
            continue
    raise AssertionError(f"no answer after {TRIES} tries")


def work_through_a_batch(harness: StackHarness, stack: Stack) -> None:
    """Lease, start and complete some tasks; each of the first generation publishes a successor."""
    source = offered(stack.broker).source(owner=OWNER)
    try:
        deliveries = lease(source, limit=7)
    except StoreUnavailableError:
        return
    for delivery in deliveries:
        began = start_of(delivery, at=harness.now())
        assert insist(partial(offered(stack.results).start, [began])) == [True]
        name = task_id(delivery)
        successors = () if name.endswith("-next") else (publication(f"{name}-next"),)
        done = replace(completion(delivery, at=harness.now()), successors=successors)
        insist(partial(source.settle, [done]))
