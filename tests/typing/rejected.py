"""What must not type-check: each line that ends in `# error`, and no other."""

from __future__ import annotations

from stem import Context, Stem

app = Stem("typed", broker="memory://")


@app.task
def add(left: int, right: int = 0) -> int:
    return left + right


@app.task(bind=True)
def climb(ctx: Context, steps: int) -> float:
    return steps / ctx.attempt


@app.task
async def fetch(url: str) -> bytes:
    return url.encode()


add.delay("x")  # error
add.delay()  # error
add.delay(1, middle=2)  # error
add("x")  # error
text: str = add.delay(1).get()  # error
climb.delay("high")  # error
climb.delay(Context, 3)  # error
fetch.delay(1)  # error
data: str = fetch.delay("https://example.org").get()  # error
add.apply_async([1], when=5)  # error
add.apply_async([1], queue=5)  # error


@app.task(quue="mail")  # error
def misspelt() -> None: ...


async def from_a_loop() -> None:
    await add.adelay("x")  # error
    number: int = await fetch("https://example.org")  # error
    del number
