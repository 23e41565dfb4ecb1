"""What is stored comes back byte for byte, whoever wrote it."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from stem.adapters.sql.broker import SqlBroker
from stem.message import Message, Refusal
from stem.ports.broker import Bury
from stem.ports.deadletters import DeadLetterQuery
from stem.states import DeadReason
from stem.testing.contracts.samples import lease, lease_one, message, publication, publish
from stem.testing.contracts.suite import offered

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from stem.ports.stack import Stack

    Open = Callable[..., Stack]

INSERT = """
    INSERT INTO stem_message
    (queue, state, priority, due_us, until_us, fence, deliveries, attempt, generation, owner, task_id, task,
    payload) VALUES ('default', 'ready', 0, 0, 0, 0, 0, 1, 0, '', '', '', {})
"""


@pytest.mark.parametrize(
    "body",
    [bytes(range(256)), b"", b"\0" * 10, "pä🦔".encode(), b"x" * 3_000_000],
    ids=["every byte", "nothing", "NUL", "UTF-8", "3 MB"],
)
def test_a_body_survives(opened: Open, path: Path, body: bytes) -> None:
    broker = offered(opened(path).broker)
    broker.publish([publication("t", content=message("t", body=body))])

    delivery = lease_one(broker.source(owner="worker@one"))

    assert isinstance(delivery.content, Message)
    assert delivery.content.body == body


@pytest.mark.parametrize("payload", ["", "{", "null", "[]", '{"headers":{}}', "\0", "\udcff", "pä🦔" * 1000])
def test_garbage_is_delivered_as_a_refusal_and_buried_with_its_bytes(
    opened: Open, path: Path, payload: str
) -> None:
    stack = opened(path)
    broker, dead_letters = stack.broker, offered(stack.dead_letters)
    assert isinstance(broker, SqlBroker)
    broker.publish_raw("default", payload)
    source = broker.source(owner="worker@one")

    delivery = lease_one(source)
    assert isinstance(delivery.content, Refusal)
    reason = delivery.content.reason
    assert source.settle([Bury(token=delivery.token, reason=reason, detail="")]) == [True]

    (entry,) = dead_letters.page(DeadLetterQuery())[0]
    assert entry.payload == payload.encode(errors="surrogatepass")
    assert (entry.reason, entry.task_id, entry.attempt) == (reason, "", 0)


@pytest.mark.parametrize("literal", ["'{'", "CAST(X'FFFE00' AS TEXT)", "X'80'", "42", "1.5"])
def test_a_row_of_a_stranger_stops_nobody(opened: Open, path: Path, literal: str) -> None:
    stack = opened(path)
    broker = offered(stack.broker)
    publish(broker, "t")
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(INSERT.format(literal))
        connection.commit()

    task, garbage = lease(broker.source(owner="worker@one"))

    assert isinstance(task.content, Message)
    assert isinstance(garbage.content, Refusal)
    source = broker.source(owner="worker@one")
    source.settle([Bury(token=garbage.token, reason=DeadReason.ENVELOPE_INVALID, detail="")])
    assert offered(stack.dead_letters).count(DeadLetterQuery()) == 1


def test_a_delay_without_end_is_kept_until_the_end_of_the_calendar(opened: Open, path: Path) -> None:
    stack = opened(path)
    broker, queues = offered(stack.broker), offered(stack.queues)
    broker.publish([publication("t", due=timedelta.max)])

    (pending,) = queues.browse("default")[0]

    assert (pending.state, pending.at.year) == ("delayed", 9999)
