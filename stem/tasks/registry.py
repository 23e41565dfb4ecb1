"""Look tasks up by name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stem.errors import DuplicateTaskError, UnknownTaskError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stem.tasks.task import Task


class Registry:
    """An application's tasks by name, in the order of their definition."""

    def __init__(self) -> None:
        self._tasks: dict[str, Task[Any, Any]] = {}

    def add(self, task: Task[Any, Any]) -> None:
        """Register ``task``.

        A second registration of the same function replaces the first, so that
        a module may be loaded again.

        Raises:
            DuplicateTaskError: Another function has this name.
        """
        known = self._tasks.get(task.name)
        if known is not None and _source(known) != _source(task):
            raise DuplicateTaskError(name=task.name)
        self._tasks[task.name] = task

    def __getitem__(self, name: str) -> Task[Any, Any]:
        """Return the task called ``name``.

        Raises:
            UnknownTaskError: There is none.
        """
        try:
            return self._tasks[name]
        except KeyError:
            raise UnknownTaskError(name=name, known=tuple(self._tasks)) from None

    def find(self, name: str) -> Task[Any, Any] | None:
        """Return the task called ``name``; None when there is none."""
        return self._tasks.get(name)

    def __contains__(self, name: str) -> bool:
        return name in self._tasks

    def __iter__(self) -> Iterator[Task[Any, Any]]:
        return iter(self._tasks.values())

    def __len__(self) -> int:
        return len(self._tasks)


def _source(task: Task[Any, Any]) -> tuple[str, str]:
    return task.function.__module__, task.function.__qualname__
