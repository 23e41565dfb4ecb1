from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from stem import Stem
from stem.cli.demo import tasks
from stem.cli.demo.ledger import Ledger, Published
from stem.ports.broker import Complete
from stem.ports.results import Ending
from stem.states import TaskState
from stem.testing import ManualClock

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stem.cli.demo.ledger import Role


class Bench:
    """An application in memory, and the ledger of what is published to it."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.app = Stem("bench", broker="memory://", clock=self.clock, **tasks.SETTINGS)
        self.ledger = Ledger(self.app.results)

    def publish(self, role: Role, path: str = "") -> str:
        task_id = self.app.send_task("demo.count").id
        self.ledger.enter(Published(id=task_id, role=role, path=path))
        return task_id

    def finish(self, result: str | None) -> None:
        """Let a worker finish the oldest task."""
        source = self.app.broker.source(owner="w@here")
        (delivery,) = source.lease(["default"], limit=1, duration=timedelta(minutes=1))
        task_id = delivery.content.headers["id"]  # type: ignore[union-attr]  # published just above
        ending = Ending(
            task_id=task_id,
            state=TaskState.SUCCEEDED,
            token=delivery.token,
            fence=delivery.fence,
            attempt=1,
            deliveries=delivery.deliveries,
            worker="w@here",
            queue="default",
            name="demo.count",
            finished_at=self.clock.wall(),
            ttl=timedelta(days=1),
            result=result,
        )
        assert source.settle([Complete(token=delivery.token, ending=ending)]) == [True]


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    bench.app.close()


def test_progress_follows_the_records(bench: Bench) -> None:
    bench.publish("file", "/a")
    bench.publish("flaky")
    bench.publish("file", "/b")
    bench.ledger.refresh()
    assert len(bench.ledger.unfinished()) == 3

    bench.finish('{"lines": 1, "words": 5, "top": []}')
    bench.finish("3")
    bench.ledger.refresh()
    progress = bench.ledger.progress(files=2, dead_letters=1, elapsed_s=4.0)

    assert (progress.files_done, progress.files, progress.words, progress.rate) == (1, 2, 5, 0.5)
    assert [task.path for task in bench.ledger.unfinished()] == ["/b"]


def test_records_of_others_are_passed_over(bench: Bench) -> None:
    bench.app.send_task("other")

    bench.ledger.refresh()

    assert bench.ledger.records == {}
    assert bench.ledger.task("flaky") is None
    assert bench.ledger.record("flaky") is None


def test_retries_and_redeliveries_are_counted(bench: Bench) -> None:
    task_id = bench.publish("flaky")
    bench.ledger.refresh()
    record = bench.ledger.records[task_id]
    bench.ledger.records[task_id] = replace(record, attempt=3, deliveries=2)

    progress = bench.ledger.progress(files=1, dead_letters=0, elapsed_s=0.0)

    assert (progress.retries, progress.redeliveries, progress.rate) == (2, 1, 0.0)
