"""What options mean: durations, dates, JSON, and the consent to act."""

from __future__ import annotations

import dataclasses
import functools
import json
import sys
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, cast

import click

from stem.cli.exit_codes import CommandError, ExitCode
from stem.clock import SystemClock

if TYPE_CHECKING:
    from collections.abc import Callable


def duration(text: str | timedelta) -> timedelta:
    """Read a duration: ``500ms``, ``10s``, ``1h30m``, or seconds."""
    from stem.config.durations import read_duration

    try:
        return read_duration(text)
    except ValueError:
        raise click.BadParameter(f"{text!r} is no duration such as 500ms, 10s or 1h30m") from None


def date(text: str | datetime) -> datetime:
    """Read a date in RFC 3339, with its time zone."""
    try:
        moment = text if isinstance(text, datetime) else datetime.fromisoformat(text)
    except ValueError:
        raise click.BadParameter(f"{text!r} is no date such as 2026-01-31T12:00:00Z") from None
    if moment.tzinfo is None:
        raise click.BadParameter(f"{text!r} has no time zone; append Z for UTC")
    return moment


def date_or_age(text: str | datetime) -> datetime:
    """Read a date in RFC 3339, or how long ago: ``2h``."""
    if isinstance(text, datetime) or "-" in text:
        return date(text)
    return SystemClock().wall() - duration(text)


def json_list(text: str | list[Any]) -> list[Any]:
    """Read a JSON list."""
    return cast("list[Any]", _json(text, list, 'a list such as [1, "a"]'))


def json_object(text: str | dict[str, Any]) -> dict[str, Any]:
    """Read a JSON object."""
    return cast("dict[str, Any]", _json(text, dict, 'an object such as {"name": 1}'))


def _json(text: str | list[Any] | dict[str, Any], kind: type, expected: str) -> object:
    try:
        value: object = json.loads(text) if isinstance(text, str) else text
    except ValueError as error:
        raise click.BadParameter(f"expected {expected}: {error}") from None
    if not isinstance(value, kind):
        raise click.BadParameter(f"expected {expected}")
    return value


def gathered(
    kind: type[Any], parameter: str, *options: Callable[[Any], Any]
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Add options to a command, which gets their values as one object.

    Args:
        kind: A dataclass; values of its fields' names go into it.
        parameter: The name under which the command takes the object.
        options: Click's decorators.
    """
    names = {field.name for field in dataclasses.fields(kind)}

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def command(**values: Any) -> Any:
            fields = {name: values.pop(name) for name in names & values.keys()}
            return function(**{parameter: kind(**fields)}, **values)

        for option in reversed(options):
            command = option(command)
        return command

    return decorate


def none_if_empty(
    _ctx: click.Context, _param: click.Parameter, values: tuple[str, ...]
) -> tuple[str, ...] | None:
    """Return what was given for an option that can be given again; None when nothing was."""
    return values or None


def split_names(_ctx: click.Context, _param: click.Parameter, values: tuple[str, ...]) -> tuple[str, ...]:
    """Return the names of an option that is given several times, or once with commas."""
    return tuple(name for value in values for name in value.replace(",", " ").split())


def consent(question: str, *, given: bool) -> None:
    """Return if the user agrees to an act that cannot be undone.

    Args:
        given: Whether consent was given on the command line.

    Raises:
        CommandError: The user said no, or there is nobody to ask.
    """
    if given:
        return
    if not sys.stdin.isatty():
        raise CommandError(
            "refused: this needs consent and there is no terminal to ask at",
            hint="look with --dry-run, then give --yes",
            code=ExitCode.USAGE,
        )
    if not click.confirm(question, err=True):
        raise CommandError("nothing was done", code=ExitCode.FAILED)
