from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stem.adapters.sql.rows import (
    due_us,
    micros,
    moment,
    plain,
    read_error,
    read_token,
    write_error,
    write_token,
)
from stem.message import ErrorInfo

# Hypothesis gives them their zones, which may lie two days apart.
FIRST = datetime.min + timedelta(days=2)  # noqa: DTZ901
LAST = datetime.max - timedelta(days=2)  # noqa: DTZ901
NOW_US = micros(datetime(2026, 3, 1, tzinfo=UTC))


@given(st.datetimes(FIRST, LAST, timezones=st.timezones()))
def test_a_date_survives_to_the_microsecond(date: datetime) -> None:
    assert moment(micros(date)) == date.astimezone(UTC)


def test_a_date_of_another_zone_is_the_same_moment() -> None:
    east = datetime(2026, 3, 1, 9, tzinfo=timezone(timedelta(hours=9)))

    assert micros(east) == NOW_US


@given(st.timedeltas(min_value=timedelta(0)))
def test_a_duration_counts_from_now_and_ends_with_the_calendar(due: timedelta) -> None:
    at_us = due_us(due, now_us=NOW_US)

    assert at_us == NOW_US + due // timedelta(microseconds=1) or moment(at_us).year == 9999


@given(st.integers(0, 2**63), st.integers(0, 2**31))
def test_a_token_names_a_row_and_a_fence(row: int, fence: int) -> None:
    assert read_token(write_token(row, fence)) == (row, fence)


@pytest.mark.parametrize("token", ["", "1", "1.", ".1", "a.b", "-1.2", "1.2.3", "1.2 ", "1e3.4"])
def test_what_no_delivery_had_is_no_token(token: str) -> None:
    assert read_token(token) is None


@given(st.text(st.characters(codec=None)))
def test_plain_text_can_be_stored_anywhere(text: str) -> None:
    stored = plain(text)

    assert "\0" not in stored
    assert stored.encode().decode() == stored
    assert stored == text or "\0" in text or any("\ud800" <= each <= "\udfff" for each in text)


def test_an_error_survives_with_its_causes() -> None:
    error = ErrorInfo(
        type="a.B", message="\ud800 \0", traceback="File x", cause=ErrorInfo(type="C", message="")
    )

    assert read_error(write_error(error)) == error
    assert read_error(write_error(None)) is None
