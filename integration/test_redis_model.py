from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test
from redis_place import RedisPlace

from stem.testing.contracts.lease_model import lease_machine

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stem.testing.contracts import ClockedHarness

sys.path.append(str(Path(__file__).parents[1] / "tests" / "support"))
from lease_mutants import MUTANTS, mutant

COMMON = {
    "stateful_step_count": 40,
    "deadline": None,
    "database": None,
    "derandomize": True,
    "suppress_health_check": [HealthCheck.too_slow, HealthCheck.filter_too_much],
}


@pytest.fixture
def places() -> Iterator[list[RedisPlace]]:
    places: list[RedisPlace] = []
    yield places
    for place in places:
        place.close()


def opened(places: list[RedisPlace], name: str = "") -> ClockedHarness:
    for place in places:  # of the walk before
        place.close()
    places[:] = [RedisPlace()]
    return places[0].harness(lambda open_stack: mutant(name, open_stack) if name else open_stack)


def test_a_random_walk_keeps_to_the_book(places: list[RedisPlace]) -> None:
    machine = lease_machine(lambda: opened(places))

    run_state_machine_as_test(machine, settings=settings(max_examples=40, **COMMON))


@pytest.mark.parametrize("name", MUTANTS)
def test_the_walk_finds_the_bug(places: list[RedisPlace], name: str) -> None:
    machine = lease_machine(lambda: opened(places, name))

    with pytest.raises(AssertionError):
        run_state_machine_as_test(
            machine, settings=settings(max_examples=150, phases=[Phase.generate], **COMMON)
        )
