"""The application that the workers of the integration tests run."""

from __future__ import annotations

import asyncio
import os
import threading

import ledger

from stem import Context, Retry, Stem

app = Stem("ledger")


@app.task(bind=True)
def note(ctx: Context, seconds: float = 0.0) -> str:
    """Write to the ledger, take some time, write again."""
    ledger.write(ctx.id, "start")
    if seconds:
        threading.Event().wait(seconds)
    ledger.write(ctx.id, "end")
    return ctx.id


@app.task(bind=True)
async def anote(ctx: Context, seconds: float = 0.0) -> str:
    """Do the same as a coroutine."""
    ledger.write(ctx.id, "start")
    await asyncio.sleep(seconds)
    ledger.write(ctx.id, "end")
    return ctx.id


@app.task
def add(x: int, y: int) -> int:
    """Add."""
    return x + y


@app.task(bind=True)
def flaky(ctx: Context, failures: int) -> int:
    """Fail so many times, then return the attempt."""
    if ctx.attempt <= failures:
        raise Retry(delay=0.05)
    return ctx.attempt


@app.task
def fail(text: str) -> None:
    """Fail for good."""
    raise ValueError(text)


@app.task(bind=True)
def die(ctx: Context) -> None:
    """Kill the process that runs this."""
    ledger.write(ctx.id, "start")
    os.kill(os.getpid(), 9)


@app.task(soft_time_limit=0.3)
def slow_soft() -> None:
    """Run for longer than the soft limit."""
    while True:
        threading.Event().wait(0.01)


@app.task(time_limit=0.3)
def slow_hard() -> None:
    """Run for longer than the hard limit."""
    while True:
        threading.Event().wait(0.01)
