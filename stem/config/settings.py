"""Every setting, declared once."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from stem.config.kinds import FLAG, NAMES, NAMESPACE, QUEUE, URL, choice, duration, whole
from stem.security.masking import mask_mapping

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from stem.config.kinds import Kind

Pool: TypeAlias = Literal["prefork", "threads", "asyncio", "solo"]
LogLevel: TypeAlias = Literal["debug", "info", "warning", "error"]


def setting(default: Any, kind: Kind, *, help: str, none: str = "") -> Any:
    """Declare a setting.

    Args:
        default: Its value when no source gives one.
        kind: What fits.
        help: One sentence or two on what it is for.
        none: What None stands for; "" when None does not fit.
    """
    return field(default=default, metadata={"kind": kind, "help": help, "none": none})


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Settings:
    """The value of every setting.

    `stem.config.sources.resolve` makes checked ones; the constructor checks nothing.
    """

    broker_url: str = setting("sqlite:///stem.db", URL, help="Where messages are kept.")
    result_backend_url: str | None = setting(
        None,
        URL,
        none="the broker's database",
        help="Where task records, heartbeats and dead letters are kept.",
    )
    schedule_store_url: str | None = setting(
        None, URL, none="the broker's database", help="Where schedules are kept."
    )
    revoke_store_url: str | None = setting(
        None, URL, none="the broker's database", help="Where revocations are kept."
    )
    namespace: str = setting(
        "stem", NAMESPACE, help="Keeps several applications in one database apart. Prefixes tables and keys."
    )
    default_queue: str = setting("default", QUEUE, help="The queue of tasks that name none.")
    lease_duration: timedelta = setting(
        timedelta(seconds=30),
        duration(),
        help="How long a worker holds a message without a renewal. The tasks of a worker that died run "
        "again after this time at the latest.",
    )
    lease_renew_every: timedelta = setting(
        timedelta(seconds=10),
        duration(),
        help="How often a worker renews the leases that it holds; at most half of `lease_duration`.",
    )
    max_deliveries: int = setting(
        3,
        whole(at_least=1),
        help="How often one attempt may be delivered: a task whose worker dies that often is buried.",
    )
    max_retries: int | None = setting(
        3, whole(at_least=0), none="for ever", help="Attempts after the first one, for tasks that do not say."
    )
    retry_base: timedelta = setting(
        timedelta(seconds=1),
        duration(zero=True),
        help="The longest wait after the first failed attempt; doubled after each further one.",
    )
    retry_cap: timedelta = setting(
        timedelta(minutes=10), duration(zero=True), help="The longest wait after any failed attempt."
    )
    soft_time_limit: timedelta | None = setting(
        None,
        duration(),
        none="no limit",
        help="After this time a running task is told, by an exception in it.",
    )
    hard_time_limit: timedelta | None = setting(
        None, duration(), none="no limit", help="After this time a running task is killed."
    )
    result_ttl: timedelta = setting(
        timedelta(days=1), duration(), help="How long the record of a task that has ended is kept."
    )
    dead_letter_ttl: timedelta = setting(
        timedelta(days=14), duration(), help="How long a dead letter is kept."
    )
    revoke_ttl: timedelta = setting(
        timedelta(days=7), duration(), help="How long a revocation is remembered."
    )
    pool: Pool = setting(
        "prefork", choice("prefork", "threads", "asyncio", "solo"), help="How a worker runs tasks."
    )
    concurrency: int | None = setting(
        None, whole(at_least=1), none="the number of CPUs", help="How many tasks a worker runs at once."
    )
    max_tasks_per_child: int | None = setting(
        None,
        whole(at_least=1),
        none="no limit",
        help="After this many tasks a child process is replaced by a new one.",
    )
    heartbeat_every: timedelta = setting(
        timedelta(seconds=10), duration(), help="How often a worker says that it is alive."
    )
    shutdown_grace: timedelta = setting(
        timedelta(seconds=30),
        duration(zero=True),
        help="How long a worker that was told to stop waits for its running tasks.",
    )
    signals_enabled: bool = setting(True, FLAG, help="Whether signals are sent at all.")
    signals_disabled: tuple[str, ...] = setting((), NAMES, help="Signals that are not sent, by name.")
    log_level: LogLevel = setting(
        "info",
        choice("debug", "info", "warning", "error"),
        help="The least important events that are logged.",
    )

    def __repr__(self) -> str:
        shown = mask_mapping({name: getattr(self, name) for name in DECLARATIONS})
        return f"Settings({', '.join(f'{name}={value!r}' for name, value in shown.items())})"

    def conflicts(self) -> Iterator[Conflict]:
        """Yield where two settings do not fit together."""
        if self.lease_renew_every * 2 > self.lease_duration:
            # so that the failure of a single renewal is survived
            yield Conflict(
                setting="lease_renew_every", other="lease_duration", expected="at most half of lease_duration"
            )
        if self.soft_time_limit and self.hard_time_limit and self.soft_time_limit > self.hard_time_limit:
            yield Conflict(
                setting="soft_time_limit", other="hard_time_limit", expected="at most hard_time_limit"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Conflict:
    """A setting that does not fit to another one.

    Attributes:
        setting, other: The names of both.
        expected: Completes the sentence "expected …".
    """

    setting: str
    other: str
    expected: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Declaration:
    """What is known about a setting.

    Attributes:
        none: What None stands for; "" when None does not fit.
    """

    name: str
    kind: Kind
    default: object
    help: str
    none: str

    @property
    def variable(self) -> str:
        """The environment variable that sets it."""
        return f"STEM_{self.name.upper()}"

    @property
    def expected(self) -> str:
        """What fits; completes the sentence "expected …"."""
        return f"{self.kind.expected}, or none for {self.none}" if self.none else self.kind.expected

    def write(self, value: object) -> str:
        """Return ``value`` as it is written in the environment."""
        return "none" if value is None else self.kind.write(value)


DECLARATIONS: Final[Mapping[str, Declaration]] = {
    one.name: Declaration(name=one.name, default=one.default, **one.metadata) for one in fields(Settings)
}
"""Every setting, by name, in the order of the reference."""

OTHER_VARIABLES: Final[Mapping[str, str]] = {
    "STEM_APP": "The application of commands that are given no `-A`, `module:attribute`.",
}
"""Environment variables that are Stem's and no settings, by name."""
