"""Every error that Stem raises on purpose, in one tree.

StemError
├── ConfigurationError            what was asked for cannot be used
│   ├── UnknownAdapterError       no adapter for a URL's scheme
│   ├── AppNotFoundError          ``-A module:app`` names nothing usable
│   ├── DuplicateTaskError        two tasks of one name
│   └── WorkerIdTakenError        a live worker has this id already
├── StoreError                    a broker or a store said no
│   ├── StoreUnavailableError     unreachable, locked or restarting (transient)
│   ├── StoreFullError            no space left (transient: space can be made)
│   ├── StoreCorruptError         the data cannot be read
│   ├── StoreVersionError         the schema is newer or older than this release
│   └── StoreDeniedError          wrong password or missing rights
├── LeaseLostError                another worker may be running the task
├── NotEncodableError             a value that the wire format cannot carry
└── TaskError
    ├── UnknownTaskError          no task of that name is registered
    ├── ArgumentsError            the arguments do not fit the signature
    ├── TaskFailedError           the task ended in failure (raised where its result is asked for)
    ├── TaskCancelledError        the task was revoked or expired
    ├── ResultTimeoutError        no result within the time allowed (transient)
    ├── SoftTimeLimitError        raised inside a task that runs too long
    ├── HardTimeLimitError        the task was killed for running too long
    ├── ShutdownError             raised inside a task whose worker is stopping
    └── WorkerLostError           its worker process died while it ran
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import timedelta


class StemError(Exception):
    """Base of every error that Stem raises on purpose."""

    transient: ClassVar[bool] = False
    """Whether the same call may succeed later, unchanged."""

    def __reduce__(self) -> tuple[Any, ...]:
        # Exception.__reduce__ would call cls(*args), which keyword-only
        # constructors refuse; errors cross process boundaries, so it matters.
        return _rebuild, (type(self), self.args, dict(self.__dict__))


def _rebuild(cls: type[StemError], args: tuple[Any, ...], state: dict[str, Any]) -> StemError:
    error = cls.__new__(cls, *args)
    error.args = args
    error.__dict__.update(state)
    return error


class ConfigurationError(StemError):
    """What was asked for cannot be used; every problem is told at once.

    Attributes:
        problems: One sentence each: which setting, what was expected, what it got.
    """

    def __init__(self, *, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(self.problems))


class UnknownAdapterError(ConfigurationError):
    """No adapter is registered for a URL's scheme."""

    def __init__(self, *, scheme: str, known: Sequence[str], setting: str = "broker_url") -> None:
        self.scheme = scheme
        self.known = tuple(known)
        self.setting = setting
        super().__init__(problems=[f"{setting}: no adapter for {scheme}://, known: {', '.join(known)}"])


class AppNotFoundError(ConfigurationError):
    """``-A`` names a module or an attribute that cannot be used."""

    def __init__(self, *, path: str, reason: str) -> None:
        self.path = path
        self.reason = reason
        super().__init__(problems=[f"-A {path}: {reason}"])


class DuplicateTaskError(ConfigurationError):
    """Two different functions were registered under one task name."""

    def __init__(self, *, name: str) -> None:
        self.name = name
        super().__init__(problems=[f"task {name!r} is registered twice; give one of them name=…"])


class WorkerIdTakenError(ConfigurationError):
    """Another worker of this id is alive; ids are unique."""

    def __init__(self, *, worker_id: str, host: str, pid: int) -> None:
        self.worker_id = worker_id
        self.host = host
        self.pid = pid
        super().__init__(
            problems=[
                f"worker {worker_id} runs already on {host} as process {pid}; "
                "give this one another name with -n NAME"
            ]
        )


class StoreError(StemError):
    """A broker or a store refused or failed an operation.

    Attributes:
        server: The address with secrets masked.
        operation: What was being done, a verb ("publish", "lease").
        reason: What the server said, one line without secrets.
        remedy: What to do about it, one sentence; may be empty.
    """

    def __init__(self, *, server: str, operation: str, reason: str, remedy: str = "") -> None:
        self.server = server
        self.operation = operation
        self.reason = reason
        self.remedy = remedy
        super().__init__(f"{server}: {operation}: {reason}" + (f"; {remedy}" if remedy else ""))


class StoreUnavailableError(StoreError):
    """The server cannot be reached, is restarting, or the file is locked."""

    transient = True


class StoreFullError(StoreError):
    """There is no space left where the store keeps its data."""

    transient = True


class StoreCorruptError(StoreError):
    """The store's data cannot be read."""


class StoreVersionError(StoreError):
    """The store's schema belongs to another release."""


class StoreDeniedError(StoreError):
    """The server refused the credentials, or they lack a right."""


class LeaseLostError(StemError):
    """This worker no longer holds the delivery; another may be running it."""

    def __init__(self, *, task_id: str) -> None:
        self.task_id = task_id
        super().__init__(f"the lease of task {task_id} is lost; another worker may be running it")


class NotEncodableError(StemError):
    """A value cannot be carried by the wire format."""

    def __init__(self, *, what: str, reason: str) -> None:
        self.what = what
        self.reason = reason
        super().__init__(f"{what} cannot be encoded as JSON: {reason}")


class TaskError(StemError):
    """Something about one task."""


class UnknownTaskError(TaskError):
    """No task of that name is registered."""

    def __init__(self, *, name: str, known: Sequence[str] = ()) -> None:
        self.name = name
        self.known = tuple(known)
        hint = f", known: {', '.join(self.known)}" if self.known else ""
        super().__init__(f"no task named {name!r}{hint}")


class ArgumentsError(TaskError):
    """The arguments do not fit the task's signature."""

    def __init__(self, *, name: str, reason: str) -> None:
        self.name = name
        self.reason = reason
        super().__init__(f"{name}: {reason}")


class TaskFailedError(TaskError):
    """The task ended in failure; raised where its result is asked for.

    Attributes:
        task_id: The task.
        type: The name of the error's class, with its module ("builtins.ValueError").
        message: The error's text, truncated where it was very long.
        traceback: The traceback as text, or "" when the error has none.
    """

    def __init__(self, *, task_id: str, type: str, message: str, traceback: str = "") -> None:
        self.task_id = task_id
        self.type = type
        self.message = message
        self.traceback = traceback
        super().__init__(f"task {task_id} failed: {type}: {message}")


class TaskCancelledError(TaskError):
    """The task was revoked, or expired before it could start."""

    def __init__(self, *, task_id: str, reason: str) -> None:
        self.task_id = task_id
        self.reason = reason
        super().__init__(f"task {task_id} was cancelled: {reason}")


class ResultTimeoutError(TaskError):
    """The task did not end within the time that the caller allowed."""

    transient = True

    def __init__(self, *, task_id: str, timeout: timedelta) -> None:
        self.task_id = task_id
        self.timeout = timeout
        super().__init__(f"task {task_id} has no result after {timeout.total_seconds():g} s")


class SoftTimeLimitError(TaskError):
    """Raised inside a task that has run for its soft time limit."""

    def __init__(self, *, limit_s: float = 0.0) -> None:
        self.limit_s = limit_s
        super().__init__(f"soft time limit of {limit_s:g} s exceeded")


class HardTimeLimitError(TaskError):
    """The task was killed because it ran for its hard time limit."""

    def __init__(self, *, limit_s: float) -> None:
        self.limit_s = limit_s
        super().__init__(f"hard time limit of {limit_s:g} s exceeded")


class ShutdownError(TaskError):
    """Raised inside a task whose worker is stopping; the task is given back."""

    def __init__(self) -> None:
        super().__init__("the worker is shutting down; the task is given back")


class WorkerLostError(TaskError):
    """The process that ran the task died."""

    def __init__(self, *, reason: str) -> None:
        self.reason = reason
        super().__init__(f"the worker process died: {reason}")
