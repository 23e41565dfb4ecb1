"""Real workers on a real Redis server: what a kill costs, and what their tasks leave behind."""

from __future__ import annotations

import json
import os
import signal
import sys
from typing import TYPE_CHECKING, Any

import ledger
import pytest
from fleet import LIMIT_S, SUPPORT, WorkerProcess, until
from redis import Redis
from redis_place import RedisPlace
from redis_server import RedisServer, needs_binary

from stem.errors import TaskFailedError
from stem.ports.deadletters import DeadLetterQuery
from stem.states import DeadReason, TaskState

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from stem import Stem

QUICK = {"STEM_LEASE_DURATION": "2s", "STEM_LEASE_RENEW_EVERY": "500ms", "STEM_HEARTBEAT_EVERY": "500ms"}
KILLS = 3


class Place:
    """A part of the server, a ledger, and the application of the workers."""

    def __init__(self, directory: Path, url: str | None = None) -> None:
        self.directory = directory
        self.redis = RedisPlace()
        self.ledger = directory / "ledger.jsonl"
        self.env = {**QUICK, "STEM_BROKER_URL": url or self.redis.url, ledger.PATH: str(self.ledger)}

    def open(self) -> None:
        sys.modules.pop("ledger_app", None)
        import ledger_app

        self.app: Stem = ledger_app.app

    def worker(self, *options: str, name: str = "w1") -> WorkerProcess:
        return WorkerProcess(
            "ledger_app:app", "-n", name, *options, env=self.env, log=self.directory / f"{name}.log"
        )

    def task(self, name: str) -> Any:
        return self.app.tasks[f"ledger_app.{name}"]

    def runs(self) -> list[dict[str, object]]:
        return ledger.entries(self.ledger)

    def left(self) -> int:
        (stats,) = self.app.queues.stats(["default"])
        return stats.ready + stats.delayed + stats.leased


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    monkeypatch.syspath_prepend(str(SUPPORT))
    place = Place(tmp_path)
    for name, value in place.env.items():
        monkeypatch.setenv(name, value)
    place.open()
    yield place
    place.app.close()
    place.redis.close()


@pytest.mark.parametrize("pool", ["prefork", "threads"])
def test_every_way_to_end(place: Place, pool: str) -> None:
    with place.worker("-c", "2", "--pool", pool).ready() as worker:
        assert place.task("add").delay(1, 2).get(LIMIT_S) == 3
        assert place.task("flaky").delay(2).get(LIMIT_S) == 3
        with pytest.raises(TaskFailedError, match="ValueError: no"):
            place.task("fail").delay("no").get(LIMIT_S)
        assert place.task("add").apply_async((1, 1), countdown=0.5).get(LIMIT_S) == 2
        worker.send(signal.SIGTERM)
        assert worker.wait() == 0


def test_killed_workers_lose_nothing_of_three_thousand_tasks(place: Place) -> None:
    published = [place.task("note").delay(0.001).id for _ in range(3000)]
    for kill in range(KILLS):
        with place.worker("-c", "2", name=f"w{kill}").ready() as worker:
            until(lambda kill=kill: len(place.runs()) > (kill + 1) * 1000)
            worker.kill()

    with place.worker("-c", "2", name="last").ready():
        until(lambda: place.left() == 0, what="all tasks ended")

    account = ledger.account(place.app, published, place.ledger)
    assert (account.lost, account.unexpected) == (0, 0)
    # A kill repeats at most what was in the slots, or had ended and was not settled yet.
    assert account.duplicated <= KILLS * (2 + 100)
    timelines = [place.app.results.timeline(task_id) for task_id in published]
    assert all(sum(event.kind == "succeeded" for event in timeline) == 1 for timeline in timelines)
    with place.redis.client() as redis:
        names = [
            key.decode().removeprefix(place.redis.prefix) for key in redis.keys(f"{place.redis.prefix}*")
        ]
    assert not {"unacked", "unacked_index", "default", "stem.live", "stem.leases:default"} & set(names)


def test_what_lapsed_is_taken_over_within_the_lease_and_two_seconds(place: Place) -> None:
    place.task("note").delay(30.0)
    with place.worker("-c", "1").ready() as first:
        until(place.runs)
        with place.worker("-c", "1", name="w2").ready():
            first.kill()
            until(lambda: len(place.runs()) == 2, limit_s=2 + 2 + 1)


def test_a_killed_child_costs_no_task_and_less_than_a_second(place: Place) -> None:
    handle = place.task("note").delay(0.5)
    with place.worker("-c", "1").ready() as worker:
        until(place.runs)
        (child,) = worker.children()
        child.kill()
        until(lambda: len(place.runs()) >= 2, limit_s=5)

        assert handle.get(LIMIT_S) == handle.id
    assert handle.record is not None
    assert (handle.record.attempt, handle.record.deliveries) == (1, 2)


def test_a_task_that_kills_its_process_runs_three_times_and_is_buried(place: Place) -> None:
    with place.worker("-c", "1").ready():
        with pytest.raises(TaskFailedError, match="WorkerLostError"):
            place.task("die").delay().get(LIMIT_S)

        assert len(place.runs()) == 3
        entries, _ = place.app.dead_letters.page(DeadLetterQuery())
        assert [entry.reason for entry in entries] == [DeadReason.WORKER_LOST]


def test_poison_is_buried_and_the_next_task_runs(place: Place) -> None:
    broker: Any = place.app.broker
    broker.publish_raw("default", "this is no message")
    with place.worker("-c", "1").ready():
        assert place.task("add").delay(1, 2).get(LIMIT_S) == 3

        entries, _ = place.app.dead_letters.page(DeadLetterQuery())
        assert [entry.reason for entry in entries] == [DeadReason.ENVELOPE_UNDECODABLE]
        assert entries[0].payload == b"this is no message"


def test_a_revoked_task_never_starts(place: Place) -> None:
    handle = place.task("note").apply_async(countdown=0.3)
    handle.revoke(reason="changed my mind")

    with place.worker("-c", "1").ready():
        assert place.task("note").apply_async(countdown=0.6).get(LIMIT_S)

    assert handle.state is TaskState.CANCELLED
    assert handle.id not in {entry["id"] for entry in place.runs()}


def test_a_task_that_outlives_its_lease_four_times_runs_once(place: Place) -> None:
    with place.worker("-c", "1").ready(), place.worker("-c", "1", name="w2").ready():
        assert place.task("note").delay(8.0).get(LIMIT_S)

    assert len(place.runs()) == 2


def test_a_worker_that_was_stopped_cannot_overwrite_the_second_ones_result(place: Place) -> None:
    handle = place.task("note").delay(1.0)
    with place.worker("-c", "1").ready() as first:
        until(place.runs)
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

    assert handle.record is not None
    assert handle.record.worker.startswith("w2@")


def test_celery_finds_the_results_of_stem(place: Place) -> None:
    with place.worker("-c", "1").ready():
        good, bad = place.task("add").delay(1, 2), place.task("fail").delay("no")
        good.get(LIMIT_S)
        with pytest.raises(TaskFailedError):
            bad.get(LIMIT_S)

    with place.redis.client() as redis:
        texts = [redis.get(f"{place.redis.prefix}celery-task-meta-{each.id}") for each in (good, bad)]
        expiry_s = redis.ttl(f"{place.redis.prefix}celery-task-meta-{good.id}")
    kept = [json.loads(text) for text in texts]
    assert [(each["status"], each["task_id"]) for each in kept] == [("SUCCESS", good.id), ("FAILURE", bad.id)]
    assert kept[0]["result"] == 3
    assert kept[1]["result"] == {"exc_type": "ValueError", "exc_message": ["no"], "exc_module": "builtins"}
    assert 0 < expiry_s <= 86400


@needs_binary
def test_a_worker_goes_on_after_cuts_and_a_restart_of_the_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(SUPPORT))
    with RedisServer(tmp_path, "appendonly yes", "appendfsync always") as server:
        server.ready()
        place = Place(tmp_path, server.url())
        for name, value in place.env.items():
            monkeypatch.setenv(name, value)
        place.open()
        with place.worker("-c", "1").ready():
            assert place.task("add").delay(1, 2).get(LIMIT_S) == 3
            with Redis(port=server.port) as redis:
                for _ in range(20):
                    redis.client_kill_filter(_type="normal", skipme=True)
                assert place.task("add").delay(2, 2).get(LIMIT_S) == 4

            server.stop()
            server.start()
            server.ready()
            assert place.task("add").delay(3, 2).get(LIMIT_S) == 5
        place.app.close()
