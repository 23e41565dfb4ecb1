from stem import Context, Stem

app = Stem("first", broker="sqlite:///first.db")


@app.task
def add(x: int, y: int) -> int:
    return x + y


@app.task(bind=True, autoretry_for=(ConnectionError,), max_retries=5)
def fetch(ctx: Context, url: str) -> str:
    if ctx.attempt < 3:
        raise ConnectionError(f"attempt {ctx.attempt} failed")
    return f"{url}: done at attempt {ctx.attempt}"
