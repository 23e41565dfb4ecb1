"""Messages, settlements and records for contract tests, filled in where a test does not care."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from threading import Barrier
from typing import TYPE_CHECKING, Any, Final, TypeVar

from stem.codecs import encode
from stem.message import Arguments, Envelope, ErrorInfo, Message
from stem.ports.broker import NOW, Bury, Complete, Publication, Release, Reschedule
from stem.ports.deadletters import DeadLetterQuery
from stem.ports.heartbeats import Heartbeat
from stem.ports.results import Ending, NewTask, RetryNote, Start
from stem.states import DeadReason, TaskState

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from stem.message import Delivery
    from stem.ports.broker import Broker, LeaseSource, Settlement
    from stem.testing.contracts.harness import StackHarness

QUEUE: Final = "default"
TASK: Final = "app.work"
OWNER: Final = "worker@one"
SECOND: Final = timedelta(seconds=1)
LEASE: Final = timedelta(seconds=30)
TTL: Final = timedelta(hours=1)
SENT_AT: Final = datetime(2026, 1, 1, tzinfo=UTC)
EVERY_DEAD_LETTER: Final = DeadLetterQuery()
HISTORY: Final = DeadLetterQuery(replayed=True)
FAILURE: Final = ErrorInfo(
    type="builtins.ValueError",
    message="no such päge",
    traceback="  File 'app.py', line 3, in work\n",
    cause=ErrorInfo(type="builtins.KeyError", message="'päge'"),
)

Answer = TypeVar("Answer")


def message(
    task_id: str,
    *,
    attempt: int = 1,
    name: str = TASK,
    body: bytes | None = None,
    headers: Mapping[str, Any] | None = None,
) -> Message:
    """Return a message that calls ``name`` without arguments."""
    envelope = Envelope(id=task_id, name=name, attempt=attempt, sent_at=SENT_AT)
    made = encode(envelope, Arguments())
    carried = made.body if body is None else body
    return replace(made, headers={**made.headers, **(headers or {})}, body=carried)


def new_task(task_id: str, *, queue: str = QUEUE, name: str = TASK, ttl: timedelta = TTL) -> NewTask:
    """Return the first record of a task."""
    return NewTask(id=task_id, name=name, queue=queue, sent_at=SENT_AT, ttl=ttl)


def publication(
    task_id: str,
    *,
    queue: str = QUEUE,
    priority: int = 0,
    due: timedelta | datetime = NOW,
    content: Message | None = None,
    recorded: bool = True,
) -> Publication:
    """Return the publication of a message with its record."""
    made = content or message(task_id)
    return Publication(
        message=replace(made, properties={**made.properties, "priority": priority}),
        queue=queue,
        priority=priority,
        due=due,
        task=new_task(task_id, queue=queue) if recorded else None,
    )


def publish(broker: Broker, *task_ids: str, queue: str = QUEUE, due: timedelta = NOW) -> None:
    """Publish new messages with their records."""
    published = broker.publish([publication(task_id, queue=queue, due=due) for task_id in task_ids])
    assert published == [True] * len(task_ids)


def lease(
    source: LeaseSource, *, limit: int = 100, queues: Sequence[str] = (QUEUE,), duration: timedelta = LEASE
) -> list[Delivery]:
    """Lease up to ``limit`` messages."""
    return source.lease(queues, limit=limit, duration=duration)


def lease_one(source: LeaseSource, *, duration: timedelta = LEASE) -> Delivery:
    """Lease the next message of `QUEUE`, which there must be."""
    (delivery,) = lease(source, limit=1, duration=duration)
    return delivery


def task_id(delivery: Delivery) -> str:
    """Return the id that the delivery's message tells."""
    assert isinstance(delivery.content, Message)
    told: str = delivery.content.headers["id"]
    return told


def task_ids(deliveries: Sequence[Delivery]) -> list[str]:
    """Return the ids that the messages tell, in order."""
    return [task_id(delivery) for delivery in deliveries]


def start(
    task: str, *, at: datetime, token: str = "t1", fence: int = 1, attempt: int = 1, worker: str = OWNER
) -> Start:
    """Return the note that an attempt began."""
    return Start(
        task_id=task,
        token=token,
        fence=fence,
        attempt=attempt,
        deliveries=1,
        worker=worker,
        queue=QUEUE,
        name=TASK,
        at=at,
        ttl=TTL,
    )


def start_of(delivery: Delivery, *, at: datetime, attempt: int = 1) -> Start:
    """Return the note that the delivery's attempt began."""
    return start(task_id(delivery), at=at, token=delivery.token, fence=delivery.fence, attempt=attempt)


def retry_note(
    task: str, *, at: datetime, token: str = "t1", fence: int = 1, attempt: int = 1, worker: str = OWNER
) -> RetryNote:
    """Return the note that an attempt failed and another follows."""
    return RetryNote(
        task_id=task,
        token=token,
        fence=fence,
        attempt=attempt,
        deliveries=1,
        worker=worker,
        at=at,
        retry_at=at + SECOND,
        error=FAILURE,
    )


def ending(
    task: str,
    *,
    at: datetime,
    token: str = "t1",
    fence: int = 1,
    attempt: int = 1,
    state: TaskState = TaskState.SUCCEEDED,
    result: str = '"done"',
    ttl: timedelta = TTL,
) -> Ending:
    """Return how a task ended."""
    good = state is TaskState.SUCCEEDED
    return Ending(
        task_id=task,
        state=state,
        token=token,
        fence=fence,
        attempt=attempt,
        deliveries=1,
        worker=OWNER,
        queue=QUEUE,
        name=TASK,
        finished_at=at,
        ttl=ttl,
        result=result if good else None,
        error=None if good else FAILURE,
        started_at=at,
        runtime_s=0.25,
    )


def ending_of(delivery: Delivery, *, at: datetime, state: TaskState = TaskState.SUCCEEDED) -> Ending:
    """Return the outcome of a delivery."""
    return ending(task_id(delivery), at=at, token=delivery.token, fence=delivery.fence, state=state)


def completion(delivery: Delivery, *, at: datetime) -> Complete:
    """Return the settlement of a task that succeeded."""
    return Complete(token=delivery.token, ending=ending_of(delivery, at=at))


def rescheduling(delivery: Delivery, *, due: timedelta = NOW, attempt: int = 2) -> Reschedule:
    """Return the settlement of an attempt that is to be followed by another."""
    content = message(task_id(delivery), attempt=attempt)
    return Reschedule(token=delivery.token, message=content, attempt=attempt, due=due, error=FAILURE)


def burial(delivery: Delivery, *, at: datetime, reason: DeadReason = DeadReason.RETRIES_EXHAUSTED) -> Bury:
    """Return the settlement of a task that failed for good."""
    return Bury(
        token=delivery.token,
        reason=reason,
        detail="three attempts, ünlucky all",
        task_id=task_id(delivery),
        task=TASK,
        attempt=1,
        ending=ending_of(delivery, at=at, state=TaskState.FAILED),
        facts={"exit_code": -9, "rss_bytes": 2**40, "host": "höst", "cells": []},
    )


def bury_all(
    harness: StackHarness, broker: Broker, source: LeaseSource, *names: str, queue: str = QUEUE
) -> None:
    """Publish messages and bury them, in order."""
    publish(broker, *names, queue=queue)
    deliveries = lease(source, queues=[queue])
    assert task_ids(deliveries) == list(names)
    assert source.settle([burial(each, at=harness.now()) for each in deliveries]) == [True] * len(names)


def every_settlement(delivery: Delivery, *, at: datetime) -> dict[str, Settlement]:
    """Return one settlement of each kind, by name."""
    return {
        "complete": Complete(
            token=delivery.token,
            ending=ending_of(delivery, at=at),
            successors=(publication(f"after-{task_id(delivery)}"),),
        ),
        "release": Release(token=delivery.token),
        "reschedule": rescheduling(delivery),
        "bury": burial(delivery, at=at),
    }


def heartbeat(
    worker_id: str = OWNER, *, boot_id: str = "boot-1", at: datetime, processed: int = 0
) -> Heartbeat:
    """Return what an idle worker tells about itself."""
    return Heartbeat(
        worker_id=worker_id,
        boot_id=boot_id,
        host="one",
        pid=4711,
        version="0.1.0",
        started_at=at,
        at=at,
        interval_s=2.0,
        pool="prefork",
        queues={QUEUE: 0, "höch": 2},
        slots=4,
        inflight=0,
        processed=processed,
        rss_bytes=2**33,
        load=(0.5, 0.25, 0.125),
    )


def at_once(calls: Sequence[Callable[[], Answer]]) -> list[Answer]:
    """Make all calls at the same time, each in a thread of its own; return their answers in order."""
    barrier = Barrier(len(calls))

    def run(call: Callable[[], Answer]) -> Answer:
        barrier.wait(timeout=30)
        return call()

    with ThreadPoolExecutor(max_workers=len(calls)) as threads:
        return list(threads.map(run, calls))
