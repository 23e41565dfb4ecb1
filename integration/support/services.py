"""Servers for the tests: those that run, else private ones, else newly installed ones.

For each service, in this order: the URL in its variable; a server on its standard
port; a private server from the installed programs; as root on Debian, the
programs installed and then a private server. ``private`` as the variable's value
asks for a private server. What is started here ends with the tests.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from stem.clock import SystemClock

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

START_LIMIT_S = 60.0
PRIVATE = "private"

_clock = SystemClock()


class ServiceMissingError(Exception):
    """A service neither runs nor can be started; the text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """A kind of server.

    Attributes:
        variable: The environment variable that names a running one.
        standard: The URL on the standard port; its port is replaced for a private server.
        package: Debian's name of what brings its programs.
        prepare: Given a directory and a port, returns the command and its environment.
        made: Run once it answers, with the port.
        ended: Run once it has ended.
    """

    name: str
    variable: str
    standard: str
    package: str
    prepare: Callable[[Path, int], tuple[list[str], Mapping[str, str]]]
    made: Callable[[int], None]
    ended: Callable[[], None]


class Services:
    """Finds and starts servers, and ends those that it started."""

    def __init__(self) -> None:
        self._started: list[tuple[Service, subprocess.Popen[bytes], Path]] = []

    def provide(self, service: Service) -> None:
        """Make the service's variable name a server that answers.

        Raises:
            ServiceMissingError: There is none, and none can be started.
        """
        given = os.environ.get(service.variable)
        if given and given != PRIVATE:
            if not answers(*_address(given)):
                raise ServiceMissingError(f"{service.variable}: nothing answers there")
        elif given != PRIVATE and answers(*_address(service.standard)):
            os.environ[service.variable] = service.standard
        else:
            os.environ[service.variable] = self._start(service)

    def close(self) -> None:
        """End what was started here."""
        while self._started:
            service, process, directory = self._started.pop()
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            service.ended()
            shutil.rmtree(directory, ignore_errors=True)

    def _start(self, service: Service) -> str:
        directory = Path(tempfile.mkdtemp(prefix=f"stem-{service.name}-"))
        port = free_port()
        try:
            command, environment = service.prepare(directory, port)
        except FileNotFoundError as missing:
            install(service.package, missing)
            command, environment = service.prepare(directory, port)
        with (directory / "output.log").open("wb") as output:
            process = subprocess.Popen(
                command,
                env={**os.environ, **environment},
                stdout=output,
                stderr=output,
                stdin=subprocess.DEVNULL,
                cwd=directory,
            )
        self._started.append((service, process, directory))
        wait_until_it_answers(service.name, process, port, directory / "output.log")
        service.made(port)
        host, standard_port = _address(service.standard)
        return service.standard.replace(f"{host}:{standard_port}", f"127.0.0.1:{port}")


def wait_until_it_answers(name: str, process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    """Wait for a server that was just started.

    Raises:
        ServiceMissingError: It ended, or takes too long; with the last lines of its log.
    """
    pause, deadline_s = threading.Event(), _clock.monotonic() + START_LIMIT_S
    while not answers("127.0.0.1", port):
        if process.poll() is not None or _clock.monotonic() > deadline_s:
            tail = log.read_text(errors="replace")[-1000:]
            raise ServiceMissingError(f"a private {name} does not start: {tail}")
        pause.wait(0.05)


def answers(host: str, port: int) -> bool:
    """Return whether something listens there."""
    with contextlib.suppress(OSError), socket.create_connection((host, port), timeout=2):
        return True
    return False


def free_port() -> int:
    """Return a port of this machine that nobody listens on."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def install(package: str, missing: Exception) -> None:
    """Install a Debian package without starting its service.

    Raises:
        ServiceMissingError: This is no Debian, or this user may not.
    """
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise ServiceMissingError(f"{missing}; install {package}") from missing
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
    for arguments in (["update"], ["install", "--yes", "--no-install-recommends", package]):
        done = subprocess.run(["apt-get", *arguments], env=quiet, capture_output=True, text=True)
        if done.returncode:
            raise ServiceMissingError(f"apt-get {arguments[0]}: {done.stderr[-500:]}") from missing


def _address(url: str) -> tuple[str, int]:
    split = urlsplit(url)
    return split.hostname or "127.0.0.1", split.port or 0


def program(name: str, *places: str) -> str:
    """Return where a program is.

    Raises:
        FileNotFoundError: It is not installed.
    """
    found = shutil.which(name, path=os.pathsep.join([*places, os.environ.get("PATH", ""), "/usr/sbin"]))
    if found is None:
        raise FileNotFoundError(f"{name} is not installed")
    return found


def _redis(directory: Path, port: int) -> tuple[list[str], Mapping[str, str]]:
    options = {"--port": port, "--bind": "127.0.0.1", "--dir": directory, "--save": "", "--appendonly": "no"}
    return [program("redis-server"), *(str(part) for pair in options.items() for part in pair)], {}


def _postgresql(directory: Path, port: int) -> tuple[list[str], Mapping[str, str]]:
    places = [str(place) for place in sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)]
    initdb, postgres = program("initdb", *places), program("postgres", *places)
    data = directory / "data"
    as_user: list[str] = []
    if os.geteuid() == 0:  # the server refuses to run as root
        as_user = [program("setpriv"), "--reuid=postgres", "--regid=postgres", "--clear-groups"]
        shutil.chown(directory, "postgres")
    made = subprocess.run(
        [*as_user, initdb, "--auth=trust", "--username=postgres", "-D", str(data)],
        capture_output=True,
        text=True,
        cwd=directory,
    )
    if made.returncode:
        raise ServiceMissingError(f"initdb: {made.stderr[-500:]}")
    settings = {"unix_socket_directories": directory, "listen_addresses": "127.0.0.1", "fsync": "off"}
    options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
    return [*as_user, postgres, "-D", str(data), "-p", str(port), *options], {}


def _make_test_database(port: int) -> None:
    import psycopg

    pause = threading.Event()
    for _ in range(200):
        try:
            url = f"postgresql://postgres@127.0.0.1:{port}/postgres"
            with psycopg.connect(url, autocommit=True) as connection:
                connection.execute("CREATE DATABASE test")
        except psycopg.OperationalError:  # it listens before it is ready
            pause.wait(0.05)
        else:
            return
    raise ServiceMissingError("a private PostgreSQL listens, but does not answer")


def _rabbitmq(directory: Path, port: int) -> tuple[list[str], Mapping[str, str]]:
    settings = directory / "rabbitmq.conf"
    settings.write_text(f"listeners.tcp.default = 127.0.0.1:{port}\n")
    (directory / "empty").touch()
    environment = {
        "HOME": str(directory),
        # Instead of what the machine's own server reads.
        "RABBITMQ_CONFIG_FILE": str(settings),
        "RABBITMQ_CONF_ENV_FILE": str(directory / "empty"),
        "RABBITMQ_ADVANCED_CONFIG_FILE": str(directory / "none.config"),
        "RABBITMQ_NODENAME": f"stem-test-{port}@localhost",
        "RABBITMQ_DIST_PORT": str(free_port()),
        "RABBITMQ_MNESIA_BASE": str(directory / "data"),
        "RABBITMQ_LOG_BASE": str(directory / "log"),
        "RABBITMQ_PID_FILE": str(directory / "pid"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(directory / "plugins"),
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+S 1:1",
        "ERL_EPMD_PORT": str(free_port()),
    }
    server = program("rabbitmq-server", "/usr/lib/rabbitmq/bin")
    # rabbitmqctl finds the node, and its cookie, by the same variables.
    os.environ.update(environment)
    return [server], environment


def _end_port_mapper() -> None:
    # Erlang's port mapper outlives the node that started it; this one was the private node's alone.
    port = os.environ["ERL_EPMD_PORT"]
    subprocess.run([program("epmd"), "-port", port, "-kill"], capture_output=True, timeout=20)


def _nothing(port: int = 0) -> None:
    pass


REDIS = Service(
    name="redis",
    variable="STEM_TEST_REDIS_URL",
    standard="redis://127.0.0.1:6379/9",
    package="redis-server",
    prepare=_redis,
    made=_nothing,
    ended=_nothing,
)
POSTGRESQL = Service(
    name="postgresql",
    variable="STEM_TEST_POSTGRES_URL",
    standard="postgresql://postgres@127.0.0.1:5432/test",
    package="postgresql",
    prepare=_postgresql,
    made=_make_test_database,
    ended=_nothing,
)
RABBITMQ = Service(
    name="amqp",
    variable="STEM_TEST_AMQP_URL",
    standard="amqp://guest:guest@127.0.0.1:5672//",
    package="rabbitmq-server",
    prepare=_rabbitmq,
    made=_nothing,
    ended=_end_port_mapper,
)
ALL = (REDIS, POSTGRESQL, RABBITMQ)
