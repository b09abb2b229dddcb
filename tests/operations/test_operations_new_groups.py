"""Groups that nothing was translated of yet, as a failover and its dry run tell them: two clusters in memory."""

from __future__ import annotations

import pytest

from kdeploy.cli import failover as printed
from kdeploy.cluster.failure import ClusterError
from kdeploy.cluster.mirror import LinkStatus
from kdeploy.cluster.state import LogRecord, NewTopic
from kdeploy.cluster.translation import GroupState, Translated
from kdeploy.operations import failover_preview, switching
from kdeploy.operations.failover import failover
from kdeploy.operations.failover_report import NAMED, Report, with_groups
from tests.cluster import mirror_bytes
from tests.contracts import hold
from tests.operations.two_sides_world import NOW, TwoSides, go

NONE = (
    "no checkpoint of group orders-new has come to west yet, and no offset for 1 of 1 partitions: there its consumers begin "
    "by their own auto.offset.reset"
)
UNKNOWN = (
    "east does not answer, so groups that no checkpoint has come of are not known: their consumers begin in west where "
    "they were before, or by their own auto.offset.reset"
)


@pytest.fixture
def new(two: TwoSides) -> TwoSides:
    """A group that committed in east, of which MirrorMaker has heard nothing yet."""
    two.write("east", 5)
    two.mirrored("east", "west", 5)
    two.sides["east"].groups["orders-new"] = {("orders", 0): 3}
    return two


def told(report: Report, *notes: str) -> None:
    """A report names these and nothing else, to a person and to a program."""
    assert report.notes == notes
    assert tuple(report.to_json()["notes"]) == notes
    hold(report.to_json())
    lines = printed.text(report).splitlines()
    assert [one for one in lines if one in notes] == list(notes)


def test_a_group_without_a_checkpoint_is_named_with_where_it_begins(new: TwoSides) -> None:
    for report in (failover_preview.of_failover(new.loaded, "west"), go(new)):
        told(report, NONE)
        (group,) = report.to_json()["groups"]
        assert (group["group"], group["checkpoint"], group["untranslated"]) == ("orders-new", False, 1)


def test_one_that_was_at_the_target_before_goes_on_there(new: TwoSides) -> None:
    new.sides["west"].groups["orders-new"] = {("orders", 0): 1}
    told(
        go(new),
        "no checkpoint of group orders-new has come to west yet: it goes on where it was in west before, and "
        "how much it reads again is judged by both sides' ends",
    )


def checkpoint(two: TwoSides, group: str) -> None:
    """MirrorMaker has translated a group."""
    west, name = two.sides["west"], "east.checkpoints.internal"
    west.create_topics([NewTopic(name, 1, 2)])
    key, value = mirror_bytes.checkpoint(group, "orders", 0, 5, 5)
    west.logs[name, 0] = [LogRecord(name, 0, 0, NOW, False, key, value)]


def test_of_one_that_was_translated_there_is_nothing_to_say(new: TwoSides) -> None:
    checkpoint(new, "orders-new")
    report = go(new)
    told(report)
    assert [one.checkpoint for one in report.groups] == [True]


@pytest.mark.parametrize("some", [True, False])
def test_without_the_primary_it_is_said_that_there_may_be_more_than_are_known(
    new: TwoSides, some: bool
) -> None:
    if some:
        checkpoint(new, "orders-app")
    new.down = {"east"}
    foreseen = failover_preview.of_failover(new.loaded, "west")
    report = failover(new.loaded, "west", new.steps, accept_loss=True)
    for one in (foreseen, report):
        told(one, UNKNOWN)
        assert [group.group for group in one.groups] == ["orders-app"] * some


def test_with_both_written_to_it_is_told_of_topics_by_their_names_there(active: TwoSides) -> None:
    active.sides["east"].groups["orders-new"] = {("orders", 0): 3}
    told(go(active), NONE)


def state(name: str, *downstream: int | None) -> GroupState:
    rows = tuple(
        Translated("orders", index, 5, None if one is None else 5, one, one, 0, 0)
        for index, one in enumerate(downstream)
    )
    return GroupState(name, 0, 0, sum(one is None for one in downstream), rows)


def link(*groups: GroupState) -> LinkStatus:
    return LinkStatus("east", "west", True, (), None, None, (), groups)


REPORT = Report("local", "east", "west", True, 1, 1.0, 0.0, 0)


def test_one_of_which_a_part_was_translated_says_of_how_many_partitions_nothing_was() -> None:
    found = with_groups(REPORT, link(state("a", 3, None, 4), state("b", 1)))
    told(
        found,
        "group a has no offset in west for 1 of 3 partitions: there its consumers begin by their own auto.offset.reset",
    )
    assert [one.checkpoint for one in found.groups] == [True, True]


def test_of_very_many_the_first_are_named_and_the_rest_are_counted() -> None:
    found = with_groups(REPORT, link(*(state(f"g{index:02}", None) for index in range(NAMED + 3))))
    assert len(found.notes) == NAMED + 1
    assert found.notes[-1] == "the same is so of 3 more groups"
    assert len(found.groups) == NAMED + 3


def test_where_groups_could_not_be_looked_at_before_the_fence_it_is_tried_again_after_it(
    new: TwoSides, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked = switching.look
    asked = []

    def once(*arguments: object) -> LinkStatus:
        asked.append(1)
        if len(asked) == 1:
            raise ClusterError("no answer")
        return looked(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(switching, "look", once)
    told(go(new), NONE)
    assert "whether somebody could go on with each group in west is not known: no answer" in new.steps.said
