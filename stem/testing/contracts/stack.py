"""The contract of `stem.ports.stack`: what a database is, and who shares it."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from stem.errors import ConfigurationError
from stem.testing.contracts.samples import (
    EVERY_DEAD_LETTER,
    LEASE,
    OWNER,
    QUEUE,
    TTL,
    burial,
    completion,
    heartbeat,
    lease,
    lease_one,
    publish,
)
from stem.testing.contracts.suite import Contract, offered

if TYPE_CHECKING:
    from stem.testing.contracts.harness import StackHarness


class StackContract(Contract):
    """Sharing, keeping apart, closing."""

    def test_stacks_of_one_database_have_one_identity(self, harness: StackHarness) -> None:
        assert harness.reopen().identity == harness.stack.identity
        assert "@" not in harness.stack.identity

    def test_namespaces_do_not_see_each_other(self, harness: StackHarness) -> None:
        other = harness.reopen(namespace="other")
        broker = offered(harness.stack.broker)
        source = broker.source(owner=OWNER)
        publish(broker, "dead")
        source.settle([burial(lease_one(source), at=harness.now())])
        publish(broker, "lapsed")
        lease_one(source)
        publish(broker, "ready")
        offered(harness.stack.queues).pause("mail")
        offered(harness.stack.heartbeats).beat(heartbeat(at=harness.now()), ttl=timedelta(days=1))
        offered(harness.stack.revokes).revoke(["dead", "ready"], reason="", ttl=timedelta(days=1))
        harness.let_pass(LEASE)

        assert offered(other.broker).reclaim(limit=10, max_deliveries=1) == []
        assert lease(offered(other.broker).source(owner=OWNER)) == []
        assert offered(other.queues).queues() == []
        assert (offered(other.queues).purge(QUEUE), offered(other.queues).cancel(["ready"], reason="")) == (
            0,
            set(),
        )
        assert offered(other.dead_letters).replay(EVERY_DEAD_LETTER, limit=10) == []
        assert offered(other.dead_letters).purge(EVERY_DEAD_LETTER) == 0
        assert offered(other.results).get(["dead", "ready"]) == {}
        assert offered(other.heartbeats).list() == []
        assert offered(other.revokes).matching(["dead"]) == {}
        assert offered(other.revokes).unrevoke(["dead"]) == 0

    def test_namespaces_may_use_the_same_names(self, harness: StackHarness) -> None:
        stacks = [harness.stack, harness.reopen(namespace="other")]
        for stack in stacks:
            broker = offered(stack.broker)
            publish(broker, "t", queue="mail")
            offered(stack.queues).pause("mail")
            offered(stack.revokes).revoke(["t"], reason="", ttl=TTL)
            assert offered(stack.heartbeats).beat(
                heartbeat(boot_id=str(id(stack)), at=harness.now()), ttl=TTL
            )
        offered(stacks[0].queues).resume("mail")

        sources = [offered(stack.broker).source(owner=OWNER) for stack in stacks]
        (delivery,) = lease(sources[0], queues=["mail"])

        assert lease(sources[1], queues=["mail"]) == []
        offered(stacks[1].queues).resume("mail")
        assert len(lease(sources[1], queues=["mail"])) == 1
        assert sources[0].settle([completion(delivery, at=harness.now())]) == [True]

    def test_a_stranger_cannot_settle(self, harness: StackHarness) -> None:
        publish(offered(harness.stack.broker), "t")
        source = offered(harness.stack.broker).source(owner=OWNER)
        delivery = lease_one(source)
        stranger = offered(harness.reopen(namespace="other").broker).source(owner=OWNER)

        assert stranger.settle([completion(delivery, at=harness.now())]) == [False]

        assert stranger.renew([delivery.token], duration=LEASE) == {delivery.token}
        assert source.settle([completion(delivery, at=harness.now())]) == [True]

    @pytest.mark.parametrize("namespace", ["", "A", "1a", "a-b", "a.b", "a b", "ä", "a" * 31, 'a";--'])
    def test_a_namespace_that_cannot_be_used_is_refused(self, harness: StackHarness, namespace: str) -> None:
        with pytest.raises(ConfigurationError, match="namespace"):
            harness.reopen(namespace=namespace)

    def test_closing_twice_is_harmless(self, harness: StackHarness) -> None:
        stack = harness.reopen()
        publish(offered(stack.broker), "t")
        lease(offered(stack.broker).source(owner=OWNER))

        stack.close()
        stack.close()

        assert offered(harness.stack.broker).reclaim(limit=1, max_deliveries=1) == []
