from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import pytest
from redis_place import RedisPlace

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


class OnRedis(Contract):
    prefixed: ClassVar = True

    @pytest.fixture
    def harness(self) -> Iterator[ClockedHarness]:
        place = RedisPlace(prefixed=self.prefixed)
        harness = place.harness()
        yield harness
        harness.close()
        place.close()


class OnPlainRedis(OnRedis):
    prefixed = False


class TestRedisStack(OnRedis, StackContract): ...


class TestRedisBroker(OnRedis, BrokerContract): ...


class TestRedisQueues(OnRedis, QueuesContract): ...


class TestRedisDeadLetters(OnRedis, DeadLettersContract): ...


class TestRedisResults(OnRedis, ResultsContract): ...


class TestRedisHeartbeats(OnRedis, HeartbeatsContract): ...


class TestRedisRevokes(OnRedis, RevokesContract): ...


class TestRedisLostReplies(OnRedis, LostRepliesContract): ...


class TestPlainRedisStack(OnPlainRedis, StackContract): ...


class TestPlainRedisBroker(OnPlainRedis, BrokerContract): ...


class TestPlainRedisQueues(OnPlainRedis, QueuesContract): ...


class TestPlainRedisDeadLetters(OnPlainRedis, DeadLettersContract): ...


class TestPlainRedisResults(OnPlainRedis, ResultsContract): ...


class TestPlainRedisHeartbeats(OnPlainRedis, HeartbeatsContract): ...


class TestPlainRedisRevokes(OnPlainRedis, RevokesContract): ...


class TestPlainRedisLostReplies(OnPlainRedis, LostRepliesContract): ...


SUITES: dict[type[Contract], type[Contract]] = {
    TestRedisStack: StackContract,
    TestPlainRedisStack: StackContract,
    TestRedisBroker: BrokerContract,
    TestPlainRedisBroker: BrokerContract,
    TestRedisQueues: QueuesContract,
    TestPlainRedisQueues: QueuesContract,
    TestRedisDeadLetters: DeadLettersContract,
    TestPlainRedisDeadLetters: DeadLettersContract,
    TestRedisResults: ResultsContract,
    TestPlainRedisResults: ResultsContract,
    TestRedisHeartbeats: HeartbeatsContract,
    TestPlainRedisHeartbeats: HeartbeatsContract,
    TestRedisRevokes: RevokesContract,
    TestPlainRedisRevokes: RevokesContract,
    TestRedisLostReplies: LostRepliesContract,
    TestPlainRedisLostReplies: LostRepliesContract,
}


def test_nothing_is_skipped() -> None:
    for suite, contract in SUITES.items():
        assert executed_tests(suite) == executed_tests(contract)
