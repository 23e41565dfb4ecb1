"""The contract of `stem.ports.broker.Broker` and its `LeaseSource`, in one suite."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stem.ports.broker import Level
from stem.testing.contracts.leasing import LeasingContract
from stem.testing.contracts.publishing import PublishingContract
from stem.testing.contracts.reclaiming import ReclaimingContract
from stem.testing.contracts.recording import RecordingContract
from stem.testing.contracts.settling import SettlingContract

if TYPE_CHECKING:
    from stem.ports.broker import Broker


class BrokerContract(
    PublishingContract, LeasingContract, SettlingContract, RecordingContract, ReclaimingContract
):
    """B1 to B6 and L1 to L9."""

    def test_what_the_suite_skips_is_what_the_broker_lacks(self, broker: Broker) -> None:
        can = broker.capabilities
        lacking = {
            "atomic_results": not can.atomic_results,
            "browse": can.browse is Level.NONE,
            "cancel_pending": can.cancel_pending is Level.NONE,
            "depth": can.depth is Level.NONE,
            "priority": can.priority is Level.NONE,
        }

        assert {name for name, lacks in lacking.items() if lacks} == set(self.lacks) - {"publish_raw"}

    def test_safety_is_never_lacking(self, broker: Broker) -> None:
        can = broker.capabilities

        assert Level.NONE not in {can.renewal, can.fencing, can.delivery_count, can.delayed, can.dead_letters}

    def test_the_address_tells_where_the_broker_is(self, broker: Broker) -> None:
        assert "://" in broker.address
