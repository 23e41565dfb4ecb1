"""Publishing where records and messages lie in different databases."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from stem.codecs import dumps, read_label
from stem.errors import NotEncodableError
from stem.states import TaskState
from stem.two_stores.source import TwoStoreSource

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from stem.clock import Clock
    from stem.ports.broker import Broker, Capabilities, Publication, QueueAdmin, Reclaimed
    from stem.ports.deadletters import DeadLetters
    from stem.ports.results import TaskRecord
    from stem.two_stores.forwarding import Forwarder
    from stem.two_stores.outlet import Drain
    from stem.two_stores.records import Records


class TwoStoreBroker:
    """A broker whose task records and dead letters lie in another database.

    Args:
        pauses: Where it is kept which queues are paused.
    """

    def __init__(
        self,
        broker: Broker,
        *,
        records: Records,
        dead_letters: DeadLetters,
        pauses: QueueAdmin,
        forwarder: Forwarder,
        drain: Drain,
        clock: Clock,
    ) -> None:
        self.inner = broker
        self.records = records
        self.dead_letters = dead_letters
        self.pauses = pauses
        self.forwarder = forwarder
        self.drain = drain
        self.clock = clock

    @property
    def capabilities(self) -> Capabilities:
        """The broker's, without the records."""
        return replace(self.inner.capabilities, atomic_results=False)

    @property
    def address(self) -> str:
        """The broker's URL, secrets masked."""
        return self.inner.address

    def publish(self, publications: Sequence[Publication]) -> list[bool]:
        """Write the records, then the messages."""
        if not publications:
            return []
        for publication in publications:
            # Before the first record: a message that cannot be sent must leave none.
            dumps([publication.message.headers, publication.message.properties], what="the headers")
        wanted = self._wanted(publications)
        sending = [
            replace(publication, task=None)
            for publication, is_wanted in zip(publications, wanted, strict=True)
            if is_wanted
        ]
        sent = iter(self._send(sending) if sending else [])
        return [is_wanted and next(sent) for is_wanted in wanted]

    def _send(self, publications: Sequence[Publication]) -> list[bool]:
        try:
            return self.inner.publish(publications)
        except NotEncodableError as error:
            # What has a form in JSON may have none in the broker's own. Nothing was sent.
            ids = [read_label(publication.message).task_id for publication in publications]
            self.records.withdraw(ids, reason=str(error))
            raise

    def _wanted(self, publications: Sequence[Publication]) -> list[bool]:
        """Return which messages their records let out; those that have none get one."""
        ids = [read_label(publication.message).task_id for publication in publications]
        tasks = [publication.task for publication in publications if publication.task is not None]
        added = set[str]()
        if tasks:
            answers = self.records.results.add(tasks)
            added = {task.id for task, is_new in zip(tasks, answers, strict=True) if is_new}
        older = {task_id for task_id in ids if task_id and task_id not in added}
        records = self.records.results.get(older) if older else {}
        seen = set[str]()
        wanted: list[bool] = []
        for task_id in ids:
            wanted.append(task_id not in seen and _lets_out(records.get(task_id)))
            seen |= {task_id} - {""}
        return wanted

    def source(self, *, owner: str) -> TwoStoreSource:
        """Return a new source for the worker ``owner``."""
        return TwoStoreSource(self, owner=owner)

    def reclaim(self, *, limit: int, max_deliveries: int) -> list[Reclaimed]:
        """Take away leases that have lapsed, and move what the broker gave up into the dead letters."""
        reclaimed = self.inner.reclaim(limit=limit, max_deliveries=max_deliveries)
        self.drain.empty()
        self.forwarder.forward_if_due()
        return reclaimed

    def close(self) -> None:
        """Free the connections. May be called twice."""
        self.inner.close()


def _lets_out(record: TaskRecord | None) -> bool:
    # A record that was never claimed may have lost its message in a crash. One
    # that was claimed has a message, or has ended.
    return record is None or (record.state is TaskState.QUEUED and record.fence == 0)


if TYPE_CHECKING:
    _: Callable[..., Broker] = TwoStoreBroker
