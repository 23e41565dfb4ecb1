"""What all contract suites have in common: features that may be missing, and how tests are counted."""

from __future__ import annotations

import inspect
import re
from typing import TYPE_CHECKING, ClassVar, Final, Literal, TypeAlias, TypeVar

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from stem.ports.broker import Broker, LeaseSource, QueueAdmin
    from stem.ports.deadletters import DeadLetters
    from stem.ports.heartbeats import Heartbeats
    from stem.ports.results import Results
    from stem.ports.revokes import Revokes
    from stem.testing.contracts.harness import StackHarness

Feature: TypeAlias = Literal["atomic_results", "browse", "cancel_pending", "depth", "priority", "publish_raw"]
"""What an adapter may lack. No safety guarantee is among them."""

_NEEDS: Final = "needs_feature"
_GUARANTEE: Final = re.compile(r"^\s*([A-Z]\d+)\. ", re.MULTILINE)  # 3.13 strips docstrings' indentation

Test = TypeVar("Test", bound="Callable[..., None]")
Port = TypeVar("Port")


def needs(feature: Feature) -> Callable[[Test], Test]:
    """Mark a contract test that an adapter without ``feature`` skips; may be used more than once."""

    def mark(test: Test) -> Test:
        setattr(test, _NEEDS, {feature, *_needed(test)})
        return test

    return mark


def _needed(test: object) -> set[Feature]:
    return getattr(test, _NEEDS, set[Feature]())


class Contract:
    """Base of the suites: subclass one in a test module and give it a ``harness`` fixture.

    Attributes:
        lacks: The features that the adapter has not, each with the reason.
        excused: Tests, by name, that ask for what the adapter cannot do although it is no
            feature, each with the reason. With ``lacks`` the only way to skip a contract test.
    """

    lacks: ClassVar[Mapping[Feature, str]] = {}
    excused: ClassVar[Mapping[str, str]] = {}

    @pytest.fixture(autouse=True)
    def _skip_what_the_adapter_lacks(self, request: pytest.FixtureRequest) -> None:
        reasons = [f"{name}: {self.lacks[name]}" for name in _needed(request.function) & self.lacks.keys()]
        if request.function.__name__ in self.excused:
            reasons.append(self.excused[request.function.__name__])
        if reasons:
            pytest.skip("; ".join(reasons))

    @pytest.fixture
    def harness(self) -> StackHarness:
        """Open an empty database; to be overridden."""
        raise NotImplementedError(f"{type(self).__name__} needs a fixture named harness")

    @pytest.fixture
    def broker(self, harness: StackHarness) -> Broker:
        """Return the broker under test."""
        return offered(harness.stack.broker)

    @pytest.fixture
    def source(self, broker: Broker) -> LeaseSource:
        """Return a source of the broker under test."""
        return broker.source(owner="worker@one")

    @pytest.fixture
    def queues(self, harness: StackHarness) -> QueueAdmin:
        """Return the queue administration under test."""
        return offered(harness.stack.queues)

    @pytest.fixture
    def dead_letters(self, harness: StackHarness) -> DeadLetters:
        """Return the dead letters under test."""
        return offered(harness.stack.dead_letters)

    @pytest.fixture
    def results(self, harness: StackHarness) -> Results:
        """Return the results under test."""
        return offered(harness.stack.results)

    @pytest.fixture
    def heartbeats(self, harness: StackHarness) -> Heartbeats:
        """Return the heartbeats under test."""
        return offered(harness.stack.heartbeats)

    @pytest.fixture
    def revokes(self, harness: StackHarness) -> Revokes:
        """Return the revocations under test."""
        return offered(harness.stack.revokes)


def offered(port: Port | None) -> Port:
    """Return a stack's port, which the suite cannot do without.

    Raises:
        AssertionError: The stack has none.
    """
    if port is None:
        raise AssertionError("the stack lacks a port that this suite is about")
    return port


def guarantees(port: type) -> list[str]:
    """Return the numbers of the guarantees that a port's docstring lists, "L1" and so on."""
    return _GUARANTEE.findall(port.__doc__ or "")


def executed_tests(suite: type[Contract]) -> list[str]:
    """Return the names of the tests that ``suite`` runs, without those it skips, sorted.

    Raises:
        AssertionError: A test is excused that does not exist.
    """
    tests = {
        name: member
        for name, member in inspect.getmembers(suite, inspect.isfunction)
        if name.startswith("test_")
    }
    unknown = suite.excused.keys() - tests.keys()
    if unknown:
        raise AssertionError(f"{suite.__name__} excuses tests that do not exist: {sorted(unknown)}")
    return [
        name
        for name, test in tests.items()
        if name not in suite.excused and not _needed(test) & suite.lacks.keys()
    ]
