"""What an adapter must do, as plain data: the lease's state machine without a store.

It decides nothing that the ports leave open. Where several answers are right
(which of two ready messages comes first), it is told the adapter's answer,
checks that it is one of the right ones, and follows it. It shares no code
with any adapter.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from stem.ports.broker import Bury, Complete, Release, Reschedule
from stem.states import DeadReason, TaskState

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from datetime import datetime, timedelta

    from stem.message import Delivery
    from stem.ports.broker import QueueState, Reclaimed, Settlement


@dataclass(kw_only=True)
class Kept:
    """A live message.

    Attributes:
        order: Grows with every publication.
        queued: Whether it has waited ever since it was published, ready: then its turn is promised (B4).
    """

    task_id: str
    queue: str
    priority: int
    order: int
    state: QueueState
    due: datetime
    until: datetime
    attempt: int = 1
    generation: int = 0
    deliveries: int = 0
    token: str = ""
    owner: str = ""
    queued: bool = True


@dataclass(kw_only=True)
class Buried:
    """A dead letter."""

    task_id: str
    queue: str
    priority: int
    reason: DeadReason
    deliveries: int
    generation: int
    replayed: bool = False


@dataclass(kw_only=True)
class Record:
    """A task record and the delivery that it follows."""

    state: TaskState = TaskState.QUEUED
    attempt: int = 1
    generation: int = 0
    fence: int = 0
    token: str | None = None


@dataclass(frozen=True, kw_only=True)
class Given:
    """A token that was handed out, once."""

    token: str
    fence: int
    task_id: str
    attempt: int
    generation: int


@dataclass
class Reference:
    """All places of all messages, by the book."""

    messages: dict[str, Kept] = field(default_factory=dict[str, Kept])
    buried: list[Buried] = field(default_factory=list[Buried])
    records: dict[str, Record] = field(default_factory=dict[str, Record])
    given: list[Given] = field(default_factory=list[Given])
    paused: set[str] = field(default_factory=set[str])
    _order: int = 0

    def pass_time(self, now: datetime) -> None:
        """Let delayed messages become ready."""
        for kept in self.messages.values():
            if kept.state == "delayed" and kept.due <= now:
                kept.state = "ready"

    def publish(
        self, task_id: str, *, queue: str, priority: int, delay: timedelta, recorded: bool, now: datetime
    ) -> bool:
        """Publish; return the answer that is due."""
        if task_id in self.messages or task_id in self.records:
            return False
        if recorded:
            self.records[task_id] = Record()
        self._add(task_id, queue=queue, priority=priority, delay=delay, generation=0, now=now)
        return True

    def lease(
        self,
        deliveries: Sequence[tuple[str, Delivery]],
        *,
        queues: Sequence[str],
        limit: int,
        owner: str,
        until: datetime,
    ) -> None:
        """Check what a lease gave, each with its message's id, and follow it.

        Raises:
            AssertionError: It is not what was to be given.
        """
        ready = self._ready(queues)
        assert len(deliveries) == min(limit, len(ready)), "leased too few or too many"
        for task_id, delivery in deliveries:
            kept = self.messages.get(task_id)
            assert kept is not None, f"{task_id} is not live"
            assert kept in ready, f"{task_id} is not ready"
            self._check_turn(kept, ready, queues)
            self._check_delivery(kept, delivery)
            ready.remove(kept)
            kept.state, kept.token, kept.owner, kept.until = "leased", delivery.token, owner, until
            kept.deliveries += 1
            kept.queued = False
            self.given.append(
                Given(
                    token=delivery.token,
                    fence=delivery.fence,
                    task_id=task_id,
                    attempt=kept.attempt,
                    generation=kept.generation,
                )
            )

    def settle(self, settlement: Settlement, delay: timedelta, now: datetime) -> bool:
        """Settle; return the answer that is due.

        Args:
            delay: Of a release or a reschedule.
        """
        kept = self.held(settlement.token, now)
        if kept is None:
            return False
        record = self.records.get(kept.task_id)
        match settlement:
            case Complete():
                self._remove(kept)
                self._end(record, kept, TaskState.SUCCEEDED)
            case Release(counted=counted):
                self._wait(kept, delay, now)
                kept.deliveries -= not counted
                if record is not None and record.state is TaskState.RUNNING:
                    record.state = TaskState.QUEUED
            case Reschedule():
                if record is not None:
                    record.state, record.attempt = TaskState.RETRYING, kept.attempt
                    record.fence, record.token = self._fence(kept.token), kept.token
                self._wait(kept, delay, now)
                kept.attempt, kept.deliveries = kept.attempt + 1, 0
            case Bury(reason=reason):
                self._bury(kept, reason)
                self._end(record, kept, TaskState.FAILED)
        return True

    def renew(self, token: str, until: datetime, now: datetime) -> bool:
        """Renew; return whether the lease is held."""
        kept = self.held(token, now)
        if kept is not None:
            kept.until = until
        return kept is not None

    def reclaim(
        self, reclaimed: Sequence[Reclaimed], *, limit: int, max_deliveries: int, now: datetime
    ) -> None:
        """Check what a reclaim gave and follow it.

        Raises:
            AssertionError: It is not what was to be given.
        """
        lapsed = {
            kept.task_id: kept
            for kept in self.messages.values()
            if kept.state == "leased" and kept.until <= now
        }
        assert len(reclaimed) == min(limit, len(lapsed)), "reclaimed too few or too many"
        for each in reclaimed:
            kept = lapsed.pop(each.task_id, None)
            assert kept is not None, f"the lease of {each.task_id} has not lapsed"
            facts = (each.queue, each.deliveries, each.owner, each.buried)
            assert facts == (kept.queue, kept.deliveries, kept.owner, kept.deliveries >= max_deliveries)
            self._take_away(kept, buried=each.buried, now=now)

    def replay(self, *, only: str | None, limit: int, delay: timedelta, now: datetime) -> list[str]:
        """Replay one task's dead letters, or all; return the ids that are to be put back, in order."""
        put_back: list[str] = []
        for entry in self.buried:
            meant = only in (None, entry.task_id) and not entry.replayed
            if meant and self._may_return(entry) and len(put_back) < limit:
                entry.replayed = True
                self._add(
                    entry.task_id,
                    queue=entry.queue,
                    priority=entry.priority,
                    delay=delay,
                    generation=entry.generation + 1,
                    now=now,
                )
                if record := self.records.get(entry.task_id):
                    record.state, record.attempt, record.token = TaskState.QUEUED, 1, None
                    record.generation = entry.generation + 1
                put_back.append(entry.task_id)
        return put_back

    def _may_return(self, entry: Buried) -> bool:
        record = self.records.get(entry.task_id)
        outlived = record is not None and record.generation > entry.generation
        return entry.task_id not in self.messages and not outlived

    def cancel(self, task_ids: Collection[str]) -> set[str]:
        """Cancel; return the ids that are to be removed."""
        waiting = [
            kept for kept in self.messages.values() if kept.state != "leased" and kept.task_id in task_ids
        ]
        for kept in waiting:
            del self.messages[kept.task_id]
            record = self.records.get(kept.task_id)
            if record is not None and not record.state.is_terminal:
                record.state, record.token = TaskState.CANCELLED, None
        return {kept.task_id for kept in waiting}

    def purge(self, queue: str) -> int:
        """Purge a queue; return how many are to be removed."""
        return len(self.cancel([kept.task_id for kept in self.messages.values() if kept.queue == queue]))

    def start(self, given: Given) -> bool:
        """Note that an attempt began; return the answer that is due."""
        record = self.records[given.task_id]
        if not self.may_write(given):
            return False
        record.state, record.attempt = TaskState.RUNNING, given.attempt
        record.fence, record.token = given.fence, given.token
        return True

    def may_write(self, given: Given) -> bool:
        """Return whether a delivery's news about its task are to be accepted (R2, R3, R4)."""
        record = self.records[given.task_id]
        return not record.state.is_terminal and (
            given.fence > record.fence or (given.fence, given.token) == (record.fence, record.token)
        )

    def forget(self, task_ids: Collection[str]) -> int:
        """Forget records; return how many are to be deleted."""
        ended = [
            task_id
            for task_id in set(task_ids)
            if task_id in self.records and self.records[task_id].state.is_terminal
        ]
        for task_id in ended:
            del self.records[task_id]
        return len(ended)

    def held(self, token: str, now: datetime) -> Kept | None:
        """Return the message leased under ``token``, if that lease is live."""
        for kept in self.messages.values():
            if kept.token == token and kept.state == "leased" and kept.until > now:
                return kept
        return None

    def depth(self, queue: str) -> dict[str, int]:
        """Return how many messages of a queue are in each place."""
        states: list[QueueState] = ["ready", "delayed", "leased"]
        counts: dict[str, int] = {
            state: sum(kept.queue == queue and kept.state == state for kept in self.messages.values())
            for state in states
        }
        counts["dead"] = sum(entry.queue == queue and not entry.replayed for entry in self.buried)
        return counts

    def check(self) -> None:
        """Check that records agree with places.

        Raises:
            AssertionError: The model itself, or what it was told, contradicts the promises.
        """
        for task_id, record in self.records.items():
            if (kept := self.messages.get(task_id)) is not None:
                assert not record.state.is_terminal, f"{task_id} has ended and is live"
                assert kept.generation == record.generation
            else:
                assert record.state.is_terminal, f"{task_id} has not ended and is nowhere"

    def _add(
        self, task_id: str, *, queue: str, priority: int, delay: timedelta, generation: int, now: datetime
    ) -> None:
        self._order += 1
        kept = Kept(
            task_id=task_id,
            queue=queue,
            priority=priority,
            order=self._order,
            state="ready",
            due=now,
            until=now,
            generation=generation,
        )
        self.messages[task_id] = kept
        self._wait(kept, delay, now)
        kept.queued = kept.state == "ready" and generation == 0

    def _wait(self, kept: Kept, delay: timedelta, now: datetime) -> None:
        kept.token = kept.owner = ""
        kept.due = now + delay
        waiting: Literal["ready", "delayed"] = "ready" if kept.due <= now else "delayed"
        kept.state, kept.queued = waiting, False

    def _ready(self, queues: Sequence[str]) -> list[Kept]:
        open_queues = set(queues) - self.paused
        return [
            kept for kept in self.messages.values() if kept.state == "ready" and kept.queue in open_queues
        ]

    def _check_turn(self, kept: Kept, ready: Sequence[Kept], queues: Sequence[str]) -> None:
        turn = queues.index(kept.queue)
        for other in ready:
            if queues.index(other.queue) < turn:
                raise AssertionError(f"{kept.task_id} was leased before an earlier queue's {other.task_id}")
            if other.queue == kept.queue:
                assert other.priority <= kept.priority, f"{kept.task_id} before a higher priority"
                passed = other.priority == kept.priority and other.queued and kept.queued
                assert not (passed and other.order < kept.order), f"{kept.task_id} before {other.task_id}"

    def _check_delivery(self, kept: Kept, delivery: Delivery) -> None:
        earlier = [given.fence for given in self.given if given.task_id == kept.task_id]
        assert delivery.fence > max(earlier, default=0), "the fence did not grow"
        assert delivery.token not in {given.token for given in self.given}, "a token was given out twice"
        assert (delivery.queue, delivery.deliveries) == (kept.queue, kept.deliveries + 1)

    def _fence(self, token: str) -> int:
        return next(given.fence for given in self.given if given.token == token)

    def _remove(self, kept: Kept) -> None:
        del self.messages[kept.task_id]

    def _bury(self, kept: Kept, reason: DeadReason) -> None:
        self._remove(kept)
        self.buried.append(
            Buried(
                task_id=kept.task_id,
                queue=kept.queue,
                priority=kept.priority,
                reason=reason,
                deliveries=kept.deliveries,
                generation=kept.generation,
            )
        )

    def _end(self, record: Record | None, kept: Kept, state: TaskState) -> None:
        if record is not None:
            record.state, record.attempt = state, kept.attempt
            record.fence, record.token = self._fence(kept.token), kept.token

    def _take_away(self, kept: Kept, *, buried: bool, now: datetime) -> None:
        record = self.records.get(kept.task_id)
        if record is not None:
            record.token = None
            if buried:
                record.state = TaskState.FAILED
            elif record.state is TaskState.RUNNING:
                record.state = TaskState.QUEUED
        if buried:
            self._bury(kept, DeadReason.WORKER_LOST)
        else:
            self._wait(kept, kept.due - kept.due, now)
