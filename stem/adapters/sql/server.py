"""A ``postgresql:`` URL, taken apart."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Final
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from stem.adapters.sql.location import namespace_problems
from stem.errors import ConfigurationError

SCHEMES: Final = ("postgresql", "postgres")

_PORT: Final = "5432"
_FORM: Final = "expected postgresql://user:password@host:5432/database"
_SCHEMA: Final = re.compile(r"[a-z_][a-z0-9_]{0,62}")
_HOST: Final = re.compile(r"(?P<host>\[[0-9A-Fa-f:.%]+\]|[^:\[\]]*)(?::(?P<port>\d{1,5}))?")
_OWN: Final = ("schema", "listen")
# Of libpq's own options those that say how to reach the server and how to be sure of it.
_DRIVER: Final = (
    "application_name",
    "channel_binding",
    "connect_timeout",
    "gssencmode",
    "host",
    "keepalives",
    "keepalives_count",
    "keepalives_idle",
    "keepalives_interval",
    "krbsrvname",
    "passfile",
    "sslcert",
    "sslcrl",
    "sslkey",
    "sslmode",
    "sslpassword",
    "sslrootcert",
    "target_session_attrs",
    "tcp_user_timeout",
)
# A server that falls silent is given up after about ten seconds, whatever is under way.
_DEFAULTS: Final = {
    "application_name": "stem",
    "connect_timeout": "5",
    "keepalives_idle": "5",
    "keepalives_interval": "2",
    "keepalives_count": "3",
    "tcp_user_timeout": "10000",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """Where the database is and how to reach it.

    Attributes:
        hosts: ``host:port``, comma-separated when there are several to try.
        database: Its name.
        schema: Where in it the tables are.
        listen: Whether NOTIFY wakes who waits. Without it, nothing is kept in the session, as a
            pool of connections in transaction mode (PgBouncer) needs it.
        parameters: What the driver is to connect with; holds the password.
    """

    hosts: str
    database: str
    schema: str
    listen: bool
    parameters: dict[str, str] = field(repr=False)

    @property
    def identity(self) -> str:
        """The URL without credentials; of the options it has the schema, unless that is ``public``."""
        suffix = "" if self.schema == "public" else f"?schema={self.schema}"
        return f"postgresql://{self.hosts}/{quote(self.database)}{suffix}"

    @property
    def address(self) -> str:
        """The URL with the user's name, the password masked."""
        user = self.parameters.get("user", "")
        secret = ":***" if "password" in self.parameters else ""
        return f"postgresql://{quote(user)}{secret}{'@' if user else ''}{self.hosts}/{quote(self.database)}"


def read_server(url: str, *, namespace: str) -> Server:
    """Return what ``url`` says.

    Raises:
        ConfigurationError: It, or the namespace, cannot be used; every problem at once.
    """
    problems = namespace_problems(namespace)
    split = urlsplit(url)
    database = unquote(split.path.removeprefix("/"))
    if not database or "/" in database:
        problems.append(f"postgresql URL: {_FORM}, got no name of a database")
    options = dict(parse_qsl(split.query, keep_blank_values=True))
    for name in options:
        problems += _option_problems(name)
    credentials, _, netloc = split.netloc.rpartition("@")
    hosts = _hosts(netloc, options.get("host", ""))
    if hosts is None:
        problems.append(f"postgresql URL: {_FORM}; the host or its port cannot be read")
    schema = options.get("schema", "public")
    if not _SCHEMA.fullmatch(schema):
        problems.append(f"schema: expected lower-case letters, digits and _, got {schema!r}")
    listen = options.get("listen", "on")
    if listen not in ("on", "off"):
        problems.append(f"listen: expected on or off, got {listen!r}")
    if problems or hosts is None:
        raise ConfigurationError(problems=problems)
    reach = {
        "host": ",".join(host for host, _ in hosts),
        "port": ",".join(port for _, port in hosts),
        "dbname": database,
    }
    given = {name: value for name, value in options.items() if name in _DRIVER}
    return Server(
        hosts=",".join(f"{quote(host, safe='[]:')}:{port}" for host, port in hosts),
        database=database,
        schema=schema,
        listen=listen == "on",
        parameters=_DEFAULTS | given | reach | _credentials(credentials),
    )


def _credentials(text: str) -> dict[str, str]:
    user, _, password = text.partition(":")
    named = {"user": unquote(user), "password": unquote(password)}
    return {name: value for name, value in named.items() if value}


def _hosts(netloc: str, option: str) -> list[tuple[str, str]] | None:
    # A directory with the server's socket cannot stand in a URL's host, so it is an option.
    if option and netloc.partition(":")[0]:
        return None
    pairs: list[tuple[str, str]] = []
    for text in netloc.split(","):
        match = _HOST.fullmatch(text)
        if match is None:
            return None
        host = option or match["host"].strip("[]") or "localhost"
        pairs.append((unquote(host), match["port"] or _PORT))
    return pairs


def _option_problems(name: str) -> list[str]:
    known = (*_OWN, *_DRIVER)
    if name in known:
        return []
    near = get_close_matches(name, known, n=1)
    hint = f"; did you mean {near[0]}?" if near else ""
    return [f"postgresql URL: unknown option {name!r}, known: {', '.join(known)}{hint}"]
