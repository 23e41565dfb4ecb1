from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stem.config.durations import read_duration, write_duration


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("500ms", timedelta(milliseconds=500)),
        ("10s", timedelta(seconds=10)),
        (" 1h30m ", timedelta(hours=1, minutes=30)),
        ("1.5h", timedelta(minutes=90)),
        ("2d", timedelta(days=2)),
        ("1w", timedelta(days=7)),
        ("30", timedelta(seconds=30)),
        ("0.25", timedelta(milliseconds=250)),
        (30, timedelta(seconds=30)),
        (0.25, timedelta(milliseconds=250)),
        ("0", timedelta(0)),
        (timedelta(minutes=1), timedelta(minutes=1)),
    ],
)
def test_a_duration_is_read_as_people_write_it(written: object, meant: timedelta) -> None:
    assert read_duration(written) == meant


@pytest.mark.parametrize(
    "written",
    ["", "s", "ten", "-5s", "-5", "5 s", "1h and 5m", "5mm", "1y", "1e3", "nan", "inf", "1.5.2s", ".5s",
     "٣s", "9" * 400, "9" * 400 + "s", 10**400, float("nan"), float("inf"), True, None, [], b"10s"],
)  # fmt: skip
def test_what_is_no_duration_is_refused(written: object) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - durationpy's text is not ours
        read_duration(written)


@pytest.mark.parametrize(
    ("duration", "written"),
    [
        (timedelta(0), "0s"),
        (timedelta(seconds=30), "30s"),
        (timedelta(seconds=90), "90s"),
        (timedelta(minutes=10), "10m"),
        (timedelta(days=14), "14d"),
        (timedelta(milliseconds=1500), "1500ms"),
        (timedelta(microseconds=1), "0.001ms"),
    ],
)
def test_a_duration_is_written_in_the_largest_unit_that_fits(duration: timedelta, written: str) -> None:
    assert write_duration(duration) == written


@given(duration=st.timedeltas(min_value=timedelta(0), max_value=timedelta(days=3650)))
def test_what_is_written_reads_the_same(duration: timedelta) -> None:
    assert read_duration(write_duration(duration)) == duration
