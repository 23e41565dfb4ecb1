from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import pytest

from stem.adapters.memory.stack import open_stack
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

if TYPE_CHECKING:
    from collections.abc import Iterator


class InMemory(Contract):
    @pytest.fixture
    def harness(self) -> Iterator[ClockedHarness]:
        harness = ClockedHarness(open_stack, f"memory://{uuid.uuid4()}")
        yield harness
        harness.close()


class TestMemoryStack(InMemory, StackContract): ...


class TestMemoryBroker(InMemory, BrokerContract): ...


class TestMemoryQueues(InMemory, QueuesContract): ...


class TestMemoryDeadLetters(InMemory, DeadLettersContract): ...


class TestMemoryResults(InMemory, ResultsContract): ...


class TestMemoryHeartbeats(InMemory, HeartbeatsContract): ...


class TestMemoryRevokes(InMemory, RevokesContract): ...


class TestMemoryLostReplies(InMemory, LostRepliesContract): ...


def test_nothing_is_skipped() -> None:
    suites = {
        TestMemoryStack: StackContract,
        TestMemoryBroker: BrokerContract,
        TestMemoryQueues: QueuesContract,
        TestMemoryDeadLetters: DeadLettersContract,
        TestMemoryResults: ResultsContract,
        TestMemoryHeartbeats: HeartbeatsContract,
        TestMemoryRevokes: RevokesContract,
        TestMemoryLostReplies: LostRepliesContract,
    }

    for suite, contract in suites.items():
        assert executed_tests(suite) == executed_tests(contract)
