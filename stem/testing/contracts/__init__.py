"""One contract suite per port, to be run on every adapter.

Subclass each suite in a test module and give it a ``harness`` fixture that
opens an empty database (`StackHarness`; `ClockedHarness` serves every adapter
that keeps the time of the clock it is given)::

    pytest.register_assert_rewrite("stem.testing.contracts")  # in conftest.py, before the import

    class TestMyBroker(BrokerContract):
        @pytest.fixture
        def harness(self, tmp_path: Path) -> Iterator[StackHarness]: ...

Tests are named after the guarantees that the ports number. An adapter that
lacks a feature says so, with its reason, in ``lacks``, and names in ``excused``
what else is beyond it; nothing else skips a test, and `executed_tests` tells
what remains. Needs the extra ``test``.
"""

from __future__ import annotations

from stem.testing.contracts.broker import BrokerContract
from stem.testing.contracts.deadletters import DeadLettersContract
from stem.testing.contracts.harness import ClockedHarness, StackHarness, TakesRaw
from stem.testing.contracts.heartbeats import HeartbeatsContract
from stem.testing.contracts.lost_replies import LostRepliesContract
from stem.testing.contracts.queues import QueuesContract
from stem.testing.contracts.results import ResultsContract
from stem.testing.contracts.revokes import RevokesContract
from stem.testing.contracts.stack import StackContract
from stem.testing.contracts.suite import Contract, Feature, executed_tests, guarantees, needs

__all__ = [
    "BrokerContract",
    "ClockedHarness",
    "Contract",
    "DeadLettersContract",
    "Feature",
    "HeartbeatsContract",
    "LostRepliesContract",
    "QueuesContract",
    "ResultsContract",
    "RevokesContract",
    "StackContract",
    "StackHarness",
    "TakesRaw",
    "executed_tests",
    "guarantees",
    "needs",
]
