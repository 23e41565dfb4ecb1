"""The part of the dead letters' contract that is about replaying: D2 to D4."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from stem.codecs import pack, read_envelope
from stem.message import Envelope, Message
from stem.ports.broker import Bury
from stem.ports.deadletters import DeadLetterQuery
from stem.states import DeadReason, TaskState
from stem.testing.contracts.samples import (
    EVERY_DEAD_LETTER,
    HISTORY,
    LEASE,
    QUEUE,
    SECOND,
    TASK,
    at_once,
    burial,
    bury_all,
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


class ReplayingContract(Contract):
    """What replaying promises."""

    def test_d2_replay_puts_messages_back_oldest_first(
        self, harness: StackHarness, broker: Broker, source: LeaseSource, dead_letters: DeadLetters
    ) -> None:
        for name in ("a", "b", "c"):
            bury_all(harness, broker, source, name)
            harness.let_pass(SECOND)

        replayed = dead_letters.replay(EVERY_DEAD_LETTER, limit=2)

        assert [entry.task_id for entry in replayed] == ["a", "b"]
        assert task_ids(lease(source)) == ["a", "b"]
        assert dead_letters.count(EVERY_DEAD_LETTER) == 1

    def test_d2_replay_is_idempotent(
        self, harness: StackHarness, broker: Broker, source: LeaseSource, dead_letters: DeadLetters
    ) -> None:
        bury_all(harness, broker, source, "t")
        (entry,) = dead_letters.page(EVERY_DEAD_LETTER)[0]
        this_one = DeadLetterQuery(ids=[entry.id])

        assert len(dead_letters.replay(this_one, limit=10)) == 1
        assert dead_letters.replay(this_one, limit=10) == []
        source.settle([completion(lease_one(source), at=harness.now())])
        assert dead_letters.replay(this_one, limit=10) == []
        assert dead_letters.replay(HISTORY, limit=10) == []

        assert lease(source) == []

    def test_d2_callers_at_the_same_time_replay_each_entry_once(
        self, harness: StackHarness, broker: Broker, source: LeaseSource, dead_letters: DeadLetters
    ) -> None:
        names = [f"t{number:02}" for number in range(30)]
        bury_all(harness, broker, source, *names)
        callers = [offered(harness.reopen().dead_letters) for _ in range(3)]

        shares = at_once([partial(each.replay, EVERY_DEAD_LETTER, limit=100) for each in callers])

        assert sorted(entry.task_id for share in shares for entry in share) == names
        assert sorted(task_ids(lease(source))) == names

    def test_d2_an_entry_whose_task_is_live_again_is_passed_over(
        self, harness: StackHarness, broker: Broker, source: LeaseSource, dead_letters: DeadLetters
    ) -> None:
        for _ in range(2):
            broker.publish([publication("t", recorded=False)])
            source.settle([unrecorded_burial(source)])
        assert dead_letters.count(EVERY_DEAD_LETTER) == 2

        replayed = dead_letters.replay(EVERY_DEAD_LETTER, limit=10)

        assert len(replayed) == 1
        assert task_ids(lease(source)) == ["t"]
        assert dead_letters.count(EVERY_DEAD_LETTER) == 1

    @needs("publish_raw")
    @needs("atomic_results")
    def test_d2_an_entry_whose_task_has_gone_on_is_passed_over(
        self, harness: StackHarness, broker: Broker, source: LeaseSource, dead_letters: DeadLetters
    ) -> None:
        publish(broker, "t")
        harness.publish_raw(QUEUE, pack(message("t"), queue=QUEUE))
        copies = lease(source)
        source.settle([burial(each, at=harness.now()) for each in copies])
        assert len(dead_letters.replay(EVERY_DEAD_LETTER, limit=10)) == 1
        source.settle([completion(lease_one(source), at=harness.now())])

        assert dead_letters.replay(EVERY_DEAD_LETTER, limit=10) == []

        assert lease(source) == []

    def test_d2_live_tasks_do_not_keep_others_from_being_replayed(
        self, harness: StackHarness, broker: Broker, source: LeaseSource, dead_letters: DeadLetters
    ) -> None:
        bury_all(harness, broker, source, "a", "b", "c")
        publish(broker, "live")

        one_by_one = [dead_letters.replay(EVERY_DEAD_LETTER, limit=1) for _ in range(4)]

        assert [[entry.task_id for entry in entries] for entries in one_by_one] == [["a"], ["b"], ["c"], []]

    def test_d2_what_is_passed_over_does_not_use_up_the_limit(
        self, harness: StackHarness, broker: Broker, source: LeaseSource, dead_letters: DeadLetters
    ) -> None:
        nameless = Message(headers={"task": TASK}, properties={}, body=b"[[],{},{}]")
        broker.publish([publication("", content=nameless, recorded=False)] * 3)
        nameless_ones = [
            Bury(token=each.token, reason=DeadReason.HEADER_MISSING, detail="id") for each in lease(source)
        ]
        source.settle(nameless_ones)
        harness.let_pass(SECOND)
        bury_all(harness, broker, source, "t")

        assert [entry.task_id for entry in dead_letters.replay(EVERY_DEAD_LETTER, limit=2)] == ["t"]

        assert dead_letters.count(EVERY_DEAD_LETTER) == 3

    @needs("publish_raw")
    def test_d2_garbage_cannot_be_replayed(
        self, harness: StackHarness, source: LeaseSource, dead_letters: DeadLetters
    ) -> None:
        harness.publish_raw(QUEUE, "{")
        (delivery,) = lease(source)
        source.settle(
            [
                Bury(
                    token=delivery.token,
                    reason=DeadReason.ENVELOPE_UNDECODABLE,
                    detail="not JSON",
                    task_id="t",
                )
            ]
        )

        assert dead_letters.replay(EVERY_DEAD_LETTER, limit=10) == []

        assert lease(source) == []
        assert dead_letters.count(EVERY_DEAD_LETTER) == 1

    def test_d3_a_replayed_task_is_of_the_next_generation(
        self, harness: StackHarness, broker: Broker, source: LeaseSource, dead_letters: DeadLetters
    ) -> None:
        publish(broker, "t")
        source.settle([rescheduling(lease_one(source))])

        generations: list[int] = []
        for generation in range(1, 4):
            source.settle([burial(lease_one(source), at=harness.now())])
            generations += [entry.generation for entry in dead_letters.replay(EVERY_DEAD_LETTER, limit=1)]
            delivery = lease_one(source)
            assert isinstance(delivery.content, Message)
            envelope = read_envelope(delivery.content, queue=QUEUE)
            assert isinstance(envelope, Envelope)
            assert (envelope.attempt, envelope.generation, envelope.name) == (1, generation, TASK)
            assert delivery.deliveries == 1
            harness.let_pass(LEASE)
            broker.reclaim(limit=1, max_deliveries=9)

        assert generations == [0, 1, 2]

    def test_d3_the_entry_stays_as_history(
        self, harness: StackHarness, broker: Broker, source: LeaseSource, dead_letters: DeadLetters
    ) -> None:
        bury_all(harness, broker, source, "t")
        (before,) = dead_letters.page(EVERY_DEAD_LETTER)[0]
        harness.let_pass(LEASE)

        (returned,) = dead_letters.replay(EVERY_DEAD_LETTER, limit=10)

        (after,) = dead_letters.page(HISTORY)[0]
        assert replace(after, replayed_at=None) == before
        assert after.replayed_at is not None
        assert abs(after.replayed_at - harness.now()) < SECOND
        assert returned.id == before.id
        assert dead_letters.page(EVERY_DEAD_LETTER) == ([], None)
        assert (dead_letters.count(EVERY_DEAD_LETTER), dead_letters.count(HISTORY)) == (0, 1)

    def test_d3_a_replay_can_be_delayed(
        self, harness: StackHarness, broker: Broker, source: LeaseSource, dead_letters: DeadLetters
    ) -> None:
        bury_all(harness, broker, source, "t")

        dead_letters.replay(EVERY_DEAD_LETTER, limit=10, delay=LEASE)

        assert lease(source) == []
        harness.let_pass(LEASE - SECOND)
        assert lease(source) == []
        harness.let_pass(SECOND)
        assert task_ids(lease(source)) == ["t"]

    @needs("atomic_results")
    def test_d4_the_record_is_queued_again(
        self,
        harness: StackHarness,
        broker: Broker,
        source: LeaseSource,
        dead_letters: DeadLetters,
        results: Results,
    ) -> None:
        publish(broker, "t")
        delivery = lease_one(source)
        results.start([start_of(delivery, at=harness.now())])
        source.settle([burial(delivery, at=harness.now())])

        dead_letters.replay(EVERY_DEAD_LETTER, limit=10)

        record = results.get(["t"])["t"]
        assert (record.state, record.attempt, record.generation) == (TaskState.QUEUED, 1, 1)
        assert (record.error, record.result, record.finished_at, record.expires_at) == (
            None,
            None,
            None,
            None,
        )
        kinds = [event.kind for event in results.timeline("t")]
        assert kinds == ["queued", "started", "failed", "replayed"]

    @needs("atomic_results")
    def test_d4_nothing_from_before_the_replay_is_taken(
        self,
        harness: StackHarness,
        broker: Broker,
        source: LeaseSource,
        dead_letters: DeadLetters,
        results: Results,
    ) -> None:
        publish(broker, "t")
        delivery = lease_one(source)
        started = start_of(delivery, at=harness.now())
        results.start([started])
        source.settle([burial(delivery, at=harness.now())])
        dead_letters.replay(EVERY_DEAD_LETTER, limit=10)

        late = ending_of(delivery, at=harness.now())

        assert [*results.finish([late]), *results.start([started])] == [False, False]
        assert results.get(["t"])["t"].state is TaskState.QUEUED

    def test_d4_a_replayed_task_can_end_well(
        self,
        harness: StackHarness,
        broker: Broker,
        source: LeaseSource,
        dead_letters: DeadLetters,
        results: Results,
    ) -> None:
        bury_all(harness, broker, source, "t")
        dead_letters.replay(EVERY_DEAD_LETTER, limit=10)
        delivery = lease_one(source)

        assert results.start([start_of(delivery, at=harness.now())]) == [True]
        assert source.settle([completion(delivery, at=harness.now())]) == [True]
        results.finish([ending_of(delivery, at=harness.now())])

        assert results.get(["t"])["t"].state is TaskState.SUCCEEDED


def unrecorded_burial(source: LeaseSource) -> Bury:
    """Return the burial of the next message, which has no record and is to get none."""
    token = lease_one(source).token
    return Bury(token=token, reason=DeadReason.REJECTED, detail="", task_id="t", task=TASK, attempt=1)
