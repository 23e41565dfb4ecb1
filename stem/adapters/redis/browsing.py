"""Listing the messages of a queue, place by place.

A cursor names the last message that was listed by its place and its rank there. Ranks grow in the
order in which messages of one priority are leased, and stay as long as a message stays. Messages of
foreign producers have none until they were leased once; they are counted from the last one that has,
so while a queue is being emptied, pages of them can skip some.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

from stem.adapters.redis import scripts
from stem.adapters.redis.names import STEPS
from stem.adapters.redis.tokens import read_token
from stem.adapters.redis.values import moment, plain
from stem.codecs import read_label, unpack
from stem.message import Label, Message
from stem.ports.broker import PendingMessage
from stem.ports.pages import read_cursor, write_cursor

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stem.adapters.redis.database import Database
    from stem.ports.broker import QueueState

_AT_ONCE: Final = 500
_NO_LABEL: Final = Label(task_id="", task="", attempt=0, generation=0)
_LEASED: Final = 0
_DELAYED: Final = _LEASED + 1 + len(STEPS)
_BEGINNING: Final = (-1, 0, 0, 0)

Key: TypeAlias = tuple[int, int, int, int]
"""Sorts listed messages.

The place; in a list the negative priority, the rank, and how many without a rank have come since; of a
delayed message 0, when it is due, and the rank.
"""


class _Listed(NamedTuple):
    key: Key
    state: QueueState
    raw: bytes
    token: str
    since_us: int
    score_us: int
    priority: int
    deliveries: int


class Browser:
    """Makes the pages."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def page(
        self, queue: str, *, state: QueueState | None, cursor: str | None, limit: int
    ) -> tuple[list[PendingMessage], str | None]:
        """Return a page and the cursor of the next one."""
        after = _BEGINNING if cursor is None else tuple(map(int, read_cursor(cursor, int, int, int, int)))
        page: list[_Listed] = []
        for listed in self._from(plain(queue), state, after):
            if listed.key > after and state in (None, listed.state):
                page.append(listed)
            if len(page) > limit:
                break
        following = write_cursor(*page[limit - 1].key) if len(page) > limit else None
        return [_pending(queue, listed) for listed in page[:limit]], following

    def _from(self, queue: str, state: QueueState | None, after: tuple[int, ...]) -> Iterator[_Listed]:
        if after[0] <= _LEASED and state in (None, "leased"):
            # Sorted by when they lapse, which changes; listed by when they were published.
            leased = [
                _listed((_LEASED, 0, int(row[4]), 0), "leased", row) for row in self._rows(queue, "leased")
            ]
            yield from sorted(leased, key=lambda each: each.key)
        if after[0] < _DELAYED and state in (None, "ready"):
            for place, step in enumerate(STEPS, _LEASED + 1):
                if place >= after[0]:
                    yield from self._in_list(queue, place, str(step))
        if state != "leased":
            yield from self._delayed(queue, state, after[2] if after[0] == _DELAYED else 0)

    def _in_list(self, queue: str, place: int, name: str) -> Iterator[_Listed]:
        priority, rank, later = 9, 0, 0
        for row in self._rows(queue, name):
            if row[4]:
                priority, rank, later = row[5], int(row[4]), 0
            else:
                later += 1
            yield _listed((place, -priority, rank, later), "ready", row)

    def _delayed(self, queue: str, state: QueueState | None, least_us: int) -> Iterator[_Listed]:
        for row in self._rows(queue, "delayed", least_us):
            if state == "ready" and not row[7]:
                return  # from here on none is due
            key = (_DELAYED, 0, int(row[3]), int(row[4]))
            yield _listed(key, "ready" if row[7] else "delayed", row)

    def _rows(self, queue: str, name: str, least_us: int = 0) -> Iterator[list[Any]]:
        first, seen = 0, _AT_ONCE
        while seen == _AT_ONCE:
            rows = self._database.call("browse", scripts.BROWSE, queue, name, first, _AT_ONCE, least_us)
            yield from filter(None, rows)
            seen = len(rows)
            first += seen


def _listed(key: Key, state: QueueState, row: list[Any]) -> _Listed:
    raw, token, since, score, _, priority, deliveries, _ = row
    return _Listed(
        key=key,
        state=state,
        raw=raw,
        token=token.decode(),
        since_us=int(since or 0),
        score_us=int(score),
        priority=priority,
        deliveries=deliveries,
    )


def _pending(queue: str, listed: _Listed) -> PendingMessage:
    content = unpack(listed.raw)
    label = read_label(content) if isinstance(content, Message) else _NO_LABEL
    return PendingMessage(
        task_id=label.task_id,
        task=label.task,
        queue=queue,
        state=listed.state,
        priority=listed.priority,
        attempt=label.attempt,
        deliveries=listed.deliveries,
        at=moment(listed.since_us if listed.state == "ready" else listed.score_us),
        owner=read_token(listed.token).owner if listed.state == "leased" else "",
    )
