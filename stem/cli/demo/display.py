"""Show the run while it lasts, and its summary: in colour on a terminal, in plain lines elsewhere."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from typing import TYPE_CHECKING, Final, Protocol, Self

import click

from stem.cli.output import print_json
from stem.security.terminal import printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.console import RenderableType

    from stem.cli.demo.ledger import Progress
    from stem.cli.demo.tally import Summary
    from stem.clock import Clock

SCHEMA: Final = "stem.demo/1"

_LINE_EVERY_S: Final = 1.0


class Display(Protocol):
    """Where a run tells what it does."""

    def say(self, text: str) -> None:
        """Tell that something has happened."""
        ...

    def show(self, progress: Progress) -> None:
        """Show how far the run has come; called several times a second."""
        ...

    def complain(self, lines: Sequence[str]) -> None:
        """Show the last lines of the log of a worker that failed."""
        ...


class _Silent:
    """Says nothing, so that standard output holds one JSON document; complaints go to standard error."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def say(self, text: str) -> None:
        """Say nothing."""

    def show(self, progress: Progress) -> None:
        """Show nothing."""

    def complain(self, lines: Sequence[str]) -> None:
        """Print the lines."""
        for line in lines:
            _echo(f"  worker.log: {printable(line)}", err=True)


class _Lines(_Silent):
    """Plain lines, about one a second."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._next_s = clock.monotonic() + _LINE_EVERY_S

    def say(self, text: str) -> None:
        """Print a line."""
        _echo(text)

    def show(self, progress: Progress) -> None:
        """Print a line if the last one is long enough ago."""
        now_s = self._clock.monotonic()
        if now_s >= self._next_s:
            self._next_s = now_s + _LINE_EVERY_S
            _echo(f"{progress.files_done:,} of {progress.files:,} files, {_in_words(progress)}")


class _Live(_Silent):
    """A bar and the numbers, drawn again in place."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.live import Live

        self._live = Live(console=Console(highlight=False), auto_refresh=False, transient=True)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def say(self, text: str) -> None:
        """Print a line above the bar."""
        from rich.text import Text

        self._live.console.print(Text(text), soft_wrap=True)

    def show(self, progress: Progress) -> None:
        """Draw the numbers again."""
        self._live.update(_drawing(progress), refresh=True)


def display_for(clock: Clock, *, as_json: bool) -> _Silent:
    """Return the display that fits standard output; a context manager."""
    if as_json:
        return _Silent()
    return _Live() if sys.stdout.isatty() else _Lines(clock)


def print_summary(summary: Summary, *, as_json: bool) -> None:
    """Print what the run comes to, and what to type next."""
    if as_json:
        checks = [{"name": check.name, "ok": check.ok, "says": check.says} for check in summary.checks]
        print_json(
            {"schema": SCHEMA, "ok": summary.ok, **summary.numbers, "url": summary.url, "checks": checks}
        )
        return
    verdict = "It adds up." if summary.ok else f"It does not add up: {', '.join(summary.wrong)}."
    if sys.stdout.isatty():
        _print_table(summary, verdict)
    else:
        _echo("")
        for mark, name, says in _rows(summary):
            _echo(f"{mark:<5}{name:>12}: {says}")
        _echo("")
        _echo(verdict)
    _echo("")
    for line in _next(summary):
        _echo(line)


def _drawing(progress: Progress) -> RenderableType:
    from rich.console import Group
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    bar = Table.grid(padding=(0, 1))
    bar.add_row(
        ProgressBar(total=progress.files, completed=progress.files_done, width=40),
        Text(f"{progress.files_done:,} of {progress.files:,} files"),
    )
    return Group(bar, Text(_in_words(progress), style="dim"))


def _in_words(progress: Progress) -> str:
    amounts = (
        (progress.retries, "retry", "retries"),
        (progress.redeliveries, "redelivery", "redeliveries"),
        (progress.dead_letters, "dead letter", "dead letters"),
    )
    named = ", ".join(f"{number:,} {one if number == 1 else many}" for number, one, many in amounts)
    return f"{progress.words:,} words, {named}, {progress.rate:,.0f} tasks/s"


def _rows(summary: Summary) -> Iterator[tuple[str, str, str]]:
    for name, says in summary.facts.items():
        yield "", name, printable(says)
    for check in summary.checks:
        yield "ok" if check.ok else "WRONG", check.name, printable(check.says)


def _print_table(summary: Summary, verdict: str) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    marks = {"": Text(""), "ok": Text("✓", style="green"), "WRONG": Text("✗", style="bold red")}
    table = Table.grid(padding=(0, 1))
    table.add_column()
    table.add_column(justify="right", no_wrap=True)
    table.add_column(overflow="fold")
    for mark, name, says in _rows(summary):
        table.add_row(marks[mark], Text(f"{name}:", style="bold"), Text(says))
    console = Console(highlight=False)
    console.print()
    console.print(table)
    console.print()
    console.print(Text(verdict, style="bold green" if summary.ok else "bold red"))


def _next(summary: Summary) -> Iterator[str]:
    stem = _own_command()
    if summary.url is None:
        yield "The database is removed again. To keep it, and to be told how to look inside:"
        yield f"  {stem} demo --keep"
        return
    look = f"{stem} --broker {shlex.quote(summary.url)}"
    yield "To look inside:"
    if summary.redelivered_id:
        yield f"  {look} observe tasks show {summary.redelivered_id}"
    yield f"  {look} observe tasks list --state failed"
    yield f"  {look} dlq list"


def _own_command() -> str:
    """Return how to type ``stem`` so that the shell finds the one that is running."""
    called = sys.argv[0]
    if os.path.basename(called) == "__main__.py":
        return f"{shlex.quote(sys.executable)} -m stem"
    on_path = shutil.which("stem")
    if on_path is not None and os.path.realpath(on_path) == os.path.realpath(called):
        return "stem"
    return shlex.quote(called)


def _echo(text: str, *, err: bool = False) -> None:
    # Words and paths may hold what the terminal's encoding does not.
    encoding = (sys.stderr if err else sys.stdout).encoding or "utf-8"
    click.echo(text.encode(encoding, "replace").decode(encoding), err=err)
