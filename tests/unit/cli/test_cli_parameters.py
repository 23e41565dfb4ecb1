from __future__ import annotations

from datetime import UTC, datetime, timedelta

import click
import pytest

from stem.cli.exit_codes import CommandError
from stem.cli.parameters import consent, date, date_or_age, duration, json_list, json_object
from stem.clock import SystemClock


def test_durations_are_read_as_the_settings_read_them() -> None:
    assert duration("1h30m") == timedelta(hours=1.5)
    assert duration("90") == timedelta(seconds=90)


def test_dates_need_a_time_zone() -> None:
    assert date("2026-01-31T12:00:00Z") == datetime(2026, 1, 31, 12, tzinfo=UTC)
    with pytest.raises(click.BadParameter, match="no time zone"):
        date("2026-01-31T12:00:00")


def test_an_age_is_counted_from_now() -> None:
    before = SystemClock().wall()

    since = date_or_age("2h")

    assert before - timedelta(hours=2) <= since <= SystemClock().wall() - timedelta(hours=2)
    assert date_or_age("2026-01-31T12:00:00Z") == datetime(2026, 1, 31, 12, tzinfo=UTC)


def test_json_must_be_of_the_right_kind() -> None:
    assert json_list('[1, "a"]') == [1, "a"]
    assert json_object('{"a": 1}') == {"a": 1}
    with pytest.raises(click.BadParameter, match="expected a list"):
        json_list("{}")
    with pytest.raises(click.BadParameter, match="expected an object"):
        json_object("{nonsense")


def test_acting_without_a_terminal_needs_consent_in_advance(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin.isatty", lambda: False, raising=False)

    consent("Really?", given=True)
    with pytest.raises(CommandError, match="needs consent") as refused:
        consent("Really?", given=False)

    assert refused.value.code == 2


def test_at_a_terminal_the_user_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = iter([True, False])

    def answer(question: str, *, err: bool) -> bool:
        assert (question, err) == ("Really?", True)
        return next(answers)

    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr(click, "confirm", answer)

    consent("Really?", given=False)
    with pytest.raises(CommandError, match="nothing was done") as refused:
        consent("Really?", given=False)

    assert refused.value.code == 1


def test_nonsense_is_no_date() -> None:
    with pytest.raises(click.BadParameter, match="is no date"):
        date("31st of January")
