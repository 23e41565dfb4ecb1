"""Why a running attempt is interrupted: as the hub says it, and as the task sees it."""

from __future__ import annotations

from stem.errors import ShutdownError, SoftTimeLimitError, TaskError

SHUTDOWN = "shutdown"


def soft_limit(limit_s: float) -> tuple[str, float]:
    """Return the payload of an INTERRUPT frame for a soft time limit."""
    return ("soft-limit", limit_s)


def shutdown() -> tuple[str, float]:
    """Return the payload of an INTERRUPT frame for a worker that is stopping."""
    return (SHUTDOWN, 0.0)


def interruption(payload: tuple[str, float]) -> TaskError:
    """Return the error to raise inside the task."""
    why, limit_s = payload
    return ShutdownError() if why == SHUTDOWN else SoftTimeLimitError(limit_s=limit_s)
