"""What the command line's exit codes mean, and which error leads to which.

The codes from 64 on are those of BSD's ``sysexits.h``; 130 is a shell's for Ctrl-C.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import IntEnum
from typing import Final, TypeVar

import click

from stem import errors
from stem.security.masking import mask_text

T = TypeVar("T")


class ExitCode(IntEnum):
    """How a command ended; `MEANINGS` says it in words."""

    OK = 0
    FAILED = 1
    USAGE = 2
    NOT_FOUND = 3
    TIMEOUT = 4
    PARTIAL = 5
    CONFIG = 64
    UNAVAILABLE = 69
    INTERNAL = 70
    TEMPORARY = 75
    DENIED = 77
    INTERRUPTED = 130


MEANINGS: Final = {
    ExitCode.OK: "It did what was asked.",
    ExitCode.FAILED: "The operation or the task failed.",
    ExitCode.USAGE: "The command line cannot be understood, or lacks a consent.",
    ExitCode.NOT_FOUND: "Nothing of that description exists.",
    ExitCode.TIMEOUT: "No result or reply came within the time allowed.",
    ExitCode.PARTIAL: "It was done for some of what was asked for, not for all.",
    ExitCode.CONFIG: "The application or a setting cannot be used.",
    ExitCode.UNAVAILABLE: "A broker or a store cannot be reached or used.",
    ExitCode.INTERNAL: "A fault in Stem or in the application's code, or a worker that could not go on.",
    ExitCode.TEMPORARY: "Not now; the same command may work later.",
    ExitCode.DENIED: "The server refused the credentials, or they lack a right.",
    ExitCode.INTERRUPTED: "Stopped by Ctrl-C.",
}


class CommandError(click.ClickException):
    """A command could not do what was asked, and no error of Stem says so.

    Args:
        message: What and why, one line.
        hint: What to do about it.
        code: What the process ends with.
    """

    def __init__(self, message: str, *, hint: str = "", code: ExitCode) -> None:
        super().__init__(message)
        self.hint = hint
        self.code = code


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """What the command line says about an error.

    Attributes:
        exit_code: What the process ends with.
        code: What kind of error, for programs: ``store-unavailable``.
        messages: What went wrong, one line each.
        hint: What to do about it; "" when the messages say so.
    """

    exit_code: ExitCode
    code: str
    messages: tuple[str, ...]
    hint: str = ""


# The nearest base class counts.
_EXIT_CODES: Final[dict[type[BaseException], ExitCode]] = {
    errors.ConfigurationError: ExitCode.CONFIG,
    errors.StoreError: ExitCode.UNAVAILABLE,
    errors.StoreFullError: ExitCode.TEMPORARY,
    errors.StoreDeniedError: ExitCode.DENIED,
    errors.NotEncodableError: ExitCode.USAGE,
    errors.TaskError: ExitCode.FAILED,
    errors.UnknownTaskError: ExitCode.NOT_FOUND,
    errors.ArgumentsError: ExitCode.USAGE,
    errors.ResultTimeoutError: ExitCode.TIMEOUT,
    click.Abort: ExitCode.INTERRUPTED,
}

_HINTS: Final[dict[type[BaseException], str]] = {
    errors.AppNotFoundError: "give -A module:attribute, with the module importable from this directory",
    errors.UnknownAdapterError: "correct the URL, or install the package that brings the adapter",
    errors.StoreUnavailableError: "check that it is there and can be reached, then try again",
    errors.StoreFullError: "make space, then try again",
    errors.StoreCorruptError: "restore it from a backup, or move it away to start anew",
    errors.StoreVersionError: "use the release that wrote it, or a newer one",
    errors.StoreDeniedError: "check the user, the password and the rights",
    errors.UnknownTaskError: "`stem tasks list` shows the tasks there are",
    errors.ArgumentsError: "give what the task's signature asks for with --args and --kwargs",
    errors.ResultTimeoutError: "ask again with `stem observe tasks show`, or allow more with --timeout",
}


def exit_code(error: type[BaseException]) -> ExitCode:
    """Return what a command that ends with an ``error`` exits with."""
    return _nearest(_EXIT_CODES, error, default=ExitCode.INTERNAL)


def explain(error: BaseException) -> Explanation:
    """Return what to say about ``error``, and what to exit with."""
    match error:
        case click.ClickException():
            return _explain_usage(error)
        case click.Abort():
            return Explanation(
                exit_code=exit_code(type(error)), code="interrupted", messages=("interrupted",)
            )
        case errors.StemError():
            return _explain_ours(error)
        case _:
            return Explanation(
                exit_code=ExitCode.INTERNAL,
                code="internal",
                messages=(f"internal error: {type(error).__name__}: {_one_line(error)}",),
                hint="run it again with --debug for the traceback, and report it",
            )


def _explain_ours(error: errors.StemError) -> Explanation:
    messages = error.problems if isinstance(error, errors.ConfigurationError) else (str(error),)
    says_what_to_do = isinstance(error, errors.StoreError) and error.remedy
    return Explanation(
        exit_code=exit_code(type(error)),
        code=_in_words(type(error)),
        messages=tuple(map(_one_line, messages)),
        hint="" if says_what_to_do else _nearest(_HINTS, type(error), default=""),
    )


def _explain_usage(error: click.ClickException) -> Explanation:
    code, hint = ExitCode(error.exit_code), ""
    if isinstance(error, CommandError):
        code, hint = error.code, error.hint
    elif isinstance(error, click.UsageError) and error.ctx is not None:
        hint = f"`{error.ctx.command_path} --help` tells what it takes"
    return Explanation(
        exit_code=code,
        code=code.name.lower().replace("_", "-"),
        messages=(_one_line(error.format_message()).rstrip("."),),
        hint=hint,
    )


def _nearest(table: dict[type[BaseException], T], cls: type[BaseException], *, default: T) -> T:
    return next((table[base] for base in cls.__mro__ if base in table), default)


def _in_words(cls: type[BaseException]) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "-", cls.__name__.removesuffix("Error")).lower()


def _one_line(text: object) -> str:
    return " ".join(mask_text(str(text)).split())
