"""The courier against the memory adapter: what it settles, renews, loses and keeps."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from stem import codecs
from stem.adapters.memory.stack import open_stack
from stem.clock import SystemClock
from stem.errors import StoreCorruptError, StoreError, StoreUnavailableError
from stem.message import Arguments, Envelope
from stem.ports.broker import Complete, Publication
from stem.ports.results import Start
from stem.testing import ManualClock
from stem.worker.courier import MAX_BATCH, Courier
from stem.worker.effects import Settle

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stem.ports.stack import Stack
    from stem.worker.holdings import Arrival

LEASE = timedelta(seconds=30)


class Recorder:
    """Plays the dispatcher."""

    def __init__(self) -> None:
        self.arrivals: list[Arrival] = []
        self.lost: list[str] = []
        self.failure: StoreError | None = None

    def deliver(self, arrivals: Sequence[Arrival]) -> None:
        self.arrivals += arrivals

    def lose(self, tokens: Sequence[str]) -> None:
        self.lost += tokens

    def fail(self, error: StoreError) -> None:
        self.failure = error


class Flaky:
    """A source whose next call fails, before or after it has done its work."""

    def __init__(self, source: Any) -> None:
        self._source = source
        self.fail_before: Exception | None = None
        self.fail_after: Exception | None = None

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._source, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            if name in {"wake", "wait", "close"}:
                return method(*args, **kwargs)
            error, self.fail_before = self.fail_before, None
            if error is not None:
                raise error
            answer = method(*args, **kwargs)
            error, self.fail_after = self.fail_after, None
            if error is not None:
                raise error
            return answer

        return call


class World:
    def __init__(self, clock: Any) -> None:
        self.clock = clock
        self.stack: Stack = open_stack("memory://", namespace="stem", clock=clock)
        assert self.stack.broker
        assert self.stack.results
        assert self.stack.revokes
        self.recorder = Recorder()
        self.announced: list[Any] = []
        self.source = Flaky(self.stack.broker.source(owner="w@h"))
        self.courier = Courier(
            source=self.source,  # type: ignore[arg-type]
            results=self.stack.results,
            revokes=self.stack.revokes,
            queues=["default"],
            lease=LEASE,
            renew_every=timedelta(seconds=10),
            dispatcher=self.recorder,
            announce=self.announced.append,
            clock=clock,
        )

    def publish(self, *ids: str) -> None:
        assert self.stack.broker
        self.stack.broker.publish(
            [
                Publication(message=codecs.encode(Envelope(id=one, name="t"), Arguments()), queue="default")
                for one in ids
            ]
        )

    def leased(self) -> int:
        assert self.stack.queues
        (stats,) = self.stack.queues.stats(["default"])
        return stats.leased

    def complete(self, index: int = 0, *announcements: Any) -> Settle:
        token = self.recorder.arrivals[index].delivery.token
        return Settle(Complete(token=token), announcements)


@pytest.fixture
def world() -> World:
    return World(ManualClock())


def test_it_leases_no_more_than_it_has_credits_for(world: World) -> None:
    world.publish("a", "b", "c")
    world.courier.grant(2)

    world.courier.tick()
    world.courier.tick()

    assert len(world.recorder.arrivals) == 2


def test_a_credit_that_was_taken_back_is_not_spent(world: World) -> None:
    world.publish("a")
    world.courier.grant(1)
    world.courier.grant(-1)

    world.courier.tick()

    assert not world.recorder.arrivals


def test_what_was_settled_is_announced_and_gone(world: World) -> None:
    world.publish("a")
    world.courier.grant(1)
    world.courier.tick()

    world.courier.settle([world.complete(0, "it has ended")])
    world.courier.tick()

    assert world.announced == ["it has ended"]
    assert world.leased() == 0


def test_a_refused_settlement_is_not_announced_and_the_lease_is_lost(world: World) -> None:
    world.publish("a")
    world.courier.grant(1)
    world.courier.tick()
    settle = world.complete(0, "it has ended")
    world.courier.settle([settle])
    world.courier.tick()

    world.courier.settle([settle])
    world.courier.tick()

    assert world.announced == ["it has ended"]
    assert world.recorder.lost == [settle.settlement.token]


def test_leases_are_renewed_before_they_lapse(world: World) -> None:
    world.publish("a")
    world.courier.grant(1)
    world.courier.tick()

    for _ in range(10):
        world.clock.advance(10)
        world.courier.tick()

    assert not world.recorder.lost
    assert world.leased() == 1
    assert world.courier.last_renewal_at == world.clock.wall()


def test_a_lease_is_not_believed_in_once_it_could_not_be_renewed_in_time(world: World) -> None:
    world.publish("a")
    world.courier.grant(1)
    world.courier.tick()

    world.clock.advance(LEASE.total_seconds())
    world.courier.tick()

    assert world.recorder.lost == [world.recorder.arrivals[0].delivery.token]


def test_belief_ends_before_the_stores_lease_does(world: World) -> None:
    world.publish("a")
    world.courier.grant(1)
    world.courier.tick()

    world.clock.advance(LEASE.total_seconds() * 0.95)
    world.courier.tick()

    assert world.recorder.lost
    assert world.leased() == 1


def test_a_lease_that_somebody_else_has_now_is_told_at_the_next_renewal(world: World) -> None:
    world.publish("a")
    world.courier.grant(1)
    world.courier.tick()
    token = world.recorder.arrivals[0].delivery.token
    world.source._source.settle([Complete(token=token)])

    world.clock.advance(10)
    world.courier.tick()

    assert world.recorder.lost == [token]


def test_a_revoked_delivery_comes_with_its_order(world: World) -> None:
    world.publish("a", "b")
    assert world.stack.revokes
    world.stack.revokes.revoke(["a"], reason="no", ttl=LEASE)
    world.courier.grant(2)

    world.courier.tick()

    orders = [arrival.revocation for arrival in world.recorder.arrivals]
    assert [order and order.reason for order in orders] == ["no", None]


def test_an_unreadable_message_arrives_with_its_refusal(world: World) -> None:
    broker: Any = world.stack.broker
    broker.publish_raw("default", "[]")
    world.courier.grant(1)

    world.courier.tick()

    (arrival,) = world.recorder.arrivals
    assert arrival.envelope == arrival.delivery.content


@pytest.mark.parametrize("moment", ["fail_before", "fail_after"])
def test_a_settlement_whose_reply_is_lost_is_tried_again_and_counts_once(world: World, moment: str) -> None:
    world.publish("a")
    world.courier.grant(1)
    world.courier.tick()
    world.courier.settle([world.complete(0, "it has ended")])
    setattr(world.source, moment, StoreUnavailableError(server="s", operation="settle", reason="gone"))

    with pytest.raises(StoreUnavailableError):
        world.courier.tick()
    world.courier.tick()

    assert world.leased() == 0


def test_settlements_go_out_in_batches(world: World) -> None:
    ids = [f"id-{number}" for number in range(MAX_BATCH + 20)]
    world.publish(*ids)
    world.courier.grant(len(ids))
    while len(world.recorder.arrivals) < len(ids):
        world.courier.tick()

    world.courier.settle([world.complete(index) for index in range(len(ids))])
    world.courier.tick()

    assert world.leased() == 20


def test_a_note_about_what_has_been_settled_is_dropped(world: World) -> None:
    world.publish("a")
    world.courier.grant(1)
    world.courier.tick()
    delivery = world.recorder.arrivals[0].delivery
    world.courier.settle([world.complete(0)])
    world.courier.note(
        Start(
            task_id="a",
            token=delivery.token,
            fence=delivery.fence,
            attempt=1,
            deliveries=1,
            worker="w@h",
            queue="default",
            name="t",
            at=world.clock.wall(),
            ttl=LEASE,
        )
    )

    world.courier.tick()

    assert world.stack.results
    assert world.stack.results.get(["a"]) == {}


def test_stopping_settles_what_was_handed_over() -> None:
    world = World(SystemClock())
    world.publish("a")
    world.courier.grant(1)
    world.courier.tick()

    world.courier.settle([world.complete(0)])
    world.courier.start()
    world.courier.stop(timeout_s=20)

    assert world.leased() == 0


def test_a_store_that_refuses_for_good_ends_the_courier() -> None:
    world = World(SystemClock())
    world.source.fail_before = StoreCorruptError(server="s", operation="lease", reason="malformed")
    world.courier.grant(1)

    world.courier.start()
    world.courier.stop(timeout_s=20)

    assert isinstance(world.recorder.failure, StoreCorruptError)
