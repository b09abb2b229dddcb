"""Connectors kept as declared: which run where, what a second look changes, and who is written to."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from kdeploy.cluster import connectors, direction
from kdeploy.cluster.direction import Direction, Disagreement
from kdeploy.errors import KdeployError, Unhealthy
from kdeploy.operations import apply, mirroring, readiness
from kdeploy.operations.site import Site
from kdeploy.spec.identity import MIRROR
from tests.operations.two_sides_world import TwoSides

FORTH = {"east-to-west-records", "east-to-west-groups"}
BACK = {"west-to-east-records", "west-to-east-groups"}


def site(two: TwoSides, datacenter: str, written: str | None = "east") -> Site:
    found = next(one for one in two.sites if one.cluster.datacenter == datacenter)
    return replace(found, written=written)


def up(two: TwoSides, written: str | None, found: Direction | None = None) -> list[str]:
    """Bring mirrors up as `up` does; what was changed, in words."""
    sites = [replace(one, written=written) for one in two.sites]
    return [said for one in mirroring.bring_up(sites, found) for said in one.changes]


@pytest.mark.parametrize(
    ("written", "planned", "east", "west"),
    [
        ("east", True, set(), FORTH),
        ("west", True, BACK, set()),
        ("west", False, set(), set()),
        ("", True, set(), set()),
    ],
)
def test_records_and_groups_are_carried_from_who_is_written_to_and_heartbeats_always(
    two: TwoSides, written: str, planned: bool, east: set[str], west: set[str]
) -> None:
    up(two, written, Direction(1, written, planned=planned))
    assert two.running("east") == east | {"east-heartbeats"}
    assert two.running("west") == west | {"west-heartbeats"}


def test_where_both_are_written_to_all_of_them_run(active: TwoSides) -> None:
    up(active, None)
    assert active.running("east") == BACK | {"east-heartbeats"}
    assert active.running("west") == FORTH | {"west-heartbeats"}


def test_a_second_look_changes_nothing(two: TwoSides) -> None:
    assert up(two, "east") == []
    assert two.happened() == []


def test_what_somebody_changed_stopped_or_let_fail_is_put_right(two: TwoSides) -> None:
    west = two.connects["west"]
    west.put("east-to-west-records", {"connector.class": "x", "tasks.max": "1"})
    west.stop("east-to-west-groups")
    west.fail("west-heartbeats", 0, "org.apache.kafka.Failed")
    said = up(two, "east")
    assert [one.partition(":")[0] for one in said] == [
        "connector east-to-west-records",
        "start connector east-to-west-groups",
        "restart what failed of connector west-heartbeats",
    ]
    assert up(two, "east") == []


def test_connectors_of_somebody_else_stay_and_what_a_drill_left_goes(two: TwoSides) -> None:
    west = two.connects["west"]
    for name in ("their-sink", "east-to-west-drill"):
        west.create(name, {"tasks.max": "1"})
    assert up(two, "east") == ["delete connector east-to-west-drill"]
    assert "their-sink" in west.found


def test_a_mirror_back_goes_on_from_where_the_other_side_was_taken_over(two: TwoSides) -> None:
    found = Direction(1, "west", ends={"orders": {0: 5, 1: 0}})
    up(two, "west", found)
    held = two.connects["east"].offsets("west-to-east-records")
    assert connectors.positions(held, "west") == {"orders": {0: 5}}
    assert "west-to-east-records" in two.running("east")


def test_a_mirror_back_whose_topics_are_all_empty_runs_too(two: TwoSides) -> None:
    up(two, "west", Direction(1, "west", ends={"orders": {0: 0}}))
    assert "west-to-east-records" in two.running("east")


def test_a_mirror_that_is_further_is_not_set_back(two: TwoSides) -> None:
    up(two, "west", Direction(1, "west", ends={"orders": {0: 5}}))
    east = two.connects["east"]
    east.stop("west-to-east-records")
    east.set_offsets("west-to-east-records", connectors.entries({"orders": {0: 9}}, "west"))
    up(two, "west", Direction(1, "west", ends={"orders": {0: 5}}))
    held = east.offsets("west-to-east-records")
    assert connectors.positions(held, "west") == {"orders": {0: 9}}


def test_a_connector_that_does_not_come_up_is_told_with_where_to_look(
    two: TwoSides, monkeypatch: pytest.MonkeyPatch
) -> None:
    west = two.connects["west"]
    west.fail("east-to-west-records", 0, "org.apache.kafka.Failed")
    monkeypatch.setattr(west, "restart_failed", lambda _: None)  # as one that fails again at once
    with pytest.raises(Unhealthy, match="the mirror into west does not run") as caught:
        mirroring.settle(site(two, "west"), mirroring.running(site(two, "west")))
    assert "kdeploy mirror status local-two-dc-passive" in str(caught.value)


def keep(two: TwoSides, datacenter: str, found: Direction) -> None:
    with readiness.connected(site(two, datacenter)) as admin:
        direction.keep(admin, found)


WHEN = datetime(2026, 11, 27, tzinfo=UTC)


@pytest.mark.parametrize(("mode", "written"), [("two", "east"), ("active", "")])
def test_what_was_never_decided_is_as_declared(
    mode: str, written: str, request: pytest.FixtureRequest
) -> None:
    found = mirroring.decided(request.getfixturevalue(mode).sites)
    assert found is not None
    assert (found.epoch, found.active) == (0, written)


def test_the_later_decision_counts_whoever_keeps_it(two: TwoSides) -> None:
    keep(two, "east", Direction(1, "west", WHEN))
    keep(two, "west", Direction(2, "east", WHEN))
    sites, found = mirroring.as_decided(two.sites)
    assert found is not None
    assert (found.epoch, found.active) == (2, "east")
    assert {one.written for one in sites} == {"east"}


def test_what_was_heard_counts_where_who_knows_better_does_not_answer(two: TwoSides) -> None:
    keep(two, "west", Direction(1, "west", WHEN))
    mirroring.decided(two.sites)
    two.down = {"west"}
    found = mirroring.decided(two.sites, patience=0.0)
    assert found is not None
    assert (found.epoch, found.active) == (1, "west")


def test_two_that_were_each_taken_over_are_told_and_not_chosen_between(two: TwoSides) -> None:
    keep(two, "east", Direction(1, "east", WHEN))
    keep(two, "west", Direction(1, "west", WHEN))
    with pytest.raises(Disagreement, match="east and west were each made the active one"):
        mirroring.decided(two.sites)


def test_whoever_has_to_answer_and_does_not_is_an_error(two: TwoSides) -> None:
    two.down = {"west"}
    with pytest.raises(KdeployError, match="no broker could be reached"):
        mirroring.decided([replace(one, patience=0.0) for one in two.sites])


def test_rights_of_the_mirrors_own_user_are_told_as_one_line_and_everybody_elses_by_name(
    two: TwoSides,
) -> None:
    side, mine = two.sides["west"], {one for one in two.sides["west"].acls if one.user == MIRROR}
    others = side.acls - mine
    side.acls.clear()
    here = replace(site(two, "west"), progress=two.steps)
    apply.carry_out(here, side, readiness.pending(here, side, resources_only=True))
    assert {one for one in side.acls if one.user == MIRROR} == mine
    said = [one for one in two.steps.said if "ACL" in one]
    assert [one for one in said if MIRROR in one] == [
        f"add {len(mine)} ACLs of {MIRROR}, MirrorMaker's own user"
    ]
    assert len(said) == len(others) + 1
    assert len(mine) > 20
