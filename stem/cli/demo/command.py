"""The command ``stem demo``."""

from __future__ import annotations

import signal
import sysconfig
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from stem.cli.connection import Target, target
from stem.cli.exit_codes import ExitCode
from stem.cli.output import json_option
from stem.cli.parameters import duration
from stem.clock import SystemClock

if TYPE_CHECKING:
    from collections.abc import Generator
    from datetime import timedelta

_INTERRUPTIONS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@click.command()
@click.argument(
    "directory", metavar="[DIR]", type=click.Path(path_type=Path), default=sysconfig.get_path("stdlib")
)
@click.option(
    "--files",
    "limit",
    type=click.IntRange(1, 100_000),
    default=2_000,
    show_default=True,
    help="Count at most so many files.",
)
@click.option("--keep", is_flag=True, help="Keep the database and the worker's log.")
@click.option("--timeout", type=duration, default="120s", show_default=True, help="Give up after this time.")
@click.option("--debug", is_flag=True, expose_value=False, help="Print the traceback of an error.")
@json_option
def demo(*, directory: Path, limit: int, keep: bool, timeout: timedelta, as_json: bool) -> ExitCode:
    """Count the words of the text files under DIR, with failures made on purpose.

    Starts a worker with two child processes on a SQLite file of its own and
    publishes a task for each file; DIR is Python's standard library by default.
    One more task fails twice, one has to wait, one always fails, and one
    message is not JSON. Half-way it kills one of the child processes. In the
    end everything must add up; if it does not, the exit code is 1.
    """
    if target() != Target():
        raise click.UsageError("the demo brings its own application and database; leave -A and --broker out")
    from stem.cli.demo.display import display_for, print_summary
    from stem.cli.demo.run import Options, run
    from stem.cli.demo.tally import summarize

    clock = SystemClock()
    options = Options(directory=directory, limit=limit, keep=keep, timeout=timeout)
    with interruptible(), display_for(clock, as_json=as_json) as display:
        summary = summarize(run(options, display=display, clock=clock))
    print_summary(summary, as_json=as_json)
    return ExitCode.OK if summary.ok else ExitCode.FAILED


@contextmanager
def interruptible() -> Generator[None]:
    """Let the first signal to end interrupt the block, so that it cleans up, undisturbed by further ones."""
    interrupted = False

    def interrupt(*_: object) -> None:
        nonlocal interrupted
        if not interrupted:
            interrupted = True
            raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    # What is ignored stays ignored: `nohup` and background jobs rely on that.
    heeded = [signum for signum in _INTERRUPTIONS if signal.getsignal(signum) != signal.SIG_IGN]
    before = {signum: signal.signal(signum, interrupt) for signum in heeded}
    try:
        yield
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)
