"""The parts of the RabbitMQ adapter that need no server: URLs, messages, errors, dead letters."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from amqp.basic_message import Message as AmqpMessage
from amqp.exceptions import AccessRefused, ConnectionForced, MessageNacked, NotAllowed, PreconditionFailed

from stem.adapters.amqp import wire
from stem.adapters.amqp.burial import dead_letter, marks
from stem.adapters.amqp.errors import judged, unanswered
from stem.adapters.amqp.location import Location, read_location
from stem.adapters.amqp.topology import MAX_DELAY_S, delay_key
from stem.codecs import pack, unpack
from stem.errors import (
    ConfigurationError,
    NotEncodableError,
    StoreDeniedError,
    StoreError,
    StoreFullError,
    StoreUnavailableError,
)
from stem.message import Message
from stem.ports.broker import Bury
from stem.states import DeadReason

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def location(url: str = "amqp://joe:secret@host/vh") -> Location:
    return read_location(url, namespace="stem")


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("amqp://", ("127.0.0.1", 5672, "guest", "/")),
        ("amqp://host", ("host", 5672, "guest", "/")),
        ("amqp://host//", ("host", 5672, "guest", "/")),
        ("amqp://host/%2F", ("host", 5672, "guest", "/")),
        ("amqp://host/vh", ("host", 5672, "guest", "vh")),
        ("amqp://j%40e:p%2Fw@host:1/a%2Fb", ("host", 1, "j@e", "a/b")),
        ("amqps://[::1]/", ("::1", 5671, "guest", "/")),
    ],
)
def test_a_url_is_taken_apart(url: str, expected: tuple[str, int, str, str]) -> None:
    found = location(url)

    assert (found.host, found.port, found.user, found.vhost) == expected


def test_the_address_and_all_else_that_is_shown_has_no_password() -> None:
    found = location("amqp://joe:s3cret@host/vh?heartbeat=15s")

    assert found.address == "amqp://joe@host:5672/vh"
    assert found.identity == "amqp://host:5672/vh"
    assert "s3cret" not in repr(found)
    assert (found.password, found.heartbeat_s) == ("s3cret", 15)


def test_options_are_read() -> None:
    found = location("amqps://host/?queue_type=classic&delivery_limit=5&timeout=3s&ca=/ca.pem&cert=/c&key=/k")

    assert (found.queue_type, found.delivery_limit, found.timeout_s) == ("classic", 5, 3)
    assert found.tls == {
        "cert_reqs": ssl.CERT_REQUIRED,
        "server_hostname": "host",
        "ca_certs": "/ca.pem",
        "certfile": "/c",
        "keyfile": "/k",
    }


def test_every_problem_of_a_url_is_told_at_once() -> None:
    with pytest.raises(ConfigurationError) as told:
        read_location(
            "amqp://joe:s3cret@host:99999/?queue_typ=quorum&heartbeat=soon&delivery_limit=0&queue_type=x&ca=/a",
            namespace="No",
        )

    problems = "\n".join(told.value.problems)
    assert len(told.value.problems) == 7
    assert "did you mean queue_type" in problems
    assert "s3cret" not in problems


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (AccessRefused("ACCESS_REFUSED - Login was refused"), StoreDeniedError, "user and password"),
        (NotAllowed("NOT_ALLOWED - vhost x not found"), StoreDeniedError, "virtual host"),
        (PreconditionFailed("inequivalent arg 'x-queue-type'"), StoreError, "other arguments"),
        (PreconditionFailed("delivery acknowledgement timed out"), StoreUnavailableError, "timed out"),
        (ConnectionForced("CONNECTION_FORCED - bye\nbye"), StoreUnavailableError, "bye bye"),
        (ConnectionRefusedError(111, "Connection refused"), StoreUnavailableError, "Connection refused"),
        (TimeoutError(), StoreUnavailableError, "no answer in time"),
        (MessageNacked(), StoreUnavailableError, "MessageNacked"),
    ],
)
def test_errors_tell_what_to_do(error: Exception, kind: type[StoreError], words: str) -> None:
    told = judged(error, location(), "publish")

    assert type(told) is kind
    assert words in str(told)
    assert "secret" not in str(told)
    assert "\n" not in str(told)


def test_a_server_that_does_not_answer_may_be_blocked() -> None:
    silent = unanswered(location(), "publish", blocked=False)
    blocked = unanswered(location(), "publish", blocked=True)

    assert isinstance(silent, StoreUnavailableError)
    assert isinstance(blocked, StoreFullError)
    assert "alarm" in str(blocked)


def received(message: Any, *, redelivered: bool = False, **headers: Any) -> Any:
    """Return a message as the server would deliver it."""
    arrived = AmqpMessage(
        message.body,
        **{
            **message.properties,
            "application_headers": {**message.properties["application_headers"], **headers},
        },
    )
    arrived.delivery_info = {"redelivered": redelivered}
    return arrived


def sent(**headers: Any) -> Message:
    return Message(
        headers={"id": "t", "task": "app.work", **headers},
        properties={"correlation_id": "t", "reply_to": "me", "expiration": "1000", "user_id": "joe"},
        body=bytes(range(256)),
    )


def test_a_message_comes_back_as_it_was_sent() -> None:
    message = sent(**{"x-text": "naïve 漢字 🦔", "x-nested": [1, {"a": [None, True, 0.5]}], "x-empty": {}})

    back = wire.read(received(wire.write(message, priority=3)))

    assert (back.headers, back.body) == (message.headers, message.body)
    assert (back.content_type, back.content_encoding) == ("application/json", "utf-8")
    assert back.properties["priority"] == 3
    assert back.properties["delivery_mode"] == 2
    assert back.properties["reply_to"] == "me"
    assert back.properties["message_id"]


def test_what_would_drop_or_refuse_a_message_is_not_sent() -> None:
    written = wire.write(sent(), priority=0)

    assert "expiration" not in written.properties
    assert "user_id" not in written.properties


def test_headers_of_the_server_are_not_the_messages() -> None:
    arrived = received(
        wire.write(sent(), priority=0, deliveries=2),
        **{"x-death": [{"count": 1}], "x-first-death-queue": "q", "x-delivery-count": 1},
    )

    assert wire.read(arrived).headers == sent().headers
    assert wire.deliveries(arrived) == 4


def test_values_that_json_does_not_have_become_values_that_it_has() -> None:
    naive = datetime(2026, 1, 1)  # noqa: DTZ001  # as py-amqp gives them
    odd = {"date": naive, "price": Decimal("1.5"), "bytes": b"\xff", "table": {"text": b"a"}}
    arrived = received(wire.write(sent(), priority=0), **odd)

    headers = wire.read(arrived).headers

    assert headers["date"] == "2026-01-01T00:00:00+00:00"
    assert (headers["price"], headers["bytes"], headers["table"]) == (1.5, "/w==", {"text": "a"})
    assert isinstance(unpack(pack(wire.read(arrived), queue="q")), Message)


@pytest.mark.parametrize("header", [2**64, object(), {"k" * 300: 1}])
def test_a_header_that_amqp_has_no_form_for_is_refused(header: Any) -> None:
    with pytest.raises(NotEncodableError):
        wire.write(sent(**{"x-odd": header}), priority=0)


@pytest.mark.parametrize(
    ("redelivered", "headers", "expected"),
    [
        (False, {}, 1),
        (True, {}, 2),
        (True, {"x-delivery-count": 4}, 5),
        (True, {"x-stem-deliveries": 3}, 5),
        (False, {"x-stem-deliveries": 3}, 4),
        (False, {"x-stem-deliveries": -3, "x-delivery-count": "many"}, 1),
    ],
)
def test_deliveries_are_counted(redelivered: bool, headers: dict[str, Any], expected: int) -> None:
    arrived = received(wire.write(sent(), priority=0), redelivered=redelivered, **headers)

    assert wire.deliveries(arrived) == expected


def test_a_buried_message_keeps_why_and_its_bytes() -> None:
    bury = Bury(token="", reason=DeadReason.BODY_INVALID, detail="nö", facts={"cells": [1]})
    arrived = received(wire.write(sent(), priority=0, more=marks(bury, queue="mail", deliveries=3)))

    entry = dead_letter(arrived, now=NOW)

    assert (entry.reason, entry.detail, entry.facts) == (DeadReason.BODY_INVALID, "nö", {"cells": [1]})
    assert (entry.queue, entry.deliveries, entry.task_id, entry.attempt) == ("mail", 3, "t", 1)
    kept = unpack(entry.payload)
    assert isinstance(kept, Message)
    assert (kept.headers, kept.body) == (sent().headers, sent().body)
    assert dead_letter(arrived, now=NOW).id == entry.id


@pytest.mark.parametrize(
    ("why", "expected"),
    [
        ("delivery_limit", DeadReason.WORKER_LOST),
        ("expired", DeadReason.REJECTED),
        ("no reason that is known", DeadReason.REJECTED),
    ],
)
def test_what_the_queue_gave_up_has_its_reason(why: str, expected: DeadReason) -> None:
    death = {"x-first-death-reason": why, "x-first-death-queue": "mail", "x-stem-dead-facts": "{"}
    arrived = received(wire.write(sent(), priority=0), **death)

    entry = dead_letter(arrived, now=NOW)

    assert (entry.reason, entry.queue, entry.facts) == (expected, "mail", {})
    assert entry.detail


def test_a_message_without_an_id_is_known_by_its_content() -> None:
    nameless = AmqpMessage(b"\x00 garbage", application_headers={})
    nameless.delivery_info = {"redelivered": False}

    entries = [dead_letter(nameless, now=NOW) for _ in range(2)]

    assert entries[0].id == entries[1].id
    assert (entries[0].task_id, entries[0].attempt) == ("", 0)


@pytest.mark.parametrize(("delay_s", "seconds"), [(0.01, 1), (1, 1), (1.2, 2), (3, 3), (10**12, MAX_DELAY_S)])
def test_a_delay_is_rounded_up(delay_s: float, seconds: int) -> None:
    bits, queue = delay_key(delay_s, "high.mail").split(".")[:28], delay_key(delay_s, "high.mail")

    assert int("".join(bits), 2) == seconds
    assert queue.endswith(".high.mail")
