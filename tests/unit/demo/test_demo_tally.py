from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from stem.cli.demo.ledger import Published
from stem.cli.demo.tally import Evidence, Kill, summarize
from stem.cli.demo.words import Found, Totals
from stem.ports.broker import QueueStats
from stem.ports.deadletters import DeadLetter
from stem.ports.results import TaskRecord, TimelineEvent
from stem.states import DeadReason, TaskState

if TYPE_CHECKING:
    from collections.abc import Callable

    from stem.ports.results import EventKind

START = datetime(2026, 1, 1, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def record(task_id: str, name: str, **changes: Any) -> TaskRecord:
    plain = TaskRecord(
        id=task_id,
        name=name,
        queue="default",
        state=TaskState.SUCCEEDED,
        attempt=1,
        deliveries=1,
        generation=0,
        worker="demo@here",
        sent_at=START,
        updated_at=at(2),
        started_at=at(1),
        finished_at=at(2),
    )
    return replace(plain, **changes)


def timeline(*kinds: EventKind) -> list[TimelineEvent]:
    return [TimelineEvent(at=START, kind=kind, attempt=1, worker="") for kind in kinds]


def letter(reason: DeadReason, task: str = "") -> DeadLetter:
    return DeadLetter(
        id=str(reason),
        queue="default",
        task_id="",
        task=task,
        reason=reason,
        detail="",
        attempt=1,
        deliveries=1,
        generation=0,
        dead_at=at(2),
        payload=b"",
    )


def counted(lines: int, words: int) -> str:
    return json.dumps({"lines": lines, "words": words, "top": [["to", words]]})


@pytest.fixture
def evidence() -> Evidence:
    """What a run leaves behind in which everything went as it should."""
    records = {
        "a": record("a", "demo.count", result=counted(1, 3)),
        "b": record("b", "demo.count_at_risk", result=counted(2, 4), deliveries=2),
        "c": record("c", "demo.count", result=json.dumps({"skipped": "not UTF-8"})),
        "flaky": record("flaky", "demo.flaky", attempt=3),
        "later": record("later", "demo.later", started_at=at(3.01), finished_at=at(3.02)),
        "hopeless": record("hopeless", "demo.hopeless", state=TaskState.FAILED),
    }
    timelines = {task_id: timeline("queued", "succeeded") for task_id in records}
    timelines["flaky"] = timeline("queued", "retrying", "retrying", "succeeded")
    timelines["hopeless"] = timeline("queued", "failed")
    return Evidence(
        found=Found(root="/texts", files=("/texts/a", "/texts/b", "/texts/c")),
        delay=timedelta(seconds=3),
        published=(
            Published(id="later", role="later"),
            Published(id="flaky", role="flaky"),
            Published(id="hopeless", role="hopeless"),
            Published(id="a", role="file", path="/texts/a"),
            Published(id="b", role="at risk", path="/texts/b"),
            Published(id="c", role="file", path="/texts/c"),
        ),
        records=records,
        timelines=timelines,
        letters=[letter(DeadReason.TASK_FAILED, "demo.hopeless"), letter(DeadReason.ENVELOPE_UNDECODABLE)],
        queue=QueueStats(
            queue="default", ready=0, delayed=0, leased=0, dead=2, oldest_age_s=None, paused=False
        ),
        recount=Totals(files=2, skipped=1, lines=3, words=7),
        kill=Kill(pid=4711, at=at(1.5)),
        worker_exit_code=0,
        url=None,
    )


def test_a_good_run_adds_up(evidence: Evidence) -> None:
    summary = summarize(evidence)

    assert summary.wrong == ()
    assert summary.ok
    assert {check.name: check.says for check in summary.checks} == {
        "files": "3 found = 2 counted + 1 skipped (1 not UTF-8)",
        "words": "7 in 3 lines; counted twice, with the same result",
        "tasks": "6 published, 6 ended (5 succeeded, 1 failed)",
        "retries": "2: demo.flaky failed 2 times and succeeded at attempt 3",
        "delay": "a task that was to wait 3 s started after 3.01 s",
        "redeliveries": "1: process 4711 was killed; b was delivered 2 times, done 0.50 s later",
        "dead letters": "2: demo.hopeless (task-failed), a message that is no JSON (envelope-undecodable)",
        "duplicates": "0 ends beside a task's first, in 6 timelines",
        "queue": "0 ready, 0 delayed, 0 leased",
        "worker": "stopped, exit code 0",
        "lost": "0 of 7 messages",
    }
    assert summary.numbers["tasks_per_second"] == 2.5
    assert summary.redelivered_id == "b"


def with_record(task_id: str, **changes: Any) -> Callable[[Evidence], Evidence]:
    def change(evidence: Evidence) -> Evidence:
        changed = replace(evidence.records[task_id], **changes)
        return replace(evidence, records={**evidence.records, task_id: changed})

    return change


def without_record(task_id: str) -> Callable[[Evidence], Evidence]:
    return lambda evidence: replace(
        evidence, records={key: value for key, value in evidence.records.items() if key != task_id}
    )


def with_timeline(task_id: str, *kinds: EventKind) -> Callable[[Evidence], Evidence]:
    return lambda evidence: replace(evidence, timelines={**evidence.timelines, task_id: timeline(*kinds)})


def with_fields(**changes: Any) -> Callable[[Evidence], Evidence]:
    return lambda evidence: replace(evidence, **changes)


@pytest.mark.parametrize(
    ("harm", "wrong"),
    [
        (without_record("a"), {"files", "words", "tasks", "lost"}),
        (with_record("a", state=TaskState.RUNNING, result=None), {"files", "words", "tasks", "lost"}),
        (with_record("a", result=counted(1, 4)), {"words"}),
        (with_record("a", result=None), {"words"}),
        (with_fields(recount=Totals(files=3, skipped=0, lines=3, words=7)), {"words"}),
        (with_record("flaky", attempt=2), {"retries"}),
        (with_timeline("flaky", "queued", "retrying", "succeeded"), {"retries"}),
        (with_record("a", attempt=2), {"retries"}),
        (with_record("later", started_at=at(2.9)), {"delay"}),
        (with_record("later", state=TaskState.FAILED), {"delay"}),
        (without_record("later"), {"delay", "tasks", "lost"}),
        (with_record("b", deliveries=1), {"redeliveries"}),
        (with_fields(kill=None), {"redeliveries"}),
        (with_fields(letters=[letter(DeadReason.TASK_FAILED)]), {"dead letters", "lost"}),
        (with_fields(letters=[letter(DeadReason.ENVELOPE_UNDECODABLE)]), {"dead letters"}),
        (with_timeline("a", "queued", "succeeded", "succeeded"), {"duplicates"}),
        (with_timeline("a", "queued", "succeeded", "failed"), {"duplicates"}),
        (
            with_fields(
                queue=QueueStats(
                    queue="default", ready=0, delayed=1, leased=0, dead=2, oldest_age_s=None, paused=False
                )
            ),
            {"queue"},
        ),
        (with_fields(worker_exit_code=-9), {"worker"}),
    ],
)
def test_each_harm_shows_in_its_lines(
    evidence: Evidence, harm: Callable[[Evidence], Evidence], wrong: set[str]
) -> None:
    summary = summarize(harm(evidence))

    assert set(summary.wrong) == wrong
    assert not summary.ok


def test_what_has_not_ended_is_named(evidence: Evidence) -> None:
    harmed = without_record("later")(with_record("a", state=TaskState.RUNNING)(evidence))

    tasks = next(check for check in summarize(harmed).checks if check.name == "tasks")

    assert tasks.says.endswith("; not ended: later (no record), a (running)")


def test_nothing_at_all_is_no_success(evidence: Evidence) -> None:
    empty = replace(evidence, published=(), records={}, timelines={}, letters=(), kill=None)

    summary = summarize(empty)

    assert not summary.ok
    assert summary.numbers["tasks_per_second"] == 0
    assert summary.redelivered_id == ""
