"""Servers are found or started, and those that were started end."""

from __future__ import annotations

import os

import pytest
from services import ALL, PRIVATE, RABBITMQ, Service, ServiceMissingError, Services, _address, answers


@pytest.mark.parametrize("service", [one for one in ALL if one is not RABBITMQ], ids=lambda one: one.name)
def test_a_private_server_is_started_and_ended(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(service.variable, PRIVATE)
    services = Services()

    services.provide(service)

    url = os.environ[service.variable]
    assert url != service.standard
    assert answers(*_address(url))
    services.close()
    assert not answers(*_address(url))


def test_a_url_at_which_nothing_answers_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    (redis, *_) = ALL
    monkeypatch.setenv(redis.variable, "redis://127.0.0.1:1/0")

    with pytest.raises(ServiceMissingError, match="STEM_TEST_REDIS_URL"):
        Services().provide(redis)
