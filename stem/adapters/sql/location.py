"""An ``sqlite:`` URL, taken apart."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from datetime import timedelta
from difflib import get_close_matches
from typing import Final
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from stem.config.durations import read_duration
from stem.errors import ConfigurationError

_NAMESPACE: Final = re.compile(r"[a-z][a-z0-9_]{0,29}")
_SYNCHRONOUS: Final = ("normal", "full")
_OPTIONS: Final = ("synchronous", "busy_timeout")
_FORM: Final = "expected sqlite:///relative.db or sqlite:////absolute/path.db"


@dataclass(frozen=True, slots=True, kw_only=True)
class Location:
    """Where the database file is and how to treat it.

    Attributes:
        path: Absolute, symbolic links resolved.
        synchronous: ``normal``: a commit survives a killed process, not a power
            failure. ``full``: it survives both, and costs a disk flush.
        busy_timeout: How long to wait for another process's write.
    """

    path: str
    synchronous: str = "normal"
    busy_timeout: timedelta = timedelta(seconds=5)

    @property
    def address(self) -> str:
        """The URL without options."""
        return f"sqlite:///{quote(self.path)}"


def read_location(url: str, *, namespace: str) -> Location:
    """Return what ``url`` says.

    Raises:
        ConfigurationError: It, or the namespace, cannot be used; every problem at once.
    """
    problems = namespace_problems(namespace)
    split = urlsplit(url)
    path = unquote(split.path.removeprefix("/"))
    problems += _path_problems(split.netloc, path)
    options: dict[str, str] = {}
    for name, value in parse_qsl(split.query, keep_blank_values=True):
        problems += _option_problems(name)
        options[name] = value
    synchronous = options.get("synchronous", "normal").lower()
    if synchronous not in _SYNCHRONOUS:
        problems.append(f"synchronous: expected normal or full, got {synchronous!r}")
    busy_timeout = _duration(options.get("busy_timeout", "5s"))
    if busy_timeout is None:
        problems.append(f"busy_timeout: expected a duration such as 5s, got {options['busy_timeout']!r}")
    if problems or busy_timeout is None:
        raise ConfigurationError(problems=problems)
    return Location(path=os.path.realpath(path), synchronous=synchronous, busy_timeout=busy_timeout)


def namespace_problems(namespace: str) -> list[str]:
    """Return what is wrong with a namespace, a sentence each."""
    if _NAMESPACE.fullmatch(namespace):
        return []
    return [
        f"namespace: expected a letter, then up to 29 lower-case letters, digits and _, got {namespace!r}"
    ]


def _path_problems(host: str, path: str) -> list[str]:
    if ":memory:" in (host, path):
        return ["sqlite URL: :memory: belongs to one process alone, and a queue has several; name a file"]
    if host:
        return [f"sqlite URL: {_FORM}, got the host {host!r}"]
    if not path:
        return [f"sqlite URL: {_FORM}, got no file; several processes need one"]
    return []


def _option_problems(name: str) -> list[str]:
    if name in _OPTIONS:
        return []
    near = get_close_matches(name, _OPTIONS, n=1)
    hint = f"; did you mean {near[0]}?" if near else ""
    return [f"sqlite URL: unknown option {name!r}, known: {', '.join(_OPTIONS)}{hint}"]


def _duration(text: str) -> timedelta | None:
    try:
        duration = read_duration(text)
    except ValueError:
        return None
    return duration if duration >= timedelta(0) else None
