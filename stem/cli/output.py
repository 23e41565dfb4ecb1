"""Print what a command found: JSON for programs, tables for people, tab-separated lines for pipes."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import click

from stem.security.terminal import printable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from stem.cli.exit_codes import Explanation

Item: TypeAlias = "Mapping[str, Any]"
"""One thing as its JSON object; dates, durations and enumerations are turned into JSON when printed."""

Columns: TypeAlias = "Mapping[str, str]"
"""Headers and the item's key that each shows, in order."""

_UNLIMITED: Final = 10_000
"""Characters on a line."""


def json_option(command: Any) -> Any:
    """Add ``--json`` to a command, as its parameter ``as_json``."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")(command)


def print_list(
    schema: str,
    items: Sequence[Item],
    columns: Columns,
    *,
    as_json: bool,
    next_cursor: str | None = None,
    nothing: str = "nothing found",
) -> None:
    """Print a page of things.

    Args:
        schema: What one item is, ``stem.queue/1``.
        items: In the order to print.
        columns: What a table shows; JSON shows everything.
        next_cursor: Where the next page begins; None after the last one.
        nothing: Said on standard error when there are no items.
    """
    if as_json:
        print_json({"schema": schema, "items": list(items), "next_cursor": next_cursor})
        return
    rows = [[_cell(item[key]) for key in columns.values()] for item in items]
    if not rows:
        click.echo(nothing, err=True)
    elif sys.stdout.isatty():
        _print_table(list(columns), rows)
    else:
        _print_lines([[header.upper() for header in columns], *rows])
    if next_cursor is not None:
        click.echo(f"there is more: --cursor {next_cursor}", err=True)


def print_item(schema: str, item: Item, *, as_json: bool, hide: Sequence[str] = ()) -> None:
    """Print one thing with all its fields.

    Args:
        schema: What it is, ``stem.task/1``.
        hide: Fields that the caller prints in another way, unless it is JSON.
    """
    if as_json:
        print_json({"schema": schema, "item": item})
        return
    rows = [[key, _cell(value)] for key, value in item.items() if key not in hide]
    if sys.stdout.isatty():
        _print_table([], rows)
    else:
        _print_lines(rows)


def print_json(document: object) -> None:
    """Print one JSON document."""
    click.echo(json.dumps(document, default=_plain, indent=2, ensure_ascii=False))


def print_error(explanation: Explanation, *, as_json: bool) -> None:
    """Print why a command failed: a line for each problem on standard error, or one JSON document."""
    if as_json:
        message = "; ".join(explanation.messages)
        print_json({"error": {"code": explanation.code, "message": message, "hint": explanation.hint}})
        return
    for number, message in enumerate(explanation.messages, 1):
        is_last = number == len(explanation.messages)
        hint = f"; {explanation.hint}" if is_last and explanation.hint else ""
        click.echo(f"stem: {printable(message)}{hint}", err=True)


def _print_lines(rows: Sequence[Sequence[str]]) -> None:
    for row in rows:
        click.echo("\t".join(row))


def _print_table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(*headers, box=None, pad_edge=False, show_header=bool(headers))
    for row in rows:
        table.add_row(*map(Text, row))
    # Columns keep their natural width: ids are there to be copied. What does not
    # fit is left to the terminal, which can be made wider.
    drawing = Console(width=_UNLIMITED, force_terminal=False, color_system=None)
    with drawing.capture() as drawn:
        drawing.print(table)
    console = Console()
    for number, line in enumerate(drawn.get().splitlines()):
        style = "bold" if headers and number == 0 else ""
        console.print(Text(line.rstrip(), style), soft_wrap=True)


def _plain(value: object) -> object:
    match value:
        case datetime():
            return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
        case timedelta():
            return value.total_seconds()
        case _:
            raise TypeError(f"{type(value).__name__} has no JSON form")


def _cell(value: object) -> str:
    match value:
        case None | "":
            return "-"
        case bool():
            return "yes" if value else "no"
        case float():
            return f"{value:.3g}" if abs(value) < 100 else f"{value:.0f}"
        case datetime():
            return value.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%SZ")
        case timedelta():
            return f"{_cell(value.total_seconds())} s"
        case str() | int():
            return printable(str(value))
        case _:
            return printable(json.dumps(value, default=_plain, ensure_ascii=False))
