"""The dead letters: listing, replaying, purging."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from stem.adapters.redis import scripts
from stem.adapters.redis.values import micros, moment, plain, write_due, write_json
from stem.codecs import pack, read_label, read_priority, replayed, unpack
from stem.message import Message
from stem.ports.broker import NOW
from stem.ports.deadletters import DeadLetter
from stem.ports.pages import read_cursor, write_cursor
from stem.states import DeadReason

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from datetime import timedelta

    from stem.adapters.redis.database import Database
    from stem.ports.deadletters import DeadLetterQuery, DeadLetters

_AT_ONCE: Final = 200


class _Letter(NamedTuple):
    """An entry without its message.

    Attributes:
        number: When it was buried, in microseconds; no two entries have the same.
    """

    id: str
    number: int
    told: dict[str, Any]


class RedisDeadLetters:
    """A `stem.ports.deadletters.DeadLetters`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._own = database.names.own

    def add(self, entries: Sequence[DeadLetter]) -> list[bool]:
        """Keep messages that another database gave up; for each, in order, whether it was new."""
        if not entries:
            return []
        given = [part for entry in entries for part in _adopted(entry)]
        return [answer == 1 for answer in self._database.call("keep dead letters", scripts.ADOPT, *given)]

    def page(
        self, query: DeadLetterQuery, *, cursor: str | None = None, limit: int = 50
    ) -> tuple[list[DeadLetter], str | None]:
        """Return a page of entries, last buried first, and the cursor of the next page."""
        before = None if cursor is None else int(read_cursor(cursor, int)[0])
        found = list(islice(self._matching(query, newest_first=True, beyond=before), limit + 1))
        following = write_cursor(found[limit - 1].number) if len(found) > limit else None
        return self._whole(found[:limit]), following

    def count(self, query: DeadLetterQuery) -> int:
        """Return how many entries the query matches."""
        return sum(1 for _ in self._matching(query))

    def replay(
        self, query: DeadLetterQuery, *, limit: int, delay: timedelta | None = None
    ) -> list[DeadLetter]:
        """Put up to ``limit`` entries back into their queues, oldest first; return them."""
        put_back: list[DeadLetter] = []
        found = self._matching(replace(query, replayed=False))
        while len(put_back) < limit:
            batch = list(islice(found, min(limit - len(put_back), _AT_ONCE)))
            if not batch:
                break
            put_back += self._put_back(self._whole(batch), batch, write_due(delay or NOW))
        return put_back

    def purge(self, query: DeadLetterQuery, *, limit: int | None = None) -> int:
        """Delete entries, oldest first; return how many."""
        gone = 0
        found = islice(self._matching(query), limit)
        while batch := [[letter.id, letter.told["queue"]] for letter in islice(found, _AT_ONCE)]:
            spare = "0" if query.replayed else "1"
            gone += self._database.call("purge dead letters", scripts.PURGE_LETTERS, spare, write_json(batch))
        return gone

    def close(self) -> None:
        """Free the connections. May be called twice."""
        self._database.close()

    def _matching(
        self, query: DeadLetterQuery, *, newest_first: bool = False, beyond: int | None = None
    ) -> Iterator[_Letter]:
        """Yield what a query asks for, oldest first unless told otherwise.

        Args:
            beyond: The number of the entry after which to begin.
        """
        matches = _matcher(query)
        low = "-inf" if query.since is None else str(micros(query.since))
        high = "+inf" if query.until is None else f"({micros(query.until)}"
        while True:
            if beyond is not None and newest_first:
                high = f"({beyond}" if query.until is None else f"({min(beyond, micros(query.until))}"
            elif beyond is not None:
                low = f"({beyond}"
            letters = self._chunk(query, low, high, newest_first=newest_first)
            if not letters:
                return
            yield from filter(matches, letters)
            beyond = letters[-1].number

    def _chunk(self, query: DeadLetterQuery, low: str, high: str, *, newest_first: bool) -> list[_Letter]:
        command = ("ZREVRANGEBYSCORE", high, low) if newest_first else ("ZRANGEBYSCORE", low, high)
        verb, first, last = command
        with self._database.link("list dead letters") as link:
            entries = link.run(verb, self._set_of(query), first, last, "WITHSCORES", "LIMIT", 0, _AT_ONCE)
            ids, numbers = entries[::2], entries[1::2]
            texts = link.run("HMGET", f"{self._own}letters", *ids) if ids else []
        return [
            _Letter(
                id=entry.decode(), number=int(number), told=json.loads(text or b'{"queue":"","task_id":""}')
            )
            for entry, number, text in zip(ids, numbers, texts, strict=True)
        ]

    def _set_of(self, query: DeadLetterQuery) -> str:
        if query.replayed:
            return f"{self._own}buried"
        return f"{self._own}dead" if query.queue is None else f"{self._own}dead:{plain(query.queue)}"

    def _whole(self, letters: Sequence[_Letter]) -> list[DeadLetter]:
        if not letters:
            return []
        ids = [letter.id for letter in letters]
        payloads, marks = self._database.run_all(
            "read dead letters",
            [("HMGET", f"{self._own}payloads", *ids), ("HMGET", f"{self._own}replayed", *ids)],
        )
        return [
            _entry(letter, payload, mark)
            for letter, payload, mark in zip(letters, payloads, marks, strict=True)
            if payload is not None  # deleted meanwhile
        ]

    def _put_back(
        self, entries: Sequence[DeadLetter], letters: Sequence[_Letter], due: str
    ) -> list[DeadLetter]:
        priorities = {letter.id: letter.told["priority"] for letter in letters}
        orders = [(entry, _order(entry, priorities[entry.id], due)) for entry in entries]
        possible = [(entry, order) for entry, order in orders if order is not None]
        if not possible:
            return []
        batch = write_json([order for _, order in possible])
        now_us, answers = self._database.call("replay", scripts.REPLAY, self._database.visible_s, batch)
        at = moment(int(now_us))
        return [
            replace(entry, replayed_at=at)
            for (entry, _), taken in zip(possible, answers, strict=True)
            if taken
        ]


def _adopted(entry: DeadLetter) -> tuple[str, str, str, bytes]:
    known = {
        "task_id": plain(entry.task_id),
        "task": plain(entry.task),
        "reason": entry.reason.value,
        "detail": plain(entry.detail),
        "attempt": entry.attempt,
        "deliveries": entry.deliveries,
        "generation": entry.generation,
        "priority": read_priority(unpack(entry.payload)),
    }
    told = f'{write_json(known)[:-1]},"facts":{json.dumps(entry.facts)}'
    return plain(entry.id), plain(entry.queue), told, entry.payload


def _order(entry: DeadLetter, priority: int, due: str) -> list[Any] | None:
    content = unpack(entry.payload)
    if not entry.task_id or not isinstance(content, Message):
        return None
    message = replayed(content)
    raw = pack(message, queue=entry.queue)
    generation = str(read_label(message).generation)
    return [entry.id, entry.queue, priority, due, entry.task_id, raw, generation]


def _matcher(query: DeadLetterQuery) -> Callable[[_Letter], bool]:
    wanted = {"queue": query.queue, "task": query.task, "reason": query.reason}
    conditions = {name: plain(value) for name, value in wanted.items() if value is not None}
    ids = None if query.ids is None else {plain(each) for each in query.ids}

    def matches(letter: _Letter) -> bool:
        told = letter.told
        return all(told.get(name) == value for name, value in conditions.items()) and (
            ids is None or letter.id in ids or told["task_id"] in ids
        )

    return matches


def _entry(letter: _Letter, payload: bytes, replayed_us: bytes | None) -> DeadLetter:
    told = letter.told
    generation = told.get("generation")
    if generation is None:
        content = unpack(payload)
        generation = read_label(content).generation if isinstance(content, Message) else 0
    return DeadLetter(
        id=letter.id,
        queue=told["queue"],
        task_id=told["task_id"],
        task=told["task"],
        reason=DeadReason(told["reason"]),
        detail=told["detail"],
        attempt=told["attempt"],
        deliveries=told["deliveries"],
        generation=generation,
        dead_at=moment(letter.number),
        payload=payload,
        facts=told["facts"],
        replayed_at=None if replayed_us is None else moment(int(replayed_us)),
    )


if TYPE_CHECKING:
    _: Callable[..., DeadLetters] = RedisDeadLetters
