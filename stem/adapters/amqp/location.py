"""An ``amqp:`` URL, taken apart."""

from __future__ import annotations

import re
import ssl
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any, Final
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from stem.config.durations import read_duration
from stem.errors import ConfigurationError

_NAMESPACE: Final = re.compile(r"[a-z][a-z0-9_]{0,29}")
_QUEUE_TYPES: Final = ("quorum", "classic")
_TLS_OPTIONS: Final = ("ca", "cert", "key")
_OPTIONS: Final = ("queue_type", "delivery_limit", "heartbeat", "timeout", *_TLS_OPTIONS)
_PORTS: Final = {"amqp": 5672, "amqps": 5671}


@dataclass(frozen=True, slots=True, kw_only=True)
class Location:
    """Which server, and how to treat it.

    Attributes:
        tls: Options of the socket's TLS, or None.
        queue_type: Of the queues that are made here.
        delivery_limit: How often a quorum queue made here delivers a message before it gives it up.
        heartbeat_s: Seconds between the signs of life that both sides send.
        timeout_s: Seconds to wait for an answer: to connecting, to a confirm.
        namespace: What the names of Stem's own exchanges and queues begin with.
    """

    scheme: str
    host: str
    port: int
    user: str
    password: str = field(repr=False)
    vhost: str
    namespace: str
    tls: dict[str, Any] | None = None
    queue_type: str = "quorum"
    delivery_limit: int = 20
    heartbeat_s: float = 20.0
    timeout_s: float = 10.0

    @property
    def address(self) -> str:
        """The URL without password and options."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{quote(self.user)}@{host}:{self.port}/{quote(self.vhost, safe='')}"

    @property
    def identity(self) -> str:
        """The virtual host, without credentials."""
        return f"amqp://{self.host}:{self.port}/{quote(self.vhost, safe='')}"


def read_location(url: str, *, namespace: str) -> Location:
    """Return what ``url`` says.

    As everywhere with RabbitMQ the path is the virtual host: none and ``//`` are ``/``.

    Raises:
        ConfigurationError: It, or the namespace, cannot be used; every problem at once.
    """
    problems: list[str] = []
    split = urlsplit(url)
    try:
        port = split.port
    except ValueError:
        port = None
        problems.append("amqp URL: expected a port from 1 to 65535")
    if not _NAMESPACE.fullmatch(namespace):
        problems.append(
            f"namespace: expected a letter, then up to 29 lower-case letters, digits and _, got {namespace!r}"
        )
    options = dict(parse_qsl(split.query, keep_blank_values=True))
    problems += [_unknown(name) for name in options if name not in _OPTIONS]
    if split.scheme != "amqps":
        problems += [f"{name}: needs an amqps URL" for name in _TLS_OPTIONS if name in options]
    values = _values(options, problems)
    if problems:
        raise ConfigurationError(problems=problems)
    host = split.hostname or "127.0.0.1"
    return Location(
        scheme=split.scheme,
        host=host,
        port=port or _PORTS[split.scheme],
        user=unquote(split.username or "guest"),
        password=unquote(split.password or "guest"),
        vhost=_vhost(split.path),
        namespace=namespace,
        tls=_tls(host, options) if split.scheme == "amqps" else None,
        **values,
    )


def _vhost(path: str) -> str:
    name = path.removeprefix("/")
    return unquote(name) if name else "/"


def _values(options: dict[str, str], problems: list[str]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    queue_type = options.get("queue_type", "quorum")
    if queue_type not in _QUEUE_TYPES:
        problems.append(f"queue_type: expected quorum or classic, got {queue_type!r}")
    values["queue_type"] = queue_type
    if "delivery_limit" in options:
        limit = options["delivery_limit"]
        if not limit.isdecimal() or not 1 <= int(limit) <= 1000:
            problems.append(f"delivery_limit: expected 1 to 1000, got {limit!r}")
        else:
            values["delivery_limit"] = int(limit)
    for name in ("heartbeat", "timeout"):
        if name in options:
            try:
                values[f"{name}_s"] = read_duration(options[name]).total_seconds()
            except ValueError:
                problems.append(f"{name}: expected a duration such as 20s, got {options[name]!r}")
    return values


def _unknown(name: str) -> str:
    close = get_close_matches(name, _OPTIONS, n=1)
    hint = f", did you mean {close[0]}" if close else f", known: {', '.join(_OPTIONS)}"
    return f"amqp URL: no option {name!r}{hint}"


def _tls(host: str, options: dict[str, str]) -> dict[str, Any]:
    return {
        "cert_reqs": ssl.CERT_REQUIRED,
        "server_hostname": host,
        "ca_certs": options.get("ca"),
        "certfile": options.get("cert"),
        "keyfile": options.get("key"),
    }
