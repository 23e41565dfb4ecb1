"""The demo's worker: a real one, in a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Final, Self

import psutil

from stem.cli.exit_codes import CommandError, ExitCode

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from stem.clock import Clock

CHILDREN: Final = 2

NAME: Final = "demo"

GRACE_S: Final = 10.0
"""How long a worker that was told to stop has before its processes are killed."""

_LOG_LINES: Final = 12


class DemoWorker:
    """``stem worker`` for the demo's tasks. As a context manager it leaves no process behind.

    Args:
        directory: Its working directory; the log is written there.
        url: The broker's.
    """

    def __init__(self, directory: Path, *, url: str, clock: Clock) -> None:
        self.log = directory / "worker.log"
        self._directory = directory
        self._url = url
        self._clock = clock
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        """Start it; whether it gets ready is to be seen from its heartbeats."""
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "stem.cli.demo.attended", *self._arguments()],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self._directory,
                env=_without_settings(os.environ),
                # Ctrl-C is for the demo, which then stops its worker in its own way.
                start_new_session=True,
            )
        return self

    def __exit__(self, *_: object) -> None:
        """End every process of it that is left, at once."""
        process = self._running()
        assert process.stdin is not None
        process.stdin.close()  # it is told by that; see `stem.cli.demo.attended`
        self._end(process)

    def _arguments(self) -> list[str]:
        options = {
            "--app": "stem.cli.demo.tasks:app",
            "--broker": self._url,
            "--pool": "prefork",
            "--concurrency": str(CHILDREN),
            "--name": NAME,
        }
        return ["worker", "start", *(word for option in options.items() for word in option)]

    @property
    def pid(self) -> int:
        """The hub's process id."""
        return self._running().pid

    def check(self) -> None:
        """Return if the worker lives.

        Raises:
            CommandError: It has ended by itself.
        """
        code = self._running().poll()
        if code is not None:
            raise CommandError(
                f"the demo's worker has ended by itself, {_in_words(code)}",
                hint="see its log above",
                code=ExitCode.INTERNAL,
            )

    def kill_child(self, pid: int) -> bool:
        """Send SIGKILL to a process if it is one of the worker's; return whether it was."""
        try:
            children = psutil.Process(self.pid).children(recursive=True)
            child = next((each for each in children if each.pid == pid), None)
            if child is None:
                return False
            child.kill()
        except psutil.Error:
            return False
        return True

    def stop(self) -> int:
        """Let it finish and end; return its exit code, negative for a signal."""
        process = self._running()
        process.send_signal(signal.SIGTERM)
        return self._end(process)

    def last_words(self) -> list[str]:
        """Return the last lines of its log."""
        try:
            return self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-_LOG_LINES:]
        except OSError:
            return []

    def _end(self, process: subprocess.Popen[bytes]) -> int:
        try:
            return process.wait(GRACE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait()
        finally:
            _kill_session(process.pid, clock=self._clock)

    def _running(self) -> subprocess.Popen[bytes]:
        assert self._process is not None
        return self._process


def _kill_session(leader: int, *, clock: Clock) -> None:
    """Kill what is left of a session, and return when it is gone."""
    nobody = threading.Event()
    deadline_s = clock.monotonic() + GRACE_S
    while (members := _members(leader)) and clock.monotonic() < deadline_s:
        for member in members:
            with suppress(psutil.Error):
                member.kill()
        clock.wait(nobody, 0.02)


def _members(session: int) -> list[psutil.Process]:
    # Zombies wait for their new parent, which in a container may never come.
    alive = (
        process
        for process in psutil.process_iter(["status"])
        if process.info["status"] != psutil.STATUS_ZOMBIE
    )
    return [process for process in alive if _session_of(process.pid) == session]


def _session_of(pid: int) -> int | None:
    try:
        return os.getsid(pid)
    except OSError:
        return None


def _without_settings(environ: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environ.items() if not name.startswith("STEM_")}


def _in_words(code: int) -> str:
    return f"exit code {code}" if code >= 0 else f"killed by {signal.Signals(-code).name}"
