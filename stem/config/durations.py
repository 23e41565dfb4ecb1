"""Durations as people write them: ``500ms``, ``10s``, ``1h30m``."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Final

import durationpy

_NUMBER: Final = re.compile(r"[0-9]+(?:\.[0-9]+)?")
_PARTS: Final = re.compile(r"(?:[0-9]+(?:\.[0-9]+)?(?:ms|s|m|h|d|w))+")
_UNITS: Final = {
    "d": timedelta(days=1),
    "h": timedelta(hours=1),
    "m": timedelta(minutes=1),
    "s": timedelta(seconds=1),
    "ms": timedelta(milliseconds=1),
}


def read_duration(value: object) -> timedelta:
    """Return the duration that ``value`` stands for.

    Args:
        value: A timedelta, a number of seconds, or text: numbers followed by ``ms``,
            ``s``, ``m``, ``h``, ``d`` or ``w``, or a single number of seconds.

    Raises:
        ValueError: It is none of these, or longer than a timedelta can be.
    """
    match value:
        case timedelta():
            return value
        case bool():
            raise ValueError("a flag is no duration")
        case int() | float():
            return _seconds(value)
        case str():
            return _from_text(value.strip())
        case _:
            raise ValueError(f"a {type(value).__name__} is no duration")


def write_duration(duration: timedelta) -> str:
    """Return ``duration`` in the largest unit that needs no fraction; `read_duration` reads it."""
    for unit, length in _UNITS.items():
        if duration and duration % length == timedelta(0):
            return f"{duration // length}{unit}"
    return f"{duration / _UNITS['ms']}ms" if duration else "0s"


def _seconds(value: float) -> timedelta:
    try:
        return timedelta(seconds=value)
    except OverflowError as error:
        raise ValueError("too long a duration") from error


def _from_text(text: str) -> timedelta:
    if _NUMBER.fullmatch(text):
        return _seconds(float(text))
    # durationpy passes over what it does not know between two parts, "1h and 5m"
    # among it, and reads "mm" as months; so the form is checked first.
    if not _PARTS.fullmatch(text):
        raise ValueError("no duration")
    return durationpy.from_str(text)
