"""Messages that break other workers are refused with a reason, and nothing more happens."""

# ruff: noqa: E501 - a case is a line of a table

import base64
import bz2
import gzip
import json
import pickle
import zlib
from typing import Any

import pytest

from stem.codecs import (
    MAX_BODY_BYTES,
    MAX_DEPTH,
    MAX_ELEMENTS,
    read_arguments,
    read_envelope,
    read_label,
    unpack,
)
from stem.message import Arguments, Envelope, Label, Message, Refusal
from stem.states import DeadReason

BODY = b'[[1,2],{},{"callbacks":null,"errbacks":null,"chain":null,"chord":null}]'
HEADERS = {"lang": "py", "task": "demo.add", "id": "t1"}
PROPERTIES = {"delivery_tag": "d1", "body_encoding": "base64"}
SECRET = "hunter2canary"


def raw(
    body: bytes | str = BODY,
    *,
    headers: object = HEADERS,
    properties: object = PROPERTIES,
    content_type: str = "application/json",
    stored: object = None,
    **changes: Any,
) -> str:
    data = body.encode() if isinstance(body, str) else body
    fields = {
        "body": base64.b64encode(data).decode() if stored is None else stored,
        "content-encoding": "utf-8",
        "content-type": content_type,
        "headers": headers,
        "properties": properties,
        **changes,
    }
    return json.dumps({name: value for name, value in fields.items() if value is not ...})


def with_header(name: str, value: object) -> str:
    return raw(headers={**HEADERS, name: value})


def with_property(name: str, value: object) -> str:
    return raw(properties={**PROPERTIES, name: value})


def calling(args: str) -> str:
    return raw(f"[[{args}],{{}},{{}}]")


def read(text: str | bytes) -> Envelope | Refusal | Arguments:
    """Return what a worker gets to know at last: the arguments, or the first refusal."""
    message = unpack(text)
    if isinstance(message, Refusal):
        return message
    envelope = read_envelope(message, queue="celery")
    return envelope if isinstance(envelope, Refusal) else read_arguments(message)


def refusal(text: str | bytes) -> Refusal:
    found = read(text)
    assert isinstance(found, Refusal)
    return found


TRANSPORT: list[tuple[str, str | bytes, DeadReason, str]] = [
    ("not JSON", "\x00\u00ffgarbage", DeadReason.ENVELOPE_UNDECODABLE, "not JSON in UTF-8"),
    ("not UTF-8", b'{"body":"\xff"}', DeadReason.ENVELOPE_UNDECODABLE, "not JSON in UTF-8"),
    ("empty", "", DeadReason.ENVELOPE_UNDECODABLE, "not JSON in UTF-8"),
    ("cut off", raw()[:-9], DeadReason.ENVELOPE_UNDECODABLE, "not JSON in UTF-8"),
    ("a list", "[1,2,3]", DeadReason.ENVELOPE_INVALID, "a JSON list, not an object"),
    ("a number", "7", DeadReason.ENVELOPE_INVALID, "a JSON int, not an object"),
    ("NaN outside the body", '{"x":NaN}', DeadReason.ENVELOPE_INVALID, "NaN or infinite"),
    ("a huge integer", '{"x":' + "9" * 5000 + "}", DeadReason.ENVELOPE_INVALID, "an integer of more than 4,300 digits"),
    ("nested headers", '{"x":' + "[" * 200_000, DeadReason.ENVELOPE_INVALID, "more than 64 levels"),
    ("no properties", raw(properties=...), DeadReason.ENVELOPE_INVALID, "headers or properties are missing or no objects"),
    ("no headers", raw(headers=None), DeadReason.ENVELOPE_INVALID, "headers or properties are missing or no objects"),
    ("headers in a list", raw(headers=[1]), DeadReason.ENVELOPE_INVALID, "headers or properties are missing or no objects"),
    ("no delivery tag", raw(properties={"body_encoding": "base64"}), DeadReason.ENVELOPE_INVALID, "properties.delivery_tag is missing"),
    ("no body", raw(stored=...), DeadReason.ENVELOPE_INVALID, "the body is missing or no text"),
    ("a body that is no text", raw(stored=[1]), DeadReason.ENVELOPE_INVALID, "the body is missing or no text"),
    ("an unknown body encoding", with_property("body_encoding", "rot13"), DeadReason.ENVELOPE_INVALID, "properties.body_encoding is unknown"),
    ("a body that is no base64", raw(stored="*" * 8), DeadReason.BODY_UNDECODABLE, "not base64"),
    ("a body that is no ASCII", raw(stored="ä"), DeadReason.BODY_UNDECODABLE, "not base64"),
    ("half a surrogate pair for a body", raw(stored="\ud800", properties={"delivery_tag": "d"}), DeadReason.BODY_UNDECODABLE, "not UTF-8"),
    ("64 MB", "[" * (64 * 1024 * 1024), DeadReason.BODY_TOO_LARGE, "a message of 67108864 characters"),
]  # fmt: skip

HEADER: list[tuple[str, str, DeadReason, str]] = [
    ("empty headers", raw(headers={}), DeadReason.ENVELOPE_INVALID, "no headers of task message protocol 2"),
    ("no id", raw(headers={"task": "x"}), DeadReason.HEADER_MISSING, "id"),
    ("an empty id", with_header("id", ""), DeadReason.HEADER_MISSING, "id"),
    ("no task", raw(headers={"id": "x", "task": None}), DeadReason.HEADER_MISSING, "task"),
    ("an id that is no text", with_header("id", 7), DeadReason.HEADER_INVALID, "id"),
    ("an id in a list", with_header("id", ["t1"]), DeadReason.HEADER_INVALID, "id"),
    ("a long id", with_header("id", "x" * 256), DeadReason.HEADER_INVALID, "id"),
    ("NUL in an id", with_header("id", "a\0"), DeadReason.HEADER_INVALID, "id"),
    ("half a surrogate pair", with_header("id", "a\ud800"), DeadReason.HEADER_INVALID, "id"),
    ("a line break in a name", with_header("task", "a\nERROR forged"), DeadReason.HEADER_INVALID, "task"),
    ("a root that is no text", with_header("root_id", {}), DeadReason.HEADER_INVALID, "root_id"),
    ("a parent that is no text", with_header("parent_id", 1), DeadReason.HEADER_INVALID, "parent_id"),
    ("a group that is no text", with_header("group", [1]), DeadReason.HEADER_INVALID, "group"),
    ("a group index that is no number", with_header("group_index", "0"), DeadReason.HEADER_INVALID, "group_index"),
    ("bad retries", with_header("retries", "2"), DeadReason.HEADER_INVALID, "retries"),
    ("negative retries", with_header("retries", -1), DeadReason.HEADER_INVALID, "retries"),
    ("huge retries", with_header("retries", 2**31), DeadReason.HEADER_INVALID, "retries"),
    ("a flag for retries", with_header("retries", True), DeadReason.HEADER_INVALID, "retries"),
    ("a bad eta", with_header("eta", "not-a-date"), DeadReason.HEADER_INVALID, "eta"),
    ("an eta in a list", with_header("eta", []), DeadReason.HEADER_INVALID, "eta"),
    ("a flag for an eta", with_header("eta", False), DeadReason.HEADER_INVALID, "eta"),
    ("an eta before time", with_header("eta", "0001-01-01T00:00:00+14:00"), DeadReason.HEADER_INVALID, "eta"),
    ("an eta after time", with_header("eta", 1e300), DeadReason.HEADER_INVALID, "eta"),
    ("a bad expiry", with_header("expires", {"at": 1}), DeadReason.HEADER_INVALID, "expires"),
    ("a bad timelimit", with_header("timelimit", "x"), DeadReason.HEADER_INVALID, "timelimit"),
    ("one time limit", with_header("timelimit", [10]), DeadReason.HEADER_INVALID, "timelimit"),
    ("time limits in an object", with_header("timelimit", {"0": 1, "1": 2}), DeadReason.HEADER_INVALID, "timelimit"),
    ("time limits that are no numbers", with_header("timelimit", ["10", None]), DeadReason.HEADER_INVALID, "timelimit"),
    ("a negative time limit", with_header("timelimit", [None, -1]), DeadReason.HEADER_INVALID, "timelimit"),
    ("a flag for a time limit", with_header("timelimit", [True, None]), DeadReason.HEADER_INVALID, "timelimit"),
    ("a time limit of centuries", with_header("timelimit", [1e10, None]), DeadReason.HEADER_INVALID, "timelimit"),
    ("retry overrides in a list", with_header("x-stem-retry", [1]), DeadReason.HEADER_INVALID, "x-stem-retry"),
    ("a bad generation", with_header("x-stem-generation", 1.5), DeadReason.HEADER_INVALID, "x-stem-generation"),
    ("a bad date of sending", with_header("x-stem-sent-at", "x"), DeadReason.HEADER_INVALID, "x-stem-sent-at"),
    ("a priority that is no number", with_property("priority", "high"), DeadReason.HEADER_INVALID, "priority"),
    ("a negative priority", with_property("priority", -1), DeadReason.HEADER_INVALID, "priority"),
    ("a reply address that is no text", with_property("reply_to", 5), DeadReason.HEADER_INVALID, "reply_to"),
]  # fmt: skip

ZEROS = b"\0" * (MAX_BODY_BYTES + 1)
COMPRESSED = "not compressed as its header says"
CUT_OFF = "compressed data that is cut off or followed by more"
INFLATED = "more than 16,777,216 bytes when inflated"


def compressed(data: bytes, kind: object) -> str:
    return raw(data, headers={**HEADERS, "compression": kind})


CONTENT: list[tuple[str, str, DeadReason, str]] = [
    ("pickle", raw(pickle.dumps(((1, 2), {}, {})), content_type="application/x-python-serialize"), DeadReason.CONTENT_TYPE_REFUSED, "pickle"),
    ("an unknown content type", raw(content_type=f"application/{SECRET}"), DeadReason.CONTENT_TYPE_REFUSED, "an unknown content type"),
    ("no content type", raw(**{"content-type": None}), DeadReason.CONTENT_TYPE_REFUSED, "no content type"),
    ("an unknown compression", compressed(b"", "brotli"), DeadReason.CONTENT_TYPE_REFUSED, "an unknown compression"),
    ("a compression that is no text", compressed(b"", [1]), DeadReason.CONTENT_TYPE_REFUSED, "an unknown compression"),
    ("a zlib bomb", compressed(zlib.compress(ZEROS), "application/x-gzip"), DeadReason.BODY_TOO_LARGE, INFLATED),
    ("a gzip bomb", compressed(gzip.compress(ZEROS), "gzip"), DeadReason.BODY_TOO_LARGE, INFLATED),
    ("a bzip2 bomb", compressed(bz2.compress(ZEROS), "application/x-bz2"), DeadReason.BODY_TOO_LARGE, INFLATED),
    ("no zlib", compressed(BODY, "zlib"), DeadReason.BODY_UNDECODABLE, COMPRESSED),
    ("no bzip2", compressed(BODY, "bzip2"), DeadReason.BODY_UNDECODABLE, COMPRESSED),
    ("zlib that is cut off", compressed(zlib.compress(BODY)[:-6], "zlib"), DeadReason.BODY_UNDECODABLE, CUT_OFF),
    ("zlib followed by more", compressed(zlib.compress(BODY) + b"x", "zlib"), DeadReason.BODY_UNDECODABLE, CUT_OFF),
    ("no zlib at all", compressed(b"", "zlib"), DeadReason.BODY_UNDECODABLE, CUT_OFF),
    ("a body of 17 MB", raw(b" " * (MAX_BODY_BYTES + 1)), DeadReason.BODY_TOO_LARGE, "more than 16,777,216 bytes"),
    ("not UTF-8", raw(b"\xff\xfe{{{"), DeadReason.BODY_UNDECODABLE, "not JSON in UTF-8"),
    ("not JSON", raw("[[1,2],{}"), DeadReason.BODY_UNDECODABLE, "not JSON in UTF-8"),
    ("two values", raw("[[],{},{}] 1"), DeadReason.BODY_UNDECODABLE, "not JSON in UTF-8"),
    ("an empty body", raw(b""), DeadReason.BODY_UNDECODABLE, "not JSON in UTF-8"),
    ("nested 200,000 deep", raw("[" * 200_000 + "]" * 200_000), DeadReason.BODY_TOO_DEEP, "more than 64 levels"),
    ("one level too deep", raw("[" * 65 + "]" * 65), DeadReason.BODY_TOO_DEEP, "more than 64 levels"),
    ("too many elements", calling("[]," * MAX_ELEMENTS + "1"), DeadReason.BODY_TOO_LARGE, "more than 1,000,000 elements"),
    ("too many keys", raw("[[],{" + '"a":1,' * MAX_ELEMENTS + '"b":1},{}]'), DeadReason.BODY_TOO_LARGE, "more than 1,000,000 elements"),
    ("NaN", calling("NaN"), DeadReason.BODY_INVALID, "NaN or infinite"),
    ("Infinity", calling("-Infinity"), DeadReason.BODY_INVALID, "NaN or infinite"),
    ("a float beyond floats", calling("1e400"), DeadReason.BODY_INVALID, "a number beyond the range of floats"),
    ("an integer of 100,000 digits", calling("9" * 100_000), DeadReason.BODY_INVALID, "an integer of more than 4,300 digits"),
    ("half a surrogate pair", calling('"a\\ud83d"'), DeadReason.BODY_INVALID, "a text with half a surrogate pair"),
    ("half a pair as a key", raw('[[],{"\\uDE00":1},{}]'), DeadReason.BODY_INVALID, "a text with half a surrogate pair"),
    ("an unknown type", calling('{"__type__":"x","__value__":1}'), DeadReason.BODY_INVALID, "an unknown __type__"),
    ("a type in a list", calling('{"__type__":[],"__value__":1}'), DeadReason.BODY_INVALID, "an unknown __type__"),
    ("a date that is none", calling('{"__type__":"datetime","__value__":7}'), DeadReason.BODY_INVALID, "a __value__ that is no datetime"),
    ("a decimal that is none", calling('{"__type__":"decimal","__value__":"x"}'), DeadReason.BODY_INVALID, "a __value__ that is no decimal"),
    ("a decimal in parts", calling('{"__type__":"decimal","__value__":[0,[1],2]}'), DeadReason.BODY_INVALID, "a __value__ that is no decimal"),
    ("a UUID that is none", calling('{"__type__":"uuid","__value__":{"int":1}}'), DeadReason.BODY_INVALID, "a __value__ that is no uuid"),
    ("base64 that is none", calling('{"__type__":"base64","__value__":"%%"}'), DeadReason.BODY_INVALID, "a __value__ that is no base64"),
    ("an object", raw('{"a":1}'), DeadReason.PAYLOAD_INVALID, "not [args, kwargs, embed]"),
    ("a text", raw('"abc"'), DeadReason.PAYLOAD_INVALID, "not [args, kwargs, embed]"),
    ("two parts", raw("[[],{}]"), DeadReason.PAYLOAD_INVALID, "not [args, kwargs, embed]"),
    ("arguments in a text", raw('["ab",{},{}]'), DeadReason.PAYLOAD_INVALID, "not [args, kwargs, embed]"),
    ("keywords in a list", raw("[[],[],{}]"), DeadReason.PAYLOAD_INVALID, "not [args, kwargs, embed]"),
    ("no embed", raw("[[],{},null]"), DeadReason.PAYLOAD_INVALID, "not [args, kwargs, embed]"),
]  # fmt: skip

CASES = [
    pytest.param(text, reason, detail, id=f"{part}: {name}")
    for part, cases in (("transport", TRANSPORT), ("header", HEADER), ("content", CONTENT))
    for name, text, reason, detail in cases
]


@pytest.mark.parametrize(("text", "reason", "detail"), CASES)
def test_poison_is_refused_with_its_reason(text: str | bytes, reason: DeadReason, detail: str) -> None:
    assert refusal(text) == Refusal(reason=reason, detail=detail)


def test_the_good_message_beside_them_is_read() -> None:
    assert isinstance(read(raw()), Arguments)
    assert isinstance(read(raw().encode()), Arguments)


@pytest.mark.parametrize(
    "text",
    [
        raw(headers={**HEADERS, "argsrepr": [1], "kwargsrepr": {}, "shadow": 1, "stamps": "x", "origin": {"a": 1}}),
        with_header("timelimit", [None, None]),
        with_header("timelimit", [10, 5]),
        with_header("timelimit", [0, 0.5]),
        with_header("eta", "2026-11-21T12:00:00"),
        with_header("eta", "2026-11-21T12:00:00.123456+05:30"),
        with_header("eta", "2026-11-21T12:00:00Z"),
        with_header("eta", 1_800_000_000),
        with_header("retries", 2**31 - 1),
        with_header("compression", None),
        with_property("priority", None),
        with_property("priority", 255),
        raw(**{"content-encoding": "latin-1"}),
        raw(stored=BODY.decode(), properties={"delivery_tag": 1}),
        calling("9" * 4300),
        calling('"\\ud83d\\ude00 \\\\ud83d"'),
        calling('{"__type__":"x","__value__":1,"more":2}'),
        calling("[" * 62 + "]" * 62),
        calling("0," * 100_000 + "0"),
        calling('"' + "," * (MAX_ELEMENTS + 5) + "[" * 100 + '"'),
        raw(zlib.compress(BODY), headers={**HEADERS, "compression": "application/x-gzip"}),
        raw(gzip.compress(BODY), headers={**HEADERS, "compression": "gzip"}),
        raw(bz2.compress(BODY), headers={**HEADERS, "compression": "bzip2"}),
    ],
)  # fmt: skip
def test_what_is_only_unusual_is_read(text: str) -> None:
    assert isinstance(read(text), Arguments)


def test_of_duplicate_keys_the_last_one_counts() -> None:
    found = read(raw('[[],{"a":1,"a":2},{}]'))

    assert isinstance(found, Arguments)
    assert found.kwargs == {"a": 2}


def envelope_of(text: str) -> Envelope:
    message = unpack(text)
    assert isinstance(message, Message)
    envelope = read_envelope(message, queue="celery")
    assert isinstance(envelope, Envelope)
    return envelope


def test_a_time_limit_of_zero_is_none() -> None:
    envelope = envelope_of(with_header("timelimit", [0, 0.5]))

    assert (envelope.hard_limit_s, envelope.soft_limit_s) == (None, 0.5)


def test_a_larger_priority_is_read_as_the_most_urgent() -> None:
    assert envelope_of(with_property("priority", 255)).priority == 9


def test_a_number_is_a_date_counted_from_1970() -> None:
    assert (
        envelope_of(with_header("eta", 1_800_000_000)).eta
        == envelope_of(with_header("eta", "2027-01-15T08:00:00")).eta
    )


def test_informational_headers_that_cannot_be_read_count_as_missing() -> None:
    assert envelope_of(with_header("origin", {"a": 1})).origin == ""


def test_the_label_of_poison_holds_only_what_a_store_can_keep() -> None:
    message = unpack(
        raw(headers={"id": "a\0", "task": "x" * 256, "retries": "many", "x-stem-generation": -1})
    )

    assert isinstance(message, Message)
    assert read_label(message) == Label(task_id="", task="", attempt=1, generation=0)


@pytest.mark.parametrize(
    "text",
    [
        SECRET,
        raw(stored=SECRET),
        with_header("id", [SECRET]),
        with_header("eta", SECRET),
        with_header("compression", SECRET),
        with_property("priority", SECRET),
        with_property("body_encoding", SECRET),
        raw(content_type=SECRET),
        raw(SECRET),
        raw(f'["{SECRET}"]'),
        calling(f'{{"__type__":"{SECRET}","__value__":1}}'),
        calling(f'{{"__type__":"datetime","__value__":"{SECRET}"}}'),
        calling(f'"{SECRET}\\ud800"'),
    ],
)
def test_a_refusal_repeats_nothing_of_the_message(text: str) -> None:
    assert SECRET not in refusal(text).detail


@pytest.mark.parametrize(
    "body",
    ["[" * 4_000_000, "[]," * 1_300_000, '"\\' + '\\"' * 2_000_000, '"' * 4_000_001, '[{"' * 1_300_000,
     "]" * 4_000_000, "[" + "1e5," * 999_000, '"' + "\\ud83d\\ude00" * 300_000 + '"', "\\" * 4_000_000,
     "9" * 4_000_000, '{"__type__":"decimal","__value__":"' + "9" * 4_000_000 + '"}'],
)  # fmt: skip
def test_reading_takes_time_in_proportion_to_the_size(body: str) -> None:
    # seconds at most; hours, if any part of it were quadratic
    read_arguments(Message(headers={}, properties={}, body=body.encode()))
    unpack(body)


def test_depth_is_bounded_as_documented() -> None:
    def nested(levels: int) -> object:
        return read(raw("[" * levels + "]" * levels))

    assert nested(MAX_DEPTH) == Refusal(reason=DeadReason.PAYLOAD_INVALID, detail="not [args, kwargs, embed]")
    assert nested(MAX_DEPTH + 1) == Refusal(reason=DeadReason.BODY_TOO_DEEP, detail="more than 64 levels")
