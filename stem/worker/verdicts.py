"""What becomes of a delivery: settlements, with the record and the signals that belong to them."""

from __future__ import annotations

import signal as os_signal
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

from stem import codecs, signals
from stem.errors import HardTimeLimitError, WorkerLostError
from stem.message import Envelope, ErrorInfo, Label, Message, Refusal
from stem.ports.broker import Bury, Complete, Release, Reschedule
from stem.ports.results import Ending, Start
from stem.states import DeadReason, TaskState
from stem.worker.effects import Announce, Settle
from stem.worker.failure import class_name

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from stem.message import Delivery
    from stem.worker.effects import Announcement
    from stem.worker.outcome import GaveUp, RetryLater


class Verdicts:
    """Makes the settlements of one worker. Pure: times come in as arguments.

    Args:
        worker: Describes the worker to receivers of signals.
        result_ttl: How long records are kept after their task has ended.
        max_deliveries: A message whose process died so often is buried.
    """

    def __init__(self, *, worker: signals.WorkerInfo, result_ttl: timedelta, max_deliveries: int) -> None:
        self._worker = worker
        self._ttl = result_ttl
        self._max_deliveries = max_deliveries

    def received(self, delivery: Delivery, envelope: Envelope) -> Iterator[Announce]:
        """Yield the announcement of a delivery."""
        if signals.task_received.has_receivers:
            payload = signals.TaskReceived(
                envelope=envelope,
                attempt=envelope.attempt,
                deliveries=delivery.deliveries,
                worker=self._worker,
            )
            yield Announce(partial(signals.task_received.send, payload))

    def started(self, delivery: Delivery, envelope: Envelope, at: datetime) -> Start:
        """Return the note that an attempt is running."""
        return Start(
            task_id=envelope.id,
            token=delivery.token,
            fence=delivery.fence,
            attempt=envelope.attempt,
            deliveries=delivery.deliveries,
            worker=self._worker.id,
            queue=delivery.queue,
            name=envelope.name,
            at=at,
            ttl=self._ttl,
        )

    def lease_lost(self, envelope: Envelope) -> Iterator[Announce]:
        """Yield the announcement that a running task's lease is lost."""
        if signals.lease_lost.has_receivers:
            payload = signals.LeaseLost(envelope=envelope, worker=self._worker)
            yield Announce(partial(signals.lease_lost.send, payload))

    def succeeded(
        self,
        delivery: Delivery,
        envelope: Envelope,
        result: str | None,
        started_at: datetime,
        runtime_s: float,
        now: datetime,
    ) -> Settle:
        """Return the settlement of an attempt that returned."""
        ending = Ending(
            task_id=envelope.id,
            state=TaskState.SUCCEEDED,
            token=delivery.token,
            fence=delivery.fence,
            attempt=envelope.attempt,
            deliveries=delivery.deliveries,
            worker=self._worker.id,
            queue=delivery.queue,
            name=envelope.name,
            finished_at=now,
            ttl=self._ttl,
            result=result,
            started_at=started_at,
            runtime_s=runtime_s,
        )
        announcements: tuple[Announcement, ...] = ()
        if signals.task_succeeded.has_receivers:
            payload = signals.TaskSucceeded(
                envelope=envelope,
                attempt=envelope.attempt,
                worker=self._worker,
                runtime=timedelta(seconds=runtime_s),
                result=result,
            )
            announcements = (partial(signals.task_succeeded.send, payload),)
        return Settle(Complete(token=delivery.token, ending=ending), announcements)

    def retry(self, delivery: Delivery, envelope: Envelope, outcome: RetryLater, now: datetime) -> Settle:
        """Return the settlement of an attempt that is followed by another."""
        delay = timedelta(seconds=outcome.delay_s)
        next_retry_at = now + delay
        attempt = envelope.attempt + 1
        assert isinstance(delivery.content, Message)
        settlement = Reschedule(
            token=delivery.token,
            message=codecs.retried(delivery.content, attempt=attempt, eta=next_retry_at, body=outcome.body),
            attempt=attempt,
            due=delay,
            error=outcome.error,
        )
        announcements: tuple[Announcement, ...] = ()
        if signals.task_retry.has_receivers:
            payload = signals.TaskRetry(
                envelope=envelope,
                attempt=envelope.attempt,
                worker=self._worker,
                error=outcome.error,
                next_retry_at=next_retry_at,
            )
            announcements = (partial(signals.task_retry.send, payload),)
        return Settle(settlement, announcements)

    def gave_up(
        self,
        delivery: Delivery,
        envelope: Envelope,
        outcome: GaveUp,
        started_at: datetime | None,
        runtime_s: float | None,
        now: datetime,
    ) -> Settle:
        """Return the settlement of a task that failed for good, or cannot be run."""
        ending = replace(
            self._ending(delivery, envelope, TaskState.FAILED, now),
            error=outcome.error,
            started_at=started_at,
            runtime_s=runtime_s,
        )
        return self._bury(delivery, envelope, outcome.reason, ending, {})

    def overdue(
        self,
        delivery: Delivery,
        envelope: Envelope,
        limit_s: float,
        started_at: datetime,
        runtime_s: float,
        now: datetime,
    ) -> Settle:
        """Return the settlement of a task whose process was killed at its hard time limit."""
        ending = replace(
            self._ending(delivery, envelope, TaskState.FAILED, now),
            error=_error(HardTimeLimitError(limit_s=limit_s)),
            started_at=started_at,
            runtime_s=runtime_s,
        )
        return self._bury(delivery, envelope, DeadReason.HARD_TIME_LIMIT, ending, {"limit_s": limit_s})

    def child_lost(
        self,
        delivery: Delivery,
        envelope: Envelope,
        exit_code: int | None,
        started_at: datetime,
        runtime_s: float,
        now: datetime,
    ) -> Settle:
        """Return the settlement of a task whose process died under it."""
        if delivery.deliveries < self._max_deliveries:
            return Settle(Release(token=delivery.token))
        facts = _exit_facts(exit_code)
        ending = replace(
            self._ending(delivery, envelope, TaskState.FAILED, now),
            error=_error(WorkerLostError(reason=", ".join(f"{key} {value}" for key, value in facts.items()))),
            started_at=started_at,
            runtime_s=runtime_s,
        )
        return self._bury(delivery, envelope, DeadReason.WORKER_LOST, ending, facts)

    def refused(self, delivery: Delivery, refusal: Refusal, now: datetime) -> Settle:
        """Return the settlement of a message that could not be understood."""
        label = _label(delivery)
        ending = None
        if label.task_id:
            envelope = Envelope(
                id=label.task_id, name=label.task, queue=delivery.queue, attempt=label.attempt
            )
            error = ErrorInfo(type="stem.Refusal", message=f"{refusal.reason}: {refusal.detail}")
            ending = replace(self._ending(delivery, envelope, TaskState.FAILED, now), error=error)
        settlement = Bury(
            token=delivery.token,
            reason=refusal.reason,
            detail=refusal.detail,
            task_id=label.task_id,
            task=label.task,
            attempt=label.attempt,
            ending=ending,
        )
        return Settle(settlement, self._buried(None, refusal.reason, refusal.detail, delivery))

    def cancelled(self, delivery: Delivery, envelope: Envelope, reason: str, now: datetime) -> Settle:
        """Return the settlement of a task that was revoked before it started."""
        announcements: tuple[Announcement, ...] = ()
        if signals.task_revoked.has_receivers:
            payload = signals.TaskRevoked(envelope=envelope, worker=self._worker, reason=reason)
            announcements = (partial(signals.task_revoked.send, payload),)
        return self._cancel(
            delivery, envelope, ErrorInfo(type="stem.Revoked", message=reason), now, announcements
        )

    def expired(self, delivery: Delivery, envelope: Envelope, now: datetime) -> Settle:
        """Return the settlement of a task that was to start before now."""
        announcements: tuple[Announcement, ...] = ()
        if signals.task_expired.has_receivers:
            payload = signals.TaskExpired(envelope=envelope, worker=self._worker)
            announcements = (partial(signals.task_expired.send, payload),)
        text = f"expired at {envelope.expires.isoformat()}" if envelope.expires else "expired"
        return self._cancel(
            delivery, envelope, ErrorInfo(type="stem.Expired", message=text), now, announcements
        )

    def postponed(self, delivery: Delivery, wait: timedelta) -> Settle:
        """Return the settlement of a message that came before its time."""
        return Settle(Release(token=delivery.token, due=wait, counted=False))

    def given_back(self, delivery: Delivery) -> Settle:
        """Return the settlement of a message that this worker did not run."""
        return Settle(Release(token=delivery.token, counted=False))

    def _cancel(
        self,
        delivery: Delivery,
        envelope: Envelope,
        error: ErrorInfo,
        now: datetime,
        announcements: tuple[Announcement, ...],
    ) -> Settle:
        ending = replace(self._ending(delivery, envelope, TaskState.CANCELLED, now), error=error)
        return Settle(Complete(token=delivery.token, ending=ending), announcements)

    def _bury(
        self,
        delivery: Delivery,
        envelope: Envelope,
        reason: DeadReason,
        ending: Ending,
        facts: dict[str, object],
    ) -> Settle:
        error = ending.error
        detail = f"{error.type}: {error.message}"[:500] if error else str(reason)
        settlement = Bury(
            token=delivery.token,
            reason=reason,
            detail=detail,
            task_id=envelope.id,
            task=envelope.name,
            attempt=envelope.attempt,
            ending=ending,
            facts=facts,
        )
        announcements = self._buried(envelope, reason, detail, delivery)
        if signals.task_failed.has_receivers and error is not None:
            payload = signals.TaskFailed(
                envelope=envelope, attempt=envelope.attempt, worker=self._worker, error=error
            )
            announcements = (*announcements, partial(signals.task_failed.send, payload))
        return Settle(settlement, announcements)

    def _buried(
        self, envelope: Envelope | None, reason: DeadReason, detail: str, delivery: Delivery
    ) -> tuple[Announcement, ...]:
        if not signals.task_buried.has_receivers:
            return ()
        payload = signals.TaskBuried(
            envelope=envelope, queue=delivery.queue, reason=reason, detail=detail, worker=self._worker
        )
        return (partial(signals.task_buried.send, payload),)

    def _ending(self, delivery: Delivery, envelope: Envelope, state: TaskState, now: datetime) -> Ending:
        return Ending(
            task_id=envelope.id,
            state=state,
            token=delivery.token,
            fence=delivery.fence,
            attempt=envelope.attempt,
            deliveries=delivery.deliveries,
            worker=self._worker.id,
            queue=delivery.queue,
            name=envelope.name,
            finished_at=now,
            ttl=self._ttl,
        )


def _label(delivery: Delivery) -> Label:
    """Return what a message tells about itself, as far as it can be read."""
    if isinstance(delivery.content, Refusal):
        return Label(task_id="", task="", attempt=0, generation=0)
    return codecs.read_label(delivery.content)


def _exit_facts(exit_code: int | None) -> dict[str, object]:
    if exit_code is None:
        return {"exit_code": None}
    if exit_code >= 0:
        return {"exit_code": exit_code}
    try:
        return {"signal": os_signal.Signals(-exit_code).name}
    except ValueError:
        return {"signal": -exit_code}


def _error(error: Exception) -> ErrorInfo:
    return ErrorInfo(type=class_name(type(error)), message=str(error))
