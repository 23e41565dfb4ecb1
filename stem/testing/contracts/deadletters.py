"""The contract of `stem.ports.deadletters.DeadLetters`."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import pytest

from stem.codecs import pack, read_label, unpack
from stem.errors import ConfigurationError
from stem.message import Message
from stem.ports.deadletters import DeadLetter, DeadLetterQuery
from stem.states import DeadReason
from stem.testing.contracts.queues import NO_CURSORS
from stem.testing.contracts.replaying import ReplayingContract
from stem.testing.contracts.samples import (
    EVERY_DEAD_LETTER,
    HISTORY,
    LEASE,
    QUEUE,
    SECOND,
    SENT_AT,
    TASK,
    at_once,
    burial,
    bury_all,
    lease,
    lease_one,
    message,
    publication,
    rescheduling,
    task_ids,
)
from stem.testing.contracts.suite import Contract, offered

if TYPE_CHECKING:
    from stem.ports.broker import Broker, LeaseSource
    from stem.ports.deadletters import DeadLetters
    from stem.testing.contracts.harness import StackHarness


class AddingContract(Contract):
    """What taking over from another database promises: D7."""

    def test_d7_an_entry_is_kept_as_it_was_given(
        self, harness: StackHarness, dead_letters: DeadLetters
    ) -> None:
        given = dead_letter("amqp:1", "t", facts={"owner": "höst", "cells": [1]})

        assert dead_letters.add([given]) == [True]

        (entry,) = dead_letters.page(DeadLetterQuery(ids=["amqp:1"]))[0]
        assert entry == replace(given, dead_at=entry.dead_at)
        assert abs(entry.dead_at - harness.now()) < SECOND
        assert dead_letters.page(DeadLetterQuery(ids=["t"]))[0] == [entry]
        assert dead_letters.add([]) == []

    def test_d7_an_entry_that_is_added_again_is_there_once(self, dead_letters: DeadLetters) -> None:
        first, second = dead_letter("amqp:1", "a"), dead_letter("amqp:2", "b")

        assert dead_letters.add([first]) == [True]
        assert dead_letters.add([second, first, second]) == [True, False, False]

        assert [entry.task_id for entry in dead_letters.page(EVERY_DEAD_LETTER)[0]] == ["b", "a"]

    def test_d7_many_threads_add_an_entry_once(
        self, harness: StackHarness, dead_letters: DeadLetters
    ) -> None:
        callers = [offered(harness.reopen().dead_letters) for _ in range(4)]

        told = at_once([partial(each.add, [dead_letter("amqp:1", "t")]) for each in callers])

        assert sorted(told) == [[False], [False], [False], [True]]
        assert dead_letters.count(EVERY_DEAD_LETTER) == 1

    def test_d7_a_replayed_entry_is_not_added_again(
        self, source: LeaseSource, dead_letters: DeadLetters
    ) -> None:
        given = dead_letter("amqp:1", "t")
        dead_letters.add([given])
        (replayed,) = dead_letters.replay(DeadLetterQuery(ids=["amqp:1"]), limit=10)

        assert dead_letters.add([given]) == [False]

        assert replayed.id == "amqp:1"
        assert task_ids(lease(source)) == ["t"]
        assert dead_letters.count(EVERY_DEAD_LETTER) == 0

    def test_d7_an_entry_without_a_task_is_kept(self, dead_letters: DeadLetters) -> None:
        garbage = replace(dead_letter("amqp:1", ""), payload=b"\x00\xff {", task="", attempt=0)

        assert dead_letters.add([garbage]) == [True]

        (entry,) = dead_letters.page(EVERY_DEAD_LETTER)[0]
        assert (entry.payload, entry.task_id) == (garbage.payload, "")
        assert dead_letters.purge(DeadLetterQuery(ids=["amqp:1"])) == 1


class DeadLettersContract(AddingContract, ReplayingContract):
    """D1 to D7."""

    def test_d1_a_buried_message_is_here_with_all_that_is_known(
        self, harness: StackHarness, broker: Broker, source: LeaseSource, dead_letters: DeadLetters
    ) -> None:
        broker.publish([publication("t", queue="mail", content=message("t", body=b"[[1],{},{}]"))])
        (first,) = lease(source, queues=["mail"])
        source.settle([rescheduling(first)])
        (delivery,) = lease(source, queues=["mail"])
        bury = replace(burial(delivery, at=harness.now()), attempt=2)

        source.settle([bury])

        (entry,) = dead_letters.page(EVERY_DEAD_LETTER)[0]
        assert (entry.queue, entry.task_id, entry.task) == ("mail", "t", TASK)
        assert (entry.reason, entry.detail, entry.facts) == (bury.reason, bury.detail, bury.facts)
        assert (entry.attempt, entry.deliveries, entry.generation) == (2, 1, 0)
        assert entry.replayed_at is None
        assert abs(entry.dead_at - harness.now()) < SECOND
        kept = unpack(entry.payload)
        assert isinstance(kept, Message)
        assert read_label(kept).attempt == 2

    def test_d1_entries_have_ids_of_their_own(
        self, harness: StackHarness, broker: Broker, source: LeaseSource, dead_letters: DeadLetters
    ) -> None:
        bury_all(harness, broker, source, "a", "b")
        dead_letters.replay(EVERY_DEAD_LETTER, limit=10)
        source.settle([burial(each, at=harness.now()) for each in lease(source)])

        entries = dead_letters.page(HISTORY)[0]

        assert sorted(entry.task_id for entry in entries) == ["a", "a", "b", "b"]
        assert len({entry.id for entry in entries}) == 4
        assert all(entry.id for entry in entries)

    def test_d1_other_openings_see_it(
        self, harness: StackHarness, broker: Broker, source: LeaseSource, dead_letters: DeadLetters
    ) -> None:
        bury_all(harness, broker, source, "t")

        other = offered(harness.reopen().dead_letters)

        assert other.page(EVERY_DEAD_LETTER) == dead_letters.page(EVERY_DEAD_LETTER)

    def test_d5_pages_are_newest_first_and_complete(
        self, harness: StackHarness, broker: Broker, source: LeaseSource, dead_letters: DeadLetters
    ) -> None:
        names = [f"t{number}" for number in range(7)]
        for name in names:
            bury_all(harness, broker, source, name)
            harness.let_pass(SECOND)

        pages = [
            [entry.task_id for entry in page] for page in pages_of(dead_letters, EVERY_DEAD_LETTER, limit=3)
        ]

        assert pages == [["t6", "t5", "t4"], ["t3", "t2", "t1"], ["t0"]]

    def test_d5_entries_of_one_moment_are_neither_repeated_nor_skipped(
        self, harness: StackHarness, broker: Broker, source: LeaseSource, dead_letters: DeadLetters
    ) -> None:
        names = [f"t{number:02}" for number in range(11)]
        bury_all(harness, broker, source, *names)

        pages = pages_of(dead_letters, EVERY_DEAD_LETTER, limit=2)

        assert sorted(entry.task_id for page in pages for entry in page) == names

    def test_d5_pages_neither_repeat_nor_skip_while_others_come_and_go(
        self, harness: StackHarness, broker: Broker, source: LeaseSource, dead_letters: DeadLetters
    ) -> None:
        stay = [f"stay{number:02}" for number in range(12)]
        for name in stay:
            bury_all(harness, broker, source, name, f"go-{name}")

        seen: list[str] = []
        cursor, rounds = None, 0
        while rounds == 0 or cursor is not None:
            page, cursor = dead_letters.page(EVERY_DEAD_LETTER, cursor=cursor, limit=3)
            seen += [entry.task_id for entry in page]
            dead_letters.purge(DeadLetterQuery(ids=[f"go-{stay[rounds]}", f"go-{stay[-1 - rounds]}"]))
            bury_all(harness, broker, source, f"new{rounds}")
            rounds += 1

        assert sorted(name for name in seen if name.startswith("stay")) == stay
        assert len(seen) == len(set(seen))

    def test_d5_each_field_of_a_query_narrows_it(
        self, harness: StackHarness, broker: Broker, source: LeaseSource, dead_letters: DeadLetters
    ) -> None:
        bury_all(harness, broker, source, "early")
        harness.let_pass(LEASE)
        middle = harness.now()
        bury_all(harness, broker, source, "mailed", queue="mail")
        broker.publish([publication("named", content=message("named", name="app.other"))])
        named = replace(burial(lease_one(source), at=middle), task="app.other", reason=DeadReason.REJECTED)
        source.settle([named])
        harness.let_pass(LEASE)
        late = harness.now()
        bury_all(harness, broker, source, "late")
        by_task = {entry.task_id: entry.id for entry in dead_letters.page(EVERY_DEAD_LETTER)[0]}

        found = {
            name: {entry.task_id for entry in dead_letters.page(query)[0]}
            for name, query in {
                "queue": DeadLetterQuery(queue="mail"),
                "task": DeadLetterQuery(task="app.other"),
                "reason": DeadLetterQuery(reason=DeadReason.REJECTED),
                "entry ids": DeadLetterQuery(ids=[by_task["early"], by_task["late"]]),
                "task ids": DeadLetterQuery(ids=["early", "never"]),
                "no ids": DeadLetterQuery(ids=[]),
                "since": DeadLetterQuery(since=middle - SECOND),
                "until": DeadLetterQuery(until=late - SECOND),
                "all": DeadLetterQuery(queue=QUEUE, since=middle - SECOND, until=late - SECOND),
                "nothing": DeadLetterQuery(queue="mail", reason=DeadReason.REJECTED),
            }.items()
        }

        assert found == {
            "queue": {"mailed"},
            "task": {"named"},
            "reason": {"named"},
            "entry ids": {"early", "late"},
            "task ids": {"early"},
            "no ids": set(),
            "since": {"mailed", "named", "late"},
            "until": {"early", "mailed", "named"},
            "all": {"named"},
            "nothing": set(),
        }

    def test_d5_since_is_included_and_until_is_not(
        self, harness: StackHarness, broker: Broker, source: LeaseSource, dead_letters: DeadLetters
    ) -> None:
        bury_all(harness, broker, source, "t")
        (entry,) = dead_letters.page(EVERY_DEAD_LETTER)[0]

        assert dead_letters.count(DeadLetterQuery(since=entry.dead_at)) == 1
        assert dead_letters.count(DeadLetterQuery(until=entry.dead_at)) == 0

    @pytest.mark.parametrize("cursor", NO_CURSORS)
    def test_d5_a_cursor_of_no_page_is_refused(self, dead_letters: DeadLetters, cursor: str) -> None:
        with pytest.raises(ConfigurationError, match="cursor"):
            dead_letters.page(EVERY_DEAD_LETTER, cursor=cursor)

    def test_d6_purge_removes_what_matches_and_nothing_else(
        self, harness: StackHarness, broker: Broker, source: LeaseSource, dead_letters: DeadLetters
    ) -> None:
        bury_all(harness, broker, source, "a", "b", "c")
        bury_all(harness, broker, source, "mailed", queue="mail")
        dead_letters.replay(DeadLetterQuery(ids=["c"]), limit=1)

        purged = dead_letters.purge(DeadLetterQuery(queue=QUEUE))

        assert purged == 2
        assert {entry.task_id for entry in dead_letters.page(HISTORY)[0]} == {"c", "mailed"}
        assert task_ids(lease(source)) == ["c"]
        assert [dead_letters.purge(HISTORY), dead_letters.purge(HISTORY)] == [2, 0]

    def test_d6_a_limit_leaves_the_newest(
        self, harness: StackHarness, broker: Broker, source: LeaseSource, dead_letters: DeadLetters
    ) -> None:
        for name in ("a", "b", "c"):
            bury_all(harness, broker, source, name)
            harness.let_pass(SECOND)

        assert dead_letters.purge(EVERY_DEAD_LETTER, limit=2) == 2

        assert [entry.task_id for entry in dead_letters.page(EVERY_DEAD_LETTER)[0]] == ["c"]

    def test_d6_what_was_purged_cannot_be_replayed(
        self, harness: StackHarness, broker: Broker, source: LeaseSource, dead_letters: DeadLetters
    ) -> None:
        bury_all(harness, broker, source, "t")

        dead_letters.purge(DeadLetterQuery(ids=["t"]))

        assert dead_letters.replay(EVERY_DEAD_LETTER, limit=10) == []
        assert lease(source) == []


def dead_letter(entry_id: str, task: str, *, facts: dict[str, object] | None = None) -> DeadLetter:
    """Return what another database gave up."""
    return DeadLetter(
        id=entry_id,
        queue=QUEUE,
        task_id=task,
        task=TASK,
        reason=DeadReason.WORKER_LOST,
        detail="delivered too often",
        attempt=1,
        deliveries=3,
        generation=0,
        dead_at=SENT_AT,
        payload=pack(message(task or "none"), queue=QUEUE).encode(),
        facts=facts or {},
    )


def pages_of(dead_letters: DeadLetters, query: DeadLetterQuery, *, limit: int) -> list[list[DeadLetter]]:
    """Return all pages of a listing."""
    page, cursor = dead_letters.page(query, limit=limit)
    pages = [page]
    while cursor is not None:
        page, cursor = dead_letters.page(query, cursor=cursor, limit=limit)
        pages.append(page)
    return pages
