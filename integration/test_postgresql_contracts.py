from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from postgresql_place import PostgresqlPlace

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
    from collections.abc import Iterator

    from stem.testing.contracts import ClockedHarness


@pytest.fixture(scope="module")
def place() -> Iterator[PostgresqlPlace]:
    place = PostgresqlPlace()
    yield place
    place.drop()


class OnPostgresql(Contract):
    @pytest.fixture
    def harness(self, place: PostgresqlPlace) -> Iterator[ClockedHarness]:
        harness = place.harness()
        yield harness
        harness.close()


class TestPostgresqlStack(OnPostgresql, StackContract): ...


class TestPostgresqlBroker(OnPostgresql, BrokerContract): ...


class TestPostgresqlQueues(OnPostgresql, QueuesContract): ...


class TestPostgresqlDeadLetters(OnPostgresql, DeadLettersContract): ...


class TestPostgresqlResults(OnPostgresql, ResultsContract): ...


class TestPostgresqlHeartbeats(OnPostgresql, HeartbeatsContract): ...


class TestPostgresqlRevokes(OnPostgresql, RevokesContract): ...


class TestPostgresqlLostReplies(OnPostgresql, LostRepliesContract): ...


SUITES: dict[type[Contract], type[Contract]] = {
    TestPostgresqlStack: StackContract,
    TestPostgresqlBroker: BrokerContract,
    TestPostgresqlQueues: QueuesContract,
    TestPostgresqlDeadLetters: DeadLettersContract,
    TestPostgresqlResults: ResultsContract,
    TestPostgresqlHeartbeats: HeartbeatsContract,
    TestPostgresqlRevokes: RevokesContract,
    TestPostgresqlLostReplies: LostRepliesContract,
}


def test_nothing_is_skipped() -> None:
    for suite, contract in SUITES.items():
        assert executed_tests(suite) == executed_tests(contract)
