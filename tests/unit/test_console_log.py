from __future__ import annotations

import io
import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING

from stem.observability.logging import EventFormatter, configure_logging

if TYPE_CHECKING:
    from collections.abc import Generator


def record(message: str, **facts: object) -> logging.LogRecord:
    return logging.makeLogRecord(
        {"msg": message, "levelname": "WARNING", "created": 1_769_860_800.25, **facts}
    )


def test_an_event_is_one_line_with_its_facts() -> None:
    line = EventFormatter().format(record("lease.lost", task_id="1f23", reason="it lapsed", attempt=2))

    assert line == "2026-01-31T12:00:00.250Z warning lease.lost task_id=1f23 reason='it lapsed' attempt=2"


def test_facts_cannot_break_the_line() -> None:
    assert EventFormatter().format(record("x", text="a\nb\x1b")).endswith(r"x text='a\nb\x1b'")


def test_a_traceback_follows_its_event() -> None:
    try:
        raise ValueError("no")
    except ValueError as error:
        failed = record("task.failed", exc_info=(ValueError, error, error.__traceback__))

    first, *rest = EventFormatter().format(failed).splitlines()

    assert first.endswith("task.failed")
    assert rest[-1] == "ValueError: no"


@contextmanager
def untouched_logging() -> Generator[None]:
    """Let the test see logging as a new process has it: pytest's own handlers are set aside."""
    handlers, level = logging.root.handlers[:], logging.getLogger("stem").level
    logging.root.handlers.clear()
    try:
        yield
    finally:
        logging.root.handlers[:] = handlers
        logging.getLogger("stem").setLevel(level)


def test_the_level_is_for_stem_and_warnings_are_for_all() -> None:
    stream = io.StringIO()

    with untouched_logging():
        configure_logging("info", stream=stream)
        logging.getLogger("stem.worker").info("worker.started")
        logging.getLogger("elsewhere").info("chatter")
        logging.getLogger("elsewhere").warning("trouble")

    assert [line.split()[2] for line in stream.getvalue().splitlines()] == ["worker.started", "trouble"]


def test_an_application_that_logs_already_is_left_alone() -> None:
    own = logging.NullHandler()

    with untouched_logging():
        logging.root.addHandler(own)
        configure_logging("debug", stream=io.StringIO())
        handlers = logging.root.handlers[:]

    assert handlers == [own]
