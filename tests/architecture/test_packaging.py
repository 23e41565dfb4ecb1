from __future__ import annotations

import os
from importlib.metadata import distribution, entry_points
from pathlib import Path

import pytest

import stem
import stem_celery

CHECKOUT = Path(__file__).parents[2]

from_the_wheel = pytest.mark.skipif("TOX_ENV_NAME" not in os.environ, reason="only tox installs the wheel")


@from_the_wheel
@pytest.mark.parametrize("package", [stem, stem_celery])
def test_what_is_tested_is_the_wheel_not_the_checkout(package: object) -> None:
    found = Path(getattr(package, "__file__", "")).resolve()

    assert "site-packages" in found.parts
    assert found.parent not in (CHECKOUT / "stem", CHECKOUT / "compat" / "stem_celery")


@from_the_wheel
@pytest.mark.parametrize("marker", ["stem/py.typed", "stem_celery/py.typed"])
def test_the_wheel_says_that_both_packages_are_typed(marker: str) -> None:
    assert marker in {str(path) for path in distribution("stem-tasks").files or []}


@pytest.mark.parametrize("group", ["console_scripts", "stem.adapters"])
def test_every_entry_point_leads_to_something_callable(group: str) -> None:
    ours = [point for point in entry_points(group=group) if point.dist and point.dist.name == "stem-tasks"]

    assert ours
    assert all(callable(point.load()) for point in ours)
