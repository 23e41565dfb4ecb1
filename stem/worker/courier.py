"""Carries messages between the broker and the dispatcher, in a thread of its own.

One thread and one connection lease, settle and renew, in that order of
urgency: what has ended is settled before more is leased. While the store does
not answer, settlements are kept and tried again; a lease that can no longer be
believed in is reported lost.
"""

from __future__ import annotations

import logging
import random
import threading
from collections import deque
from typing import TYPE_CHECKING, Final, Protocol

from stem import codecs
from stem.errors import StoreError
from stem.leasing import LeaseBook
from stem.message import Refusal
from stem.worker.holdings import Arrival

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime, timedelta

    from stem.clock import Clock
    from stem.message import Delivery
    from stem.ports.broker import LeaseSource
    from stem.ports.results import Results, Start
    from stem.ports.revokes import Revokes
    from stem.worker.effects import Announcement, Settle

log = logging.getLogger(__name__)

MAX_BATCH: Final = 100
"""The most messages that are leased or settled at once."""

LINGER_S: Final = 0.002
"""While there is work at hand, settlements are gathered for so long to be settled in one step."""

_PLENTY: Final = 8
_LONGEST_WAIT_S: Final = 1.0
_LONGEST_PAUSE_S: Final = 5.0


class Dispatcher(Protocol):
    """Where the courier delivers. Called in the courier's thread; must not block."""

    def deliver(self, arrivals: Sequence[Arrival]) -> None:
        """Messages were leased."""
        ...

    def lose(self, tokens: Sequence[str]) -> None:
        """Leases are lost."""
        ...

    def fail(self, error: StoreError) -> None:
        """The broker refused for good; the courier has ended."""
        ...


class Courier:
    """Leases by credit, settles, and renews what is held.

    Args:
        source: Owned by the courier's thread from `start` on.
        queues: What to lease from, the first ones first.
        lease: How long a lease holds.
        renew_every: How often all leases are renewed.
        announce: Takes the announcements of accepted settlements.
    """

    def __init__(
        self,
        *,
        source: LeaseSource,
        results: Results,
        revokes: Revokes,
        queues: Sequence[str],
        lease: timedelta,
        renew_every: timedelta,
        dispatcher: Dispatcher,
        announce: Callable[[Announcement], None],
        clock: Clock,
    ) -> None:
        self._source = source
        self._results = results
        self._revokes = revokes
        self._queues = tuple(queues)
        self._lease_for = lease
        self._renew_every_s = renew_every.total_seconds()
        self._dispatcher = dispatcher
        self._announce = announce
        self._clock = clock
        self._book = LeaseBook(duration=lease)
        self._settles: deque[Settle] = deque()
        self._notes: deque[Start] = deque()
        self._credits = 0  # guarded by _lock
        self._lock = threading.Lock()
        self._woken = threading.Event()
        self._stopping = threading.Event()
        self._failures = 0
        self._asleep = False
        self._renew_at_s = clock.monotonic() + self._renew_every_s
        self._thread = threading.Thread(target=self._run, name="stem-courier", daemon=True)
        self.last_renewal_at: datetime | None = None

    # any thread

    def start(self) -> None:
        """Begin; returns at once."""
        self._thread.start()

    def stop(self, *, timeout_s: float | None = None) -> None:
        """Settle what was handed over, and end.

        Args:
            timeout_s: How long to wait for a store that does not answer; what
                is not settled then lapses. None waits for ever.
        """
        self._stopping.set()
        self._wake()
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    def settle(self, settles: Sequence[Settle]) -> None:
        """Hand settlements over; they are tried until the store has answered."""
        self._settles.extend(settles)
        self._wake()

    def note(self, start: Start) -> None:
        """Hand over that an attempt is running."""
        self._notes.append(start)
        self._wake()

    def grant(self, credits: int) -> None:
        """Change by so much how many messages may be leased; may be negative."""
        with self._lock:
            self._credits += credits
        if credits > 0:
            self._wake()

    def _wake(self) -> None:
        # While it works it looks again before it sleeps; waking it costs more
        # than most settlements do.
        if self._asleep:
            self._woken.set()
            self._source.wake()

    # the courier's thread

    def tick(self) -> bool:
        """Do one round; return whether there may be more to do at once.

        Raises:
            StoreError: The store does not answer; nothing that was handed over is forgotten.
        """
        settled = self._settle_batch()
        self._note_all()
        self._renew_if_due()
        leased = False if self._stopping.is_set() else self._lease_batch()
        return settled or leased

    def _run(self) -> None:
        try:
            while not (self._stopping.is_set() and not self._settles):
                self._round()
        finally:
            self._source.close()

    def _round(self) -> None:
        try:
            more = self.tick()
        except StoreError as error:
            self._failed(error)
            return
        except Exception as error:
            # A fault of ours, not of the store: going on could hide lost work.
            log.exception("courier.failed")
            self._give_up(StoreError(server="courier", operation="tick", reason=type(error).__name__))
            return
        if self._failures:
            log.info("broker.reconnected", extra={"attempts": self._failures})
            self._failures = 0
        if not more and not self._settles:
            self._wait()
        self._gather()

    def _gather(self) -> None:
        waiting = len(self._settles)
        at_hand = len(self._book) - waiting
        # Only while the slots have enough to do that neither a result that is
        # waited for nor the next lease is held up.
        if 0 < waiting < MAX_BATCH and at_hand > max(self._credits, _PLENTY):
            self._clock.wait(self._stopping, LINGER_S)

    def _settle_batch(self) -> bool:
        batch = [self._settles[index] for index in range(min(len(self._settles), MAX_BATCH))]
        if not batch:
            return False
        accepted = self._source.settle([settle.settlement for settle in batch])
        # Forgotten only now: a batch whose reply was lost is settled again.
        for _ in batch:
            self._settles.popleft()
        self._book.drop(settle.settlement.token for settle in batch)
        for settle, held in zip(batch, accepted, strict=True):
            if held:
                for announcement in settle.announcements:
                    self._announce(announcement)
        refused = [settle.settlement.token for settle, held in zip(batch, accepted, strict=True) if not held]
        if refused:
            log.warning("settle.refused", extra={"count": len(refused)})
            self._dispatcher.lose(refused)
        return True

    def _note_all(self) -> None:
        if not self._notes:
            return
        held = set(self._book.held())
        notes = [self._notes[index] for index in range(len(self._notes))]
        # What was settled meanwhile has a better record already.
        current = [note for note in notes if note.token in held]
        if current:
            self._results.start(current)
        for _ in notes:
            self._notes.popleft()

    def _renew_if_due(self) -> None:
        now_s = self._clock.monotonic()
        lapsed = self._book.lapsed(now_s)
        if lapsed:
            self._lose(lapsed)
        if now_s < self._renew_at_s:
            return
        self._renew_at_s = now_s + self._renew_every_s
        held = self._book.held()
        if not held:
            return
        lost = self._source.renew(held, duration=self._lease_for)
        self._book.hold((token for token in held if token not in lost), asked_at_s=now_s)
        self.last_renewal_at = self._clock.wall()
        if lost:
            self._lose(sorted(lost))

    def _lose(self, tokens: Sequence[str]) -> None:
        self._book.drop(tokens)
        log.warning("lease.lost", extra={"count": len(tokens)})
        self._dispatcher.lose(tokens)

    def _lease_batch(self) -> bool:
        with self._lock:
            limit = min(self._credits, MAX_BATCH)
        if limit <= 0:
            return False
        asked_at_s = self._clock.monotonic()
        deliveries = self._source.lease(self._queues, limit=limit, duration=self._lease_for)
        if not deliveries:
            return False
        # Before they are held: what cannot be delivered must lapse, not be renewed for ever.
        arrivals = self._read(deliveries)
        self._book.hold((delivery.token for delivery in deliveries), asked_at_s=asked_at_s)
        with self._lock:
            self._credits -= len(deliveries)
        self._dispatcher.deliver(arrivals)
        return len(deliveries) == limit

    def _read(self, deliveries: Sequence[Delivery]) -> list[Arrival]:
        arrivals = [
            Arrival(
                delivery=delivery,
                envelope=delivery.content
                if isinstance(delivery.content, Refusal)
                else codecs.read_envelope(delivery.content, queue=delivery.queue),
            )
            for delivery in deliveries
        ]
        ids = [arrival.envelope.id for arrival in arrivals if not isinstance(arrival.envelope, Refusal)]
        revoked = self._revokes.matching(ids) if ids else {}
        if not revoked:
            return arrivals
        return [
            arrival
            if isinstance(arrival.envelope, Refusal)
            else Arrival(
                delivery=arrival.delivery,
                envelope=arrival.envelope,
                revocation=revoked.get(arrival.envelope.id),
            )
            for arrival in arrivals
        ]

    def _wait(self) -> None:
        timeout_s = max(min(self._renew_at_s - self._clock.monotonic(), _LONGEST_WAIT_S), 0.0)
        credits = self._credits
        self._asleep = True
        # Whatever was handed over before the line above may not have woken us.
        if self._settles or self._notes or self._credits != credits or self._stopping.is_set():
            pass
        elif credits > 0:
            self._source.wait(timeout_s)
        else:
            self._clock.wait(self._woken, timeout_s)
        self._asleep = False
        self._woken.clear()

    def _failed(self, error: StoreError) -> None:
        if not error.transient:
            self._give_up(error)
            return
        self._failures += 1
        log.warning(
            "broker.unavailable",
            extra={"server": error.server, "reason": error.reason, "attempt": self._failures},
        )
        lapsed = self._book.lapsed(self._clock.monotonic())
        if lapsed:
            self._lose(lapsed)
        # Full jitter, so that a fleet does not come back in step. No secret depends on it.
        longest_s = min(0.1 * 2 ** min(self._failures, 10), _LONGEST_PAUSE_S)
        self._clock.wait(self._stopping, longest_s * random.random())

    def _give_up(self, error: StoreError) -> None:
        log.error("broker.failed", extra={"server": error.server, "reason": error.reason})
        self._stopping.set()
        self._settles.clear()
        self._dispatcher.fail(error)
