"""A random walk over a stack's ports, checked after every step against `Reference`.

Use it as ``run_state_machine_as_test(lease_machine(open_harness), settings=…)``.
Settings, and with them the length of the walk, are the caller's.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, TypeVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from stem.codecs import GENERATION
from stem.ports.broker import Bury, Complete, Release, Reschedule
from stem.ports.deadletters import DeadLetterQuery
from stem.states import DeadReason, TaskState
from stem.testing.contracts.reference import Given, Reference
from stem.testing.contracts.samples import HISTORY, TASK, ending, message, publication, start, task_id
from stem.testing.contracts.suite import offered

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from stem.message import Delivery, Message
    from stem.ports.broker import PendingMessage, Settlement
    from stem.ports.results import Ending
    from stem.testing.contracts.harness import StackHarness

QUEUES = ("first", "second")
OWNERS = ("worker@one", "worker@two")
KINDS = ("complete", "complete", "bury", "release", "release uncounted", "reschedule", "bury")

Some = TypeVar("Some")

delays = st.sampled_from([0, 0, 0, 5, 40]).map(lambda seconds: timedelta(seconds=seconds))
durations = st.sampled_from([10, 30]).map(lambda seconds: timedelta(seconds=seconds))
picks = st.integers(0, 40)
limits = st.sampled_from([1, 2, 100])
kinds = st.sampled_from(KINDS)
workers = st.sampled_from([0, 1])
queue_orders = st.sampled_from([QUEUES, QUEUES[::-1], QUEUES[:1], QUEUES[1:]])


def lease_machine(open_harness: Callable[[], StackHarness]) -> type[LeaseMachine]:
    """Return the machine that walks over new databases from ``open_harness``, one for each walk."""

    class OpenedLeaseMachine(LeaseMachine):
        def open(self) -> StackHarness:
            return open_harness()

    return OpenedLeaseMachine


class LeaseMachine(RuleBasedStateMachine):
    """Two workers, an operator and a producer, any of them late.

    Needs a stack with every port, and ``atomic_results``.
    """

    def __init__(self) -> None:
        super().__init__()
        self.reference = Reference()
        self.count = 0
        self.harness = self.open()
        other = self.harness.reopen()
        self.brokers = [offered(stack.broker) for stack in (self.harness.stack, other)]
        self.sources = [
            broker.source(owner=owner) for broker, owner in zip(self.brokers, OWNERS, strict=True)
        ]
        self.queues = offered(self.harness.stack.queues)
        self.dead_letters = offered(self.harness.stack.dead_letters)
        self.results = offered(self.harness.stack.results)

    def open(self) -> StackHarness:
        """Open a new database; to be overridden."""
        raise NotImplementedError

    def teardown(self) -> None:
        """Close the database."""
        self.harness.close()

    @rule(
        size=st.sampled_from([1, 1, 3]),
        queue=st.sampled_from(QUEUES),
        priority=st.sampled_from([0, 0, 5]),
        delay=delays,
        recorded=st.sampled_from([True, True, False]),
    )
    def publish(self, size: int, queue: str, priority: int, delay: timedelta, recorded: bool) -> None:
        """A producer publishes new tasks."""
        for _ in range(size):
            self.count += 1
            self._publish(f"t{self.count}", queue=queue, priority=priority, delay=delay, recorded=recorded)

    @precondition(lambda self: self.count > 0)
    @rule(pick=picks, queue=st.sampled_from(QUEUES), recorded=st.booleans())
    def publish_again(self, pick: int, queue: str, recorded: bool) -> None:
        """A producer whose reply was lost publishes again."""
        known = f"t{1 + pick % self.count}"
        self._publish(known, queue=queue, priority=0, delay=timedelta(0), recorded=recorded)

    @rule(worker=workers, queues=queue_orders, limit=limits, duration=durations)
    def lease(self, worker: int, queues: Sequence[str], limit: int, duration: timedelta) -> None:
        """A worker leases."""
        self._lease(worker, queues, limit, duration)

    @rule(worker=workers, kind=kinds, delay=delays, begins=st.booleans())
    def work(self, worker: int, kind: str, delay: timedelta, begins: bool) -> None:
        """A worker leases one message, begins and settles it at once."""
        self._work(worker, kind, delay, begins=begins)

    @rule(seconds=st.sampled_from([1, 4, 9, 11, 31, 100]))
    def time_passes(self, seconds: int) -> None:
        """The store's clock goes on."""
        self._let_pass(timedelta(seconds=seconds))

    @precondition(lambda self: self.reference.given)
    @rule(
        worker=workers,
        orders=st.lists(st.tuples(picks, kinds, delays), min_size=1, max_size=3),
    )
    def settle(self, worker: int, orders: list[tuple[int, str, timedelta]]) -> None:
        """A worker settles, with any tokens that were ever given out."""
        self._settle(worker, [(self._given(pick), kind, delay) for pick, kind, delay in orders])

    @precondition(lambda self: self.reference.given)
    @rule(worker=workers, some=st.sets(picks, min_size=1, max_size=3), duration=durations)
    def renew(self, worker: int, some: set[int], duration: timedelta) -> None:
        """A worker renews, with any tokens that were ever given out."""
        tokens = {self._given(pick).token for pick in some}

        lost = self.sources[worker].renew(tokens, duration=duration)

        now = self.harness.now()
        expected = {token for token in tokens if not self.reference.renew(token, now + duration, now)}
        assert lost == expected, f"told that {lost} are lost, expected {expected}"

    @rule(worker=workers, limit=limits, max_deliveries=st.sampled_from([1, 2, 3]))
    def reclaim(self, worker: int, limit: int, max_deliveries: int) -> None:
        """A reaper takes lapsed leases away."""
        self._reclaim(worker, limit, max_deliveries)

    @rule(
        pick=picks,
        kind=st.sampled_from(["complete", "complete", "bury", "reschedule", "release"]),
        begins=st.booleans(),
        reclaimed=st.booleans(),
        leased=st.sampled_from([True, True, False]),
    )
    def oversleep(self, pick: int, kind: str, begins: bool, reclaimed: bool, leased: bool) -> None:
        """A worker stops until its lease has lapsed, while others go on; then it wakes and settles."""
        if not self._held():
            self._lease(0, QUEUES, 1, timedelta(seconds=30))
        held = self._held()
        if not held:
            return
        given = _picked(held, pick)
        if begins:
            self._start(given)
        lapses = max(kept.until for kept in self.reference.messages.values() if kept.token == given.token)
        self._let_pass(lapses - self.harness.now())
        if reclaimed:
            self._reclaim(1, 100, 3)
        if leased:
            self._lease(1, QUEUES, 100, timedelta(seconds=30))
        self._finish_late(given)
        self._settle(0, [(given, kind, timedelta(0))])

    @precondition(lambda self: self.reference.given)
    @rule(pick=picks, begins=st.booleans())
    def report(self, pick: int, begins: bool) -> None:
        """A worker writes to the record of a task, with any token that was ever given out."""
        given = self._given(pick)
        if begins:
            self._start(given)
        else:
            self._finish_late(given)

    @rule(pick=picks, everything=st.booleans(), limit=limits, delay=delays, times=st.sampled_from([1, 2]))
    def replay(self, pick: int, everything: bool, limit: int, delay: timedelta, times: int) -> None:
        """An operator replays dead letters, perhaps those that were replayed before."""
        if not self.reference.buried:
            self._work(0, "bury", timedelta(0), begins=True)
        if not self.reference.buried:
            return
        only = None if everything else _picked(self.reference.buried, pick).task_id
        query = DeadLetterQuery(ids=None if only is None else [only])

        for _ in range(times):
            told = [each.task_id for each in self.dead_letters.replay(query, limit=limit, delay=delay)]
            expected = self.reference.replay(only=only, limit=limit, delay=delay, now=self.harness.now())
            assert told == expected, f"replayed {told}, expected {expected}"

    @precondition(lambda self: self.count > 0)
    @rule(
        action=st.sampled_from(["pause", "pause", "resume", "resume", "cancel", "purge", "forget"]),
        queue=st.sampled_from(QUEUES),
        some=st.sets(picks, min_size=1, max_size=3),
    )
    def operate(self, action: str, queue: str, some: set[int]) -> None:
        """An operator steps in."""
        ids = {f"t{1 + pick % self.count}" for pick in some}
        match action:
            case "pause":
                self.queues.pause(queue)
                self.reference.paused.add(queue)
            case "resume":
                self.queues.resume(queue)
                self.reference.paused.discard(queue)
            case "cancel":
                assert self.queues.cancel(ids, reason="no longer wanted") == self.reference.cancel(ids)
            case "purge":
                assert self.queues.purge(queue) == self.reference.purge(queue)
            case _:
                assert self.results.forget(ids) == self.reference.forget(ids)

    @invariant()
    def each_message_is_in_its_place(self) -> None:
        """Each live message is listed once, in the place and with the facts that it should have."""
        for queue in QUEUES:
            page, _ = self.queues.browse(queue, limit=1000)
            listed = [_facts(each) for each in page]
            expected = [
                (kept.task_id, kept.state, kept.priority, kept.attempt, kept.deliveries, kept.owner)
                for kept in self.reference.messages.values()
                if kept.queue == queue
            ]
            assert sorted(listed) == sorted(expected), queue

    @invariant()
    def counts_add_up(self) -> None:
        """The counts are those of the places."""
        for stats in self.queues.stats(QUEUES):
            counts = {
                "ready": stats.ready,
                "delayed": stats.delayed,
                "leased": stats.leased,
                "dead": stats.dead,
            }
            assert counts == self.reference.depth(stats.queue)
            assert stats.paused == (stats.queue in self.reference.paused)

    @invariant()
    def the_dead_are_listed(self) -> None:
        """Each dead letter is there once, replayed ones too."""
        page, _ = self.dead_letters.page(HISTORY, limit=1000)
        listed = [
            (
                each.task_id,
                each.queue,
                each.reason,
                each.deliveries,
                each.generation,
                each.replayed_at is None,
            )
            for each in page
        ]
        expected = [
            (each.task_id, each.queue, each.reason, each.deliveries, each.generation, not each.replayed)
            for each in self.reference.buried
        ]
        assert sorted(listed) == sorted(expected)

    @invariant()
    def records_agree_with_places(self) -> None:
        """Each record says what has become of its message."""
        records = self.results.get([f"t{number}" for number in range(1, self.count + 1)])
        told = {name: (each.state, each.attempt, each.generation) for name, each in records.items()}
        assert told == {
            name: (each.state, each.attempt, each.generation) for name, each in self.reference.records.items()
        }
        self.reference.check()

    def _publish(self, name: str, *, queue: str, priority: int, delay: timedelta, recorded: bool) -> None:
        new = publication(name, queue=queue, priority=priority, due=delay, recorded=recorded)
        told = self.brokers[0].publish([new])
        expected = self.reference.publish(
            name,
            queue=queue,
            priority=priority,
            delay=delay,
            recorded=recorded,
            now=self.harness.now(),
        )
        assert told == [expected], f"published {told}, expected {expected}"

    def _lease(self, worker: int, queues: Sequence[str], limit: int, duration: timedelta) -> list[Delivery]:
        deliveries = self.sources[worker].lease(queues, limit=limit, duration=duration)
        self.reference.lease(
            [(task_id(each), each) for each in deliveries],
            queues=queues,
            limit=limit,
            owner=OWNERS[worker],
            until=self.harness.now() + duration,
        )
        return deliveries

    def _work(self, worker: int, kind: str, delay: timedelta, *, begins: bool) -> None:
        for delivery in self._lease(worker, QUEUES, 1, timedelta(seconds=30)):
            given = self.reference.given[-1]
            assert given.token == delivery.token
            if begins:
                self._start(given)
            self._settle(worker, [(given, kind, delay)])

    def _let_pass(self, duration: timedelta) -> None:
        self.harness.let_pass(duration)
        self.reference.pass_time(self.harness.now())

    def _settle(self, worker: int, orders: Sequence[tuple[Given, str, timedelta]]) -> None:
        settlements = [self._settlement(given, kind, delay) for given, kind, delay in orders]

        told = self.sources[worker].settle(settlements)

        now = self.harness.now()
        expected = [
            self.reference.settle(settlement, delay, now)
            for settlement, (_, _, delay) in zip(settlements, orders, strict=True)
        ]
        assert told == expected, f"settled {told}, expected {expected}"

    def _reclaim(self, worker: int, limit: int, max_deliveries: int) -> None:
        reclaimed = self.brokers[worker].reclaim(limit=limit, max_deliveries=max_deliveries)
        now = self.harness.now()
        self.reference.reclaim(reclaimed, limit=limit, max_deliveries=max_deliveries, now=now)

    def _start(self, given: Given) -> None:
        # No worker starts what it knows that it has lost; what it does not know must be refused.
        record = self.reference.records.get(given.task_id)
        is_held = self.reference.held(given.token, self.harness.now()) is not None
        if record is not None and (is_held or not self.reference.may_write(given)):
            note = start(
                given.task_id,
                at=self.harness.now(),
                token=given.token,
                fence=given.fence,
                attempt=given.attempt,
            )
            assert self.results.start([note]) == [self.reference.start(given)]

    def _finish_late(self, given: Given) -> None:
        # Where the record is still the delivery's own, it may write (R3), or has written (R9).
        record = self.reference.records.get(given.task_id)
        if record is not None and record.token != given.token and not self.reference.may_write(given):
            late = ending(given.task_id, at=self.harness.now(), token=given.token, fence=given.fence)
            assert self.results.finish([late]) == [False], "a result from a lost lease was accepted"

    def _held(self) -> list[Given]:
        now = self.harness.now()
        return [given for given in self.reference.given if self.reference.held(given.token, now)]

    def _given(self, pick: int) -> Given:
        held = self._held()
        # Half of the time one that is held, or walks would hardly ever meet a live lease.
        return _picked(held if held and pick % 2 else self.reference.given, pick // 2)

    def _settlement(self, given: Given, kind: str, delay: timedelta) -> Settlement:
        match kind:
            case "complete":
                return Complete(token=given.token, ending=self._ending(given, TaskState.SUCCEEDED))
            case "bury":
                return Bury(
                    token=given.token,
                    reason=DeadReason.TASK_FAILED,
                    detail="it failed",
                    task_id=given.task_id,
                    task=TASK,
                    attempt=given.attempt,
                    ending=self._ending(given, TaskState.FAILED),
                )
            case "reschedule":
                return Reschedule(
                    token=given.token,
                    message=_next_attempt(given),
                    attempt=given.attempt + 1,
                    due=delay,
                )
            case _:
                return Release(token=given.token, due=delay, counted=kind == "release")

    def _ending(self, given: Given, state: TaskState) -> Ending | None:
        if given.task_id not in self.reference.records:
            return None
        return ending(
            given.task_id,
            at=self.harness.now(),
            token=given.token,
            fence=given.fence,
            attempt=given.attempt,
            state=state,
        )


def _picked(some: Sequence[Some], pick: int) -> Some:
    return some[pick % len(some)]


def _next_attempt(given: Given) -> Message:
    headers = {GENERATION: given.generation}
    return message(given.task_id, attempt=given.attempt + 1, headers=headers)


def _facts(pending: PendingMessage) -> tuple[str, str, int, int, int, str]:
    return (
        pending.task_id,
        pending.state,
        pending.priority,
        pending.attempt,
        pending.deliveries,
        pending.owner,
    )
