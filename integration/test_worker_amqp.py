"""Real workers on RabbitMQ, with their records in SQLite: every way to end, and what a kill costs."""

from __future__ import annotations

import signal
import sys
from typing import TYPE_CHECKING, Any

import ledger
import pytest
from amqp_place import ctl, delete_queues, own_vhost, vhost_of
from fleet import LIMIT_S, SUPPORT, WorkerProcess, until

from stem.errors import TaskCancelledError, TaskFailedError
from stem.message import Message
from stem.ports.broker import Publication
from stem.ports.deadletters import DeadLetterQuery
from stem.states import DeadReason, TaskState

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from stem import Stem

QUICK = {"STEM_LEASE_DURATION": "2s", "STEM_LEASE_RENEW_EVERY": "500ms", "STEM_HEARTBEAT_EVERY": "500ms"}


class Place:
    """A virtual host, a database for the records, a ledger, and the application of the workers."""

    def __init__(self, url: str, directory: Path) -> None:
        self.url = url
        self.directory = directory
        self.ledger = directory / "ledger.jsonl"
        self.env = {
            **QUICK,
            "STEM_BROKER_URL": url,
            "STEM_RESULT_BACKEND_URL": f"sqlite:///{directory / 'stem.db'}",
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


@pytest.fixture(scope="module")
def vhost() -> Iterator[str]:
    with own_vhost() as url:
        yield url


@pytest.fixture
def place(vhost: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    delete_queues(vhost, "default", "stem.dlq")
    monkeypatch.syspath_prepend(str(SUPPORT))
    place = Place(vhost, tmp_path)
    for name, value in place.env.items():
        monkeypatch.setenv(name, value)
    yield place
    place.app.close()


def task(place: Place, name: str) -> Any:
    return place.app.tasks[f"ledger_app.{name}"]


def runs(place: Place) -> list[str]:
    return [str(entry["id"]) for entry in ledger.entries(place.ledger) if entry["phase"] == "start"]


def test_every_way_to_end(place: Place) -> None:
    with place.worker("-c", "2").ready() as worker:
        assert task(place, "add").delay(1, 2).get(LIMIT_S) == 3
        assert task(place, "flaky").delay(2).get(LIMIT_S) == 3
        with pytest.raises(TaskFailedError, match="ValueError: no"):
            task(place, "fail").delay("no").get(LIMIT_S)
        assert task(place, "add").apply_async((1, 1), countdown=0.5).get(LIMIT_S) == 2
        late = task(place, "add").apply_async((1, 1), countdown=1, expires=0.2)
        with pytest.raises(TaskCancelledError, match="expired"):
            late.get(LIMIT_S)
        worker.send(signal.SIGTERM)
        assert worker.wait() == 0

    entries, _ = place.app.dead_letters.page(DeadLetterQuery())
    assert [entry.reason for entry in entries] == [DeadReason.TASK_FAILED]


def test_a_replayed_dead_letter_runs_again(place: Place) -> None:
    with place.worker("-c", "1").ready():
        handle = task(place, "fail").delay("no")
        with pytest.raises(TaskFailedError):
            handle.get(LIMIT_S)

        (replayed,) = place.app.dead_letters.replay(DeadLetterQuery(ids=[handle.id]), limit=10)
        assert replayed.task_id == handle.id
        until(lambda: handle.record and handle.record.generation == 1 and handle.ready())

    assert handle.state is TaskState.FAILED


def test_poison_is_buried_and_the_next_task_runs(place: Place) -> None:
    poison = Message(headers={"task": "ledger_app.add"}, properties={}, body=b"\x00 garbage")
    place.app.broker.publish([Publication(message=poison, queue="default")])
    with place.worker("-c", "1").ready():
        assert task(place, "add").delay(1, 2).get(LIMIT_S) == 3

        entries, _ = place.app.dead_letters.page(DeadLetterQuery())
        assert [entry.reason for entry in entries] == [DeadReason.HEADER_MISSING]


def test_a_task_that_kills_its_process_runs_three_times_and_is_buried(place: Place) -> None:
    with place.worker("-c", "1").ready():
        with pytest.raises(TaskFailedError, match="WorkerLostError"):
            task(place, "die").delay().get(LIMIT_S)

        assert len(runs(place)) == 3
        entries, _ = place.app.dead_letters.page(DeadLetterQuery())
        assert [entry.reason for entry in entries] == [DeadReason.WORKER_LOST]


def test_a_revoked_task_never_starts(place: Place) -> None:
    handle = task(place, "note").apply_async(countdown=1)
    handle.revoke(reason="changed my mind")

    with place.worker("-c", "1").ready():
        until(lambda: handle.state is TaskState.CANCELLED)

    assert runs(place) == []


def test_an_urgent_stop_gives_back_what_runs(place: Place) -> None:
    handle = task(place, "note").delay(30.0)
    with place.worker("-c", "1").ready() as worker:
        until(lambda: runs(place))
        worker.send(signal.SIGINT)

        assert worker.wait(20) == 0

    until(lambda: place.app.queues.stats(["default"])[0].ready == 1, limit_s=5)
    assert handle.state is TaskState.QUEUED


def test_a_killed_hubs_task_is_delivered_again_at_once(place: Place) -> None:
    handle = task(place, "note").delay(30.0)
    with place.worker("-c", "1").ready() as first, place.worker("-c", "1", name="w2").ready() as second:
        until(lambda: handle.record and handle.record.worker and runs(place))
        record = handle.record
        assert record is not None
        holder = first if record.worker.startswith("w1@") else second
        holder.kill()

        until(lambda: len(runs(place)) == 2, limit_s=2, what="the other worker runs it")


def test_a_killed_child_costs_no_task_and_less_than_a_second(place: Place) -> None:
    handle = task(place, "note").delay(0.5)
    with place.worker("-c", "1").ready() as worker:
        until(lambda: runs(place))

        (child,) = worker.children()
        child.kill()
        until(lambda: len(runs(place)) == 2, limit_s=5)

        assert handle.get(LIMIT_S) == handle.id
    record = handle.record
    assert record is not None
    assert (record.attempt, record.deliveries) == (1, 2)


def test_a_worker_whose_connections_are_cut_goes_on(place: Place) -> None:
    with place.worker("-c", "1").ready() as worker:
        assert task(place, "add").delay(1, 2).get(LIMIT_S) == 3

        ctl("close_all_connections", "--vhost", vhost_of(place.url), "test")

        assert task(place, "add").delay(2, 2).get(LIMIT_S) == 4
        worker.send(signal.SIGTERM)
        assert worker.wait() == 0
        assert "Traceback" not in worker.text()


def test_two_killed_hubs_lose_nothing_of_six_hundred_tasks(place: Place) -> None:
    published = [task(place, "note").delay(0.002).id for _ in range(600)]
    for name, until_runs in (("w1", 100), ("w2", 250)):
        with place.worker("-c", "2", name=name).ready() as worker:
            until(lambda wanted=until_runs: len(runs(place)) > wanted)  # type: ignore[misc]
            worker.kill()

    with place.worker("-c", "2", name="w3").ready():
        until(
            lambda: all(record.state.is_terminal for record in place.app.results.get(published).values()),
            what="all tasks ended",
        )

    account = ledger.account(place.app, published, place.ledger)
    assert (account.acknowledged, account.lost, account.unexpected) == (600, 0, 0)
    # What was in the slots, or had ended and was not settled yet, may run again.
    assert account.duplicated <= 2 * (2 + 100)
    timelines = [place.app.results.timeline(task_id) for task_id in published]
    assert all(sum(event.kind == "succeeded" for event in timeline) == 1 for timeline in timelines)
    assert place.app.dead_letters.count(DeadLetterQuery()) == 0
