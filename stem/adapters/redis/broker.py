"""Taking messages in, handing sources out, and taking lapsed leases away."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from stem.adapters.redis import scripts, writes
from stem.adapters.redis.celery_results import write_meta
from stem.adapters.redis.source import RedisSource
from stem.adapters.redis.tokens import read_token
from stem.adapters.redis.values import plain, told, write_error, write_json
from stem.codecs import read_label, unpack
from stem.message import ErrorInfo, Label, Message
from stem.ports.broker import Bury, Capabilities, Reclaimed
from stem.states import DeadReason, TaskState

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from stem.adapters.redis.database import Database
    from stem.clock import Clock
    from stem.ports.broker import Broker, LeaseSource, Publication

_CAPABILITIES: Final = Capabilities(
    atomic_results=True,
    loss_window="when the Redis server fails before it has written to its disk, or to its replica",
)
_NO_LABEL: Final = Label(task_id="", task="", attempt=0, generation=0)
_AT_ONCE: Final = 500
"""Lapsed leases in one run of a script."""


class _Lapsed(NamedTuple):
    token: str
    label: Label
    deliveries: int


class RedisBroker:
    """A `stem.ports.broker.Broker`."""

    def __init__(self, database: Database, *, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    @property
    def capabilities(self) -> Capabilities:
        """All of it native; task records in the same script."""
        return _CAPABILITIES

    @property
    def address(self) -> str:
        """The URL, without secrets."""
        return self._database.address

    def publish(self, publications: Sequence[Publication]) -> list[bool]:
        """Store each message, and its record in the same step."""
        # All packed before the first is sent: one that cannot be must not leave half a batch.
        packed = [writes.publication(each) for each in publications]
        calls = [(self._database.visible_s, write_json(batch)) for batch in writes.batches(packed)]
        if not calls:
            return []
        replies = self._database.call_all("publish", scripts.PUBLISH, calls)
        return [answer == 1 for reply in replies for answer in reply]

    def publish_raw(self, queue: str, payload: str) -> None:
        """Store a message in transport form, unchecked, as a foreign producer would write it.

        Args:
            payload: Escaped bytes (``surrogateescape``) are stored as these bytes.
        """
        raw = payload.encode("utf-8", "surrogateescape")
        self._database.run_all("publish", [("LPUSH", self._database.names.list_of(queue, 0), raw)])

    def source(self, *, owner: str) -> LeaseSource:
        """Return a new source for the worker ``owner``; it connects by its first call."""
        return RedisSource(self._database, owner=owner, clock=self._clock)

    def reclaim(self, *, limit: int, max_deliveries: int) -> list[Reclaimed]:
        """Take away up to ``limit`` leases that have lapsed."""
        # What a message says of itself is read here, so this takes two steps; the second one takes
        # only what is as it was. When others took all of it first, there may be more.
        while lapsed := self._lapsed(min(limit, _AT_ONCE)):
            orders = [self._order(each, buried=each.deliveries >= max_deliveries) for each in lapsed]
            answers = self._database.call(
                "reclaim", scripts.RECLAIM, self._database.visible_s, write_json(orders)
            )
            if any(answers):
                return [
                    _reclaimed(each, buried=each.deliveries >= max_deliveries)
                    for each, taken in zip(lapsed, answers, strict=True)
                    if taken
                ]
        return []

    def close(self) -> None:
        """Free the connections. May be called twice."""
        self._database.close()

    def _lapsed(self, limit: int) -> list[_Lapsed]:
        reply = self._database.call("reclaim", scripts.LAPSED, limit)
        return [
            _Lapsed(token=token.decode(), label=_label(raw), deliveries=int(deliveries))
            for token, raw, deliveries in zip(reply[::3], reply[1::3], reply[2::3], strict=True)
        ]

    def _order(self, lapsed: _Lapsed, *, buried: bool) -> list[Any]:
        label = lapsed.label
        return [lapsed.token, plain(label.task_id), self._burial(lapsed) if buried else False]

    def _burial(self, lapsed: _Lapsed) -> dict[str, str]:
        label = lapsed.label
        detail = (
            f"delivered {lapsed.deliveries} times without an outcome, "
            f"the last time to {read_token(lapsed.token).owner}"
        )
        error = ErrorInfo(type="stem.errors.WorkerLostError", message=detail)
        bury = Bury(
            token=lapsed.token,
            reason=DeadReason.WORKER_LOST,
            detail=detail,
            task_id=label.task_id,
            task=label.task,
            attempt=label.attempt if label.task_id else 0,
            facts={"owner": read_token(lapsed.token).owner},
        )
        return {
            "letter": writes.letter(bury),
            "error": write_error(error),
            "detail": told(error),
            "meta": write_meta(TaskState.FAILED, error=error, at=self._clock.wall()),
        }


def _label(raw: bytes) -> Label:
    content = unpack(raw)
    return read_label(content) if isinstance(content, Message) else _NO_LABEL


def _reclaimed(lapsed: _Lapsed, *, buried: bool) -> Reclaimed:
    told_by = read_token(lapsed.token)
    return Reclaimed(
        task_id=lapsed.label.task_id,
        task=lapsed.label.task,
        queue=told_by.queue,
        deliveries=lapsed.deliveries,
        owner=told_by.owner,
        buried=buried,
    )


if TYPE_CHECKING:
    _: Callable[..., Broker] = RedisBroker
