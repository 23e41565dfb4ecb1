"""Celery's task states and Stem's, translated by one table."""

from __future__ import annotations

from typing import Final

from stem.states import TaskState

PENDING: Final = "PENDING"
RECEIVED: Final = "RECEIVED"
STARTED: Final = "STARTED"
RETRY: Final = "RETRY"
SUCCESS: Final = "SUCCESS"
FAILURE: Final = "FAILURE"
REVOKED: Final = "REVOKED"

_TO_CELERY: Final = {
    TaskState.QUEUED: PENDING,
    TaskState.RUNNING: STARTED,
    TaskState.RETRYING: RETRY,
    TaskState.SUCCEEDED: SUCCESS,
    TaskState.FAILED: FAILURE,
    TaskState.CANCELLED: REVOKED,
}

# A task that a Celery worker has received and not started is still waiting to Stem.
_TO_STEM: Final = {celery: stem for stem, celery in _TO_CELERY.items()} | {RECEIVED: TaskState.QUEUED}


def celery_state(state: TaskState | None) -> str:
    """Return Celery's name for a state.

    Args:
        state: None for an id that no record exists of, which Celery also calls ``PENDING``.
    """
    return PENDING if state is None else _TO_CELERY[state]


def stem_state(name: str) -> TaskState:
    """Return the state that Celery calls ``name``.

    Raises:
        ValueError: Celery has no such state, or it is one that an application made up.
    """
    try:
        return _TO_STEM[name]
    except KeyError:
        raise ValueError(f"{name!r} is none of Celery's states: {', '.join(sorted(_TO_STEM))}") from None
