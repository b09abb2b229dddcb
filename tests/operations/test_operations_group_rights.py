"""Groups that access lists would keep from going on at the target, as status, dry run and failover tell them: in memory."""

from __future__ import annotations

import pytest

from kdeploy.cli import failover as printed
from kdeploy.cli.mirror import text, wrongs
from kdeploy.cluster.failure import ClusterError
from kdeploy.cluster.state import Binding, LogRecord, NewTopic
from kdeploy.operations import failover_preview, mirror_status
from tests.cluster import mirror_bytes
from tests.contracts import hold
from tests.operations.two_sides_world import NOW, Side, TwoSides, go

BILLING = {("orders", 0): 5}


def read(user: str, what: str, name: str) -> Binding:
    return Binding(user, what, name, "literal", "read", "allow", "*")


@pytest.fixture
def legacy(two: TwoSides) -> TwoSides:
    """A group in east whose user nobody declared, with rights there alone."""
    two.write("east", 5)
    two.mirrored("east", "west", 5)
    two.sides["east"].groups["billing"] = BILLING
    two.sides["east"].acls |= {read("legacy", "group", "billing"), read("legacy", "topic", "orders")}
    return two


def test_a_group_whose_user_nobody_declared_is_warned_of_by_status_dry_run_and_failover(
    legacy: TwoSides,
) -> None:
    expected = (
        "no user may take part in group billing in west, as legacy may in east: declare whoever does, with the right to "
        "read the group and orders, and run `kdeploy apply local-two-dc-passive`"
    )
    status = mirror_status.status(legacy.loaded)
    assert [one.warnings for one in status.links] == [(expected,)]
    wrong = list(wrongs(status, rpo=1e9))
    assert f"warning: east to west: {expected}" in text(status, wrong).splitlines()
    assert not [one for one in wrong if "billing" in one], "it is a warning, and no failure"
    foreseen = failover_preview.of_failover(legacy.loaded, "west")
    assert (foreseen.warnings, foreseen.refused) == ((expected,), ())
    report = go(legacy)
    assert (report.target, report.warnings) == ("west", (expected,))
    said = legacy.steps.said
    assert said.count(f"warning: {expected}") == 1
    assert said.index(f"warning: {expected}") < said.index(
        "east is fenced: nobody may write mirrored topics there"
    )
    for one in (foreseen, report):
        hold(one.to_json())
        assert f"warning: {expected}" in printed.text(one).splitlines()


def test_a_group_whose_user_has_its_rights_on_both_sides_is_not_warned_of(legacy: TwoSides) -> None:
    legacy.sides["west"].acls |= {read("legacy", "group", "billing"), read("legacy", "topic", "orders")}
    assert mirror_status.status(legacy.loaded).links[0].warnings == ()


def test_what_is_declared_counts_and_not_what_was_applied(two: TwoSides) -> None:
    two.sides["east"].groups["orders-app"] = BILLING
    two.sides["west"].acls = {one for one in two.sides["west"].acls if one.user != "orders-consumer"}
    assert mirror_status.status(two.loaded).links[0].warnings == ()


def test_where_topics_have_other_names_there_the_right_to_read_these_is_looked_for(active: TwoSides) -> None:
    active.sides["east"].groups |= {"orders-app": BILLING, "reports": BILLING}
    rights = {read("reports", "group", "reports"), read("reports", "topic", "orders")}
    for side in active.sides.values():
        side.acls |= rights
    report = go(active)
    assert [one.group for one in report.groups] == ["orders-app", "reports"]
    assert report.warnings == (
        "nobody who may take part in group reports (reports) may read east.orders in west: declare that right for whoever "
        "does, and run `kdeploy apply local-two-dc-active`",
    )


def test_of_a_source_that_is_gone_the_targets_own_access_lists_tell(two: TwoSides) -> None:
    west, name = two.sides["west"], "east.checkpoints.internal"
    west.create_topics([NewTopic(name, 1, 2)])
    west.logs[name, 0] = [
        LogRecord(name, 0, at, NOW, False, *mirror_bytes.checkpoint(group, "orders", 0, 5, 5))
        for at, group in enumerate(("billing", "orders-app"))
    ]
    two.down = {"east"}
    (said,) = mirror_status.status(two.loaded).links[0].warnings
    assert said.startswith("no user may take part in group billing in west: ")


def test_access_lists_that_cannot_be_read_are_said(legacy: TwoSides, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(_: Side) -> frozenset[Binding]:
        raise ClusterError("failed to read access lists: the controller is gone\n  wait")

    monkeypatch.setattr(Side, "bindings", fails)
    said = (
        "who may go on with groups in west is not known: failed to read access lists: the controller is gone"
    )
    assert mirror_status.status(legacy.loaded).links[0].warnings == (said,)
