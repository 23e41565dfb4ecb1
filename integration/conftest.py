"""Sees to it that the servers that the collected tests need are there before they are imported."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from services import ALL, Service, ServiceMissingError, Services

if TYPE_CHECKING:
    from pathlib import Path

_services = Services()
_missing: dict[str, str] = {}
_provided: set[str] = set()


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Provide the service that a test file is named after; leave it out, with a word, if that is missing."""
    for service in ALL:
        if _is_about(collection_path, service):
            if service.name not in _provided:
                _provided.add(service.name)
                _provide(service)
            return True if service.name in _missing else None
    return None


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Tell what was left out."""
    for name, reason in _missing.items():
        terminalreporter.write_line(f"LEFT OUT: every test on {name}: {reason}")


def pytest_unconfigure(config: pytest.Config) -> None:
    """End the servers that were started."""
    _services.close()


def _provide(service: Service) -> None:
    try:
        _services.provide(service)
    except ServiceMissingError as error:
        if os.environ.get("CI"):
            pytest.exit(f"{service.name} is missing: {error}", returncode=1)
        _missing[service.name] = str(error)


def _is_about(path: Path, service: Service) -> bool:
    return path.name.startswith("test_") and f"_{service.name}" in path.name and path.suffix == ".py"
