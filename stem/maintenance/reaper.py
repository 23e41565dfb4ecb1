"""Take lapsed leases away from workers that are gone."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from stem.ports.broker import Broker

log = logging.getLogger(__name__)

REAP_EVERY_S: Final = 1.0
"""A lapsed lease is noticed within this time, in seconds, by every worker that lives."""

BATCH: Final = 100


class Reaper:
    """Hands on what workers that died had held. Safe to run in any number of processes.

    Args:
        max_deliveries: A message whose leases lapsed so often is buried.
    """

    def __init__(self, broker: Broker, *, max_deliveries: int) -> None:
        self._broker = broker
        self._max_deliveries = max_deliveries

    def tick(self) -> int:
        """Reclaim what has lapsed; return how many messages.

        Raises:
            StoreError: The broker does not answer; the next tick tries again.
        """
        total = 0
        while True:
            reclaimed = self._broker.reclaim(limit=BATCH, max_deliveries=self._max_deliveries)
            for one in reclaimed:
                log.warning(
                    "lease.buried" if one.buried else "lease.reclaimed",
                    extra={
                        "task_id": one.task_id,
                        "task": one.task,
                        "queue": one.queue,
                        "deliveries": one.deliveries,
                        "owner": one.owner,
                    },
                )
            total += len(reclaimed)
            if len(reclaimed) < BATCH:
                return total
