"""Who may write a record: the rules alone, without a database."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from stem.adapters.sql.records import Standing, follows, judge
from stem.states import TERMINAL_STATES, TaskState

standings = st.builds(
    Standing,
    state=st.sampled_from([*TaskState]),
    fence=st.integers(0, 3),
    token=st.sampled_from(["", "1.1", "1.2", "2.2"]),
    attempt=st.integers(1, 2),
)
reports = st.builds(
    Standing,
    state=st.sampled_from([TaskState.RUNNING, TaskState.RETRYING, *TERMINAL_STATES]),
    fence=st.integers(1, 3),
    token=st.sampled_from(["1.1", "1.2", "2.2"]),
    attempt=st.integers(1, 2),
)


@given(standings, reports)
def test_a_terminal_record_takes_nothing_new(standing: Standing, wanted: Standing) -> None:
    if standing.state in TERMINAL_STATES:
        assert judge(standing, wanted) == ("repeat" if wanted == standing else "refuse")


@given(standings, reports)
def test_an_older_delivery_is_refused(standing: Standing, wanted: Standing) -> None:
    if wanted.fence < standing.fence:
        assert judge(standing, wanted) == "refuse"


@given(standings, reports)
def test_a_newer_delivery_is_taken_while_the_task_is_open(standing: Standing, wanted: Standing) -> None:
    if wanted.fence > standing.fence and standing.state not in TERMINAL_STATES:
        assert judge(standing, wanted) == "write"


@given(standings, reports)
def test_a_record_without_a_token_refuses_the_delivery_it_was_taken_from(
    standing: Standing, wanted: Standing
) -> None:
    taken_back = standing._replace(token="")

    assert judge(taken_back, wanted._replace(fence=standing.fence)) == "refuse"


@given(standings, reports)
def test_repeating_what_was_written_is_no_second_write(standing: Standing, wanted: Standing) -> None:
    if judge(standing, wanted) == "write":
        assert judge(wanted, wanted) == "repeat"


@given(standings, st.integers(0, 3))
def test_the_store_itself_moves_open_records_that_saw_no_later_delivery(
    standing: Standing, fence: int
) -> None:
    is_open = standing.state not in TERMINAL_STATES

    assert follows(standing, fence) == (is_open and standing.fence <= fence)
    assert not follows(None, fence)
