from __future__ import annotations

import gc
import uuid
import weakref
from typing import TYPE_CHECKING

import pytest

from stem.adapters.memory.stack import open_stack
from stem.errors import ConfigurationError
from stem.testing import ManualClock
from stem.testing.contracts.samples import publish

if TYPE_CHECKING:
    from stem.ports.stack import Stack


def opened(url: str) -> Stack:
    return open_stack(url, namespace="stem", clock=ManualClock())


def queues_of(stack: Stack) -> list[str]:
    assert stack.queues is not None
    return stack.queues.queues()


def test_a_name_is_shared_and_no_name_is_private() -> None:
    url = f"memory://{uuid.uuid4()}"
    stack, same, private = opened(url), opened(f"{url}/"), opened("memory://")
    assert stack.broker is not None

    publish(stack.broker, "t", queue="mail")

    assert [queues_of(each) for each in (stack, same, private)] == [["mail"], ["mail"], []]
    assert stack.identity == same.identity == url
    assert opened("memory://").identity != private.identity


def test_a_database_goes_with_its_last_stack() -> None:
    url = f"memory://{uuid.uuid4()}"
    stack = opened(url)
    broker = stack.broker
    assert broker is not None
    publish(broker, "t")
    gone = weakref.ref(broker)

    del stack
    assert queues_of(opened(url)) == ["default"], "a port of it is still in use"
    del broker
    gc.collect()

    assert gone() is None
    assert queues_of(opened(url)) == []


@pytest.mark.parametrize(
    "url", ["memory:", "memory://a/b", "memory://user:secret@name", "memory://name?lease=30s", "memory://a b"]
)
def test_a_url_that_cannot_be_used_is_refused_with_every_problem(url: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        open_stack(url, namespace="Not A Namespace", clock=ManualClock())

    assert [problem.split(":")[0] for problem in refused.value.problems] == ["memory URL", "namespace"]
    assert "secret" not in str(refused.value)
