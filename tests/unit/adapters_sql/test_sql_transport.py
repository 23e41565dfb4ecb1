"""The Kombu transport, by Kombu's own producers, consumers and mailboxes."""

from __future__ import annotations

import json
import socket
from datetime import timedelta
from threading import Event, Thread
from typing import TYPE_CHECKING, Any

import kombu
import pytest
from kombu.exceptions import ChannelError
from kombu.pidbox import Mailbox
from kombu.transport import TRANSPORT_ALIASES

from stem.adapters.sql.broker import SqlBroker
from stem.adapters.sql.transport import ALIAS, Transport, register
from stem.codecs import encode
from stem.errors import ConfigurationError, StoreDeniedError
from stem.message import Arguments, Envelope, Message
from stem.ports.broker import Complete
from stem.ports.deadletters import DeadLetterQuery
from stem.states import DeadReason, TaskState
from stem.testing import ManualClock
from stem.testing.contracts.samples import lease, publication, publish, task_ids
from stem.testing.contracts.suite import offered

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from stem.ports.stack import Stack

    Open = Callable[..., Stack]
    Connect = Callable[..., kombu.Connection]
    ConnectManually = Callable[..., kombu.Connection]

PATH = "stem.adapters.sql.transport:Transport"
PATIENCE_S = 30.0


@pytest.fixture
def connect(path: Path) -> Iterator[Connect]:
    """Open Kombu connections to the path, and release them after the test."""
    connections: list[kombu.Connection] = []

    def connect_one(**options: Any) -> kombu.Connection:
        connection = kombu.Connection(f"sqlite:///{path}", transport=PATH, transport_options=options)
        connections.append(connection)
        return connection

    yield connect_one
    for connection in connections:
        connection.release()


@pytest.fixture
def connection(connect: Connect) -> kombu.Connection:
    return connect()


class ManualTransport(Transport):
    """The transport on a clock that the tests move."""

    clock = ManualClock()


@pytest.fixture
def connect_manually(path: Path) -> Iterator[ConnectManually]:
    connections: list[kombu.Connection] = []

    def connect_one(**options: Any) -> kombu.Connection:
        connections.append(
            kombu.Connection(f"sqlite:///{path}", transport=ManualTransport, transport_options=options)
        )
        return connections[-1]

    yield connect_one
    for connection in connections:
        connection.release()


def look(connection: kombu.Connection) -> None:
    """Let every consumer look once for messages."""
    with pytest.raises(TimeoutError):
        connection.drain_events(timeout=0.001)


def put(connection: kombu.Connection, body: object, queue: str = "default", **options: Any) -> None:
    connection.Producer().publish(body, routing_key=queue, **options)


def drain(connection: kombu.Connection, queues: list[kombu.Queue], count: int) -> list[Any]:
    """Consume and acknowledge ``count`` messages; return their bodies."""
    bodies: list[Any] = []

    def take(body: Any, message: Any) -> None:
        bodies.append(body)
        message.ack()

    with connection.Consumer(queues, callbacks=[take]):
        while len(bodies) < count:
            connection.drain_events(timeout=PATIENCE_S)
    return bodies


def get(connection: kombu.Connection, queue: str = "default", **options: Any) -> Any:
    return connection.default_channel.basic_get(queue, **options)


def size(connection: kombu.Connection, queue: str) -> int:
    return kombu.Queue(queue)(connection.default_channel).queue_declare(passive=True).message_count


def headers(task: str, **more: Any) -> dict[str, Any]:
    return {"id": task, "task": "app.work", "retries": 0, **more}


def test_importing_registers_nothing_and_register_does(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(TRANSPORT_ALIASES, ALIAS, raising=False)
    with pytest.raises(KeyError):
        kombu.Connection(f"{ALIAS}:///{path}").connect()

    monkeypatch.setitem(TRANSPORT_ALIASES, ALIAS, "")
    register()

    with kombu.Connection(f"{ALIAS}:///{path}") as connection:
        put(connection, {"n": 1})
        with connection.clone() as clone:
            assert get(clone).payload == {"n": 1}


def test_a_database_that_cannot_be_used_shows_at_once(path: Path) -> None:
    nowhere = path.parent / "none" / "stem.db"
    with kombu.Connection(f"sqlite:///{nowhere}", transport=PATH) as connection:
        with pytest.raises(StoreDeniedError):
            connection.connect()
        assert issubclass(StoreDeniedError, Transport.channel_errors)


def test_a_bad_option_is_a_configuration_error(path: Path) -> None:
    connection = kombu.Connection(f"sqlite:///{path}?sync=full", transport=PATH)

    with pytest.raises(ConfigurationError, match="synchronous"):
        connection.connect()


def test_messages_come_in_order_and_higher_priorities_first(connection: kombu.Connection) -> None:
    for number, priority in enumerate([0, 9, 5, 9, 77, -1, 0]):
        put(connection, number, priority=priority)

    assert drain(connection, [kombu.Queue("default")], 7) == [1, 3, 4, 2, 0, 5, 6]


def test_what_kombu_puts_stem_leases(connection: kombu.Connection, opened: Open, path: Path) -> None:
    put(connection, [[1, "ä"], {}, {}], headers=headers("t", retries=2), priority=3, correlation_id="t")
    stack = opened(path)
    source = offered(stack.broker).source(owner="worker@one")

    (pending,) = offered(stack.queues).browse("default")[0]
    (delivery,) = lease(source)

    assert (pending.task_id, pending.task, pending.priority, pending.attempt) == ("t", "app.work", 3, 3)
    assert isinstance(delivery.content, Message)
    assert json.loads(delivery.content.body) == [[1, "ä"], {}, {}]
    assert delivery.content.headers["retries"] == 2
    assert delivery.content.content_type == "application/json"
    assert source.settle([Complete(token=delivery.token)]) == [True]


def test_what_stem_publishes_kombu_takes(connection: kombu.Connection, opened: Open, path: Path) -> None:
    content = encode(Envelope(id="t", name="app.work"), Arguments(args=(1,)))
    broker = offered(opened(path).broker)
    broker.publish([publication("t", content=content, priority=4)])

    found = get(connection)

    assert found.payload[0] == [1]
    assert (found.headers["id"], found.properties["correlation_id"]) == ("t", "t")
    assert (found.properties["priority"], found.delivery_info["routing_key"]) == (4, "default")
    assert lease(broker.source(owner="worker@one")) == []
    found.ack()
    assert get(connection) is None


def test_kombus_messages_are_never_taken_for_copies(
    connection: kombu.Connection, opened: Open, path: Path
) -> None:
    broker = offered(opened(path).broker)
    publish(broker, "t")

    for _ in range(2):
        put(connection, [[], {}, {}], headers=headers("t"))

    assert task_ids(lease(broker.source(owner="worker@one"))) == ["t", "t", "t"]


def test_an_acknowledged_message_is_gone(connection: kombu.Connection) -> None:
    put(connection, 1)

    get(connection).ack()

    assert get(connection) is None
    assert size(connection, "default") == 0


def test_a_requeued_message_comes_again_and_says_so(connection: kombu.Connection) -> None:
    put(connection, 1)
    first = get(connection)
    first.requeue()

    again = get(connection)

    assert "redelivered" not in first.delivery_info
    assert again.delivery_info["redelivered"] is True
    assert again.delivery_tag != first.delivery_tag


def test_a_rejected_message_lies_in_the_dead_letters_and_its_task_has_failed(
    connection: kombu.Connection, opened: Open, path: Path
) -> None:
    stack = opened(path)
    publish(offered(stack.broker), "t")

    get(connection).reject()

    (entry,) = offered(stack.dead_letters).page(DeadLetterQuery())[0]
    assert (entry.reason, entry.task_id, entry.attempt) == (DeadReason.REJECTED, "t", 1)
    assert offered(stack.results).get(["t"])["t"].state is TaskState.FAILED
    assert len(offered(stack.dead_letters).replay(DeadLetterQuery(), limit=1)) == 1
    assert get(connection).headers["id"] == "t"


def test_a_dead_letter_is_not_put_back_beside_a_copy_that_waits(
    connection: kombu.Connection, opened: Open, path: Path
) -> None:
    stack = opened(path)
    broker, dead_letters = offered(stack.broker), offered(stack.dead_letters)
    publish(broker, "other", "t")
    get(connection).reject()
    get(connection).reject()
    put(connection, [[], {}, {}], headers=headers("t"))

    replayed = dead_letters.replay(DeadLetterQuery(), limit=10)

    assert [entry.task_id for entry in replayed] == ["other"]
    assert sorted(task_ids(lease(broker.source(owner="worker@one")))) == ["other", "t"]


def test_a_message_without_acknowledgement_is_gone_when_taken(
    connection: kombu.Connection, opened: Open, path: Path
) -> None:
    for number in range(3):
        put(connection, number)

    bodies: list[Any] = []
    assert get(connection, no_ack=True).payload == 0
    with connection.Consumer(
        [kombu.Queue("default")], callbacks=[lambda body, _: bodies.append(body)], no_ack=True
    ):
        while len(bodies) < 2:
            connection.drain_events(timeout=PATIENCE_S)

    assert bodies == [1, 2]
    (stats,) = offered(opened(path).queues).stats(["default"])
    assert (stats.ready, stats.leased) == (0, 0)


def test_closing_gives_back_what_was_not_settled(connect: Connect) -> None:
    first = connect()
    put(first, 1)
    put(first, 2)
    get(first).ack()
    assert get(first).payload == 2

    first.release()

    assert get(connect()).payload == 2


def test_recover_gives_back_what_was_not_settled(connection: kombu.Connection) -> None:
    put(connection, 1)
    assert get(connection).payload == 1

    connection.default_channel.basic_recover(requeue=True)

    assert get(connection).payload == 1


def test_a_consumer_that_dies_loses_its_message_after_the_visibility_timeout(
    connect_manually: ConnectManually,
) -> None:
    dying, other = connect_manually(visibility_timeout=10), connect_manually()
    put(dying, 1)
    zombie = get(dying)
    ManualTransport.clock.advance(9)
    assert get(other) is None

    ManualTransport.clock.advance(1)
    again = get(other)
    zombie.ack()

    assert again.payload == 1
    assert again.delivery_info["redelivered"] is True
    again.requeue()
    assert get(other).payload == 1, "the late acknowledgement removed nothing"


def test_a_stem_lease_that_lapsed_is_left_to_the_reaper(
    connection: kombu.Connection, opened: Open, path: Path
) -> None:
    broker = offered(opened(path).broker)
    publish(broker, "t")
    source = broker.source(owner="worker@one")
    assert len(lease(source, duration=timedelta(microseconds=1))) == 1

    assert get(connection) is None

    assert [each.owner for each in broker.reclaim(limit=1, max_deliveries=3)] == ["worker@one"]
    assert get(connection).headers["id"] == "t"


def test_a_lapsed_lease_of_a_consumer_can_be_reclaimed_too(
    connect: Connect, opened: Open, path: Path
) -> None:
    connection = connect(visibility_timeout=0)
    put(connection, [[], {}, {}], headers=headers("t"))
    assert get(connection) is not None
    broker = offered(opened(path).broker)

    (reclaimed,) = broker.reclaim(limit=1, max_deliveries=1)

    assert (reclaimed.task_id, reclaimed.buried) == ("t", True)
    assert reclaimed.owner.startswith("kombu:")


def test_a_message_with_an_eta_waits_in_the_store(connect_manually: ConnectManually) -> None:
    clock = ManualTransport.clock
    connection = connect_manually()
    for name, seconds in (("later", 3600), ("soon", 10), ("past", -60)):
        eta = (clock.wall() + timedelta(seconds=seconds)).isoformat()
        put(connection, name, headers=headers(name, eta=eta))

    assert get(connection).payload == "past"
    clock.advance(9)
    assert get(connection) is None
    assert size(connection, "default") == 0
    clock.advance(1)
    assert get(connection).payload == "soon"
    assert get(connection) is None


@pytest.mark.parametrize("eta", ["tomorrow", [], 10**400])
def test_an_eta_that_cannot_be_read_is_the_consumers_to_judge(
    connection: kombu.Connection, eta: object
) -> None:
    put(connection, 1, headers=headers("t", eta=eta))

    assert get(connection).payload == 1


@pytest.mark.parametrize(
    "payload",
    [
        "{",
        "[]",
        "\udcff",
        '{"body":"","headers":{},"properties":{}}',
        '{"body":"%","headers":{},"properties":{"body_encoding":"base64","delivery_tag":"1"}}',
        '{"body":"","headers":{},"properties":{"body_encoding":"rot13","delivery_tag":"1"}}',
        '{"body":"","headers":{},"properties":{"delivery_tag":"1","delivery_info":[]}}',
        '{"body":"","headers":{"x":{"__type__":"?","__value__":1}},"properties":{"delivery_tag":"1"}}',
        '{"body":"","headers":{"x":{"__type__":"uuid","__value__":1}},"properties":{"delivery_tag":"1"}}',
        '{"body":"","headers":{"__type__":"decimal","__value__":"1"},"properties":{"delivery_tag":"1"}}',
    ],
)
def test_poison_is_buried_and_the_next_message_comes(
    connection: kombu.Connection, opened: Open, path: Path, payload: str
) -> None:
    stack = opened(path)
    assert isinstance(stack.broker, SqlBroker)
    stack.broker.publish_raw("default", payload)
    put(connection, "next")

    assert drain(connection, [kombu.Queue("default")], 1) == ["next"]

    (entry,) = offered(stack.dead_letters).page(DeadLetterQuery())[0]
    assert entry.payload == payload.encode(errors="surrogatepass")
    assert entry.reason.is_poison


def test_a_direct_exchange_follows_the_routing_key(connection: kombu.Connection) -> None:
    exchange = kombu.Exchange("mail", "direct")
    queues = [kombu.Queue(name, exchange, routing_key=name) for name in ("in", "out")]
    for queue in queues:
        queue(connection.default_channel).declare()

    for key in ("out", "in", "out", "lost"):
        connection.Producer().publish(key, exchange=exchange, routing_key=key)

    assert [size(connection, name) for name in ("in", "out")] == [1, 2]
    assert drain(connection, [queues[1]], 2) == ["out", "out"]


def test_a_topic_exchange_follows_patterns_of_other_processes(connect: Connect) -> None:
    exchange = kombu.Exchange("news", "topic")
    consumer, producer = connect(), connect()
    for name, key in (("stars", "*.sport"), ("all", "#"), ("none", "eu.*.sport")):
        kombu.Queue(name, exchange, routing_key=key)(consumer.default_channel).declare()

    producer.Producer().publish(1, exchange=exchange, routing_key="eu.sport", declare=[exchange])

    assert [size(producer, name) for name in ("stars", "all", "none")] == [1, 1, 0]


def test_a_fanout_exchange_gives_every_queue_a_copy(connect: Connect) -> None:
    exchange = kombu.Exchange("all", "fanout")
    consumer, producer = connect(), connect()
    queues = [kombu.Queue(name, exchange) for name in ("one", "two")]
    for queue in queues:
        queue(consumer.default_channel).declare()

    producer.Producer().publish("hello", exchange=exchange, declare=[exchange])

    assert drain(consumer, queues[:1], 1) == ["hello"]
    assert size(consumer, "two") == 1, "the other copy is another message"
    assert drain(consumer, queues[1:], 1) == ["hello"]


def test_an_unbound_queue_is_fed_no_more(connection: kombu.Connection) -> None:
    exchange = kombu.Exchange("all", "fanout")
    queue = kombu.Queue("one", exchange)(connection.default_channel)
    queue.declare()

    queue.unbind_from(exchange)
    connection.Producer().publish("hello", exchange=exchange)

    assert size(connection, "one") == 0


def test_a_deleted_exchange_leaves_the_queues(connection: kombu.Connection) -> None:
    exchange = kombu.Exchange("all", "fanout")(connection.default_channel)
    kombu.Queue("one", exchange)(connection.default_channel).declare()
    connection.Producer().publish("kept", exchange=exchange)

    exchange.delete()

    assert connection.default_channel.get_table("all") == []
    assert size(connection, "one") == 1


def test_purge_removes_what_waits_and_says_how_much(
    connection: kombu.Connection, opened: Open, path: Path
) -> None:
    stack = opened(path)
    publish(offered(stack.broker), "a", "b", "c")
    held = get(connection)

    assert connection.default_channel.queue_purge("default") == 2

    assert offered(stack.results).get(["b"])["b"].state is TaskState.CANCELLED
    held.ack()
    assert size(connection, "default") == 0


def test_a_deleted_queue_is_gone_with_what_waited(connection: kombu.Connection) -> None:
    exchange = kombu.Exchange("all", "fanout")
    queue = kombu.Queue("one", exchange)(connection.default_channel)
    queue.declare()
    connection.Producer().publish("hello", exchange=exchange)

    connection.default_channel.queue_delete("one", if_empty=True)
    assert size(connection, "one") == 1
    connection.default_channel.queue_delete("one")

    with pytest.raises(ChannelError, match="NOT_FOUND"):
        size(connection, "one")
    assert connection.default_channel.get_table("all") == []


def test_a_message_for_a_queue_that_nobody_declared_is_kept(connection: kombu.Connection) -> None:
    put(connection, 1, "new")

    assert get(connection, "new").payload == 1


def test_transient_queues_are_not_listed_for_operators(
    connection: kombu.Connection, opened: Open, path: Path
) -> None:
    for queue in (
        kombu.Queue("mailbox", exclusive=True),
        kombu.Queue("events", expires=60),
        kombu.Queue("q"),
    ):
        queue(connection.default_channel).declare()

    assert offered(opened(path).queues).queues() == ["q"]


def test_a_mailbox_asks_every_node_and_collects_the_replies(connect: Connect) -> None:
    stop, ready = Event(), [Event(), Event()]
    nodes = [
        Thread(target=serve, args=(connect(), f"node{number}", ready[number], stop)) for number in (0, 1)
    ]
    for node in nodes:
        node.start()
    assert all(event.wait(PATIENCE_S) for event in ready)
    client = connect()
    mailbox = Mailbox("app", type="fanout", connection=client)

    replies = mailbox.multi_call("ping", timeout=PATIENCE_S, limit=2)
    one = mailbox.call(["node1"], "ping", timeout=PATIENCE_S)

    stop.set()
    for node in nodes:
        node.join(PATIENCE_S)
    assert sorted(replies, key=str) == [{"node0": "pong"}, {"node1": "pong"}]
    assert one == [{"node1": "pong"}]


def serve(connection: kombu.Connection, name: str, ready: Event, stop: Event) -> None:
    """Answer as a node of the mailbox until told to stop."""
    node = Mailbox("app", type="fanout", connection=connection).Node(name, channel=connection.channel())
    node.handlers["ping"] = lambda state: "pong"
    consumer = node.listen()
    ready.set()
    while not stop.is_set():
        try:
            connection.drain_events(timeout=0.2)
        except socket.timeout:  # noqa: UP041 -- Kombu's name for it
            continue
    consumer.cancel()


@pytest.mark.parametrize("option", [{"exclusive": True}, {"expires": 10}, {"auto_delete": True}])
def test_the_mailbox_of_a_dead_consumer_goes_and_that_of_a_live_one_stays(
    connect_manually: ConnectManually, option: dict[str, Any]
) -> None:
    exchange = kombu.Exchange("all", "fanout")
    dead, live, producer = connect_manually(), connect_manually(), connect_manually()
    for connection, name in ((dead, "dead"), (live, "live")):
        connection.Consumer([kombu.Queue(name, exchange, **option)], no_ack=True).consume()

    for _ in range(10):
        ManualTransport.clock.advance(timedelta(minutes=1))
        look(live)
    kombu.Queue("new", exchange, exclusive=True)(producer.default_channel).declare()
    producer.Producer().publish("hello", exchange=exchange)

    channel = producer.default_channel
    assert sorted(queue for _, _, queue in channel.get_table("all")) == ["live", "new"]
    with pytest.raises(ChannelError, match="NOT_FOUND"):
        size(producer, "dead")


def test_a_consumer_that_was_thought_dead_declares_its_mailbox_anew(
    connect_manually: ConnectManually,
) -> None:
    exchange = kombu.Exchange("all", "fanout")
    busy, other = connect_manually(), connect_manually()
    heard: list[Any] = []
    mailbox = kombu.Queue("mailbox", exchange, exclusive=True)
    busy.Consumer([mailbox], callbacks=[lambda body, _: heard.append(body)], no_ack=True).consume()
    ManualTransport.clock.advance(timedelta(hours=1))
    kombu.Queue("other", exchange, exclusive=True)(other.default_channel).declare()
    assert [queue for _, _, queue in other.default_channel.get_table("all")] == ["other"]

    look(busy)
    other.Producer().publish("hello", exchange=exchange)

    busy.drain_events(timeout=PATIENCE_S)
    assert heard == ["hello"]


def test_a_queue_that_goes_with_its_consumers_waits_for_the_first_one(
    connect_manually: ConnectManually,
) -> None:
    producer = connect_manually()
    kombu.Queue("early", auto_delete=True)(producer.default_channel).declare()
    put(producer, "kept", "early")

    ManualTransport.clock.advance(timedelta(days=1))
    kombu.Queue("new", exclusive=True)(producer.default_channel).declare()

    assert size(producer, "early") == 1
