"""What ``@app.task(…)`` with options returns, for type checkers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Concatenate, ParamSpec, Protocol, TypeVar, overload

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from stem.tasks.context import Context
    from stem.tasks.task import AsyncTask, SyncTask

P = ParamSpec("P")
R = TypeVar("R")


class TaskMaker(Protocol):
    """What ``@app.task(…)`` with options returns."""

    @overload
    def __call__(self, function: Callable[P, Awaitable[R]], /) -> AsyncTask[P, R]: ...  # type: ignore[overload-overlap]  # as above
    @overload
    def __call__(self, function: Callable[P, R], /) -> SyncTask[P, R]: ...


class BoundTaskMaker(Protocol):
    """What ``@app.task(bind=True, …)`` returns."""

    @overload
    def __call__(  # type: ignore[overload-overlap]  # as above
        self, function: Callable[Concatenate[Context, P], Awaitable[R]], /
    ) -> AsyncTask[P, R]: ...
    @overload
    def __call__(self, function: Callable[Concatenate[Context, P], R], /) -> SyncTask[P, R]: ...
