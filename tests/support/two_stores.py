"""Messages in one database of memory, everything else in another."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from stem.adapters.memory.stack import open_stack as open_memory
from stem.testing.contracts import ClockedHarness, TakesRaw
from stem.two_stores import join_stacks
from stem.two_stores.broker import TwoStoreBroker

if TYPE_CHECKING:
    from stem.clock import Clock
    from stem.ports.stack import Stack

RESULT_TTL = timedelta(hours=1)


def open_two_stores(url: str, *, namespace: str, clock: Clock) -> Stack:
    """Open ``<url>-messages`` and ``<url>-stores`` as one stack."""
    messages, stores = (
        open_memory(f"{url}-{part}", namespace=namespace, clock=clock) for part in ("messages", "stores")
    )
    return join_stacks(messages, stores, result_ttl=RESULT_TTL, clock=clock)


class TwoStoresHarness(ClockedHarness):
    """A harness of two databases of one name."""

    def __init__(self, url: str) -> None:
        super().__init__(open_two_stores, url)

    def publish_raw(self, queue: str, payload: str) -> None:
        broker = self.stack.broker
        assert isinstance(broker, TwoStoreBroker)
        assert isinstance(broker.inner, TakesRaw)
        broker.inner.publish_raw(queue, payload)
