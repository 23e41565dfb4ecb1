"""The contract of `stem.ports.heartbeats.Heartbeats`."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

from stem.ports.heartbeats import InflightTask
from stem.testing.contracts.samples import LEASE, OWNER, QUEUE, SECOND, TASK, at_once, heartbeat
from stem.testing.contracts.suite import Contract, offered

if TYPE_CHECKING:
    from stem.ports.heartbeats import Heartbeats
    from stem.testing.contracts.harness import StackHarness


class HeartbeatsContract(Contract):
    """H1 to H4."""

    def test_h1_a_beat_replaces_the_one_before(self, harness: StackHarness, heartbeats: Heartbeats) -> None:
        first, second = (heartbeat(at=harness.now(), processed=number) for number in (1, 2))

        assert [heartbeats.beat(each, ttl=LEASE) for each in (first, second)] == [True, True]

        assert heartbeats.list() == [second]

    def test_h1_a_heartbeat_is_kept_whole(self, harness: StackHarness, heartbeats: Heartbeats) -> None:
        now = harness.now()
        running = InflightTask(
            task_id="t",
            name=TASK,
            queue=QUEUE,
            attempt=2,
            deliveries=3,
            started_at=now - SECOND,
            lease_until=now + LEASE,
        )
        sent = replace(heartbeat(at=now), tasks=(running, replace(running, task_id="ü")), last_renewal_at=now)

        heartbeats.beat(sent, ttl=LEASE)

        assert offered(harness.reopen().heartbeats).list() == [sent]

    def test_h2_a_second_live_worker_of_the_same_id_is_refused(
        self, harness: StackHarness, heartbeats: Heartbeats
    ) -> None:
        first = heartbeat(at=harness.now())
        heartbeats.beat(first, ttl=LEASE)
        harness.let_pass(LEASE - SECOND)

        assert not heartbeats.beat(heartbeat(boot_id="boot-2", at=harness.now()), ttl=LEASE)

        assert heartbeats.list() == [first]
        assert heartbeats.beat(heartbeat(at=harness.now()), ttl=LEASE)

    def test_h2_of_workers_that_start_together_one_gets_the_id(self, harness: StackHarness) -> None:
        stores = [offered(harness.reopen().heartbeats) for _ in range(4)]
        beats = [heartbeat(boot_id=f"boot-{number}", at=harness.now()) for number in range(4)]

        answers = at_once(
            [partial(store.beat, beat, ttl=LEASE) for store, beat in zip(stores, beats, strict=True)]
        )

        assert sorted(answers) == [False, False, False, True]
        assert stores[0].list() == [beats[answers.index(True)]]

    def test_h3_an_id_is_free_again_after_its_time_to_live(
        self, harness: StackHarness, heartbeats: Heartbeats
    ) -> None:
        heartbeats.beat(heartbeat(at=harness.now()), ttl=LEASE)
        harness.let_pass(LEASE + SECOND)
        second = heartbeat(boot_id="boot-2", at=harness.now())

        assert heartbeats.beat(second, ttl=LEASE)

        assert heartbeats.list() == [second]
        assert not heartbeats.beat(heartbeat(at=harness.now()), ttl=LEASE)

    def test_h3_an_id_is_free_again_after_a_goodbye(
        self, harness: StackHarness, heartbeats: Heartbeats
    ) -> None:
        heartbeats.beat(heartbeat(at=harness.now()), ttl=LEASE)

        heartbeats.goodbye(OWNER, boot_id="boot-1")
        heartbeats.goodbye(OWNER, boot_id="boot-1")

        assert heartbeats.list() == []
        assert heartbeats.beat(heartbeat(boot_id="boot-2", at=harness.now()), ttl=LEASE)

    def test_h3_another_boot_cannot_say_goodbye(self, harness: StackHarness, heartbeats: Heartbeats) -> None:
        beat = heartbeat(at=harness.now())
        heartbeats.beat(beat, ttl=LEASE)

        heartbeats.goodbye(OWNER, boot_id="boot-2")
        heartbeats.goodbye("never@seen", boot_id="boot-1")

        assert heartbeats.list() == [beat]

    def test_h4_live_workers_are_listed_by_id(self, harness: StackHarness, heartbeats: Heartbeats) -> None:
        for name in ("z@one", "a@two", "m@one"):
            heartbeats.beat(heartbeat(name, at=harness.now()), ttl=LEASE)

        assert [each.worker_id for each in heartbeats.list()] == ["a@two", "m@one", "z@one"]

    def test_h4_age_counts_by_the_stores_clock(self, harness: StackHarness, heartbeats: Heartbeats) -> None:
        behind, ahead = harness.now() - timedelta(days=1), harness.now() + timedelta(days=1)
        heartbeats.beat(heartbeat("behind@one", at=behind), ttl=LEASE)
        heartbeats.beat(heartbeat("ahead@one", at=ahead), ttl=SECOND)

        harness.let_pass(2 * SECOND)
        assert [each.worker_id for each in heartbeats.list()] == ["behind@one"]
        harness.let_pass(LEASE)
        assert heartbeats.list() == []

    def test_closing_twice_is_harmless(self, harness: StackHarness, heartbeats: Heartbeats) -> None:
        heartbeats.beat(heartbeat(at=harness.now()), ttl=LEASE)

        heartbeats.close()
        heartbeats.close()
