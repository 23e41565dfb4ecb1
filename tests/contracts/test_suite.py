from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import pytest

from stem.testing.contracts import Contract, Feature, executed_tests, needs

if TYPE_CHECKING:
    from collections.abc import Mapping


class Sample(Contract):
    def test_a(self) -> None: ...

    @needs("depth")
    def test_b(self) -> None: ...

    @needs("depth")
    @needs("priority")
    def test_c(self) -> None: ...


def suite(*lacks: Feature, excused: Mapping[str, str] | None = None) -> type[Contract]:
    class Adapted(Sample):
        pass

    Adapted.lacks = dict.fromkeys(lacks, "it is a toy")
    Adapted.excused = excused or {}
    return Adapted


def test_what_is_lacking_or_excused_is_not_executed() -> None:
    assert executed_tests(suite()) == ["test_a", "test_b", "test_c"]
    assert executed_tests(suite("priority")) == ["test_a", "test_b"]
    assert executed_tests(suite("depth")) == ["test_a"]
    assert executed_tests(suite("priority", excused={"test_a": "because"})) == ["test_b"]


def test_only_tests_that_exist_are_excused() -> None:
    with pytest.raises(AssertionError, match="test_aa"):
        executed_tests(suite(excused={"test_aa": "mistyped"}))


class TestASuiteThatLacksAndExcuses(Sample):
    lacks: ClassVar[Mapping[Feature, str]] = {"priority": "it is a toy"}
    excused: ClassVar[Mapping[str, str]] = {"test_a": "because"}

    def test_a(self) -> None:
        raise AssertionError("excused")

    @needs("priority")
    def test_c(self) -> None:
        raise AssertionError("lacking")


class TestASuiteWithoutAHarness(Contract):
    def test_it_says_what_is_missing(self, request: pytest.FixtureRequest) -> None:
        with pytest.raises(NotImplementedError, match="needs a fixture named harness"):
            request.getfixturevalue("harness")
