"""What the core asks the hub to do: a closed set."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable

    from stem.ports.broker import Settlement
    from stem.ports.results import Start
    from stem.worker.attempt import Job
    from stem.worker.frames import Kind


Announcement: TypeAlias = "Callable[[], None]"
"""Sends a signal; called in the announcer's thread."""


@dataclass(frozen=True, slots=True)
class Run:
    """Start an attempt in a child."""

    child: int
    job: Job


@dataclass(frozen=True, slots=True)
class Tell:
    """Send a frame about a running attempt."""

    child: int
    key: int
    kind: Kind
    payload: Any


@dataclass(frozen=True, slots=True)
class Wake:
    """Make a child that runs a task in its main thread look at its socket."""

    child: int


@dataclass(frozen=True, slots=True)
class Drain:
    """Let a child exit once nothing runs in it."""

    child: int


@dataclass(frozen=True, slots=True)
class Kill:
    """End a child's process at once."""

    child: int


@dataclass(frozen=True, slots=True)
class Spawn:
    """Start a child's process, not before ``delay_s`` seconds from now."""

    delay_s: float


@dataclass(frozen=True, slots=True)
class Settle:
    """Settle a delivery.

    Attributes:
        announcements: Made once the store has accepted the settlement.
    """

    settlement: Settlement
    announcements: tuple[Announcement, ...] = field(default=())


@dataclass(frozen=True, slots=True)
class Note:
    """Write that an attempt is running."""

    start: Start


@dataclass(frozen=True, slots=True)
class Announce:
    """Send a signal now."""

    announcement: Announcement


@dataclass(frozen=True, slots=True)
class Grant:
    """Change by so much how many messages the courier may lease; may be negative."""

    credits: int


Effect: TypeAlias = Run | Tell | Wake | Drain | Kill | Spawn | Settle | Note | Announce | Grant
