from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import click
import pytest
from click.testing import CliRunner

from stem.cli.main import COMMANDS, main, stem

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def run(*arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(stem, arguments)
    return result.exit_code, result.stdout, result.stderr


def leaves(group: click.Group, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    context = click.Context(group)
    found: list[tuple[str, ...]] = []
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        inner = (*path, name)
        found += leaves(command, inner) if isinstance(command, click.Group) else [inner]
    return found


@pytest.mark.parametrize("path", leaves(stem), ids=" ".join)
def test_every_command_has_help(path: tuple[str, ...]) -> None:
    code, out, _ = run(*path, "--help")

    assert code == 0
    assert f"Usage: stem {' '.join(path)}" in out


def test_the_short_helps_of_groups_are_their_own() -> None:
    context = click.Context(stem)
    commands = {name: stem.get_command(context, name) for name in COMMANDS}
    helps = {name: command.help for name, command in commands.items() if isinstance(command, click.Group)}

    assert {name: text for name, (_, text) in COMMANDS.items() if name in helps} == helps


def test_the_help_lists_every_command() -> None:
    code, out, _ = run("--help")

    assert code == 0
    assert all(f"  {name} " in out for name in COMMANDS)


def test_the_version_names_what_matters_in_a_report() -> None:
    code, out, _ = run("--version")

    assert code == 0
    assert out.startswith("stem 0.")
    assert "Python" in out
    assert "Kombu 5." in out


def test_a_misspelt_command_is_a_usage_error_in_one_line() -> None:
    code, out, err = run("wroker")

    assert (code, out) == (2, "")
    assert err.startswith("stem: No such command 'wroker'")
    assert err.endswith("; `stem --help` tells what it takes\n")


def test_an_error_is_a_document_where_json_was_asked_for() -> None:
    code, out, err = run("dlq", "list", "--since", "nonsense", "--json")

    assert (code, err) == (2, "")
    assert '"code": "usage"' in out


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["-A", "no.such.module:app"], "no module named 'no'"),
        (["-A", "json:dumps"], "'dumps' is no Stem application"),
        (["-A", "json:missing"], "'missing' does not exist"),
    ],
)
def test_a_wrong_application_is_named_with_what_to_do(arguments: list[str], problem: str) -> None:
    code, _, err = run(*arguments, "tasks", "list")

    assert code == 64
    assert problem in err
    assert err.count("\n") == 1
    assert "give -A module:attribute" in err


def test_a_missing_application_is_a_usage_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("STEM_APP", raising=False)

    code, _, err = run("worker")

    assert code == 2
    assert err == "stem: no application was named; give -A module:attribute or set STEM_APP\n"


def test_an_unknown_scheme_names_the_known_ones() -> None:
    code, _, err = run("--broker", "ftp://files", "observe", "queues")

    assert code == 64
    assert "no adapter for ftp://" in err
    assert "sqlite" in err


def test_a_file_that_is_no_database_is_one_line_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "bad.db").write_text("garbage " * 100, encoding="utf-8")

    code, _, err = run("--broker", f"sqlite:///{tmp_path}/bad.db", "observe", "queues")

    assert code == 69
    assert err.count("\n") == 1
    assert "give the URL another file" in err


def test_a_directory_that_is_not_there_is_one_line_with_what_to_do(tmp_path: Path) -> None:
    code, _, err = run("--broker", f"sqlite:///{tmp_path}/nowhere/stem.db", "tasks", "call", "a")

    assert code == 77
    assert err.count("\n") == 1
    assert "make sure that the directory" in err


def test_the_traceback_is_for_those_who_ask(write_module: Callable[[str, str], str]) -> None:
    module = write_module("broken", "1 / 0\n")

    plain = run("-A", f"{module}:app", "tasks", "list")
    debugged = run("-A", f"{module}:app", "tasks", "list", "--debug")

    assert plain[0] == debugged[0] == 64
    assert "ZeroDivisionError" in plain[2]
    assert "Traceback" not in plain[2]
    assert "Traceback" in debugged[2]


def test_the_process_ends_with_the_exit_code(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["stem", "nonsense"])

    with pytest.raises(SystemExit) as ended:
        main()

    assert ended.value.code == 2


def test_others_can_embed_the_root_command() -> None:
    with pytest.raises(click.UsageError):
        stem.main(["nonsense"], standalone_mode=False)


def test_nothing_is_said_to_a_reader_that_has_seen_enough() -> None:
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "wb") as closed:
        done = subprocess.run(
            [sys.executable, "-c", "from stem.cli.main import main; main()", "--help"],
            stdout=closed,
            stderr=subprocess.PIPE,
            timeout=60,
            check=False,
        )

    assert done.stderr == b""
