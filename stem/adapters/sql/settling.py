"""A batch of settlements, carried out in one transaction."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, assert_never

from stem.adapters.sql.burials import asked_for
from stem.adapters.sql.messages import given_back, replacement
from stem.adapters.sql.rows import moment
from stem.ports.broker import Bury, Complete, Release, Reschedule
from stem.ports.results import RetryNote

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stem.adapters.sql.database import Transaction
    from stem.adapters.sql.messages import Held
    from stem.adapters.sql.tables import Tables
    from stem.ports.broker import Publication, Settlement
    from stem.ports.results import Ending


@dataclass(slots=True)
class _Work:
    """What is to be written, sorted by statement."""

    remove: list[int] = field(default_factory=list[int])
    bury: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    give_back: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    given_back: list[Held] = field(default_factory=list["Held"])
    replace: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    retries: list[RetryNote] = field(default_factory=list["RetryNote"])
    endings: list[Ending] = field(default_factory=list["Ending"])
    successors: list[Publication] = field(default_factory=list["Publication"])


def settle(transaction: Transaction, tables: Tables, settlements: Sequence[Settlement]) -> list[bool]:
    """Carry out each settlement whose token is current; for each, whether it was.

    The leases decide, and are read first: nobody else can change them before
    this transaction ends.
    """
    held = tables.messages.held(transaction, [settlement.token for settlement in settlements])
    work = _Work()
    answers: list[bool] = []
    for settlement in settlements:
        # Taken out, so that a second settlement by the same token is refused.
        message = held.pop(settlement.token, None)
        answers.append(message is not None)
        if message is not None:
            _sort(settlement, message, work, now_us=transaction.now_us)
    _write(transaction, tables, work)
    return answers


def _sort(settlement: Settlement, message: Held, work: _Work, *, now_us: int) -> None:
    match settlement:
        case Complete():
            work.remove.append(message.id)
            work.successors.extend(settlement.successors)
            if settlement.ending is not None:
                work.endings.append(settlement.ending)
        case Release():
            work.give_back.append(
                given_back(message.id, settlement.due, counted=settlement.counted, now_us=now_us)
            )
            work.given_back.append(message)
        case Reschedule():
            _sort_retry(settlement, message, work, now_us=now_us)
        case Bury():
            work.remove.append(message.id)
            work.bury.append(asked_for(message, settlement, now_us=now_us))
            if settlement.ending is not None:
                work.endings.append(settlement.ending)
        case _:
            assert_never(settlement)


def _sort_retry(settlement: Reschedule, message: Held, work: _Work, *, now_us: int) -> None:
    row = replacement(
        message, settlement.message, attempt=settlement.attempt, due=settlement.due, now_us=now_us
    )
    work.replace.append(row)
    if message.task_id:
        work.retries.append(
            RetryNote(
                task_id=message.task_id,
                token=settlement.token,
                fence=message.fence,
                attempt=settlement.attempt - 1,
                deliveries=message.deliveries,
                worker=message.owner,
                at=moment(now_us),
                retry_at=moment(row["due_us"]),
                error=settlement.error,
            )
        )


def _write(transaction: Transaction, tables: Tables, work: _Work) -> None:
    # The dead letters copy the message, so they come before it is removed.
    tables.burials.copy(transaction, work.bury)
    tables.messages.remove(transaction, work.remove)
    tables.messages.give_back(transaction, work.give_back)
    transaction.bells.update(message.queue for message in work.given_back)
    tables.messages.replace(transaction, work.replace)
    tables.records.take_back(transaction, work.given_back, reclaimed=False)
    tables.records.retry(transaction, work.retries)
    tables.records.finish(transaction, work.endings)
    if work.successors:
        tables.publish(transaction, work.successors)
