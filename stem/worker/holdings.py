"""What the worker's core holds and is told: deliveries, running attempts, children, times."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

    from stem.message import Delivery, Envelope, Refusal
    from stem.ports.revokes import Revocation


class Stopping(IntEnum):
    """How urgently a worker stops; only ever raised."""

    NO = 0
    WARM = 1
    """Finish what runs, within the grace period."""
    SOFT = 2
    """Interrupt what runs; it is given back."""
    HARD = 3
    """Kill what runs; it is given back."""


@dataclass(frozen=True, slots=True)
class Moment:
    """One reading of both clocks."""

    mono_s: float
    wall: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """A delivery as the courier hands it over."""

    delivery: Delivery
    envelope: Envelope | Refusal
    revocation: Revocation | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildEnd:
    """How a child's process ended.

    Attributes:
        exit_code: As `multiprocessing.Process.exitcode`: negative for a signal; None when unknown.
    """

    exit_code: int | None


@dataclass(slots=True, kw_only=True)
class RunningTask:
    """An attempt that a child has been given.

    Attributes:
        started: When it began; None while it waits in the child behind another one.
        noted: Whether its record says that it runs.
        told: Whether its soft limit was told.
        lost: Whether its lease is lost, so that its outcome is dropped.
        recalled: Whether the child was asked not to start it.
        wakes: How often its child is still to be woken.
    """

    key: int
    child: int
    delivery: Delivery
    envelope: Envelope
    started: Moment | None
    soft_s: float | None
    hard_s: float | None
    noted: bool = False
    told: bool = False
    lost: bool = False
    recalled: bool = False
    wakes: int = 0


@dataclass(slots=True, kw_only=True)
class ChildState:
    """A child process, as far as decisions need it.

    Attributes:
        slots: 0 until it is ready.
        keys: The attempts that it was given, in that order, as keys of a dict.
        draining: It is given nothing more.
        overdue: The attempt that ran for its hard limit.
        kill_at_s: When it is killed, by the monotonic clock, unless its other attempts end before.
    """

    slots: int = 0
    keys: dict[int, None] = field(default_factory=dict[int, None])
    tasks_run: int = 0
    draining: bool = False
    killed: bool = False
    overdue: int | None = None
    kill_at_s: float | None = None


@dataclass(frozen=True, slots=True)
class Buffered:
    """A delivery that waits for a free slot."""

    delivery: Delivery
    envelope: Envelope
    since_s: float
