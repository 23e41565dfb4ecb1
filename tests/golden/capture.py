"""Write the messages that Celery publishes into ``celery-<version>/``, one file each.

Run it with the Python of an environment that has Celery, from anywhere::

    python tests/golden/capture.py

Each file is the JSON text that kombu's virtual transports (Redis, SQS, filesystem …) put into a
queue. What differs from run to run (the producer's name, random ids) is replaced.
"""

from __future__ import annotations

import decimal
import itertools
import re
import uuid
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import celery
from celery import Celery, chain, chord, group
from kombu.utils.json import dumps
from kombu.utils.uuid import uuid as kombu_uuid

if TYPE_CHECKING:
    from collections.abc import Callable

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
QUEUE = "celery"

app = Celery("golden", broker="memory://", backend="cache+memory://")
app.now = lambda: NOW
app.set_default()


@app.task(name="demo.add")
def add(x: int, y: int) -> int:
    return x + y


@app.task(name="demo.echo")
def echo(*args: Any, **kwargs: Any) -> Any:
    return args, kwargs


@app.task(name="demo.total")
def total(numbers: list[int]) -> int:
    return sum(numbers)


def with_protocol_1() -> None:
    app.conf.task_protocol = 1
    app.amqp.__dict__.pop("create_task_message", None)
    try:
        add.apply_async((2, 3), task_id="t-protocol-1")
    finally:
        app.conf.task_protocol = 2
        app.amqp.__dict__.pop("create_task_message", None)


def special_values() -> None:
    values = (
        datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=UTC),
        datetime(2026, 1, 2, 3, 4),  # noqa: DTZ001 - naive on purpose
        date(2026, 1, 2),
        time(3, 4, 5),
        decimal.Decimal("1.10"),
        uuid.UUID(int=7),
        b"plain",
        b"\xff\x00",
        "grüße 😀",
    )
    echo.apply_async(values, {"nested": {"at": [NOW]}}, task_id="t-values")


CASES: dict[str, Callable[[], object]] = {
    "plain": lambda: add.apply_async((2, 3), task_id="t-plain"),
    "keywords": lambda: add.apply_async(kwargs={"x": 2, "y": 3}, task_id="t-keywords"),
    "countdown-and-expires": lambda: add.apply_async((2, 3), countdown=10, expires=60, task_id="t-countdown"),
    "naive-eta": lambda: add.apply_async((2, 3), eta=datetime(2026, 11, 21, 13), task_id="t-naive"),  # noqa: DTZ001
    "foreign-eta": lambda: add.apply_async(
        (2, 3), eta=datetime.fromisoformat("2026-11-21T13:00:00+05:30"), task_id="t-foreign"
    ),
    "priority": lambda: add.apply_async((2, 3), priority=7, task_id="t-priority"),
    "time-limits": lambda: add.apply_async((2, 3), time_limit=10, soft_time_limit=5.5, task_id="t-limits"),
    "retried": lambda: add.apply_async((2, 3), retries=2, task_id="t-retried"),
    "custom-headers": lambda: add.apply_async(
        (2, 3), headers={"tenant": "a", "trace": {"id": [1, None, 2.5]}}, task_id="t-headers"
    ),
    "ignored-result": lambda: add.apply_async((2, 3), ignore_result=True, shadow="sum", task_id="t-ignored"),
    "values": special_values,
    "callbacks": lambda: add.apply_async(
        (2, 3), link=add.s(4), link_error=echo.si("failed"), task_id="t-callbacks"
    ),
    "chain": lambda: chain(add.s(2, 3), add.s(4), add.s(5)).apply_async(task_id="t-chain"),
    "group": lambda: group(add.s(2, 3), add.s(4, 5)).apply_async(task_id="t-group"),
    "chord": lambda: chord([add.s(2, 3), add.s(4, 5)], total.s()).apply_async(task_id="t-chord"),
    "gzip": lambda: echo.apply_async(("x" * 2000,), compression="gzip", task_id="t-gzip"),
    "bzip2": lambda: echo.apply_async(("x" * 2000,), compression="bzip2", task_id="t-bzip2"),
    "stamped": lambda: add.s(2, 3).set(task_id="t-stamped").stamp(order=7).apply_async(),
    "pickle": lambda: add.apply_async((2, 3), serializer="pickle", task_id="t-pickle"),
    "unicode": lambda: add.apply_async(("ünï", "\u2028"), task_id="t-text"),
    "protocol-1": with_protocol_1,
}


def published() -> list[str]:
    """Take what is in the queue, oldest first, as a transport would store it."""
    with app.connection_for_write() as connection:
        channel = connection.default_channel
        raws = [dumps(channel._get(QUEUE)) for _ in range(channel._size(QUEUE))]
    return [re.sub(r'"origin": "[^"]*"', '"origin": "gen1@producer"', raw) for raw in raws]


def number_ids() -> None:
    """Let every id that is not given be a number, from 1 on, in the form of a UUID."""
    numbers = itertools.count(1)
    # the one function that Celery and kombu take their ids from, bound by name all over both
    kombu_uuid.__defaults__ = (lambda: uuid.UUID(int=next(numbers)),)
    app._local.oid = str(uuid.UUID(int=0))


def main() -> None:
    directory = Path(__file__).parent / f"celery-{'.'.join(celery.__version__.split('.')[:2])}"
    directory.mkdir(exist_ok=True)
    for name, publish in CASES.items():
        number_ids()
        publish()
        messages = published()
        for number, raw in enumerate(messages, 1):
            suffix = f"-{number}" if len(messages) > 1 else ""
            (directory / f"{name}{suffix}.json").write_text(raw + "\n")


if __name__ == "__main__":
    main()
