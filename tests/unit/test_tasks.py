"""Tasks: defining them, calling them, and what callers see."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import BaseModel

from stem import Context, RetryPolicy, Stem, codecs, current_context, signals
from stem.errors import (
    ArgumentsError,
    ConfigurationError,
    DuplicateTaskError,
    NotEncodableError,
    ResultTimeoutError,
    TaskCancelledError,
    TaskFailedError,
    UnknownTaskError,
)
from stem.message import ErrorInfo, Message
from stem.ports.broker import Complete
from stem.ports.results import Ending
from stem.states import TaskState
from stem.testing import ManualClock

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stem.message import Delivery

LEASE = timedelta(seconds=30)


class Order(BaseModel):
    number: int
    paid: bool = False


@pytest.fixture
def app() -> Iterator[Stem]:
    app = Stem("tests", broker="memory://", clock=ManualClock())
    yield app
    app.close()


def leased(app: Stem, queue: str = "default") -> Delivery:
    (delivery,) = app.broker.source(owner="w@h").lease([queue], limit=1, duration=LEASE)
    return delivery


def published(app: Stem, queue: str = "default") -> tuple[Message, Any]:
    delivery = leased(app, queue)
    assert isinstance(delivery.content, Message)
    return delivery.content, codecs.read_arguments(delivery.content)


def end(app: Stem, task_id: str, state: TaskState, **ending: Any) -> None:
    source = app.broker.source(owner="w@h")
    (delivery,) = source.lease(["default"], limit=1, duration=LEASE)
    source.settle(
        [
            Complete(
                token=delivery.token,
                ending=Ending(
                    task_id=task_id,
                    state=state,
                    token=delivery.token,
                    fence=delivery.fence,
                    attempt=1,
                    deliveries=1,
                    worker="w@h",
                    queue="default",
                    name="t",
                    finished_at=app.clock.wall(),
                    ttl=timedelta(days=1),
                    **ending,
                ),
            )
        ]
    )


# defining


def test_a_task_is_called_like_its_function(app: Stem) -> None:
    @app.task
    def add(x: int, y: int = 1) -> int:
        """Add."""
        return x + y

    assert add(1, y=2) == 3
    assert add.name == f"{__name__}.add"
    assert add.__doc__ == "Add."


def test_a_coroutine_task_gives_a_coroutine(app: Stem) -> None:
    @app.task
    async def add(x: int, y: int) -> int:
        return x + y

    assert asyncio.run(add(1, 2)) == 3


def test_a_bound_task_that_is_called_directly_has_a_context(app: Stem) -> None:
    @app.task(bind=True)
    def who(ctx: Context) -> tuple[int, bool]:
        return ctx.attempt, current_context() is ctx

    assert who() == (1, True)
    assert current_context() is None


def test_generators_cannot_be_tasks(app: Stem) -> None:
    with pytest.raises(ConfigurationError, match="generator"):

        @app.task
        def numbers() -> Any:
            yield 1


def test_two_functions_of_one_name_are_refused(app: Stem) -> None:
    app.task(name="t")(lambda: 1)
    with pytest.raises(DuplicateTaskError, match="'t'"):

        @app.task(name="t")
        def other() -> None: ...


def test_every_bad_option_is_told_at_once(app: Stem) -> None:
    with pytest.raises(ConfigurationError) as told:
        app.task(qeue="a", priority=12, time_limit=0)(lambda: 1)  # type: ignore[call-overload]

    assert len(told.value.problems) == 3
    assert "did you mean 'queue'" in told.value.problems[0]


def test_tasks_are_found_by_name(app: Stem) -> None:
    task = app.task(name="t")(lambda: 1)

    assert app.tasks["t"] is task
    assert "t" in app.tasks
    assert [*app.tasks] == [task]
    with pytest.raises(UnknownTaskError, match="known: t"):
        app.tasks["u"]


# calling


def test_a_call_is_published_in_celerys_format(app: Stem) -> None:
    @app.task(name="t", queue="mail", priority=5, soft_time_limit=1, time_limit=timedelta(seconds=2))
    def send(to: str, *, urgent: bool = False) -> None: ...

    handle = send.delay("you", urgent=True)

    message, arguments = published(app, "mail")
    assert (arguments.args, arguments.kwargs) == (("you",), {"urgent": True})
    assert message.headers["id"] == handle.id
    assert message.headers["task"] == "t"
    assert message.headers["timelimit"] == [2, 1]
    assert message.headers["retries"] == 0
    assert message.properties["priority"] == 5


def test_arguments_are_checked_before_anything_is_sent(app: Stem) -> None:
    @app.task
    def add(x: int, y: int) -> int:
        return x + y

    with pytest.raises(ArgumentsError, match="missing a required argument: 'y'"):
        add.delay(1)  # type: ignore[call-arg]
    with pytest.raises(ArgumentsError):
        add.apply_async((1, 2, 3))
    with pytest.raises(NotEncodableError):
        add.delay(object(), 1)  # type: ignore[arg-type]
    assert app.queues.queues() == []


def test_models_travel_as_json_and_are_checked_on_both_sides(app: Stem) -> None:
    @app.task
    def pay(order: Order, orders: list[Order]) -> Order:
        return order

    pay.delay(Order(number=1), [Order(number=2)])

    _, arguments = published(app)
    assert arguments.args == ({"number": 1, "paid": False}, [{"number": 2, "paid": False}])
    args, _ = pay.signature.from_wire(arguments.args, arguments.kwargs)
    assert args == (Order(number=1), [Order(number=2)])
    with pytest.raises(ArgumentsError, match=r"order\.number"):
        pay.delay({"number": "many"}, [])  # type: ignore[arg-type]
    assert pay.signature.result_to_wire(Order(number=3)) == {"number": 3, "paid": False}
    assert pay.signature.result_from_wire({"number": 3}) == Order(number=3)


def test_a_countdown_counts_from_the_stores_now(app: Stem) -> None:
    clock: Any = app.clock
    app.task(name="t")(lambda: None).apply_async(countdown=60)
    source = app.broker.source(owner="w@h")

    assert source.lease(["default"], limit=1, duration=LEASE) == []
    clock.advance(60)
    assert len(source.lease(["default"], limit=1, duration=LEASE)) == 1


def test_an_eta_needs_a_time_zone_and_no_countdown_beside_it(app: Stem) -> None:
    task = app.task(name="t")(lambda: None)

    with pytest.raises(ConfigurationError) as told:
        task.apply_async(eta=datetime(2026, 1, 1), countdown=1)  # noqa: DTZ001 - that is the point

    assert len(told.value.problems) == 2


def test_expiry_is_a_date_on_the_wire(app: Stem) -> None:
    app.task(name="t", expires=30)(lambda: None).delay()

    message, _ = published(app)
    due = datetime.fromisoformat(message.headers["expires"])
    assert due == app.clock.wall() + timedelta(seconds=30)


def test_the_same_task_id_twice_is_one_task(app: Stem) -> None:
    task = app.task(name="t")(lambda: None)

    assert task.apply_async(task_id="one").id == task.apply_async(task_id="one").id
    assert app.queues.stats()[0].ready == 1


def test_headers_reach_the_task(app: Stem) -> None:
    app.task(name="t")(lambda: None).apply_async(headers={"tenant": "a"})

    message, _ = published(app)
    envelope = codecs.read_envelope(message, queue="default")
    assert getattr(envelope, "extra", None) == {"tenant": "a"}


def test_a_call_overrides_the_retry_policy(app: Stem) -> None:
    task = app.task(name="t")(lambda: None)

    task.apply_async(retry=RetryPolicy(max_retries=7, jitter=False), max_retries=1)

    message, _ = published(app)
    assert message.headers["x-stem-retry"]["max_retries"] == 1
    assert message.headers["x-stem-retry"]["jitter"] is False


def test_a_task_called_from_a_task_knows_its_parent(app: Stem) -> None:
    child = app.task(name="child")(lambda: None)

    from stem.message import Envelope
    from stem.tasks.context import running

    with running(Context(envelope=Envelope(id="parent", name="p", root_id="root"))):
        child.delay()

    message, _ = published(app)
    assert (message.headers["parent_id"], message.headers["root_id"]) == ("parent", "root")


def test_a_task_that_is_defined_elsewhere_can_be_sent(app: Stem) -> None:
    handle = app.send_task("other.task", (1,), queue="other")

    message, arguments = published(app, "other")
    assert message.headers["task"] == "other.task"
    assert arguments.args == (1,)
    assert handle.state is TaskState.RUNNING or handle.state is TaskState.QUEUED


def test_a_coroutine_can_publish(app: Stem) -> None:
    task = app.task(name="t")(lambda: None)

    handle = asyncio.run(task.adelay())

    assert handle.state is TaskState.QUEUED


def test_publishing_is_announced_before_and_after(app: Stem) -> None:
    told: list[str] = []
    before = signals.before_task_publish.connect(lambda payload: told.append(f"before {payload.task_name}"))
    after = signals.after_task_publish.connect(lambda payload: told.append(f"after {payload.task_name}"))

    app.task(name="t")(lambda: None).delay()

    before.disconnect()
    after.disconnect()
    assert told == ["before t", "after t"]


# handles


def test_an_unknown_id_is_told_apart_from_a_waiting_task(app: Stem) -> None:
    task = app.task(name="t")(lambda: None)

    assert task.AsyncResult("nobody").state is None
    assert task.delay().state is TaskState.QUEUED


def test_a_result_comes_back(app: Stem) -> None:
    handle = app.task(name="t")(lambda: None).delay()
    end(app, handle.id, TaskState.SUCCEEDED, result='{"a":[1,null]}')

    assert handle.ready()
    assert handle.get(1) == {"a": [1, None]}
    assert asyncio.run(handle.aget(1)) == {"a": [1, None]}
    assert app.AsyncResult(handle.id) == handle


def test_a_failure_is_raised_with_what_the_worker_saw(app: Stem) -> None:
    handle = app.task(name="t")(lambda: None).delay()
    error = ErrorInfo(type="builtins.ValueError", message="no", traceback="frames")
    end(app, handle.id, TaskState.FAILED, error=error)

    with pytest.raises(TaskFailedError, match="ValueError: no") as told:
        handle.get(1)
    assert told.value.traceback == "frames"


def test_a_cancelled_task_has_no_result(app: Stem) -> None:
    handle = app.task(name="t")(lambda: None).delay()

    handle.revoke(reason="changed my mind")

    assert handle.state is TaskState.CANCELLED
    with pytest.raises(TaskCancelledError):
        handle.get(1)
    assert handle.id in app.revokes.matching([handle.id])


def test_waiting_ends_after_the_time_allowed(app: Stem) -> None:
    handle = app.task(name="t")(lambda: None).delay()

    with pytest.raises(ResultTimeoutError):
        handle.get(0)


def test_a_record_can_be_forgotten_once_its_task_has_ended(app: Stem) -> None:
    handle = app.task(name="t")(lambda: None).delay()

    assert handle.forget() is False
    end(app, handle.id, TaskState.SUCCEEDED, result="1")
    assert handle.forget() is True
    assert handle.state is None


def test_eta_is_sent_as_utc(app: Stem) -> None:
    app.task(name="t")(lambda: None).apply_async(eta=datetime(2025, 1, 1, tzinfo=UTC))

    message, _ = published(app)
    assert message.headers["eta"] == "2025-01-01T00:00:00+00:00"
