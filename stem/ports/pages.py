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
    except (ValueError, binascii.Error):
        keys = None
    if isinstance(keys, list):
        values = cast("list[str | int]", keys)
        if [type(value) for value in values] == list(kinds):
            return tuple(values)
    raise ConfigurationError(problems=["cursor: expected the next_cursor of an earlier page"])
