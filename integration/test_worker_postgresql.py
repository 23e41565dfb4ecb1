"""Real workers on a real PostgreSQL server: every way to end, and what kills cost."""

from __future__ import annotations

import signal
import sys
import threading
from typing import TYPE_CHECKING, Any

import ledger
import pytest
from fleet import LIMIT_S, SUPPORT, WorkerProcess, until
from postgresql_place import PostgresqlPlace

from stem.errors import StoreUnavailableError, TaskCancelledError, TaskFailedError
from stem.ports.deadletters import DeadLetterQuery
from stem.states import DeadReason, TaskState

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from stem import Stem

QUICK = {"STEM_LEASE_DURATION": "2s", "STEM_LEASE_RENEW_EVERY": "500ms", "STEM_HEARTBEAT_EVERY": "500ms"}


class Place:
    """A schema, a ledger, and the application of the workers."""

    def __init__(self, directory: Path, schema: PostgresqlPlace) -> None:
        self.directory = directory
        self.schema = schema
        self.ledger = directory / "ledger.jsonl"
        self.env = {**QUICK, "STEM_BROKER_URL": schema.url, ledger.PATH: str(self.ledger)}
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
def schema() -> Iterator[PostgresqlPlace]:
    schema = PostgresqlPlace()
    yield schema
    schema.drop()


@pytest.fixture
def place(tmp_path: Path, schema: PostgresqlPlace, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    monkeypatch.syspath_prepend(str(SUPPORT))
    schema.empty()
    place = Place(tmp_path, schema)
    for name, value in place.env.items():
        monkeypatch.setenv(name, value)
    yield place
    place.app.close()


def task(place: Place, name: str) -> Any:
    return place.app.tasks[f"ledger_app.{name}"]


def left(place: Place) -> int:
    stats = place.app.queues.stats(["default"])
    return sum(each.ready + each.delayed + each.leased for each in stats)


def test_every_way_to_end(place: Place) -> None:
    with place.worker("-c", "2").ready() as worker:
        assert task(place, "add").delay(1, 2).get(LIMIT_S) == 3
        assert task(place, "anote").delay().get(LIMIT_S)
        assert task(place, "flaky").delay(2).get(LIMIT_S) == 3
        with pytest.raises(TaskFailedError, match="ValueError: no"):
            task(place, "fail").delay("no").get(LIMIT_S)
        assert task(place, "add").apply_async((1, 1), countdown=0.5).get(LIMIT_S) == 2
        with pytest.raises(TaskCancelledError, match="expired"):
            task(place, "add").apply_async((1, 1), countdown=1, expires=0.2).get(LIMIT_S)
        worker.send(signal.SIGTERM)
        assert worker.wait() == 0


def test_poison_is_buried_and_the_next_task_runs(place: Place) -> None:
    broker: Any = place.app.broker
    broker.publish_raw("default", "this is no message")
    with place.worker("-c", "1").ready():
        assert task(place, "add").delay(1, 2).get(LIMIT_S) == 3

        entries, _ = place.app.dead_letters.page(DeadLetterQuery())
        assert [entry.reason for entry in entries] == [DeadReason.ENVELOPE_UNDECODABLE]


def test_a_revoked_task_never_starts(place: Place) -> None:
    handle = task(place, "note").apply_async(countdown=0.3)
    handle.revoke(reason="changed my mind")

    with place.worker("-c", "1").ready():
        assert task(place, "note").apply_async(countdown=0.6).get(LIMIT_S)

    assert handle.state is TaskState.CANCELLED
    assert handle.id not in {entry["id"] for entry in ledger.entries(place.ledger)}


def test_a_killed_child_costs_no_task(place: Place) -> None:
    handle = task(place, "note").delay(0.5)
    with place.worker("-c", "1").ready() as worker:
        until(lambda: ledger.entries(place.ledger))

        (child,) = worker.children()
        child.kill()

        assert handle.get(LIMIT_S) == handle.id
    record = handle.record
    assert record is not None
    assert (record.attempt, record.deliveries) == (1, 2)


def test_a_task_that_outlives_its_lease_twice_runs_once(place: Place) -> None:
    with place.worker("-c", "1").ready(), place.worker("-c", "1", name="w2").ready():
        assert task(place, "note").delay(5.0).get(LIMIT_S)

    assert len(ledger.entries(place.ledger)) == 2


def test_a_killed_hub_loses_nothing_of_a_thousand_tasks(place: Place) -> None:
    published = [task(place, "note").delay(0.001).id for _ in range(1000)]
    with place.worker("-c", "2").ready() as first:
        until(lambda: len(ledger.entries(place.ledger)) > 400)
        first.kill()
    before = sum(record.state.is_terminal for record in place.app.results.get(published).values())
    assert 0 < before < 1000

    with place.worker("-c", "2", name="w2").ready():
        until(lambda: left(place) == 0, what="all tasks ended")

    check(place, published, repeated=2 + 100)


def test_connections_cut_again_and_again_lose_nothing(place: Place) -> None:
    published: list[str] = []
    cut = 0
    pause = threading.Event()
    with place.worker("-c", "2").ready(), place.worker("-c", "2", name="w2").ready():
        for number in range(600):
            published.append(publish_surely(place, f"{place.schema.schema}-{number}"))
            if number % 100 == 99:
                cut += place.schema.terminate()
                pause.wait(0.3)
        until(lambda: left_surely(place) == 0, what="all tasks ended")

    assert cut > 6
    check(place, published, repeated=600)


def publish_surely(place: Place, task_id: str) -> str:
    while True:
        try:
            return str(task(place, "note").apply_async((0.001,), task_id=task_id).id)
        except StoreUnavailableError:
            continue


def left_surely(place: Place) -> int:
    try:
        return left(place)
    except StoreUnavailableError:
        return -1


def check(place: Place, published: list[str], *, repeated: int) -> None:
    account = ledger.account(place.app, published, place.ledger)
    assert (account.lost, account.unexpected) == (0, 0)
    assert account.duplicated <= repeated
    assert {record.state for record in place.app.results.get(published).values()} == {TaskState.SUCCEEDED}
    events = [place.app.results.timeline(task_id) for task_id in published]
    assert all(sum(event.kind == "succeeded" for event in timeline) == 1 for timeline in events)
