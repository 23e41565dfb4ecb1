"""The steps of settling, in their order."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeGuard

from stem.codecs import pack, read_label
from stem.message import Message
from stem.ports.broker import Bury, Complete, Release, Reschedule
from stem.ports.deadletters import DeadLetter
from stem.two_stores.outlet import entry_id

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stem.message import Delivery
    from stem.ports.broker import LeaseSource, Settlement
    from stem.ports.results import Start
    from stem.two_stores.broker import TwoStoreBroker


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """A delivery that this process has leased.

    Attributes:
        claim: How its record was claimed; None for messages that name no task.
    """

    delivery: Delivery
    claim: Start | None


class Settling:
    """Writes to the stores first and then lets the broker settle."""

    def __init__(self, broker: TwoStoreBroker) -> None:
        self._broker = broker
        self._records = broker.records

    def carry_out(self, source: LeaseSource, orders: Sequence[tuple[Held, Settlement]]) -> list[bool]:
        """Settle what is held.

        Every step may be repeated, so that asking again after an error is safe.

        Args:
            source: Of the broker; holds all of these leases.
        """
        if not orders:
            return []
        self._publish_successors(orders)
        self._bury(orders)
        self._end(orders)
        self._go_on(orders)
        told = source.settle([_for_the_broker(held, settlement) for held, settlement in orders])
        if any(isinstance(each, Bury) and not _is_ours(held, each) for held, each in orders):
            self._broker.drain.empty()
        return told

    def _publish_successors(self, orders: Sequence[tuple[Held, Settlement]]) -> None:
        successors = [
            successor
            for _, settlement in orders
            if isinstance(settlement, Complete)
            for successor in settlement.successors
        ]
        if successors:
            self._broker.publish(successors)

    def _bury(self, orders: Sequence[tuple[Held, Settlement]]) -> None:
        entries = [
            self._dead_letter(held, settlement)
            for held, settlement in orders
            if isinstance(settlement, Bury) and _is_ours(held, settlement)
        ]
        if entries:
            self._broker.dead_letters.add(entries)

    def _end(self, orders: Sequence[tuple[Held, Settlement]]) -> None:
        endings = [
            self._records.ending(held.claim, settlement) if held.claim is not None else settlement.ending
            for held, settlement in orders
            if isinstance(settlement, Complete | Bury)
        ]
        written = [ending for ending in endings if ending is not None]
        if written:
            # Whoever is refused lost the record to another copy of the message, or to an
            # operator. This message goes all the same: its record does without it.
            self._records.results.finish(written)

    def _go_on(self, orders: Sequence[tuple[Held, Settlement]]) -> None:
        notes = [
            self._records.retry(held.claim, settlement)
            for held, settlement in orders
            if isinstance(settlement, Reschedule) and held.claim is not None
        ]
        if notes:
            self._records.results.retry(notes)
        released = [
            held.claim
            for held, settlement in orders
            if isinstance(settlement, Release) and held.claim is not None
        ]
        if released:
            self._records.results.release(released)

    def _dead_letter(self, held: Held, bury: Bury) -> DeadLetter:
        message = held.delivery.content
        assert isinstance(message, Message)
        generation = read_label(message).generation
        return DeadLetter(
            id=entry_id(bury.task_id, generation),
            queue=held.delivery.queue,
            task_id=bury.task_id,
            task=bury.task,
            reason=bury.reason,
            detail=bury.detail,
            attempt=bury.attempt,
            deliveries=held.delivery.deliveries,
            generation=generation,
            dead_at=self._broker.clock.wall(),
            payload=pack(message, queue=held.delivery.queue).encode(),
            facts=bury.facts,
        )


def _is_ours(held: Held, bury: Bury) -> bool:
    # What cannot be read or names no task has no id of its own, and its bytes are the
    # broker's: it buries them itself, and they are moved from there.
    return bury.task_id != "" and _is_readable(held.delivery)


def _is_readable(delivery: Delivery) -> TypeGuard[Delivery]:
    return isinstance(delivery.content, Message)


def _for_the_broker(held: Held, settlement: Settlement) -> Settlement:
    match settlement:
        case Complete():
            return Complete(token=settlement.token)
        case Bury():
            if _is_ours(held, settlement):
                return Complete(token=settlement.token)
            return replace(settlement, ending=None)
        case _:
            return settlement
