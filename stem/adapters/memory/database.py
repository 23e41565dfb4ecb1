"""The data that several stacks of one process share."""

from __future__ import annotations

from threading import Event, Lock
from typing import TYPE_CHECKING
from weakref import WeakSet

from stem.adapters.memory.burials import Burials
from stem.adapters.memory.messages import Messages
from stem.adapters.memory.records import Records
from stem.codecs import read_label

if TYPE_CHECKING:
    from datetime import datetime

    from stem.ports.broker import Publication
    from stem.ports.heartbeats import Heartbeat
    from stem.ports.revokes import Revocation


class Database:
    """One lock and what it guards. Hold it for a whole transition: that is what makes it atomic.

    Attributes:
        heartbeats: By worker id, each with the time from which it no longer counts.
        revocations: By task id.
        listeners: Set when there may be something to lease. A source that is
            dropped without being closed leaves by itself.
    """

    def __init__(self) -> None:
        self.lock = Lock()
        self.messages = Messages()
        self.records = Records()
        self.burials = Burials()
        self.heartbeats: dict[str, tuple[Heartbeat, datetime]] = {}
        self.revocations: dict[str, Revocation] = {}
        self.listeners: WeakSet[Event] = WeakSet()

    def publish(self, publication: Publication, payload: str, now: datetime) -> bool:
        """Store a message and its record, unless its id is known.

        Args:
            payload: The publication's message in its transport form.
        """
        label = read_label(publication.message)
        if label.task_id and (label.task_id in self.records.entries or self.messages.is_live(label.task_id)):
            return False
        if publication.task is not None:
            self.records.add(publication.task, now)
        self.messages.add(
            payload,
            label,
            queue=publication.queue,
            priority=publication.priority,
            due=publication.due,
            now=now,
        )
        return True

    def tell_listeners(self) -> None:
        """Let waiting sources look again."""
        for listener in self.listeners:
            listener.set()
