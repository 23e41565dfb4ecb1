"""The part of the results' contract that is about listing and deleting records: R6 and R8."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from stem.errors import ConfigurationError
from stem.ports.results import TaskQuery
from stem.states import TaskState
from stem.testing.contracts.queues import NO_CURSORS
from stem.testing.contracts.samples import (
    LEASE,
    SECOND,
    TTL,
    ending,
    new_task,
    retry_note,
    start,
)
from stem.testing.contracts.suite import Contract

if TYPE_CHECKING:
    from stem.ports.results import Results, TaskRecord
    from stem.testing.contracts.harness import StackHarness


class KeepingContract(Contract):
    """What listings and retention promise."""

    def test_r6_the_last_updated_comes_first(self, harness: StackHarness, results: Results) -> None:
        for name in ("a", "b", "c"):
            results.add([new_task(name)])
            harness.let_pass(SECOND)
        results.start([start("a", at=harness.now())])

        pages = pages_of(results, TaskQuery(), limit=2)

        assert [[record.id for record in page] for page in pages] == [["a", "c"], ["b"]]
        updates = [record.updated_at for page in pages for record in page]
        assert updates == sorted(updates, reverse=True)

    def test_r6_records_of_one_moment_are_neither_repeated_nor_skipped(self, results: Results) -> None:
        names = [f"t{number:02}" for number in range(11)]
        results.add([new_task(name) for name in names])

        pages = pages_of(results, TaskQuery(), limit=2)

        assert sorted(record.id for page in pages for record in page) == names

    def test_r6_pages_neither_repeat_nor_skip_while_others_come_and_go(
        self, harness: StackHarness, results: Results
    ) -> None:
        stay = [f"stay{number:02}" for number in range(12)]
        for name in stay:
            results.add([new_task(name), new_task(f"go-{name}")])
            harness.let_pass(SECOND)

        seen: list[str] = []
        cursor, rounds = None, 0
        while rounds == 0 or cursor is not None:
            page, cursor = results.page(TaskQuery(), cursor=cursor, limit=3)
            seen += [record.id for record in page]
            results.start([start(f"go-{stay[rounds]}", at=harness.now())])
            gone = f"go-{stay[-1 - rounds]}"
            results.finish([ending(gone, at=harness.now(), fence=2, token="t2")])
            results.forget([gone])
            results.add([new_task(f"new{rounds}")])
            rounds += 1

        assert sorted(name for name in seen if name.startswith("stay")) == stay
        assert len([name for name in seen if name.startswith("stay")]) == len(stay)

    def test_r6_each_field_of_a_query_narrows_it(self, harness: StackHarness, results: Results) -> None:
        results.add([new_task("early")])
        harness.let_pass(LEASE)
        middle = harness.now()
        results.add([new_task("mailed", queue="mail"), new_task("named", name="app.other")])
        results.start([start("running", at=middle, worker="worker@two")])
        harness.let_pass(LEASE)
        late = harness.now()
        results.finish([ending("late", at=late)])

        found = {
            name: {record.id for record in results.page(query)[0]}
            for name, query in {
                "everything": TaskQuery(),
                "queue": TaskQuery(queue="mail"),
                "name": TaskQuery(name="app.other"),
                "state": TaskQuery(state=TaskState.RUNNING),
                "worker": TaskQuery(worker="worker@two"),
                "since": TaskQuery(since=middle - SECOND),
                "until": TaskQuery(until=late - SECOND),
                "between": TaskQuery(since=middle - SECOND, until=late - SECOND, state=TaskState.QUEUED),
                "nothing": TaskQuery(queue="mail", state=TaskState.RUNNING),
            }.items()
        }

        assert found == {
            "everything": {"early", "mailed", "named", "running", "late"},
            "queue": {"mailed"},
            "name": {"named"},
            "state": {"running"},
            "worker": {"running"},
            "since": {"mailed", "named", "running", "late"},
            "until": {"early", "mailed", "named", "running"},
            "between": {"mailed", "named"},
            "nothing": set(),
        }

    def test_r6_since_is_included_and_until_is_not(self, results: Results) -> None:
        results.add([new_task("t")])
        moment = results.get(["t"])["t"].updated_at

        assert len(results.page(TaskQuery(since=moment))[0]) == 1
        assert results.page(TaskQuery(until=moment))[0] == []

    @pytest.mark.parametrize("cursor", NO_CURSORS)
    def test_r6_a_cursor_of_no_page_is_refused(self, results: Results, cursor: str) -> None:
        with pytest.raises(ConfigurationError, match="cursor"):
            results.page(TaskQuery(), cursor=cursor)

    def test_r8_only_what_has_ended_is_forgotten(self, harness: StackHarness, results: Results) -> None:
        now = harness.now()
        results.add([new_task("queued")])
        results.start([start("running", at=now), start("retrying", at=now)])
        results.retry([retry_note("retrying", at=now)])
        results.finish([ending("ended", at=now), ending("kept", at=now)])

        assert results.forget(["queued", "running", "retrying", "ended", "never"]) == 1

        assert sorted(results.get(["queued", "running", "retrying", "ended", "kept"])) == [
            "kept",
            "queued",
            "retrying",
            "running",
        ]
        assert results.timeline("ended") == []
        assert [results.forget(["ended"]), results.forget([])] == [0, 0]

    def test_r8_records_are_pruned_after_their_time_to_live(
        self, harness: StackHarness, results: Results
    ) -> None:
        results.add([new_task("t", ttl=TTL), new_task("waiting", ttl=SECOND)])
        harness.let_pass(2 * TTL)
        results.finish([ending("t", at=harness.now(), ttl=SECOND)])
        expires_at = results.get(["t"])["t"].expires_at

        assert expires_at is not None
        assert abs(expires_at - (harness.now() + TTL)) < SECOND
        harness.let_pass(TTL - SECOND)
        assert results.prune(limit=10) == 0
        harness.let_pass(2 * SECOND)
        assert results.prune(limit=10) == 1
        assert list(results.get(["t", "waiting"])) == ["waiting"]
        assert results.timeline("t") == []

    def test_r8_the_time_to_live_counts_by_the_stores_clock(
        self, harness: StackHarness, results: Results
    ) -> None:
        long_ago = harness.now() - timedelta(days=365)
        results.finish([ending("t", at=long_ago)])

        assert results.prune(limit=10) == 0
        harness.let_pass(TTL + SECOND)
        assert results.prune(limit=10) == 1

    def test_r8_no_more_is_pruned_than_asked_for(self, harness: StackHarness, results: Results) -> None:
        results.finish([ending(f"t{number}", at=harness.now()) for number in range(5)])
        harness.let_pass(TTL + SECOND)

        assert [results.prune(limit=2) for _ in range(4)] == [2, 2, 1, 0]


def pages_of(results: Results, query: TaskQuery, *, limit: int) -> list[list[TaskRecord]]:
    """Return all pages of a listing."""
    page, cursor = results.page(query, limit=limit)
    pages = [page]
    while cursor is not None:
        page, cursor = results.page(query, cursor=cursor, limit=limit)
        pages.append(page)
    return pages
