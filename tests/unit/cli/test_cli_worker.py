from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import Bench

APP = """
from stem import Stem

app = Stem("bench")
"""


@pytest.fixture
def path(write_module: Callable[[str, str], str]) -> str:
    return write_module("workshop", APP) + ":app"


@pytest.mark.parametrize("command", [[], ["start"]])
def test_a_worker_without_a_command_starts(bench: Bench, path: str, command: list[str]) -> None:
    ended = bench.stem("-A", path, "worker", *command, "-c", "2", "-Q", "a,b", "--nonsense")

    assert ended.exit_code == 2
    assert ended.err.startswith("stem: No such option '--nonsense'")
    assert ended.err.endswith("; `stem worker start --help` tells what it takes\n")


@pytest.mark.parametrize("before", [True, False])
def test_the_application_may_be_named_before_or_after_the_command(
    bench: Bench, path: str, before: bool
) -> None:
    application, rest = ["-A", path], ["worker", "-Q", "not a queue!"]

    ended = bench.stem(*application, *rest) if before else bench.stem(*rest, *application)

    assert ended.exit_code == 64
    assert "queue 'a'" not in ended.err
    assert "queue 'queue!'" in ended.err


def test_every_problem_of_a_worker_is_told_at_once(bench: Bench, path: str) -> None:
    ended = bench.stem("-A", path, "worker", "-n", "two words", "-Q", "fine,not!")

    assert ended.exit_code == 64
    assert len(ended.err.splitlines()) == 2


def test_a_limit_that_does_not_fit_another_is_a_configuration_error(bench: Bench, path: str) -> None:
    ended = bench.stem("-A", path, "worker", "--time-limit", "10s", "--soft-time-limit", "20s")

    assert ended.exit_code == 64
    assert "soft_time_limit: expected at most hard_time_limit (10s, from argument), got" in ended.err


def test_the_help_tells_of_both_ways_to_start(bench: Bench) -> None:
    ended = bench.stem("worker", "--help")

    assert ended.exit_code == 0
    assert "Without a command: start" in ended.out
