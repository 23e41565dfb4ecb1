"""Results as Celery keeps them, so that its ``AsyncResult`` reads how Stem's tasks ended."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from stem.adapters.redis.values import plain, write_json
from stem.message import ErrorInfo
from stem.states import TaskState

if TYPE_CHECKING:
    from datetime import datetime

_STATUS: Final = {
    TaskState.SUCCEEDED: "SUCCESS",
    TaskState.FAILED: "FAILURE",
    TaskState.CANCELLED: "REVOKED",
}
_REVOKED: Final = ErrorInfo(type="celery.exceptions.TaskRevokedError", message="revoked")


def write_meta(
    state: TaskState, *, result: str | None = None, error: ErrorInfo | None = None, at: datetime
) -> str:
    """Return the value of ``celery-task-meta-<id>`` up to the task's id, which the scripts add.

    Args:
        state: A terminal state.
        result: JSON text.
        error: What it ended with, unless it succeeded.
        at: When it ended.
    """
    if state is TaskState.SUCCEEDED:
        value, traceback = result or "null", None
    else:
        cause = error or _REVOKED
        value, traceback = _exception(cause), plain(cause.traceback) or None
    return (
        f'{{"status": "{_STATUS[state]}", "result": {value}, "traceback": {write_json(traceback)}, '
        f'"children": [], "date_done": "{at.isoformat()}", "task_id": '
    )


def _exception(error: ErrorInfo) -> str:
    module, _, name = error.type.rpartition(".")
    return write_json(
        {"exc_type": plain(name), "exc_message": [plain(error.message)], "exc_module": plain(module)}
    )
