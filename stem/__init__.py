"""A task queue on Kombu that neither loses nor silently repeats work."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stem.app import Stem
    from stem.errors import StemError
    from stem.retry import RetryPolicy
    from stem.tasks.context import Context, Retry, current_context
    from stem.tasks.handle import Handle
    from stem.tasks.task import Task
else:
    # Each is imported when it is first asked for: together they cost 100 ms,
    # and `stem --help` needs none of them.
    _HOMES = {
        "Context": "stem.tasks.context",
        "Handle": "stem.tasks.handle",
        "Retry": "stem.tasks.context",
        "RetryPolicy": "stem.retry",
        "Stem": "stem.app",
        "StemError": "stem.errors",
        "Task": "stem.tasks.task",
        "current_context": "stem.tasks.context",
    }

    def __getattr__(name: str) -> object:
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib import import_module

        value = globals()[name] = getattr(import_module(_HOMES[name]), name)
        return value


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
