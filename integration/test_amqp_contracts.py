"""The contract suites on RabbitMQ, as far as they need no power over the store's clock.

A lease on RabbitMQ is a connection and does not lapse by time: what the suites test by letting
time pass, ``test_amqp_leases.py`` tests by cutting connections and by waiting.
"""

from __future__ import annotations

import inspect
from datetime import timedelta
from threading import Event
from typing import TYPE_CHECKING, ClassVar

import pytest
from amqp_place import CLOCK, delete_queues, own_vhost

from stem.adapters.amqp.stack import open_stack
from stem.adapters.memory.stack import open_stack as open_memory
from stem.errors import NotEncodableError
from stem.testing.contracts import BrokerContract, Contract, DeadLettersContract
from stem.testing.contracts.harness import NAMESPACE
from stem.testing.contracts.samples import message, publication
from stem.testing.contracts.suite import executed_tests, needs, offered
from stem.two_stores import join_stacks

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence
    from datetime import datetime

    from stem.message import Delivery
    from stem.ports.broker import Broker, Capabilities, LeaseSource, Publication, Reclaimed, Settlement
    from stem.ports.stack import Stack
    from stem.testing.contracts import Feature

QUIET_S = 0.4
LONGEST_WAIT = timedelta(seconds=2)
QUEUES = ("default", "mail", "other", "app.mail:high", "zoo", "mai", "mail.", "MAIL", "contract.dlq")


class PatientSource:
    """Leases until nothing more is pushed for a moment; a push takes its time."""

    def __init__(self, source: LeaseSource) -> None:
        self._source = source

    def lease(self, queues: Sequence[str], *, limit: int, duration: timedelta) -> list[Delivery]:
        leased = self._source.lease(queues, limit=limit, duration=duration)
        while queues and len(leased) < limit:
            self._source.wait(QUIET_S)
            more = self._source.lease(queues, limit=limit - len(leased), duration=duration)
            if not more:
                break
            leased += more
        return leased

    def wait(self, timeout_s: float) -> None:
        self._source.wait(timeout_s)

    def wake(self) -> None:
        self._source.wake()

    def settle(self, settlements: Sequence[Settlement]) -> list[bool]:
        return self._source.settle(settlements)

    def renew(self, tokens: Collection[str], *, duration: timedelta) -> set[str]:
        return self._source.renew(tokens, duration=duration)

    def close(self) -> None:
        self._source.close()


class PatientBroker:
    """Hands out patient sources, and closes them at the end."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._sources: list[PatientSource] = []

    @property
    def capabilities(self) -> Capabilities:
        return self._broker.capabilities

    @property
    def address(self) -> str:
        return self._broker.address

    def publish(self, publications: Sequence[Publication]) -> list[bool]:
        return self._broker.publish(publications)

    def source(self, *, owner: str) -> PatientSource:
        self._sources.append(PatientSource(self._broker.source(owner=owner)))
        return self._sources[-1]

    def reclaim(self, *, limit: int, max_deliveries: int) -> list[Reclaimed]:
        return self._broker.reclaim(limit=limit, max_deliveries=max_deliveries)

    def close(self) -> None:
        self._broker.close()

    def close_sources(self) -> None:
        for source in self._sources:
            source.close()


class AmqpHarness:
    """Clean queues in a virtual host, stores in memory, and the machine's clock."""

    def __init__(self, url: str) -> None:
        delete_queues(url, *QUEUES)
        self._url = url
        self._stores = open_memory("memory://", namespace=NAMESPACE, clock=CLOCK)
        self._opened: list[tuple[Stack, PatientBroker]] = []
        self._stack = self.reopen()

    @property
    def stack(self) -> Stack:
        return self._stack

    def now(self) -> datetime:
        return CLOCK.wall()

    def let_pass(self, duration: timedelta) -> None:
        if duration > LONGEST_WAIT:
            pytest.skip("RabbitMQ's time cannot be moved, and a lease does not lapse by it")
        CLOCK.wait(Event(), duration.total_seconds())

    def reopen(self, *, namespace: str = NAMESPACE) -> Stack:
        messages = open_stack(self._url, namespace=namespace, clock=CLOCK)
        stack = join_stacks(messages, self._stores, result_ttl=timedelta(hours=1), clock=CLOCK)
        broker = PatientBroker(offered(stack.broker))
        self._opened.append((stack, broker))
        object.__setattr__(stack, "broker", broker)
        return stack

    def publish_raw(self, queue: str, payload: str) -> None:
        raise NotImplementedError

    def close(self) -> None:
        for stack, broker in self._opened:
            broker.close_sources()
            stack.close()


@pytest.fixture(scope="module")
def vhost() -> Iterator[str]:
    with own_vhost() as url:
        yield url


class OnQuorumQueues(Contract):
    options: ClassVar[str] = "?queue_type=quorum"
    lacks: ClassVar[Mapping[Feature, str]] = {
        "atomic_results": "messages and records are two databases",
        "browse": "AMQP shows no waiting messages",
        "cancel_pending": "AMQP picks no message out of a queue",
        "priority": "quorum queues have none before RabbitMQ 4",
        "publish_raw": "AMQP has a form of its own; kombu's text is a body like any other",
    }

    @pytest.fixture
    def harness(self, vhost: str) -> Iterator[AmqpHarness]:
        harness = AmqpHarness(vhost + self.options)
        yield harness
        harness.close()


class OnClassicQueues(OnQuorumQueues):
    options: ClassVar[str] = "?queue_type=classic"
    lacks: ClassVar[Mapping[Feature, str]] = {
        name: reason for name, reason in OnQuorumQueues.lacks.items() if name != "priority"
    }


class AsFarAsAmqpGoes(BrokerContract):
    """Without what the protocol has no way for; each has a test of its own in its place.

    Ids: AMQP knows none, so that a message is taken twice. It runs once all the same
    (``test_a_message_that_was_published_twice_runs_once``). Order: kept for each
    source, while another one may hold earlier messages that it was pushed. Integers of more
    than 64 bits have no form in AMQP's tables, and are refused.
    """

    @needs("publish_raw")
    def test_b2_publish_twice_same_id_is_one(self) -> None: ...
    @needs("publish_raw")
    def test_b2_a_delayed_id_is_not_published_again(self) -> None: ...
    @needs("publish_raw")
    def test_b2_an_id_is_known_in_every_queue(self) -> None: ...
    @needs("publish_raw")
    def test_b2_of_two_in_one_call_the_first_counts(self) -> None: ...
    @needs("publish_raw")
    def test_b2_many_threads_publish_one_id_once(self) -> None: ...
    @needs("publish_raw")
    def test_l4_renewing_tells_the_lost_from_the_held(self) -> None: ...
    @needs("publish_raw")
    def test_b4_messages_are_leased_in_the_order_of_publishing(self) -> None: ...
    @needs("publish_raw")
    def test_b1_headers_and_properties_survive(self) -> None: ...


class TestQuorumBroker(OnQuorumQueues, AsFarAsAmqpGoes): ...


class TestClassicBroker(OnClassicQueues, AsFarAsAmqpGoes): ...


class WithRecords(DeadLettersContract):
    # A burial ends the record that leasing made, which keeps a second message out.
    @needs("atomic_results")
    def test_d2_an_entry_whose_task_is_live_again_is_passed_over(self) -> None: ...


class TestQuorumDeadLetters(OnQuorumQueues, WithRecords): ...


class TestClassicDeadLetters(OnClassicQueues, WithRecords): ...


def test_integers_that_amqp_has_no_form_for_are_refused(vhost: str) -> None:
    harness = AmqpHarness(vhost)
    broker = offered(harness.stack.broker)

    with pytest.raises(NotEncodableError):
        broker.publish([publication("t", content=message("t", headers={"x-large": 2**64}))])

    assert offered(harness.stack.results).get(["t"]) == {}
    harness.close()


def test_what_is_skipped_is_counted() -> None:
    suites: dict[type[Contract], type[Contract]] = {
        TestQuorumBroker: BrokerContract,
        TestClassicBroker: BrokerContract,
        TestQuorumDeadLetters: DeadLettersContract,
        TestClassicDeadLetters: DeadLettersContract,
    }

    skipped = {
        suite.__name__: (len(executed_tests(contract)) - len(executed_tests(suite)), len(moving_time(suite)))
        for suite, contract in suites.items()
    }

    # For what the protocol lacks, and for want of power over the server's time.
    assert skipped == {
        "TestQuorumBroker": (31, 28),
        "TestClassicBroker": (29, 29),
        "TestQuorumDeadLetters": (5, 8),
        "TestClassicDeadLetters": (5, 8),
    }


def moving_time(suite: type[Contract]) -> list[str]:
    """Return the tests that move the store's time, by more or less."""
    return [name for name in executed_tests(suite) if "let_pass" in inspect.getsource(getattr(suite, name))]
