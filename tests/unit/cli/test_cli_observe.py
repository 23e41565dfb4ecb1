from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from stem.ports.heartbeats import Heartbeat

if TYPE_CHECKING:
    from conftest import Bench


def test_queues_show_how_full_they_are(bench: Bench) -> None:
    bench.publish("a", "b", queue="mail")
    bench.publish("c", countdown=60)

    ended = bench.stem("observe", "queues", "--json")

    assert ended.exit_code == 0
    assert ended.document["schema"] == "stem.queue/1"
    counts = {item["queue"]: (item["ready"], item["delayed"]) for item in ended.document["items"]}
    assert counts == {"default": (0, 1), "mail": (2, 0)}


def test_a_pipe_gets_a_line_for_each_queue(bench: Bench) -> None:
    bench.publish("a", queue="mail")

    ended = bench.stem("observe", "queues")

    assert [line.split("\t")[:3] for line in ended.out.splitlines()] == [
        ["QUEUE", "READY", "DELAYED"],
        ["mail", "1", "0"],
    ]


def test_options_may_stand_after_the_command(bench: Bench) -> None:
    bench.publish("a", queue="mail")

    ended = bench.stem("--broker", "sqlite:///elsewhere.db", "observe", "queues", "--broker", bench.url)

    assert "mail" in ended.out


def test_tasks_in_flight_show_attempts_due_times_and_priority(bench: Bench) -> None:
    urgent, later = *bench.publish("a", priority=9), *bench.publish("b", countdown=60)

    items = bench.stem("observe", "tasks", "list", "--queue", "default", "--json").document["items"]

    assert {item["id"]: (item["state"], item["attempt"], item["priority"]) for item in items} == {
        urgent: ("ready", 1, 9),
        later: ("delayed", 1, 0),
    }
    assert {item["id"]: item["due_at"] is not None for item in items} == {urgent: False, later: True}


def test_a_leased_task_shows_who_holds_it(bench: Bench) -> None:
    (task_id,) = bench.publish("a")
    source, _ = bench.lease()

    items = bench.stem("observe", "tasks", "list", "--state", "leased", "--json").document["items"]
    source.close()

    assert [(item["id"], item["worker"], item["deliveries"]) for item in items] == [(task_id, "w@here", 1)]
    assert items[0]["lease_until"] is not None


def test_pages_lead_through_every_queue_once(bench: Bench) -> None:
    published = {*bench.publish("a", "b", "c", queue="one"), *bench.publish("a", "b", queue="two")}
    seen: list[str] = []
    arguments = ["observe", "tasks", "list", "--limit", "2", "--json"]
    cursor = None

    for _ in range(10):
        page = bench.stem(*arguments, *(["--cursor", cursor] if cursor else [])).document
        seen += [item["id"] for item in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break

    assert sorted(seen) == sorted(published)


def test_only_one_tasks_messages_are_listed_where_that_is_asked(bench: Bench) -> None:
    _, rare = bench.publish("often", "rare")
    bench.publish("often")

    items = bench.stem("observe", "tasks", "list", "--task", "rare", "--json").document["items"]

    assert [item["id"] for item in items] == [rare]


def test_records_are_listed_by_state(bench: Bench) -> None:
    (waiting,) = bench.publish("a")
    (failed,) = bench.bury("b", queue="other")

    by_state = bench.stem("observe", "tasks", "list", "--state", "queued", "--json").document
    every = bench.stem("observe", "tasks", "list", "--state", "any", "--since", "1h", "--json").document

    assert by_state["schema"] == "stem.task/1"
    assert [item["id"] for item in by_state["items"]] == [waiting]
    assert {item["id"] for item in every["items"]} == {waiting, failed}


def test_an_age_needs_records(bench: Bench) -> None:
    ended = bench.stem("observe", "tasks", "list", "--since", "1h")

    assert ended.exit_code == 2
    assert "--since" in ended.err


def test_a_foreign_cursor_is_refused(bench: Bench) -> None:
    ended = bench.stem("observe", "tasks", "list", "--cursor", "nonsense")

    assert ended.exit_code == 64
    assert "cursor" in ended.err


def test_a_task_is_shown_with_its_timeline(bench: Bench) -> None:
    (task_id,) = bench.publish("a")

    as_json = bench.stem("observe", "tasks", "show", task_id, "--json").document
    as_text = bench.stem("observe", "tasks", "show", "--id", task_id)

    assert as_json["item"]["state"] == "queued"
    assert [event["kind"] for event in as_json["item"]["timeline"]] == ["queued"]
    assert f"id\t{task_id}" in as_text.out
    assert "queued" in as_text.out.splitlines()[-1]


def test_an_unknown_task_is_not_found(bench: Bench) -> None:
    ended = bench.stem("observe", "tasks", "show", "1f23c6a1")

    assert ended.exit_code == 3
    assert ended.err.startswith("stem: task 1f23c6a1: no such record; ")


def test_live_workers_are_shown_with_the_age_of_their_heartbeat(bench: Bench) -> None:
    now = bench.app.clock.wall()
    heartbeat = Heartbeat(
        worker_id="w@here",
        boot_id="1",
        host="here",
        pid=42,
        version="0.1.0",
        started_at=now,
        at=now - timedelta(seconds=5),
        interval_s=10,
        pool="prefork",
        queues={"default": 1},
        slots=2,
        inflight=1,
        processed=7,
        rss_bytes=1_000_000,
        load=(0.5, 0.5, 0.5),
    )
    assert bench.app.heartbeats_store.beat(heartbeat, ttl=timedelta(minutes=1))

    (item,) = bench.stem("observe", "workers", "--json").document["items"]
    line = bench.stem("worker", "status").out.splitlines()[1].split("\t")

    assert (item["worker_id"], item["queues"], item["interval_s"]) == ("w@here", {"default": 1}, 10)
    assert item["age_s"] >= 5
    assert line[:5] == ["w@here", "prefork", "1", "2", "7"]


def test_asking_for_no_task_is_a_usage_error(bench: Bench) -> None:
    assert bench.stem("observe", "tasks", "show").exit_code == 2


def test_no_worker_is_an_answer_too(bench: Bench) -> None:
    assert bench.stem("observe", "workers").exit_code == 0
    assert bench.stem("worker", "status", "--json").document["items"] == []
