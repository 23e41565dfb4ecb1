import contextlib
import dataclasses
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stem.config import reference
from stem.config.settings import DECLARATIONS, OTHER_VARIABLES, Settings
from stem.config.sources import Resolved, resolve
from stem.errors import ConfigurationError

REPOSITORY = Path(__file__).parents[2]
CANARY = "hunter2canary"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Return a directory below one that has settings of its own."""
    inner = tmp_path / "project" / "package"
    inner.mkdir(parents=True)
    return inner


def resolved(
    cwd: Path, overrides: dict[str, object] | None = None, environ: dict[str, str] | None = None
) -> Resolved:
    return resolve(overrides=overrides or {}, environ=environ or {}, cwd=cwd)


def problems(
    cwd: Path, overrides: dict[str, object] | None = None, environ: dict[str, str] | None = None
) -> tuple[str, ...]:
    with pytest.raises(ConfigurationError) as caught:
        resolved(cwd, overrides, environ)
    return caught.value.problems


def test_without_any_source_every_setting_has_its_default(tmp_path: Path) -> None:
    found = resolved(tmp_path)

    assert found.settings == Settings()
    assert set(found.origins.values()) == {"default"}
    assert list(found.origins) == list(DECLARATIONS)


def test_the_stronger_source_wins_and_is_remembered(project: Path) -> None:
    (project / "pyproject.toml").write_text(
        "[tool.stem]\nmax_deliveries = 5\nnamespace = 'a'\ndefault_queue = 'b'\nlog_level = 'error'\n"
    )
    (project / "stem.toml").write_text("namespace = 'c'\ndefault_queue = 'd'\nlog_level = 'warning'\n")

    found = resolved(
        project,
        {"log_level": "debug"},
        {"STEM_DEFAULT_QUEUE": "e", "STEM_LOG_LEVEL": "info", "PATH": "/bin"},
    )

    settings, origins = found.settings, found.origins
    assert (settings.max_deliveries, origins["max_deliveries"]) == (5, "pyproject.toml [tool.stem]")
    assert (settings.namespace, origins["namespace"]) == ("c", "stem.toml")
    assert (settings.default_queue, origins["default_queue"]) == ("e", "STEM_DEFAULT_QUEUE")
    assert (settings.log_level, origins["log_level"]) == ("debug", "argument")
    assert (settings.pool, origins["pool"]) == ("prefork", "default")


def test_the_nearest_file_with_settings_is_the_only_one_read(project: Path) -> None:
    (project.parent / "pyproject.toml").write_text("[tool.stem]\nnamespace = 'far'\nmax_deliveries = 9\n")
    (project / "pyproject.toml").write_text("[project]\nname = 'without settings for Stem'\n")

    assert resolved(project).settings.namespace == "far"

    (project / "stem.toml").write_text("namespace = 'near'\n")

    assert resolved(project).settings.namespace == "near"
    assert resolved(project).settings.max_deliveries == 3


@pytest.mark.parametrize(
    ("name", "written", "value"),
    [
        ("broker_url", "redis://:pw@h:6379/0", "redis://:pw@h:6379/0"),
        ("result_backend_url", "None", None),
        ("lease_duration", "1m30s", timedelta(seconds=90)),
        ("lease_renew_every", "500ms", timedelta(milliseconds=500)),
        ("result_ttl", "3600", timedelta(hours=1)),
        ("max_retries", "none", None),
        ("max_retries", "0", 0),
        ("retry_base", "0", timedelta(0)),
        ("concurrency", " 4 ", 4),
        ("pool", "Threads", "threads"),
        ("log_level", "WARNING", "warning"),
        ("signals_enabled", "false", False),
        ("signals_enabled", "on", True),
        ("signals_disabled", "task-retry, worker-heartbeat,", ("task-retry", "worker-heartbeat")),
        ("hard_time_limit", "", None),
    ],
)
def test_the_environment_is_read_as_people_write_it(
    tmp_path: Path, name: str, written: str, value: object
) -> None:
    found = resolved(tmp_path, environ={f"STEM_{name.upper()}": written})

    assert getattr(found.settings, name) == value


def test_arguments_and_files_give_values_of_their_own_types(tmp_path: Path) -> None:
    (tmp_path / "stem.toml").write_text("lease_duration = 60\nsignals_disabled = ['task-retry']\n")

    settings = resolved(tmp_path, {"lease_renew_every": timedelta(seconds=5), "concurrency": None}).settings

    assert settings.lease_duration == timedelta(minutes=1)
    assert settings.signals_disabled == ("task-retry",)
    assert settings.lease_renew_every == timedelta(seconds=5)
    assert settings.concurrency is None


def test_every_problem_of_every_source_is_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "stem.toml").write_text("max_deliveries = 0\nlease_durration = 5\n")

    told = problems(
        tmp_path,
        {"pool": "billiard", "broker_url": None, "borker_url": "x"},
        {"STEM_RESULT_TTL": "soon", "STEM_CONCURENCY": "4"},
    )

    assert sorted(told) == [
        "STEM_RESULT_TTL: result_ttl: expected a duration of more than 0 and at most 3650d, "
        "such as 500ms, 10s or 1h30m, got 'soon'",
        "argument: borker_url: expected a known setting, did you mean broker_url?",
        "argument: broker_url: expected a URL such as redis://localhost:6379/0, got None",
        "argument: pool: expected one of prefork, threads, asyncio, solo, got 'billiard'",
        "environment: STEM_CONCURENCY: expected a known setting, did you mean STEM_CONCURRENCY?",
        "stem.toml: lease_durration: expected a known setting, did you mean lease_duration?",
        "stem.toml: max_deliveries: expected a whole number from 1 to 2147483646, got 0",
    ]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("broker_url", "localhost:6379"),
        ("broker_url", ""),
        ("default_queue", "a queue"),
        ("default_queue", "q" * 201),
        ("namespace", "Stem"),
        ("namespace", "1st"),
        ("namespace", "a\n"),
        ("namespace", "n" * 31),
        ("lease_duration", 0),
        ("lease_duration", timedelta(days=3651)),
        ("lease_duration", float("nan")),
        ("lease_duration", True),
        ("lease_duration", None),
        ("max_deliveries", True),
        ("max_deliveries", 2**31),
        ("max_deliveries", "three"),
        ("concurrency", 1.5),
        ("signals_enabled", "perhaps"),
        ("signals_enabled", None),
        ("signals_disabled", 5),
        ("log_level", "trace"),
    ],
)
def test_a_value_that_does_not_fit_is_refused(tmp_path: Path, name: str, value: object) -> None:
    (problem,) = problems(tmp_path, {name: value})

    assert problem.startswith(f"argument: {name}: expected {DECLARATIONS[name].expected}, got ")


def test_renewing_must_leave_room_for_one_failure(tmp_path: Path) -> None:
    told = problems(tmp_path, {"lease_renew_every": 20}, {"STEM_LEASE_DURATION": "30s"})

    assert told == (
        "argument: lease_renew_every: expected at most half of lease_duration "
        "(30s, from STEM_LEASE_DURATION), got '20s'",
    )


def test_the_soft_limit_comes_before_the_hard_one(tmp_path: Path) -> None:
    (told,) = problems(tmp_path, {"soft_time_limit": 20, "hard_time_limit": 10})

    assert "soft_time_limit: expected at most hard_time_limit (10s, from argument), got '20s'" in told


def test_a_conflict_is_not_told_about_a_value_that_does_not_fit_anyway(tmp_path: Path) -> None:
    (told,) = problems(tmp_path, {"lease_renew_every": 20, "lease_duration": "long"})

    assert told.startswith("argument: lease_duration: expected")


@pytest.mark.parametrize(
    "variable",
    ["STEM_TEST_REDIS_URL", "STEM_PORT", "STEM_PORT_6379_TCP_ADDR", "STEM_SERVICE_HOST",
     "STEM_SERVICE_PORT_HTTP", "STEM_WEB_SERVICE_HOST", "STEM_WEB_SERVICE_PORT", "STEM_WEB_PORT",
     "STEM_WEB_PORT_80_TCP", "STEM_WEB_PORT_80_TCP_ADDR", "SYSTEM_X", "STEMMING"],
)  # fmt: skip
def test_variables_of_others_are_passed_over(tmp_path: Path, variable: str) -> None:
    assert resolved(tmp_path, environ={variable: "tcp://10.0.0.1:80"}).settings == Settings()


@pytest.mark.parametrize("variable", OTHER_VARIABLES)
def test_variables_that_are_no_settings_are_known(tmp_path: Path, variable: str) -> None:
    assert resolved(tmp_path, environ={variable: "shop:app"}).settings == Settings()

    (told,) = problems(tmp_path, environ={f"{variable}X": "shop:app"})

    assert told.endswith(f"did you mean {variable}?")


@pytest.mark.parametrize("variable", ["STEM_BROKER", "STEM_", "STEM_POOLS", "STEM_EXPORT"])
def test_variables_that_nobody_reads_are_an_error(tmp_path: Path, variable: str) -> None:
    (told,) = problems(tmp_path, environ={variable: CANARY})

    assert told.startswith(f"environment: {variable}: expected a known setting")
    assert CANARY not in told


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("namespace =", "not TOML: Invalid value (at end of document)"),
        (b"namespace = '\xff'", "not UTF-8"),
    ],
)
def test_a_broken_file_is_told(tmp_path: Path, content: str | bytes, told: str) -> None:
    file = tmp_path / "stem.toml"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())

    assert problems(tmp_path) == (f"{file}: {told}",)


def test_what_is_no_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").mkdir()

    assert problems(tmp_path) == (f"{tmp_path / 'pyproject.toml'}: cannot be read: Is a directory",)


def test_a_table_that_is_none_is_told(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[tool]\nstem = 'sqlite'\n")

    assert problems(tmp_path) == ("pyproject.toml [tool.stem]: expected a table of settings, got a str",)


@given(
    name=st.sampled_from(sorted(DECLARATIONS)),
    wrap=st.sampled_from(
        [
            "x://u:{}@h bad",
            "password={}",
            "redis://u:{}@h",
            " redis://:a {}@h",
            "x;redis://:{}@h",
        ]
    ),
)
def test_a_password_never_shows_in_problems_or_reprs(
    name: str, wrap: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    cwd = tmp_path_factory.getbasetemp()
    try:
        shown = repr(resolved(cwd, environ={DECLARATIONS[name].variable: wrap.format(CANARY)}))
    except ConfigurationError as error:
        shown = str(error)

    assert CANARY not in shown


@given(
    overrides=st.dictionaries(
        st.sampled_from(sorted(DECLARATIONS)) | st.text(max_size=20),
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats()
        | st.text()
        | st.binary()
        | st.lists(st.text()),
    )
)
def test_anything_gives_settings_or_a_list_of_problems(
    overrides: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> None:
    with contextlib.suppress(ConfigurationError):
        found = resolved(tmp_path_factory.getbasetemp(), overrides)

        assert not list(found.settings.conflicts())


@pytest.mark.parametrize("name", DECLARATIONS)
def test_every_default_is_read_back_from_how_it_is_written(tmp_path: Path, name: str) -> None:
    declaration = DECLARATIONS[name]

    found = resolved(tmp_path, environ={declaration.variable: declaration.write(declaration.default)})

    assert getattr(found.settings, name) == declaration.default


def test_settings_are_frozen(tmp_path: Path) -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        resolved(tmp_path).settings.namespace = "other"  # type: ignore[misc]


def test_the_reference_page_is_current() -> None:
    page = REPOSITORY / "docs" / "reference" / "settings.md"

    assert page.read_text() == reference.render(), (
        "write it anew: python -c \"from stem.config.reference import render; print(render(), end='')\""
    )


def test_settings_are_resolved_without_pydantic_when_nothing_is_given() -> None:
    program = (
        "import sys; from pathlib import Path; from stem.config.sources import resolve;"
        "resolve(overrides={}, environ={}, cwd=Path('/')); sys.exit('pydantic' in sys.modules)"
    )

    assert subprocess.run([sys.executable, "-c", program], timeout=60, check=False).returncode == 0
