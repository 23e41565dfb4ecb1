from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from stem.cli.demo.command import interruptible
from stem.cli.main import stem

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("options", [["-A", "shop:app"], ["--broker", "sqlite:///shop.db"]])
def test_another_application_or_broker_is_refused(options: list[str]) -> None:
    result = CliRunner().invoke(stem, [*options, "demo"])

    assert result.exit_code == 2
    assert "leave -A and --broker out" in result.stderr


def test_a_missing_directory_with_json_is_one_document(tmp_path: Path) -> None:
    result = CliRunner().invoke(stem, ["demo", str(tmp_path / "missing"), "--json"])

    assert result.exit_code == 3
    assert '"code": "not-found"' in result.stdout


def test_cleaning_up_is_not_interrupted_again() -> None:
    cleaned: list[str] = []

    with pytest.raises(KeyboardInterrupt):
        interrupted_twice(cleaned)

    assert cleaned == ["all"]


def interrupted_twice(cleaned: list[str]) -> None:
    with interruptible():
        try:
            signal.raise_signal(signal.SIGTERM)
        finally:
            signal.raise_signal(signal.SIGTERM)
            cleaned.append("all")


def test_signals_are_as_before_afterwards_and_ignored_ones_stay_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    terminate = signal.getsignal(signal.SIGTERM)
    try:
        with interruptible():
            signal.raise_signal(signal.SIGHUP)

        assert signal.getsignal(signal.SIGTERM) is terminate
    finally:
        signal.signal(signal.SIGHUP, before)
