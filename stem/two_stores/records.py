"""What is written to the task records, and what they say about a delivery."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from stem.message import ErrorInfo
from stem.ports.results import Ending, RetryNote, Start
from stem.states import TaskState

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from datetime import timedelta

    from stem.clock import Clock
    from stem.message import Delivery, Label
    from stem.ports.broker import Bury, Complete, Reschedule
    from stem.ports.results import Results, TaskRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How far a task has come, as far as a delivery is concerned.

    Attributes:
        fence: The highest that was given.
    """

    fence: int = 0
    attempt: int = 0
    generation: int = 0
    is_running: bool = False
    has_ended: bool = False

    @classmethod
    def of(cls, record: TaskRecord | None) -> Standing:
        """Return what a record says; None is a task that has none."""
        if record is None:
            return cls()
        return cls(
            fence=record.fence,
            attempt=record.attempt,
            generation=record.generation,
            is_running=record.state is TaskState.RUNNING,
            has_ended=record.state.is_terminal,
        )

    def after(self, label: Label) -> Standing:
        """Return how it stands once a delivery is claimed."""
        return Standing(
            fence=self.fence + 1, attempt=label.attempt, generation=label.generation, is_running=True
        )

    def is_past(self, delivery: Delivery, label: Label) -> bool:
        """Return whether a delivery is to be removed unrun.

        Either the task has ended, or another message of the same attempt is running:
        a message whose worker died says that it is delivered again; one that does not
        say so, of an attempt that has begun, was published twice.
        """
        is_same = (self.attempt, self.generation) == (label.attempt, label.generation)
        return self.has_ended or (self.is_running and is_same and not delivery.redelivered)


class Records:
    """The task records, and what is to be written to them.

    Args:
        ttl: How long a record is kept after its task has ended, where the producer did not say.
    """

    def __init__(self, results: Results, *, ttl: timedelta, clock: Clock) -> None:
        self.results = results
        self._ttl = ttl
        self._clock = clock

    def claim(self, delivery: Delivery, label: Label, *, fence: int, owner: str) -> Start:
        """Return the note that ``owner`` holds a message."""
        return Start(
            task_id=label.task_id,
            token=delivery.token,
            fence=fence,
            attempt=label.attempt,
            deliveries=delivery.deliveries,
            worker=owner,
            queue=delivery.queue,
            name=label.task,
            at=self._clock.wall(),
            ttl=self._ttl,
        )

    def ending(self, claim: Start, settlement: Complete | Bury) -> Ending:
        """Return the settlement's ending; one is made where it has none, since the claim made a record."""
        if settlement.ending is not None:
            return settlement.ending
        # Only a burial has a reason; its absence is a completion.
        reason, detail = getattr(settlement, "reason", None), getattr(settlement, "detail", "")
        return Ending(
            task_id=claim.task_id,
            state=TaskState.SUCCEEDED if reason is None else TaskState.FAILED,
            token=claim.token,
            fence=claim.fence,
            attempt=claim.attempt,
            deliveries=claim.deliveries,
            worker=claim.worker,
            queue=claim.queue,
            name=claim.name,
            finished_at=self._clock.wall(),
            ttl=self._ttl,
            error=None if reason is None else ErrorInfo(type="stem.Refusal", message=f"{reason}: {detail}"),
        )

    def retry(self, claim: Start, settlement: Reschedule) -> RetryNote:
        """Return the note that the claimed attempt failed and another follows."""
        now = self._clock.wall()
        return RetryNote(
            task_id=claim.task_id,
            token=claim.token,
            fence=claim.fence,
            attempt=settlement.attempt - 1,
            deliveries=claim.deliveries,
            worker=claim.worker,
            at=now,
            retry_at=now,
            error=settlement.error,
        )

    def end(
        self,
        ids: Collection[str],
        state: TaskState,
        *,
        errors: Mapping[str, ErrorInfo],
        generation: Mapping[str, int],
    ) -> None:
        """End the records of messages that nobody holds.

        Passed over are tasks that have no record, or have ended.

        Args:
            errors: By task id.
            generation: By task id: what the message was of; a record of a later one has outlived it.
                A task that is not named is ended whatever its generation.
        """
        records = self.results.get(ids)
        now = self._clock.wall()
        endings = [
            Ending(
                task_id=record.id,
                state=state,
                # Above every delivery, and no delivery's token: nobody may write after this.
                token=f"store-{record.fence + 1}",
                fence=record.fence + 1,
                attempt=record.attempt,
                deliveries=record.deliveries,
                worker=record.worker,
                queue=record.queue,
                name=record.name,
                finished_at=now,
                ttl=self._ttl,
                error=errors.get(record.id),
            )
            for record in records.values()
            if not record.state.is_terminal
            and generation.get(record.id, record.generation) == record.generation
        ]
        if endings:
            self.results.finish(endings)

    def withdraw(self, ids: Collection[str], *, reason: str) -> None:
        """Delete the records of messages that were never sent."""
        error = ErrorInfo(type="stem.errors.NotEncodableError", message=reason)
        self.end(ids, TaskState.CANCELLED, errors=dict.fromkeys(ids, error), generation={})
        self.results.forget(ids)


def fenced(delivery: Delivery, claim: Start) -> Delivery:
    """Return the delivery with the fence under which it was claimed."""
    return replace(delivery, fence=claim.fence)
