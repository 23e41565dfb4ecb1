import asyncio
import dataclasses
import functools
import gc
import logging
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from stem import signals
from stem.errors import ConfigurationError
from stem.message import Envelope, ErrorInfo
from stem.signals import Signal, SignalContext, reference
from stem.signals.payloads import (
    TaskBuried,
    TaskPrerun,
    TaskRetry,
    WorkerChildInit,
    WorkerHeartbeat,
    WorkerInfo,
)
from stem.states import DeadReason
from stem.testing import ManualClock

REPOSITORY = Path(__file__).parents[2]
NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
WORKER = WorkerInfo(id="default@host-a", queues=("default", "mail"), inflight=3)
ENVELOPE = Envelope(id="t1", name="mail.send", queue="mail", attempt=2)
RETRY = TaskRetry(
    envelope=ENVELOPE,
    worker=WORKER,
    attempt=2,
    error=ErrorInfo(type="builtins.OSError", message="gone"),
    next_retry_at=NOW + timedelta(seconds=5),
)


@pytest.fixture
def signal() -> Signal[TaskRetry]:
    return Signal("task-retry", TaskRetry, when="In this test.")


@pytest.fixture(autouse=True)
def all_signals_on() -> Iterator[None]:
    yield
    signals.configure(enabled=True, disabled=())


def test_handlers_are_called_in_the_order_in_which_they_were_connected(signal: Signal[TaskRetry]) -> None:
    called: list[int] = []
    for number in range(50):
        signal.connect(lambda _, number=number: called.append(number))  # type: ignore[misc]

    signal.send(RETRY)

    assert called == list(range(50))


def test_the_handlers_of_both_guides_work() -> None:
    retry: Signal[TaskRetry] = Signal("task-retry", TaskRetry, when="Now.")
    heartbeat: Signal[WorkerHeartbeat] = Signal("worker-heartbeat", WorkerHeartbeat, when="Now.")
    told: list[object] = []

    @retry.connect
    def on_retry(payload: TaskRetry) -> None:
        told.append(f"Task {payload.envelope.name} retry {payload.attempt}")

    @retry.connect
    def record_delay(payload: TaskRetry, _: SignalContext) -> None:
        told.append(payload.next_retry_at - NOW)

    @heartbeat.connect
    def on_heartbeat(payload: WorkerHeartbeat, _: SignalContext) -> None:
        told.append((payload.worker.id, payload.worker.inflight, payload.worker.queues))

    retry.send(RETRY)
    heartbeat.send(WorkerHeartbeat(worker=WORKER, at=NOW))

    assert told == [
        "Task mail.send retry 2",
        timedelta(seconds=5),
        ("default@host-a", 3, ("default", "mail")),
    ]


def test_a_handler_gets_the_context_if_it_can_only_be_called_with_it_or_names_it(
    signal: Signal[TaskRetry],
) -> None:
    told: list[tuple[Any, ...]] = []

    class Recorder:
        def method(self, payload: TaskRetry, context: SignalContext) -> None:
            told.append((payload, context))

        def __call__(self, payload: TaskRetry) -> None:
            told.append((payload,))

    def optional(payload: TaskRetry, context: SignalContext | None = None) -> None:
        told.append((payload, context))

    def another_default(payload: TaskRetry, limit: int = 100) -> None:
        told.append((payload, limit))

    signal.connect(Recorder().method)
    signal.connect(Recorder())
    signal.connect(optional)
    signal.connect(another_default)
    signal.connect(lambda *args: told.append(args))
    signal.connect(functools.partial(Recorder.method, Recorder()))
    signal.connect(told.append)  # written in C

    signal.send(RETRY)

    kinds = [tuple(type(part).__name__ for part in one) if isinstance(one, tuple) else one for one in told]
    assert kinds == [
        ("TaskRetry", "SignalContext"),
        ("TaskRetry",),
        ("TaskRetry", "SignalContext"),
        ("TaskRetry", "int"),
        ("TaskRetry",),
        ("TaskRetry", "SignalContext"),
        RETRY,
    ]


def test_the_context_says_what_was_sent_and_when() -> None:
    clock = ManualClock()
    signal = Signal("task-retry", TaskRetry, when="Now.", clock=clock)
    told: list[SignalContext] = []
    signal.connect(lambda _, context: told.append(context))

    signal.send(RETRY)

    assert (told[0].name, told[0].sent_at) == ("task-retry", clock.wall())


@pytest.mark.parametrize(
    "handler",
    [lambda: None, lambda a, b, c: None, lambda *, payload: None, asyncio.sleep, "handler"],
)
def test_a_handler_that_cannot_be_called_is_refused_when_it_is_connected(
    signal: Signal[TaskRetry], handler: Any
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        signal.connect(handler)

    assert "expected a function of (payload) or (payload, context), got" in caught.value.problems[0]
    assert not signal.has_receivers


@pytest.mark.parametrize("raised", [ValueError("x"), SystemExit(3), RecursionError()])
def test_a_handler_that_raises_is_logged_and_passed_over(
    signal: Signal[TaskRetry], raised: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    called: list[str] = []

    @signal.connect
    def bad(_: TaskRetry) -> None:
        raise raised

    signal.connect(lambda _: called.append("next"))

    with caplog.at_level(logging.ERROR, "stem.signals"):
        signal.send(RETRY)

    (record,) = caplog.records
    assert record.message == "signal.receiver_failed"
    assert (record.__dict__["signal"], record.exc_info and record.exc_info[1]) == ("task-retry", raised)
    assert record.__dict__["receiver"].endswith("bad")
    assert called == ["next"]


def test_an_interrupt_gets_out(signal: Signal[TaskRetry]) -> None:
    @signal.connect
    def interrupted(_: TaskRetry) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        signal.send(RETRY)


def test_a_handler_can_stop_the_ones_after_it_for_this_time(signal: Signal[TaskRetry]) -> None:
    called: list[str] = []
    signal.connect(lambda _: called.append("first"))
    stopping = signal.connect(lambda _, context: context.cancel())
    signal.connect(lambda _: called.append("last"))

    signal.send(RETRY)
    stopping.disconnect()
    signal.send(RETRY)

    assert called == ["first", "first", "last"]


@pytest.mark.parametrize(
    ("where", "wanted"),
    [
        ({}, True),
        ({"task_name": "mail.send"}, True),
        ({"task_name": "mail.read"}, False),
        ({"task_name": {"mail.read", "mail.send"}}, True),
        ({"task_name": ["mail.read"]}, False),
        ({"task_id": "t1", "queue": "mail", "worker_id": "default@host-a"}, True),
        ({"task_id": "t1", "queue": "default"}, False),
    ],
)
def test_a_filter_lets_only_matching_payloads_through(
    signal: Signal[TaskRetry], where: dict[str, object], *, wanted: bool
) -> None:
    called: list[TaskRetry] = []
    signal.connect(called.append, where=where)

    signal.send(RETRY)

    assert bool(called) == wanted


def test_a_filter_that_the_payload_cannot_answer_is_refused() -> None:
    with pytest.raises(ConfigurationError) as caught:
        signals.worker_ready.connect(lambda _: None, where={"task_name": "x"})

    assert caught.value.problems == ("signal worker-ready: where: expected worker_id, got task_name",)


def test_every_payload_answers_the_filters_that_it_has_a_value_for() -> None:
    context = SimpleNamespace(worker_id="w@h")
    run = TaskPrerun(envelope=ENVELOPE, attempt=2, context=cast("Any", context))
    unread = TaskBuried(
        envelope=None, queue="q", reason=DeadReason.ENVELOPE_INVALID, detail="no object", worker=WORKER
    )
    buried = dataclasses.replace(unread, envelope=ENVELOPE)
    child = WorkerChildInit(worker_id="w@h", index=1)

    assert (run.task_id, run.task_name, run.queue, run.worker_id) == ("t1", "mail.send", "mail", "w@h")
    assert (unread.task_id, unread.task_name, unread.queue, unread.worker_id) == ("", "", "q", WORKER.id)
    assert (buried.task_id, buried.task_name) == ("t1", "mail.send")
    assert (WorkerHeartbeat(worker=WORKER, at=NOW).worker_id, child.worker_id) == (WORKER.id, "w@h")


def test_once_means_the_first_payload_that_matches(signal: Signal[TaskRetry]) -> None:
    called: list[TaskRetry] = []
    signal.connect(called.append, once=True, where={"task_id": "t2"})
    second = dataclasses.replace(RETRY, envelope=dataclasses.replace(ENVELOPE, id="t2"))

    for payload in (RETRY, second, second):
        signal.send(payload)

    assert called == [second]
    assert not signal.has_receivers


def test_once_holds_for_senders_in_many_threads(signal: Signal[TaskRetry]) -> None:
    called: list[TaskRetry] = []
    signal.connect(called.append, once=True)
    together = threading.Barrier(8, timeout=30)

    def send() -> None:
        together.wait()
        signal.send(RETRY)

    threads = [threading.Thread(target=send) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)

    assert len(called) == 1


def test_once_holds_for_a_signal_that_is_sent_by_a_handler(signal: Signal[TaskRetry]) -> None:
    called: list[TaskRetry] = []

    @signal.connect
    def send_again(_: TaskRetry) -> None:
        send_again.disconnect()
        signal.send(RETRY)

    signal.connect(called.append, once=True)

    signal.send(RETRY)

    assert called == [RETRY]


def test_a_handler_that_does_not_tell_its_signature_gets_the_payload(
    signal: Signal[TaskRetry], caplog: pytest.LogCaptureFixture
) -> None:
    signal.connect(type)

    signal.send(RETRY)

    assert caplog.records == []


def test_a_weak_handler_goes_with_its_object(signal: Signal[TaskRetry]) -> None:
    class Watcher:
        def __init__(self) -> None:
            self.called = 0

        def see(self, _: TaskRetry) -> None:
            self.called += 1

    watcher = Watcher()
    kept = signal.connect(watcher.see, weak=True)
    signal.send(RETRY)
    assert watcher.called == 1

    del watcher
    gc.collect()

    assert not signal.has_receivers
    assert kept(RETRY) is None


def test_a_handler_is_kept_alive_unless_it_is_weak(signal: Signal[TaskRetry]) -> None:
    called: list[TaskRetry] = []
    signal.connect(lambda payload: called.append(payload))
    gc.collect()

    signal.send(RETRY)

    assert called == [RETRY]


def test_one_dispatch_uid_is_connected_once(signal: Signal[TaskRetry]) -> None:
    called: list[str] = []

    first = signal.connect(lambda _: called.append("first"), dispatch_uid="tell")
    second = signal.connect(lambda _: called.append("second"), dispatch_uid="tell")
    signal.send(RETRY)
    first.disconnect()
    signal.connect(lambda _: called.append("third"), dispatch_uid="tell")
    signal.send(RETRY)

    assert second is first
    assert called == ["first", "third"]


def test_a_subscription_ends_by_disconnect_and_by_with(signal: Signal[TaskRetry]) -> None:
    called: list[TaskRetry] = []

    with signal.connect(called.append) as subscription:
        signal.send(RETRY)
    signal.send(RETRY)
    subscription.disconnect()

    assert called == [RETRY]


def test_a_decorated_function_can_still_be_called(signal: Signal[TaskRetry]) -> None:
    @signal.connect(where={"queue": "mail"})
    def describe(payload: TaskRetry) -> str:
        return payload.task_name

    assert describe(RETRY) == "mail.send"


def test_a_handler_may_connect_and_disconnect_while_the_signal_is_sent(signal: Signal[TaskRetry]) -> None:
    called: list[str] = []

    @signal.connect
    def once(_: TaskRetry) -> None:
        once.disconnect()
        signal.connect(lambda _: called.append("added"))

    signal.send(RETRY)
    assert called == []
    signal.send(RETRY)

    assert called == ["added"]


def test_signals_are_switched_off_by_name_or_altogether() -> None:
    with signals.task_retry.connect(lambda _: None), signals.task_failed.connect(lambda _: None):
        signals.configure(enabled=True, disabled=["task-retry"])
        assert (signals.task_retry.has_receivers, signals.task_failed.has_receivers) == (False, True)

        signals.configure(enabled=False, disabled=[])
        assert (signals.task_retry.enabled, signals.task_failed.enabled) == (False, False)

        signals.configure(enabled=True, disabled=[])
        assert (signals.task_retry.has_receivers, signals.task_failed.has_receivers) == (True, True)


def test_a_disabled_signal_calls_nobody(signal: Signal[TaskRetry]) -> None:
    called: list[TaskRetry] = []
    signal.connect(called.append)
    signal.enabled = False

    signal.send(RETRY)

    assert called == []


def test_names_that_are_no_signals_are_refused_and_change_nothing() -> None:
    with pytest.raises(ConfigurationError) as caught:
        signals.configure(enabled=False, disabled=["task-retried", "task-failed", "x"])

    assert caught.value.problems == (
        "signals_disabled: expected names of signals, got 'task-retried', did you mean task-retry?",
        "signals_disabled: expected names of signals, got 'x'",
    )
    assert signals.task_failed.enabled


def test_every_declared_signal_is_listed_under_its_name() -> None:
    declared = {name: one for name, one in vars(signals).items() if isinstance(one, Signal)}

    assert {name.replace("_", "-"): one for name, one in declared.items()} == dict(signals.SIGNALS)
    assert {name for name in declared if name not in signals.__all__} == set()


@pytest.mark.parametrize("signal", signals.SIGNALS.values(), ids=lambda signal: signal.name)
def test_every_payload_is_frozen_small_and_its_own(signal: Signal[Any]) -> None:
    payload = signal.payload

    assert dataclasses.is_dataclass(payload)
    assert payload.__dataclass_params__.frozen  # type: ignore[attr-defined]
    assert payload.__dictoffset__ == 0  # type: ignore[attr-defined]
    assert signal.when.endswith(".")
    assert sum(one.payload is payload for one in signals.SIGNALS.values()) == 1
    assert payload.__name__.lower() == signal.name.replace("-", "")


def test_the_reference_page_is_current() -> None:
    page = REPOSITORY / "docs" / "reference" / "signals.md"

    assert page.read_text() == reference.render(), (
        "write it anew: python -c \"from stem.signals.reference import render; print(render(), end='')\""
    )
