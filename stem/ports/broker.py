"""Where messages are kept: publish, lease, settle.

The lease state machine (n is the store's own time, t a token, L a duration):

    from            operation           guard                        to
    –               publish             id not seen                  ready | delayed
    ready           lease               queue not paused             leased(new t, n + L, deliveries + 1)
    delayed         time passes         due ≤ n                      ready
    leased          reclaim             until ≤ n, deliveries < max  ready
    leased          reclaim             until ≤ n, deliveries ≥ max  dead(worker-lost)
    leased          renew               t current, until > n         leased(until n + L)
    leased          Complete            t current, until > n         gone
    leased          Release             t current, until > n         ready | delayed
    leased          Reschedule          t current, until > n         delayed(attempt + 1, deliveries 0)
    leased          Bury                t current, until > n         dead(reason)
    any             with another token  –                            nothing changes
    ready, delayed  cancel              –                            gone, state cancelled
    dead            replay(generation)  generation current           ready(attempt 1, generation + 1)

A lease that has lapsed stays in its place, ``leased``, until `Broker.reclaim` takes it. A message keeps
its queue and its priority for life, and its token dies with the lease, whatever ended it.

With ``atomic_results`` the task's record follows its message in the same step, by the rules of
`stem.ports.results.Results`: release and reclaim turn a running record back to ``queued``, Reschedule
makes it ``retrying``, an Ending ends it. Where those rules refuse the write, because the record has
ended or has seen a higher fence, the record stays and the message moves all the same.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from enum import IntEnum
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from datetime import datetime

    from stem.message import Delivery, ErrorInfo, Message
    from stem.ports.results import Ending, NewTask
    from stem.states import DeadReason

QueueState: TypeAlias = Literal["ready", "delayed", "leased"]

NOW = timedelta(0)


class Level(IntEnum):
    """How a broker comes by a capability."""

    NONE = 0
    EMULATED = 1
    NATIVE = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What a broker can do, and how.

    Attributes:
        atomic_results: Whether publish and settle write task records in the
            same atomic step, because broker and result store are one database.
        loss_window: When a message can be lost in spite of its lease, for a
            person; None when it cannot.
    """

    renewal: Level = Level.NATIVE
    fencing: Level = Level.NATIVE
    delivery_count: Level = Level.NATIVE
    delayed: Level = Level.NATIVE
    dead_letters: Level = Level.NATIVE
    priority: Level = Level.NATIVE
    depth: Level = Level.NATIVE
    browse: Level = Level.NATIVE
    cancel_pending: Level = Level.NATIVE
    atomic_results: bool = False
    loss_window: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Publication:
    """One message to be published.

    Attributes:
        message: What to publish.
        queue: Where to.
        priority: 0 to 9; a higher number is leased first.
        due: Not to be leased before: a duration counts from the store's now,
            a date is compared with the store's clock.
        task: The task's record, written ``queued`` in the same step where the
            broker's capabilities say ``atomic_results``, ignored elsewhere. None
            for messages that get no record before they are started.
    """

    message: Message
    queue: str
    priority: int = 0
    due: timedelta | datetime = NOW
    task: NewTask | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Complete:
    """The task has ended well, or was cancelled: remove its message.

    Attributes:
        ending: The record's last state; None for messages that have no record.
        successors: Published in the same step, under ids that are the same on every try;
            one whose id is known already is passed over.
    """

    token: str
    ending: Ending | None = None
    successors: tuple[Publication, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """Give the message back for the same attempt.

    Attributes:
        due: Not to be leased again before; see `Publication.due`.
        counted: Whether this delivery counts towards the limit. False for
            messages that were never started.
    """

    token: str
    due: timedelta | datetime = NOW
    counted: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Reschedule:
    """The attempt failed; replace the message by the next attempt's.

    Attributes:
        message: The next attempt's message.
        attempt: Its number, from 2; the one before it failed.
        error: What the failed attempt ended with, for the record and its timeline.
    """

    token: str
    message: Message
    attempt: int
    due: timedelta | datetime
    error: ErrorInfo | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Bury:
    """Move the message to the dead letters.

    Attributes:
        reason: Machine-readable.
        detail: For a person, one line.
        task_id: "" when the message does not tell.
        task: The task's name, "" when the message does not tell.
        attempt: From 1; 0 when the message does not tell.
        ending: The record's last state; None for messages that have no record.
        facts: What else is known (``exit_code``, ``signal``, ``rss_bytes`` …); JSON values.
    """

    token: str
    reason: DeadReason
    detail: str
    task_id: str = ""
    task: str = ""
    attempt: int = 0
    ending: Ending | None = None
    facts: dict[str, object] = field(default_factory=dict[str, object])


Settlement: TypeAlias = Complete | Release | Reschedule | Bury


@dataclass(frozen=True, slots=True, kw_only=True)
class Reclaimed:
    """A lease that had lapsed and was taken away from its holder.

    Attributes:
        buried: True: it was delivered too often and lies in the dead letters.
            False: it is ready again.
        owner: The worker that had held it.
    """

    task_id: str
    task: str
    queue: str
    deliveries: int
    owner: str
    buried: bool


class LeaseSource(Protocol):
    """Leases messages for one worker. Owned by one thread; only `wake` may be called from others.

    Guarantees, each checked by `stem.testing.contracts.broker`:

    L1. A message is in exactly one place: ready, delayed, leased, dead or gone.
    L2. At most one unexpired lease exists per message; two sources never share one.
    L3. Every delivery has a token of its own, and a fence above that of every earlier delivery with the
        same task id: of the message, and of one that was replayed or published again under that id.
    L4. A token that is not current, or whose lease has lapsed, changes nothing, and the caller is told.
    L5. Leases lapse by the store's clock, never by a worker's.
    L6. A delayed message is never leased early.
    L7. Each settlement is one atomic step, with the task's record where `atomic_results` says so;
        one that is refused does not hinder its neighbours in the batch.
    L8. Within one queue a higher priority is leased first, then the older message; among messages
        that were delayed, or leased before, the order is open.
    L9. Settling twice with one token succeeds once.
    """

    def lease(self, queues: Sequence[str], *, limit: int, duration: timedelta) -> list[Delivery]:
        """Take up to ``limit`` ready messages, the first named queue's first.

        Args:
            queues: Names; a paused queue gives nothing.
            limit: At least 1.
            duration: How long the leases hold without a renewal, above 0.

        Raises:
            StoreError: The store cannot answer; nothing was taken, or what
                was taken lapses.
        """
        ...

    def wait(self, timeout_s: float) -> None:
        """Block until there may be something to lease, `wake` is called, or ``timeout_s`` pass."""
        ...

    def wake(self) -> None:
        """End a `wait` that is under way, or the next one. Any thread; never blocks."""
        ...

    def settle(self, settlements: Sequence[Settlement]) -> list[bool]:
        """Carry out each settlement whose token is current.

        Returns:
            For each settlement, in order, whether the lease was still held. False
            means that nothing was changed.

        Raises:
            StoreError: Unknown for all of them; asking again with the same
                settlements is safe.
        """
        ...

    def renew(self, tokens: Collection[str], *, duration: timedelta) -> set[str]:
        """Let each lease hold for ``duration`` from now.

        Returns:
            The tokens whose lease is lost.
        """
        ...

    def close(self) -> None:
        """Free the connection. Leases that are still held lapse by themselves. May be called twice."""
        ...


class Intake(Protocol):
    """Takes messages in; see `Broker.publish`."""

    def publish(self, publications: Sequence[Publication]) -> list[bool]:
        """Store each message; for each, in order, False when its task id was known already."""
        ...


@runtime_checkable
class TransactionalBroker(Protocol):
    """A broker that can publish within a transaction of the application's own."""

    def publish_in(self, connection: object, publications: Sequence[Publication]) -> list[bool]:
        """Store messages and records within a transaction; rolled back, they were never there.

        Args:
            connection: A SQLAlchemy ``Connection`` or ``Session`` on the broker's own database.
                Its transaction is begun if need be, and never ended here.

        Returns:
            For each, in order, False when its task id was known already and nothing was stored.

        Raises:
            ConfigurationError: The connection reaches another database, or has no transactions.
            StoreError: Nothing was stored; the transaction has to be rolled back.
        """
        ...


class Broker(Protocol):
    """Takes messages in and hands out sources. Any thread.

    Guarantees, each checked by `stem.testing.contracts.broker`:

    B1. When `publish` has returned True for a message, it survives what the store survives.
    B2. A message whose task id is live (ready, delayed or leased) is not published again: False; with
        `atomic_results`, neither is one whose id has a record. Of two in one call the first counts.
        Messages without an id are always published.
    B3. With `atomic_results`, message and record are written together or not at all.
    B4. Messages of one queue and priority are leased in the order of publishing.
    B5. `reclaim` hands each lapsed lease on once, however many processes call it.
    B6. A message that was delivered ``max_deliveries`` times is buried by `reclaim`, once.
    """

    @property
    def capabilities(self) -> Capabilities:
        """What this broker can do."""
        ...

    @property
    def address(self) -> str:
        """The URL, secrets masked."""
        ...

    def publish(self, publications: Sequence[Publication]) -> list[bool]:
        """Store each message.

        Returns:
            For each, in order, False when its task id was known already and nothing was stored.

        Raises:
            StoreError: Nothing was stored, or it is unknown; asking again with the same ids is safe.
        """
        ...

    def source(self, *, owner: str) -> LeaseSource:
        """Return a new source for the worker ``owner``; it connects by its first call."""
        ...

    def reclaim(self, *, limit: int, max_deliveries: int) -> list[Reclaimed]:
        """Take away up to ``limit`` leases that have lapsed.

        Args:
            limit: At least 1.
            max_deliveries: From this many deliveries on, a message is buried as
                ``worker-lost`` and its record becomes ``failed`` by a `WorkerLostError`; at least 1.
        """
        ...

    def close(self) -> None:
        """Free connections. May be called twice."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueStats:
    """How full a queue is.

    Attributes:
        dead: Dead letters that were not replayed.
        oldest_age_s: Seconds since the oldest ready message was published, or was due if that was
            later, by the store's clock; None when none is ready.
    """

    queue: str
    ready: int
    delayed: int
    leased: int
    dead: int
    oldest_age_s: float | None
    paused: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingMessage:
    """A message in a queue, as an operator sees it.

    Attributes:
        at: When it is due (delayed), when its lease lapses (leased), when it was published (ready).
        owner: The worker that holds it, "" unless leased.
    """

    task_id: str
    task: str
    queue: str
    state: QueueState
    priority: int
    attempt: int
    deliveries: int
    at: datetime
    owner: str


class QueueAdmin(Protocol):
    """Looks into queues and changes them, for operators. Any thread.

    Guarantees, each checked by `stem.testing.contracts.queues`:

    Q1. `stats` counts add up to what was published and not settled.
    Q2. `purge` and `cancel` spare leased messages.
    Q3. `cancel` removes a waiting message and sets its record to ``cancelled`` in one step.
    Q4. Nothing is leased from a paused queue; what is leased already goes on.
    Q5. Pages neither repeat nor skip a message that stays in place while paging.
    """

    def queues(self) -> list[str]:
        """Return every queue that holds, or has held, a message, sorted."""
        ...

    def stats(self, queues: Collection[str] | None = None) -> list[QueueStats]:
        """Return how full each queue is, sorted by name; None asks for all.

        A named queue that was never used is all zeros. A delayed message counts as ready
        from the moment it is due; a lapsed lease counts as leased until it is reclaimed.
        """
        ...

    def browse(
        self, queue: str, *, state: QueueState | None = None, cursor: str | None = None, limit: int = 50
    ) -> tuple[list[PendingMessage], str | None]:
        """Return a page of the messages of ``queue``, oldest first, and the cursor of the next one.

        Args:
            state: Only messages in this state; None is all.
            cursor: From the page before; None is the first page.
            limit: 1 to 1,000.

        Raises:
            ConfigurationError: The cursor is not one of this method's.
        """
        ...

    def purge(self, queue: str) -> int:
        """Remove what is ready or delayed; return how many messages. Their records become cancelled."""
        ...

    def cancel(self, task_ids: Collection[str], *, reason: str) -> set[str]:
        """Remove waiting messages of these tasks; return the ids that were removed.

        Args:
            reason: For the records' timelines.
        """
        ...

    def pause(self, queue: str) -> None:
        """Stop leasing from ``queue`` until `resume`."""
        ...

    def resume(self, queue: str) -> None:
        """Lease from ``queue`` again."""
        ...
