"""The token of a lease: ``<owner>/<nonce>.<fence>/<queue>``.

It is new for every delivery, since the fence is; it tells the scripts where the lease is kept.
"""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import quote, unquote


class Token(NamedTuple):
    """What a token tells; nothing of one that was not made here."""

    owner: str
    fence: int
    queue: str


def write_prefix(owner: str, nonce: str) -> str:
    """Return what the tokens of one source begin with; the scripts add fence and queue."""
    return f"{quote(owner, safe='@:')}/{nonce}."


def read_token(token: str) -> Token:
    """Return what ``token`` tells."""
    owner, _, rest = token.partition("/")
    delivery, _, queue = rest.partition("/")
    fence = delivery.rpartition(".")[2]
    return Token(owner=unquote(owner), fence=int(fence) if fence.isdecimal() else 0, queue=queue)
