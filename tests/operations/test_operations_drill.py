"""A drill over two clusters in memory: what it measures, what it leaves alone, and that nothing of it stays."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import permutations
from typing import Any

import pytest

from kdeploy.cluster import Access, canary, temporary
from kdeploy.cluster.fake import FakeAdmin
from kdeploy.cluster.state import LogRecord, NewTopic
from kdeploy.errors import KdeployError, Unhealthy, UsageError
from kdeploy.operations import drill as drilling
from kdeploy.operations.drill import drill
from kdeploy.operations.drill_preview import of_drill
from kdeploy.operations.drill_report import DirectionDrilled, Drilled, GroupDrilled, quantile
from kdeploy.operations.failover import failover
from kdeploy.operations.failover_report import Behind, Step
from kdeploy.operations.progress import Silent
from kdeploy.spec import load
from tests.contracts import hold
from tests.operations.two_sides_world import NOW, SHIPPED, Side, TwoSides


@dataclass
class Mirroring:
    """Copies canary records as MirrorMaker would: at once, unless it is told to lose, double or hold some.

    Attributes:
        two: The datacenters.
        lost, doubled: Numbers of records that do not come, or come twice.
        finds, translates: Whether anything comes, and groups do.
        deaf: A datacenter that nothing comes to.
        written: Topics that were written to.
    """

    two: TwoSides
    lost: set[int] = field(default_factory=set)
    doubled: set[int] = field(default_factory=set)
    finds: bool = True
    translates: bool = True
    deaf: str = ""
    written: list[str] = field(default_factory=list)

    def write(self, access: Access, topic: str, numbers: Sequence[int]) -> None:
        here, side = self.two.where(access)
        self.written.append(topic)
        self._append(side, topic, numbers)
        for there in self._others(here):
            if self.finds:
                some = [one for one in numbers if one not in self.lost]
                self._append(
                    there, self._copy(here, topic), some + [one for one in some if one in self.doubled]
                )

    def _others(self, here: str) -> list[Side]:
        return [side for name, side in self.two.sides.items() if name not in (here, self.deaf)]

    def _copy(self, here: str, topic: str) -> str:
        wanted = self.two.loaded.environment.mirroring
        assert wanted is not None
        return topic if wanted.names == "identity" else f"{here}.{topic}"

    def _append(self, side: FakeAdmin, topic: str, numbers: Sequence[int]) -> None:
        if topic not in side.topics:
            side.create_topics([NewTopic(topic, 1)])
        log = side.logs.setdefault((topic, 0), [])
        log += [
            LogRecord(topic, 0, len(log) + at, NOW, value=str(one).encode()) for at, one in enumerate(numbers)
        ]

    def commit(self, access: Access, topic: str, offset: int) -> None:
        here, side = self.two.where(access)
        side.groups[topic] = {(topic, 0): offset}
        if self.translates:
            for there in self._others(here):
                there.groups[topic] = {(self._copy(here, topic), 0): max(0, offset - 3)}


def stand_in(two: TwoSides, patch: pytest.MonkeyPatch) -> Mirroring:
    two.stand_in(patch)
    made = Mirroring(two)
    patch.setattr(canary, "write", made.write)
    patch.setattr(canary, "commit", made.commit)
    for name in ("IN_FLIGHT", "PAUSE"):
        patch.setattr(drilling, name, 0.0)
    for name in ("FOUND_WITHIN", "GROUP_WITHIN"):
        patch.setattr(drilling, name, 0.3)
    patch.setattr(canary, "LOOK", 0.001)
    return made


@pytest.fixture
def passive(both: dict[str, TwoSides], monkeypatch: pytest.MonkeyPatch) -> Mirroring:
    return stand_in(both["passive"], monkeypatch)


@pytest.fixture
def active(both: dict[str, TwoSides], monkeypatch: pytest.MonkeyPatch) -> Mirroring:
    return stand_in(both["active"], monkeypatch)


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TwoSides]:
    with pytest.MonkeyPatch.context() as patch:
        yield TwoSides(tmp_path_factory.mktemp("three"), "local-three-dc-active", patch)


@pytest.fixture
def many(three: TwoSides, monkeypatch: pytest.MonkeyPatch) -> Mirroring:
    return stand_in(three, monkeypatch)


def go(made: Mirroring) -> Drilled:
    found = drill(made.two.loaded, made.two.steps, seconds=0.0)
    hold(found.to_json())
    return found


def everybodys(two: TwoSides) -> Any:
    """All that is no drill's, as it is."""
    return [
        (
            {name: one for name, one in side.topics.items() if "kdeploy-drill" not in name},
            set(side.acls),
            dict(side.passwords),
            dict(side.compacted),
        )
        for side in two.sides.values()
    ] + [dict(one.found) for one in two.connects.values()]


def canaries(two: TwoSides) -> list[str]:
    return [name for side in two.sides.values() for name in side.topics if "kdeploy-drill" in name]


def test_a_drill_of_active_passive_measures_both_ways_and_every_step(passive: Mirroring) -> None:
    found = go(passive)
    assert [(one.source, one.target, one.mirrored_now) for one in found.directions] == [
        ("east", "west", True),
        ("west", "east", False),
    ]
    assert [one.arrived for one in found.directions] == [one.written for one in found.directions]
    assert found.directions[0].group is not None
    assert found.directions[0].group.goes_on == found.directions[0].group.committed - 3
    assert [one.what for one in found.steps] == [
        "fence east",
        "wait until all is mirrored",
        "translate groups",
        "stop a mirror",
        "decide who is written to",
        "open west",
    ]
    assert (found.ok, found.problems) == (True, ())


def test_a_drill_of_active_active_measures_both_ways_by_what_mirrors_everybody(active: Mirroring) -> None:
    found = go(active)
    assert [one.mirrored_now for one in found.directions] == [True, True]
    assert [one.what for one in found.steps] == ["decide who is handed out"]
    assert (found.active, found.ok) == (None, True)


def test_a_drill_of_three_measures_every_direction_by_what_mirrors_everybody(many: Mirroring) -> None:
    found = go(many)
    pairs = [(one.source, one.target) for one in found.directions]
    assert pairs == list(permutations(("north", "east", "west"), 2))
    for one in found.directions:
        assert (one.mirrored_now, one.arrived, one.doubled) == (True, one.written, 0)
        assert one.group is not None
        assert one.group.goes_on == one.group.committed - 3
    assert [one.what for one in found.steps] == ["decide who is handed out"]
    assert (found.active, found.ok, found.problems) == (None, True, ())


def test_of_three_the_one_that_nothing_comes_to_is_told_and_the_others_are_measured(many: Mirroring) -> None:
    many.deaf = "west"
    found = go(many)
    assert not found.ok
    assert [said.partition(" within")[0] for said in found.problems] == [
        "nothing of the canary came from north to west",
        "nothing of the canary came from east to west",
    ]
    came = {(one.source, one.target) for one in found.directions if one.arrived}
    assert came == {pair for pair in permutations(("north", "east", "west"), 2) if pair[1] != "west"}
    assert canaries(many.two) == []


def test_what_a_killed_drill_of_three_left_is_removed(many: Mirroring) -> None:
    old = canary.name("north", "10-abcdef-1-aaaaaa")
    many.two.sides["north"].create_topics([NewTopic(old, 1)])
    for place in ("east", "west"):
        many.two.sides[place].create_topics([NewTopic(f"north.{old}", 1)])
    foreseen = of_drill(many.two.loaded)
    found = go(many)
    assert set(found.removed) == set(foreseen.removes) == {old, f"north.{old}"}
    assert canaries(many.two) == []


@pytest.mark.parametrize("mode", ["passive", "active", "many"])
def test_nothing_that_is_anybodys_changes_and_nothing_of_a_drill_stays(
    mode: str, request: pytest.FixtureRequest
) -> None:
    made: Mirroring = request.getfixturevalue(mode)
    before = everybodys(made.two)
    go(made)
    assert everybodys(made.two) == before
    assert canaries(made.two) == []
    assert all(canary.abandoned(one) is False for one in made.written), "it wrote to its own alone"
    assert all("kdeploy-drill" in one for one in made.written)


def test_a_dry_run_says_each_step_and_changes_nothing(passive: Mirroring) -> None:
    old = canary.name("east", "10-abcdef-1-aaaaaa")
    for side in passive.two.sides.values():
        side.create_topics([NewTopic(old, 1)])
    passive.two.connects["east"].create("west-to-east-drill", {"tasks.max": "1"})
    before = everybodys(passive.two), canaries(passive.two)
    found = of_drill(passive.two.loaded)
    hold(found.to_json())
    assert (everybodys(passive.two), canaries(passive.two)) == before
    assert passive.written == []
    assert (found.active, found.refused) == ("east", ())
    assert found.removes == (old, "west-to-east-drill")
    assert [step.partition(" ")[0] for step in found.steps] == [
        *("make", "take", "wait", "commit", "make", "stop", "write", "give", "remove")
    ]
    assert "look at the 2 changes of access lists that fence it" in found.steps[1]
    assert "connector west-to-east-drill, which carries nothing else" in found.steps[4]


def test_a_dry_run_of_two_that_are_written_to_closes_and_opens_nothing(active: Mirroring) -> None:
    found = of_drill(active.two.loaded)
    hold(found.to_json())
    assert (found.active, found.refused) == (None, ())
    assert [step.partition(" ")[0] for step in found.steps] == ["make", "commit", "make", "write", "remove"]
    assert active.two.happened() == []


def test_a_dry_run_tells_why_a_drill_would_be_refused(passive: Mirroring) -> None:
    passive.two.down = {"west"}
    found = of_drill(passive.two.loaded)
    hold(found.to_json())
    assert found.steps == ()
    (said,) = found.refused
    assert said.startswith("west does not answer, and a drill needs both datacenters")


def test_records_that_do_not_come_miss_the_objective(passive: Mirroring) -> None:
    passive.lost = {7}
    found = drill_in_a_moment(passive)
    assert not found.ok
    assert found.recovery_point is None
    assert [one for one in found.problems if one.startswith("1 of ")]
    assert canaries(passive.two) == []


def drill_in_a_moment(made: Mirroring) -> Drilled:
    """With objectives of a moment, so that nobody waits for what does not come."""
    loaded = made.two.loaded
    assert loaded.environment.mirroring is not None
    wanted = loaded.environment.mirroring.model_copy(update={"rto": 0.5, "rpo": 0.5})
    environment = loaded.environment.model_copy(update={"mirroring": wanted})
    return drill(replace(loaded, environment=environment), Silent(), seconds=0.0)


def test_records_that_come_twice_are_told(passive: Mirroring) -> None:
    passive.doubled = {3}
    found = go(passive)
    assert found.directions[0].doubled == 1
    assert [one for one in found.problems if "more than once" in one]
    assert not found.ok


def test_a_mirror_that_does_not_find_the_canary_is_told_with_its_causes(passive: Mirroring) -> None:
    passive.finds = False
    found = go(passive)
    assert not found.ok
    assert "nothing of the canary came from east to west" in found.problems[0]
    assert "exclude_topics" in found.problems[0]
    assert canaries(passive.two) == []


def test_a_group_that_is_not_translated_is_told(passive: Mirroring) -> None:
    passive.translates = False
    found = go(passive)
    assert found.directions[0].group is None
    assert "the canary's group was not translated" in found.problems[0]


def test_what_a_killed_drill_left_is_removed_and_a_running_ones_stays(
    passive: Mirroring, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, running = (
        "10-abcdef-1-aaaaaa",
        temporary.mark(),
    )
    for side in passive.two.sides.values():
        side.create_topics([NewTopic(canary.name("east", mark), 1) for mark in (old, running)])
        side.create_bindings([canary.right(canary.name("east", old))])
    passive.two.connects["east"].create("west-to-east-drill", {"tasks.max": "1"})
    found = go(passive)
    assert set(found.removed) == {canary.name("east", old), "west-to-east-drill"}
    assert set(canaries(passive.two)) == {canary.name("east", running)}
    assert "west-to-east-drill" not in passive.two.connects["east"].found
    assert not [one for side in passive.two.sides.values() for one in side.acls if "drill" in one.user]


def test_what_ends_a_drill_leaves_nothing_of_it(passive: Mirroring, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise KdeployError("no")

    monkeypatch.setattr(canary, "commit", broken)
    with pytest.raises(KdeployError, match="no"):
        go(passive)
    assert canaries(passive.two) == []


@pytest.mark.parametrize("down", ["east", "west"])
def test_a_drill_needs_both_sides(passive: Mirroring, down: str) -> None:
    passive.two.down = {down}
    with pytest.raises(Unhealthy, match=f"{down} does not answer, and a drill needs both") as caught:
        go(passive)
    assert "kdeploy failover local-two-dc-passive --to" in str(caught.value)
    assert passive.two.happened() == []


def test_a_side_that_was_lost_is_given_back_before_it_is_drilled(passive: Mirroring) -> None:
    passive.two.down = {"east"}
    failover(passive.two.loaded, "west", Silent(), accept_loss=True)
    passive.two.down = set()
    with pytest.raises(KdeployError, match="east was lost and is not mirrored to since") as caught:
        go(passive)
    assert "kdeploy failback" in str(caught.value)


def test_where_nothing_is_mirrored_there_is_nothing_to_drill() -> None:
    with pytest.raises(UsageError, match="nothing is mirrored in local"):
        drill(load.load(SHIPPED / "local"), Silent())


def drilled(
    delays: tuple[float, ...] = (0.1, 0.2), behind: Behind | None = None, step: float | None = 2.0
) -> Drilled:
    one = DirectionDrilled("a", "b", True, 2, len(delays), 0, delays, 1, behind, GroupDrilled(2, 1, 0.5))
    return Drilled("e", "active-passive", "a", 10.0, 5.0, (one,), (Step("fence", step), Step("open", 1.0)))


@pytest.mark.parametrize(
    ("found", "rpo", "rto", "ok"),
    [
        (drilled(), 0.2, 3.0, True),
        (drilled((0.1, 11.0)), 11.0, 3.0, False),
        (drilled(behind=Behind(5, 12.0)), 12.0, 3.0, False),
        (drilled(behind=Behind(0, 12.0)), 0.2, 3.0, True),
        (drilled((0.1,)), None, 3.0, False),
        (drilled(step=4.5), 0.2, 5.5, False),
        (drilled(step=None), 0.2, None, False),
    ],
)
def test_an_objective_is_met_by_what_was_measured_and_by_nothing_else(
    found: Drilled, rpo: float | None, rto: float | None, ok: bool
) -> None:
    assert (found.recovery_point, found.recovery_time, found.ok) == (rpo, rto, ok)
    hold(found.to_json())


@pytest.mark.parametrize(
    ("share", "value"), [(0.5, 2.0), (0.75, 3.0), (0.76, 4.0), (0.99, 4.0), (1.0, 4.0), (0.01, 1.0)]
)
def test_a_quantile_is_the_least_value_that_so_many_do_not_exceed(share: float, value: float) -> None:
    assert quantile([1.0, 2.0, 3.0, 4.0], share) == value
    assert quantile([], share) is None
