"""Publishing, leasing and settling in memory."""

from __future__ import annotations

from dataclasses import replace
from threading import Event
from typing import TYPE_CHECKING, Final, assert_never

from stem.codecs import pack, read_label, unpack
from stem.errors import WorkerLostError
from stem.message import Delivery, ErrorInfo, Label, Message
from stem.ports.broker import NOW, Bury, Capabilities, Complete, Reclaimed, Release, Reschedule
from stem.ports.results import RetryNote
from stem.states import DeadReason

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from datetime import datetime, timedelta

    from stem.adapters.memory.database import Database
    from stem.adapters.memory.messages import Row
    from stem.clock import Clock
    from stem.ports.broker import Broker, LeaseSource, Publication, Settlement

CAPABILITIES: Final = Capabilities(atomic_results=True, loss_window="when the process ends")

_UNLABELLED: Final = Label(task_id="", task="", attempt=0, generation=0)


class MemoryBroker:
    """The broker of a `Database`."""

    def __init__(self, *, database: Database, clock: Clock, address: str) -> None:
        self._database = database
        self._clock = clock
        self._address = address

    @property
    def capabilities(self) -> Capabilities:
        """Everything, natively."""
        return CAPABILITIES

    @property
    def address(self) -> str:
        """The URL; it holds no secrets."""
        return self._address

    def publish(self, publications: Sequence[Publication]) -> list[bool]:
        """Store each message whose id is not known."""
        # Packed before anything is stored: a message that cannot be must not leave half a batch behind.
        packed = [(each, pack(each.message, queue=each.queue)) for each in publications]
        database = self._database
        with database.lock:
            now = self._clock.wall()
            published = [database.publish(publication, payload, now) for publication, payload in packed]
            database.tell_listeners()
        return published

    def publish_raw(self, queue: str, payload: str) -> None:
        """Store ``payload`` as it is, as a foreign producer would: garbage and known ids too."""
        content = unpack(payload)
        label = read_label(content) if isinstance(content, Message) else _UNLABELLED
        with self._database.lock:
            self._database.messages.add(
                payload,
                label,
                queue=queue,
                priority=0,
                due=NOW,
                now=self._clock.wall(),
            )
            self._database.tell_listeners()

    def source(self, *, owner: str) -> MemorySource:
        """Return a new source for the worker ``owner``."""
        return MemorySource(database=self._database, clock=self._clock, owner=owner)

    def reclaim(self, *, limit: int, max_deliveries: int) -> list[Reclaimed]:
        """Take away up to ``limit`` leases that have lapsed."""
        database = self._database
        with database.lock:
            now = self._clock.wall()
            rows = database.messages.lapsed(now, limit)
            reclaimed = [self._reclaimed(row, max_deliveries=max_deliveries, now=now) for row in rows]
            database.tell_listeners()
        return reclaimed

    def close(self) -> None:
        """Do nothing: there is no connection."""

    def _reclaimed(self, row: Row, *, max_deliveries: int, now: datetime) -> Reclaimed:
        label, owner, buried = row.label, row.owner, row.deliveries >= max_deliveries
        if buried:
            self._bury(row, now)
        else:
            self._database.messages.give_back(row, NOW, now)
            self._database.records.reclaim(label.task_id, fence=row.fence, now=now)
        return Reclaimed(
            task_id=label.task_id,
            task=label.task,
            queue=row.queue,
            deliveries=row.deliveries,
            owner=owner,
            buried=buried,
        )

    def _bury(self, row: Row, now: datetime) -> None:
        label = row.label
        lost = WorkerLostError(
            reason=f"{row.deliveries} deliveries without an outcome, the last to {row.owner}"
        )
        burial = Bury(
            token=row.token,
            reason=DeadReason.WORKER_LOST,
            detail=str(lost),
            task_id=label.task_id,
            task=label.task,
            attempt=label.attempt,
        )
        self._database.messages.remove(row)
        self._database.burials.add(row, burial, now)
        error = ErrorInfo(type="stem.errors.WorkerLostError", message=str(lost))
        self._database.records.lose(
            label.task_id, fence=row.fence, deliveries=row.deliveries, error=error, now=now
        )


class MemorySource:
    """Leases messages of a `Database` for one worker."""

    def __init__(self, *, database: Database, clock: Clock, owner: str) -> None:
        self._database = database
        self._clock = clock
        self._owner = owner
        self._doorbell = Event()
        with database.lock:
            database.listeners.add(self._doorbell)

    def lease(self, queues: Sequence[str], *, limit: int, duration: timedelta) -> list[Delivery]:
        """Take up to ``limit`` ready messages, the first named queue's first."""
        with self._database.lock:
            now = self._clock.wall()
            rows = self._database.messages.lease(
                queues, limit=limit, until=now + duration, owner=self._owner, now=now
            )
            return [_delivery(row) for row in rows]

    def wait(self, timeout_s: float) -> None:
        """Block until the doorbell rings, a delayed message is due, or ``timeout_s`` pass."""
        with self._database.lock:
            now = self._clock.wall()
            due = self._database.messages.next_due(now)
        until_due_s = timeout_s if due is None else (due - now).total_seconds()
        self._clock.wait(self._doorbell, min(timeout_s, until_due_s))
        self._doorbell.clear()

    def wake(self) -> None:
        """Ring the doorbell."""
        self._doorbell.set()

    def settle(self, settlements: Sequence[Settlement]) -> list[bool]:
        """Carry out each settlement whose token is current."""
        with self._database.lock:
            now = self._clock.wall()
            # All packed before the first is carried out: one that cannot be must not leave half a batch.
            packed = [self._packed(settlement, now) for settlement in settlements]
            settled = [
                self._settle(settlement, payloads, now)
                for settlement, payloads in zip(settlements, packed, strict=True)
            ]
            self._database.tell_listeners()
        return settled

    def renew(self, tokens: Collection[str], *, duration: timedelta) -> set[str]:
        """Let each lease hold for ``duration`` from now; return the tokens whose lease is lost."""
        lost: set[str] = set()
        with self._database.lock:
            now = self._clock.wall()
            for token in tokens:
                row = self._database.messages.held(token, now)
                if row is None:
                    lost.add(token)
                else:
                    row.until = now + duration
        return lost

    def close(self) -> None:
        """Stop listening. Leases that are still held lapse by themselves."""
        with self._database.lock:
            self._database.listeners.discard(self._doorbell)

    def _packed(self, settlement: Settlement, now: datetime) -> list[str]:
        match settlement:
            case Complete():
                return [pack(each.message, queue=each.queue) for each in settlement.successors]
            case Reschedule():
                row = self._database.messages.held(settlement.token, now)
                return [] if row is None else [pack(settlement.message, queue=row.queue)]
            case _:
                return []

    def _settle(self, settlement: Settlement, payloads: list[str], now: datetime) -> bool:
        row = self._database.messages.held(settlement.token, now)
        if row is None:
            return False
        match settlement:
            case Complete():
                self._complete(row, settlement, payloads, now)
            case Release():
                self._release(row, settlement, now)
            case Reschedule():
                self._reschedule(row, settlement, payloads[0], now)
            case Bury():
                self._bury(row, settlement, now)
            case _:
                assert_never(settlement)
        return True

    def _complete(self, row: Row, settlement: Complete, payloads: list[str], now: datetime) -> None:
        self._database.messages.remove(row)
        if settlement.ending is not None:
            self._database.records.finish(settlement.ending, now)
        for publication, payload in zip(settlement.successors, payloads, strict=True):
            self._database.publish(publication, payload, now)

    def _release(self, row: Row, settlement: Release, now: datetime) -> None:
        self._database.messages.give_back(row, settlement.due, now)
        row.deliveries -= not settlement.counted
        self._database.records.release(row.label.task_id, fence=row.fence, now=now)

    def _reschedule(self, row: Row, settlement: Reschedule, payload: str, now: datetime) -> None:
        failed = RetryNote(
            task_id=row.label.task_id,
            token=row.token,
            fence=row.fence,
            attempt=settlement.attempt - 1,
            deliveries=row.deliveries,
            worker=row.owner,
            at=now,
            retry_at=now,
            error=settlement.error,
        )
        self._database.records.retry(failed, now)
        self._database.messages.give_back(row, settlement.due, now)
        row.payload, row.deliveries = payload, 0
        row.label = replace(read_label(settlement.message), task_id=row.label.task_id)

    def _bury(self, row: Row, settlement: Bury, now: datetime) -> None:
        self._database.messages.remove(row)
        self._database.burials.add(row, settlement, now)
        if settlement.ending is not None:
            self._database.records.finish(settlement.ending, now)


def _delivery(row: Row) -> Delivery:
    return Delivery(
        token=row.token,
        queue=row.queue,
        content=unpack(row.payload),
        deliveries=row.deliveries,
        fence=row.fence,
    )


if TYPE_CHECKING:

    def _(broker: MemoryBroker, source: MemorySource) -> tuple[Broker, LeaseSource]:
        return broker, source
