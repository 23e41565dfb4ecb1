"""Leasing for one worker."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any, Final, assert_never

from stem.adapters.redis import scripts, writes
from stem.adapters.redis.doorbell import Doorbell
from stem.adapters.redis.tokens import read_token, write_prefix
from stem.adapters.redis.values import plain, span_us, write_due, write_json
from stem.codecs import pack, read_label, unpack
from stem.message import Delivery
from stem.ports.broker import Bury, Complete, Release, Reschedule
from stem.ports.results import RetryNote

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from datetime import timedelta

    from stem.adapters.redis.database import Database
    from stem.clock import Clock
    from stem.ports.broker import LeaseSource, Settlement

_AT_ONCE: Final = 500


class RedisSource:
    """A `stem.ports.broker.LeaseSource` with a connection of its own, and a second one for its doorbell."""

    def __init__(self, database: Database, *, owner: str, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._link = database.own_link()
        self._doorbell = Doorbell(database, clock=clock)
        self._prefix = write_prefix(plain(owner), secrets.token_hex(6))
        self._queues: tuple[str, ...] = ()
        self._number = 0
        self._unanswered = False

    def lease(self, queues: Sequence[str], *, limit: int, duration: timedelta) -> list[Delivery]:
        """Take up to ``limit`` ready messages, the first named queue's first."""
        if not queues:
            return []
        self._queues = tuple(queues)
        again, self._unanswered = self._unanswered, True
        reply = self._call(
            "lease",
            scripts.LEASE,
            self._prefix,
            limit,
            span_us(duration),
            self._number,
            int(again),
            *map(plain, queues),
        )
        self._number, self._unanswered = self._number + 1, False
        deliveries = [
            _delivery(*each) for each in zip(reply[::4], reply[1::4], reply[2::4], reply[3::4], strict=True)
        ]
        surplus = deliveries[limit:]
        if surplus:
            # Of an earlier call that asked for more and whose reply was lost.
            self.settle([Release(token=each.token, counted=False) for each in surplus])
        return deliveries[:limit]

    def wait(self, timeout_s: float) -> None:
        """Block until there may be something to lease, `wake` is called, or ``timeout_s`` pass."""
        self._doorbell.wait(self._queues, timeout_s)

    def wake(self) -> None:
        """End a `wait` that is under way, or the next one. Any thread; never blocks."""
        self._doorbell.wake()

    def settle(self, settlements: Sequence[Settlement]) -> list[bool]:
        """Carry out each settlement whose token is current."""
        packed = [_packed(settlement) for settlement in settlements]
        answers: list[bool] = []
        for first in range(0, len(packed), _AT_ONCE):
            batch = write_json(packed[first : first + _AT_ONCE])
            reply = self._call("settle", scripts.SETTLE, self._database.visible_s, batch)
            answers += [answer == 1 for answer in reply]
        return answers

    def renew(self, tokens: Collection[str], *, duration: timedelta) -> set[str]:
        """Let each lease hold for ``duration`` from now; return the tokens whose lease is lost."""
        if not tokens:
            return set()
        by_plain = {plain(token): token for token in tokens}
        lost = self._call("renew", scripts.RENEW, span_us(duration), *by_plain)
        return {by_plain[token.decode()] for token in lost}

    def close(self) -> None:
        """Close the connections. Leases that are still held lapse by themselves. May be called twice."""
        self._doorbell.close()
        self._link.close()

    def _call(self, operation: str, script: str, *arguments: str | int) -> Any:
        with self._database.guarded(operation, self._link):
            return self._link.call(script, self._database.now, *arguments)


def _delivery(token: bytes, raw: bytes, deliveries: bytes, fence: bytes) -> Delivery:
    name = token.decode()
    return Delivery(
        token=name,
        queue=read_token(name).queue,
        content=unpack(raw),
        deliveries=int(deliveries),
        fence=int(fence),
    )


def _packed(settlement: Settlement) -> list[Any]:
    token = plain(settlement.token)
    match settlement:
        case Complete():
            ending = False if settlement.ending is None else writes.ending(settlement.ending)
            return ["complete", token, ending, [writes.publication(each) for each in settlement.successors]]
        case Release():
            return ["release", token, write_due(settlement.due), int(settlement.counted)]
        case Reschedule():
            raw = pack(settlement.message, queue=read_token(token).queue)
            return ["reschedule", token, write_due(settlement.due), raw, _retry(settlement)]
        case Bury():
            ending = False if settlement.ending is None else writes.ending(settlement.ending)
            return ["bury", token, writes.letter(settlement), ending]
        case _:
            assert_never(settlement)


def _retry(settlement: Reschedule) -> list[Any] | bool:
    task_id = read_label(settlement.message).task_id
    if not task_id:
        return False
    told = read_token(settlement.token)
    note = RetryNote(
        task_id=task_id,
        token=settlement.token,
        fence=told.fence,
        attempt=settlement.attempt - 1,
        deliveries=0,  # known to the script
        worker=told.owner,
        at=writes.NO_TIME,
        retry_at=writes.NO_TIME,
        error=settlement.error,
    )
    return writes.retry(note)


if TYPE_CHECKING:
    _: Callable[..., LeaseSource] = RedisSource
