"""Failover and failback over two clusters in memory: what is refused, in which words, and what it leaves."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from kdeploy.cli.failover import text
from kdeploy.cluster import direction
from kdeploy.cluster.direction import Direction, Disagreement
from kdeploy.cluster.failure import ClusterError, Unreachable
from kdeploy.cluster.mirror import LinkStatus
from kdeploy.cluster.translation import GroupState
from kdeploy.errors import KdeployError, Unhealthy, UsageError
from kdeploy.operations import failover_preview, mirror_status, mirroring, switching
from kdeploy.operations.failback import failback
from kdeploy.operations.failover import failover
from kdeploy.operations.failover_report import GroupGoesOn
from kdeploy.operations.progress import Silent
from kdeploy.operations.site import Site
from kdeploy.spec import load
from tests.contracts import hold
from tests.operations.two_sides_world import SHIPPED, TwoSides, go, lose_east


def test_before_any_failover_the_primary_alone_is_open_and_is_mirrored(two: TwoSides) -> None:
    assert (two.writers("east"), two.writers("west")) == ({"orders", "payments"}, set())
    assert two.running("west") == {"east-to-west-records", "east-to-west-groups", "west-heartbeats"}
    assert two.running("east") == {"east-heartbeats"}


def test_a_planned_failover_closes_one_side_opens_the_other_and_mirrors_back(two: TwoSides) -> None:
    two.write("east", 5)
    two.mirrored("east", "west", 5)
    report = go(two, "west")
    assert (report.planned, report.lost, report.rpo, report.epoch) == (True, 0, 0.0, 1)
    assert (two.writers("east"), two.writers("west")) == (set(), {"orders", "payments"})
    assert two.direction("east") == two.direction("west")
    assert two.running("east") == {"west-to-east-records", "west-to-east-groups", "east-heartbeats"}
    assert two.running("west") == {"west-heartbeats"}
    hold(report.to_json())


def test_a_failover_tells_what_each_group_reads_again(two: TwoSides, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bool] = []

    def looked(source: Site | None, *_: object) -> LinkStatus:
        asked.append(source is not None)
        assert "payments" not in two.writers("west"), "it is looked at before anybody is let in"
        group = GroupState("app", 7, 0, 1, ())
        return LinkStatus("east", "west", source is not None, (), None, None, (), (group,))

    monkeypatch.setattr(switching, "look", looked)
    report = go(two, "west")
    hold(report.to_json())
    assert report.groups == (GroupGoesOn("app", 7, 0, 1, checkpoint=False),)
    assert ["app", "7", "0", "1"] in [line.split() for line in text(report).splitlines()]
    assert go(two, "west").groups == ()
    assert asked == [True, True], (
        "before the fence for what keeps a group from going on, and when all is translated"
    )


def test_a_failover_without_the_primary_tells_it_by_what_the_target_knows_or_says_that_nobody_does(
    two: TwoSides, monkeypatch: pytest.MonkeyPatch
) -> None:
    def looked(source: Site | None, *_: object) -> LinkStatus:
        assert source is None
        raise ClusterError("the checkpoints cannot be read")

    monkeypatch.setattr(switching, "look", looked)
    two.down = {"east"}
    report = failover(two.loaded, "west", two.steps, accept_loss=True)
    assert (report.target, report.groups) == ("west", ())
    assert "what groups will read again is not known: the checkpoints cannot be read" in two.steps.said


def test_a_second_failover_to_the_same_side_says_so_and_changes_nothing(two: TwoSides) -> None:
    go(two, "west")
    two.again()
    report = go(two, "west")
    assert report.already
    assert two.happened() == []


def test_a_failover_to_the_primary_is_already_done(two: TwoSides) -> None:
    report = go(two, "east")
    assert (report.already, report.epoch) == (True, 0)
    assert two.happened() == []


@pytest.mark.parametrize(
    ("name", "to", "said", "remedy"),
    [
        ("local", "dc1", "nothing is mirrored in local", "say what is under `mirroring`"),
        ("local-two-dc-passive", "north", "has no datacenter 'north'", "there are: east, west"),
    ],
)
def test_what_cannot_be_is_a_mistake_of_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, to: str, said: str, remedy: str
) -> None:
    monkeypatch.setenv("KDEPLOY_STATE_DIR", str(tmp_path))
    with pytest.raises(UsageError, match=said) as caught:
        failover(load.load(SHIPPED / name), to, Silent())
    assert remedy in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_an_environment_that_was_never_brought_up_is_told_how(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KDEPLOY_STATE_DIR", str(tmp_path))
    with pytest.raises(KdeployError, match="kdeploy up local-two-dc-passive"):
        failover(load.load(SHIPPED / "local-two-dc-passive"), "west", Silent())


@pytest.mark.parametrize(
    ("down", "unwell", "to", "kind", "said", "remedy"),
    [
        (
            {"east", "west"},
            set(),
            "west",
            Unhealthy,
            "no datacenter of",
            "bring up what can be with `kdeploy up",
        ),
        (
            {"west"},
            set(),
            "west",
            Unhealthy,
            "west does not answer, so it cannot take over",
            "kdeploy status",
        ),
        (
            {"east"},
            set(),
            "east",
            Unhealthy,
            "east is the one that is written to, and it does not answer",
            "failover local-two-dc-passive --to west",
        ),
        (
            set(),
            {"west"},
            "west",
            Unhealthy,
            "west is not fit to take over",
            "under-replicated partitions: orders-0",
        ),
        (
            {"east"},
            set(),
            "west",
            switching.Behind,
            "east does not answer, so what it",
            "--to west --accept-loss",
        ),
    ],
)
def test_a_failover_that_could_lose_or_break_something_is_refused_and_changes_nothing(
    two: TwoSides, down: set[str], unwell: set[str], to: str, kind: type, said: str, remedy: str
) -> None:
    two.down, two.unwell = down, unwell
    with pytest.raises(kind, match=said) as caught:
        go(two, to)
    assert remedy in str(caught.value)
    assert two.happened() == []


def test_a_mirror_that_does_not_move_is_refused_before_anybody_is_fenced(two: TwoSides) -> None:
    two.write("east", 7)
    two.mirrored("east", "west", 3)
    with pytest.raises(switching.Behind, match="the mirror into west is 4 records behind") as caught:
        go(two, "west", patience=0.0)
    assert "kdeploy mirror status local-two-dc-passive" in str(caught.value)
    assert two.writers("east") == {"orders", "payments"}
    assert two.happened() == []


def test_a_mirror_behind_its_objective_is_said_and_waited_for_while_everybody_writes_on(
    two: TwoSides, monkeypatch: pytest.MonkeyPatch
) -> None:
    two.write("east", 7)
    two.mirrored("east", "west", 3)
    seen: list[set[str]] = []
    slept = 0.0

    def sleep(seconds: float) -> None:
        nonlocal slept
        slept += 6.0
        seen.append(two.writers("east"))
        if slept > 20:
            two.mirrored("east", "west", 7)

    monkeypatch.setattr("kdeploy.operations.switching.time.sleep", sleep)
    monkeypatch.setattr("kdeploy.operations.switching.time.monotonic", lambda: slept)
    go(two, "west", patience=60)
    assert "the mirror into west is 4 records and more than 10 s behind" in " ".join(two.steps.said)
    assert seen[:4] == [{"orders", "payments"}] * 4


def test_what_is_not_drained_in_time_is_taken_back(two: TwoSides, monkeypatch: pytest.MonkeyPatch) -> None:
    two.write("east", 7)
    two.mirrored("east", "west", 3)
    monkeypatch.setattr(switching, "approach", lambda *_: None)
    with pytest.raises(switching.Behind, match="4 records of east were not mirrored"):
        go(two, "west", patience=0.0)
    assert two.writers("east") == {"orders", "payments"}
    assert two.direction("west") is None


def test_accepting_a_loss_where_nothing_is_lost_is_left_aside_with_a_word(two: TwoSides) -> None:
    report = go(two, "west", accept_loss=True)
    assert (report.planned, report.lost) == (True, 0)
    assert "east answers, so nothing is lost: --accept-loss is not needed" in " ".join(two.steps.said)


def test_a_dead_primary_is_given_up_with_a_word_and_what_was_mirrored_is_kept(two: TwoSides) -> None:
    lose_east(two)
    found = two.direction("west")
    assert found is not None
    assert (found.planned, found.mirrored["orders"][0], found.ends["orders"][0]) == (False, 3, 3)
    assert two.writers("west") == {"orders", "payments"}
    assert two.direction("east") is None


def test_a_datacenter_that_was_lost_does_not_take_over_before_it_was_given_back(two: TwoSides) -> None:
    lose_east(two)
    with pytest.raises(KdeployError, match="east was lost with records that nobody else has") as caught:
        go(two, "east")
    assert "kdeploy failback local-two-dc-passive" in str(caught.value)
    assert two.happened() == []


def test_a_failback_exports_what_the_old_primary_alone_has_and_goes_on_from_the_end(
    two: TwoSides, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lose_east(two)
    two.write("west", 2)
    # Nothing copies in memory: as soon as the mirror back is set out, it has what was written since.
    monkeypatch.setattr(switching, "catch_up", lambda *_: two.mirrored("west", "east", 5))
    report = failback(two.loaded, two.steps, export=tmp_path / "alone", patience=1)
    assert report.exported == (str(tmp_path / "alone"), 4)
    assert (report.target, report.planned, report.lost, report.epoch) == ("east", True, 0, 3)
    assert (two.writers("east"), two.writers("west")) == ({"orders", "payments"}, set())
    hold(report.to_json())


@pytest.mark.parametrize(("down", "said"), [(set(), "east is written to"), ({"west"}, "east is written to")])
def test_there_is_nothing_to_give_back_where_nothing_was_taken(
    two: TwoSides, down: set[str], said: str
) -> None:
    two.down = down
    with pytest.raises(KdeployError, match=f"is where it was declared to be: {said}"):
        failback(two.loaded, two.steps)
    assert two.happened() == []


@pytest.mark.parametrize(
    ("down", "said"),
    [
        ("east", "east does not answer, so nothing can be given back"),
        ("west", "west is the one that is written to"),
    ],
)
def test_a_failback_needs_both_sides(two: TwoSides, down: str, said: str) -> None:
    go(two, "west")
    two.again()
    two.down = {down}
    with pytest.raises(Unhealthy, match=said):
        failback(two.loaded, two.steps)
    assert two.happened() == []


def test_of_two_that_are_written_to_a_failover_moves_clients_and_fences_nobody(active: TwoSides) -> None:
    before = {name: active.writers(name) for name in ("east", "west")}
    report = go(active, "west")
    assert (report.target, report.planned, report.epoch) == ("west", True, 1)
    assert {name: active.writers(name) for name in ("east", "west")} == before
    assert active.direction("east") == active.direction("west")
    assert go(active, "west").already
    report = failback(active.loaded, active.steps)
    assert report.epoch == 2
    found = active.direction("west")
    assert found is not None
    assert found.active == ""


def test_a_dry_run_says_each_step_and_changes_nothing(two: TwoSides) -> None:
    two.write("east", 7)
    two.mirrored("east", "west", 3)
    report = failover_preview.of_failover(two.loaded, "west")
    said = [one.what for one in report.steps]
    assert said == [
        "see that the mirror into west moves: it is 4 records and 0.1 s behind",
        "fence east: nobody may write mirrored topics there (2 changes of access lists)",
        "wait until all that east has is mirrored, and groups are translated",
        "stop the mirror into west",
        "decide on west, as number 1",
        "open west: it may be written to (2 changes of access lists)",
        "mirror west to east, from where west was when it took over",
        "hand out clients of west",
    ] or said[0].startswith("see that the mirror into west moves: it is 4 records")
    assert report.behind is not None
    assert (report.behind.records, report.lost, report.refused) == (4, 0, ())
    assert two.happened() == []
    hold(report.to_json())


def test_a_dry_run_of_a_failover_that_needs_a_word_says_what_for(two: TwoSides) -> None:
    two.write("east", 7)
    two.mirrored("east", "west", 3)
    two.down = {"east"}
    report = failover_preview.of_failover(two.loaded, "west")
    assert not report.planned
    assert report.rpo is not None
    assert [one for one in report.refused if "--accept-loss" in one]
    assert failover_preview.of_failover(two.loaded, "west", accept_loss=True).refused == ()
    assert two.happened() == []
    hold(report.to_json())


def test_a_dry_run_tells_of_a_target_that_is_not_fit(two: TwoSides) -> None:
    two.unwell = {"west"}
    (said,) = failover_preview.of_failover(two.loaded, "west").refused
    assert said.startswith("west is not fit to take over")


def test_a_dry_run_of_a_failback_counts_what_would_be_exported(two: TwoSides) -> None:
    lose_east(two)
    two.write("west", 2)
    report = failover_preview.of_failback(two.loaded)
    assert report.exported is not None
    assert report.exported[1] == 4
    assert report.behind is not None
    assert (report.behind.records, report.epoch) == (2, 3)
    assert two.happened() == []
    assert not Path(report.exported[0]).exists()
    hold(report.to_json())


def lose_west(two: TwoSides) -> None:
    """West was written to as planned, is gone with 4 records that east has not, and east took over; west answers again."""
    go(two, "west")
    two.write("west", 7)
    two.mirrored("west", "east", 3)
    two.down = {"west"}
    go(two, "east", accept_loss=True)
    two.down = set()
    two.again()


def test_one_that_was_lost_away_from_home_is_taken_back_and_nothing_moves(
    two: TwoSides, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lose_west(two)
    with pytest.raises(KdeployError, match="west was lost with records that nobody else has"):
        go(two, "west")
    foreseen = failover_preview.of_failback(two.loaded)
    assert (foreseen.returned, foreseen.target, foreseen.exported and foreseen.exported[1]) == (
        "west",
        "east",
        4,
    )
    assert two.happened() == []
    report = failback(two.loaded, two.steps, export=tmp_path / "alone", patience=1)
    assert (report.returned, report.target, report.exported) == ("west", "east", (str(tmp_path / "alone"), 4))
    assert (two.writers("east"), two.writers("west")) == ({"orders", "payments"}, set())
    assert "east-to-west-records" in two.running("west")
    hold(report.to_json())
    two.mirrored("east", "west", 3)
    assert go(two, "west").planned


def disagree(two: TwoSides) -> None:
    """Both were taken over as number 2, each without the other; east has 4 records that west has not, west has 2."""
    two.write("east", 7)
    two.mirrored("east", "west", 3)
    two.write("west", 2)
    took = {"orders": {0: 3}}
    since = datetime(2026, 11, 27, tzinfo=UTC)
    direction.keep(two.sides["west"], Direction(2, "west", since, planned=False, mirrored=took, ends=took))
    direction.keep(two.sides["east"], Direction(2, "east", since, planned=False))
    two.again()


def test_where_both_were_taken_over_every_command_says_how_that_is_settled(two: TwoSides) -> None:
    disagree(two)
    for command in (lambda: failback(two.loaded, two.steps), lambda: mirroring.decided(two.sites)):
        with pytest.raises(Disagreement, match="east and west were each made the active one") as caught:
            command()
        assert "kdeploy failover ENV --to DATACENTER" in str(caught.value)
    found = mirror_status.status(two.loaded)
    assert (found.active, found.epoch, len(found.links)) == (None, 2, 2)
    assert "kdeploy failover local-two-dc-passive --to DATACENTER" in found.problems[0]
    assert two.happened() == []


@pytest.mark.parametrize(("to", "other", "alone"), [("west", "east", 4), ("east", "west", 2)])
def test_a_failover_settles_it_with_a_persons_word_and_counts_what_the_other_alone_has(
    two: TwoSides, to: str, other: str, alone: int
) -> None:
    disagree(two)
    with pytest.raises(switching.Behind, match=f"{alone} records are what {other} alone has") as caught:
        go(two, to)
    assert f"kdeploy failover local-two-dc-passive --to {to} --accept-loss" in str(caught.value)
    foreseen = failover_preview.of_failover(two.loaded, to, accept_loss=True)
    assert (foreseen.lost, foreseen.epoch, foreseen.refused) == (alone, 3, ())
    hold(foreseen.to_json())
    assert failover_preview.of_failover(two.loaded, to).refused == (str(caught.value),)
    assert two.happened() == []
    told = f"  records that {other} alone has: {alone}; `kdeploy failback` exports them"
    assert told in text(foreseen).splitlines()
    report = go(two, to, accept_loss=True)
    assert told in text(report).splitlines()
    assert not report.to_json()["records_lost_is_estimated"]
    assert (report.target, report.planned, report.lost, report.epoch) == (to, False, alone, 3)
    assert (two.writers(to), two.writers(other)) == ({"orders", "payments"}, set())
    assert two.direction("east") == two.direction("west")
    assert not [one for one in (*two.running("east"), *two.running("west")) if "-to-" in one]
    assert go(two, to).already
    hold(report.to_json())


def test_what_was_settled_is_given_back_with_the_others_records_exported(
    two: TwoSides, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disagree(two)
    go(two, "west", accept_loss=True)
    monkeypatch.setattr(switching, "catch_up", lambda *_: two.mirrored("west", "east", 5))
    report = failback(two.loaded, two.steps, export=tmp_path / "alone", patience=1)
    assert report.exported == (str(tmp_path / "alone"), 4)
    assert (report.target, report.lost, report.epoch) == ("east", 0, 5)


@pytest.mark.parametrize("point", ["failover-fenced", "failover-decided", "failover-opened"])
def test_a_settlement_that_is_killed_is_finished_by_the_same_command(
    two: TwoSides, point: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    def kill(name: str) -> None:
        if name == point:
            raise Killed

    disagree(two)
    with monkeypatch.context() as patch:
        patch.setattr("kdeploy.operations.failover.kill_point", kill)
        with pytest.raises(Killed):
            go(two, "west", accept_loss=True)
    assert not (two.writers("east") and two.writers("west"))
    assert go(two, "west", accept_loss=True).target == "west"
    assert (two.writers("east"), two.writers("west")) == (set(), {"orders", "payments"})
    assert two.direction("east") == two.direction("west")


def test_where_all_are_written_to_it_is_settled_without_a_loss(active: TwoSides) -> None:
    since = datetime(2026, 11, 27, tzinfo=UTC)
    for name in ("east", "west"):
        direction.keep(active.sides[name], Direction(1, name, since))
    with pytest.raises(Disagreement):
        mirroring.decided(active.sites)
    report = go(active, "west")
    assert (report.target, report.planned, report.lost, report.epoch, report.already) == (
        "west",
        True,
        0,
        2,
        False,
    )
    found = mirroring.decided(active.sites)
    assert found is not None
    assert (found.active, found.epoch) == ("west", 2)


def test_what_this_machine_heard_counts_against_a_cluster_that_knows_less(two: TwoSides) -> None:
    since = datetime(2026, 11, 27, tzinfo=UTC)
    direction.keep(two.sides["west"], Direction(3, "west", since))
    mirroring.decided(two.sites)
    two.down = {"west"}
    report = go(two, "east", accept_loss=True)
    assert (report.target, report.planned, report.epoch, report.already) == ("east", False, 4, False)


def test_both_connectors_are_stopped_at_once(two: TwoSides, monkeypatch: pytest.MonkeyPatch) -> None:
    together = threading.Barrier(2, timeout=30)
    west = two.connects["west"]
    stop = west.stop

    def waits_for_the_other(name: str) -> None:
        together.wait()
        stop(name)

    monkeypatch.setattr(west, "stop", waits_for_the_other)
    two.write("east", 7)
    two.mirrored("east", "west", 3)
    two.down = {"east"}
    assert go(two, "west", accept_loss=True).target == "west"


def test_nobody_is_let_in_before_every_task_that_wrote_there_is_gone(two: TwoSides) -> None:
    two.write("east", 7)
    two.mirrored("east", "west", 3)
    two.down = {"east"}
    two.connects["west"].stops_at_once = False
    failing = threading.Thread(target=lambda: go(two, "west", accept_loss=True))
    failing.start()
    deadline = time.monotonic() + 30
    while ("stop", "east-to-west-groups") not in two.connects["west"].calls or (
        ("stop", "east-to-west-records") not in two.connects["west"].calls
    ):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert failing.is_alive()
    assert (two.writers("west"), two.direction("west")) == (set(), None)
    two.connects["west"].finish_stops()
    failing.join(30)
    assert two.writers("west") == {"orders", "payments"}


def test_what_is_lost_is_told_again_by_the_same_command_and_not_of_what_was_written_since(
    two: TwoSides,
) -> None:
    two.write("east", 200, age=30.0)
    two.mirrored("east", "west", 150)
    two.down = {"east"}
    first = go(two, "west", accept_loss=True)
    two.write("west", 500)
    again = go(two, "west", accept_loss=True)
    assert (first.already, again.already) == (False, True)
    assert first.lost is not None
    assert (first.lost, first.doubt, first.rpo) == (again.lost, again.doubt, again.rpo)
    assert first.doubt is not None
    assert first.lost <= first.doubt.at_most <= first.doubt.if_written


def test_a_failover_is_done_also_where_nobody_knows_what_is_lost(
    two: TwoSides, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(*_: object) -> None:
        raise Unreachable("no broker could be reached")

    two.write("east", 7)
    two.mirrored("east", "west", 3)
    two.down = {"east"}
    monkeypatch.setattr(switching, "lost", gone)
    report = go(two, "west", accept_loss=True)
    assert (report.target, report.lost, report.doubt) == ("west", None, None)
    assert "how much is lost is not known: no broker could be reached" in " ".join(two.steps.said)
    hold(report.to_json())
