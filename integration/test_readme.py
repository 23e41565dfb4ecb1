"""Do what the pages for beginners say, literally: save the files, type the commands, compare the output."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Self

import pytest
from fleet import LIMIT_S, until

if TYPE_CHECKING:
    from collections.abc import Iterator

CHECKOUT = Path(__file__).parents[1]
README = CHECKOUT / "README.md"
QUICKSTART = CHECKOUT / "examples" / "quickstart"
PAGES = [README, QUICKSTART / "README.md", CHECKOUT / "docs" / "tutorials" / "first-task.md"]

BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.S | re.M)


@dataclass(frozen=True)
class Step:
    """A block of commands, and the block that shows what they print."""

    commands: str
    shown: str | None

    @property
    def starts_a_worker(self) -> bool:
        """Whether it is to run in a terminal of its own."""
        return " worker " in self.commands


def blocks(page: Path) -> list[tuple[str, str]]:
    """The page's blocks in order: language and text."""
    return [(found[1], found[2]) for found in BLOCK.finditer(page.read_text(encoding="utf-8"))]


def steps(page: Path) -> Iterator[Step]:
    """What to type; blocks in ``bash`` install things and are left to CI."""
    found = [*blocks(page), ("", "")]
    for (language, text), (next_language, next_text) in pairwise(found):
        if language == "sh":
            yield Step(text, next_text if next_language == "text" else None)


def files(page: Path) -> dict[str, str]:
    """What to save: file names and contents."""
    saved = re.findall(
        r"[Ss]ave as `(\w+\.py)`:\n\n```python\n(.*?)^```$", page.read_text(encoding="utf-8"), re.S | re.M
    )
    return dict(saved)


class Desk:
    """A directory in which a page is followed, with the environment that it assumes."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._workers: list[subprocess.Popen[bytes]] = []
        self._log = directory / "worker.log"
        (directory / ".venv").symlink_to(sys.prefix)
        plain = {name: value for name, value in os.environ.items() if not name.startswith("STEM_")}
        path = f"{directory / '.venv' / 'bin'}{os.pathsep}{plain['PATH']}"
        # What is tested is what the page's reader has: the installed package, not pytest's path.
        self._env = {**plain, "PATH": path, "PYTHONDONTWRITEBYTECODE": "1"}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self._workers:
            os.killpg(worker.pid, signal.SIGKILL)
            worker.wait()

    def start(self, command: str) -> None:
        """Start a worker in a terminal of its own and wait until it is ready."""
        with self._log.open("wb") as log:
            worker = subprocess.Popen(
                f"exec {command}",
                shell=True,
                cwd=self.directory,
                env=self._env,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._workers.append(worker)
        until(lambda: worker.poll() is not None or "worker.ready" in self._log.read_text(), what="the worker")
        assert worker.poll() is None, self._log.read_text()

    def type(self, commands: str) -> str:
        """Run commands and return everything that they print."""
        done = subprocess.run(
            ["sh", "-c", commands],
            cwd=self.directory,
            env=self._env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=LIMIT_S,
        )
        assert "Traceback" not in done.stdout, done.stdout
        return done.stdout

    def end_workers(self) -> list[int]:
        """Stop the workers as Ctrl-C does; return their exit codes."""
        for worker in self._workers:
            worker.send_signal(signal.SIGINT)
        codes = [worker.wait(LIMIT_S) for worker in self._workers]
        self._workers.clear()
        return codes


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with Desk(tmp_path) as desk:
        yield desk


def fits(printed: str, shown: str) -> bool:
    """Whether output is what a page shows, in which … stands for anything."""
    return fnmatchcase(printed, re.sub(r"([*?[])", r"[\1]", shown).replace("…", "*"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(CHECKOUT)))
def test_a_page_can_be_followed_literally(page: Path, desk: Desk) -> None:
    for name, content in files(page).items():
        (desk.directory / name).write_text(content, encoding="utf-8")
    for path in page.parent.glob("*.py") if page.parent == QUICKSTART else ():
        shutil.copy(path, desk.directory)

    followed = list(steps(page))
    for step in followed:
        if step.starts_a_worker:
            desk.start(step.commands)
        else:
            printed = desk.type(step.commands)
            assert step.shown is None or fits(printed, step.shown), f"{step.commands}\n{printed}"

    assert followed
    assert desk.end_workers() == [0]


def test_the_readme_and_the_quickstart_have_the_same_tasks() -> None:
    assert files(README)["tasks.py"] == (QUICKSTART / "tasks.py").read_text(encoding="utf-8")


def test_the_first_tasks_take_fifteen_lines() -> None:
    assert len(files(README)["tasks.py"].splitlines()) <= 15


def test_the_picture_of_the_demo_shows_what_the_demo_prints(desk: Desk) -> None:
    picture = next(text for language, text in blocks(README) if language == "text")
    (desk.directory / "texts").mkdir()
    (desk.directory / "texts" / "one.txt").write_text("to be or not to be\n", encoding="utf-8")

    printed = desk.type("stem demo texts")

    assert labels(picture) == labels(printed)
    assert "lost: 0 of " in picture


def labels(summary: str) -> list[str]:
    """The beginnings of the summary's lines."""
    return re.findall(r"^((?:ok|  )   +[a-z ]+:) ", summary, re.M)
