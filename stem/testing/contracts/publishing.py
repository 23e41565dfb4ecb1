"""The part of the broker's contract that is about taking messages in: B1 to B4."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from stem.codecs import pack, read_arguments, unpack
from stem.errors import StemError
from stem.message import Arguments, Message, Refusal
from stem.states import TaskState
from stem.testing.contracts.samples import (
    LEASE,
    OWNER,
    QUEUE,
    SECOND,
    TASK,
    TTL,
    at_once,
    completion,
    lease,
    lease_one,
    message,
    new_task,
    publication,
    publish,
    task_ids,
)
from stem.testing.contracts.suite import Contract, needs, offered

if TYPE_CHECKING:
    from stem.ports.broker import Broker, LeaseSource
    from stem.ports.results import Results
    from stem.testing.contracts.harness import StackHarness

BODIES = {
    "no arguments": b'[[],{},{"callbacks":null,"errbacks":null,"chain":null,"chord":null}]',
    "empty": b"",
    "binary": bytes(range(256)) * 3,
    "text of every plane": '[["naïve 漢字 🦔 \u2028 \\u0000"],{},{}]'.encode(),
    "large integers": b"[[9007199254740993,18446744073709551617,1e400,-0.0,1.0],{},{}]",
    "empty containers": b'[[[],{},""],{"a":[],"b":{}},{}]',
    "odd spacing": b" [ [ ] , { } , { } ] \r\n\t",
    "one megabyte": b"[[" + b'"' + b"x" * 2**20 + b'"],{},{}]',
}

HEADERS: dict[str, Any] = {
    "x-text": "naïve 漢字 🦔 \u2028 \x00 \" \\ '",
    "x-large": 2**63 + 1,
    "x-larger": 10**30,
    "x-float": 0.1,
    "x-empty-list": [],
    "x-empty-object": {},
    "x-nested": [[], [{}], {"a": [None, True, False, [1, [2, []]]]}],
    "x-none": None,
    "": "a header without a name",
}

GARBAGE = {
    "not JSON": "\x00\x01 nothing {",
    "empty": "",
    "a list": "[1, 2, 3]",
    "no headers": '{"body": "", "properties": {}}',
    "body not base64": '{"body": "=*=", "headers": {"id": 7}, "properties": {"body_encoding": "base64"}}',
}


class PublishingContract(Contract):
    """What publishing promises."""

    @pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
    def test_b1_bodies_survive_byte_for_byte(self, broker: Broker, source: LeaseSource, body: bytes) -> None:
        broker.publish([publication("t", content=message("t", body=body))])

        content = lease_one(source).content

        assert isinstance(content, Message)
        assert content.body == body

    def test_b1_headers_and_properties_survive(self, broker: Broker, source: LeaseSource) -> None:
        sent = message("t", headers=HEADERS)
        broker.publish([publication("t", content=sent)])

        content = lease_one(source).content

        assert isinstance(content, Message)
        assert content.headers == sent.headers
        assert {**content.properties, **sent.properties} == content.properties
        assert (content.content_type, content.content_encoding) == ("application/json", "utf-8")
        assert read_arguments(content) == Arguments(
            embed={"callbacks": None, "errbacks": None, "chain": None, "chord": None}
        )

    def test_b1_a_foreign_content_type_survives(self, broker: Broker, source: LeaseSource) -> None:
        sent = Message(
            headers={"id": "t", "task": TASK},
            properties={"correlation_id": "t"},
            body=b"\x80\x05N.",
            content_type="application/x-python-serialize",
            content_encoding="binary",
        )
        broker.publish([publication("t", content=sent)])

        content = lease_one(source).content

        assert isinstance(content, Message)
        assert (content.content_type, content.content_encoding) == (sent.content_type, "binary")
        assert content.body == sent.body

    def test_b1_what_was_published_is_there_for_others(self, harness: StackHarness, broker: Broker) -> None:
        publish(broker, "t")
        broker.close()

        other = offered(harness.reopen().broker)

        assert task_ids(lease(other.source(owner="worker@two"))) == ["t"]

    def test_b1_publishing_nothing_is_answered_with_nothing(self, broker: Broker) -> None:
        assert broker.publish([]) == []

    def test_b1_closing_twice_is_harmless(self, broker: Broker, source: LeaseSource) -> None:
        publish(broker, "t")
        lease(source)

        for port in (source, source, broker, broker):
            port.close()

    @needs("publish_raw")
    @pytest.mark.parametrize("payload", GARBAGE.values(), ids=GARBAGE)
    def test_b1_garbage_is_delivered_as_a_refusal(
        self, harness: StackHarness, source: LeaseSource, payload: str
    ) -> None:
        refusal = unpack(payload)
        assert isinstance(refusal, Refusal)

        harness.publish_raw(QUEUE, payload)
        harness.publish_raw(QUEUE, payload)

        assert [delivery.content for delivery in lease(source)] == [refusal, refusal]

    @needs("publish_raw")
    def test_b1_garbage_does_not_hide_its_neighbours(
        self, harness: StackHarness, broker: Broker, source: LeaseSource
    ) -> None:
        publish(broker, "before")
        harness.publish_raw(QUEUE, "{")
        publish(broker, "after")

        deliveries = lease(source)

        assert len({delivery.token for delivery in deliveries}) == 3
        assert task_ids([each for each in deliveries if isinstance(each.content, Message)]) == [
            "before",
            "after",
        ]

    @needs("publish_raw")
    def test_b1_a_foreign_message_with_a_known_id_is_kept(
        self, harness: StackHarness, broker: Broker, source: LeaseSource
    ) -> None:
        publish(broker, "t")
        # Celery retries by publishing the same id before it acknowledges the old message.
        harness.publish_raw(QUEUE, pack(message("t", attempt=2), queue=QUEUE))

        assert task_ids(lease(source)) == ["t", "t"]

    @needs("publish_raw")
    def test_b1_a_message_whose_headers_tell_nothing_is_delivered(
        self, harness: StackHarness, source: LeaseSource
    ) -> None:
        nameless = Message(headers={}, properties={}, body=b"hello")
        harness.publish_raw(QUEUE, pack(nameless, queue=QUEUE))

        content = lease_one(source).content

        assert isinstance(content, Message)
        assert (content.headers, content.body) == ({}, b"hello")

    def test_b2_publish_twice_same_id_is_one(self, broker: Broker, source: LeaseSource) -> None:
        publish(broker, "t")

        again = broker.publish([publication("t", content=message("t", name="app.other"))])

        assert again == [False]
        assert task_ids(lease(source)) == ["t"]

    def test_b2_a_delayed_id_is_not_published_again(
        self, harness: StackHarness, broker: Broker, source: LeaseSource
    ) -> None:
        publish(broker, "t", due=LEASE)

        assert broker.publish([publication("t")]) == [False]

        assert lease(source) == []
        harness.let_pass(LEASE)
        assert task_ids(lease(source)) == ["t"]

    def test_b2_a_leased_id_is_not_published_again(self, broker: Broker, source: LeaseSource) -> None:
        publish(broker, "t")
        lease_one(source)

        assert broker.publish([publication("t"), publication("t", recorded=False)]) == [False, False]

        assert lease(source) == []

    def test_b2_an_id_is_known_in_every_queue(self, broker: Broker, source: LeaseSource) -> None:
        publish(broker, "t")

        assert broker.publish([publication("t", queue="other")]) == [False]

        assert task_ids(lease(source, queues=["other", QUEUE])) == ["t"]

    def test_b2_of_two_in_one_call_the_first_counts(self, broker: Broker, source: LeaseSource) -> None:
        publish(broker, "known")
        batch = [publication(task) for task in ("a", "known", "b", "a")]

        assert broker.publish(batch) == [True, False, True, False]

        assert task_ids(lease(source)) == ["known", "a", "b"]

    def test_b2_many_threads_publish_one_id_once(self, harness: StackHarness, source: LeaseSource) -> None:
        brokers = [offered(harness.reopen().broker) for _ in range(4)]

        answers = at_once([partial(broker.publish, [publication("t")]) for broker in brokers])

        assert sorted(answers) == [[False], [False], [False], [True]]
        assert task_ids(lease(source)) == ["t"]

    def test_b2_messages_without_an_id_are_always_published(
        self, broker: Broker, source: LeaseSource
    ) -> None:
        nameless = Message(headers={"task": TASK}, properties={}, body=b"[[],{},{}]")
        batch = [publication("", content=nameless, recorded=False) for _ in range(3)]

        assert broker.publish(batch) == [True, True, True]

        assert len(lease(source)) == 3

    @needs("atomic_results")
    def test_b2_an_id_with_a_record_is_not_published_again(
        self, harness: StackHarness, broker: Broker, source: LeaseSource, results: Results
    ) -> None:
        publish(broker, "t")
        source.settle([completion(lease_one(source), at=harness.now())])

        assert broker.publish([publication("t"), publication("t", recorded=False)]) == [False, False]

        assert lease(source) == []
        assert results.get(["t"])["t"].state is TaskState.SUCCEEDED

    @needs("atomic_results")
    def test_b2_a_forgotten_id_is_free_again(
        self, harness: StackHarness, broker: Broker, source: LeaseSource, results: Results
    ) -> None:
        publish(broker, "t")
        source.settle([completion(lease_one(source), at=harness.now())])
        results.forget(["t"])

        assert broker.publish([publication("t")]) == [True]

        assert task_ids(lease(source)) == ["t"]

    @needs("atomic_results")
    def test_b3_message_and_record_are_written_together(self, broker: Broker, results: Results) -> None:
        broker.publish([publication("t", queue="mail")])

        record = results.get(["t"])["t"]

        assert (record.state, record.queue, record.name) == (TaskState.QUEUED, "mail", TASK)
        assert (record.attempt, record.deliveries, record.generation, record.worker) == (1, 0, 0, "")
        assert [event.kind for event in results.timeline("t")] == ["queued"]

    @needs("atomic_results")
    def test_b3_a_message_that_is_not_stored_leaves_no_record(self, broker: Broker, results: Results) -> None:
        broker.publish([publication("t", recorded=False)])

        assert broker.publish([publication("t")]) == [False]

        assert results.get(["t"]) == {}

    @needs("atomic_results")
    def test_b3_a_record_without_a_message_keeps_its_message_out(
        self, broker: Broker, source: LeaseSource, results: Results
    ) -> None:
        results.add([new_task("t", queue="elsewhere")])

        assert broker.publish([publication("t")]) == [False]

        assert lease(source) == []
        assert results.get(["t"])["t"].queue == "elsewhere"

    def test_b3_nothing_of_a_batch_is_stored_when_one_cannot_be_encoded(
        self, harness: StackHarness, broker: Broker, source: LeaseSource, results: Results
    ) -> None:
        batch = [
            publication("a"),
            publication("b", content=message("b", headers={"thing": object()})),
            publication("c"),
        ]

        with pytest.raises((TypeError, StemError)):
            broker.publish(batch)

        assert lease(source) == []
        assert results.get(["a", "b", "c"]) == {}
        assert broker.publish([publication("a")]) == [True]

    def test_b4_messages_are_leased_in_the_order_of_publishing(self, broker: Broker) -> None:
        names = [f"t{number:02}" for number in range(30)]
        publish(broker, *names[:10])
        for name in names[10:20]:
            publish(broker, name)
        publish(broker, *names[20:])
        one, two = broker.source(owner=OWNER), broker.source(owner="worker@two")

        leased = [task_ids(lease(source, limit=5)) for source in (one, two, one, two, one, two)]

        assert [name for batch in leased for name in batch] == names

    def test_b4_ten_thousand_messages_keep_their_order(self, broker: Broker, source: LeaseSource) -> None:
        names = [f"t{number:05}" for number in range(10_000)]
        for first in range(0, len(names), 1000):
            publish(broker, *names[first : first + 1000])

        leased: list[str] = []
        while batch := task_ids(lease(source, limit=500, duration=TTL)):
            leased += batch

        assert leased == names

    def test_b4_ids_have_no_say_in_the_order(self, broker: Broker, source: LeaseSource) -> None:
        names = ["zebra", "10", "9", "Ä", "a", "B", "-1"]
        publish(broker, *names)

        assert task_ids(lease(source)) == names
        assert lease(source, duration=SECOND) == []
