"""Open databases by URL, on first use, and hand out their ports."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, TypeVar

from stem.errors import ConfigurationError

if TYPE_CHECKING:
    from stem.clock import Clock
    from stem.config.settings import Settings
    from stem.ports.broker import Broker, QueueAdmin
    from stem.ports.deadletters import DeadLetters
    from stem.ports.heartbeats import Heartbeat, Heartbeats
    from stem.ports.results import Results
    from stem.ports.revokes import Revokes
    from stem.ports.stack import Stack

Port = TypeVar("Port")


class Stores(ABC):
    """The databases that an application's settings name. Any thread."""

    def __init__(self, *, clock: Clock) -> None:
        self.clock = clock
        self._stacks: dict[str, Stack] = {}  # guarded by _opening
        # Opening makes objects only; they connect when they are used.
        self._opening = threading.RLock()

    @property
    @abstractmethod
    def settings(self) -> Settings:
        """Every setting."""

    @property
    def broker(self) -> Broker:
        """Where messages are published and leased."""
        return self._offered(self._joined.broker, "broker_url", "take messages")

    @property
    def queues(self) -> QueueAdmin:
        """Looks into queues."""
        return self._offered(self._joined.queues, "broker_url", "list queues")

    @property
    def dead_letters(self) -> DeadLetters:
        """The buried messages."""
        return self._offered(self._joined.dead_letters, "broker_url", "keep dead letters")

    @property
    def results(self) -> Results:
        """The task records."""
        return self._offered(self._joined.results, "result_backend_url", "keep results")

    @property
    def heartbeats_store(self) -> Heartbeats:
        """Where workers say that they are alive."""
        return self._offered(self._joined.heartbeats, "result_backend_url", "keep heartbeats")

    @property
    def revokes(self) -> Revokes:
        """The revocations."""
        url = self.settings.revoke_store_url
        stack = self._joined if url is None else self._stack(url, "revoke_store_url")
        return self._offered(stack.revokes, "revoke_store_url", "keep revocations")

    def heartbeats(self) -> list[Heartbeat]:
        """Return the last heartbeat of every live worker, sorted by id.

        Raises:
            StoreError: The result store does not answer.
        """
        return self.heartbeats_store.list()

    def close(self) -> None:
        """Free every connection; they are made again when needed. May be called twice."""
        while self._stacks:
            self._stacks.popitem()[1].close()

    @property
    def _joined(self) -> Stack:
        """The broker's database, with the result store where that is another one."""
        settings = self.settings
        broker = self._stack(settings.broker_url, "broker_url")
        if settings.result_backend_url is None:
            return broker
        stores = self._stack(settings.result_backend_url, "result_backend_url")
        if stores.identity == broker.identity:
            return broker
        identity = f"{broker.identity} {stores.identity}"
        from stem.two_stores import join_stacks

        with self._opening:
            if identity not in self._stacks:
                self._stacks[identity] = join_stacks(
                    broker, stores, result_ttl=settings.result_ttl, clock=self.clock
                )
            return self._stacks[identity]

    def _stack(self, url: str, setting: str) -> Stack:
        from stem.adapters.registry import open_stack

        with self._opening:
            if url not in self._stacks:
                self._stacks[url] = open_stack(
                    url, setting=setting, namespace=self.settings.namespace, clock=self.clock
                )
            return self._stacks[url]

    def _offered(self, port: Port | None, setting: str, what: str) -> Port:
        if port is None:
            raise ConfigurationError(problems=[f"{setting}: this kind of database cannot {what}"])
        return port
