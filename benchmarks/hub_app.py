"""The application that benchmarks run."""

from stem import Stem

app = Stem("benchmark")


@app.task
def noop() -> None:
    """Do nothing."""


@app.task
def add(x: int, y: int) -> int:
    """Return a result that is stored."""
    return x + y
