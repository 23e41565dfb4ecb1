from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import pytest

from stem.adapters.memory.stack import open_stack
from stem.testing.contracts import (
    BrokerContract,
    ClockedHarness,
    DeadLettersContract,
    HeartbeatsContract,
    QueuesContract,
    ResultsContract,
    RevokesContract,
    StackContract,
)

if TYPE_CHECKING:
    from collections.abc import Iterator


class InMemory:
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
