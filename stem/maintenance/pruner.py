"""Delete what has outlived its retention."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from stem.ports.deadletters import DeadLetterQuery

if TYPE_CHECKING:
    from datetime import timedelta

    from stem.clock import Clock
    from stem.ports.deadletters import DeadLetters
    from stem.ports.results import Results
    from stem.ports.revokes import Revokes

log = logging.getLogger(__name__)

PRUNE_EVERY_S: Final = 60.0

BATCH: Final = 1_000


class Pruner:
    """Deletes expired records, revocations and dead letters. Safe to run in any number of processes."""

    def __init__(
        self,
        *,
        results: Results,
        revokes: Revokes,
        dead_letters: DeadLetters,
        dead_letter_ttl: timedelta,
        clock: Clock,
    ) -> None:
        self._results = results
        self._revokes = revokes
        self._dead_letters = dead_letters
        self._dead_letter_ttl = dead_letter_ttl
        self._clock = clock

    def tick(self) -> None:
        """Delete a batch of each kind.

        Raises:
            StoreError: A store does not answer; the next tick tries again.
        """
        before = self._clock.wall() - self._dead_letter_ttl
        counts = {
            "results": self._results.prune(limit=BATCH),
            "revokes": self._revokes.prune(limit=BATCH),
            "dead_letters": self._dead_letters.purge(
                DeadLetterQuery(until=before, replayed=True), limit=BATCH
            ),
        }
        if any(counts.values()):
            log.info("store.pruned", extra=counts)
