"""Hide secrets in whatever is shown, logged or sent on.

In doubt too much is hidden: a password that was put into a URL without percent
encoding may hold any character, so the rules go by the outermost delimiters.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, cast
from urllib.parse import unquote

if TYPE_CHECKING:
    from collections.abc import Collection

MASK: Final = "***"

SECRET_NAMES: Final = (
    "password",
    "passwd",
    "passphrase",
    "pwd",
    "secret",
    "token",
    "api_key",
    "access_key",
    "private_key",
    "authorization",
    "cookie",
    "session",
    "credential",
    "signature",
)
"""Names whose values are secret. A name that contains one of them counts, in any case and spelling."""

MAX_DEPTH: Final = 32
"""What lies deeper than this many levels in a mapping is hidden altogether."""

_SEPARATORS: Final = str.maketrans("", "", "-_. ")
_SCHEME: Final = r"[A-Za-z][A-Za-z0-9+.-]{0,40}://"
_URL: Final = re.compile(rf"{_SCHEME}\S+")
_STARTS_AS_URL: Final = re.compile(_SCHEME)
_NEXT_URL: Final = re.compile(rf";(?={_SCHEME})")
_HOST: Final = r"(?:\[[^\]]*\]|[^:@,\[]*)(?::\d*)?"
_ADDRESS: Final = re.compile(rf"{_HOST}(?:,{_HOST})*")
_QUERY: Final = re.compile(r"(?<=[?&])([^=&?]+)=([^&]*)")
_PAIR: Final = re.compile(r"""([\w.-]{1,64})=('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|\S+)""")
_AWS_KEY: Final = re.compile(r"(?:AKIA|ASIA)[A-Z0-9]{16}")


def is_secret_name(name: str, names: Collection[str] = SECRET_NAMES) -> bool:
    """Return whether ``name`` (of a setting, an argument, a header) says that its value is secret."""
    plain = name.lower().translate(_SEPARATORS)
    return any(secret.lower().translate(_SEPARATORS) in plain for secret in names)


def mask_url(url: str) -> str:
    """Return ``url`` without its secrets: password, secret query values, AWS access keys.

    Args:
        url: One URL, several joined by ``;`` as Kombu takes them, or a
            connection string of ``name=value`` pairs. It need not be valid.
    """
    return _AWS_KEY.sub(MASK, ";".join(_mask_one(one) for one in _split(url)))


def mask_text(text: str) -> str:
    """Return ``text`` with every URL and every ``secret_name=value`` in it masked."""
    masked = _URL.sub(lambda found: mask_url(found[0]), text)
    return _AWS_KEY.sub(MASK, _PAIR.sub(_mask_pair, masked))


def mask_mapping(mapping: Mapping[Any, Any], *, names: Collection[str] = SECRET_NAMES) -> dict[Any, Any]:
    """Return a copy of ``mapping`` without secrets, nested mappings, lists and texts included.

    Args:
        names: Which names' values are hidden; see `is_secret_name`.
    """
    return _mask_items(mapping, names, MAX_DEPTH)


def _mask_items(mapping: Mapping[Any, Any], names: Collection[str], depth: int) -> dict[Any, Any]:
    return {
        key: MASK if is_secret_name(str(key), names) else _mask_value(value, names, depth)
        for key, value in mapping.items()
    }


def _mask_value(value: object, names: Collection[str], depth: int) -> object:
    if depth == 0:
        return MASK
    match value:
        case str():
            return mask_text(mask_url(value))
        case Mapping():
            return _mask_items(cast("Mapping[Any, Any]", value), names, depth - 1)  # type: ignore[redundant-cast]  # pyright needs it
        case list() | tuple():
            return [_mask_value(item, names, depth - 1) for item in cast("list[Any]", value)]
        case _:
            return value


def _split(url: str) -> list[str]:
    whole: list[str] = []
    for piece in _NEXT_URL.split(url):
        # A piece that ends within a password was cut at a ";" of that password.
        if whole and not _is_complete(whole[-1]):
            whole[-1] = f"{whole[-1]};{piece}"
        else:
            whole.append(piece)
    return whole


def _is_complete(url: str) -> bool:
    rest = url.partition("://")[2]
    return "@" in rest or _ADDRESS.fullmatch(_authority(rest)) is not None


def _authority(rest: str) -> str:
    return re.split(r"[/?#]", rest, maxsplit=1)[0]


def _mask_one(url: str) -> str:
    found = _STARTS_AS_URL.match(url)
    if found is None:
        return _PAIR.sub(_mask_pair, url)
    return found[0] + _QUERY.sub(_mask_query, _mask_password(url[found.end() :]))


def _mask_password(rest: str) -> str:
    if rest.startswith("/"):  # no authority, hence no password: a file
        return rest
    user_info, at, address = rest.rpartition("@")
    if at:
        user, colon, _ = user_info.partition(":")
        return f"{user}:{MASK}@{address}" if colon else rest
    if _ADDRESS.fullmatch(_authority(rest)):
        return rest
    return f"{rest.partition(':')[0]}:{MASK}"


def _mask_query(found: re.Match[str]) -> str:
    name = unquote(found[1])
    secret = is_secret_name(name) or name.lower().endswith("key")
    return f"{found[1]}={MASK}" if secret else found[0]


def _mask_pair(found: re.Match[str]) -> str:
    return f"{found[1]}={MASK}" if is_secret_name(found[1]) else found[0]
