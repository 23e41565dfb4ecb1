"""Everything that writes within a transaction, together; and publishing, which needs most of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stem.adapters.sql.burials import Burials, lost
from stem.adapters.sql.messages import Messages, given_back, publication_row
from stem.adapters.sql.records import Records
from stem.codecs import read_label
from stem.ports.broker import NOW

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from stem.adapters.sql.database import Database, Transaction
    from stem.adapters.sql.messages import Held
    from stem.message import ErrorInfo
    from stem.ports.broker import Publication
    from stem.ports.results import NewTask
    from stem.states import DeadReason


class Tables:
    """The statements about one namespace's tables. Any thread: they are made once and then only read."""

    def __init__(self, database: Database) -> None:
        self.messages = Messages(database.schema, database.dialect)
        self.records = Records(database.schema, database.dialect)
        self.burials = Burials(database.schema, database.dialect)
        self._dialect = database.dialect

    def publish(self, transaction: Transaction, publications: Sequence[Publication]) -> list[bool]:
        """Store messages and their records; for each, whether its task was not known yet (B2, B3)."""
        labels = [read_label(publication.message) for publication in publications]
        ids = [
            publication.task.id if publication.task else label.task_id
            for publication, label in zip(publications, labels, strict=True)
        ]
        self._dialect.reserve(transaction.connection, [task_id for task_id in ids if task_id])
        known = self.messages.known(transaction, [task_id for task_id in ids if task_id])
        rows: list[dict[str, Any]] = []
        tasks: list[NewTask] = []
        answers: list[bool] = []
        for publication, label, task_id in zip(publications, labels, ids, strict=True):
            answers.append(task_id not in known)
            if task_id in known:
                continue
            rows.append(publication_row(publication, label, now_us=transaction.now_us))
            if publication.task is not None:
                tasks.append(publication.task)
            if task_id:
                known.add(task_id)
        self.records.insert(transaction, tasks)
        self.messages.add(transaction, rows)
        return answers

    def bury(
        self,
        transaction: Transaction,
        messages: Sequence[Held],
        reason: DeadReason,
        error_of: Callable[[Held], ErrorInfo],
    ) -> None:
        """Bury leased messages on the store's own account, and end their records as ``failed``."""
        errors = [error_of(message) for message in messages]
        rows = [
            lost(message, reason, error.message, now_us=transaction.now_us)
            for message, error in zip(messages, errors, strict=True)
        ]
        self.burials.copy(transaction, rows)
        self.messages.remove(transaction, [message.id for message in messages])
        self.records.fail(transaction, messages, errors)

    def hand_on(self, transaction: Transaction, messages: Sequence[Held]) -> None:
        """Make messages ready again whose lease has lapsed, and their records ``queued``."""
        rows = [given_back(message.id, NOW, counted=True, now_us=transaction.now_us) for message in messages]
        self.messages.give_back(transaction, rows)
        transaction.bells.update(message.queue for message in messages)
        self.records.take_back(transaction, messages, reclaimed=True)

    def cancel(self, transaction: Transaction, messages: Sequence[Held], reason: str) -> None:
        """Remove waiting messages, and end their records as ``cancelled``."""
        self.messages.remove(transaction, [message.id for message in messages])
        self.records.cancel(transaction, messages, reason)
