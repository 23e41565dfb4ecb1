"""What must type-check. `test_typing.py` runs mypy and pyright on it; nobody imports it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, assert_type

from stem import Context, Handle, RetryPolicy, Stem

app = Stem("typed", broker="memory://")


@app.task
def add(left: int, right: int = 0) -> int:
    return left + right


@app.task(queue="mail", priority=5, retry=RetryPolicy(max_retries=2))
def send(address: str, *, subject: str) -> None:
    del address, subject


@app.task
async def fetch(url: str) -> bytes:
    return url.encode()


@app.task(bind=True, max_retries=None)
def climb(ctx: Context, steps: int) -> float:
    return steps / ctx.attempt


@app.task(bind=True)
async def crawl(ctx: Context, urls: list[str]) -> dict[str, int]:
    return dict.fromkeys(urls, ctx.attempt)


assert_type(add.delay(1, right=2), Handle[int])
assert_type(add.delay(1).get(), int)
assert_type(add.delay(1).get(timeout=timedelta(seconds=1)), int)
assert_type(add(1, 2), int)
assert_type(send.delay("a@example.org", subject="hello").get(timeout=2.5), None)
assert_type(fetch.delay("https://example.org").get(), bytes)
assert_type(climb.delay(3).get(), float)
assert_type(climb(3), float)
assert_type(crawl.delay(["a"]).get(), dict[str, int])
assert_type(add.AsyncResult("1f23c6a1").get(), int)
assert_type(app.AsyncResult("1f23c6a1").get(), Any)
assert_type(app.send_task("elsewhere.task", [1], {"b": 2}, queue="far").get(), Any)
assert_type(
    add.apply_async(
        [1],
        {"right": 2},
        countdown=5,
        queue="q",
        headers={"tenant": "a"},
        expires=datetime(2030, 1, 1, tzinfo=UTC),
    ),
    Handle[int],
)


async def from_a_loop() -> None:
    assert_type(await fetch("https://example.org"), bytes)
    assert_type(await add.adelay(1), Handle[int])
    assert_type(await (await climb.adelay(3)).aget(), float)
