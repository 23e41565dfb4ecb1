from __future__ import annotations

import inspect

import pytest

import stem
import stem_celery


@pytest.mark.parametrize("package", [stem, stem_celery])
def test_every_public_name_exists_and_is_documented(package: object) -> None:
    names: list[str] = getattr(package, "__all__", [])

    undocumented = [name for name in names if not _is_documented(getattr(package, name))]

    assert undocumented == []


def test_the_root_stays_small() -> None:
    assert len(getattr(stem, "__all__", [])) <= 40


def _is_documented(value: object) -> bool:
    explains_itself = inspect.isclass(value) or inspect.isroutine(value) or inspect.ismodule(value)
    return bool(inspect.getdoc(value)) if explains_itself else True
