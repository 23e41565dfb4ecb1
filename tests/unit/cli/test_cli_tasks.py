from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from stem.states import DeadReason

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import Bench

SHOP = '''
from stem import Stem

app = Stem("shop")


@app.task(queue="tills")
def total(prices: list[int]) -> int:
    """Add up the prices.

    In cents.
    """
    return sum(prices)
'''


@pytest.fixture
def shop(write_module: Callable[[str, str], str]) -> str:
    return write_module("shop", SHOP)


def test_the_registered_tasks_are_listed(bench: Bench, shop: str) -> None:
    ended = bench.stem("-A", f"{shop}:app", "tasks", "list", "--json")

    assert ended.document["items"] == [
        {"name": f"{shop}.total", "queue": "tills", "doc": "Add up the prices."}
    ]


def test_the_application_may_be_named_by_the_environment(
    bench: Bench, shop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STEM_APP", shop)

    assert f"{shop}.total" in bench.stem("tasks", "list").out


def test_a_call_goes_where_the_tasks_definition_says(bench: Bench, shop: str) -> None:
    ended = bench.stem("-A", shop, "tasks", "call", f"{shop}.total", "--args", "[[1, 2]]")

    (message,) = bench.stem("observe", "tasks", "list", "--queue", "tills", "--json").document["items"]
    assert message["id"] == ended.out.strip()


def test_arguments_that_do_not_fit_are_a_usage_error(bench: Bench, shop: str) -> None:
    ended = bench.stem("-A", shop, "tasks", "call", f"{shop}.total", "--kwargs", '{"sums": []}')

    assert ended.exit_code == 2
    assert f"{shop}.total" in ended.err


def test_a_call_needs_no_application(bench: Bench) -> None:
    ended = bench.stem(
        "tasks", "call", "far.away", "--queue", "far", "--countdown", "1h", "--priority", "3", "--json"
    )

    (message,) = bench.stem("observe", "tasks", "list", "--json").document["items"]
    assert message["id"] == ended.document["item"]["id"]
    assert (message["queue"], message["state"], message["priority"]) == ("far", "delayed", 3)


def test_calling_twice_under_one_id_is_one_task(bench: Bench) -> None:
    for _ in range(2):
        assert bench.stem("tasks", "call", "a", "--task-id", "once").out == "once\n"

    assert len(bench.stem("observe", "tasks", "list", "--json").document["items"]) == 1


def test_the_result_of_a_call_is_printed_as_json(bench: Bench) -> None:
    bench.publish("a", task_id="done")
    bench.finish('{"sum":3}')

    as_text = bench.stem("tasks", "call", "a", "--task-id", "done", "--wait")
    as_json = bench.stem("tasks", "call", "a", "--task-id", "done", "--wait", "--timeout", "1m", "--json")

    assert (as_text.exit_code, as_text.document) == (0, {"sum": 3})
    assert as_json.document == {"schema": "stem.call/1", "item": {"id": "done", "result": {"sum": 3}}}


def test_waiting_in_vain_has_its_own_exit_code(bench: Bench) -> None:
    ended = bench.stem("tasks", "call", "a", "--wait", "--timeout", "10ms")

    assert ended.exit_code == 4
    assert "has no result after 0.01 s" in ended.err


def test_waiting_for_a_task_that_failed_fails(bench: Bench) -> None:
    (task_id,) = bench.bury("a", reason=DeadReason.TASK_FAILED)

    ended = bench.stem("tasks", "call", "a", "--task-id", task_id, "--wait", "--timeout", "10s")

    assert ended.exit_code == 1


def test_settings_are_shown_with_their_origin_and_without_secrets(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STEM_RESULT_BACKEND_URL", "redis://me:s3cret@host/0")
    monkeypatch.setenv("STEM_LEASE_DURATION", "1m")

    ended = bench.stem("config", "show", "--json")

    settings = {item["name"]: (item["text"], item["origin"]) for item in ended.document["items"]}
    assert settings["broker_url"] == (bench.url, "argument")
    assert settings["lease_duration"] == ("1m", "STEM_LEASE_DURATION")
    assert settings["max_deliveries"] == ("3", "default")
    assert "s3cret" not in ended.out


def test_every_wrong_setting_is_told_on_its_own_line(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STEM_LEASE_DURATOIN", "1m")
    monkeypatch.setenv("STEM_MAX_DELIVERIES", "0")

    ended = bench.stem("config", "show")

    assert ended.exit_code == 64
    assert len(ended.err.splitlines()) == 2
    assert "did you mean STEM_LEASE_DURATION?" in ended.err
