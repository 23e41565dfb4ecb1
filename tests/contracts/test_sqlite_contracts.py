from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from stem.adapters.sql.stack import open_stack
from stem.testing import ManualClock
from stem.testing.contracts import (
    BrokerContract,
    ClockedHarness,
    Contract,
    DeadLettersContract,
    HeartbeatsContract,
    LostRepliesContract,
    QueuesContract,
    ResultsContract,
    RevokesContract,
    StackContract,
    executed_tests,
)
from stem.testing.contracts.harness import NAMESPACE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty database with its tables; making them anew for every test would take most of the time."""
    path = tmp_path_factory.mktemp("sqlite") / "migrated.db"
    stack = open_stack(f"sqlite:///{path}", namespace=NAMESPACE, clock=ManualClock())
    assert stack.queues is not None
    assert stack.queues.queues() == []
    stack.close()
    assert [each.name for each in path.parent.iterdir()] == [path.name], "closing leaves one whole file"
    return path


class OnSqlite(Contract):
    @pytest.fixture
    def harness(self, migrated: Path, tmp_path: Path) -> Iterator[ClockedHarness]:
        path = tmp_path / "stem.db"
        shutil.copyfile(migrated, path)
        harness = ClockedHarness(open_stack, f"sqlite:///{path}")
        yield harness
        harness.close()


class TestSqliteStack(OnSqlite, StackContract): ...


class TestSqliteBroker(OnSqlite, BrokerContract): ...


class TestSqliteQueues(OnSqlite, QueuesContract): ...


class TestSqliteDeadLetters(OnSqlite, DeadLettersContract): ...


class TestSqliteResults(OnSqlite, ResultsContract): ...


class TestSqliteHeartbeats(OnSqlite, HeartbeatsContract): ...


class TestSqliteRevokes(OnSqlite, RevokesContract): ...


class TestSqliteLostReplies(OnSqlite, LostRepliesContract): ...


def test_nothing_is_skipped() -> None:
    suites = {
        TestSqliteStack: StackContract,
        TestSqliteBroker: BrokerContract,
        TestSqliteQueues: QueuesContract,
        TestSqliteDeadLetters: DeadLettersContract,
        TestSqliteResults: ResultsContract,
        TestSqliteHeartbeats: HeartbeatsContract,
        TestSqliteRevokes: RevokesContract,
        TestSqliteLostReplies: LostRepliesContract,
    }

    for suite, contract in suites.items():
        assert executed_tests(suite) == executed_tests(contract)
