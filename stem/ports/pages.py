"""Cursors of keyset pages."""

from __future__ import annotations

import base64
import binascii
import json
from typing import cast

from stem.errors import ConfigurationError


def write_cursor(*keys: str | int) -> str:
    """Return the cursor that stands after the row with these sort keys."""
    return base64.urlsafe_b64encode(json.dumps(keys, separators=(",", ":")).encode()).decode().rstrip("=")


def read_cursor(cursor: str, *kinds: type[str] | type[int]) -> tuple[str | int, ...]:
    """Return the sort keys in a cursor that `write_cursor` made.

    Args:
        kinds: The type of each key, in order.

    Raises:
        ConfigurationError: It is not a cursor, or one of another listing.
    """
    try:
        keys = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except (ValueError, binascii.Error, RecursionError):
        keys = None
    if isinstance(keys, list):
        values = cast("list[str | int]", keys)
        if [type(value) for value in values] == list(kinds) and all(map(_is_storable, values)):
            return tuple(values)
    raise ConfigurationError(problems=["cursor: expected the next_cursor of an earlier page"])


def _is_storable(key: str | int) -> bool:
    # Cursors come back from browsers; what a database cannot even be asked for
    # must not become an error of the store.
    if isinstance(key, int):
        return -(2**63) <= key < 2**63
    return "\0" not in key and not any("\ud800" <= character <= "\udfff" for character in key)
