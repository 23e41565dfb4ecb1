"""What can be said about a task when it is defined, and about a single call."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypedDict

from stem.errors import ConfigurationError
from stem.ids import is_queue_name
from stem.retry import RetryPolicy

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime

Duration = timedelta | float
"""Seconds, or a duration."""


class TaskOptions(TypedDict, total=False):
    """Keywords of ``@app.task``."""

    name: str
    """The registered name; ``module.function`` by default."""
    queue: str
    """Where calls go; the application's default queue by default."""
    priority: int
    """0 to 9; a higher number is leased first; 0 by default."""
    retry: RetryPolicy
    """When and how often to try again; the application's policy by default."""
    max_retries: int | None
    """Overrides the policy's limit; None tries for ever."""
    autoretry_for: tuple[type[BaseException], ...]
    """Errors that are retried without asking; none by default."""
    soft_time_limit: Duration
    """Running longer raises SoftTimeLimitError inside the task."""
    time_limit: Duration
    """Running longer kills the process that runs the task."""
    expires: Duration
    """Not started later than this after being published."""
    ignore_result: bool
    """Whether to keep the state only, not what the task returned."""


class CallOptions(TypedDict, total=False):
    """Keywords of ``apply_async`` and ``send_task``; they override the task's own."""

    countdown: Duration
    """Start no earlier than this from now, by the store's clock."""
    eta: datetime
    """Start no earlier than this date; aware."""
    expires: Duration | datetime
    """Do not start later than this."""
    queue: str
    priority: int
    task_id: str
    """The task's id; a random one by default. The same id twice is one task."""
    headers: Mapping[str, Any]
    """Headers of the application, JSON values; they reach the task in ``ctx.envelope.extra``."""
    retry: RetryPolicy
    max_retries: int | None
    soft_time_limit: Duration
    time_limit: Duration
    ignore_result: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Definition:
    """A task's options, checked and with defaults filled in.

    Attributes:
        soft_limit_s, hard_limit_s: Seconds, above 0; None is the worker's default.
    """

    name: str
    queue: str | None = None
    priority: int = 0
    retry: RetryPolicy | None = None
    autoretry_for: tuple[type[BaseException], ...] = field(default=())
    soft_limit_s: float | None = None
    hard_limit_s: float | None = None
    expires: timedelta | None = None
    ignore_result: bool = False


_UNSET: Any = object()


def define(name: str, options: TaskOptions) -> Definition:
    """Return the checked options of a task.

    Raises:
        ConfigurationError: Options that are unknown or cannot be used, all at once.
    """
    problems = [f"task {name!r}: {problem}" for problem in option_problems(dict(options), TaskOptions)]
    if problems:
        raise ConfigurationError(problems=problems)
    return Definition(
        name=name,
        queue=options.get("queue"),
        priority=options.get("priority", 0),
        retry=_policy(options),
        autoretry_for=tuple(options.get("autoretry_for", ())),
        soft_limit_s=to_seconds(options.get("soft_time_limit")),
        hard_limit_s=to_seconds(options.get("time_limit")),
        expires=None if "expires" not in options else to_duration(options["expires"]),
        ignore_result=options.get("ignore_result", False),
    )


def _policy(options: TaskOptions) -> RetryPolicy | None:
    policy = options.get("retry")
    limit: int | None = options.get("max_retries", _UNSET)
    if limit is _UNSET:
        return policy
    return replace(policy or RetryPolicy(), max_retries=limit)


def option_problems(options: Mapping[str, Any], known: type) -> Iterator[str]:
    """Yield what is wrong with options, one sentence each.

    Args:
        known: The TypedDict that names the options there are.
    """
    import difflib

    for unknown in sorted(options.keys() - known.__annotations__.keys()):
        near = difflib.get_close_matches(unknown, known.__annotations__, n=1)
        yield f"unknown option {unknown!r}" + (f"; did you mean {near[0]!r}?" if near else "")
    queue = options.get("queue")
    if queue is not None and not (isinstance(queue, str) and is_queue_name(queue)):
        yield f"queue: expected 1 to 200 letters, digits or . _ : @ / -, got {queue!r}"
    priority = options.get("priority", 0)
    if isinstance(priority, bool) or not isinstance(priority, int) or not 0 <= priority <= 9:
        yield f"priority: expected 0 to 9, got {priority!r}"
    for limit in ("soft_time_limit", "time_limit"):
        seconds = to_seconds(options.get(limit))
        if seconds is not None and seconds <= 0:
            yield f"{limit}: expected a duration above 0, got {seconds:g} s"


def to_duration(duration: Duration) -> timedelta:
    """Return a duration given as such or as seconds."""
    return duration if isinstance(duration, timedelta) else timedelta(seconds=duration)


def to_seconds(duration: Duration | None) -> float | None:
    """Return the seconds of a duration given as such or as seconds; None stays None."""
    return duration.total_seconds() if isinstance(duration, timedelta) else duration
