"""A worker core without processes: tests play children, courier and time."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, TypeVar

from stem import codecs, signals
from stem.message import Arguments, Delivery, Envelope, ErrorInfo
from stem.states import DeadReason
from stem.worker.core import WorkerCore
from stem.worker.effects import Drain, Effect, Grant, Kill, Note, Run, Settle, Spawn, Tell
from stem.worker.holdings import Arrival, ChildEnd, Moment, Stopping
from stem.worker.outcome import GaveUp, Succeeded
from stem.worker.verdicts import Verdicts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stem.message import Refusal
    from stem.ports.broker import Settlement
    from stem.ports.revokes import Revocation
    from stem.worker.outcome import Outcome

E = TypeVar("E")
START = datetime(2026, 1, 1, tzinfo=UTC)
SUCCEEDED = Succeeded(result="1")
FAILED = GaveUp(reason=DeadReason.TASK_FAILED, error=ErrorInfo(type="builtins.ValueError", message="no"))


@dataclass
class Facts:
    names: set[str] = field(default_factory=lambda: {"t.add"})
    soft_s: float | None = None
    hard_s: float | None = None

    def knows(self, name: str) -> bool:
        return name in self.names

    def limits_s(self, envelope: Envelope) -> tuple[float | None, float | None]:
        return self.soft_s, self.hard_s


class World:
    """Drives a core and remembers every effect."""

    def __init__(
        self,
        *,
        children: int = 1,
        slots: int = 1,
        max_tasks: int | None = None,
        facts: Facts | None = None,
        send_ahead: bool = False,
    ) -> None:
        self.core = WorkerCore(
            verdicts=Verdicts(
                worker=signals.WorkerInfo(id="w@h", queues=("default",), inflight=0),
                result_ttl=timedelta(days=1),
                max_deliveries=3,
            ),
            facts=facts or Facts(),
            children=children,
            grace_s=10.0,
            max_tasks_per_child=max_tasks,
            send_ahead=send_ahead,
        )
        self.now_s = 100.0
        self.effects: list[Effect] = []
        self._deliveries = 0
        self._children = 0
        self.took(self.core.start())
        for _ in range(children):
            self.child_up(slots)

    @property
    def now(self) -> Moment:
        return Moment(self.now_s, START + timedelta(seconds=self.now_s))

    def took(self, effects: Sequence[Effect]) -> None:
        self.effects += [*effects, *self.core.next(self.now)]

    def child_up(self, slots: int = 1) -> int:
        self._children += 1
        self.core.child_starting(self._children)
        self.core.child_ready(self._children, slots)
        self.took([])
        return self._children

    def all(self, kind: type[E]) -> list[E]:
        return [effect for effect in self.effects if isinstance(effect, kind)]

    def settlements(self) -> list[Settlement]:
        return [settle.settlement for settle in self.all(Settle)]

    @property
    def credits(self) -> int:
        return sum(grant.credits for grant in self.all(Grant))

    def delivery(self, *, deliveries: int = 1, **envelope: object) -> Delivery:
        self._deliveries += 1
        fields: dict[str, object] = {
            "id": f"id-{self._deliveries}",
            "name": "t.add",
            "sent_at": START,
            **envelope,
        }
        message = codecs.encode(Envelope(**fields), Arguments())  # type: ignore[arg-type]
        return Delivery(
            token=f"token-{self._deliveries}", queue="default", content=message, deliveries=deliveries
        )

    def arrive(
        self,
        delivery: Delivery | None = None,
        *,
        refusal: Refusal | None = None,
        revocation: Revocation | None = None,
    ) -> Delivery:
        delivery = delivery or self.delivery()
        envelope = refusal or codecs.read_envelope(delivery.content, queue="default")  # type: ignore[arg-type]
        arrival = Arrival(delivery=delivery, envelope=envelope, revocation=revocation)
        self.took(self.core.arrived([arrival], self.now))
        return delivery

    @property
    def last_key(self) -> int:
        return self.all(Run)[-1].job.key

    def finish(self, outcome: Outcome, *, key: int | None = None, runtime_s: float = 0.01) -> None:
        self.took(self.core.done(self.last_key if key is None else key, outcome, runtime_s, self.now))

    def die(self, child: int = 1, *, exit_code: int | None = -9) -> None:
        self.took(self.core.child_gone(child, ChildEnd(exit_code=exit_code), self.now))

    def lose(self, delivery: Delivery) -> None:
        self.took(self.core.lost([delivery.token]))

    def pass_time(self, seconds: float) -> None:
        self.now_s += seconds
        self.took(self.core.tick(self.now))

    def stop(self, how: Stopping) -> None:
        self.took(self.core.stop(how, self.now))


__all__ = ["Drain", "Kill", "Note", "Run", "Spawn", "Stopping", "Tell", "World"]
