from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, ClassVar

import pytest
from two_stores import TwoStoresHarness

from stem.testing.contracts import (
    BrokerContract,
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
    from collections.abc import Iterator, Mapping

    from stem.testing.contracts import Feature


class OnTwoStores(Contract):
    lacks: ClassVar[Mapping[Feature, str]] = {"atomic_results": "messages and records are two databases"}

    @pytest.fixture
    def harness(self) -> Iterator[TwoStoresHarness]:
        harness = TwoStoresHarness(f"memory://{uuid.uuid4()}")
        yield harness
        harness.close()


class TestTwoStoresStack(OnTwoStores, StackContract): ...


class TestTwoStoresBroker(OnTwoStores, BrokerContract): ...


class TestTwoStoresQueues(OnTwoStores, QueuesContract): ...


class TestTwoStoresDeadLetters(OnTwoStores, DeadLettersContract):
    excused: ClassVar[Mapping[str, str]] = {
        "test_d2_an_entry_whose_task_is_live_again_is_passed_over": (
            "leasing makes a record, which the burial ends: the id cannot be published again"
        )
    }


class TestTwoStoresResults(OnTwoStores, ResultsContract): ...


class TestTwoStoresLostReplies(OnTwoStores, LostRepliesContract): ...


class TestTwoStoresHeartbeats(OnTwoStores, HeartbeatsContract): ...


class TestTwoStoresRevokes(OnTwoStores, RevokesContract): ...


def test_nothing_but_records_is_skipped() -> None:
    suites: dict[type[Contract], tuple[type[Contract], int]] = {
        TestTwoStoresStack: (StackContract, 0),
        TestTwoStoresBroker: (BrokerContract, 13),
        TestTwoStoresQueues: (QueuesContract, 2),
        TestTwoStoresDeadLetters: (DeadLettersContract, 4),
        TestTwoStoresResults: (ResultsContract, 0),
        TestTwoStoresHeartbeats: (HeartbeatsContract, 0),
        TestTwoStoresRevokes: (RevokesContract, 0),
    }

    for suite, (contract, lacking) in suites.items():
        assert len(executed_tests(suite)) == len(executed_tests(contract)) - lacking
