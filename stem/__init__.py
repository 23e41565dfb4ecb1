"""A task queue on Kombu that neither loses nor silently repeats work."""

from stem.app import Stem
from stem.errors import StemError
from stem.retry import RetryPolicy
from stem.tasks.context import Context, Retry, current_context
from stem.tasks.handle import Handle
from stem.tasks.task import Task

__all__ = [
    "Context",
    "Handle",
    "Retry",
    "RetryPolicy",
    "Stem",
    "StemError",
    "Task",
    "current_context",
]
