from __future__ import annotations

import subprocess
import sys

import pytest

from stem.adapters.memory.stack import open_stack
from stem.errors import StoreUnavailableError
from stem.ports.stack import Stack
from stem.testing import Fault, Faults, Injected, ManualClock
from stem.testing.contracts.samples import publication


@pytest.fixture
def stack() -> Stack:
    return open_stack("memory://", namespace="stem", clock=ManualClock())


def test_without_orders_nothing_fails(stack: Stack) -> None:
    faults = Faults()
    broker = faults.wrap(stack).broker

    assert broker is not None
    assert broker.publish([publication("t")]) == [True]
    assert broker.capabilities.atomic_results
    assert broker.address == stack.identity
    assert faults.injected == []


def test_a_plan_is_carried_out_in_order_and_then_over(stack: Stack) -> None:
    faults = Faults()
    queues = faults.wrap(stack).queues
    assert queues is not None
    faults.fail_next("queues.pause", Fault.NOT_EXECUTED)
    faults.fail_next("queues.pause", Fault.REPLY_LOST)

    paused: list[bool] = []
    for _ in range(2):
        with pytest.raises(StoreUnavailableError, match="injected") as failed:
            queues.pause("default")
        assert failed.value.operation == "pause"
        paused.append(queues.stats(["default"])[0].paused)
    queues.pause("default")

    assert paused == [False, True]
    assert faults.injected == [
        Injected(call="queues.pause", fault=Fault.NOT_EXECUTED),
        Injected(call="queues.pause", fault=Fault.REPLY_LOST),
    ]


def test_the_same_seed_gives_the_same_faults() -> None:
    first, second, other = (Faults(seed=seed, not_executed=0.3, reply_lost=0.3) for seed in (1, 1, 2))

    drawn = [[faults.draw("broker.publish") for _ in range(50)] for faults in (first, second, other)]

    assert drawn[0] == drawn[1]
    assert drawn[0] != drawn[2]
    assert {None, Fault.NOT_EXECUTED, Fault.REPLY_LOST} == set(drawn[0])


def test_after_stop_nothing_fails(stack: Stack) -> None:
    faults = Faults(not_executed=1.0)
    faults.fail_next("source.lease", Fault.REPLY_LOST)

    faults.stop()

    assert {faults.draw("source.lease") for _ in range(20)} == {None}


@pytest.mark.parametrize(
    "call", ["publish", "broker", "broker.close", "broker.publsh", "stack.publish", "source.wait"]
)
def test_a_call_that_cannot_fail_is_refused(call: str) -> None:
    with pytest.raises(ValueError, match="no call"):
        Faults().fail_next(call, Fault.REPLY_LOST)


def test_a_port_that_a_stack_lacks_stays_lacking() -> None:
    bare = Stack(identity="memory://", close=lambda: None)

    assert Faults().wrap(bare) == bare


def test_the_tools_need_neither_pytest_nor_hypothesis() -> None:
    code = "import sys, stem.testing; print({'pytest', 'hypothesis', '_pytest'} & set(sys.modules))"

    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert told.stdout == "set()\n"
