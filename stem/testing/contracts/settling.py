"""The part of the broker's contract that is about settling and renewing: L1, L4, L7 and L9."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

import pytest

from stem.codecs import pack, read_envelope, unpack
from stem.message import ErrorInfo, Message
from stem.ports.broker import Bury, Complete, Release, Reschedule
from stem.states import DeadReason, TaskState
from stem.testing.contracts.samples import (
    EVERY_DEAD_LETTER,
    FAILURE,
    LEASE,
    QUEUE,
    SECOND,
    burial,
    completion,
    ending_of,
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
    from collections.abc import Callable

    from stem.message import Delivery
    from stem.ports.broker import Broker, LeaseSource
    from stem.ports.deadletters import DeadLetters
    from stem.testing.contracts.harness import StackHarness

KINDS: Final = ("complete", "release", "reschedule", "bury")


def _settled(harness: StackHarness, source: LeaseSource, delivery: Delivery) -> None:
    assert source.settle([Release(token=delivery.token)]) == [True]


def _lapsed(harness: StackHarness, source: LeaseSource, delivery: Delivery) -> None:
    harness.let_pass(LEASE)


def _reclaimed(harness: StackHarness, source: LeaseSource, delivery: Delivery) -> None:
    harness.let_pass(LEASE)
    assert len(offered(harness.stack.broker).reclaim(limit=10, max_deliveries=5)) == 1


def _leased_by_another(harness: StackHarness, source: LeaseSource, delivery: Delivery) -> None:
    _reclaimed(harness, source, delivery)
    other = offered(harness.reopen().broker).source(owner="worker@two")
    lease_one(other, duration=10 * LEASE)


STALE: Final[dict[str, Callable[[StackHarness, LeaseSource, Delivery], None]]] = {
    "settled": _settled,
    "lapsed": _lapsed,
    "reclaimed": _reclaimed,
    "leased by another": _leased_by_another,
}


class SettlingContract(Contract):
    """What settling and renewing promise."""

    @pytest.mark.parametrize("kind", KINDS)
    def test_l1_a_settled_message_is_in_one_place(
        self, harness: StackHarness, broker: Broker, source: LeaseSource, dead_letters: DeadLetters, kind: str
    ) -> None:
        publish(broker, "t")
        delivery = lease_one(source)

        assert source.settle([every_settlement(delivery, at=harness.now())[kind]]) == [True]

        again = [name for name in task_ids(lease(source)) if name == "t"]
        buried = dead_letters.count(EVERY_DEAD_LETTER)
        assert (len(again), buried) == {
            "complete": (0, 0),
            "release": (1, 0),
            "reschedule": (1, 0),
            "bury": (0, 1),
        }[kind]
        harness.let_pass(LEASE)
        assert len(broker.reclaim(limit=10, max_deliveries=5)) == len(again) + (kind == "complete")

    @pytest.mark.parametrize("how", STALE)
    @pytest.mark.parametrize("kind", KINDS)
    def test_l4_a_stale_token_changes_nothing(
        self, harness: StackHarness, broker: Broker, source: LeaseSource, kind: str, how: str
    ) -> None:
        publish(broker, "t")
        delivery = lease_one(source)
        STALE[how](harness, source, delivery)
        before = snapshot(harness)

        told = source.settle([every_settlement(delivery, at=harness.now())[kind]])

        assert told == [False]
        assert snapshot(harness) == before

    @pytest.mark.parametrize("how", STALE)
    def test_l4_a_stale_token_cannot_be_renewed(
        self, harness: StackHarness, broker: Broker, source: LeaseSource, how: str
    ) -> None:
        publish(broker, "t")
        delivery = lease_one(source)
        STALE[how](harness, source, delivery)
        before = snapshot(harness)

        lost = source.renew([delivery.token], duration=LEASE)

        assert lost == {delivery.token}
        assert snapshot(harness) == before

    @pytest.mark.parametrize("token", ["", "1", "0:0", "no such token", "t", "' OR 1=1 --", "ü" * 300])
    def test_l4_an_invented_token_changes_nothing(
        self, harness: StackHarness, broker: Broker, source: LeaseSource, token: str
    ) -> None:
        publish(broker, "t")
        lease_one(source)
        before = snapshot(harness)

        told = source.settle(
            [
                Complete(token=token),
                Release(token=token),
                Bury(token=token, reason=DeadReason.REJECTED, detail=""),
            ]
        )

        assert told == [False, False, False]
        assert source.renew([token], duration=LEASE) == {token}
        assert snapshot(harness) == before

    def test_l4_a_token_shown_by_another_source_is_answered_truly(
        self, harness: StackHarness, broker: Broker, source: LeaseSource
    ) -> None:
        publish(broker, "t")
        delivery = lease_one(source)
        other = offered(harness.reopen().broker).source(owner="worker@two")

        (accepted,) = other.settle([Complete(token=delivery.token)])
        (left,) = source.settle([Complete(token=delivery.token)])

        assert (accepted, left) in {(True, False), (False, True)}
        harness.let_pass(LEASE)
        assert broker.reclaim(limit=10, max_deliveries=5) == []

    def test_l4_renewing_tells_the_lost_from_the_held(
        self, harness: StackHarness, broker: Broker, source: LeaseSource
    ) -> None:
        publish(broker, "lapsed", "settled", "held")
        lapsed = lease_one(source, duration=SECOND)
        settled, held = lease(source)
        source.settle([completion(settled, at=harness.now())])
        harness.let_pass(SECOND)

        lost = source.renew([held.token, lapsed.token, settled.token], duration=LEASE)

        assert lost == {lapsed.token, settled.token}
        assert source.renew([], duration=LEASE) == set()

    def test_l2_extend_never_makes_a_second_copy(
        self, harness: StackHarness, broker: Broker, source: LeaseSource
    ) -> None:
        publish(broker, "t")
        delivery = lease_one(source)

        for _ in range(3):
            assert source.renew([delivery.token], duration=LEASE) == set()
            assert lease(source) == []
        assert source.settle([completion(delivery, at=harness.now())]) == [True]

        harness.let_pass(2 * LEASE)
        assert broker.reclaim(limit=10, max_deliveries=5) == []
        assert lease(source) == []

    def test_l7_a_batch_of_mixed_settlements_is_answered_in_order(
        self, harness: StackHarness, broker: Broker, source: LeaseSource, dead_letters: DeadLetters
    ) -> None:
        publish(broker, "stale")
        stale = lease_one(source)
        source.settle([Release(token=stale.token)])
        publish(broker, "done", "back", "later", "again", "bad")
        _, done, back, later, again, bad = lease(source)

        told = source.settle(
            [
                burial(bad, at=harness.now()),
                completion(stale, at=harness.now()),
                completion(done, at=harness.now()),
                Release(token="no such token"),
                Release(token=back.token),
                burial(stale, at=harness.now()),
                rescheduling(again),
                Release(token=later.token, due=LEASE),
            ]
        )

        assert told == [True, False, True, False, True, False, True, True]
        assert sorted(task_ids(lease(source))) == ["again", "back"]
        assert [entry.task_id for entry in dead_letters.page(EVERY_DEAD_LETTER)[0]] == ["bad"]

    def test_l7_five_hundred_settlements_fit_in_one_call(
        self, harness: StackHarness, broker: Broker, source: LeaseSource
    ) -> None:
        publish(broker, *(f"t{number}" for number in range(500)))
        deliveries = lease(source, limit=500)

        assert source.renew([delivery.token for delivery in deliveries], duration=LEASE) == set()
        told = source.settle([completion(delivery, at=harness.now()) for delivery in deliveries])

        assert told == [True] * 500
        harness.let_pass(LEASE)
        assert broker.reclaim(limit=10, max_deliveries=5) == []

    def test_l7_retry_is_atomic(self, harness: StackHarness, broker: Broker, source: LeaseSource) -> None:
        publish(broker, "t")
        first = lease_one(source)
        retry = Reschedule(
            token=first.token,
            message=message("t", attempt=2, body=b"[[2],{},{}]"),
            attempt=2,
            due=LEASE,
            error=FAILURE,
        )

        assert source.settle([retry, retry]) == [True, False]

        harness.let_pass(LEASE)
        (second,) = lease(source)
        assert isinstance(second.content, Message)
        assert second.content.body == b"[[2],{},{}]"
        envelope = read_envelope(second.content, queue=QUEUE)
        assert getattr(envelope, "attempt", None) == 2
        assert second.queue == QUEUE

    def test_l7_dead_letter_is_atomic(
        self, harness: StackHarness, broker: Broker, source: LeaseSource, dead_letters: DeadLetters
    ) -> None:
        publish(broker, "t")
        delivery = lease_one(source)
        bury = burial(delivery, at=harness.now())

        assert source.settle([bury, bury]) == [True, False]
        assert source.settle([bury]) == [False]

        (entry,) = dead_letters.page(EVERY_DEAD_LETTER)[0]
        assert entry.task_id == "t"
        harness.let_pass(LEASE)
        assert broker.reclaim(limit=10, max_deliveries=5) == []

    def test_l7_successors_are_published_with_the_completion(
        self, broker: Broker, source: LeaseSource, dead_letters: DeadLetters
    ) -> None:
        publish(broker, "t", "known")
        delivery = lease_one(source)
        successors = (
            publication("next", queue="mail"),
            publication("known", queue="mail"),
            publication("later", queue="mail", due=LEASE),
        )

        assert source.settle([Complete(token=delivery.token, successors=successors)]) == [True]

        assert task_ids(lease(source, queues=["mail", QUEUE])) == ["next", "known"]
        assert dead_letters.count(EVERY_DEAD_LETTER) == 0

    def test_l7_without_the_lease_no_successor_is_published(
        self, harness: StackHarness, broker: Broker, source: LeaseSource
    ) -> None:
        publish(broker, "t")
        delivery = lease_one(source)
        harness.let_pass(LEASE)
        complete = Complete(token=delivery.token, successors=(publication("next"),))

        assert source.settle([complete]) == [False]

        assert lease(source) == []
        assert broker.publish([publication("next")]) == [True]

    @pytest.mark.parametrize("second", KINDS)
    @pytest.mark.parametrize("first", KINDS)
    def test_l9_settling_twice_succeeds_once(
        self, harness: StackHarness, broker: Broker, source: LeaseSource, first: str, second: str
    ) -> None:
        publish(broker, "t")
        delivery = lease_one(source)
        settlements = every_settlement(delivery, at=harness.now())

        assert source.settle([settlements[first], settlements[second]]) == [True, False]
        after = snapshot(harness)

        assert source.settle([settlements[second], settlements[first]]) == [False, False]
        assert snapshot(harness) == after

    def test_l7_text_that_no_database_likes_does_not_keep_a_message(
        self, harness: StackHarness, broker: Broker, source: LeaseSource, dead_letters: DeadLetters
    ) -> None:
        broker.publish([publication("again"), publication("bad")])
        again, bad = lease(source)
        error = ErrorInfo(type="app.\x00Error", message="\x00 \ud800 \U0001f994", traceback="\udfff")
        failed = ending_of(bad, at=harness.now(), state=TaskState.FAILED)

        told = source.settle(
            [
                replace(rescheduling(again), error=error),
                replace(
                    burial(bad, at=harness.now()),
                    detail=error.message,
                    facts={"\x00": error.message},
                    ending=replace(failed, error=error),
                ),
            ]
        )

        assert told == [True, True]
        assert [entry.task_id for entry in dead_letters.page(EVERY_DEAD_LETTER)[0]] == ["bad"]

    @needs("publish_raw")
    def test_l7_a_message_with_an_odd_id_can_be_buried(
        self, harness: StackHarness, source: LeaseSource, dead_letters: DeadLetters
    ) -> None:
        odd = {"id": "\x00 \ud800", "task": "\ud800"}
        harness.publish_raw(QUEUE, pack(message("t", headers=odd), queue=QUEUE))
        delivery = lease_one(source)
        bury = Bury(token=delivery.token, reason=DeadReason.HEADER_INVALID, detail="id")

        assert source.settle([bury]) == [True]

        assert dead_letters.count(EVERY_DEAD_LETTER) == 1
        assert lease(source) == []

    def test_l9_settling_nothing_is_answered_with_nothing(self, source: LeaseSource) -> None:
        assert source.settle([]) == []

    @needs("publish_raw")
    def test_l9_garbage_is_buried_once_with_its_bytes(
        self, harness: StackHarness, source: LeaseSource, dead_letters: DeadLetters
    ) -> None:
        payload = '{"garbage": "ü 🦔 \\u0000", '
        harness.publish_raw(QUEUE, payload)
        delivery = lease_one(source)
        bury = Bury(token=delivery.token, reason=DeadReason.ENVELOPE_UNDECODABLE, detail="not JSON")

        assert source.settle([bury, bury]) == [True, False]

        (entry,) = dead_letters.page(EVERY_DEAD_LETTER)[0]
        assert entry.payload == payload.encode()
        assert (entry.task_id, entry.task, entry.attempt) == ("", "", 0)

    def test_l1_a_buried_message_is_kept_with_its_bytes(
        self, harness: StackHarness, broker: Broker, source: LeaseSource, dead_letters: DeadLetters
    ) -> None:
        sent = message("t", body=bytes(range(256)), headers={"x-text": "naïve 🦔"})
        broker.publish([publication("t", content=sent)])
        delivery = lease_one(source)
        assert task_id(delivery) == "t"

        source.settle([burial(delivery, at=harness.now())])

        (entry,) = dead_letters.page(EVERY_DEAD_LETTER)[0]
        kept = unpack(entry.payload)
        assert isinstance(kept, Message)
        assert (kept.headers, kept.body) == (sent.headers, sent.body)


def snapshot(harness: StackHarness) -> object:
    """Return all that can be seen of the messages, dead letters and records in a database."""
    stack = harness.stack
    queues, results = offered(stack.queues), offered(stack.results)
    records = results.get(["t", "after-t"])
    return (
        [replace(stats, oldest_age_s=None) for stats in queues.stats()],
        [queues.browse(queue) for queue in queues.queues()],
        offered(stack.dead_letters).page(EVERY_DEAD_LETTER),
        records,
        [results.timeline(name) for name in sorted(records)],
    )
