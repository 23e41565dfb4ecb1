"""Where messages lie that will not be tried again by themselves."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from datetime import datetime, timedelta

    from stem.states import DeadReason


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """One buried message.

    Attributes:
        id: Of this entry, unique in the store.
        task_id: "" when the message did not tell.
        task: The task's name, "" when the message did not tell.
        attempt: The last attempt, from 1; 0 when the message did not tell.
        generation: How often the task had been replayed before, from 0.
        payload: The message in its transport form, as it was received.
        facts: What else is known; JSON values.
        replayed_at: When it was put back; None while it lies here.
    """

    id: str
    queue: str
    task_id: str
    task: str
    reason: DeadReason
    detail: str
    attempt: int
    deliveries: int
    generation: int
    dead_at: datetime
    payload: bytes
    facts: dict[str, object] = field(default_factory=dict[str, object])
    replayed_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetterQuery:
    """Which dead letters are meant; None fields do not restrict.

    Attributes:
        ids: Entry ids or task ids.
        since, until: Bounds of ``dead_at``; since is included, until is not.
        replayed: Whether to include entries that were put back already.
    """

    queue: str | None = None
    task: str | None = None
    reason: DeadReason | None = None
    ids: Collection[str] | None = None
    since: datetime | None = None
    until: datetime | None = None
    replayed: bool = False


class DeadLetterOutlet(Protocol):
    """Messages that a broker gave up by itself, on their way into a `DeadLetters`. Any thread.

    Whoever empties it keeps them first and drops them then; what was not dropped is taken again.
    """

    def take(self, *, limit: int) -> list[DeadLetter]:
        """Return up to ``limit`` of them; each has the same id whenever it is taken."""
        ...

    def drop(self, ids: Collection[str]) -> None:
        """Forget what was kept elsewhere."""
        ...


class DeadLetters(Protocol):
    """Keeps buried messages. Any thread.

    Guarantees, each checked by `stem.testing.contracts.deadletters`:

    D1. A buried message is here once, with its bytes.
    D2. `replay` puts each entry back once, however many call it at the same time, and in one step.
    D3. A replayed task starts with attempt 1 and generation + 1; its entry stays as history, marked.
    D4. A replayed task's record is ``queued`` again, and takes nothing more from earlier deliveries.
    D5. Pages are newest first and neither repeat nor skip an entry that stays in place while paging.
    D6. `purge` removes exactly what the query matches, and says how many.
    D7. `add` keeps each entry once by its id, replayed ones too, however often it is added.
    """

    def add(self, entries: Sequence[DeadLetter]) -> list[bool]:
        """Keep messages that another database gave up; for each, in order, whether it was new.

        Args:
            entries: Their ids are made by the caller, the same on every try: not digits
                alone, 1 to 255 characters. ``dead_at`` and ``replayed_at`` are the
                store's to say and are ignored.
        """
        ...

    def page(
        self, query: DeadLetterQuery, *, cursor: str | None = None, limit: int = 50
    ) -> tuple[list[DeadLetter], str | None]:
        """Return a page of entries, last buried first, and the cursor of the next page.

        Raises:
            ConfigurationError: The cursor is not one of this method's.
        """
        ...

    def count(self, query: DeadLetterQuery) -> int:
        """Return how many entries the query matches."""
        ...

    def replay(
        self, query: DeadLetterQuery, *, limit: int, delay: timedelta | None = None
    ) -> list[DeadLetter]:
        """Put up to ``limit`` entries back into their queues, oldest first; return them.

        Passed over are entries that were replayed already, whose message cannot be read or names no
        task (``task_id`` is ""), whose task is live again, and whose task's record is of a later
        generation. The message gets its new attempt and generation from `stem.codecs.replayed`.
        """
        ...

    def purge(self, query: DeadLetterQuery, *, limit: int | None = None) -> int:
        """Delete entries, oldest first; return how many."""
        ...

    def close(self) -> None:
        """Free connections. May be called twice."""
        ...
