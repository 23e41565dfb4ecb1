"""What a database's error means to whoever asked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from stem.errors import StoreError


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """A kind of failure.

    Attributes:
        reason: One line without secrets.
        remedy: One sentence; ``{place}`` stands for what a person would have to look at.
        connection_is_good: Whether the connection can be used again after a rollback.
        is_conflict: Whether the same transaction is expected to succeed when it is tried again at once.
    """

    kind: type[StoreError]
    reason: str
    remedy: str
    connection_is_good: bool = False
    is_conflict: bool = False


OTHER: Final = Verdict(kind=StoreError, reason="the database refused", remedy="")
