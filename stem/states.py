"""Task states, and why a message lies in the dead letters."""

from __future__ import annotations

from enum import StrEnum


class TaskState(StrEnum):
    """Where a task stands. The values are what is stored and printed."""

    QUEUED = "queued"
    """Published; waits in a queue or for its time."""
    RUNNING = "running"
    """A worker has started it."""
    RETRYING = "retrying"
    """An attempt failed; the next one is scheduled."""
    SUCCEEDED = "succeeded"
    """It returned a result."""
    FAILED = "failed"
    """It will not be tried again; its message lies in the dead letters."""
    CANCELLED = "cancelled"
    """It was revoked, or expired before it started."""

    @property
    def is_terminal(self) -> bool:
        """Whether only a replay leads out of this state."""
        return self in TERMINAL_STATES


TERMINAL_STATES = frozenset({TaskState.SUCCEEDED, TaskState.FAILED, TaskState.CANCELLED})


class DeadReason(StrEnum):
    """Why a message was buried. The values are what is stored and printed."""

    ENVELOPE_UNDECODABLE = "envelope-undecodable"
    ENVELOPE_INVALID = "envelope-invalid"
    HEADER_MISSING = "header-missing"
    HEADER_INVALID = "header-invalid"
    CONTENT_TYPE_REFUSED = "content-type-refused"
    BODY_UNDECODABLE = "body-undecodable"
    BODY_TOO_LARGE = "body-too-large"
    BODY_TOO_DEEP = "body-too-deep"
    BODY_INVALID = "body-invalid"
    PAYLOAD_INVALID = "payload-invalid"
    TASK_UNKNOWN = "task-unknown"
    ARGS_MISMATCH = "args-mismatch"
    WORKER_LOST = "worker-lost"
    HARD_TIME_LIMIT = "hard-time-limit"
    RETRIES_EXHAUSTED = "retries-exhausted"
    TASK_FAILED = "task-failed"
    REJECTED = "rejected"

    @property
    def is_poison(self) -> bool:
        """Whether the message itself is at fault, so that running it again cannot help."""
        return self in _POISON


_POISON = frozenset(
    {
        DeadReason.ENVELOPE_UNDECODABLE,
        DeadReason.ENVELOPE_INVALID,
        DeadReason.HEADER_MISSING,
        DeadReason.HEADER_INVALID,
        DeadReason.CONTENT_TYPE_REFUSED,
        DeadReason.BODY_UNDECODABLE,
        DeadReason.BODY_TOO_LARGE,
        DeadReason.BODY_TOO_DEEP,
        DeadReason.BODY_INVALID,
        DeadReason.PAYLOAD_INVALID,
        DeadReason.ARGS_MISMATCH,
    }
)
