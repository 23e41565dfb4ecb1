"""The Lua scripts, each with what it needs from ``lua/messages.lua`` and ``lua/records.lua``.

A script is one atomic step for every other client of the server, and is not rolled back: those
that take a message from one place put it into the next one first, or touch nothing before every
key was found to be of the right type.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from hashlib import sha1
from importlib.resources import files
from typing import Final

PUBLISH: Final = "publish"
LEASE: Final = "lease"
SETTLE: Final = "settle"
RENEW: Final = "renew"
LAPSED: Final = "lapsed"
RECLAIM: Final = "reclaim"
RECORD: Final = "record"
PAGE: Final = "page"
FORGET: Final = "forget"
STATS: Final = "stats"
BROWSE: Final = "browse"
PURGE: Final = "purge"
CANCEL: Final = "cancel"
ADOPT: Final = "adopt"
REPLAY: Final = "replay"
PURGE_LETTERS: Final = "purge_letters"
BEAT: Final = "beat"
GOODBYE: Final = "goodbye"
ALIVE: Final = "alive"
REVOKE: Final = "revoke"
REVOKED: Final = "revoked"
UNREVOKE: Final = "unrevoke"

_PREAMBLE: Final = ("messages", "records")


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """One script.

    Attributes:
        digest: Under which a server that has seen the text runs it.
    """

    text: bytes
    digest: bytes


@cache
def script(name: str) -> Script:
    """Return the script of that name."""
    folder = files("stem.adapters.redis") / "lua"
    text = b"\n".join((folder / f"{part}.lua").read_bytes() for part in (*_PREAMBLE, name))
    # The digest is Redis's own choice; nothing secret depends on it.
    return Script(text=text, digest=sha1(text, usedforsecurity=False).hexdigest().encode())
