"""The contract of `stem.ports.revokes.Revokes`."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

import pytest

from stem.errors import ConfigurationError
from stem.testing.contracts.queues import NO_CURSORS
from stem.testing.contracts.samples import SECOND, TTL, at_once
from stem.testing.contracts.suite import Contract, offered

if TYPE_CHECKING:
    from stem.ports.revokes import Revokes
    from stem.testing.contracts.harness import StackHarness


class RevokesContract(Contract):
    """V1 to V3."""

    def test_v1_a_revocation_is_found_from_anywhere(self, harness: StackHarness, revokes: Revokes) -> None:
        now = harness.now()
        revokes.revoke(["a", "b"], reason="no lönger wanted", ttl=TTL, terminate=True, actor="ops@näme")

        found = offered(harness.reopen().revokes).matching(["a", "b", "c"])

        assert sorted(found) == ["a", "b"]
        one = found["a"]
        assert (one.task_id, one.reason, one.terminate, one.actor) == (
            "a",
            "no lönger wanted",
            True,
            "ops@näme",
        )
        assert abs(one.revoked_at - now) < SECOND
        assert abs(one.expires_at - now - TTL) < SECOND

    def test_v1_nothing_matches_nothing(self, revokes: Revokes) -> None:
        revokes.revoke([], reason="", ttl=TTL)

        assert revokes.matching([]) == {}
        assert revokes.matching(["t"]) == {}
        assert revokes.page() == ([], None)

    def test_v1_a_thousand_ids_are_matched_at_once(self, revokes: Revokes) -> None:
        names = [f"t{number:04}" for number in range(1000)]
        revokes.revoke(names, reason="", ttl=TTL)

        assert sorted(revokes.matching([*names, "never"])) == names
        assert list(revokes.matching(["never", "t0007"])) == ["t0007"]

    def test_v2_the_first_reason_and_the_later_expiry_are_kept(
        self, harness: StackHarness, revokes: Revokes
    ) -> None:
        now = harness.now()
        revokes.revoke(["longer", "shorter"], reason="first", ttl=TTL, actor="one")
        harness.let_pass(10 * SECOND)
        revokes.revoke(["longer"], reason="second", ttl=2 * TTL, actor="two")
        revokes.revoke(["shorter"], reason="second", ttl=SECOND, actor="two")

        found = revokes.matching(["longer", "shorter"])

        assert {(each.reason, each.actor) for each in found.values()} == {("first", "one")}
        assert all(abs(each.revoked_at - now) < SECOND for each in found.values())
        assert abs(found["longer"].expires_at - (now + 10 * SECOND + 2 * TTL)) < SECOND
        assert abs(found["shorter"].expires_at - (now + TTL)) < SECOND

    def test_v2_an_order_to_terminate_stays(self, revokes: Revokes) -> None:
        revokes.revoke(["first"], reason="", ttl=TTL, terminate=True)
        revokes.revoke(["first", "second"], reason="", ttl=TTL)
        revokes.revoke(["second"], reason="", ttl=TTL, terminate=True)

        assert [each.terminate for each in revokes.matching(["first", "second"]).values()] == [True, True]

    def test_v2_threads_that_revoke_one_id_make_one_order(
        self, harness: StackHarness, revokes: Revokes
    ) -> None:
        stores = [offered(harness.reopen().revokes) for _ in range(4)]

        at_once([partial(each.revoke, ["t"], reason="r", ttl=TTL) for each in stores])

        assert [each.task_id for each in revokes.page()[0]] == ["t"]

    def test_v3_a_revocation_expires_by_the_stores_clock(
        self, harness: StackHarness, revokes: Revokes
    ) -> None:
        revokes.revoke(["short"], reason="", ttl=SECOND)
        revokes.revoke(["long"], reason="", ttl=timedelta(days=1))

        harness.let_pass(2 * SECOND)

        assert list(revokes.matching(["short", "long"])) == ["long"]
        assert [each.task_id for each in revokes.page()[0]] == ["long"]

    def test_v3_after_its_expiry_a_revocation_can_be_made_anew(
        self, harness: StackHarness, revokes: Revokes
    ) -> None:
        revokes.revoke(["t"], reason="first", ttl=SECOND, terminate=True)
        harness.let_pass(2 * SECOND)

        revokes.revoke(["t"], reason="second", ttl=SECOND)

        found = revokes.matching(["t"])["t"]
        assert (found.reason, found.terminate) == ("second", False)

    def test_v3_an_order_can_be_taken_back(self, harness: StackHarness, revokes: Revokes) -> None:
        revokes.revoke(["a", "b", "c"], reason="", ttl=TTL)
        revokes.revoke(["expired"], reason="", ttl=SECOND)
        harness.let_pass(2 * SECOND)

        assert revokes.unrevoke(["a", "b", "never", "expired"]) == 2

        assert list(revokes.matching(["a", "b", "c"])) == ["c"]
        assert [revokes.unrevoke(["a"]), revokes.unrevoke([])] == [0, 0]

    def test_v3_only_what_has_expired_is_pruned(self, harness: StackHarness, revokes: Revokes) -> None:
        revokes.revoke([f"t{number}" for number in range(5)], reason="", ttl=SECOND)
        revokes.revoke(["long"], reason="", ttl=TTL)

        assert revokes.prune(limit=10) == 0
        harness.let_pass(2 * SECOND)

        assert [revokes.prune(limit=2) for _ in range(4)] == [2, 2, 1, 0]
        assert list(revokes.matching(["long"])) == ["long"]

    def test_pages_are_in_the_order_of_ids(self, revokes: Revokes) -> None:
        names = [f"t{number}" for number in range(7)]
        revokes.revoke(names[::-1], reason="", ttl=TTL)

        page, cursor = revokes.page(limit=3)
        revokes.revoke(["t0-new", "t9-new"], reason="", ttl=TTL)
        revokes.unrevoke(["t0", "t4"])
        second, end = revokes.page(cursor=cursor, limit=10)

        assert [each.task_id for each in page] == ["t0", "t1", "t2"]
        assert [each.task_id for each in second] == ["t3", "t5", "t6", "t9-new"]
        assert end is None

    @pytest.mark.parametrize("cursor", NO_CURSORS)
    def test_a_cursor_of_no_page_is_refused(self, revokes: Revokes, cursor: str) -> None:
        with pytest.raises(ConfigurationError, match="cursor"):
            revokes.page(cursor=cursor)

    def test_closing_twice_is_harmless(self, revokes: Revokes) -> None:
        revokes.revoke(["t"], reason="", ttl=TTL)

        revokes.close()
        revokes.close()
