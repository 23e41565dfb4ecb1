"""Add up what the stores say, and check every sum. Pure: evidence in, verdict out."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

from stem.cli.demo.ledger import read_count, redeliveries, retries
from stem.cli.demo.tasks import FAILURES
from stem.cli.demo.words import add_up, most_frequent
from stem.states import TERMINAL_STATES, DeadReason, TaskState

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime, timedelta

    from stem.cli.demo.ledger import Published, Role
    from stem.cli.demo.words import Found, Totals
    from stem.ports.broker import QueueStats
    from stem.ports.deadletters import DeadLetter
    from stem.ports.results import TaskRecord, TimelineEvent

_SHOWN: Final = 3
"""Of what is missing, so many are named."""

_SHOWN_WORDS: Final = 6

_CLOCK_STEP_S: Final = 0.002
"""What reading two clocks may differ by: SQLite's counts milliseconds."""

_EXPECTED_DEAD: Final = Counter({DeadReason.TASK_FAILED: 1, DeadReason.ENVELOPE_UNDECODABLE: 1})


@dataclass(frozen=True, slots=True, kw_only=True)
class Kill:
    """The child that was killed."""

    pid: int
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What a run left behind.

    Attributes:
        delay: How long one task was made to wait.
        records: By task id.
        timelines: By task id.
        queue: How full the queue is in the end.
        recount: What the demo's own process counted in the same files.
        kill: None when no child was killed.
        worker_exit_code: Negative for a signal.
        url: The database's, when it is kept; None when it is removed.
    """

    found: Found
    delay: timedelta
    published: Sequence[Published]
    records: Mapping[str, TaskRecord]
    timelines: Mapping[str, Sequence[TimelineEvent]]
    letters: Sequence[DeadLetter]
    queue: QueueStats
    recount: Totals
    kill: Kill | None
    worker_exit_code: int
    url: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One line of the summary.

    Attributes:
        name: What is checked.
        ok: Whether it adds up.
        says: The numbers, for a person.
    """

    name: str
    ok: bool
    says: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """What the run comes to.

    Attributes:
        numbers: For programs; JSON values.
        facts: Lines that have nothing to be checked, by name.
        url: See `Evidence`.
        redelivered_id: The task whose child was killed; "" when it was not published.
    """

    checks: tuple[Check, ...]
    facts: Mapping[str, str]
    numbers: Mapping[str, Any]
    url: str | None
    redelivered_id: str

    @property
    def ok(self) -> bool:
        """Whether everything adds up."""
        return all(check.ok for check in self.checks)

    @property
    def wrong(self) -> tuple[str, ...]:
        """The names of the lines that do not add up."""
        return tuple(check.name for check in self.checks if not check.ok)


def summarize(evidence: Evidence) -> Summary:
    """Return what the evidence comes to."""
    tally = _Tally(evidence)
    checks = (
        tally.files(),
        tally.words(),
        tally.tasks(),
        tally.retries(),
        tally.delay(),
        tally.redeliveries(),
        tally.dead_letters(),
        tally.duplicates(),
        tally.queue(),
        tally.worker(),
        tally.lost(),
    )
    at_risk = tally.task("at risk")
    return Summary(
        checks=checks,
        facts=tally.facts(),
        numbers=tally.numbers(),
        url=evidence.url,
        redelivered_id="" if at_risk is None else at_risk.id,
    )


class _Tally:
    """The sums, and what is to be said about each."""

    def __init__(self, evidence: Evidence) -> None:
        self._evidence = evidence
        self._records = evidence.records
        self._counts = [
            read_count(record)
            for task in evidence.published
            if task.path and (record := self._records.get(task.id)) and record.state is TaskState.SUCCEEDED
        ]
        self._totals = add_up(self._counts)
        self._skipped = Counter(one.skipped for one in self._counts if one.skipped)
        self._states = Counter(record.state for record in self._records.values())
        self._unfinished = [task for task in evidence.published if not self._has_ended(task)]
        self._more_ends = sum(max(_ends(events) - 1, 0) for events in evidence.timelines.values())
        self._lost = len(self._unfinished) + (not self._poison_is_kept())

    def _has_ended(self, task: Published) -> bool:
        record = self._records.get(task.id)
        return record is not None and record.state.is_terminal

    def _poison_is_kept(self) -> bool:
        return any(letter.reason is DeadReason.ENVELOPE_UNDECODABLE for letter in self._evidence.letters)

    def task(self, role: Role) -> Published | None:
        """Return the task of a role that occurs once."""
        return next((task for task in self._evidence.published if task.role == role), None)

    def _record(self, role: Role) -> TaskRecord | None:
        task = self.task(role)
        return None if task is None else self._records.get(task.id)

    # the lines

    def files(self) -> Check:
        found, counted, skipped = len(self._evidence.found.files), self._totals.files, self._totals.skipped
        why = ", ".join(f"{number:,} {reason}" for reason, number in self._skipped.most_common())
        return Check(
            name="files",
            ok=found == counted + skipped,
            says=f"{found:,} found = {counted:,} counted + {skipped:,} skipped"
            + (f" ({why})" if why else ""),
        )

    def words(self) -> Check:
        ours, theirs = self._evidence.recount, self._totals
        verdict = "counted twice, with the same result"
        if ours != theirs:
            verdict = f"counted again: {ours.words:,} in {ours.lines:,} lines of {ours.files:,} files"
        return Check(
            name="words", ok=ours == theirs, says=f"{theirs.words:,} in {theirs.lines:,} lines; {verdict}"
        )

    def tasks(self) -> Check:
        published = len(self._evidence.published)
        ended = published - len(self._unfinished)
        states = ", ".join(f"{self._states[state]:,} {state}" for state in TaskState if self._states[state])
        missing = ", ".join(self._standing(task) for task in self._unfinished[:_SHOWN])
        return Check(
            name="tasks",
            ok=not self._unfinished,
            says=f"{published:,} published, {ended:,} ended ({states})"
            + (f"; not ended: {missing}{' …' if len(self._unfinished) > _SHOWN else ''}" if missing else ""),
        )

    def _standing(self, task: Published) -> str:
        record = self._records.get(task.id)
        what = self._evidence.found.short(task.path) if task.path else task.role
        return f"{what} ({record.state if record else 'no record'})"

    def retries(self) -> Check:
        total = retries(self._records.values())
        flaky = self._record("flaky")
        ok = flaky is not None and flaky.state is TaskState.SUCCEEDED and self._failures(flaky) == FAILURES
        says = "the task that was to fail twice did not do so and then succeed"
        if ok and flaky is not None:
            says = f"{flaky.name} failed {FAILURES} times and succeeded at attempt {flaky.attempt}"
        return Check(name="retries", ok=ok and total == FAILURES, says=f"{total:,}: {says}")

    def _failures(self, record: TaskRecord) -> int:
        return sum(event.kind == "retrying" for event in self._evidence.timelines[record.id])

    def delay(self) -> Check:
        asked_s, waited_s = self._evidence.delay.total_seconds(), self._waited_s()
        if waited_s is None:
            return Check(name="delay", ok=False, says="the delayed task has not run")
        return Check(
            name="delay",
            ok=waited_s >= asked_s - _CLOCK_STEP_S,
            says=f"a task that was to wait {asked_s:g} s started after {waited_s:.2f} s",
        )

    def _waited_s(self) -> float | None:
        later = self._record("later")
        if later is None or later.started_at is None or later.state is not TaskState.SUCCEEDED:
            return None
        return (later.started_at - later.sent_at).total_seconds()

    def redeliveries(self) -> Check:
        total = redeliveries(self._records.values())
        kill, task, record = self._evidence.kill, self.task("at risk"), self._record("at risk")
        if kill is None or task is None or record is None:
            return Check(name="redeliveries", ok=False, says=f"{total:,}: no child was killed")
        ok = record.state is TaskState.SUCCEEDED and record.deliveries > 1
        after_s = (record.finished_at - kill.at).total_seconds() if record.finished_at else None
        ending = f"done {after_s:.2f} s later" if ok and after_s is not None else f"now {record.state}"
        return Check(
            name="redeliveries",
            ok=ok,
            says=f"{total:,}: process {kill.pid} was killed; "
            f"{self._evidence.found.short(task.path)} was delivered {record.deliveries} times, {ending}",
        )

    def dead_letters(self) -> Check:
        letters = self._evidence.letters
        named = ", ".join(
            f"{letter.task or 'a message that is no JSON'} ({letter.reason})" for letter in letters
        )
        return Check(
            name="dead letters",
            ok=Counter(letter.reason for letter in letters) == _EXPECTED_DEAD,
            says=f"{len(letters):,}" + (f": {named}" if named else ""),
        )

    def duplicates(self) -> Check:
        return Check(
            name="duplicates",
            ok=not self._more_ends,
            says=f"{self._more_ends:,} ends beside a task's first, in {len(self._records):,} timelines",
        )

    def queue(self) -> Check:
        queue = self._evidence.queue
        return Check(
            name="queue",
            ok=not queue.ready + queue.delayed + queue.leased,
            says=f"{queue.ready:,} ready, {queue.delayed:,} delayed, {queue.leased:,} leased",
        )

    def worker(self) -> Check:
        code = self._evidence.worker_exit_code
        return Check(name="worker", ok=code == 0, says=f"stopped, exit code {code}")

    def lost(self) -> Check:
        messages = len(self._evidence.published) + 1
        return Check(name="lost", ok=not self._lost, says=f"{self._lost:,} of {messages:,} messages")

    # beside them

    def _seconds(self) -> float:
        records = [self._records[task.id] for task in self._evidence.published if task.id in self._records]
        ends = [
            record.finished_at for record in records if record.finished_at and record.name != "demo.later"
        ]
        if not ends:
            return 0.0
        return (max(ends) - min(record.sent_at for record in records)).total_seconds()

    def _rate(self) -> float:
        seconds = self._seconds()
        # The delayed task waits by order; its time says nothing about speed.
        return (sum(self._states[state] for state in TERMINAL_STATES) - 1) / seconds if seconds > 0 else 0.0

    def facts(self) -> dict[str, str]:
        shown = most_frequent(self._counts)[:_SHOWN_WORDS]
        words = " · ".join(f"{word} {times:,}" for word, times in shown)
        return {
            "speed": f"{self._rate():,.0f} tasks per second, over {self._seconds():.1f} s",
            "top words": f"{words or 'none'} (of each file's ten)",
        }

    def numbers(self) -> dict[str, Any]:
        evidence = self._evidence
        return {
            "files": {
                "found": len(evidence.found.files),
                "counted": self._totals.files,
                "skipped": dict(self._skipped),
                "more": evidence.found.more,
            },
            "words": self._totals.words,
            "lines": self._totals.lines,
            "recount": asdict(evidence.recount),
            "tasks": {
                "published": len(evidence.published),
                **{state.value: self._states[state] for state in TaskState},
            },
            "retries": retries(self._records.values()),
            "redeliveries": redeliveries(self._records.values()),
            "killed_pid": None if evidence.kill is None else evidence.kill.pid,
            "delay_s": {"asked": evidence.delay.total_seconds(), "waited": self._waited_s()},
            "dead_letters": [
                {"reason": letter.reason, "task": letter.task, "detail": letter.detail}
                for letter in evidence.letters
            ],
            "lost": self._lost,
            "duplicates": self._more_ends,
            "seconds": round(self._seconds(), 3),
            "tasks_per_second": round(self._rate(), 1),
            "top_words": [list(pair) for pair in most_frequent(self._counts)],
        }


def _ends(events: Sequence[TimelineEvent]) -> int:
    return sum(event.kind in TERMINAL_STATES for event in events)
