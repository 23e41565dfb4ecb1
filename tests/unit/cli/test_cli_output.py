from __future__ import annotations

import json
import sys
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from stem.cli.exit_codes import ExitCode, Explanation
from stem.cli.output import print_error, print_item, print_list

if TYPE_CHECKING:
    import pytest

NOON = datetime(2026, 1, 31, 12, 0, 0, 250_000, tzinfo=UTC)
ITEMS = [
    {"name": "a\x1b[31m", "at": NOON, "for": timedelta(seconds=1.5), "none": None, "flag": True, "count": 3},
]
COLUMNS = {"Name": "name", "At": "at", "For": "for", "None": "none", "Flag": "flag", "Count": "count"}


def test_json_is_one_document_with_exact_values(capsys: pytest.CaptureFixture[str]) -> None:
    print_list("stem.thing/1", ITEMS, COLUMNS, as_json=True, next_cursor="xyz")

    assert json.loads(capsys.readouterr().out) == {
        "schema": "stem.thing/1",
        "items": [
            {
                "name": "a\x1b[31m",
                "at": "2026-01-31T12:00:00.250000Z",
                "for": 1.5,
                "none": None,
                "flag": True,
                "count": 3,
            }
        ],
        "next_cursor": "xyz",
    }


def test_a_pipe_gets_tabs_and_the_cursor_stays_out_of_it(capsys: pytest.CaptureFixture[str]) -> None:
    print_list("stem.thing/1", ITEMS, COLUMNS, as_json=False, next_cursor="xyz")

    printed = capsys.readouterr()
    assert printed.out.splitlines() == [
        "NAME\tAT\tFOR\tNONE\tFLAG\tCOUNT",
        "a\\x1b[31m\t2026-01-31 12:00:00Z\t1.5 s\t-\tyes\t3",
    ]
    assert printed.err == "there is more: --cursor xyz\n"


def be_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "dumb")


def test_a_terminal_gets_columns_that_are_never_cut(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    be_a_terminal(monkeypatch)
    long = "x" * 300

    print_list("s/1", [{"a": long, "b": 1}, {"a": "[red]y", "b": 2}], {"A": "a", "B": "b"}, as_json=False)

    header, first, second = capsys.readouterr().out.splitlines()
    assert header == "A" + " " * 301 + "B"
    assert first == f"{long}  1"
    assert second.split() == ["[red]y", "2"]


def test_a_terminal_gets_one_thing_as_two_columns(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    be_a_terminal(monkeypatch)

    print_item("s/1", {"name": "a", "priority": 3}, as_json=False)

    assert capsys.readouterr().out == "name      a\npriority  3\n"


def test_an_empty_list_says_so_beside_the_output(capsys: pytest.CaptureFixture[str]) -> None:
    print_list("stem.thing/1", [], COLUMNS, as_json=False, nothing="no things")

    assert capsys.readouterr() == ("", "no things\n")


def test_one_thing_is_printed_field_by_field(capsys: pytest.CaptureFixture[str]) -> None:
    print_item("stem.thing/1", {"name": "a", "parts": [1, 2], "size": 123.456}, as_json=False, hide=["parts"])

    assert capsys.readouterr().out == "name\ta\nsize\t123\n"


EXPLANATION = Explanation(
    exit_code=ExitCode.CONFIG, code="configuration", messages=("a: no", "b: no"), hint="do c"
)


def test_an_error_is_a_line_for_each_problem(capsys: pytest.CaptureFixture[str]) -> None:
    print_error(EXPLANATION, as_json=False)

    assert capsys.readouterr() == ("", "stem: a: no\nstem: b: no; do c\n")


def test_an_error_is_one_document_where_json_was_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    print_error(EXPLANATION, as_json=True)

    assert json.loads(capsys.readouterr().out) == {
        "error": {"code": "configuration", "message": "a: no; b: no", "hint": "do c"}
    }
