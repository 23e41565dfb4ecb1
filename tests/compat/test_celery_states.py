from __future__ import annotations

import pytest

from stem.states import TaskState
from stem_celery import celery_state, stem_state


@pytest.mark.parametrize("state", list(TaskState))
def test_each_state_survives_the_way_to_celery_and_back(state: TaskState) -> None:
    assert stem_state(celery_state(state)) is state


def test_celery_tells_waiting_and_unknown_tasks_apart_no_better_than_before() -> None:
    assert celery_state(None) == celery_state(TaskState.QUEUED) == "PENDING"


def test_a_received_task_still_waits() -> None:
    assert stem_state("RECEIVED") is TaskState.QUEUED


@pytest.mark.parametrize(
    ("name", "terminal"),
    [
        ("PENDING", False),
        ("STARTED", False),
        ("RETRY", False),
        ("SUCCESS", True),
        ("FAILURE", True),
        ("REVOKED", True),
    ],
)
def test_both_sides_agree_on_what_is_final(name: str, terminal: bool) -> None:
    assert stem_state(name).is_terminal is terminal


def test_a_made_up_state_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"'PROGRESS' is none of Celery's states: FAILURE, PENDING"):
        stem_state("PROGRESS")
