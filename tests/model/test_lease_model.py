from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from stem.testing.contracts.lease_model import lease_machine

if TYPE_CHECKING:
    from model_databases import Databases


@pytest.mark.parametrize(("adapter", "walks", "steps"), [("memory", 200, 40), ("sqlite", 40, 40)])
def test_a_random_walk_keeps_to_the_book(databases: Databases, adapter: str, walks: int, steps: int) -> None:
    machine = lease_machine(lambda: databases.open(adapter))

    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=walks,
            stateful_step_count=steps,
            deadline=None,
            database=None,
            derandomize=True,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
        ),
    )
