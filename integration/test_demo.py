"""``stem demo`` as a user runs it: it adds up, says when it does not, and leaves nothing behind."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any, Self

import psutil
import pytest
from fleet import LIMIT_S, until

if TYPE_CHECKING:
    from pathlib import Path

STEM = [sys.executable, "-m", "stem"]


class DemoProcess:
    """A running ``stem demo``, killed at the end if need be.

    Args:
        place: Its temporary directory is made there, and its output is written there.
    """

    def __init__(self, place: Path, *arguments: str) -> None:
        self.temporary = place / "tmp"
        self.temporary.mkdir()
        self._out, self._err = place / "out.txt", place / "err.txt"
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self.process = subprocess.Popen(
                [*STEM, "demo", *arguments],
                env=environment(self.temporary),
                stdout=out,
                stderr=err,
                cwd=place,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        for process in self.workers():
            process.kill()

    @property
    def out(self) -> str:
        """What it has printed."""
        return self._out.read_text(encoding="utf-8")

    @property
    def err(self) -> str:
        """What it has complained about."""
        return self._err.read_text(encoding="utf-8")

    def wait(self) -> int:
        """Wait for its end; return the exit code."""
        return self.process.wait(LIMIT_S)

    def hub(self) -> int:
        """Wait until its worker takes tasks; return the worker's process id."""
        until(
            lambda: self.process.poll() is not None or re.search(r"process \d+,", self.out), what="a worker"
        )
        found = re.search(r"process (\d+),", self.out)
        assert found, self.err
        return int(found[1])

    def workers(self) -> list[psutil.Process]:
        """Return the processes that run for it: those that have its temporary directory as their own."""
        return [process for process in psutil.process_iter() if self._is_mine(process)]

    def _is_mine(self, process: psutil.Process) -> bool:
        try:
            return (
                process.status() != psutil.STATUS_ZOMBIE
                and process.environ().get("TMPDIR") == str(self.temporary)
                and process.pid != self.process.pid
            )
        except psutil.Error:
            return False

    def assert_nothing_left(self) -> None:
        """Fail if a process or the directory of it is left."""
        assert self.workers() == []
        assert list(self.temporary.glob("stem-demo-*")) == []


def environment(temporary: Path) -> dict[str, str]:
    plain = {name: value for name, value in os.environ.items() if not name.startswith("STEM_")}
    return {**plain, "TMPDIR": str(temporary)}


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    directory = tmp_path / "texts"
    directory.mkdir()
    for number in range(20):
        (directory / f"{number:02}.txt").write_text("to be or not to be\n" * number, encoding="utf-8")
    (directory / "open-end.md").write_text("ένα δύο\nτρία", encoding="utf-8")
    (directory / "latin-1.txt").write_bytes("café".encode("latin-1"))
    (directory / "empty.py").touch()
    (directory / "picture.png").write_bytes(b"not counted")
    return directory


def test_everything_adds_up(tmp_path: Path, texts: Path) -> None:
    with DemoProcess(tmp_path, str(texts), "--json") as demo:
        exit_code = demo.wait()

    summary: dict[str, Any] = json.loads(demo.out)
    assert (exit_code, summary["schema"], summary["ok"], demo.err) == (0, "stem.demo/1", True, "")
    assert summary["files"] == {"found": 23, "counted": 22, "skipped": {"not UTF-8": 1}, "more": False}
    assert (summary["lines"], summary["words"]) == (192, 1143)
    assert summary["top_words"][0] == ["be", 380]
    assert (summary["tasks"]["published"], summary["tasks"]["succeeded"], summary["tasks"]["failed"]) == (
        26,
        25,
        1,
    )
    assert (summary["retries"], summary["redeliveries"], summary["lost"], summary["duplicates"]) == (
        2,
        1,
        0,
        0,
    )
    assert sorted(letter["reason"] for letter in summary["dead_letters"]) == [
        "envelope-undecodable",
        "task-failed",
    ]
    demo.assert_nothing_left()


def test_without_a_terminal_lines_are_plain(tmp_path: Path, texts: Path) -> None:
    with DemoProcess(tmp_path, str(texts)) as demo:
        exit_code = demo.wait()

    assert exit_code == 0
    assert "\x1b" not in demo.out
    assert "\r" not in demo.out
    assert "lost: 0 " in demo.out
    assert f"stem {demo.out.split('stem ')[-1]}".strip().endswith("demo --keep")


def test_a_terminal_gets_its_cursor_back(tmp_path: Path, texts: Path) -> None:
    ours, theirs = pty.openpty()
    env = {**environment(tmp_path), "TERM": "xterm"}
    with subprocess.Popen([*STEM, "demo", str(texts)], stdout=theirs, stderr=theirs, env=env) as process:
        os.close(theirs)
        shown = read_all(ours)

    assert process.returncode == 0
    assert "✓" in shown
    assert shown.rindex("\x1b[?25h") > shown.rindex("\x1b[?25l")


def read_all(terminal: int) -> str:
    parts: list[bytes] = []
    try:
        while part := os.read(terminal, 65536):
            parts.append(part)
    except OSError:  # what Linux says when the other side is closed
        pass
    finally:
        os.close(terminal)
    return b"".join(parts).decode()


def test_the_commands_that_it_recommends_work_on_the_kept_file(tmp_path: Path, texts: Path) -> None:
    with DemoProcess(tmp_path, str(texts), "--keep") as demo:
        assert demo.wait() == 0
    commands = [
        line.strip() for line in demo.out.partition("To look inside:")[2].splitlines() if line.strip()
    ]

    for command in commands:
        done = subprocess.run(
            command, shell=True, env=environment(tmp_path), capture_output=True, text=True, timeout=LIMIT_S
        )
        assert (done.returncode, done.stderr) == (0, ""), command
    assert len(commands) == 3
    assert demo.workers() == []


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interruption_cleans_up(tmp_path: Path, texts: Path, signum: signal.Signals) -> None:
    with DemoProcess(tmp_path, str(texts)) as demo:
        demo.hub()
        demo.process.send_signal(signum)
        exit_code = demo.wait()

        assert (exit_code, demo.err.split()) == (130, ["stem:", "interrupted"])
        demo.assert_nothing_left()


def test_when_it_is_killed_its_worker_ends(tmp_path: Path, texts: Path) -> None:
    with DemoProcess(tmp_path, str(texts)) as demo:
        demo.hub()
        assert demo.workers()
        demo.process.kill()
        demo.wait()

        until(lambda: not demo.workers(), what="the end of the worker")


def test_a_worker_that_dies_is_told_with_its_log(tmp_path: Path, texts: Path) -> None:
    with DemoProcess(tmp_path, str(texts)) as demo:
        os.kill(demo.hub(), signal.SIGKILL)
        exit_code = demo.wait()

        assert exit_code == 70
        assert "worker.log: " in demo.err
        assert "the demo's worker has ended by itself, killed by SIGKILL" in demo.err
        demo.assert_nothing_left()


def test_what_is_missing_at_the_deadline_is_told(tmp_path: Path, texts: Path) -> None:
    # The delayed task waits 3 s after it was published, so it is always missing.
    with DemoProcess(tmp_path, str(texts), "--timeout", "3s") as demo:
        exit_code = demo.wait()

        assert exit_code == 1
        assert "later (queued)" in demo.out or "did not get ready in time" in demo.err
        demo.assert_nothing_left()


@pytest.mark.parametrize(
    ("name", "code", "says"),
    [("missing", 3, "not found"), ("file", 2, "not a directory"), ("empty", 3, "no text file in it")],
)
def test_a_directory_that_cannot_be_used_is_one_line(tmp_path: Path, name: str, code: int, says: str) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "empty").mkdir()

    with DemoProcess(tmp_path, name) as demo:
        exit_code = demo.wait()

    assert exit_code == code
    assert demo.out == ""
    assert demo.err.startswith(f"stem: {name}: {says}; ")
    assert demo.err.count("\n") == 1
    demo.assert_nothing_left()
