"""What is written is read the same, and whatever is read does no harm."""

import json
import math
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from stem.codecs import (
    MAX_BODY_BYTES,
    dumps,
    encode,
    loads,
    pack,
    read_arguments,
    read_envelope,
    read_label,
    replayed,
    unpack,
    write_headers,
)
from stem.codecs.headers import MAX_LABEL
from stem.errors import NotEncodableError
from stem.message import Arguments, Envelope, Message, Refusal
from stem.retry import RetryPolicy
from stem.states import DeadReason

GOLDEN = Path(__file__).parents[1] / "golden" / "celery-5.7"

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
labels = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=40)
zones = st.timezones() | st.sampled_from([UTC, timezone(timedelta(hours=5, minutes=30))])
moments = st.datetimes(min_value=datetime(1, 1, 3), max_value=datetime(9999, 12, 29), timezones=st.just(UTC))  # noqa: DTZ001
scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts
    | st.binary(max_size=20)
    | st.datetimes()
    | moments
    | st.dates()
    | st.times()
    | st.decimals(allow_nan=False)
    | st.uuids()
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
).filter(lambda value: not _looks_tagged(value))
counts = st.integers(0, 2**31 - 1)
limits = st.none() | st.floats(0.001, 10**8) | st.integers(1, 10**8)
envelopes = st.builds(
    Envelope,
    id=labels,
    name=labels,
    queue=st.just("celery"),
    attempt=st.integers(1, 2**31 - 1),
    generation=counts,
    priority=st.integers(0, 9),
    eta=st.none() | moments,
    expires=st.none() | moments,
    sent_at=st.none() | moments,
    soft_limit_s=limits,
    hard_limit_s=limits,
    root_id=labels,
    parent_id=st.none() | labels,
    group_id=st.none() | labels,
    group_index=st.none() | counts,
    ignore_result=st.booleans(),
    origin=st.just("") | labels,
    reply_to=st.just("") | labels,
    retry=st.none() | st.just(RetryPolicy().to_wire()),
    extra=st.dictionaries(texts.map(lambda name: f"app-{name}"), texts | st.integers() | st.lists(texts)),
)
calls = st.builds(
    Arguments,
    args=st.lists(values, max_size=4).map(tuple),
    kwargs=st.dictionaries(texts, values, max_size=4),
    embed=st.fixed_dictionaries(dict.fromkeys(("callbacks", "errbacks", "chain", "chord"), st.none())),
)


def _looks_tagged(value: object) -> bool:
    return '"__type__"' in json.dumps(value, default=str)


@given(envelope=envelopes, arguments=calls)
def test_a_call_survives_the_wire(envelope: Envelope, arguments: Arguments) -> None:
    message = unpack(pack(encode(envelope, arguments), queue="celery"))

    assert isinstance(message, Message)
    assert read_envelope(message, queue="celery") == envelope
    assert read_arguments(message) == arguments


@given(envelope=envelopes, arguments=calls)
def test_packing_again_changes_only_the_delivery_tag(envelope: Envelope, arguments: Arguments) -> None:
    first = unpack(pack(encode(envelope, arguments), queue="celery"))
    assert isinstance(first, Message)

    second = unpack(pack(first, queue="celery"))

    assert isinstance(second, Message)
    tags = first.properties["delivery_tag"], second.properties["delivery_tag"]
    assert tags[0] != tags[1]
    assert second == replace(first, properties={**first.properties, "delivery_tag": tags[1]})


@given(value=values)
def test_a_result_survives_its_store(value: object) -> None:
    assert loads(dumps(value, what="the result")) == value


@given(moment=st.datetimes(timezones=zones, min_value=datetime(1, 1, 3), max_value=datetime(9999, 12, 29)))  # noqa: DTZ001
def test_a_date_of_any_zone_is_read_as_the_same_moment_in_utc(moment: datetime) -> None:
    envelope = Envelope(id="t", name="n", eta=moment)

    read = read_envelope(encode(envelope, Arguments()), queue="q")

    assert isinstance(read, Envelope)
    assert read.eta is not None
    assert (read.eta, read.eta.tzinfo) == (moment.astimezone(UTC), UTC)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (object(), "builtins.object"),
        ({1, 2}, "builtins.set"),
        ([math.nan], "Out of range float values are not JSON compliant"),
        (-math.inf, "Out of range float values are not JSON compliant"),
        ({(1, 2): 3}, "keys must be str"),
    ],
)
def test_what_has_no_json_form_is_refused_by_name(value: object, reason: str) -> None:
    with pytest.raises(NotEncodableError) as caught:
        dumps(value, what="the result")

    assert caught.value.what == "the result"
    assert reason in caught.value.reason


def test_what_holds_itself_is_refused() -> None:
    endless: list[object] = []
    endless.append(endless)
    deep: object = None
    for _ in range(100_000):
        deep = [deep]

    for value in (endless, deep):
        with pytest.raises(NotEncodableError):
            dumps(value, what="the result")


def nested(levels: int) -> object:
    value: object = 1
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("args", "reason"),
    [
        ((nested(63),), "more than 64 levels"),
        (([0] * 1_000_001,), "more than 1,000,000 elements"),
        (("x" * MAX_BODY_BYTES,), "more than 16,777,216 bytes"),
        (("a\ud800",), "a text with half a surrogate pair"),
    ],
)
def test_arguments_that_readers_would_refuse_are_not_sent(args: tuple[object, ...], reason: str) -> None:
    with pytest.raises(NotEncodableError) as caught:
        encode(Envelope(id="t", name="demo.add"), Arguments(args=args))

    assert (caught.value.what, caught.value.reason) == ("the arguments of demo.add", reason)


@pytest.mark.parametrize(
    ("changes", "header"),
    [
        ({"id": ""}, "id"),
        ({"id": "x" * (MAX_LABEL + 1)}, "id"),
        ({"name": "a\nb"}, "task"),
        ({"attempt": 0}, "retries"),
        ({"hard_limit_s": -1.0}, "timelimit"),
        ({"priority": -1}, "priority"),
    ],
)
def test_headers_that_readers_would_refuse_are_not_sent(changes: dict[str, Any], header: str) -> None:
    with pytest.raises(NotEncodableError) as caught:
        encode(replace(Envelope(id="t", name="n"), **changes), Arguments())

    assert caught.value.reason == header


def test_a_header_without_json_form_is_refused() -> None:
    message = encode(Envelope(id="t", name="n", extra={"a": object()}), Arguments())

    with pytest.raises(NotEncodableError) as caught:
        pack(message, queue="q")

    assert caught.value.what == "the headers"


def test_what_the_application_puts_into_headers_cannot_change_the_call() -> None:
    headers = write_headers(Envelope(id="t1", name="n", extra={"id": "t2", "task": "m", "tenant": "a"}))

    assert (headers["id"], headers["task"], headers["tenant"]) == ("t1", "n", "a")


def test_a_replay_is_the_first_attempt_of_the_next_generation() -> None:
    message = encode(Envelope(id="t", name="n", attempt=4, generation=1), Arguments(args=(1,)))

    label = read_label(replayed(message))

    assert (label.task_id, label.attempt, label.generation) == ("t", 1, 2)


# ---- whatever comes in ----

FORBIDDEN = (
    "import",
    "exec",
    "compile",
    "open",
    "pickle.",
    "os.",
    "subprocess.",
    "socket.",
    "ctypes.",
    "marshal.",
)
_seen: list[str] | None = None


def _watch(event: str, args: tuple[object, ...]) -> None:
    if _seen is not None and event.startswith(FORBIDDEN):
        _seen.append(f"{event} {args!r:.100}")


sys.addaudithook(_watch)  # stays for the process; looks only inside `watched`


@contextmanager
def watched() -> Iterator[None]:
    """Fail if anything is imported, executed or opened inside."""
    global _seen
    _seen = []
    try:
        yield
        assert _seen == []
    finally:
        _seen = None


def read_all(raw: str | bytes) -> None:
    """Read everything that can be read of a message; no part of it may raise."""
    with watched():
        message = unpack(raw)
        if isinstance(message, Message):
            read_message(message)
        else:
            check(message)


def read_message(message: Message) -> None:
    for read in (read_envelope(message, queue="celery"), read_arguments(message)):
        if isinstance(read, Refusal):
            check(read)
    label = read_label(message)
    assert len(label.task_id) <= MAX_LABEL
    assert label.attempt >= 1
    assert read_label(replayed(message)).generation == label.generation + 1


def check(refusal: Refusal) -> None:
    assert isinstance(refusal.reason, DeadReason)
    assert 0 < len(refusal.detail) <= 100
    assert refusal.detail.isprintable()


json_scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
json_values = st.recursive(
    json_scalars,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(max_size=8), inner, max_size=4)
        | st.fixed_dictionaries(
            {
                "__type__": st.sampled_from(
                    ["datetime", "date", "time", "decimal", "uuid", "bytes", "base64", "x"]
                ),
                "__value__": inner,
            }
        )
    ),
    max_leaves=10,
)
header_names = {
    *write_headers(Envelope(id="i", name="n")),
    "compression",
    "x-stem-retry",
    "x-stem-generation",
}
messages = st.builds(
    Message,
    headers=st.fixed_dictionaries(
        {"id": st.just("t") | json_values, "task": st.just("n") | json_values},
        optional=dict.fromkeys(sorted(header_names - {"id", "task"}), json_scalars | json_values),
    ),
    properties=st.fixed_dictionaries({}, optional={"priority": json_values, "reply_to": json_values}),
    body=st.binary(max_size=60)
    | json_values.map(lambda value: json.dumps(value).encode())
    | st.tuples(json_values, json_values, json_values).map(lambda value: json.dumps(value).encode()),
    content_type=st.just("application/json") | st.text(max_size=8),
)


@given(raw=st.binary(max_size=200) | st.text(max_size=200))
@example(raw=b"\xef\xbb\xbf{}")
@example(raw="\ud800")
def test_any_bytes_are_read_or_refused(raw: bytes | str) -> None:
    read_all(raw)


@given(value=json_values)
def test_any_json_is_read_or_refused(value: object) -> None:
    read_all(json.dumps(value))


@given(message=messages)
def test_any_message_is_read_or_refused(message: Message) -> None:
    with watched():
        read_message(message)


@settings(max_examples=300)
@given(
    name=st.sampled_from(sorted(file.stem for file in GOLDEN.glob("*.json"))),
    at=st.integers(0, 10_000),
    cut=st.integers(0, 20),
    put=st.binary(max_size=6),
)
def test_any_damage_to_a_good_message_is_read_or_refused(name: str, at: int, cut: int, put: bytes) -> None:
    raw = (GOLDEN / f"{name}.json").read_bytes()
    at %= len(raw)

    read_all(raw[:at] + put + raw[at + cut :])


def test_the_watch_sees_what_it_is_there_for() -> None:
    with pytest.raises(AssertionError), watched():
        compile("1", "x", "eval")
    with pytest.raises(AssertionError), watched(), Path(__file__).open():
        pass


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (date(2026, 1, 2), '{"__type__":"date","__value__":"2026-01-02"}'),
        (time(3, 4), '{"__type__":"time","__value__":"03:04:00"}'),
        (Decimal("1.10"), '{"__type__":"decimal","__value__":"1.10"}'),
        (UUID(int=7), '{"__type__":"uuid","__value__":{"hex":"00000000000000000000000000000007"}}'),
        (b"a", '{"__type__":"bytes","__value__":"a"}'),
        (b"\xff", '{"__type__":"base64","__value__":"/w=="}'),
        ((1, [2.5, None]), "[1,[2.5,null]]"),
        ("ü", '"\\u00fc"'),
    ],
)
def test_values_are_written_as_kombu_writes_them(value: object, text: str) -> None:
    assert dumps(value, what="x") == text
