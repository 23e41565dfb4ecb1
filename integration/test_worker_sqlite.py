"""Real workers on a real file: every pool, every way to end, and what a kill costs."""

from __future__ import annotations

import os
import signal
import sys
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import ledger
import pytest
from fleet import LIMIT_S, SUPPORT, WorkerProcess, until

from stem.errors import TaskCancelledError, TaskFailedError
from stem.ports.deadletters import DeadLetterQuery
from stem.states import DeadReason, TaskState

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from stem import Stem

POOLS = ["prefork", "threads", "asyncio", "solo"]
QUICK = {"STEM_LEASE_DURATION": "2s", "STEM_LEASE_RENEW_EVERY": "500ms", "STEM_HEARTBEAT_EVERY": "500ms"}


class Place:
    """A directory with a database, a ledger, and the application of the workers."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.ledger = directory / "ledger.jsonl"
        self.env = {
            **QUICK,
            "STEM_BROKER_URL": f"sqlite:///{directory / 'stem.db'}",
            ledger.PATH: str(self.ledger),
        }
        self.app: Stem = ledger_app().app

    def worker(self, *options: str, name: str = "w1") -> WorkerProcess:
        return WorkerProcess(
            "ledger_app:app", "-n", name, *options, env=self.env, log=self.directory / f"{name}.log"
        )


def ledger_app() -> Any:
    """Import the application afresh, so that it reads this test's settings."""
    sys.modules.pop("ledger_app", None)
    import ledger_app

    return ledger_app


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    monkeypatch.syspath_prepend(str(SUPPORT))
    place = Place(tmp_path)
    for name, value in place.env.items():
        monkeypatch.setenv(name, value)
    yield place
    place.app.close()


def task(place: Place, name: str) -> Any:
    return place.app.tasks[f"ledger_app.{name}"]


@pytest.mark.parametrize("pool", POOLS)
def test_every_way_to_end_in_every_pool(place: Place, pool: str) -> None:
    with place.worker("-c", "2", "--pool", pool).ready() as worker:
        assert task(place, "add").delay(1, 2).get(LIMIT_S) == 3
        assert task(place, "anote").delay().get(LIMIT_S)
        assert task(place, "flaky").delay(2).get(LIMIT_S) == 3
        with pytest.raises(TaskFailedError, match="ValueError: no"):
            task(place, "fail").delay("no").get(LIMIT_S)
        early = task(place, "add").apply_async((1, 1), countdown=0.5)
        assert early.get(LIMIT_S) == 2
        late = task(place, "add").apply_async((1, 1), countdown=1, expires=0.2)
        with pytest.raises(TaskCancelledError, match="expired"):
            late.get(LIMIT_S)
        worker.send(signal.SIGTERM)
        assert worker.wait() == 0


@pytest.mark.parametrize("pool", ["prefork", "threads"])
def test_a_soft_limit_ends_the_task_and_nothing_else(place: Place, pool: str) -> None:
    with place.worker("-c", "1", "--pool", pool).ready() as worker:
        with pytest.raises(TaskFailedError, match="SoftTimeLimitError"):
            task(place, "slow_soft").delay().get(LIMIT_S)
        children = [child.pid for child in worker.children()]

        assert task(place, "add").delay(1, 2).get(LIMIT_S) == 3
        assert [child.pid for child in worker.children()] == children


@pytest.mark.parametrize("pool", ["prefork", "threads", "asyncio"])
def test_a_hard_limit_kills_and_the_slot_is_filled_again(place: Place, pool: str) -> None:
    with place.worker("-c", "1", "--pool", pool).ready():
        with pytest.raises(TaskFailedError, match="HardTimeLimitError"):
            task(place, "slow_hard").delay().get(LIMIT_S)

        assert task(place, "add").delay(1, 2).get(LIMIT_S) == 3
        entries, _ = place.app.dead_letters.page(DeadLetterQuery())
        assert [entry.reason for entry in entries] == [DeadReason.HARD_TIME_LIMIT]


def test_a_task_that_kills_its_process_runs_three_times_and_is_buried(place: Place) -> None:
    with place.worker("-c", "1").ready():
        with pytest.raises(TaskFailedError, match="WorkerLostError"):
            task(place, "die").delay().get(LIMIT_S)

        assert len(ledger.entries(place.ledger)) == 3
        entries, _ = place.app.dead_letters.page(DeadLetterQuery())
        assert [entry.reason for entry in entries] == [DeadReason.WORKER_LOST]
        assert entries[0].facts == {"signal": "SIGKILL"}


def test_poison_is_buried_and_the_next_task_runs(place: Place) -> None:
    broker: Any = place.app.broker
    broker.publish_raw("default", "this is no message")
    with place.worker("-c", "1").ready():
        assert task(place, "add").delay(1, 2).get(LIMIT_S) == 3

        entries, _ = place.app.dead_letters.page(DeadLetterQuery())
        assert [entry.reason for entry in entries] == [DeadReason.ENVELOPE_UNDECODABLE]
        assert entries[0].payload == b"this is no message"


def test_a_revoked_task_never_starts(place: Place) -> None:
    handle = task(place, "note").apply_async(countdown=0.3)
    handle.revoke(reason="changed my mind")

    with place.worker("-c", "1").ready():
        assert task(place, "note").apply_async(countdown=0.6).get(LIMIT_S)

    assert handle.state is TaskState.CANCELLED
    assert handle.id not in {entry["id"] for entry in ledger.entries(place.ledger)}


def test_a_replayed_dead_letter_runs_again_with_a_fresh_budget(place: Place) -> None:
    with place.worker("-c", "1").ready():
        handle = task(place, "fail").delay("no")
        with pytest.raises(TaskFailedError):
            handle.get(LIMIT_S)

        (replayed,) = place.app.dead_letters.replay(DeadLetterQuery(ids=[handle.id]), limit=10)
        assert replayed.task_id == handle.id
        until(lambda: handle.record and handle.record.generation == 1 and handle.ready())

    assert handle.state is TaskState.FAILED


def test_a_warm_stop_finishes_what_runs_and_leaves_the_rest(place: Place) -> None:
    handles = [task(place, "note").delay(0.5) for _ in range(10)]
    with place.worker("-c", "2").ready() as worker:
        until(lambda: len(ledger.entries(place.ledger)) >= 2)

        worker.send(signal.SIGTERM)
        assert worker.wait() == 0

    started = {entry["id"] for entry in ledger.entries(place.ledger) if entry["phase"] == "start"}
    ended = {entry["id"] for entry in ledger.entries(place.ledger) if entry["phase"] == "end"}
    assert started == ended
    assert {handle.id for handle in handles if handle.ready()} == ended
    (stats,) = place.app.queues.stats(["default"])
    assert (stats.ready, stats.leased) == (10 - len(ended), 0)


@pytest.mark.parametrize("signum", [signal.SIGQUIT, signal.SIGINT])
def test_an_urgent_stop_gives_back_what_runs(place: Place, signum: signal.Signals) -> None:
    handle = task(place, "note").delay(30.0)
    with place.worker("-c", "1").ready() as worker:
        until(lambda: ledger.entries(place.ledger))
        worker.send(signum)

        assert worker.wait(20) == 0

    (stats,) = place.app.queues.stats(["default"])
    assert (stats.ready, stats.leased) == (1, 0)
    assert handle.state is TaskState.QUEUED


def test_children_end_with_their_hub(place: Place) -> None:
    with place.worker("-c", "2").ready() as worker:
        until(lambda: len(worker.children()) == 2)
        children = worker.children()
        task(place, "note").delay(30.0)
        until(lambda: ledger.entries(place.ledger))

        worker.kill()

        until(lambda: not any(child.is_running() for child in children), limit_s=5)


def test_a_killed_child_costs_no_task_and_less_than_a_second(place: Place) -> None:
    handle = task(place, "note").delay(0.5)
    with place.worker("-c", "1").ready() as worker:
        until(lambda: ledger.entries(place.ledger))

        (child,) = worker.children()
        child.kill()
        until(lambda: len(ledger.entries(place.ledger)) >= 2, limit_s=5)

        assert handle.get(LIMIT_S) == handle.id
    record = handle.record
    assert record is not None
    assert (record.attempt, record.deliveries) == (1, 2)


def test_a_second_worker_of_the_same_name_is_refused(place: Place) -> None:
    with (
        place.worker().ready(),
        WorkerProcess(
            "ledger_app:app", "-n", "w1", env=place.env, log=place.directory / "second.log"
        ) as second,
    ):
        assert second.wait() == 64
        assert "runs already" in second.text()
        assert "Traceback" not in second.text()


def test_the_name_of_a_killed_worker_is_free_at_once(place: Place) -> None:
    with place.worker().ready() as first:
        first.kill()

    with place.worker().ready():
        assert task(place, "add").delay(1, 2).get(LIMIT_S) == 3


def test_a_killed_hub_loses_nothing_of_two_thousand_tasks(place: Place) -> None:
    published = [task(place, "note").delay(0.001).id for _ in range(2000)]
    with place.worker("-c", "2").ready() as first:
        until(lambda: len(ledger.entries(place.ledger)) > 800)
        first.kill()
    before = sum(record.state.is_terminal for record in place.app.results.get(published).values())
    assert 0 < before < 2000

    with place.worker("-c", "2", name="w2").ready():
        until(lambda: left(place) == 0, what="all tasks ended")

    account = ledger.account(place.app, published, place.ledger)
    assert (account.lost, account.unexpected) == (0, 0)
    # One kill repeats at most what was in the two slots, or had ended and was not settled yet.
    assert account.duplicated <= 2 + 100
    assert {record.state for record in place.app.results.get(published).values()} == {TaskState.SUCCEEDED}
    events = [place.app.results.timeline(task_id) for task_id in published]
    assert all(sum(event.kind == "succeeded" for event in timeline) == 1 for timeline in events)


def left(place: Place) -> int:
    (stats,) = place.app.queues.stats(["default"])
    return stats.ready + stats.delayed + stats.leased


def test_what_lapsed_is_taken_over_within_the_lease_and_two_seconds(place: Place) -> None:
    handle = task(place, "note").delay(30.0)
    with place.worker("-c", "1").ready() as first, place.worker("-c", "1", name="w2").ready() as second:
        until(lambda: ledger.entries(place.ledger))
        holder = first if "w1@" in holder_of(place, handle.id) else second
        holder.kill()

        until(lambda: len(ledger.entries(place.ledger)) == 2, limit_s=2 + 2 + 1)


def holder_of(place: Place, task_id: str) -> str:
    until(lambda: place.app.queues.browse("default", state="leased")[0])
    (message,) = place.app.queues.browse("default", state="leased")[0]
    assert message.task_id == task_id
    return message.owner


def test_a_task_that_outlives_its_lease_four_times_runs_once(place: Place) -> None:
    with place.worker("-c", "1").ready(), place.worker("-c", "1", name="w2").ready():
        handle = task(place, "note").delay(timedelta(seconds=8).total_seconds())

        assert handle.get(LIMIT_S)

    assert len(ledger.entries(place.ledger)) == 2


def test_a_worker_that_was_stopped_cannot_overwrite_the_second_ones_result(place: Place) -> None:
    handle = task(place, "note").delay(1.0)
    with place.worker("-c", "1").ready() as first:
        until(lambda: ledger.entries(place.ledger))
        group = [first.pid, *(child.pid for child in first.children())]
        for pid in group:
            os.kill(pid, signal.SIGSTOP)
        try:
            with place.worker("-c", "1", name="w2").ready():
                assert handle.get(LIMIT_S)
        finally:
            for pid in group:
                os.kill(pid, signal.SIGCONT)
        until(lambda: "lost" in first.text() or "refused" in first.text(), what="the first worker is told")

    record = handle.record
    assert record is not None
    assert record.worker.startswith("w2@")
    kinds = [event.kind for event in place.app.results.timeline(handle.id)]
    assert kinds.count("succeeded") == 1
