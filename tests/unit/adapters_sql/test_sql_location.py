from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from stem.adapters.sql.location import Location, read_location
from stem.adapters.sql.stack import open_stack
from stem.clock import SystemClock
from stem.errors import ConfigurationError

if TYPE_CHECKING:
    from pathlib import Path


def problems(url: str, namespace: str = "stem") -> tuple[str, ...]:
    with pytest.raises(ConfigurationError) as caught:
        read_location(url, namespace=namespace)
    return caught.value.problems


def test_an_absolute_path_has_four_slashes() -> None:
    location = read_location("sqlite:////var/lib/stem.db", namespace="stem")

    assert location == Location(path="/var/lib/stem.db")
    assert location.address == "sqlite:////var/lib/stem.db"


def test_a_relative_path_is_bound_to_the_directory_of_now(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    assert read_location("sqlite:///stem.db", namespace="stem").path == str(tmp_path.resolve() / "stem.db")


def test_links_to_one_file_have_one_identity(tmp_path: Path) -> None:
    (tmp_path / "link.db").symlink_to(tmp_path / "stem.db")
    urls = [f"sqlite:///{tmp_path}/stem.db", f"sqlite:///{tmp_path}/link.db?synchronous=full"]

    stacks = [open_stack(url, namespace="stem", clock=SystemClock()) for url in urls]

    assert stacks[0].identity == stacks[1].identity
    for stack in stacks:
        stack.close()


def test_a_path_may_need_escapes(tmp_path: Path) -> None:
    location = read_location("sqlite:////tmp/50%25%20of%3Fit.db", namespace="stem")

    assert location.path == "/tmp/50% of?it.db"
    assert read_location(location.address, namespace="stem") == location


def test_options_stand_in_the_query() -> None:
    location = read_location("sqlite:////s.db?synchronous=FULL&busy_timeout=1m30s", namespace="stem")

    assert (location.synchronous, location.busy_timeout) == ("full", timedelta(seconds=90))


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///", "sqlite://?synchronous=full"])
def test_a_url_without_a_file_is_refused(url: str) -> None:
    (problem,) = problems(url)

    assert "several processes need one" in problem


@pytest.mark.parametrize("url", ["sqlite:///:memory:", "sqlite://:memory:"])
def test_memory_is_refused_because_it_belongs_to_one_process(url: str) -> None:
    (problem,) = problems(url)

    assert "one process alone" in problem


def test_a_host_is_refused_with_the_form_that_is_meant() -> None:
    (problem,) = problems("sqlite://stem.db")

    assert "sqlite:///relative.db" in problem


def test_an_unknown_option_names_the_nearest_known_one() -> None:
    (problem,) = problems("sqlite:////s.db?busy_timout=5s")

    assert "unknown option 'busy_timout'" in problem
    assert "did you mean busy_timeout?" in problem


def test_every_problem_is_told_at_once() -> None:
    told = problems("sqlite:///?cache=shared&synchronous=off&busy_timeout=soon", namespace="Stem!")

    assert len(told) == 5
    assert [problem.partition(":")[0] for problem in told] == [
        "namespace",
        "sqlite URL",
        "sqlite URL",
        "synchronous",
        "busy_timeout",
    ]


@pytest.mark.parametrize("namespace", ["", "1a", "a-b", "A", "a" * 31, 'a"; drop table x'])
def test_a_namespace_that_could_not_be_quoted_is_refused(namespace: str) -> None:
    assert "namespace" in problems("sqlite:////s.db", namespace)[0]


def test_opening_touches_no_file(tmp_path: Path) -> None:
    stack = open_stack(f"sqlite:///{tmp_path}/stem.db", namespace="stem", clock=SystemClock())
    assert stack.broker is not None
    stack.broker.source(owner="worker@one").close()
    stack.close()

    assert list(tmp_path.iterdir()) == []
