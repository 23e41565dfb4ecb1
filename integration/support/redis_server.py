"""A Redis server of one test's own, for what cannot be done to a shared one."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
from typing import TYPE_CHECKING, Self

import pytest
from fleet import until
from redis import Redis
from redis.exceptions import RedisError

if TYPE_CHECKING:
    from pathlib import Path

BINARY = shutil.which("redis-server")

needs_binary = pytest.mark.skipif(BINARY is None, reason="no redis-server to start")


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


class RedisServer:
    """Runs from `__enter__` to `__exit__`.

    Args:
        options: Lines of its configuration file.
    """

    def __init__(self, directory: Path, *options: str) -> None:
        assert BINARY is not None
        self.directory = directory
        self.port = free_port()
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None

    def url(self, rest: str = "", *, credentials: str = "", scheme: str = "redis") -> str:
        return f"{scheme}://{credentials}127.0.0.1:{self.port}{rest}"

    def start(self) -> None:
        assert BINARY is not None
        lines = [f"port {self.port}", "bind 127.0.0.1", f"dir {self.directory}", *self._options]
        config = self.directory / f"redis-{self.port}.conf"
        config.write_text("\n".join(lines) + "\n")
        with (self.directory / "redis.log").open("ab") as output:
            self._process = subprocess.Popen([BINARY, str(config)], stdout=output, stderr=output)

    def ready(self, **credentials: str) -> Self:
        def answers() -> bool:
            try:
                with Redis(port=self.port, **credentials) as redis:
                    return bool(redis.ping())
            except RedisError:
                return False

        until(answers, what="the server answers")
        return self

    def stop(self, signum: signal.Signals = signal.SIGKILL) -> None:
        if self._process is not None:
            self._process.send_signal(signum)
            self._process.wait(30)
            self._process = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
