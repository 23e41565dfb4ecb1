"""How one attempt ended: a closed set, and its form between child and hub."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias, assert_never

from stem.message import ErrorInfo
from stem.states import DeadReason

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True, kw_only=True)
class Succeeded:
    """The task returned.

    Attributes:
        result: JSON text; None when results are ignored.
    """

    result: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryLater:
    """The attempt failed and another follows.

    Attributes:
        delay_s: Seconds until it is due.
        body: The next attempt's encoded arguments; None keeps the message's.
    """

    delay_s: float
    error: ErrorInfo
    body: bytes | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GaveUp:
    """The task failed for good, or its message cannot be run at all."""

    reason: DeadReason
    error: ErrorInfo


@dataclass(frozen=True, slots=True, kw_only=True)
class LostLease:
    """The task stopped because its lease was lost; another worker may be running it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenBack:
    """The task stopped because the worker is stopping; it is to run elsewhere."""


Outcome: TypeAlias = Succeeded | RetryLater | GaveUp | LostLease | GivenBack


def outcome_to_wire(outcome: Outcome) -> tuple[Any, ...]:
    """Return an outcome as a tuple of plain values."""
    match outcome:
        case Succeeded(result=result):
            return ("succeeded", result)
        case RetryLater(delay_s=delay_s, error=error, body=body):
            return ("retry", delay_s, error_to_wire(error), body)
        case GaveUp(reason=reason, error=error):
            return ("gave-up", str(reason), error_to_wire(error))
        case LostLease():
            return ("lost",)
        case GivenBack():
            return ("given-back",)
        case _:
            assert_never(outcome)


def outcome_from_wire(values: Sequence[Any]) -> Outcome:
    """Return the outcome that `outcome_to_wire` turned into ``values``."""
    match values:
        case ("succeeded", result):
            return Succeeded(result=result)
        case ("retry", delay_s, error, body):
            return RetryLater(delay_s=delay_s, error=error_from_wire(error), body=body)
        case ("gave-up", reason, error):
            return GaveUp(reason=DeadReason(reason), error=error_from_wire(error))
        case ("lost",):
            return LostLease()
        case ("given-back",):
            return GivenBack()
        case _:
            raise ValueError(f"no outcome: {values[:1]!r}")


def error_to_wire(error: ErrorInfo) -> tuple[Any, ...]:
    """Return an error as a tuple: type, message, traceback, cause or None."""
    cause = None if error.cause is None else error_to_wire(error.cause)
    return (error.type, error.message, error.traceback, cause)


def error_from_wire(values: Sequence[Any]) -> ErrorInfo:
    """Return the error that `error_to_wire` turned into ``values``."""
    kind, message, traceback, cause = values
    return ErrorInfo(
        type=kind,
        message=message,
        traceback=traceback,
        cause=None if cause is None else error_from_wire(cause),
    )
