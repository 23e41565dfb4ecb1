"""Turn an exception into data, whatever it is."""

from __future__ import annotations

import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Final

from stem.message import ErrorInfo

if TYPE_CHECKING:
    from types import TracebackType

MAX_MESSAGE: Final = 8_192
"""Longer texts of errors are cut, in characters."""

MAX_FRAMES: Final = 50
"""Of a deeper traceback the innermost frames are kept."""

MAX_CAUSES: Final = 5

_OWN_CODE: Final = str(Path(__file__).parent)


def describe(error: BaseException, *, causes: int = MAX_CAUSES) -> ErrorInfo:
    """Return ``error`` as data: bounded, without local variables, without running its code twice.

    Args:
        causes: How many errors of the chain that led to it are kept as well.
    """
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return ErrorInfo(
        type=class_name(type(error)),
        message=_text(error),
        traceback=_frames(error.__traceback__),
        cause=describe(cause, causes=causes - 1) if cause is not None and causes > 0 else None,
    )


def class_name(cls: type[BaseException]) -> str:
    """Return module and name of an error's class: ``builtins.ValueError``."""
    return f"{cls.__module__}.{cls.__qualname__}"


def _text(error: BaseException) -> str:
    try:
        text = str(error)
    except Exception as broken:  # noqa: BLE001 - the error's own __str__ may do anything
        text = f"<its text cannot be read: {class_name(type(broken))}>"
    # Lone surrogates have no UTF-8 form, and stores keep UTF-8.
    return text[:MAX_MESSAGE].encode("utf-8", "replace").decode("utf-8")


def _frames(tb: TracebackType | None) -> str:
    frames = [frame for frame in traceback.extract_tb(tb) if not frame.filename.startswith(_OWN_CODE)]
    return "".join(traceback.format_list(frames[-MAX_FRAMES:]))
