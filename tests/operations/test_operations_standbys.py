"""Three datacenters of which one is written to, in memory: those that stand by have all that any of them has, each once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from kdeploy.cli.failover import text
from kdeploy.cluster import direction
from kdeploy.cluster.direction import Direction, Disagreement
from kdeploy.errors import KdeployError, Unhealthy, UsageError
from kdeploy.operations import (
    drill_preview,
    failover_preview,
    fencing,
    mirror_status,
    mirroring,
    switching,
)
from kdeploy.operations.failback import failback
from kdeploy.operations.failover import failover
from kdeploy.operations.failover_report import Report
from tests.contracts import hold
from tests.operations.standbys_world import NAME, PLACE, PLACES, Standbys
from tests.operations.test_operations_killed import MODULES, Killed


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Standbys]:
    with pytest.MonkeyPatch.context() as patch:
        yield Standbys(tmp_path_factory.mktemp("standbys"), patch)


@pytest.fixture
def three(standing: Standbys, monkeypatch: pytest.MonkeyPatch) -> Standbys:
    return standing.stand_in(monkeypatch)


def go(three: Standbys, to: str, *, accept_loss: bool = False) -> Report:
    report = failover(three.loaded, to, three.steps, accept_loss=accept_loss, patience=0.5)
    hold(report.to_json())
    return report


def back(three: Standbys, folder: Path | None = None) -> Report:
    report = failback(three.loaded, three.steps, export=folder, patience=0.5)
    hold(report.to_json())
    return report


def records(three: Standbys) -> dict[str, set[str]]:
    """By datacenter where its connectors of records that run read."""
    return {
        here: {name.split("-to-")[0] for name in three.running(here) if name.endswith("-records")}
        for here in PLACES
    }


def open_in(three: Standbys) -> list[str]:
    return [one for one in PLACES if "orders" in three.writers(one)]


def test_before_any_failover_the_primary_alone_is_open_and_is_mirrored_to_both(three: Standbys) -> None:
    assert open_in(three) == ["north"]
    assert records(three) == {"north": set(), "east": {"north"}, "west": {"north"}}


def test_a_planned_failover_has_all_others_mirrored_from_the_one_that_took_over(three: Standbys) -> None:
    three.write("north", 5)
    report = go(three, "east")
    assert (report.source, report.planned, report.lost, report.epoch) == ("north", True, 0, 1)
    assert open_in(three) == ["east"]
    assert records(three) == {"north": {"east"}, "east": set(), "west": {"east"}}
    three.write("east", 3)
    three.mirror()
    assert three.values("north") == three.values("east") == three.values("west") == list(range(8))
    assert go(three, "east").already
    report = back(three)
    assert (report.target, report.epoch) == ("north", 2)
    three.write("north", 2)
    three.mirror()
    assert three.values("north") == three.values("east") == three.values("west") == list(range(10))


def test_one_whose_mirror_is_late_goes_on_from_where_it_was(
    three: Standbys, monkeypatch: pytest.MonkeyPatch
) -> None:
    three.write("north", 5)
    three.mirror(most=2, only=("north", "west"))
    monkeypatch.setattr(
        "kdeploy.operations.switching.time.sleep", lambda _: three.mirror(only=("north", "east"))
    )
    go(three, "east")
    assert three.values("west") == [0, 1], "it was not waited for"
    three.write("east", 3)
    three.mirror()
    assert three.values("west") == list(range(8))


def test_one_that_does_not_answer_takes_part_again_with_a_failback(three: Standbys, tmp_path: Path) -> None:
    three.write("north", 5)
    three.mirror(most=2, only=("north", "west"))
    three.down = {"west"}
    go(three, "east")
    three.write("east", 3)
    three.down = set()
    three.mirror()
    assert records(three)["west"] == {"north"}, "nobody could tell it, so it follows the one that it knew"
    with pytest.raises(KdeployError, match="nothing is mirrored to west since it was left"):
        go(three, "west")
    report = back(three, tmp_path)
    assert (report.target, report.exported) == ("north", (str(tmp_path / "west"), 0))
    three.mirror()
    assert three.values("west") == three.values("north") == list(range(8))


@pytest.mark.parametrize(("east", "west"), [(3, 5), (5, 3), (4, 4), (0, 6), (6, 0), (0, 0)])
@pytest.mark.parametrize("to", ["east", "west"])
def test_of_a_dead_primary_all_that_any_other_one_has_is_kept(
    three: Standbys, east: int, west: int, to: str, tmp_path: Path
) -> None:
    three.write("north", 7)
    for name, most in (("east", east), ("west", west)):
        three.mirror(most=most, only=("north", name))
    three.down = {"north"}
    report = go(three, to, accept_loss=True)
    assert (report.source, report.target, report.planned) == ("north", to, False)
    kept = max(east, west)
    assert three.values(to) == list(range(kept))
    assert open_in(three)[-1] == to
    three.write(to, 3)
    three.mirror()
    expected = [*range(kept), 7, 8, 9]
    assert three.values("east") == three.values("west") == expected
    three.down = set()
    report = back(three, tmp_path)
    assert report.exported == (str(tmp_path / "north"), 7 - kept)
    lines = (tmp_path / "north" / "orders-0.jsonl").read_text().splitlines() if kept < 7 else []
    assert len(lines) == 7 - kept
    assert (report.target, open_in(three)) == ("north", ["north"])
    three.write("north", 2)
    three.mirror()
    assert three.values("north") == [*range(7), 7, 8, 9, 10, 11]
    assert three.values("east") == three.values("west") == [*expected, 10, 11]


def north_dies_with_west_ahead(three: Standbys) -> None:
    """West has five of its seven records, and east none."""
    three.write("north", 7)
    three.mirror(most=5, only=("north", "west"))
    three.down = {"north"}


def test_nobody_is_let_in_before_what_another_one_has_is_gathered(
    three: Standbys, monkeypatch: pytest.MonkeyPatch
) -> None:
    north_dies_with_west_ahead(three)
    seen: list[list[str]] = []

    def mirror(_: float) -> None:
        seen.append([one for one in ("east", "west") if "orders" in three.writers(one)])
        three.mirror()

    monkeypatch.setattr("kdeploy.operations.switching.time.sleep", mirror)
    go(three, "east", accept_loss=True)
    assert seen
    assert seen[0] == []
    assert three.values("east") == list(range(5))


def test_where_the_one_that_has_more_dies_while_it_is_gathered_it_takes_a_word_to_go_on(
    three: Standbys, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    three.write("north", 7)
    three.mirror(most=3, only=("north", "east"))
    three.mirror(most=5, only=("north", "west"))
    three.down = {"north"}

    def dies(_: float) -> None:
        three.down = {"north", "west"}

    monkeypatch.setattr("kdeploy.operations.standbys.ANSWERS_WITHIN", 0.1)
    with monkeypatch.context() as patch:
        patch.setattr("kdeploy.operations.switching.time.sleep", dies)
        with pytest.raises(KdeployError):
            go(three, "east", accept_loss=True)
    assert "orders" not in three.writers("east")
    with pytest.raises(
        switching.Behind, match="west has records that east lacks, and does not answer"
    ) as caught:
        go(three, "east")
    assert "kdeploy failover local-three-dc-passive --to east --accept-loss" in str(caught.value)
    go(three, "east", accept_loss=True)
    assert "orders" in three.writers("east")
    three.write("east", 2)
    three.down = set()
    report = back(three, tmp_path)
    assert report.exported is not None
    assert report.exported[1] == 4 + 2, "what north and what west alone has"
    three.mirror()
    assert three.values("east") == [0, 1, 2, 7, 8]


@pytest.mark.parametrize(
    ("arguments", "error", "said"),
    [
        (
            {"lost": "west"},
            UsageError,
            "west is not written to, so nothing can be taken over from it: north is",
        ),
        ({"lost": "south"}, UsageError, "has no datacenter 'south'"),
        ({"down": {"east"}}, Unhealthy, "east does not answer, so it cannot take over"),
        ({"down": set(PLACES)}, Unhealthy, "no datacenter"),
        ({"down": {"north"}}, switching.Behind, "--to east --accept-loss"),
    ],
)
def test_what_cannot_be_is_refused_and_nothing_is_changed(
    three: Standbys, arguments: dict[str, object], error: type[KdeployError], said: str
) -> None:
    three.down = set(arguments.get("down", ()))  # type: ignore[call-overload]
    lost = arguments.get("lost")
    with pytest.raises(error) as caught:
        failover(three.loaded, "east", three.steps, lost=lost, patience=0.2)  # type: ignore[arg-type]
    assert said in str(caught.value)
    assert three.happened() == []


def test_one_that_was_left_does_not_take_over_where_another_one_was_not(three: Standbys) -> None:
    three.down = {"west"}
    go(three, "east")
    three.down = {"east"}
    with pytest.raises(KdeployError, match=r"west was left .* north has what east wrote"):
        go(three, "west", accept_loss=True)
    assert go(three, "north", accept_loss=True).target == "north"


def test_a_dry_run_says_each_step_and_changes_nothing(three: Standbys) -> None:
    three.write("north", 4)
    report = failover_preview.of_failover(three.loaded, "west")
    hold(report.to_json())
    said = text(report)
    assert "stop the mirror into west and east" in said
    assert "mirror west to north and east, from where west was when it took over" in " ".join(said.split())
    assert three.happened() == []
    three.down = {"north"}
    report = failover_preview.of_failover(three.loaded, "west", accept_loss=True)
    hold(report.to_json())
    assert "mirror to west what east may have and it lacks" in " ".join(text(report).split())
    go(three, "west", accept_loss=True)
    three.down = set()
    three.again()
    report = failover_preview.of_failback(three.loaded)
    hold(report.to_json())
    assert "export 4 records that north alone has" in " ".join(text(report).split())
    assert (report.target, report.epoch) == ("north", 3)
    assert three.happened() == []


def test_the_status_tells_of_every_direction_that_runs_and_of_who_is_apart(three: Standbys) -> None:
    three.down = {"west"}
    go(three, "east")
    three.down = set()
    found = mirror_status.status(three.loaded)
    hold(json.loads(json.dumps(found.to_json())))
    assert (found.active, found.epoch) == ("east", 1)
    assert {(one.source, one.target) for one in found.links} == {("east", "north"), ("east", "west")}
    assert any("nothing is mirrored to west" in one for one in found.problems)


def test_a_drill_goes_to_every_one_that_stands_by_and_back_from_each(three: Standbys) -> None:
    steps = drill_preview.of_drill(three.loaded).steps
    said = "\n".join(steps)
    assert "follow it to east and west" in said
    assert "east-to-north-drill" in said
    assert "west-to-north-drill" in said
    three.down = {"west"}
    go(three, "east")
    three.down = set()
    (refused,) = drill_preview.of_drill(three.loaded).refused
    assert "west was left and is not mirrored to since" in refused


def test_a_decision_of_three_is_read_back_as_it_was(three: Standbys) -> None:
    three.write("north", 5)
    three.mirror(most=2, only=("north", "west"))
    three.down = {"north"}
    go(three, "east", accept_loss=True)
    kept = three.direction("east")
    assert kept is not None
    assert kept == three.direction("west")
    assert (kept.before, set(kept.apart or {}), kept.gathers) == ("north", {"north"}, {})
    assert json.dumps(kept.ends)


def up(three: Standbys) -> None:
    sites, found = mirroring.as_decided(three.sites)
    for one in sites:
        fencing.hold(one)
    mirroring.bring_up(sites, found)


def test_one_more_that_comes_after_a_failover_of_two_is_mirrored_to_from_the_first_record_on(
    three: Standbys,
) -> None:
    three.write("east", 5)
    three.sides["north"].logs[PLACE] = list(three.sides["east"].logs[PLACE])
    found = Direction(1, "east", datetime(2026, 11, 28, tzinfo=UTC), ends={"orders": {0: 5}})
    for place in ("north", "east"):
        direction.keep(three.sides[place], found)
    up(three)
    three.write("east", 2)
    three.mirror()
    assert three.values("west") == list(range(7))
    assert three.values("north") == list(range(7))
    assert back(three).target == "north"
    assert open_in(three) == ["north"]


def test_one_that_was_lost_while_there_were_two_gives_up_what_it_alone_has(
    three: Standbys, tmp_path: Path
) -> None:
    three.write("north", 4)
    three.sides["east"].logs[PLACE] = list(three.sides["north"].logs[PLACE])[:3]
    three.write("east", 2)
    ends, mirrored = {"orders": {0: 3}}, {"orders": {0: 3}}
    since = datetime(2026, 11, 28, tzinfo=UTC)
    direction.keep(
        three.sides["east"], Direction(1, "east", since, planned=False, mirrored=mirrored, ends=ends)
    )
    up(three)
    report = back(three, tmp_path)
    assert report.taken_back == ("north", "west")
    assert report.exported == (str(tmp_path), 1)
    three.mirror()
    assert three.values("north") == [0, 1, 2, 3, 4, 5]
    assert three.values("east") == three.values("west") == [0, 1, 2, 4, 5]


def test_where_two_were_taken_over_each_without_the_other_one_goes_on_and_nothing_is_lost_unseen(
    three: Standbys, tmp_path: Path
) -> None:
    three.write("north", 4)
    three.mirror()
    three.down = {"north", "west"}
    go(three, "east", accept_loss=True)
    three.write("east", 2)
    (three.state / NAME / mirroring.HEARD).unlink()
    three.down = {"north", "east"}
    go(three, "west", accept_loss=True)
    three.write("west", 3)
    three.down = set()
    found = mirror_status.status(three.loaded)
    assert (found.active, found.epoch) == (None, 1)
    assert any("disagree" in one for one in found.problems)
    with pytest.raises(Disagreement):
        back(three)
    with pytest.raises(switching.Behind, match="2 records are what east alone has"):
        go(three, "west")
    assert open_in(three) == ["north", "east", "west"], "as they were: nobody was asked yet"
    report = go(three, "west", accept_loss=True)
    assert (report.target, report.epoch, report.lost, report.counted) == ("west", 2, 2, True)
    assert open_in(three) == ["west"]
    report = back(three, tmp_path)
    assert report.exported == (str(tmp_path), 2)
    three.mirror()
    assert three.values("north") == three.values("west") == [0, 1, 2, 3, 6, 7, 8]
    assert three.values("east") == [0, 1, 2, 3, 4, 5, 6, 7, 8]
    assert (report.target, open_in(three)) == ("north", ["north"])


@contextmanager
def killed_at(point: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Have the block's command end at a moment of this name."""

    def kill(name: str) -> None:
        if name == point:
            raise Killed(name)

    with monkeypatch.context() as patch:
        for module in MODULES:
            patch.setattr(f"kdeploy.operations.{module}.kill_point", kill)
        with pytest.raises(Killed):
            yield


def test_one_that_gathers_is_open_only_when_nothing_is_mirrored_to_it_any_more(
    three: Standbys, monkeypatch: pytest.MonkeyPatch
) -> None:
    north_dies_with_west_ahead(three)
    with killed_at("failover-gathering", monkeypatch):
        go(three, "east", accept_loss=True)
    assert records(three)["east"] == {"west"}
    three.down = {"north", "west"}
    go(three, "east", accept_loss=True)
    assert "east" in open_in(three)
    assert records(three)["east"] == set()


def test_a_failback_is_refused_while_what_others_have_is_gathered(
    three: Standbys, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    north_dies_with_west_ahead(three)
    with killed_at("failover-decided", monkeypatch):
        go(three, "east", accept_loss=True)
    for refused in (lambda: back(three, tmp_path), lambda: failover_preview.of_failback(three.loaded)):
        with pytest.raises(KdeployError, match="east was decided on, and mirrors what others have"):
            refused()
    go(three, "east", accept_loss=True)
    three.mirror()
    assert three.values("east") == three.values("west") == list(range(5))


@pytest.mark.parametrize("point", ["failback-readmitted", "failback-exported", "failback-mirrored"])
def test_a_failback_that_was_killed_is_finished_by_the_same_command(
    three: Standbys, point: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    three.write("north", 7)
    three.mirror(most=5)
    three.down = {"north"}
    go(three, "east", accept_loss=True)
    three.write("east", 2)
    three.down = set()
    with killed_at(point, monkeypatch):
        back(three, tmp_path)
    assert back(three, tmp_path).target == "north"
    three.mirror()
    assert open_in(three) == ["north"]
    assert three.values("north") == [0, 1, 2, 3, 4, 5, 6, 7, 8]
    assert three.values("east") == three.values("west") == [0, 1, 2, 3, 4, 7, 8]


def test_there_is_nothing_to_give_back_where_nothing_was_taken_or_home_does_not_answer(
    three: Standbys,
) -> None:
    with pytest.raises(KdeployError, match="is where it was declared to be: north is written to"):
        back(three)
    go(three, "east")
    three.down = {"north"}
    for refused in (lambda: back(three), lambda: failover_preview.of_failback(three.loaded)):
        with pytest.raises(Unhealthy, match="north does not answer, so nothing can be given back"):
            refused()


def test_what_was_lost_stays_told_until_the_one_that_lost_it_is_taken_back(
    three: Standbys, tmp_path: Path
) -> None:
    three.write("north", 3)
    three.mirror(most=2)
    three.down = {"north", "west"}
    go(three, "east", accept_loss=True)
    three.down = {"north"}
    report = back(three, tmp_path)
    assert (report.returned, report.taken_back, report.exported) == (
        "west",
        ("west",),
        (str(tmp_path / "west"), 0),
    )
    again = go(three, "east")
    assert (again.planned, again.already) == (False, True)
    three.down = set()
    assert back(three, tmp_path).exported == (str(tmp_path / "north"), 1)
    assert go(three, "north").planned
