"""The part of the broker's contract that is about records: L7 with ``atomic_results``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stem.ports.broker import Bury, Complete, Release
from stem.states import DeadReason, TaskState
from stem.testing.contracts.samples import (
    FAILURE,
    LEASE,
    QUEUE,
    TASK,
    burial,
    completion,
    ending_of,
    lease,
    lease_one,
    publication,
    publish,
    rescheduling,
    start_of,
)
from stem.testing.contracts.suite import Contract, needs

if TYPE_CHECKING:
    from stem.ports.broker import Broker, LeaseSource
    from stem.ports.results import Results
    from stem.testing.contracts.harness import StackHarness


class RecordingContract(Contract):
    """What settling promises about the task's record."""

    @needs("atomic_results")
    def test_l7_the_record_ends_with_its_message(
        self, harness: StackHarness, broker: Broker, source: LeaseSource, results: Results
    ) -> None:
        publish(broker, "good", "bad", "dropped")
        good, bad, dropped = lease(source)
        results.start([start_of(good, at=harness.now()), start_of(bad, at=harness.now())])
        cancelled = ending_of(dropped, at=harness.now(), state=TaskState.CANCELLED)
        next_task = publication("next", queue="mail")

        source.settle(
            [
                Complete(token=good.token, ending=ending_of(good, at=harness.now()), successors=(next_task,)),
                burial(bad, at=harness.now()),
                Complete(token=dropped.token, ending=cancelled),
            ]
        )

        records = results.get(["good", "bad", "dropped", "next"])
        assert {name: record.state for name, record in records.items()} == {
            "good": TaskState.SUCCEEDED,
            "bad": TaskState.FAILED,
            "dropped": TaskState.CANCELLED,
            "next": TaskState.QUEUED,
        }
        assert (records["good"].result, records["bad"].error) == ('"done"', FAILURE)
        assert [event.kind for event in results.timeline("good")] == ["queued", "started", "succeeded"]

    @needs("atomic_results")
    def test_l7_the_record_goes_on_with_its_message(
        self, harness: StackHarness, broker: Broker, source: LeaseSource, results: Results
    ) -> None:
        publish(broker, "released", "rescheduled", "untouched")
        released, rescheduled, untouched = lease(source)
        results.start([start_of(each, at=harness.now()) for each in (released, rescheduled)])

        source.settle(
            [Release(token=released.token), rescheduling(rescheduled), Release(token=untouched.token)]
        )

        records = results.get(["released", "rescheduled", "untouched"])
        assert records["released"].state is TaskState.QUEUED
        assert records["rescheduled"].state is TaskState.RETRYING
        assert records["rescheduled"].error == FAILURE
        assert records["untouched"].state is TaskState.QUEUED
        kinds = [(event.kind, event.attempt) for event in results.timeline("rescheduled")]
        assert kinds == [("queued", 1), ("started", 1), ("retrying", 1)]

    @needs("atomic_results")
    def test_l7_a_record_is_made_for_a_foreign_message(
        self, harness: StackHarness, broker: Broker, source: LeaseSource, results: Results
    ) -> None:
        broker.publish([publication("t", recorded=False)])
        delivery = lease_one(source)

        assert source.settle([completion(delivery, at=harness.now())]) == [True]

        record = results.get(["t"])["t"]
        assert (record.state, record.name, record.queue) == (TaskState.SUCCEEDED, TASK, QUEUE)

    @needs("atomic_results")
    def test_l7_a_record_that_has_ended_does_not_hold_its_message(
        self, harness: StackHarness, broker: Broker, source: LeaseSource, results: Results
    ) -> None:
        publish(broker, "t")
        delivery = lease_one(source)
        results.finish([ending_of(delivery, at=harness.now())])
        failed = ending_of(delivery, at=harness.now(), state=TaskState.FAILED)

        assert source.settle([Complete(token=delivery.token, ending=failed)]) == [True]

        assert results.get(["t"])["t"].state is TaskState.SUCCEEDED
        harness.let_pass(LEASE)
        assert broker.reclaim(limit=10, max_deliveries=5) == []

    @needs("atomic_results")
    def test_l7_a_message_without_a_record_needs_none(
        self, broker: Broker, source: LeaseSource, results: Results
    ) -> None:
        broker.publish([publication(name, recorded=False) for name in ("done", "back", "again", "bad")])
        done, back, again, bad = lease(source)

        told = source.settle(
            [
                Complete(token=done.token),
                Release(token=back.token),
                rescheduling(again),
                Bury(token=bad.token, reason=DeadReason.REJECTED, detail="", task_id="bad"),
            ]
        )

        assert told == [True] * 4
        assert results.get(["done", "back", "again", "bad"]) == {}
