"""The three kinds of slots, each against a real socket and a hub that a test plays."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from child_world import LIMIT_S, HubEnd, example_app, in_thread, job

from stem.clock import SystemClock
from stem.states import DeadReason
from stem.worker import interruption
from stem.worker.attempt import AttemptRunner
from stem.worker.frames import Kind
from stem.worker.link import Link
from stem.worker.outcome import GaveUp, GivenBack, LostLease, Outcome, Succeeded
from stem.worker.slots.coroutines import CoroutineSlots
from stem.worker.slots.sync import SyncSlots
from stem.worker.slots.threads import ThreadSlots

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from stem import Stem

KINDS = ["sync", "threads", "coroutines"]
INTERRUPTIBLE = [("sync", "spin"), ("sync", "aspin"), ("threads", "spin"), ("coroutines", "aspin")]


@pytest.fixture
def hub() -> Iterator[HubEnd]:
    end = HubEnd()
    yield end
    end.close()


def serve(kind: str, hub: HubEnd, app: Stem, play: Callable[[], None]) -> None:
    """Serve in this, the main, thread while ``play`` plays the hub in another; raise what it raised."""
    failed: list[BaseException] = []

    def played() -> None:
        try:
            assert hub.receive()[0] is Kind.READY
            play()
        except BaseException as error:  # noqa: BLE001 - handed to the main thread
            failed.append(error)
        finally:
            hub.send(Kind.DRAIN)

    thread = in_thread(played)
    runner, link, clock = AttemptRunner(app, worker_id="w@h"), Link(hub.child), SystemClock()
    match kind:
        case "sync":
            SyncSlots(link, runner, clock=clock).serve()
        case "threads":
            ThreadSlots(link, runner, slots=4, clock=clock).serve()
        case _:
            CoroutineSlots(link, runner, slots=4, clock=clock).serve()
    thread.join(LIMIT_S)
    if failed:
        raise failed[0]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("task", ["add", "aadd"])
def test_tasks_and_coroutines_run(kind: str, task: str, hub: HubEnd) -> None:
    def play() -> None:
        for key in range(1, 21):
            hub.run(job(task, key, 1, key=key))
            assert hub.outcome() == Succeeded(result=str(key + 1))

    serve(kind, hub, example_app(), play)


@pytest.mark.parametrize("kind", KINDS)
def test_a_message_that_cannot_be_read_is_an_outcome(kind: str, hub: HubEnd) -> None:
    def play() -> None:
        hub.run(job("no_such_task"))
        ended = hub.outcome()
        assert isinstance(ended, GaveUp)
        assert ended.reason is DeadReason.TASK_UNKNOWN

    serve(kind, hub, example_app(), play)


@pytest.mark.parametrize("kind", ["threads", "coroutines"])
def test_several_attempts_run_at_once(kind: str, hub: HubEnd) -> None:
    app = example_app()

    def play() -> None:
        spinning = "spin" if kind == "threads" else "aspin"
        hub.run(job(spinning, key=1))
        assert app.began.wait(LIMIT_S)  # type: ignore[attr-defined]
        hub.run(job("add", 1, 1, key=2))
        assert hub.outcome() == Succeeded(result="2")
        hub.send(Kind.INTERRUPT, 1, interruption.shutdown())
        assert hub.outcome() == GivenBack()

    serve(kind, hub, app, play)


def interrupted(kind: str, task: str, hub: HubEnd, payload: tuple[str, float]) -> Outcome:
    app = example_app()
    ended: list[Outcome] = []

    def play() -> None:
        hub.run(job(task))
        assert app.began.wait(LIMIT_S)  # type: ignore[attr-defined]
        hub.send(Kind.INTERRUPT, 1, payload)
        ended.append(hub.outcome(wake=kind == "sync"))
        # What is left of the interruption must not hit the next task.
        hub.run(job("add", 1, 1, key=2))
        assert hub.outcome() == Succeeded(result="2")

    serve(kind, hub, app, play)
    return ended[0]


@pytest.mark.parametrize(("kind", "task"), INTERRUPTIBLE)
def test_a_soft_limit_raises_inside_the_task(kind: str, task: str, hub: HubEnd) -> None:
    ended = interrupted(kind, task, hub, interruption.soft_limit(1.0))

    assert isinstance(ended, GaveUp)
    assert ended.error.type == "stem.errors.SoftTimeLimitError"


@pytest.mark.parametrize(("kind", "task"), INTERRUPTIBLE)
def test_shutdown_raises_inside_the_task_and_gives_it_back(kind: str, task: str, hub: HubEnd) -> None:
    assert interrupted(kind, task, hub, interruption.shutdown()) == GivenBack()


@pytest.mark.parametrize(
    ("kind", "task"),
    [("sync", "checks"), ("sync", "aspin"), ("threads", "checks"), ("coroutines", "aspin")],
)
def test_a_lost_lease_is_told_at_the_next_check_or_cancels(kind: str, task: str, hub: HubEnd) -> None:
    app = example_app()

    def play() -> None:
        hub.run(job(task))
        assert app.began.wait(LIMIT_S)  # type: ignore[attr-defined]
        hub.send(Kind.LOST, 1, "id-1")
        assert hub.outcome(wake=kind == "sync") == LostLease()

    serve(kind, hub, app, play)


@pytest.mark.parametrize("kind", KINDS)
def test_an_interruption_of_a_task_that_has_ended_does_nothing(kind: str, hub: HubEnd) -> None:
    def play() -> None:
        hub.run(job("add", 1, 1, key=1))
        assert hub.outcome() == Succeeded(result="2")
        hub.send(Kind.INTERRUPT, 1, interruption.shutdown())
        if kind == "sync":
            hub.wake()
        hub.run(job("add", 2, 1, key=2))
        assert hub.outcome() == Succeeded(result="3")

    serve(kind, hub, example_app(), play)


def test_jobs_that_were_sent_ahead_run_in_their_order(hub: HubEnd) -> None:
    def play() -> None:
        for key in range(1, 11):
            hub.run(job("add", key, 1, key=key))
        assert [hub.receive()[1] for _ in range(10)] == list(range(1, 11))

    serve("sync", hub, example_app(), play)


def test_a_job_that_waits_can_be_called_back_while_another_one_runs(hub: HubEnd) -> None:
    app = example_app()

    def play() -> None:
        hub.run(job("spin", key=1))
        hub.run(job("add", 1, 1, key=2))
        hub.run(job("add", 2, 1, key=3))
        assert app.began.wait(LIMIT_S)  # type: ignore[attr-defined]
        hub.send(Kind.FORGET, 2)
        hub.wake_until_heard()
        assert hub.receive()[:2] == (Kind.FORGOTTEN, 2)
        hub.send(Kind.INTERRUPT, 1, interruption.shutdown())
        assert hub.outcome(wake=True) == GivenBack()
        assert hub.outcome() == Succeeded(result="3")

    serve("sync", hub, app, play)


def test_a_job_that_has_run_cannot_be_called_back(hub: HubEnd) -> None:
    def play() -> None:
        hub.run(job("add", 1, 1, key=1))
        assert hub.outcome() == Succeeded(result="2")
        hub.send(Kind.FORGET, 1)
        hub.wake()
        hub.run(job("add", 2, 1, key=2))
        assert hub.outcome() == Succeeded(result="3")

    serve("sync", hub, example_app(), play)


@pytest.mark.parametrize("kind", KINDS)
def test_the_child_ends_when_its_hub_is_gone(kind: str, hub: HubEnd) -> None:
    def play() -> None:
        hub.sock.shutdown(1)

    serve_until_gone(kind, hub, play)


def serve_until_gone(kind: str, hub: HubEnd, play: Callable[[], None]) -> None:
    def played() -> None:
        hub.receive()
        play()

    thread = in_thread(played)
    runner, link, clock = AttemptRunner(example_app(), worker_id="w@h"), Link(hub.child), SystemClock()
    if kind == "sync":
        SyncSlots(link, runner, clock=clock).serve()
    elif kind == "threads":
        ThreadSlots(link, runner, slots=2, clock=clock).serve()
    else:
        CoroutineSlots(link, runner, slots=2, clock=clock).serve()
    thread.join(LIMIT_S)
