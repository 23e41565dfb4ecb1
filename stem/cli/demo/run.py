"""The run: publish, kill a child half-way, wait for every end, gather what the stores say."""

from __future__ import annotations

import shutil
import tempfile
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol, cast
from urllib.parse import quote

from stem.app import Stem
from stem.cli.demo import tasks
from stem.cli.demo.ledger import Ledger, Published
from stem.cli.demo.process import CHILDREN, DemoWorker
from stem.cli.demo.tally import Evidence, Kill
from stem.cli.demo.words import Found, find_files, recount
from stem.cli.exit_codes import CommandError, ExitCode
from stem.ports.broker import NOW
from stem.ports.deadletters import DeadLetterQuery
from stem.security.terminal import printable
from stem.states import TaskState

if TYPE_CHECKING:
    from collections.abc import Generator

    from stem.cli.demo.display import Display
    from stem.cli.demo.ledger import Role
    from stem.clock import Clock

POISON: Final = "this is no JSON {"

DEAD_LETTERS: Final = 2
"""The hopeless task and the poison message."""

_LOOK_EVERY_S: Final = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What to do.

    Attributes:
        directory: Where the files are.
        limit: Count at most so many files.
        keep: Whether to leave the SQLite file and the worker's log where they are.
        timeout: After this the run ends, finished or not.
        delay: How long the task that has to wait is made to wait.
    """

    directory: Path
    limit: int
    keep: bool
    timeout: timedelta
    delay: timedelta = timedelta(seconds=3)


def run(options: Options, *, display: Display, clock: Clock) -> Evidence:
    """Run the demo and return what the stores say about it.

    Raises:
        CommandError: There is nothing to count, or the worker did not get ready or has died.
        StoreError: The SQLite file cannot be written or read.
    """
    found = find_files(options.directory, limit=options.limit)
    display.say(_of_files(found))
    with _workspace(keep=options.keep) as directory:
        url = f"sqlite:///{quote(str(directory / 'stem.db'))}"
        app = Stem("stem-demo", broker=url, **tasks.SETTINGS)
        try:
            # The file is made here, so that two processes need not agree on who does.
            app.queues.stats()
            display.say(f"database {url}")
            with DemoWorker(directory, url=url, clock=clock) as worker:
                return _Run(app, worker, found, options, display=display, clock=clock).run(url)
        finally:
            app.close()


class _Run:
    """One run, from the worker's start to its end."""

    def __init__(
        self,
        app: Stem,
        worker: DemoWorker,
        found: Found,
        options: Options,
        *,
        display: Display,
        clock: Clock,
    ) -> None:
        self._app = app
        self._worker = worker
        self._found = found
        self._display = display
        self._clock = clock
        self._deadline_s = clock.monotonic() + options.timeout.total_seconds()
        self._kept = options.keep
        self._delay = options.delay
        self._note = worker.log.with_name("at-risk.pid")
        self._ledger = Ledger(app.results)
        self._kill: Kill | None = None
        self._dead = 0
        self._started_s = 0.0
        self._looked_at_s = 0.0
        self._pause = threading.Event()

    def run(self, url: str) -> Evidence:
        try:
            self._await_worker()
            self._started_s = self._clock.monotonic()
            self._publish()
            while not self._finished() and not self._overdue():
                self._clock.wait(self._pause, _LOOK_EVERY_S)
                self._look()
            self._look(now=True)
        except CommandError:
            self._display.complain(self._worker.last_words())
            raise
        exit_code = self._worker.stop()
        return self._gather(url, exit_code)

    def _await_worker(self) -> None:
        while not (ready := [beat for beat in self._app.heartbeats() if beat.slots >= CHILDREN]):
            self._worker.check()
            if self._overdue():
                raise CommandError(
                    "the demo's worker did not get ready in time",
                    hint="see its log above, or allow more with --timeout",
                    code=ExitCode.FAILED,
                )
            self._clock.wait(self._pause, 0.05)
        (beat,) = ready
        self._display.say(f"worker {beat.worker_id}, process {beat.pid}, {CHILDREN} children")

    # publishing

    def _publish(self) -> None:
        self._send("later", tasks.later.name, countdown=self._delay)
        self._send("flaky", tasks.flaky.name)
        self._send("hopeless", tasks.hopeless.name)
        _raw(self._app).publish_raw(tasks.QUEUE, POISON)
        half = len(self._found.files) // 2
        for index, path in enumerate(self._found.files):
            if self._overdue():
                return
            if index == half:
                self._send("at risk", tasks.count_at_risk.name, path, str(self._note))
            else:
                self._send("file", tasks.count.name, path)
            self._look()

    def _send(self, role: Role, name: str, *args: str, countdown: timedelta = NOW) -> None:
        handle = self._app.send_task(name, args, countdown=countdown)
        self._ledger.enter(Published(id=handle.id, role=role, path=args[0] if args else ""))

    # watching

    def _look(self, *, now: bool = False) -> None:
        now_s = self._clock.monotonic()
        if now_s - self._looked_at_s < _LOOK_EVERY_S and not now:
            return
        self._looked_at_s = now_s
        self._worker.check()
        self._ledger.refresh()
        self._dead = self._app.dead_letters.count(DeadLetterQuery())
        self._kill_once()
        self._display.show(
            self._ledger.progress(
                files=len(self._found.files), dead_letters=self._dead, elapsed_s=now_s - self._started_s
            )
        )

    def _kill_once(self) -> None:
        task, record = self._ledger.task("at risk"), self._ledger.record("at risk")
        if self._kill is not None or task is None or record is None or record.state is not TaskState.RUNNING:
            return
        try:
            pid = int(self._note.read_text(encoding="utf-8"))
        except FileNotFoundError:  # it runs, but has not come so far
            return
        if self._worker.kill_child(pid):
            self._kill = Kill(pid=pid, at=self._clock.wall())
            self._display.say(
                f"killed process {pid} (SIGKILL), which had {printable(self._found.short(task.path))}"
            )

    def _finished(self) -> bool:
        return self._dead >= DEAD_LETTERS and not self._ledger.unfinished()

    def _overdue(self) -> bool:
        return self._clock.monotonic() >= self._deadline_s

    # afterwards

    def _gather(self, url: str, exit_code: int) -> Evidence:
        self._ledger.read_again()
        letters, _ = self._app.dead_letters.page(DeadLetterQuery(), limit=50)
        (queue,) = self._app.queues.stats([tasks.QUEUE])
        return Evidence(
            found=self._found,
            delay=self._delay,
            published=tuple(self._ledger.published.values()),
            records=self._ledger.records,
            timelines={task_id: self._app.results.timeline(task_id) for task_id in self._ledger.published},
            letters=tuple(letters),
            queue=queue,
            recount=recount(self._found.files),
            kill=self._kill,
            worker_exit_code=exit_code,
            url=url if self._kept else None,
        )


@contextmanager
def _workspace(*, keep: bool) -> Generator[Path]:
    try:
        directory = Path(tempfile.mkdtemp(prefix="stem-demo-"))
    except OSError as error:
        raise CommandError(
            f"no temporary directory can be made: {error.strerror}",
            hint="set TMPDIR to a directory that can be written",
            code=ExitCode.UNAVAILABLE,
        ) from None
    try:
        yield directory
    finally:
        if not keep:
            shutil.rmtree(directory, ignore_errors=True)


def _of_files(found: Found) -> str:
    first = "the first " if found.more else ""
    blind = f"; {found.unreadable:,} of its directories cannot be read" if found.unreadable else ""
    number = len(found.files)
    return f"{first}{number:,} text file{'' if number == 1 else 's'} under {printable(found.root)}{blind}"


class _TakesAnything(Protocol):
    """What adapters offer beside the port: a way to store what no Stem would publish."""

    def publish_raw(self, queue: str, payload: str) -> None: ...


def _raw(app: Stem) -> _TakesAnything:
    return cast("_TakesAnything", app.broker)  # the demo's broker is SQLite's, which has it
