"""What the worker's core decides, event by event."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from worker_world import FAILED, START, SUCCEEDED, Facts, World

from stem.message import ErrorInfo, Refusal
from stem.ports.broker import Bury, Complete, Release, Reschedule
from stem.ports.revokes import Revocation
from stem.states import DeadReason, TaskState
from stem.worker.core import MAX_LOOK_AHEAD, WAKES
from stem.worker.effects import Drain, Kill, Note, Run, Spawn, Tell, Wake
from stem.worker.frames import Kind
from stem.worker.holdings import Stopping
from stem.worker.outcome import GivenBack, LostLease, RetryLater

if TYPE_CHECKING:
    import pytest

ERROR = ErrorInfo(type="builtins.OSError", message="later")


def only(world: World) -> object:
    (settlement,) = world.settlements()
    return settlement


def test_as_many_children_are_asked_for_as_configured() -> None:
    world = World(children=3)

    assert len(world.all(Spawn)) == 3


def test_credits_follow_the_slots_of_ready_children() -> None:
    world = World(children=2, slots=4)

    assert world.credits == 8


def test_a_delivery_runs_at_once_in_a_free_slot() -> None:
    world = World()

    delivery = world.arrive()

    (run,) = world.all(Run)
    assert run.job.message is delivery.content


def test_a_delivery_waits_while_every_slot_is_busy() -> None:
    world = World()
    world.arrive()

    world.arrive()

    assert len(world.all(Run)) == 1
    world.finish(SUCCEEDED)
    assert len(world.all(Run)) == 2


def test_a_result_completes_the_delivery_and_returns_its_credit() -> None:
    world = World()
    world.arrive()

    world.finish(SUCCEEDED, runtime_s=10.0)

    settlement = only(world)
    assert isinstance(settlement, Complete)
    assert settlement.ending is not None
    assert settlement.ending.state is TaskState.SUCCEEDED
    assert settlement.ending.result == "1"
    assert world.credits == 2  # one at first, one for the next delivery


def test_a_failure_is_buried_with_its_record() -> None:
    world = World()
    world.arrive()

    world.finish(FAILED)

    settlement = only(world)
    assert isinstance(settlement, Bury)
    assert settlement.reason is DeadReason.TASK_FAILED
    assert settlement.ending is not None
    assert settlement.ending.state is TaskState.FAILED


def test_a_retry_is_one_transition_to_the_next_attempt() -> None:
    world = World()
    delivery = world.arrive()

    world.finish(RetryLater(delay_s=5.0, error=ERROR))

    settlement = only(world)
    assert isinstance(settlement, Reschedule)
    assert settlement.attempt == 2
    assert settlement.due == timedelta(seconds=5)
    assert settlement.message.headers["retries"] == 1
    assert settlement.message.body == delivery.content.body  # type: ignore[union-attr]


def test_a_message_that_cannot_be_read_is_buried_with_its_reason() -> None:
    world = World()

    world.arrive(refusal=Refusal(reason=DeadReason.HEADER_INVALID, detail="eta"))

    settlement = only(world)
    assert isinstance(settlement, Bury)
    assert settlement.reason is DeadReason.HEADER_INVALID
    assert settlement.task_id == "id-1"
    assert not world.all(Run)


def test_an_unknown_task_is_buried_without_running() -> None:
    world = World()

    world.arrive(world.delivery(name="t.other"))

    settlement = only(world)
    assert isinstance(settlement, Bury)
    assert settlement.reason is DeadReason.TASK_UNKNOWN


def test_a_revoked_task_is_cancelled_without_running() -> None:
    world = World()
    order = Revocation(task_id="id-1", reason="not now", terminate=False, revoked_at=START, expires_at=START)

    world.arrive(revocation=order)

    settlement = only(world)
    assert isinstance(settlement, Complete)
    assert settlement.ending is not None
    assert settlement.ending.state is TaskState.CANCELLED
    assert settlement.ending.error is not None
    assert settlement.ending.error.message == "not now"


def test_an_expired_task_is_cancelled_without_running() -> None:
    world = World()

    world.arrive(world.delivery(expires=START))

    settlement = only(world)
    assert isinstance(settlement, Complete)
    assert settlement.ending is not None
    assert settlement.ending.state is TaskState.CANCELLED


def test_a_foreign_message_before_its_time_is_put_off_uncounted() -> None:
    world = World()
    later = world.now.wall + timedelta(minutes=1)

    world.arrive(world.delivery(eta=later, sent_at=None))

    assert only(world) == Release(token="token-1", due=timedelta(minutes=1), counted=False)


def test_the_store_decides_when_our_own_delayed_messages_are_due() -> None:
    world = World()

    world.arrive(world.delivery(eta=world.now.wall + timedelta(minutes=1)))

    assert world.all(Run)


def test_a_short_attempt_is_never_noted_as_running() -> None:
    world = World()
    world.arrive()

    world.finish(SUCCEEDED)
    world.pass_time(1.0)

    assert not world.all(Note)


def test_a_longer_attempt_is_noted_as_running_once() -> None:
    world = World()
    world.arrive()

    world.pass_time(0.1)
    world.pass_time(0.1)

    (note,) = world.all(Note)
    assert note.start.token == "token-1"


def test_a_task_whose_process_died_is_given_back_and_counted() -> None:
    world = World()
    world.arrive()

    world.die()

    assert only(world) == Release(token="token-1")
    assert len(world.all(Spawn)) == 2


def test_a_task_whose_process_died_too_often_is_buried_with_the_signal() -> None:
    world = World()
    world.arrive(world.delivery(deliveries=3))

    world.die(exit_code=-11)

    settlement = only(world)
    assert isinstance(settlement, Bury)
    assert settlement.reason is DeadReason.WORKER_LOST
    assert settlement.facts == {"signal": "SIGSEGV"}


def test_what_a_dead_child_had_sent_before_counts() -> None:
    world = World()
    world.arrive()
    world.finish(SUCCEEDED)

    world.die()

    assert isinstance(only(world), Complete)


def test_a_soft_limit_interrupts_once() -> None:
    world = World(facts=Facts(soft_s=1.0))
    world.arrive()

    world.pass_time(1.1)
    world.pass_time(1.1)

    (tell,) = world.all(Tell)
    assert tell.kind is Kind.INTERRUPT


def test_a_task_that_was_told_something_is_woken_again_for_a_while() -> None:
    world = World(facts=Facts(soft_s=1.0))
    world.arrive()
    world.pass_time(1.1)

    for _ in range(WAKES + 5):
        world.pass_time(0.05)

    assert len(world.all(Wake)) == WAKES


def test_a_hard_limit_kills_the_child_and_buries_the_task() -> None:
    world = World(facts=Facts(hard_s=1.0))
    world.arrive()

    world.pass_time(1.1)
    assert world.all(Kill)
    world.die()

    settlement = only(world)
    assert isinstance(settlement, Bury)
    assert settlement.reason is DeadReason.HARD_TIME_LIMIT


def test_siblings_of_an_overdue_task_may_finish_and_are_not_counted() -> None:
    facts = Facts()
    world = World(slots=2, facts=facts)
    facts.hard_s = 1.0
    world.arrive()
    facts.hard_s = None
    world.arrive()

    world.pass_time(1.1)
    assert not world.all(Kill)
    world.pass_time(6.0)
    assert len(world.all(Kill)) == 1
    world.die()

    assert Release(token="token-2", counted=False) in world.settlements()


def test_no_task_is_fed_to_a_child_that_is_about_to_be_killed() -> None:
    facts = Facts(hard_s=1.0)
    world = World(slots=2, facts=facts)
    world.arrive()
    world.arrive()
    world.pass_time(1.1)
    runs = len(world.all(Run))

    world.finish(SUCCEEDED, key=world.all(Run)[0].job.key)
    world.arrive()

    assert len(world.all(Run)) == runs


def test_a_lost_lease_tells_the_task_and_drops_what_it_returns() -> None:
    world = World()
    delivery = world.arrive()

    world.lose(delivery)
    world.finish(SUCCEEDED)

    (tell,) = world.all(Tell)
    assert tell.kind is Kind.LOST
    assert not world.settlements()


def test_a_task_that_stopped_for_its_lost_lease_is_not_settled() -> None:
    world = World()
    world.arrive()

    world.finish(LostLease())

    assert not world.settlements()


def test_a_buffered_message_whose_lease_is_lost_never_starts() -> None:
    world = World()
    world.arrive()
    waiting = world.arrive()

    world.lose(waiting)
    world.finish(SUCCEEDED)

    assert len(world.all(Run)) == 1


def test_more_is_leased_ahead_the_shorter_tasks_are() -> None:
    world = World()
    world.arrive()

    world.finish(SUCCEEDED, runtime_s=0.000001)

    assert world.credits == 1 + 1 + MAX_LOOK_AHEAD


def test_messages_that_wait_too_long_for_a_slot_are_given_back_uncounted() -> None:
    world = World()
    world.arrive()
    world.arrive()

    world.pass_time(0.3)

    assert only(world) == Release(token="token-2", counted=False)


def test_a_child_is_replaced_after_its_tasks() -> None:
    world = World(max_tasks=1)
    world.arrive()

    world.finish(SUCCEEDED)

    assert len(world.all(Drain)) == 1
    assert len(world.all(Spawn)) == 2
    world.child_up()
    world.die(exit_code=0)
    assert len(world.all(Spawn)) == 2


def test_children_that_die_before_they_are_ready_start_ever_later() -> None:
    world = World(children=0)
    world.core._wanted_children = 1

    delays = []
    for child in range(1, 5):
        world.core.child_starting(child)
        world.die(child, exit_code=1)
        delays.append(world.all(Spawn)[-1].delay_s)

    assert delays == [0.5, 1.0, 2.0, 4.0]


def ahead(*, max_tasks: int | None = None) -> World:
    """Return a world whose one child runs one task and was given three more ahead."""
    world = World(send_ahead=True, max_tasks=max_tasks)
    world.arrive()
    world.finish(SUCCEEDED, runtime_s=0.0001)
    world.effects.clear()
    for _ in range(4):
        world.arrive()
    return world


def keys(world: World) -> list[int]:
    return [run.job.key for run in world.all(Run)]


def test_short_tasks_are_sent_ahead_and_only_the_first_has_started() -> None:
    world = ahead()

    assert len(keys(world)) == 4
    assert [task.key for task in world.core.running()] == keys(world)[:1]


def test_the_next_one_begins_when_the_one_before_has_ended() -> None:
    world = ahead()
    world.now_s += 5.0

    world.finish(SUCCEEDED, key=keys(world)[0])

    (running,) = world.core.running()
    assert running.key == keys(world)[1]
    assert running.started == world.now


def test_nothing_is_sent_ahead_of_tasks_that_take_their_time() -> None:
    world = World(send_ahead=True)
    world.arrive()
    world.finish(SUCCEEDED, runtime_s=1.0)
    world.effects.clear()

    world.arrive()
    world.arrive()

    assert len(keys(world)) == 1


def test_a_child_is_never_given_more_than_it_may_run() -> None:
    world = ahead(max_tasks=3)

    assert len(keys(world)) == 2


def test_what_waits_behind_a_long_task_is_called_back() -> None:
    world = ahead()

    world.pass_time(0.3)

    assert [tell.key for tell in world.all(Tell) if tell.kind is Kind.FORGET] == keys(world)[1:]
    world.pass_time(0.05)
    assert world.all(Wake)
    world.took(world.core.forgotten(keys(world)[1], world.now))
    assert world.settlements() == [Release(token="token-3", counted=False)]


def test_a_recalled_task_that_had_begun_after_all_counts() -> None:
    world = ahead()
    world.pass_time(0.3)

    world.finish(SUCCEEDED, key=keys(world)[0])
    world.finish(SUCCEEDED, key=keys(world)[1])

    assert all(isinstance(settlement, Complete) for settlement in world.settlements())


def test_only_the_running_task_is_held_against_a_process_that_died() -> None:
    world = ahead()

    world.die()

    assert world.settlements() == [
        Release(token="token-2"),
        Release(token="token-3", counted=False),
        Release(token="token-4", counted=False),
        Release(token="token-5", counted=False),
    ]


def test_limits_count_from_the_start_not_from_the_sending() -> None:
    world = ahead()
    world.core._facts.soft_s = 1.0  # type: ignore[attr-defined]
    world.finish(SUCCEEDED, key=keys(world)[0])
    world.effects.clear()

    world.pass_time(0.9)

    assert not [tell for tell in world.all(Tell) if tell.kind is Kind.INTERRUPT]


def test_a_lost_lease_of_a_waiting_task_keeps_it_from_starting() -> None:
    world = ahead()

    world.took(world.core.lost(["token-3"]))

    assert keys(world)[1] in [tell.key for tell in world.all(Tell) if tell.kind is Kind.FORGET]
    world.took(world.core.forgotten(keys(world)[1], world.now))
    assert not world.settlements()


def test_a_stop_calls_back_what_waits_in_the_children() -> None:
    world = ahead()

    world.stop(Stopping.WARM)

    assert len([tell for tell in world.all(Tell) if tell.kind is Kind.FORGET]) == 3


def test_a_warm_stop_gives_back_what_waits_and_finishes_what_runs() -> None:
    world = World()
    world.arrive()
    world.arrive()

    world.stop(Stopping.WARM)

    assert only(world) == Release(token="token-2", counted=False)
    assert world.credits <= 0 or not world.core.finished
    world.finish(SUCCEEDED)
    assert world.core.finished


def test_nothing_is_leased_during_a_stop_and_late_arrivals_are_given_back() -> None:
    world = World()
    world.stop(Stopping.WARM)

    world.arrive()

    assert world.credits - 1 == 0  # of what was granted, the late arrival spent one
    assert only(world) == Release(token="token-1", counted=False)


def test_a_warm_stop_becomes_soft_and_then_hard() -> None:
    world = World()
    world.arrive()
    world.stop(Stopping.WARM)

    world.pass_time(10.1)
    assert [tell.kind for tell in world.all(Tell)] == [Kind.INTERRUPT]
    world.pass_time(5.1)
    assert len(world.all(Kill)) == 1
    world.die()

    assert only(world) == Release(token="token-1", counted=False)
    assert world.core.finished


def test_an_interrupted_task_is_given_back_uncounted() -> None:
    world = World()
    world.arrive()
    world.stop(Stopping.SOFT)

    world.finish(GivenBack())

    assert only(world) == Release(token="token-1", counted=False)


def test_stopping_is_only_ever_made_more_urgent() -> None:
    world = World()
    world.arrive()
    world.stop(Stopping.HARD)

    world.stop(Stopping.WARM)

    assert world.core.stopping is Stopping.HARD


def test_credits_add_up_whatever_happens(caplog: pytest.LogCaptureFixture) -> None:
    world = World(slots=2)
    for _ in range(5):
        world.arrive()
        world.finish(SUCCEEDED, runtime_s=1.0)

    # Two slots, nothing held: the courier may lease two.
    assert world.credits - 5 == 2
