"""Trying again what failed because another transaction was in the way."""

from __future__ import annotations

import random
from functools import wraps
from threading import Event
from typing import TYPE_CHECKING, Concatenate, Final, ParamSpec, TypeVar

from stem.adapters.sql.errors import is_conflict
from stem.clock import SystemClock
from stem.errors import StoreUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable

P = ParamSpec("P")
Self = TypeVar("Self")
Answer = TypeVar("Answer")

_TRIES: Final = 6
_PAUSE_S: Final = 0.01


def repeated(method: Callable[Concatenate[Self, P], Answer]) -> Callable[Concatenate[Self, P], Answer]:
    """Repeat a method up to five times when its transaction met a conflict.

    A conflict undoes the transaction, so that the method finds everything as it was: the
    same tokens, the same ids. For methods with one transaction.
    """

    @wraps(method)
    def repeat(self: Self, /, *args: P.args, **kwargs: P.kwargs) -> Answer:
        for tried in range(1, _TRIES):
            try:
                return method(self, *args, **kwargs)
            except StoreUnavailableError as error:
                if not is_conflict(error):
                    raise
            # In real time: who is in the way does not wait for anybody's clock.
            SystemClock().wait(Event(), random.uniform(0, _PAUSE_S * tried))
        return method(self, *args, **kwargs)

    return repeat
