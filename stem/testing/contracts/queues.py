"""The contract of `stem.ports.broker.QueueAdmin`."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from stem.errors import ConfigurationError
from stem.ports.broker import QueueStats, Release
from stem.states import TaskState
from stem.testing.contracts.samples import (
    EVERY_DEAD_LETTER,
    LEASE,
    OWNER,
    QUEUE,
    SECOND,
    TASK,
    burial,
    completion,
    lease,
    lease_one,
    publication,
    publish,
    rescheduling,
    task_ids,
)
from stem.testing.contracts.suite import Contract, needs, offered

if TYPE_CHECKING:
    from stem.ports.broker import Broker, LeaseSource, PendingMessage, QueueAdmin, QueueState
    from stem.ports.results import Results
    from stem.testing.contracts.harness import StackHarness

NO_CURSORS = ["", "garbage", "W1sxXV0", "W10", "bnVsbA", "eyJhIjoxfQ", "é", "W" * 4000]
"""Texts that no listing has made; some are base64 of JSON."""


class QueuesContract(Contract):
    """Q1 to Q5."""

    @needs("depth")
    def test_q1_counts_add_up(
        self, harness: StackHarness, broker: Broker, source: LeaseSource, queues: QueueAdmin
    ) -> None:
        publish(broker, *(f"t{number}" for number in range(10)))
        publish(broker, "d1", "d2", due=2 * LEASE)
        leased = lease(source, limit=7)
        source.settle(
            [
                completion(leased[0], at=harness.now()),
                Release(token=leased[1].token),
                Release(token=leased[2].token, due=2 * LEASE),
                rescheduling(leased[3], due=2 * LEASE),
                burial(leased[4], at=harness.now()),
            ]
        )

        assert counts(queues, QUEUE) == {"ready": 4, "delayed": 4, "leased": 2, "dead": 1}
        harness.let_pass(LEASE)
        broker.reclaim(limit=1, max_deliveries=3)
        assert counts(queues, QUEUE) == {"ready": 5, "delayed": 4, "leased": 1, "dead": 1}
        broker.reclaim(limit=1, max_deliveries=1)
        assert counts(queues, QUEUE) == {"ready": 5, "delayed": 4, "leased": 0, "dead": 2}

    @needs("depth")
    def test_q1_a_delayed_message_counts_as_ready_when_due(
        self, harness: StackHarness, broker: Broker, queues: QueueAdmin
    ) -> None:
        publish(broker, "t", due=LEASE)

        before = counts(queues, QUEUE)
        harness.let_pass(LEASE)

        assert (before["delayed"], before["ready"]) == (1, 0)
        assert (counts(queues, QUEUE)["delayed"], counts(queues, QUEUE)["ready"]) == (0, 1)

    @needs("depth")
    def test_q1_replayed_dead_letters_are_not_dead(
        self, harness: StackHarness, broker: Broker, source: LeaseSource, queues: QueueAdmin
    ) -> None:
        publish(broker, "t")
        source.settle([burial(lease_one(source), at=harness.now())])

        offered(harness.stack.dead_letters).replay(EVERY_DEAD_LETTER, limit=10)

        assert counts(queues, QUEUE) == {"ready": 1, "delayed": 0, "leased": 0, "dead": 0}

    @needs("depth")
    def test_q1_the_age_is_that_of_the_oldest_ready_message(
        self, harness: StackHarness, broker: Broker, source: LeaseSource, queues: QueueAdmin
    ) -> None:
        publish(broker, "leased")
        lease_one(source)
        harness.let_pass(60 * SECOND)
        publish(broker, "delayed", due=10 * SECOND)

        ages = [queues.stats([QUEUE])[0].oldest_age_s]
        harness.let_pass(25 * SECOND)
        ages.append(queues.stats([QUEUE])[0].oldest_age_s)
        publish(broker, "ready")
        harness.let_pass(5 * SECOND)
        ages.append(queues.stats([QUEUE])[0].oldest_age_s)

        assert ages == [None, pytest.approx(15, abs=2), pytest.approx(20, abs=2)]

    @needs("depth")
    def test_q1_stats_are_sorted_and_zero_for_the_unknown(self, broker: Broker, queues: QueueAdmin) -> None:
        publish(broker, "z", queue="zoo")
        publish(broker, "a", queue="app.mail:high")

        assert [each.queue for each in queues.stats()] == ["app.mail:high", "zoo"]
        assert [(each.queue, each.ready) for each in queues.stats(["zoo", "never"])] == [
            ("never", 0),
            ("zoo", 1),
        ]
        assert queues.stats(["never"]) == [
            QueueStats(queue="never", ready=0, delayed=0, leased=0, dead=0, oldest_age_s=None, paused=False)
        ]
        assert queues.stats([]) == []

    def test_q1_a_queue_stays_known_when_it_is_empty(
        self, harness: StackHarness, broker: Broker, source: LeaseSource, queues: QueueAdmin
    ) -> None:
        assert queues.queues() == []
        publish(broker, "t", queue="mail")
        publish(broker, "u")
        source.settle([completion(each, at=harness.now()) for each in lease(source, queues=["mail"])])

        assert queues.queues() == [QUEUE, "mail"]
        assert offered(harness.reopen().queues).queues() == [QUEUE, "mail"]

    def test_q2_purge_spares_leases(
        self, broker: Broker, source: LeaseSource, queues: QueueAdmin, harness: StackHarness
    ) -> None:
        publish(broker, "leased")
        leased = lease_one(source)
        publish(broker, "ready1", "ready2")
        publish(broker, "delayed", due=LEASE / 2)
        publish(broker, "other", queue="mail")

        assert queues.purge(QUEUE) == 3

        harness.let_pass(LEASE / 2)
        assert task_ids(lease(source, queues=[QUEUE, "mail"])) == ["other"]
        assert source.settle([completion(leased, at=harness.now())]) == [True]
        assert [queues.purge(QUEUE), queues.purge("never")] == [0, 0]

    def test_q2_a_lapsed_lease_is_spared_until_it_is_reclaimed(
        self, harness: StackHarness, broker: Broker, source: LeaseSource, queues: QueueAdmin
    ) -> None:
        publish(broker, "t")
        lease_one(source)
        harness.let_pass(LEASE)

        assert queues.purge(QUEUE) == 0
        broker.reclaim(limit=10, max_deliveries=3)

        assert queues.purge(QUEUE) == 1

    @needs("cancel_pending")
    def test_q2_cancel_spares_leases(
        self, harness: StackHarness, broker: Broker, source: LeaseSource, queues: QueueAdmin
    ) -> None:
        publish(broker, "leased")
        leased = lease_one(source)
        publish(broker, "ready", "stays")
        publish(broker, "delayed", due=LEASE)

        cancelled = queues.cancel(["delayed", "leased", "ready", "never"], reason="no longer wanted")

        assert cancelled == {"delayed", "ready"}
        assert task_ids(lease(source)) == ["stays"]
        assert source.settle([completion(leased, at=harness.now())]) == [True]
        assert queues.cancel(["ready"], reason="again") == set()
        assert queues.cancel([], reason="nothing") == set()

    @needs("atomic_results")
    def test_q2_what_is_purged_is_cancelled(
        self, broker: Broker, source: LeaseSource, queues: QueueAdmin, harness: StackHarness
    ) -> None:
        publish(broker, "leased")
        lease_one(source)
        publish(broker, "ready")
        broker.publish([publication("unrecorded", recorded=False)])

        queues.purge(QUEUE)

        records = offered(harness.stack.results).get(["leased", "ready", "unrecorded"])
        assert {name: record.state for name, record in records.items()} == {
            "leased": TaskState.QUEUED,
            "ready": TaskState.CANCELLED,
        }

    @needs("cancel_pending")
    @needs("atomic_results")
    def test_q3_cancelling_ends_the_record(
        self, harness: StackHarness, broker: Broker, source: LeaseSource, queues: QueueAdmin, results: Results
    ) -> None:
        publish(broker, "t")
        delivery = lease_one(source)
        source.settle([rescheduling(delivery, due=LEASE)])

        queues.cancel(["t"], reason="no lönger wanted")

        record = results.get(["t"])["t"]
        assert record.state is TaskState.CANCELLED
        assert record.finished_at is not None
        assert record.expires_at is not None
        last = results.timeline("t")[-1]
        assert last.kind == "cancelled"
        assert "no lönger wanted" in last.detail
        assert broker.publish([publication("t")]) == [False]

    def test_q4_nothing_is_leased_from_a_paused_queue(
        self, harness: StackHarness, broker: Broker, source: LeaseSource, queues: QueueAdmin
    ) -> None:
        publish(broker, "t")
        publish(broker, "m", queue="mail")
        queues.pause(QUEUE)
        queues.pause(QUEUE)
        publish(broker, "u")
        other = offered(harness.reopen().broker).source(owner="worker@two")

        assert task_ids(lease(source, queues=[QUEUE, "mail"])) == ["m"]
        assert lease(other) == []
        queues.resume(QUEUE)
        queues.resume(QUEUE)
        assert task_ids(lease(other)) == ["t", "u"]

    def test_q4_what_is_leased_already_goes_on(
        self, harness: StackHarness, broker: Broker, source: LeaseSource, queues: QueueAdmin
    ) -> None:
        publish(broker, "done", "back", "lapsed")
        done, back = lease(source, limit=2)
        lease_one(source, duration=SECOND)

        queues.pause(QUEUE)
        harness.let_pass(2 * SECOND)

        assert source.renew([done.token, back.token], duration=LEASE) == set()
        assert source.settle([completion(done, at=harness.now()), Release(token=back.token)]) == [True, True]
        assert [each.task_id for each in broker.reclaim(limit=10, max_deliveries=3)] == ["lapsed"]
        assert lease(source) == []

    @needs("depth")
    def test_q4_stats_tell_what_is_paused(self, broker: Broker, queues: QueueAdmin) -> None:
        publish(broker, "t")
        publish(broker, "m", queue="mail")

        queues.pause("mail")

        assert {each.queue: each.paused for each in queues.stats()} == {QUEUE: False, "mail": True}
        assert queues.stats(["mail"])[0].ready == 1

    @needs("browse")
    def test_q5_browsing_shows_every_message(
        self, harness: StackHarness, broker: Broker, source: LeaseSource, queues: QueueAdmin
    ) -> None:
        now = harness.now()
        broker.publish([publication("leased", priority=9)])
        lease_one(source)
        publish(broker, "ready", due=timedelta(0))
        publish(broker, "delayed", due=2 * LEASE)

        page, cursor = queues.browse(QUEUE)

        assert cursor is None
        assert [(each.task_id, each.state, each.deliveries, each.owner) for each in page] == [
            ("leased", "leased", 1, OWNER),
            ("ready", "ready", 0, ""),
            ("delayed", "delayed", 0, ""),
        ]
        assert {(each.task, each.queue, each.attempt) for each in page} == {(TASK, QUEUE, 1)}
        assert [each.priority for each in page] == [9, 0, 0]
        expected = [now + LEASE, now, now + 2 * LEASE]
        assert all(abs(each.at - at) < SECOND for each, at in zip(page, expected, strict=True))
        assert queues.browse("never") == ([], None)

    @needs("browse")
    @pytest.mark.parametrize("state", ["ready", "delayed", "leased"])
    def test_q5_a_state_narrows_the_pages(
        self, broker: Broker, source: LeaseSource, queues: QueueAdmin, state: QueueState
    ) -> None:
        publish(broker, *(f"leased{number}" for number in range(4)))
        lease(source)
        publish(broker, *(f"delayed{number}" for number in range(4)), due=LEASE)
        publish(broker, *(f"ready{number}" for number in range(4)))

        first, cursor = queues.browse(QUEUE, state=state, limit=3)
        second, end = queues.browse(QUEUE, state=state, limit=3, cursor=cursor)

        assert [each.task_id for each in first + second] == [f"{state}{number}" for number in range(4)]
        assert end is None

    @needs("browse")
    def test_q5_pages_neither_repeat_nor_skip_while_others_come_and_go(
        self, harness: StackHarness, broker: Broker, source: LeaseSource, queues: QueueAdmin
    ) -> None:
        stay = [f"stay{number:02}" for number in range(20)]
        for name in stay:
            publish(broker, f"go-{name}", name)

        seen: list[PendingMessage] = []
        cursor, rounds = None, 0
        while rounds == 0 or cursor is not None:
            page, cursor = queues.browse(QUEUE, cursor=cursor, limit=3)
            seen += page
            gone = {f"go-{stay[rounds]}", f"go-{stay[-1 - rounds]}"}
            if not self.lacks.get("cancel_pending"):
                queues.cancel(gone, reason="in the way")
            publish(broker, f"new{rounds}")
            rounds += 1
            assert rounds < 20

        names = [each.task_id for each in seen]
        assert [name for name in names if name.startswith("stay")] == stay
        assert len(names) == len(set(names))

    @needs("browse")
    @pytest.mark.parametrize("cursor", NO_CURSORS)
    def test_q5_a_cursor_of_no_page_is_refused(self, broker: Broker, queues: QueueAdmin, cursor: str) -> None:
        publish(broker, "t")

        with pytest.raises(ConfigurationError, match="cursor"):
            queues.browse(QUEUE, cursor=cursor)


def counts(queues: QueueAdmin, queue: str) -> dict[str, int]:
    """Return how many messages of ``queue`` are in each place."""
    (stats,) = queues.stats([queue])
    return {"ready": stats.ready, "delayed": stats.delayed, "leased": stats.leased, "dead": stats.dead}
