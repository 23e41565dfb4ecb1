"""How long to wait before a failed task is tried again, and when to give up."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, TypeGuard

from stem.errors import ConfigurationError
from stem.message import Refusal
from stem.states import DeadReason

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_DELAY: Final = timedelta(days=3650)
"""The longest ``base`` or ``cap``, so that now plus a wait is always a date."""

MAX_RETRIES: Final = 2**31 - 2
"""The largest ``max_retries``: attempts are counted in 31 bits on the wire."""

MAX_FACTOR: Final = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """When a failed attempt is followed by another one.

    Attributes:
        max_retries: Attempts after the first one, at least 0; None is for ever.
        base: The bound of the wait after the first attempt, at least 0.
        cap: The bound of every wait, however many attempts came before, at least 0.
        factor: What the bound is multiplied by with each attempt, 1 to 1,000.
        jitter: True: each wait is drawn evenly from 0 to its bound, so that
            tasks that failed together do not come back together. False: each
            wait is its bound.

    Raises:
        ConfigurationError: A field is out of its range, every problem at once.

    Source:
        "Full jitter": M. Brooker, "Exponential Backoff And Jitter", AWS
        Architecture Blog, 2015.
    """

    max_retries: int | None = 3
    base: timedelta = timedelta(seconds=1)
    cap: timedelta = timedelta(minutes=10)
    factor: float = 2.0
    jitter: bool = True

    def __post_init__(self) -> None:
        problems = [
            f"{name}: expected {expected}, got {getattr(self, name)!r}"
            for name, expected in _EXPECTED.items()
            if not _fits(name, getattr(self, name))
        ]
        if problems:
            raise ConfigurationError(problems=problems)

    def delay(self, *, attempt: int, chance: float) -> timedelta | None:
        """Return how long to wait before the next attempt, or None to give up.

        Args:
            attempt: The attempt that failed, counted from 1.
            chance: A number drawn from [0, 1); passed in so that this stays pure.
        """
        if self.max_retries is not None and attempt > self.max_retries:
            return None
        bound = self._bound(attempt)
        return bound * chance if self.jitter else bound

    def _bound(self, attempt: int) -> timedelta:
        if not self.base:
            return self.base
        try:
            grown_s = self.base.total_seconds() * float(self.factor) ** (attempt - 1)
        except OverflowError:  # floats end at 1e308, long after the cap has taken over
            return self.cap
        return timedelta(seconds=min(grown_s, self.cap.total_seconds()))

    def with_overrides(self, overrides: Mapping[str, Any]) -> RetryPolicy | Refusal:
        """Return this policy with some fields replaced, or why that cannot be.

        Args:
            overrides: By field name; ``base`` and ``cap`` are timedeltas or numbers
                of seconds. From the header ``x-stem-retry``, so anything may be in it.
        """
        if not overrides.keys() <= _EXPECTED.keys():
            return _refuse(f"unknown field, known: {', '.join(_EXPECTED)}")
        given: dict[str, Any] = {name: _duration(name, value) for name, value in overrides.items()}
        for name, value in given.items():
            if not _fits(name, value):
                return _refuse(f"{name}: expected {_EXPECTED[name]}")
        return replace(self, **given)

    def to_wire(self) -> dict[str, Any]:
        """Return every field as JSON values, durations in seconds; `with_overrides` reads it."""
        return {
            "max_retries": self.max_retries,
            "base": self.base.total_seconds(),
            "cap": self.cap.total_seconds(),
            "factor": self.factor,
            "jitter": self.jitter,
        }


_EXPECTED: Final = {
    "max_retries": f"a whole number from 0 to {MAX_RETRIES}, or none for ever",
    "base": f"a duration from 0 to {MAX_DELAY.days} days",
    "cap": f"a duration from 0 to {MAX_DELAY.days} days",
    "factor": f"a number from 1 to {MAX_FACTOR}",
    "jitter": "true or false",
}


def _fits(name: str, value: object) -> bool:
    match name:
        case "max_retries":
            return value is None or (
                isinstance(value, int) and _is_number(value) and 0 <= value <= MAX_RETRIES
            )
        case "factor":
            return _is_number(value) and 1 <= value <= MAX_FACTOR
        case "jitter":
            return isinstance(value, bool)
        case _:
            return isinstance(value, timedelta) and timedelta(0) <= value <= MAX_DELAY


def _duration(name: str, value: object) -> object:
    if name not in {"base", "cap"} or not _is_number(value):
        return value
    # What is out of range, NaN included, stays a number and therefore does not fit.
    return timedelta(seconds=value) if 0 <= value <= MAX_DELAY.total_seconds() else value


def _is_number(value: object) -> TypeGuard[int | float]:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _refuse(detail: str) -> Refusal:
    return Refusal(reason=DeadReason.HEADER_INVALID, detail=f"x-stem-retry: {detail}")
