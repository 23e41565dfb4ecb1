"""What Celery publishes is understood, and what Stem publishes is understood by kombu."""

import json
import uuid
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from kombu.connection import Connection

from stem.codecs import encode, pack, read_arguments, read_envelope, retried, unpack
from stem.message import Arguments, Envelope, Message, Refusal
from stem.states import DeadReason

GOLDEN = Path(__file__).parents[1] / "golden" / "celery-5.7"
EMBED = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}
REFUSED = {"pickle", "protocol-1"}
NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


def numbered(number: int) -> str:
    return str(uuid.UUID(int=number))


def stored(name: str) -> Message:
    message = unpack((GOLDEN / f"{name}.json").read_text())
    assert isinstance(message, Message)
    return message


def understood(name: str) -> tuple[Envelope, Arguments]:
    message = stored(name)
    envelope, arguments = read_envelope(message, queue="celery"), read_arguments(message)
    assert isinstance(envelope, Envelope)
    assert isinstance(arguments, Arguments)
    return envelope, arguments


PLAIN = Envelope(
    id="t-plain",
    name="demo.add",
    queue="celery",
    root_id="t-plain",
    origin="gen1@producer",
    reply_to=numbered(0),
)


def called(task_id: str, **changes: Any) -> Envelope:
    return replace(PLAIN, id=task_id, root_id=task_id, **changes)


@pytest.mark.parametrize(
    ("name", "envelope"),
    [
        ("plain", PLAIN),
        ("keywords", called("t-keywords")),
        (
            "countdown-and-expires",
            called("t-countdown", eta=NOW + timedelta(seconds=10), expires=NOW + timedelta(minutes=1)),
        ),
        ("naive-eta", called("t-naive", eta=NOW + timedelta(hours=1))),
        ("foreign-eta", called("t-foreign", eta=datetime(2026, 11, 21, 7, 30, tzinfo=UTC))),
        ("priority", called("t-priority", priority=7)),
        ("time-limits", called("t-limits", hard_limit_s=10, soft_limit_s=5.5)),
        ("retried", called("t-retried", attempt=3)),
        ("custom-headers", called("t-headers", extra={"tenant": "a", "trace": {"id": [1, None, 2.5]}})),
        ("ignored-result", called("t-ignored", ignore_result=True)),
        ("stamped", called("t-stamped")),
        ("gzip", called("t-gzip", name="demo.echo")),
    ],
)
def test_an_envelope_says_what_the_caller_said(name: str, envelope: Envelope) -> None:
    assert understood(name)[0] == envelope


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("plain", Arguments(args=(2, 3), embed=EMBED)),
        ("keywords", Arguments(kwargs={"x": 2, "y": 3}, embed=EMBED)),
        ("gzip", Arguments(args=("x" * 2000,), embed=EMBED)),
        ("bzip2", Arguments(args=("x" * 2000,), embed=EMBED)),
        ("unicode", Arguments(args=("ünï", "\u2028"), embed=EMBED)),
        (
            "values",
            Arguments(
                args=(
                    datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=UTC),
                    datetime(2026, 1, 2, 3, 4),  # noqa: DTZ001 - the caller gave it without a zone
                    date(2026, 1, 2),
                    time(3, 4, 5),
                    Decimal("1.10"),
                    uuid.UUID(int=7),
                    b"plain",
                    b"\xff\x00",
                    "grüße 😀",
                ),
                kwargs={"nested": {"at": [NOW]}},
                embed=EMBED,
            ),
        ),
    ],
)
def test_arguments_are_what_the_caller_gave(name: str, arguments: Arguments) -> None:
    assert understood(name)[1] == arguments


def test_callbacks_arrive() -> None:
    embed = understood("callbacks")[1].embed

    assert [(one["task"], one["args"]) for one in embed["callbacks"]] == [("demo.add", [4])]
    assert [(one["task"], one["args"]) for one in embed["errbacks"]] == [("demo.echo", ["failed"])]


def test_the_rest_of_a_chain_arrives() -> None:
    embed = understood("chain")[1].embed

    assert [(one["task"], one["args"]) for one in embed["chain"]] == [("demo.add", [5]), ("demo.add", [4])]


def test_the_members_of_a_group_know_it() -> None:
    members = [understood(name)[0] for name in ("group-1", "group-2")]

    assert [(one.group_id, one.group_index) for one in members] == [("t-group", 0), ("t-group", 1)]


def test_the_members_of_a_chord_know_its_body() -> None:
    for number in (1, 2):
        envelope, arguments = understood(f"chord-{number}")

        assert (envelope.group_id, envelope.group_index) == (numbered(1), number - 1)
        assert arguments.embed["chord"]["task"] == "demo.total"
        assert arguments.embed["chord"]["options"]["task_id"] == "t-chord"


def test_pickle_is_refused() -> None:
    message = stored("pickle")

    assert isinstance(read_envelope(message, queue="celery"), Envelope)
    assert read_arguments(message) == Refusal(reason=DeadReason.CONTENT_TYPE_REFUSED, detail="pickle")


def test_protocol_1_is_refused() -> None:
    assert read_envelope(stored("protocol-1"), queue="celery") == Refusal(
        reason=DeadReason.ENVELOPE_INVALID, detail="no headers of task message protocol 2"
    )


@pytest.mark.parametrize("file", sorted(GOLDEN.glob("*.json")), ids=lambda file: file.stem)
def test_every_message_of_celery_is_read_or_refused_on_purpose(file: Path) -> None:
    message = stored(file.stem)

    understood_both = isinstance(read_envelope(message, queue="celery"), Envelope) and isinstance(
        read_arguments(message), Arguments
    )

    assert understood_both == (file.stem not in REFUSED)


@pytest.mark.parametrize("name", ["plain", "stamped", "custom-headers", "chord-1"])
def test_a_later_attempt_keeps_what_stem_does_not_know(name: str) -> None:
    message = stored(name)

    later = unpack(pack(retried(message, attempt=2, eta=NOW), queue="celery"))

    assert isinstance(later, Message)
    assert later.body == message.body
    assert later.headers == {**message.headers, "retries": 1, "eta": "2026-11-21T12:00:00+00:00"}


@pytest.mark.parametrize("name", ["gzip", "plain"])
def test_a_later_attempt_with_other_arguments_is_not_taken_for_compressed(name: str) -> None:
    body = encode(PLAIN, Arguments(args=(5,))).body

    later = retried(stored(name), attempt=2, eta=None, body=body)

    arguments = read_arguments(later)
    assert isinstance(arguments, Arguments)
    assert arguments.args == (5,)


@pytest.fixture
def channel() -> Iterator[Any]:
    with Connection("memory://") as connection:
        yield connection.default_channel


VALUES = (
    1,
    2.5,
    None,
    True,
    "grüße 😀",
    NOW,
    date(2026, 1, 2),
    time(1),
    Decimal("0.1"),
    uuid.UUID(int=9),
    b"a",
    b"\xff",
)


def test_kombu_reads_what_stem_wrote(channel: Any) -> None:
    envelope = Envelope(
        id="t1",
        name="demo.echo",
        queue="celery",
        attempt=2,
        priority=4,
        eta=NOW,
        hard_limit_s=10.0,
        reply_to="r1",
        extra={"tenant": "a"},
    )
    raw = pack(encode(envelope, Arguments(args=VALUES, kwargs={"k": [VALUES]})), queue="celery")

    message = channel.Message(json.loads(raw), channel=channel)

    assert message.decode() == [list(VALUES), {"k": [list(VALUES)]}, EMBED]
    assert (message.content_type, message.content_encoding) == ("application/json", "utf-8")
    assert message.delivery_info == {"exchange": "", "routing_key": "celery"}
    assert message.properties["correlation_id"] == "t1"
    assert message.properties["priority"] == 4
    assert message.headers["eta"] == "2026-11-21T12:00:00+00:00"
    assert (message.headers["retries"], message.headers["timelimit"]) == (1, [10.0, None])
    assert message.headers["tenant"] == "a"


def test_stem_reads_what_kombu_put_back(channel: Any) -> None:
    raw = pack(encode(PLAIN, Arguments(args=VALUES)), queue="celery")

    restored = unpack(json.dumps(channel.Message(json.loads(raw), channel=channel).serializable()))

    assert isinstance(restored, Message)
    assert read_envelope(restored, queue="celery") == PLAIN
    arguments = read_arguments(restored)
    assert isinstance(arguments, Arguments)
    assert arguments.args == VALUES
