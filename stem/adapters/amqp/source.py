"""Leasing: a message is leased while the connection lives through which it was pushed.

    pushed → leased (generation, number) → acknowledged
                    │ connection or channel lost: the server delivers it again, at once
                    └ the token is stale from then on

The server tells how often a message was delivered; whoever runs too long for it
(``consumer_timeout``) loses the channel, and with it the connection and all leases.
"""

from __future__ import annotations

import os
import select
import uuid
from contextlib import suppress
from typing import TYPE_CHECKING, Final, assert_never

from stem.adapters.amqp import wire
from stem.adapters.amqp.burial import marks
from stem.adapters.amqp.consuming import Consumers
from stem.adapters.amqp.link import Link
from stem.adapters.amqp.publishing import Publisher
from stem.adapters.amqp.topology import Topology
from stem.codecs import read_priority
from stem.errors import StoreError
from stem.message import Delivery
from stem.ports.broker import NOW, Bury, Complete, Release, Reschedule
from stem.states import DeadReason

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from datetime import timedelta

    from stem.adapters.amqp.consuming import Received
    from stem.adapters.amqp.location import Location
    from stem.adapters.amqp.publishing import Outgoing
    from stem.clock import Clock
    from stem.ports.broker import LeaseSource, Settlement

_LEASE_SHARE: Final = 2 / 3
"""Of a lease's duration: heartbeats are that far apart at least, since renewing gives them."""


class AmqpSource:
    """A `stem.ports.broker.LeaseSource`.

    Args:
        max_deliveries: Tells how often a message may be delivered; None while nobody has said.
    """

    def __init__(
        self, location: Location, *, clock: Clock, owner: str, max_deliveries: Callable[[], int | None]
    ) -> None:
        self._location = location
        self._clock = clock
        self._owner = owner
        self._max_deliveries = max_deliveries
        self._link = Link(location, clock=clock, heartbeat_s=location.heartbeat_s)
        self._topology = Topology(self._link)
        self._publisher = Publisher(self._link, self._topology)
        self._consumers = Consumers(self._link, self._topology)
        self._name = uuid.uuid4().hex[:12]
        self._held: dict[str, Received] = {}
        self._prefetch = 1
        # A pipe, because a socket and an event cannot be waited for at once.
        self._waker, self._bell = os.pipe()
        os.set_blocking(self._waker, False)
        os.set_blocking(self._bell, False)
        self._closed = False

    def lease(self, queues: Sequence[str], *, limit: int, duration: timedelta) -> list[Delivery]:
        """Take up to ``limit`` messages that the server has pushed, the first named queue's first."""
        self._forget_lost()
        # For a worker this is what it runs and looks ahead, whatever it holds of it at the moment.
        self._prefetch = max(self._prefetch, len(self._held) + limit)
        self._link.heartbeat_s = max(self._link.heartbeat_s, duration.total_seconds() * _LEASE_SHARE)
        fresh = not self._consumers.is_current
        self._consumers.consume(queues, prefetch=self._prefetch)
        if fresh:
            # What is ready is pushed right after the consumers are there.
            with self._link.working("lease"):
                self._consumers.make_sure()
        self._link.pump()
        taken = self._consumers.take(queues, limit=limit)
        leased = self._give_up(taken)
        for received in leased:
            self._held[self._token(received)] = received
        return [self._delivery(received) for received in leased]

    def _give_up(self, taken: Sequence[Received]) -> list[Received]:
        limit = self._max_deliveries()
        over = [each for each in taken if limit is not None and each.deliveries > limit]
        if not over:
            return list(taken)
        self._publisher.send([self._lost(each) for each in over])
        with self._link.working("bury"):
            self._consumers.acknowledge([each.tag for each in over])
        return [each for each in taken if each not in over]

    def _lost(self, received: Received) -> Outgoing:
        before = received.deliveries - 1
        bury = Bury(
            token="",
            reason=DeadReason.WORKER_LOST,
            detail=f"the worker process died: {before} deliveries without an outcome",
        )
        return self._burial(received, bury, deliveries=before)

    def wait(self, timeout_s: float) -> None:
        """Block until the server has pushed something, `wake` is called, or ``timeout_s`` pass.

        An error of the connection ends it too; the next call tells of it.
        """
        deadline_s = self._clock.monotonic() + timeout_s
        with suppress(StoreError):
            while not self._consumers.waiting:
                left_s = deadline_s - self._clock.monotonic()
                if left_s <= 0 or self._is_woken(min(left_s, self._link.heartbeat_s / 4)):
                    break
                self._link.pump()
                if not self._link.is_up:
                    break
        self._silence()

    def _is_woken(self, timeout_s: float) -> bool:
        socket = self._link.fileno()
        listened = [self._waker] if socket is None else [self._waker, socket]
        ready, _, _ = select.select(listened, [], [], 0 if self._link.has_buffered() else timeout_s)
        return self._waker in ready

    def _silence(self) -> None:
        with suppress(BlockingIOError):
            while os.read(self._waker, 1024):
                pass

    def wake(self) -> None:
        """End a `wait` that is under way, or the next one."""
        # A full pipe is a bell that rings already; a closed one has nobody waiting.
        with suppress(BlockingIOError, OSError):
            if not self._closed:
                os.write(self._bell, b"!")

    def settle(self, settlements: Sequence[Settlement]) -> list[bool]:
        """Carry out each settlement whose token is current: publish what follows, then acknowledge."""
        if not settlements:
            return []
        self._forget_lost()
        orders: dict[str, tuple[Received, Settlement]] = {}
        answers: list[bool] = []
        for settlement in settlements:
            received = self._held.get(settlement.token)
            answers.append(received is not None and settlement.token not in orders)
            if received is not None:
                orders.setdefault(settlement.token, (received, settlement))
        if orders:
            self._carry_out(list(orders.values()))
            for token in orders:
                del self._held[token]
        return answers

    def _carry_out(self, orders: Sequence[tuple[Received, Settlement]]) -> None:
        outgoing = [each for received, settlement in orders for each in self._follow(received, settlement)]
        if outgoing:
            self._publisher.send(outgoing)
        back = [received.tag for received, settlement in orders if _stays(received, settlement)]
        done = [received.tag for received, settlement in orders if not _stays(received, settlement)]
        with self._link.working("settle"):
            self._consumers.acknowledge(done)
            self._consumers.put_back(back)
            self._consumers.make_sure()

    def _follow(self, received: Received, settlement: Settlement) -> list[Outgoing]:
        """Return what is to be published before the message is acknowledged."""
        match settlement:
            case Complete():
                return [self._publisher.outgoing(each) for each in settlement.successors]
            case Release():
                if _stays(received, settlement):
                    return []
                return [self._copy(received, settlement)]
            case Reschedule():
                return [
                    self._publisher.message(
                        settlement.message,
                        queue=received.queue,
                        priority=read_priority(wire.read(received.message)),
                        due=settlement.due,
                    )
                ]
            case Bury():
                self._topology.ensure_dead()
                return [self._burial(received, settlement, deliveries=received.deliveries)]
            case _:
                assert_never(settlement)

    def _copy(self, received: Received, release: Release) -> Outgoing:
        message = wire.read(received.message)
        return self._publisher.message(
            message,
            queue=received.queue,
            priority=read_priority(message),
            due=release.due,
            deliveries=received.deliveries - (not release.counted),
        )

    def _burial(self, received: Received, bury: Bury, *, deliveries: int) -> Outgoing:
        self._topology.ensure_dead()
        message = wire.read(received.message)
        return self._publisher.message(
            message,
            queue=self._topology.dead_queue,
            priority=read_priority(message),
            more=marks(bury, queue=received.queue, deliveries=deliveries),
        )

    def renew(self, tokens: Collection[str], *, duration: timedelta) -> set[str]:
        """Give a sign of life; return the tokens of connections that are gone."""
        with suppress(StoreError):
            self._link.pump()
        self._forget_lost()
        return {token for token in tokens if token not in self._held}

    def close(self) -> None:
        """End the connection; the server delivers again what was not settled. May be called twice."""
        if self._closed:
            return
        self._closed = True
        with suppress(StoreError):
            self._give_back()
        self._link.drop()
        os.close(self._waker)
        os.close(self._bell)

    def _give_back(self) -> None:
        if not self._consumers.is_current:
            return
        unused, self._consumers.waiting = self._consumers.waiting, []
        # As copies, because what goes back by itself counts as delivered, and these never were.
        release = Release(token="", counted=False)
        self._publisher.send([self._copy(each, release) for each in unused])
        with self._link.working("close"):
            self._consumers.acknowledge([each.tag for each in unused])
            self._consumers.make_sure()

    def _forget_lost(self) -> None:
        if self._held and not self._consumers.is_current:
            self._held.clear()

    def _token(self, received: Received) -> str:
        return f"{self._name}.{received.generation}.{received.tag}"

    def _delivery(self, received: Received) -> Delivery:
        return Delivery(
            token=self._token(received),
            queue=received.queue,
            content=wire.read(received.message),
            deliveries=received.deliveries,
        )


def _stays(received: Received, settlement: Settlement) -> bool:
    """Return whether a message is put back at its place, instead of being published anew."""
    return (
        isinstance(settlement, Release)
        and settlement.counted
        and settlement.due == NOW
        # A classic queue tells only whether, not how often, a message was delivered before.
        and received.is_counted_by_queue
    )


if TYPE_CHECKING:
    _: Callable[..., LeaseSource] = AmqpSource
