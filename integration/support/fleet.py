"""Real worker processes, and waiting for what they do."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Self

import psutil

from stem.clock import SystemClock

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

LIMIT_S = 60.0
SUPPORT = Path(__file__).parent

_clock = SystemClock()


def until(condition: Callable[[], object], *, limit_s: float = LIMIT_S, what: str = "") -> None:
    """Wait until ``condition`` holds; fail with ``what`` was awaited after ``limit_s`` seconds."""
    pause = threading.Event()
    deadline_s = _clock.monotonic() + limit_s
    while not condition():
        assert _clock.monotonic() < deadline_s, f"not within {limit_s:g} s: {what or condition}"
        pause.wait(0.01)


class WorkerProcess:
    """A worker in a process of its own, killed at the end if need be.

    Args:
        app: ``module:attribute``; modules in this directory are found.
        options: Of ``stem worker``.
        env: Settings and what the tasks read.
        log: Where its output goes.
    """

    def __init__(self, app: str, *options: str, env: dict[str, str], log: Path) -> None:
        self.log = log
        self._output = log.open("ab")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "stem", "-A", app, "worker", *options],
            env={**os.environ, **env, "PYTHONPATH": str(SUPPORT)},
            stdout=self._output,
            stderr=subprocess.STDOUT,
            cwd=log.parent,
            start_new_session=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process.poll() is None:
            self.kill()
        self._output.close()
        if error is not None:
            print(f"--- {self.log.name}\n{self.text()[-5000:]}")

    @property
    def pid(self) -> int:
        """The hub's process id."""
        return self._process.pid

    def text(self) -> str:
        """Return what it has logged."""
        return self.log.read_text(errors="replace")

    def children(self) -> list[psutil.Process]:
        """Return the processes that run tasks: the grandchildren, below the fork server."""
        return [child for helper in psutil.Process(self.pid).children() for child in helper.children()]

    def send(self, signum: signal.Signals) -> None:
        """Send a signal to the hub alone."""
        os.kill(self.pid, signum)

    def kill(self) -> None:
        """Kill the hub alone, as a machine that fails would."""
        self.send(signal.SIGKILL)
        self._process.wait(LIMIT_S)

    def wait(self, limit_s: float = LIMIT_S) -> int:
        """Wait for its end; return the exit code."""
        return self._process.wait(limit_s)

    def ready(self) -> Self:
        """Wait until it takes tasks."""
        until(
            lambda: self._process.poll() is not None or "worker.ready" in self.text(),
            what=f"worker.ready in {self.log.name}",
        )
        assert self._process.poll() is None, self.text()
        return self
