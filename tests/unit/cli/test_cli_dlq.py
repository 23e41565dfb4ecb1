from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from stem.states import DeadReason, TaskState

if TYPE_CHECKING:
    from conftest import Bench


def listed(bench: Bench, *arguments: str) -> list[str]:
    return [item["task_id"] for item in bench.stem("dlq", "list", *arguments, "--json").document["items"]]


def test_dead_letters_are_listed_newest_first(bench: Bench) -> None:
    (first,) = bench.bury("a")
    (second,) = bench.bury("b")

    assert listed(bench, "default") == [second, first]
    assert listed(bench, "elsewhere") == []


def test_pages_have_the_size_that_was_asked_for(bench: Bench) -> None:
    buried = bench.bury("a", "b", "c")

    page = bench.stem("dlq", "list", "default", "--page-size", "2", "--json").document
    rest = bench.stem("dlq", "list", "default", "--cursor", page["next_cursor"], "--json").document

    ids = [item["task_id"] for item in page["items"] + rest["items"]]
    assert (len(page["items"]), sorted(ids)) == (2, sorted(buried))


def test_dead_letters_are_chosen_by_reason_task_and_age(bench: Bench) -> None:
    (failed,) = bench.bury("a")
    (lost,) = bench.bury("b", reason=DeadReason.WORKER_LOST)

    assert listed(bench, "--reason", "worker-lost") == [lost]
    assert listed(bench, "--task", "a") == [failed]
    assert listed(bench, "--until", "1h") == []
    assert listed(bench, "--id", failed) == [failed]


def test_a_dead_letter_is_shown_with_its_bytes(bench: Bench) -> None:
    (task_id,) = bench.bury("a")

    item = bench.stem("dlq", "show", task_id, "--json").document["item"]

    assert (item["task_id"], item["reason"]) == (task_id, "task-failed")
    assert task_id in item["payload"]["text"]


def test_an_unknown_dead_letter_is_not_found(bench: Bench) -> None:
    assert bench.stem("dlq", "show", "nothing").exit_code == 3
    assert bench.stem("dlq", "show").exit_code == 2


def test_replaying_puts_the_oldest_back(bench: Bench) -> None:
    oldest, *_ = bench.bury("a", "b", "c")

    ended = bench.stem("dlq", "replay", "default", "--limit", "1", "--confirm")

    assert (ended.exit_code, ended.out) == (0, "1 of 1 dead letters put back\n")
    assert bench.app.AsyncResult(oldest).state is TaskState.QUEUED
    assert len(listed(bench, "default")) == 2
    assert len(listed(bench, "default", "--replayed")) == 3


def test_one_is_replayed_by_its_id_and_with_a_delay(bench: Bench) -> None:
    _, chosen = bench.bury("a", "b")

    ended = bench.stem("dlq", "replay", "--id", chosen, "--delay", "1h", "--yes", "--json")

    assert ended.document == {"schema": "stem.dead-letter-act/1", "matching": 1, "done": 1}
    (message,) = bench.stem("observe", "tasks", "list", "--json").document["items"]
    assert (message["id"], message["state"]) == (chosen, "delayed")


def test_a_dry_run_changes_nothing(bench: Bench) -> None:
    bench.bury("a", "b")

    text = bench.stem("dlq", "replay", "default", "--dry-run")
    document = bench.stem("dlq", "purge", "default", "--dry-run", "--json").document

    assert text.out.startswith("2 dead letters are meant; nothing was done.")
    assert (document["matching"], len(document["samples"])) == (2, 2)
    assert len(listed(bench, "default")) == 2


@pytest.mark.parametrize("act", ["replay", "purge"])
def test_acting_needs_consent(bench: Bench, act: str) -> None:
    bench.bury("a")

    ended = bench.stem("dlq", act, "default")

    assert ended.exit_code == 2
    assert "--yes" in ended.err
    assert len(listed(bench, "default")) == 1


@pytest.mark.parametrize("act", ["replay", "purge"])
def test_acting_needs_to_be_told_on_what(bench: Bench, act: str) -> None:
    assert bench.stem("dlq", act, "--yes").exit_code == 2
    assert bench.stem("dlq", act, "default", "--yes").exit_code == 3


def test_what_cannot_be_replayed_is_told_by_the_exit_code(bench: Bench) -> None:
    (task_id,) = bench.bury("a", reason=DeadReason.ENVELOPE_UNDECODABLE)
    bench.app.results.forget([task_id])
    bench.publish("a", task_id=task_id)

    ended = bench.stem("dlq", "replay", "default", "--yes")

    assert (ended.exit_code, ended.out) == (5, "0 of 1 dead letters put back\n")


def test_purging_deletes_for_good(bench: Bench) -> None:
    bench.bury("a", "b", "c")

    ended = bench.stem("dlq", "purge", "default", "--limit", "2", "--yes")

    assert (ended.exit_code, ended.out) == (0, "2 of 2 dead letters deleted\n")
    assert len(listed(bench, "default", "--replayed")) == 1
