"""The signals that Stem sends: hooks for whoever wants to know what happens.

    from stem import signals

    @signals.task_retry.connect
    def tell(payload):
        print(f"{payload.envelope.name} is tried again at {payload.next_retry_at}")

A signal tells and cannot change anything: what a handler raises is logged and passed over.
"""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any, Final

from stem.errors import ConfigurationError
from stem.signals.payloads import (
    AfterTaskPublish,
    BeforeTaskPublish,
    LeaseLost,
    TaskBuried,
    TaskExpired,
    TaskFailed,
    TaskPostrun,
    TaskPrerun,
    TaskReceived,
    TaskRetry,
    TaskRevoked,
    TaskSucceeded,
    WorkerChildInit,
    WorkerChildShutdown,
    WorkerHeartbeat,
    WorkerInfo,
    WorkerInit,
    WorkerReady,
    WorkerShutdown,
    WorkerStopping,
)
from stem.signals.signal import Signal, SignalContext, Subscription

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

before_task_publish: Final = Signal(
    "before-task-publish",
    BeforeTaskPublish,
    when="By the caller's thread, before the call is encoded and handed to the broker.",
)
after_task_publish: Final = Signal(
    "after-task-publish",
    AfterTaskPublish,
    when="By the caller's thread, after the broker has stored the message.",
)
task_received: Final = Signal(
    "task-received",
    TaskReceived,
    when="By the worker, after it has leased a message and read its headers, before it decides about it.",
)
task_prerun: Final = Signal(
    "task-prerun",
    TaskPrerun,
    when="Where the task runs, after its arguments were decoded and checked, before its middleware.",
)
task_postrun: Final = Signal(
    "task-postrun",
    TaskPostrun,
    when="Where the task runs, after the task and its middleware, before the outcome is stored.",
)
task_succeeded: Final = Signal(
    "task-succeeded",
    TaskSucceeded,
    when="By the worker, after the store has accepted the result; not when the lease was lost meanwhile.",
)
task_retry: Final = Signal(
    "task-retry",
    TaskRetry,
    when="By the worker, after the store has accepted the next attempt.",
)
task_failed: Final = Signal(
    "task-failed",
    TaskFailed,
    when="By the worker, after the store has accepted the failure.",
)
task_revoked: Final = Signal(
    "task-revoked",
    TaskRevoked,
    when="By the worker, after the store has recorded that the task was cancelled.",
)
task_expired: Final = Signal(
    "task-expired",
    TaskExpired,
    when="By the worker, after the store has recorded that the task was cancelled.",
)
task_buried: Final = Signal(
    "task-buried",
    TaskBuried,
    when="By the worker, after the message lies in the dead letters, for whatever reason.",
)
lease_lost: Final = Signal(
    "lease-lost",
    LeaseLost,
    when="By the worker, after the store has said that the lease is gone; the task is being told to stop.",
)
worker_init: Final = Signal(
    "worker-init", WorkerInit, when="By the worker, before it connects or starts a child process."
)
worker_ready: Final = Signal(
    "worker-ready", WorkerReady, when="By the worker, when it starts to lease messages."
)
worker_stopping: Final = Signal(
    "worker-stopping",
    WorkerStopping,
    when="By the worker, when it leases no more; its tasks are still running.",
)
worker_shutdown: Final = Signal(
    "worker-shutdown",
    WorkerShutdown,
    when="By the worker, after its last task has ended and everything was settled.",
)
worker_heartbeat: Final = Signal(
    "worker-heartbeat", WorkerHeartbeat, when="By the worker, after the heartbeat was stored."
)
worker_child_init: Final = Signal(
    "worker-child-init",
    WorkerChildInit,
    when="In a child process, after the application was loaded, before the first task.",
)
worker_child_shutdown: Final = Signal(
    "worker-child-shutdown",
    WorkerChildShutdown,
    when="In a child process, after its last task. Not sent when the process was killed.",
)

SIGNALS: Final[Mapping[str, Signal[Any]]] = {
    signal.name: signal
    for signal in (
        before_task_publish,
        after_task_publish,
        task_received,
        task_prerun,
        task_postrun,
        task_succeeded,
        task_retry,
        task_failed,
        task_revoked,
        task_expired,
        task_buried,
        lease_lost,
        worker_init,
        worker_ready,
        worker_stopping,
        worker_shutdown,
        worker_heartbeat,
        worker_child_init,
        worker_child_shutdown,
    )
}
"""Every signal, by name, in the order of a task's and then a worker's life."""


def configure(*, enabled: bool, disabled: Collection[str]) -> None:
    """Switch the signals of this process on or off.

    Args:
        enabled: Whether any signal is sent at all.
        disabled: Names of signals that are not sent.

    Raises:
        ConfigurationError: A name is not a signal's, every problem at once; nothing was changed.
    """
    problems = [_unknown(name) for name in disabled if name not in SIGNALS]
    if problems:
        raise ConfigurationError(problems=problems)
    for name, signal in SIGNALS.items():
        signal.enabled = enabled and name not in disabled


def _unknown(name: str) -> str:
    near = difflib.get_close_matches(name, SIGNALS, n=1, cutoff=0.5)
    hint = f", did you mean {near[0]}?" if near else ""
    return f"signals_disabled: expected names of signals, got {name!r}{hint}"


__all__ = [
    "SIGNALS",
    "AfterTaskPublish",
    "BeforeTaskPublish",
    "LeaseLost",
    "Signal",
    "SignalContext",
    "Subscription",
    "TaskBuried",
    "TaskExpired",
    "TaskFailed",
    "TaskPostrun",
    "TaskPrerun",
    "TaskReceived",
    "TaskRetry",
    "TaskRevoked",
    "TaskSucceeded",
    "WorkerChildInit",
    "WorkerChildShutdown",
    "WorkerHeartbeat",
    "WorkerInfo",
    "WorkerInit",
    "WorkerReady",
    "WorkerShutdown",
    "WorkerStopping",
    "after_task_publish",
    "before_task_publish",
    "configure",
    "lease_lost",
    "task_buried",
    "task_expired",
    "task_failed",
    "task_postrun",
    "task_prerun",
    "task_received",
    "task_retry",
    "task_revoked",
    "task_succeeded",
    "worker_child_init",
    "worker_child_shutdown",
    "worker_heartbeat",
    "worker_init",
    "worker_ready",
    "worker_shutdown",
    "worker_stopping",
]
