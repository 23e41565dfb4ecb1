"""A ``redis:``, ``rediss:`` or ``sentinel:`` URL, taken apart."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import timedelta
from difflib import get_close_matches
from typing import Final
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from stem.config.durations import read_duration
from stem.errors import ConfigurationError

_NAMESPACE: Final = re.compile(r"[a-z][a-z0-9_]{0,29}")
_HOST: Final = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_.-]+)?(?::(?P<port>[0-9]{1,5}))?")
_OPTIONS: Final = (
    "prefix", "timeout", "connect_timeout", "visibility_timeout", "master", "sentinel_username",
    "sentinel_password", "ssl_ca_certs", "ssl_certfile", "ssl_keyfile", "ssl_cert_reqs", "ssl_check_hostname",
)  # fmt: skip
_CERT_REQS: Final = ("required", "optional", "none")
_PORTS: Final = {"redis": 6379, "rediss": 6379, "sentinel": 26379}
_DURATIONS: Final = {
    "timeout": timedelta(seconds=10),
    "connect_timeout": timedelta(seconds=5),
    "visibility_timeout": timedelta(hours=1),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Location:
    """Where the server is and how to talk to it.

    Attributes:
        scheme: ``redis``, ``rediss`` (TLS) or ``sentinel``.
        hosts: Names and ports; several ones are sentinels.
        prefix: What every key begins with, Celery's ``global_keyprefix``.
        timeout: How long to wait for an answer.
        connect_timeout: How long to wait for a connection.
        visibility_timeout: That of the Celery workers on the same queues; they give back what was
            neither acknowledged nor renewed for so long.
        master: The name that sentinels know the server by.
        tls: Options of redis-py's ``SSLConnection``.
    """

    scheme: str
    hosts: tuple[tuple[str, int], ...]
    database: int = 0
    username: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)
    prefix: str = ""
    timeout: timedelta = _DURATIONS["timeout"]
    connect_timeout: timedelta = _DURATIONS["connect_timeout"]
    visibility_timeout: timedelta = _DURATIONS["visibility_timeout"]
    master: str = ""
    sentinel_username: str | None = field(default=None, repr=False)
    sentinel_password: str | None = field(default=None, repr=False)
    tls: dict[str, str | bool] = field(default_factory=dict[str, "str | bool"])

    @property
    def address(self) -> str:
        """The URL without credentials and options, but for the prefix and the master's name."""
        hosts = ",".join(f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in self.hosts)
        told = {"master": self.master, "prefix": self.prefix}
        query = "&".join(f"{name}={quote(value, safe=':')}" for name, value in told.items() if value)
        return f"{self.scheme}://{hosts}/{self.database}" + (f"?{query}" if query else "")


def read_location(url: str, *, namespace: str) -> Location:
    """Return what ``url`` says.

    Raises:
        ConfigurationError: It, or the namespace, cannot be used; every problem at once.
    """
    reader = _Reader(url)
    location = reader.location()
    if not _NAMESPACE.fullmatch(namespace):
        reader.problems.append(
            f"namespace: expected a letter, then up to 29 lower-case letters, digits and _, got {namespace!r}"
        )
    if reader.problems:
        raise ConfigurationError(problems=reader.problems)
    return location


class _Reader:
    """Reads one URL and gathers what is wrong with it."""

    def __init__(self, url: str) -> None:
        self.problems: list[str] = []
        try:
            split = urlsplit(url)
        except ValueError:
            split = urlsplit(url.partition("://")[0] + "://?")
            self.problems.append(f"{split.scheme} URL: the host's brackets do not match")
        self._scheme = split.scheme
        self._path = split.path
        self._user_info, _, self._hosts = split.netloc.rpartition("@")
        self._options = dict(parse_qsl(split.query, keep_blank_values=True))

    def location(self) -> Location:
        for name in self._options:
            self._check_option(name)
        hosts = self._read_hosts()
        username, _, password = self._user_info.partition(":")
        durations = {name: self._duration(name) for name in _DURATIONS}
        return Location(
            scheme=self._scheme,
            hosts=hosts,
            database=self._database(),
            username=unquote(username) or None,
            password=unquote(password) or None,
            prefix=self._options.get("prefix", ""),
            timeout=durations["timeout"],
            connect_timeout=durations["connect_timeout"],
            visibility_timeout=durations["visibility_timeout"],
            master=self._master(),
            sentinel_username=self._options.get("sentinel_username"),
            sentinel_password=self._options.get("sentinel_password"),
            tls=self._tls(),
        )

    def _check_option(self, name: str) -> None:
        if name not in _OPTIONS:
            near = get_close_matches(name, _OPTIONS, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            self.problems.append(
                f"{self._scheme} URL: unknown option {name!r}, known: {', '.join(_OPTIONS)}{hint}"
            )
        elif name.startswith("ssl_") and self._scheme == "redis":
            self.problems.append(f"{name}: TLS needs a rediss:// URL")

    def _read_hosts(self) -> tuple[tuple[str, int], ...]:
        hosts: list[tuple[str, int]] = []
        for part in self._hosts.split(","):
            found = _HOST.fullmatch(part)
            port = _PORTS[self._scheme] if found is None or not found["port"] else int(found["port"])
            if found is None or not 0 < port < 65536:
                # Not shown: it may be a piece of a password.
                self.problems.append(
                    f"{self._scheme} URL: expected host:port"
                    "; special characters in a password are percent-encoded"
                )
                continue
            hosts.append(((found["host"] or "127.0.0.1").strip("[]"), port))
        if len(hosts) > 1 and self._scheme != "sentinel":
            self.problems.append(
                f"{self._scheme} URL: expected one host; a Redis Cluster cannot be used, and sentinels"
                " are given as sentinel://host:26379,host:26379/0?master=name"
            )
        return tuple(hosts)

    def _database(self) -> int:
        text = self._path.strip("/")
        if text and not text.isdecimal():
            got = "" if "@" in text else f", got {text!r}"
            self.problems.append(f"{self._scheme} URL: expected a database number after the host{got}")
            return 0
        return int(text or 0)

    def _master(self) -> str:
        master = self._options.get("master", "")
        if (self._scheme == "sentinel") != bool(master):
            self.problems.append(
                "master: expected the name that the sentinels know the server by"
                if self._scheme == "sentinel"
                else "master: only a sentinel:// URL has one"
            )
        return master

    def _duration(self, name: str) -> timedelta:
        text = self._options.get(name)
        try:
            duration = _DURATIONS[name] if text is None else read_duration(text)
        except ValueError:
            duration = timedelta(0)
        if duration <= timedelta(0):
            self.problems.append(f"{name}: expected a duration such as 10s, got {text!r}")
        return duration

    def _tls(self) -> dict[str, str | bool]:
        told: dict[str, str | bool] = {
            name: value
            for name, value in self._options.items()
            if name in ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")
        }
        if "ssl_cert_reqs" in self._options:
            requirement = self._options["ssl_cert_reqs"].lower().removeprefix("cert_")
            if requirement not in _CERT_REQS:
                self.problems.append(f"ssl_cert_reqs: expected {', '.join(_CERT_REQS)}, got {requirement!r}")
            told["ssl_cert_reqs"] = requirement
        if "ssl_check_hostname" in self._options:
            answer = self._options["ssl_check_hostname"].lower()
            if answer not in ("true", "false"):
                self.problems.append(f"ssl_check_hostname: expected true or false, got {answer!r}")
            told["ssl_check_hostname"] = answer == "true"
        if told.get("ssl_cert_reqs") == "none":
            told["ssl_check_hostname"] = False
        return told
