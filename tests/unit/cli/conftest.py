from __future__ import annotations

import json
import os
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from stem import Stem
from stem.cli.main import stem
from stem.message import ErrorInfo, Message
from stem.ports.broker import Bury, Complete, LeaseSource
from stem.ports.results import Ending
from stem.states import DeadReason, TaskState

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from stem.message import Delivery

MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)


@dataclass(frozen=True)
class Ended:
    """How a command ended, and what it printed."""

    exit_code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """The JSON document on standard output."""
        return json.loads(self.out)


class Bench:
    """A SQLite file, an application on it, and the command line."""

    def __init__(self, directory: Path) -> None:
        self.url = f"sqlite:///{directory / 'stem.db'}"
        self.app = Stem("bench", broker=self.url)

    def stem(self, *arguments: str, typed: str | None = None) -> Ended:
        """Run ``stem`` on the file, without a terminal."""
        result = CliRunner().invoke(stem, ["--broker", self.url, *arguments], input=typed)
        return Ended(exit_code=result.exit_code, out=result.stdout, err=result.stderr)

    def publish(self, *names: str, **options: Any) -> list[str]:
        """Publish a call of each task and return their ids."""
        return [self.app.send_task(name, **options).id for name in names]

    def lease(self, limit: int = 1, queue: str = "default") -> tuple[LeaseSource, list[Delivery]]:
        """Lease messages as the worker ``w@here`` does."""
        source = self.app.broker.source(owner="w@here")
        return source, source.lease([queue], limit=limit, duration=MINUTE)

    def bury(
        self, *names: str, queue: str = "default", reason: DeadReason = DeadReason.TASK_FAILED
    ) -> list[str]:
        """Publish a call of each task, let it fail for good, and return their ids."""
        task_ids = self.publish(*names, queue=queue)
        source, deliveries = self.lease(len(names), queue)
        burials = [
            self._burial(delivery, task_id, name, reason)
            for delivery, task_id, name in zip(deliveries, task_ids, names, strict=True)
        ]
        assert source.settle(burials) == [True] * len(names)
        source.close()
        return task_ids

    def finish(self, result: str) -> None:
        """Let the next task end with a result, given as JSON text."""
        source, (delivery,) = self.lease()
        assert isinstance(delivery.content, Message)
        ending = self._ending(delivery, delivery.content.headers["id"], "", TaskState.SUCCEEDED)
        assert source.settle([Complete(token=delivery.token, ending=replace(ending, result=result))]) == [
            True
        ]
        source.close()

    def _burial(self, delivery: Delivery, task_id: str, name: str, reason: DeadReason) -> Bury:
        error = ErrorInfo(type="builtins.ValueError", message="because")
        ending = replace(self._ending(delivery, task_id, name, TaskState.FAILED), error=error)
        return Bury(
            token=delivery.token,
            reason=reason,
            detail="because",
            task_id=task_id,
            task=name,
            attempt=1,
            ending=ending,
        )

    def _ending(self, delivery: Delivery, task_id: str, name: str, state: TaskState) -> Ending:
        return Ending(
            task_id=task_id,
            state=state,
            token=delivery.token,
            fence=delivery.fence,
            attempt=1,
            deliveries=delivery.deliveries,
            worker="w@here",
            queue=delivery.queue,
            name=name,
            finished_at=self.app.clock.wall(),
            ttl=HOUR,
        )


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("STEM_")]:
        monkeypatch.delenv(name)
    bench = Bench(tmp_path)
    yield bench
    bench.app.close()


@pytest.fixture
def write_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], str]:
    """Write a module into the working directory; its name is unique to the test."""
    import sys

    def write(name: str, source: str) -> str:
        unique = f"{name}_{tmp_path.name.replace('-', '_')}"
        (tmp_path / f"{unique}.py").write_text(source, encoding="utf-8")
        monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
        return unique

    return write
