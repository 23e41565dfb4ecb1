"""The demo's application: what its worker runs."""

from __future__ import annotations

import os
import threading
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from stem.app import Stem
from stem.cli.demo.words import count as count_file
from stem.clock import SystemClock
from stem.retry import RetryPolicy

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stem.tasks.context import Context

QUEUE: Final = "default"

FAILURES: Final = 2
"""How often `flaky` fails before it succeeds."""

LONGEST_HOLD_S: Final = 30.0
"""How long `count_at_risk` waits to be killed."""

SETTINGS: Final[Mapping[str, Any]] = {
    # Short, so that a lapsed lease would show within the demo's few seconds.
    "lease_duration": "2s",
    "lease_renew_every": "500ms",
    "heartbeat_every": "500ms",
    "shutdown_grace": "5s",
    # What the environment says about other applications must not divert this one.
    "result_backend_url": None,
    "revoke_store_url": None,
    "namespace": "stem",
    "default_queue": QUEUE,
    "max_deliveries": 3,
}

app = Stem("stem-demo", **SETTINGS)


@app.task(name="demo.count")
def count(path: str) -> dict[str, Any]:
    """Count the lines and words of a file."""
    return count_file(path).to_json()


@app.task(name="demo.count_at_risk", bind=True)
def count_at_risk(ctx: Context, path: str, note: str) -> dict[str, Any]:
    """Count like `count`, but at the first delivery wait to be killed.

    Args:
        note: A path; the process id is written there.
    """
    if not ctx.redelivered:
        write_note(note, str(os.getpid()))
        SystemClock().wait(threading.Event(), LONGEST_HOLD_S)
    return count_file(path).to_json()


@app.task(
    name="demo.flaky",
    bind=True,
    autoretry_for=(ConnectionError,),
    retry=RetryPolicy(max_retries=3, base=timedelta(milliseconds=200), jitter=False),
)
def flaky(ctx: Context) -> int:
    """Fail twice, then return the number of the attempt."""
    if ctx.attempt <= FAILURES:
        raise ConnectionError(f"attempt {ctx.attempt} fails on purpose")
    return ctx.attempt


@app.task(name="demo.later")
def later() -> str:
    """Return at once; it is published with a delay."""
    return "on time"


@app.task(name="demo.hopeless")
def hopeless() -> None:
    """Fail, always."""
    raise ValueError("fails on purpose, always")


def write_note(path: str, text: str) -> None:
    """Write a file that is there as a whole or not at all."""
    part = f"{path}.part"
    with open(part, "w", encoding="utf-8") as file:
        file.write(text)
    os.replace(part, path)
