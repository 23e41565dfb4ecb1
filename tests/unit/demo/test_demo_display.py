from __future__ import annotations

import io
import json
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from stem.cli.demo.display import display_for, print_summary
from stem.cli.demo.ledger import Progress
from stem.cli.demo.tally import Check, Summary
from stem.testing import ManualClock

if TYPE_CHECKING:
    from pathlib import Path

GOOD = Summary(
    checks=(Check(name="lost", ok=True, says="0 of 7 messages"),),
    facts={"speed": "500 tasks per second, over 4.0 s"},
    numbers={"lost": 0},
    url=None,
    redelivered_id="abc",
)
BAD = replace(GOOD, checks=(*GOOD.checks, Check(name="words", ok=False, says="a\x1b[2Jb")))
PROGRESS = Progress(files=9, files_done=4, words=1234, retries=1, redeliveries=0, dead_letters=2, rate=12.3)


def test_the_summary_says_that_it_adds_up(capsys: pytest.CaptureFixture[str]) -> None:
    print_summary(GOOD, as_json=False)

    assert capsys.readouterr().out.splitlines()[:6] == [
        "",
        "            speed: 500 tasks per second, over 4.0 s",
        "ok           lost: 0 of 7 messages",
        "",
        "It adds up.",
        "",
    ]


def test_the_summary_names_what_is_wrong_and_data_cannot_drive_the_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    print_summary(BAD, as_json=False)

    out = capsys.readouterr().out
    assert "It does not add up: words." in out
    assert "WRONG       words: a\\x1b[2Jb" in out


def test_json_is_one_document(capsys: pytest.CaptureFixture[str]) -> None:
    print_summary(BAD, as_json=True)

    document = json.loads(capsys.readouterr().out)
    assert (document["schema"], document["ok"], document["lost"]) == ("stem.demo/1", False, 0)
    assert document["checks"][1] == {"name": "words", "ok": False, "says": "a\x1b[2Jb"}


def test_commands_name_the_kept_file_as_a_shell_needs_it(capsys: pytest.CaptureFixture[str]) -> None:
    print_summary(replace(GOOD, url="sqlite:////tmp/my files/stem.db"), as_json=False)

    out = capsys.readouterr().out
    assert "--broker 'sqlite:////tmp/my files/stem.db' observe tasks show abc\n" in out


@pytest.mark.parametrize(
    ("called", "typed"),
    [
        ("/somewhere/stem/__main__.py", f"{sys.executable} -m stem demo --keep"),
        (".venv/bin/stem", ".venv/bin/stem demo --keep"),
    ],
)
def test_commands_are_typed_as_this_one_was(
    called: str, typed: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", [called])

    print_summary(GOOD, as_json=False)

    assert f"  {typed}\n" in capsys.readouterr().out


def test_a_stem_on_the_path_is_called_stem(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "stem"
    program.touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "argv", [str(program)])

    print_summary(GOOD, as_json=False)

    assert "\n  stem demo --keep\n" in capsys.readouterr().out


def test_progress_is_a_line_a_second(capsys: pytest.CaptureFixture[str]) -> None:
    clock = ManualClock()
    with display_for(clock, as_json=False) as display:
        display.show(PROGRESS)
        clock.advance(1)
        display.show(PROGRESS)
        display.show(PROGRESS)

    assert capsys.readouterr().out == (
        "4 of 9 files, 1,234 words, 1 retry, 0 redeliveries, 2 dead letters, 12 tasks/s\n"
    )


def test_with_json_only_complaints_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    with display_for(ManualClock(), as_json=True) as display:
        display.say("started")
        display.show(PROGRESS)
        display.complain(["it broke"])

    assert capsys.readouterr() == ("", "  worker.log: it broke\n")


def test_what_the_terminal_cannot_write_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding="ascii"))

    with display_for(ManualClock(), as_json=False) as display:
        display.say("ένα")
    sys.stdout.flush()

    assert written.getvalue() == b"???\n"
