"""The contract of `stem.ports.results.Results`; no broker is needed."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from threading import Thread
from typing import TYPE_CHECKING

import pytest

from stem.message import ErrorInfo
from stem.states import TERMINAL_STATES, TaskState
from stem.testing.contracts.keeping import KeepingContract
from stem.testing.contracts.leasing import pass_time_until_ended
from stem.testing.contracts.samples import (
    FAILURE,
    OWNER,
    QUEUE,
    SECOND,
    SENT_AT,
    TASK,
    at_once,
    ending,
    new_task,
    retry_note,
    start,
)
from stem.testing.contracts.suite import offered

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stem.ports.results import Results
    from stem.testing.contracts.harness import StackHarness

TERMINAL = sorted(TERMINAL_STATES)


class ResultsContract(KeepingContract):
    """R1 to R10."""

    def test_r1_a_record_is_added_once(self, results: Results) -> None:
        first = replace(new_task("t"), root_id="root", parent_id="parent", group_id="group")

        assert results.add([first, new_task("u"), new_task("t", queue="other")]) == [True, True, False]
        assert results.add([new_task("t", name="app.other")]) == [False]

        record = results.get(["t"])["t"]
        assert (record.id, record.name, record.queue, record.state) == ("t", TASK, QUEUE, TaskState.QUEUED)
        assert (record.attempt, record.deliveries, record.generation, record.worker) == (1, 0, 0, "")
        assert (record.root_id, record.parent_id, record.group_id) == ("root", "parent", "group")
        assert record.sent_at == SENT_AT
        assert {record.started_at, record.finished_at, record.runtime_s, record.expires_at} == {None}
        assert {record.result, record.error, record.progress} == {None}
        assert results.add([]) == []

    def test_r1_a_record_that_went_on_is_not_reset(self, harness: StackHarness, results: Results) -> None:
        results.add([new_task("t")])
        results.start([start("t", at=harness.now())])

        assert results.add([new_task("t")]) == [False]

        assert results.get(["t"])["t"].state is TaskState.RUNNING

    def test_r1_many_threads_add_one_record_once(self, harness: StackHarness) -> None:
        stores = [offered(harness.reopen().results) for _ in range(4)]

        answers = at_once([partial(each.add, [new_task("t")]) for each in stores])

        assert sorted(answers) == [[False], [False], [False], [True]]

    def test_r2_a_start_is_noted(self, harness: StackHarness, results: Results) -> None:
        results.add([new_task("t")])
        now = harness.now()

        assert results.start([replace(start("t", at=now), attempt=3, deliveries=2)]) == [True]

        record = results.get(["t"])["t"]
        assert (record.state, record.worker) == (TaskState.RUNNING, OWNER)
        assert (record.attempt, record.deliveries) == (3, 2)
        assert record.started_at == now

    def test_r2_a_start_makes_the_record_of_a_foreign_task(
        self, harness: StackHarness, results: Results
    ) -> None:
        assert results.start([start("t", at=harness.now())]) == [True]

        record = results.get(["t"])["t"]
        assert (record.state, record.name, record.queue) == (TaskState.RUNNING, TASK, QUEUE)
        assert results.add([new_task("t")]) == [False]

    @pytest.mark.parametrize("state", TERMINAL)
    def test_r2_a_task_that_has_ended_is_not_started(
        self, harness: StackHarness, results: Results, state: TaskState
    ) -> None:
        results.finish([ending("t", at=harness.now(), fence=5, state=state)])
        before = look(results)

        later = [start("t", at=harness.now(), fence=6, token="t6"), start("t", at=harness.now(), fence=5)]

        assert results.start(later) == [False, False]
        assert look(results) == before

    def test_r2_a_smaller_fence_is_refused(self, harness: StackHarness, results: Results) -> None:
        results.start([start("t", at=harness.now(), token="t7", fence=7, worker="worker@two")])
        before = look(results)

        late = [start("t", at=harness.now(), fence=6), start("t", at=harness.now(), token="t8", fence=7)]

        assert results.start(late) == [False, False]
        assert look(results) == before

    def test_r3_a_zombies_ending_is_refused(self, harness: StackHarness, results: Results) -> None:
        now = harness.now()
        results.start([start("t", at=now, token="t1", fence=1)])
        results.start([start("t", at=now, token="t2", fence=2, worker="worker@two")])
        before = look(results)

        assert results.finish([ending("t", at=now, token="t1", fence=1)]) == [False]
        assert results.retry([retry_note("t", at=now, token="t1", fence=1)]) == [False]
        assert results.finish([ending("t", at=now, token="t1", fence=2)]) == [False]
        assert results.retry([retry_note("t", at=now, token="", fence=2)]) == [False]

        assert look(results) == before
        assert results.finish([ending("t", at=now, token="t2", fence=2)]) == [True]

    def test_r3_a_later_delivery_may_end_what_it_did_not_start(
        self, harness: StackHarness, results: Results
    ) -> None:
        now = harness.now()
        results.add([new_task("never started")])
        results.start([start("t", at=now)])

        accepted = results.finish(
            [
                ending("t", at=now, token="t2", fence=2, state=TaskState.FAILED),
                ending("never started", at=now, state=TaskState.CANCELLED),
            ]
        )

        assert accepted == [True, True]
        assert results.get(["t"])["t"].state is TaskState.FAILED
        assert results.finish([ending("t", at=now)]) == [False]

    def test_r3_one_of_two_competing_endings_wins(self, harness: StackHarness, results: Results) -> None:
        now = harness.now()
        results.start([start("t", at=now, token="t9", fence=9)])
        stores = [offered(harness.reopen().results) for _ in range(4)]

        answers = at_once(
            [
                partial(each.finish, [ending("t", at=now, token=f"t{fence}", fence=fence, result=str(fence))])
                for fence, each in zip((8, 9, 10, 11), stores, strict=True)
            ]
        )

        assert sum(answer == [True] for answer in answers) == 1
        winner = answers.index([True]) + 8
        assert results.get(["t"])["t"].result == str(winner)
        assert winner != 8

    def test_r3_a_retry_of_an_unknown_task_is_refused(self, harness: StackHarness, results: Results) -> None:
        assert results.retry([retry_note("t", at=harness.now())]) == [False]

        assert results.get(["t"]) == {}

    def test_r3_a_retry_is_noted(self, harness: StackHarness, results: Results) -> None:
        now = harness.now()
        results.start([start("t", at=now)])

        assert results.retry([retry_note("t", at=now)]) == [True]

        record = results.get(["t"])["t"]
        assert (record.state, record.attempt, record.error) == (TaskState.RETRYING, 1, FAILURE)
        assert results.start([start("t", at=now, token="t2", fence=2, attempt=2)]) == [True]
        assert results.get(["t"])["t"].state is TaskState.RUNNING

    @pytest.mark.parametrize("state", TERMINAL)
    def test_r4_a_terminal_state_stays(
        self, harness: StackHarness, results: Results, state: TaskState
    ) -> None:
        now = harness.now()
        results.start([start("t", at=now, fence=5, token="t5")])
        results.finish([ending("t", at=now, fence=5, token="t5", state=state)])
        before = look(results)

        for fence in (4, 6, 2**40):
            for other in TERMINAL:
                assert results.finish([ending("t", at=now, token="tx", fence=fence, state=other)]) == [False]
            assert results.retry([retry_note("t", at=now, token="tx", fence=fence)]) == [False]
        assert results.add([new_task("t")]) == [False]

        assert look(results) == before

    def test_r4_an_ending_is_kept_whole(self, harness: StackHarness, results: Results) -> None:
        now = harness.now()
        results.add([new_task("good"), new_task("bad")])
        text = '{"a":[1,2.5,null,"naïve 🦔",9007199254740993,[],{}]}'
        good = replace(ending("good", at=now, result=text), attempt=4, deliveries=2)

        results.finish([good, ending("bad", at=now, state=TaskState.FAILED)])

        records = results.get(["good", "bad"])
        assert (records["good"].result, records["good"].error) == (text, None)
        assert (records["good"].attempt, records["good"].deliveries) == (4, 2)
        assert (records["good"].runtime_s, records["good"].worker) == (0.25, OWNER)
        assert (records["good"].started_at, records["good"].finished_at) == (now, now)
        assert (records["bad"].result, records["bad"].error) == (None, FAILURE)

    def test_r4_a_large_result_survives(self, harness: StackHarness, results: Results) -> None:
        text = '"' + "x" * 2**20 + '"'

        results.finish([ending("t", at=harness.now(), result=text)])

        assert results.get(["t"])["t"].result == text

    def test_r5_an_unknown_task_is_told_from_a_waiting_one(
        self, harness: StackHarness, results: Results
    ) -> None:
        results.add([new_task("t")])

        assert list(results.get(["t", "never"])) == ["t"]
        assert results.get([]) == {}
        assert results.timeline("never") == []
        assert list(offered(harness.reopen().results).get(["t"])) == ["t"]

    def test_r5_many_ids_are_found_at_once(self, results: Results) -> None:
        names = [f"t{number}" for number in range(1000)]
        results.add([new_task(name) for name in names])

        assert sorted(results.get([*names, "never"])) == sorted(names)

    def test_r7_the_timeline_keeps_the_order_of_what_happened(
        self, harness: StackHarness, results: Results
    ) -> None:
        now = harness.now()
        results.add([new_task("t")])
        results.start([start("t", at=now)])
        results.retry([retry_note("t", at=now)])
        results.start([start("t", at=now, token="t2", fence=2, attempt=2, worker="worker@two")])
        results.finish([ending("t", at=now, token="t2", fence=2, attempt=2, state=TaskState.FAILED)])

        timeline = results.timeline("t")

        assert [(event.kind, event.attempt) for event in timeline] == [
            ("queued", 1),
            ("started", 1),
            ("retrying", 1),
            ("started", 2),
            ("failed", 2),
        ]
        assert [event.worker for event in timeline[:4]] == ["", OWNER, OWNER, "worker@two"]
        assert all("ValueError" in event.detail for event in (timeline[2], timeline[4]))
        assert [timeline[0].detail, timeline[1].detail] == ["", ""]

    def test_r7_what_was_refused_leaves_no_trace(self, harness: StackHarness, results: Results) -> None:
        now = harness.now()
        results.start([start("t", at=now, fence=5, token="t5")])
        results.start([start("t", at=now, fence=4)])
        results.retry([retry_note("t", at=now, fence=4)])
        results.finish([ending("t", at=now, fence=4)])

        assert [event.kind for event in results.timeline("t")] == ["started"]

    def test_r9_repeating_an_accepted_write_is_accepted_and_changes_nothing(
        self, harness: StackHarness, results: Results
    ) -> None:
        now = harness.now()
        began, failed = start("t", at=now), retry_note("t", at=now)
        again = start("t", at=now, token="t2", fence=2, attempt=2)
        ended = ending("t", at=now, token="t2", fence=2, attempt=2)
        steps = (
            partial(results.start, [began]),
            partial(results.retry, [failed]),
            partial(results.start, [again]),
            partial(results.finish, [ended]),
        )

        for step in steps:
            assert step() == [True]
            after = look(results)
            harness.let_pass(SECOND)
            assert [step(), step()] == [[True], [True]]
            assert look(results) == after

    def test_r9_in_one_call_too(self, harness: StackHarness, results: Results) -> None:
        ended = ending("t", at=harness.now())

        assert results.finish([ended, ended, replace(ended, token="t2", fence=2)]) == [True, True, False]

        assert [event.kind for event in results.timeline("t")] == ["succeeded"]

    def test_a_batch_is_answered_in_order(self, harness: StackHarness, results: Results) -> None:
        now = harness.now()
        results.finish([ending("ended", at=now, token="t5", fence=5)])

        assert results.start([start("a", at=now), start("ended", at=now), start("b", at=now)]) == [
            True,
            False,
            True,
        ]
        assert results.retry([retry_note("never", at=now), retry_note("a", at=now)]) == [False, True]
        assert results.finish([ending("ended", at=now), ending("b", at=now)]) == [False, True]
        assert (results.start([]), results.retry([]), results.finish([])) == ([], [], [])

    def test_r10_a_released_attempt_waits_again(self, harness: StackHarness, results: Results) -> None:
        now = harness.now()
        results.add([new_task("t")])
        results.start([start("t", at=now), start("foreign", at=now)])

        results.release([start("t", at=now), start("foreign", at=now), start("never", at=now)])
        results.release([])

        records = results.get(["t", "foreign", "never"])
        assert {name: (each.state, each.fence) for name, each in records.items()} == {
            "t": (TaskState.QUEUED, 1),
            "foreign": (TaskState.QUEUED, 1),
        }
        assert [event.kind for event in results.timeline("t")] == ["queued", "started"]
        assert results.finish([ending("t", at=now)]) == [False]
        assert results.start([start("t", at=now, fence=2, token="t2")]) == [True]

    def test_r10_only_the_delivery_that_runs_it_is_released(
        self, harness: StackHarness, results: Results
    ) -> None:
        now = harness.now()
        results.start([start("t", at=now, fence=2, token="t2"), start("ended", at=now)])
        results.finish([ending("ended", at=now)])
        before = look(results, ["t", "ended"])

        results.release(
            [
                start("t", at=now),
                start("t", at=now, fence=2, token="other"),
                start("t", at=now, fence=3, token="t2"),
                start("ended", at=now),
            ]
        )

        assert look(results, ["t", "ended"]) == before

    def test_r10_the_fence_of_a_record_is_the_highest_that_was_accepted(
        self, harness: StackHarness, results: Results
    ) -> None:
        now = harness.now()
        results.add([new_task("t")])
        fences = [results.get(["t"])["t"].fence]
        for fence in (3, 2, 7):
            results.start([start("t", at=now, fence=fence, token=f"t{fence}")])
            fences.append(results.get(["t"])["t"].fence)

        assert fences == [0, 3, 3, 7]

    def test_text_that_no_database_likes_can_be_an_error(
        self, harness: StackHarness, results: Results
    ) -> None:
        odd = ErrorInfo(type="app.\x00Error", message="\x00 \ud800 🦔", traceback="\udfff", cause=FAILURE)
        failed = replace(ending("t", at=harness.now(), state=TaskState.FAILED), error=odd)

        assert results.finish([failed]) == [True]

        record = results.get(["t"])["t"]
        assert record.state is TaskState.FAILED
        assert record.error is not None
        assert (record.error.message[-1], record.error.cause) == ("🦔", FAILURE)

    def test_a_wait_ends_at_once_when_a_task_has_ended(self, harness: StackHarness, results: Results) -> None:
        results.add([new_task("open")])
        results.finish([ending("t", at=harness.now())])
        waiting = Thread(target=results.wait, args=(["open", "t"],), kwargs={"timeout_s": 1e6}, daemon=True)

        waiting.start()

        waiting.join(30)
        assert not waiting.is_alive()

    def test_a_wait_ends_when_the_task_ends(self, harness: StackHarness, results: Results) -> None:
        results.add([new_task("t")])
        waiting = Thread(target=results.wait, args=(["t"],), kwargs={"timeout_s": 3600.0}, daemon=True)
        waiting.start()

        offered(harness.reopen().results).finish([ending("t", at=harness.now())])

        pass_time_until_ended(harness, waiting)

    def test_a_wait_ends_after_its_time(self, harness: StackHarness, results: Results) -> None:
        results.add([new_task("t")])
        waiting = Thread(target=results.wait, args=(["t"],), kwargs={"timeout_s": 2.0}, daemon=True)
        waiting.start()

        pass_time_until_ended(harness, waiting)

    def test_closing_twice_is_harmless(self, results: Results) -> None:
        results.add([new_task("t")])

        results.close()
        results.close()


def look(results: Results, names: Sequence[str] = ("t",)) -> object:
    """Return all that can be seen of some tasks."""
    return results.get(names), [results.timeline(name) for name in names]
