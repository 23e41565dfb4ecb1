import dataclasses
import json
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stem.errors import ConfigurationError
from stem.message import Refusal
from stem.retry import MAX_DELAY, MAX_RETRIES, RetryPolicy
from stem.states import DeadReason

SECOND = timedelta(seconds=1)

durations = st.timedeltas(min_value=timedelta(0), max_value=MAX_DELAY)
policies = st.builds(
    RetryPolicy,
    max_retries=st.none() | st.integers(0, MAX_RETRIES),
    base=durations,
    cap=durations,
    factor=st.floats(1, 1000) | st.integers(1, 1000),
    jitter=st.booleans(),
)
attempts = st.integers(1, 20) | st.integers(1, 2**31) | st.integers(1, 10**400)
chances = st.floats(0, 1, exclude_max=True)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


def test_the_default_policy_retries_three_times() -> None:
    policy = RetryPolicy(jitter=False)

    waits = [policy.delay(attempt=attempt, chance=0.0) for attempt in (1, 2, 3, 4)]

    assert waits == [SECOND, 2 * SECOND, 4 * SECOND, None]


def test_no_retries_means_that_the_first_failure_is_final() -> None:
    assert RetryPolicy(max_retries=0).delay(attempt=1, chance=0.5) is None


def test_the_wait_stops_growing_at_the_cap() -> None:
    policy = RetryPolicy(max_retries=None, jitter=False)

    assert policy.delay(attempt=10, chance=0.0) == 512 * SECOND
    assert policy.delay(attempt=11, chance=0.0) == timedelta(minutes=10)


def test_a_base_of_zero_never_waits() -> None:
    policy = RetryPolicy(max_retries=None, base=timedelta(0), jitter=False)

    assert policy.delay(attempt=10**400, chance=0.9) == timedelta(0)


def test_jitter_spreads_the_wait_from_zero_to_its_bound() -> None:
    policy = RetryPolicy(base=8 * SECOND)

    assert policy.delay(attempt=1, chance=0.0) == timedelta(0)
    assert policy.delay(attempt=1, chance=0.25) == 2 * SECOND


@given(policy=policies, attempt=attempts, chance=chances)
def test_a_wait_is_within_its_bounds_at_any_attempt(policy: RetryPolicy, attempt: int, chance: float) -> None:
    wait = policy.delay(attempt=attempt, chance=chance)

    given_up = policy.max_retries is not None and attempt > policy.max_retries
    assert (wait is None) == given_up
    assert wait is None or timedelta(0) <= wait <= policy.cap


@given(policy=policies, attempt=st.integers(1, 2000))
def test_the_bound_never_shrinks(policy: RetryPolicy, attempt: int) -> None:
    steady = dataclasses.replace(policy, max_retries=None, jitter=False)

    earlier = steady.delay(attempt=attempt, chance=0.0)
    later = steady.delay(attempt=attempt + 1, chance=0.0)

    assert earlier is not None
    assert later is not None
    assert earlier <= later


@given(policy=policies)
def test_a_policy_survives_the_wire(policy: RetryPolicy) -> None:
    travelled = json.loads(json.dumps(policy.to_wire()))

    assert RetryPolicy().with_overrides(travelled) == policy


def test_every_field_travels() -> None:
    assert set(RetryPolicy().to_wire()) == {field.name for field in dataclasses.fields(RetryPolicy)}


def test_overrides_replace_what_they_name_and_nothing_else() -> None:
    policy = RetryPolicy(max_retries=7, cap=timedelta(hours=1))

    changed = policy.with_overrides({"base": 0.5, "cap": timedelta(minutes=1)})

    assert changed == dataclasses.replace(policy, base=SECOND / 2, cap=timedelta(minutes=1))


@pytest.mark.parametrize(
    ("overrides", "named"),
    [
        ({"max_retries": -1}, "max_retries"),
        ({"max_retries": True}, "max_retries"),
        ({"max_retries": 2.0}, "max_retries"),
        ({"max_retries": 2**31}, "max_retries"),
        ({"base": -0.1}, "base"),
        ({"base": float("nan")}, "base"),
        ({"base": float("inf")}, "base"),
        ({"base": 10**400}, "base"),
        ({"base": None}, "base"),
        ({"cap": "10s"}, "cap"),
        ({"cap": False}, "cap"),
        ({"factor": 0.5}, "factor"),
        ({"factor": float("nan")}, "factor"),
        ({"factor": 10**400}, "factor"),
        ({"jitter": 1}, "jitter"),
        ({"jitter": "full"}, "jitter"),
        ({"hunter2": 1}, "unknown field"),
    ],
)
def test_a_bad_override_is_refused_without_repeating_it(overrides: dict[str, object], named: str) -> None:
    refused = RetryPolicy().with_overrides(overrides)

    assert isinstance(refused, Refusal)
    assert refused.reason is DeadReason.HEADER_INVALID
    assert refused.detail.startswith(f"x-stem-retry: {named}")
    assert "hunter2" not in refused.detail


@given(overrides=st.dictionaries(st.sampled_from(sorted(RetryPolicy().to_wire())) | st.text(), json_values))
def test_any_override_gives_a_policy_or_a_refusal(overrides: dict[str, object]) -> None:
    assert isinstance(RetryPolicy().with_overrides(overrides), RetryPolicy | Refusal)


def test_a_bad_policy_tells_every_problem_at_once() -> None:
    with pytest.raises(ConfigurationError) as caught:
        RetryPolicy(max_retries=-1, base=timedelta(seconds=-1), factor=0.0)

    assert [problem.split(":")[0] for problem in caught.value.problems] == ["max_retries", "base", "factor"]
