"""One attempt: what it is given, and how it may end."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from child_world import example_app, job

from stem.errors import LeaseLostError, ShutdownError
from stem.message import ErrorInfo, Message
from stem.states import DeadReason
from stem.tasks.context import Cancellation
from stem.worker.attempt import Attempt, AttemptRunner, Job
from stem.worker.outcome import GaveUp, GivenBack, LostLease, Outcome, RetryLater, Succeeded

if TYPE_CHECKING:
    from stem import Stem


def prepared(one: Job, app: Stem | None = None, cancellation: Cancellation | None = None) -> Attempt | GaveUp:
    runner = AttemptRunner(app or example_app(), worker_id="w@h")
    return runner.prepare(one, cancellation or Cancellation())


def outcome(one: Job, app: Stem | None = None) -> Outcome:
    runner = AttemptRunner(app or example_app(), worker_id="w@h")
    attempt = runner.prepare(one, Cancellation())
    return runner.run(attempt, asyncio.run) if isinstance(attempt, Attempt) else attempt  # type: ignore[arg-type]


def test_the_result_is_json_text() -> None:
    assert outcome(job("add", 1, 2)) == Succeeded(result="3")


def test_the_result_is_left_out_where_it_is_ignored() -> None:
    assert outcome(job("add", 1, ignore_result=True)) == Succeeded(result=None)


def test_the_task_is_told_who_it_is() -> None:
    assert outcome(job("attempt", attempt=2)) == Succeeded(result='["id-1",2,"w@h"]')


def test_an_error_ends_the_task_with_its_type_text_and_frames() -> None:
    ended = outcome(job("fail"))

    assert isinstance(ended, GaveUp)
    assert ended.reason is DeadReason.TASK_FAILED
    assert (ended.error.type, ended.error.message) == ("builtins.ValueError", "no")
    assert "in fail" in ended.error.traceback
    assert "attempt.py" not in ended.error.traceback


def test_a_task_that_exits_the_interpreter_only_fails() -> None:
    ended = outcome(job("leave"))

    assert isinstance(ended, GaveUp)
    assert ended.error.type == "builtins.SystemExit"


def test_a_result_without_a_json_form_fails_without_a_retry() -> None:
    ended = outcome(job("unencodable"))

    assert isinstance(ended, GaveUp)
    assert ended.error.type == "stem.errors.NotEncodableError"


def test_retry_takes_the_delay_that_the_task_asked_for() -> None:
    ended = outcome(job("again"))

    assert isinstance(ended, RetryLater)
    assert ended.delay_s == 5.0
    assert ended.body is None


def test_retry_may_change_the_arguments() -> None:
    ended = outcome(job("again_with", 1))

    assert isinstance(ended, RetryLater)
    assert ended.body is not None
    assert ended.body.startswith(b"[[2],")


@pytest.mark.parametrize("attempt", [1, 2])
def test_named_errors_are_retried_within_the_limit(attempt: int) -> None:
    ended = outcome(job("flaky", attempt=attempt))

    assert isinstance(ended, RetryLater)
    assert 0 <= ended.delay_s <= 2.0
    assert ended.error.type == "builtins.OSError"


def test_after_the_last_retry_the_task_gives_up() -> None:
    ended = outcome(job("flaky", attempt=3))

    assert isinstance(ended, GaveUp)
    assert ended.reason is DeadReason.RETRIES_EXHAUSTED
    assert ended.error.type == "builtins.OSError"


def test_the_call_may_override_the_limit() -> None:
    assert isinstance(outcome(job("flaky", attempt=3, retry={"max_retries": 9})), RetryLater)
    assert isinstance(outcome(job("flaky", retry={"max_retries": 0})), GaveUp)


def test_a_bad_override_is_the_messages_fault() -> None:
    ended = outcome(job("flaky", retry={"max_retries": "many"}))

    assert isinstance(ended, GaveUp)
    assert ended.reason is DeadReason.HEADER_INVALID


def test_arguments_that_do_not_fit_are_never_tried() -> None:
    ended = outcome(job("add"))

    assert isinstance(ended, GaveUp)
    assert ended.reason is DeadReason.ARGS_MISMATCH


def test_an_unknown_task_is_told_by_name() -> None:
    ended = outcome(job("other"))

    assert isinstance(ended, GaveUp)
    assert ended.reason is DeadReason.TASK_UNKNOWN
    assert "other" in ended.error.message


def test_a_body_that_is_not_json_is_the_messages_fault() -> None:
    one = job("add", 1)
    broken = Job(
        key=1,
        message=Message(headers=one.message.headers, properties={}, body=b"\xff"),
        queue="default",
        deliveries=1,
    )

    ended = outcome(broken)

    assert isinstance(ended, GaveUp)
    assert ended.reason is DeadReason.BODY_UNDECODABLE


def test_coroutines_run_to_their_end() -> None:
    assert outcome(job("aadd", 1, 2)) == Succeeded(result="3")


def test_coroutines_run_in_a_loop_that_runs_already() -> None:
    runner = AttemptRunner(example_app(), worker_id="w@h")
    attempt = runner.prepare(job("aadd", 1, 2), Cancellation())
    assert isinstance(attempt, Attempt)

    assert asyncio.run(runner.arun(attempt)) == Succeeded(result="3")


def test_middleware_wraps_the_run_and_the_first_is_outermost() -> None:
    app = example_app()
    seen: list[str] = []

    def outer(envelope: object, run: object) -> object:
        seen.append("outer")
        return f"<{run()}>"  # type: ignore[operator]

    def inner(envelope: object, run: object) -> object:
        seen.append("inner")
        return run()  # type: ignore[operator]

    app.middleware += [outer, inner]  # type: ignore[list-item]

    assert outcome(job("add", 1, 2), app) == Succeeded(result='"<3>"')
    assert seen == ["outer", "inner"]


def test_a_task_that_stops_for_its_lost_lease_has_no_outcome_of_its_own() -> None:
    cancellation = Cancellation(lease_lost=True)
    attempt = prepared(job("add", 1), cancellation=cancellation)
    assert isinstance(attempt, Attempt)
    runner = AttemptRunner(example_app(), worker_id="w@h")

    assert runner.failed(attempt, LeaseLostError(task_id="id-1")) == LostLease()


def test_a_task_that_raises_that_error_by_itself_has_failed() -> None:
    attempt = prepared(job("add", 1))
    assert isinstance(attempt, Attempt)
    runner = AttemptRunner(example_app(), worker_id="w@h")

    assert isinstance(runner.failed(attempt, LeaseLostError(task_id="id-1")), GaveUp)


def test_a_task_interrupted_by_shutdown_is_given_back() -> None:
    attempt = prepared(job("add", 1))
    assert isinstance(attempt, Attempt)
    runner = AttemptRunner(example_app(), worker_id="w@h")

    assert runner.failed(attempt, ShutdownError()) == GivenBack()


def test_every_outcome_crosses_the_process_boundary() -> None:
    import marshal

    from stem.worker.outcome import outcome_from_wire, outcome_to_wire

    error = ErrorInfo(type="a.B", message="m", traceback="t", cause=ErrorInfo(type="c.D", message="n"))
    outcomes: list[Outcome] = [
        Succeeded(result="1"),
        Succeeded(result=None),
        RetryLater(delay_s=1.5, error=error, body=b"[]"),
        GaveUp(reason=DeadReason.TASK_FAILED, error=error),
        LostLease(),
        GivenBack(),
    ]

    for one in outcomes:
        assert outcome_from_wire(marshal.loads(marshal.dumps(outcome_to_wire(one)))) == one
