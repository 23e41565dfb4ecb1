from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test
from lease_mutants import MUTANTS, mutant

from stem.testing.contracts.lease_model import lease_machine

if TYPE_CHECKING:
    from model_databases import Databases


@pytest.mark.parametrize("name", MUTANTS)
@pytest.mark.parametrize("adapter", ["memory", "sqlite"])
def test_the_walk_finds_the_bug(databases: Databases, adapter: str, name: str) -> None:
    machine = lease_machine(lambda: databases.open(adapter, lambda open_stack: mutant(name, open_stack)))

    with pytest.raises(AssertionError):
        run_state_machine_as_test(
            machine,
            settings=settings(
                max_examples=150,
                stateful_step_count=40,
                deadline=None,
                database=None,
                derandomize=True,
                # It is enough to know that it is found; making the walk short would take most of the time.
                phases=[Phase.generate],
                suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
            ),
        )
