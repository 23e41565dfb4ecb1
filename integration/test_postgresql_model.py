from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test
from postgresql_place import PostgresqlPlace

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


@pytest.fixture(scope="module")
def place() -> Iterator[PostgresqlPlace]:
    place = PostgresqlPlace()
    yield place
    place.drop()


def opened(place: PostgresqlPlace, name: str) -> ClockedHarness:
    return place.harness(lambda open_stack: mutant(name, open_stack) if name else open_stack)


def test_a_random_walk_keeps_to_the_book(place: PostgresqlPlace) -> None:
    machine = lease_machine(lambda: opened(place, ""))

    run_state_machine_as_test(machine, settings=settings(max_examples=30, **COMMON))


@pytest.mark.parametrize("name", MUTANTS)
def test_the_walk_finds_the_bug(place: PostgresqlPlace, name: str) -> None:
    machine = lease_machine(lambda: opened(place, name))

    with pytest.raises(AssertionError):
        run_state_machine_as_test(
            machine, settings=settings(max_examples=150, phases=[Phase.generate], **COMMON)
        )
