from __future__ import annotations

from datetime import UTC, datetime, timedelta
from threading import Event, Thread

import pytest

from stem.testing import ManualClock


class Sleeper:
    def __init__(self, clock: ManualClock, timeout_s: float | None) -> None:
        self.event = Event()
        self.answers: list[bool] = []
        self.thread = Thread(
            target=lambda: self.answers.append(clock.wait(self.event, timeout_s)), daemon=True
        )
        self.thread.start()

    def outcome(self) -> list[bool]:
        self.thread.join(30)
        return self.answers


def test_time_stands_still_until_advanced() -> None:
    clock = ManualClock(datetime(2026, 3, 1, tzinfo=UTC))

    clock.advance(1.5)
    clock.advance(timedelta(minutes=1))

    assert clock.wall() == datetime(2026, 3, 1, 0, 1, 1, 500_000, tzinfo=UTC)
    assert clock.monotonic() == 61.5


def test_a_step_of_the_wall_clock_leaves_the_monotonic_one() -> None:
    clock = ManualClock()
    before = clock.wall()

    clock.step_wall(timedelta(hours=-1))

    assert clock.wall() == before - timedelta(hours=1)
    assert clock.monotonic() == 0


def test_time_does_not_go_back() -> None:
    with pytest.raises(ValueError, match="step_wall"):
        ManualClock().advance(-1)


def test_a_waiting_thread_is_released_when_its_time_has_come() -> None:
    clock = ManualClock()
    sleeper = Sleeper(clock, 10)
    clock.wait_for_sleepers(1)

    clock.advance(9)
    clock.wait_for_sleepers(1)
    clock.advance(1)

    assert sleeper.outcome() == [False]


def test_the_event_ends_a_wait_at_once() -> None:
    clock = ManualClock()
    sleeper = Sleeper(clock, None)
    clock.wait_for_sleepers(1)

    sleeper.event.set()

    assert sleeper.outcome() == [True]


def test_a_wait_of_no_seconds_only_looks() -> None:
    assert ManualClock().wait(Event(), 0) is False


def test_who_is_released_no_longer_counts_as_waiting() -> None:
    clock = ManualClock()
    early, late = Sleeper(clock, 1), Sleeper(clock, 100)
    clock.wait_for_sleepers(2)

    clock.advance(1)

    with pytest.raises(AssertionError, match="1 of 2"):
        clock.wait_for_sleepers(2, limit_s=0)
    clock.advance(100)
    assert [early.outcome(), late.outcome()] == [[False], [False]]
