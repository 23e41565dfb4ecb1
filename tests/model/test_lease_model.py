from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from stem.testing.contracts.lease_model import lease_machine

if TYPE_CHECKING:
    from collections.abc import Callable

    from stem.testing.contracts import StackHarness


@pytest.mark.parametrize(("adapter", "walks", "steps"), [("memory", 200, 40), ("sqlite", 60, 40)])
def test_a_random_walk_never_leaves_the_book(
    open_harness: Callable[[str], StackHarness], adapter: str, walks: int, steps: int
) -> None:
    machine = lease_machine(lambda: open_harness(adapter))

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
