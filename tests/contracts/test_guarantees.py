"""The suites check every guarantee that the ports number, and nothing can be skipped unnoticed."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import stem.testing.contracts as contracts
from stem.ports.broker import Broker, LeaseSource, QueueAdmin
from stem.ports.deadletters import DeadLetters
from stem.ports.heartbeats import Heartbeats
from stem.ports.results import Results
from stem.ports.revokes import Revokes
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
    guarantees,
)

CHECKED_BY: dict[type, type[Contract]] = {
    Broker: BrokerContract,
    LeaseSource: BrokerContract,
    QueueAdmin: QueuesContract,
    DeadLetters: DeadLettersContract,
    Results: ResultsContract,
    Heartbeats: HeartbeatsContract,
    Revokes: RevokesContract,
}

# Whoever adds a test counts it here; whoever finds that one is missing learns it here.
TESTS: dict[type[Contract], int] = {
    StackContract: 6,
    BrokerContract: 94,
    QueuesContract: 18,
    DeadLettersContract: 31,
    ResultsContract: 40,
    HeartbeatsContract: 10,
    RevokesContract: 13,
    LostRepliesContract: 12,
}


def checked(names: list[str]) -> set[str]:
    found = (re.match(r"test_([a-z]\d+)_", name) for name in names)
    return {match[1].upper() for match in found if match}


@pytest.mark.parametrize("port", CHECKED_BY, ids=lambda port: port.__name__)
def test_each_guarantee_has_a_test(port: type) -> None:
    numbers = guarantees(port)

    assert len(numbers) >= 3
    assert numbers == [f"{numbers[0][0]}{index}" for index in range(1, len(numbers) + 1)]
    assert set(numbers) - checked(executed_tests(CHECKED_BY[port])) == set()


def test_no_test_names_a_guarantee_that_no_port_gives() -> None:
    given = {number for port in CHECKED_BY for number in guarantees(port)}

    assert {number for suite in TESTS for number in checked(executed_tests(suite))} == given


def test_the_suites_have_as_many_tests_as_they_had() -> None:
    assert {suite: len(executed_tests(suite)) for suite in TESTS} == TESTS


def test_what_an_adapter_lacks_leaves_its_safety_tested() -> None:
    features = ("atomic_results", "browse", "cancel_pending", "depth", "priority", "publish_raw")
    bare = [type(suite.__name__, (suite,), {"lacks": dict.fromkeys(features, "none")}) for suite in TESTS]

    all_tested, still_tested = (
        {number for suite in suites for number in checked(executed_tests(suite))} for suites in (TESTS, bare)
    )

    # Cancelling and browsing are features through and through; all else is tested on every adapter.
    assert all_tested - still_tested == {"Q3", "Q5"}


def test_only_a_lacking_feature_skips_a_test() -> None:
    sources = Path(contracts.__file__).parent.glob("*.py")
    skips = [
        f"{path.name}:{node.attr}"
        for path in sources
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and node.attr in {"skip", "skipif", "xfail", "importorskip"}
    ]

    assert skips == ["suite.py:skip"]
