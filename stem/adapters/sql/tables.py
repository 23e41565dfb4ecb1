"""Everything that writes within a transaction, together; and publishing, which needs most of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stem.adapters.sql.burials import Burials
from stem.adapters.sql.messages import Messages, publication_row
from stem.adapters.sql.records import Records
from stem.codecs import read_label

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stem.adapters.sql.database import Database, Transaction
    from stem.ports.broker import Publication
    from stem.ports.results import NewTask


class Tables:
    """The statements about one namespace's tables. Any thread: they are made once and then only read."""

    def __init__(self, database: Database) -> None:
        self.messages = Messages(database.schema, database.dialect)
        self.records = Records(database.schema, database.dialect)
        self.burials = Burials(database.schema, database.dialect)

    def publish(self, transaction: Transaction, publications: Sequence[Publication]) -> list[bool]:
        """Store messages and their records; for each, whether its task was not known yet (B2, B3)."""
        labels = [read_label(publication.message) for publication in publications]
        ids = [
            publication.task.id if publication.task else label.task_id
            for publication, label in zip(publications, labels, strict=True)
        ]
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
        self.messages.add(transaction, rows)
        self.records.insert(transaction, tasks)
        return answers
