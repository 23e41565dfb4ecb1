"""The application: loading it, its settings, its stores."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from stem import Stem
from stem.app import load
from stem.errors import AppNotFoundError, ConfigurationError, UnknownAdapterError
from stem.retry import RetryPolicy
from stem.states import TaskState

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def write(place: Path, name: str, text: str) -> str:
    (place / f"{name}.py").write_text(text)
    return name


ONE = "from stem import Stem\napp = Stem('one')\n"


def test_an_application_is_found_by_module_and_attribute(here: Path) -> None:
    name = write(here, "shop_one", ONE)

    assert load(f"{name}:app").name == "one"
    assert load(name).name == "one"


@pytest.mark.parametrize(
    ("text", "path", "expected"),
    [
        (ONE, "shop_a:other", "'other' does not exist; known: app"),
        ("app = 1", "shop_b:app", "'app' is no Stem application"),
        ("app = 1", "shop_c", "holds no Stem application"),
        (ONE + "two = Stem('two')", "shop_d", "holds several: app, two"),
        ("import no_such_thing", "shop_e:app", "no module named 'no_such_thing'"),
        ("1 / 0", "shop_f:app", "ZeroDivisionError"),
    ],
)
def test_what_cannot_be_used_is_told_in_one_line(here: Path, text: str, path: str, expected: str) -> None:
    write(here, path.partition(":")[0], text)

    with pytest.raises(AppNotFoundError) as told:
        load(path)

    assert expected in str(told.value)
    assert "\n" not in str(told.value)


def test_a_missing_module_is_told_by_its_name(here: Path) -> None:
    with pytest.raises(AppNotFoundError, match="no module named 'nowhere_at_all'"):
        load("nowhere_at_all:app")


def test_settings_are_read_once_and_arguments_win(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STEM_DEFAULT_QUEUE", "from-env")
    app = Stem("a", broker="memory://", max_retries=7)

    assert app.settings.default_queue == "from-env"
    assert app.resolved.origins["max_retries"] == "argument"
    assert app.default_retry == RetryPolicy(max_retries=7)
    with pytest.raises(ConfigurationError, match="in use already"):
        app.override(default_queue="late")


def test_settings_can_be_set_until_they_are_used() -> None:
    app = Stem("a", broker="memory://")

    app.override(lease_duration="40s")

    assert app.settings.lease_duration == timedelta(seconds=40)


def test_every_bad_setting_is_told_at_once() -> None:
    app = Stem("a", broker="memory://", lease_duration="soon", max_delivreies=1)

    with pytest.raises(ConfigurationError) as told:
        _ = app.settings

    assert len(told.value.problems) == 2


def test_an_unknown_scheme_names_the_known_ones() -> None:
    with pytest.raises(UnknownAdapterError, match=r"known: .*memory.*sqlite"):
        _ = Stem("a", broker="nonsense://host").broker


def test_a_result_store_of_its_own_is_joined_with_the_broker() -> None:
    app = Stem("a", broker="memory://one", result_backend="memory://two")

    handle = app.send_task("work")

    assert not app.broker.capabilities.atomic_results
    assert handle.state is TaskState.QUEUED
    assert [stats.ready for stats in app.queues.stats(["default"])] == [1]
    assert app.broker is app.broker
    app.close()
    app.close()


def test_the_same_database_named_twice_is_one() -> None:
    app = Stem("a", broker="memory://same", result_backend="memory://same")

    assert app.results is not None
    app.close()


def test_names_of_workers_and_queues_are_checked() -> None:
    app = Stem("a", broker="memory://")

    with pytest.raises(ConfigurationError) as told:
        app.worker(name="two words", queues=["a b"], pool="solo")

    assert len(told.value.problems) == 2


def test_children_must_be_able_to_find_the_application() -> None:
    app = Stem("hidden", broker="memory://")

    with pytest.raises(ConfigurationError, match="child processes cannot find it"):
        app.worker()
