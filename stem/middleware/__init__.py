"""Wraps the run of a task; may change its outcome."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from stem.message import Envelope


class Middleware(Protocol):
    """Something to do around every attempt."""

    def __call__(self, envelope: Envelope, run: Callable[[], object]) -> object:
        """Run the attempt and return its result, or something else, or raise.

        For ``async def`` tasks ``run`` returns an awaitable, which is to be
        returned, awaited inside a coroutine of the middleware's own, or replaced.

        Args:
            envelope: What the message says.
            run: The rest: the middleware inside this one, and the task.
        """
        ...


def compose(
    middlewares: Sequence[Middleware], envelope: Envelope, run: Callable[[], object]
) -> Callable[[], object]:
    """Nest ``middlewares`` around ``run``; the first is outermost."""
    for middleware in reversed(middlewares):
        run = partial(middleware, envelope, run)
    return run
