from __future__ import annotations

import os
import tempfile
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from stem.cli.demo.process import DemoWorker
from stem.cli.demo.run import Options, run
from stem.cli.demo.tally import summarize
from stem.cli.exit_codes import CommandError, ExitCode
from stem.clock import SystemClock

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from stem.cli.demo.ledger import Progress


class Notebook:
    """A display that keeps what it is told."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.shown: list[Progress] = []
        self.complaints: list[str] = []

    def say(self, text: str) -> None:
        self.said.append(text)

    def show(self, progress: Progress) -> None:
        self.shown.append(progress)

    def complain(self, lines: Sequence[str]) -> None:
        self.complaints.extend(lines)


@pytest.fixture
def options(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Options:
    texts = tmp_path / "texts"
    texts.mkdir()
    for number in range(5):
        (texts / f"{number}.txt").write_text("to be or not to be\n", encoding="utf-8")
    odd = tmp_path / "50% #1?"  # all that means something in a URL
    odd.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(odd))
    return Options(
        directory=texts,
        limit=3,
        keep=False,
        timeout=timedelta(seconds=60),
        delay=timedelta(milliseconds=200),
    )


def leftovers(options: Options) -> list[Path]:
    return list(options.directory.parent.rglob("stem-demo-*"))


def test_a_run_adds_up_and_leaves_nothing_behind(options: Options) -> None:
    display = Notebook()

    summary = summarize(run(options, display=display, clock=SystemClock()))

    assert summary.wrong == ()
    assert (summary.numbers["words"], summary.numbers["redeliveries"]) == (18, 1)
    assert display.said[0] == f"the first 3 text files under {options.directory}"
    assert display.said[-1].endswith("(SIGKILL), which had 1.txt")
    assert display.shown[-1].files_done == 3
    assert leftovers(options) == []


def test_a_worker_that_gets_no_time_is_told_and_ended(options: Options) -> None:
    hasty = Options(directory=options.directory, limit=1, keep=False, timeout=timedelta(0))

    with pytest.raises(CommandError, match="did not get ready in time") as caught:
        run(hasty, display=Notebook(), clock=SystemClock())

    assert caught.value.code is ExitCode.FAILED
    assert leftovers(options) == []


def test_a_temporary_directory_that_cannot_be_made_is_one_line(
    options: Options, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(options.directory / "missing"))

    with pytest.raises(CommandError, match="no temporary directory can be made") as caught:
        run(options, display=Notebook(), clock=SystemClock())

    assert caught.value.code is ExitCode.UNAVAILABLE


def test_a_worker_that_ends_by_itself_is_told_with_its_log(tmp_path: Path) -> None:
    worker = DemoWorker(tmp_path, url="nonsense", clock=SystemClock())
    with worker:
        assert worker.stop() != 0
        with pytest.raises(CommandError, match="has ended by itself") as caught:
            worker.check()

    assert caught.value.code is ExitCode.INTERNAL


def test_no_process_of_others_is_killed(tmp_path: Path) -> None:
    with DemoWorker(tmp_path, url=f"sqlite:///{tmp_path / 'stem.db'}", clock=SystemClock()) as worker:
        assert not worker.kill_child(os.getpid())
        assert not worker.kill_child(os.getppid())
