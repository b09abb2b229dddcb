"""Three datacenters in memory: whose clients are handed which one, what is refused, and that nobody is fenced."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kdeploy.cli.failover import text
from kdeploy.cluster import direction
from kdeploy.cluster.direction import Direction, Disagreement
from kdeploy.errors import KdeployError, Unhealthy, UsageError
from kdeploy.operations import clients, drill_preview, failover_preview, handing, mirror_status, mirroring
from kdeploy.operations.failback import failback
from kdeploy.operations.failover import failover
from kdeploy.operations.failover_report import Report
from tests.contracts import hold
from tests.operations.two_sides_world import TwoSides

PLACES = ("north", "east", "west")
OWN = {one: one for one in PLACES}


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TwoSides]:
    with pytest.MonkeyPatch.context() as patch:
        yield TwoSides(tmp_path_factory.mktemp("three"), "local-three-dc-active", patch)


@pytest.fixture
def three(standing: TwoSides, monkeypatch: pytest.MonkeyPatch) -> TwoSides:
    return standing.stand_in(monkeypatch)


def go(three: TwoSides, to: str, lost: str | None = None) -> Report:
    report = failover(three.loaded, to, three.steps, lost=lost, patience=0.2)
    hold(report.to_json())
    return report


def handed_out(three: TwoSides) -> dict[str, str]:
    """By folder of clients the datacenter that they are handed out for."""
    found = clients.hand_out(three.loaded, users=["orders-consumer"])
    return {one.folder.parts[-3]: one.datacenter for one in found}


def acls(three: TwoSides) -> list[object]:
    return [sorted(one.acls) for one in three.sides.values()]


def test_every_datacenter_is_open_and_mirrors_every_other_one(three: TwoSides) -> None:
    for here in PLACES:
        others = [one for one in PLACES if one != here]
        assert three.writers(here) == {"orders", "scratch"}
        assert three.running(here) == {
            f"{here}-heartbeats",
            *(f"{one}-to-{here}-{what}" for one in others for what in ("records", "groups")),
        }
    assert handed_out(three) == OWN


def test_the_only_one_that_does_not_answer_is_the_one_that_is_lost(three: TwoSides) -> None:
    before = acls(three)
    three.down = {"east"}
    report = go(three, "west")
    assert (report.source, report.target, report.planned, report.epoch) == ("east", "west", False, 1)
    assert report.handed == {"east": "west"}
    assert handed_out(three) == {**OWN, "east": "west"}
    kept = three.direction("north")
    assert kept is not None
    assert (kept.active, kept.moved, kept.planned) == ("", {"east": "west"}, False)
    assert three.direction("west") == kept
    three.down = set()
    assert three.direction("east") is None, "it learns it from any other one"
    assert handed_out(three) == {**OWN, "east": "west"}
    assert acls(three) == before, "nobody is fenced"
    assert three.running("north") >= {"east-to-north-records", "west-to-north-records"}


def test_what_was_not_mirrored_is_told_and_not_called_lost(three: TwoSides) -> None:
    three.down = {"east"}
    shown = text(go(three, "west"))
    assert "clients of east are handed out west (decision 1)" in shown
    assert "nothing is lost: what east acknowledged is mirrored when it is back" in shown
    assert "not in west until then: not known" in shown


def test_while_all_answer_the_one_that_is_left_has_to_be_named(three: TwoSides) -> None:
    with pytest.raises(UsageError, match="it has to be said whose clients west is to take") as caught:
        go(three, "west")
    assert "kdeploy failover local-three-dc-active --from north|east --to west" in str(caught.value)
    assert three.happened() == []
    report = go(three, "west", "north")
    assert (report.source, report.planned, report.lost, report.handed) == (
        "north",
        True,
        0,
        {"north": "west"},
    )


def test_where_two_do_not_answer_each_has_to_be_named(three: TwoSides) -> None:
    three.down = {"east", "north"}
    with pytest.raises(UsageError, match="north and east do not answer") as caught:
        go(three, "west")
    assert "--from north|east --to west, once for each" in str(caught.value)
    assert three.happened() == []
    go(three, "west", "north")
    assert go(three, "west", "east").handed == {"north": "west", "east": "west"}


@pytest.mark.parametrize(
    ("to", "lost", "said"),
    [
        ("west", "south", "has no datacenter 'south'"),
        ("south", "west", "has no datacenter 'south'"),
        ("west", "west", "west cannot take over from itself"),
    ],
)
def test_what_cannot_be_is_a_mistake_of_the_command_line(
    three: TwoSides, to: str, lost: str, said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        go(three, to, lost)
    assert three.happened() == []


def test_a_target_that_does_not_answer_or_is_not_well_takes_nobody(three: TwoSides) -> None:
    three.down = {"west"}
    with pytest.raises(Unhealthy, match="west does not answer, so it cannot take over"):
        go(three, "west", "east")
    three.down, three.unwell = {"east"}, {"west"}
    with pytest.raises(Unhealthy, match="west is not fit to take over"):
        go(three, "west")
    foreseen = failover_preview.of_failover(three.loaded, "west")
    assert "west is not fit to take over" in "".join(foreseen.refused)
    assert three.happened() == []


def test_the_same_again_changes_nothing_also_when_the_lost_one_is_back(three: TwoSides) -> None:
    three.down = {"east"}
    go(three, "west")
    three.again()
    assert go(three, "west").already
    three.down = set()
    again = go(three, "west")
    assert (again.already, again.source, again.epoch) == (True, "east", 1)
    assert text(again).startswith(
        "local-three-dc-active: clients of east are handed out west already (decision 1)"
    )
    assert three.happened() == []


def test_one_that_had_taken_clients_is_lost_with_them_and_its_target_has_its_own_again(
    three: TwoSides,
) -> None:
    go(three, "west", "east")
    assert go(three, "north", "west").handed == {"east": "north", "west": "north"}
    assert go(three, "east", "north").handed == {"west": "east", "north": "east"}
    assert handed_out(three) == {"east": "east", "west": "east", "north": "east"}


def test_a_failback_gives_back_who_answers_and_says_who_does_not(three: TwoSides) -> None:
    three.down = {"east"}
    go(three, "west")
    with pytest.raises(Unhealthy, match="east does not answer, so nothing can be given back"):
        failback(three.loaded, three.steps)
    go(three, "west", "north")
    report = failback(three.loaded, three.steps)
    hold(report.to_json())
    assert (report.source, report.target, report.epoch) == ("north", "", 3)
    assert report.handed == {"east": "west"}
    assert "east does not answer, and its clients stay in west" in three.steps.said
    three.down, three.unwell = set(), {"east"}
    with pytest.raises(Unhealthy, match="east is not fit"):
        failback(three.loaded, three.steps)
    three.unwell = set()
    report = failback(three.loaded, three.steps)
    assert (report.epoch, report.handed) == (4, {})
    assert text(report).startswith(
        "local-three-dc-active: every datacenter's clients are handed out their own (decision 4)"
    )
    assert handed_out(three) == OWN
    three.again()
    again = failback(three.loaded, three.steps)
    assert (again.already, again.epoch) == (True, 4)
    assert three.happened() == []


def test_nothing_is_given_back_where_nobody_was_left(three: TwoSides) -> None:
    with pytest.raises(KdeployError, match="every datacenter is written to"):
        failback(three.loaded, three.steps)


def test_a_dry_run_says_what_the_command_then_does(three: TwoSides) -> None:
    three.down = {"east"}
    foreseen = failover_preview.of_failover(three.loaded, "west")
    hold(foreseen.to_json())
    assert three.happened() == []
    report = go(three, "west")
    for name in ("source", "target", "planned", "epoch", "handed", "lost"):
        assert getattr(foreseen, name) == getattr(report, name), name
    assert "clients of east would be handed out west (decision 1); nothing was changed" in text(foreseen)
    already = failover_preview.of_failover(three.loaded, "west")
    assert (already.already, len(already.steps)) == (True, 1)
    three.down = set()
    foreseen = failover_preview.of_failback(three.loaded)
    hold(foreseen.to_json())
    report = failback(three.loaded, three.steps)
    assert (foreseen.epoch, foreseen.handed, foreseen.source) == (report.epoch, {}, report.source)
    assert failover_preview.of_failback(three.loaded).already


def test_the_status_shows_every_direction_and_whose_clients_are_sent_where(three: TwoSides) -> None:
    go(three, "west", "east")
    found = mirror_status.status(three.loaded)
    hold(json.loads(json.dumps(found.to_json())))
    pairs = {(one.source, one.target) for one in found.links}
    assert pairs == {(one, other) for one in PLACES for other in PLACES if one != other}
    assert (found.active, found.handed, found.epoch) == (None, {"east": "west"}, 1)


def disagreeing(three: TwoSides) -> None:
    """East and west each decided something, without the other."""
    for place, moved in (("east", {"north": "east"}), ("west", {"north": "west"})):
        found = Direction(1, "", datetime(2026, 11, 27, tzinfo=UTC), moved=moved)
        direction.keep(three.sides[place], found)


def test_two_decisions_of_one_number_are_told_and_settled_by_the_next(three: TwoSides) -> None:
    disagreeing(three)
    with pytest.raises(Disagreement, match="clients of north to east and clients of north to west"):
        failback(three.loaded, three.steps)
    (said,) = mirror_status.status(three.loaded).problems
    assert "--from LOST --to DATACENTER` decides on it anew" in said
    assert failover_preview.of_failover(three.loaded, "west", lost="north").epoch == 2
    report = go(three, "west", "north")
    assert (report.already, report.epoch, report.handed) == (False, 2, {"north": "west"})
    assert {json.dumps(dict(found.moved)) for one in PLACES if (found := three.direction(one))} == {
        json.dumps({"north": "west"})
    }


def test_what_was_decided_while_there_were_two_still_holds(three: TwoSides) -> None:
    found = Direction(1, "west", datetime(2026, 11, 27, tzinfo=UTC))
    for one in three.sides.values():
        direction.keep(one, found)
    assert handed_out(three) == dict.fromkeys(PLACES, "west")
    assert failback(three.loaded, three.steps).handed == {}
    assert handed_out(three) == OWN


def test_a_drill_says_that_it_would_follow_a_canary_of_each_to_all_others(three: TwoSides) -> None:
    steps = drill_preview.of_drill(three.loaded).steps
    assert next(one for one in steps if one.startswith("make a canary topic in north")).endswith(
        "and follow it to east and west by the mirrors that carry everybody's"
    )
    assert len(steps) == 2 * 3 + 2
    three.down = {"east"}
    (refused,) = drill_preview.of_drill(three.loaded).refused
    assert "a drill needs every datacenter" in refused
    assert "--from east --to DATACENTER" in refused


def test_where_one_more_comes_others_leave_its_topics_to_it_before_it_has_any(
    three: TwoSides, monkeypatch: pytest.MonkeyPatch
) -> None:
    for here, connect in three.connects.items():
        for name in list(connect.found):
            if "west" in (here, *name.split("-")):
                connect.delete(name)
            elif name.endswith("-records"):
                one = connect.found[name]
                old = {
                    **one.config,
                    "topics.exclude": one.config["topics.exclude"].removesuffix(r",west\..*"),
                }
                assert old != one.config
                connect.put(name, old)
    told: list[tuple[str, str]] = []
    carry_out = mirroring._carry_out

    def carried_out(client: Any, todo: mirroring.Wanted) -> None:
        told.append((todo.kind, todo.words))
        carry_out(client, todo)

    monkeypatch.setattr(mirroring, "_carry_out", carried_out)
    done = mirroring.bring_up(three.sites)
    kinds = [kind for kind, _ in told]
    assert kinds[:2] == ["update-connector", "update-connector"]
    assert set(kinds[2:]) == {"create-connector"}
    assert sorted(one for some in done for one in some.changes) == sorted(words for _, words in told)
    assert mirroring.bring_up(three.sites)[0].changes == ()


def test_of_two_the_one_that_is_left_may_be_named_and_changes_nothing_of_what_is_done(two: TwoSides) -> None:
    report = failover(two.loaded, "west", two.steps, lost="east", patience=0.2)
    assert (report.source, report.target, report.planned, report.handed) == ("east", "west", True, None)
    assert (two.writers("east"), two.writers("west")) == (set(), {"orders", "payments"})
    assert failover(two.loaded, "west", two.steps, lost="east").already


MOVES = st.lists(st.permutations("abcde").map(lambda some: (some[0], some[1])), max_size=12)


@given(MOVES)
def test_whoever_is_sent_somewhere_is_sent_to_one_that_has_its_own(moves: list[tuple[str, str]]) -> None:
    moved: dict[str, str] = {}
    for lost, to in moves:
        moved = handing.after(moved, lost, to)
        assert moved[lost] == to
        assert not moved.keys() & set(moved.values())
        assert mirroring.clients_of(Direction(1, "", moved=moved), tuple("abcde")) == {
            one: moved.get(one, one) for one in "abcde"
        }
