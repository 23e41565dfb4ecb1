"""Leasing and settling where records and messages lie in different databases."""

from __future__ import annotations

import logging
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import TYPE_CHECKING

from stem.codecs import read_label
from stem.errors import StoreError
from stem.message import Message
from stem.ports.broker import Complete, Release
from stem.two_stores.records import Standing, fenced
from stem.two_stores.settling import Held, Settling

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Generator, Sequence

    from stem.message import Delivery, Label
    from stem.ports.broker import LeaseSource, Settlement
    from stem.ports.results import Start
    from stem.two_stores.broker import TwoStoreBroker

log = logging.getLogger(__name__)


class TwoStoreSource:
    """Leases messages of one database, claiming their records in another.

    It settles only what it has leased itself; another source's token is stale to it.
    """

    def __init__(self, broker: TwoStoreBroker, *, owner: str) -> None:
        self._broker = broker
        self._records = broker.records
        self._source = broker.inner.source(owner=owner)
        self._settling = Settling(broker)
        self._owner = owner
        self._held: dict[str, Held] = {}
        self._duration = timedelta(seconds=30)

    def lease(self, queues: Sequence[str], *, limit: int, duration: timedelta) -> list[Delivery]:
        """Take up to ``limit`` ready messages whose tasks have not ended."""
        self._duration = duration
        open_queues = self._open(queues)
        deliveries = self._source.lease(open_queues, limit=limit, duration=duration)
        if not deliveries and self._broker.forwarder.forward_if_due():
            deliveries = self._source.lease(open_queues, limit=limit, duration=duration)
        if not deliveries:
            return []
        return self._claim(deliveries)

    @contextmanager
    def _giving_back(self, deliveries: Sequence[Delivery], *, counted: bool) -> Generator[None]:
        """Put messages back when the stores fail inside; not every lease lapses by itself."""
        try:
            yield
        except StoreError:
            with suppress(StoreError):
                self._source.settle(
                    [Release(token=delivery.token, counted=counted) for delivery in deliveries]
                )
            raise

    def _open(self, queues: Sequence[str]) -> list[str]:
        if not queues:
            return []
        paused = {stats.queue for stats in self._broker.pauses.stats(queues) if stats.paused}
        return [queue for queue in queues if queue not in paused]

    def _claim(self, deliveries: Sequence[Delivery]) -> list[Delivery]:
        labels = [_label(delivery) for delivery in deliveries]
        ids = {label.task_id for label in labels if label is not None}
        with self._giving_back(deliveries, counted=False):
            records = self._records.results.get(ids) if ids else {}
        standings = {task_id: Standing.of(records.get(task_id)) for task_id in ids}
        kept: list[Delivery] = []
        past: list[Delivery] = []
        claims: dict[str, Start] = {}
        for delivery, label in zip(deliveries, labels, strict=True):
            if label is None:
                kept.append(delivery)
            elif standings[label.task_id].is_past(delivery, label):
                past.append(delivery)
            else:
                standing = standings[label.task_id] = standings[label.task_id].after(label)
                claim = self._records.claim(delivery, label, fence=standing.fence, owner=self._owner)
                claims[delivery.token] = claim
                kept.append(fenced(delivery, claim))
        self._remove(past)
        return self._hold(kept, claims)

    def _hold(self, kept: Sequence[Delivery], claims: dict[str, Start]) -> list[Delivery]:
        # Counted, because the claims may have been written: an unrepeated delivery of an
        # attempt that is running would pass for a copy.
        with self._giving_back(kept, counted=True):
            told = self._records.results.start(list(claims.values())) if claims else []
        answers = dict(zip(claims, told, strict=True))
        refused = [delivery for delivery in kept if not answers.get(delivery.token, True)]
        if refused:
            # Somebody wrote since the record was read; it comes again and is looked at again.
            self._source.settle([Release(token=delivery.token) for delivery in refused])
        granted = [delivery for delivery in kept if answers.get(delivery.token, True)]
        for delivery in granted:
            self._held[delivery.token] = Held(delivery=delivery, claim=claims.get(delivery.token))
        return granted

    def _remove(self, past: Sequence[Delivery]) -> None:
        if past:
            log.info("delivery.dropped", extra={"count": len(past)})
            self._source.settle([Complete(token=delivery.token) for delivery in past])

    def wait(self, timeout_s: float) -> None:
        """Block until there may be something to lease, `wake` is called, or ``timeout_s`` pass."""
        self._source.wait(timeout_s)

    def wake(self) -> None:
        """End a `wait` that is under way, or the next one."""
        self._source.wake()

    def settle(self, settlements: Sequence[Settlement]) -> list[bool]:
        """Carry out each settlement whose token is current, in the order that the package tells."""
        current = self._current(settlements)
        orders = [(self._held[token], settlement) for token, settlement in current.items()]
        settled = self._settling.carry_out(self._source, orders)
        for token in current:
            del self._held[token]
        answers = dict(zip(current, settled, strict=True))
        # Of several settlements with one token the first counts.
        return [answers.pop(settlement.token, False) for settlement in settlements]

    def _current(self, settlements: Sequence[Settlement]) -> dict[str, Settlement]:
        first: dict[str, Settlement] = {}
        for settlement in settlements:
            if settlement.token in self._held:
                first.setdefault(settlement.token, settlement)
        if not first:
            return {}
        # Renewed, so that no lease lapses between the steps that follow.
        lost = self.renew(list(first), duration=self._duration)
        return {token: settlement for token, settlement in first.items() if token not in lost}

    def renew(self, tokens: Collection[str], *, duration: timedelta) -> set[str]:
        """Let each lease hold for ``duration`` from now; return the tokens whose lease is lost."""
        lost = self._source.renew(tokens, duration=duration) if tokens else set[str]()
        for token in lost:
            self._held.pop(token, None)
        return lost

    def close(self) -> None:
        """Free the connection. Leases that are still held lapse by themselves."""
        self._source.close()


def _label(delivery: Delivery) -> Label | None:
    if not isinstance(delivery.content, Message):
        return None
    label = read_label(delivery.content)
    return label if label.task_id else None


if TYPE_CHECKING:
    _: Callable[..., LeaseSource] = TwoStoreSource
