"""Three datacenters with real Kafka of which one is written to: whichever takes over, both others have all of it, each once.

One life of three datacenters, told in order; each test goes on from where the one before it left them.
"""

from __future__ import annotations

import json
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Iterator, Set
from pathlib import Path

import pytest

from tests.e2e import ports
from tests.e2e.local.two_sides import Following, Sides, Writing, exported, once, two_sides

pytestmark = pytest.mark.kafka

NAME = "local-three-dc-passive"
PLACES = ("north", "east", "west")
SEED = int(os.environ.get("KDEPLOY_SEED", random.SystemRandom().randrange(2**32)))
SOAK = os.environ.get("KDEPLOY_SOAK") == "1"

MORE = 4_000
"""Records that are acknowledged before anything happens."""

RATE = 700
"""Records a second that are offered, on a machine that runs nine processes of Java on two processors."""

PATIENCE = 300.0
"""Seconds for all to be mirrored there."""

PLANNED = (
    "failover-fenced",
    "failover-mirror-stopped",
    "failover-decided",
    "failover-opened",
    "mirror-set-out",
)
"""Moments of a planned failover that it is killed at."""

UNPLANNED = (
    "failover-decided",
    "failover-gathering",
    "failover-gathered",
    "failover-opened",
    "failover-joined",
)
"""Moments of one without the primary, where the target gathers what the other one has."""


@pytest.fixture(scope="module")
def sides(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sides]:
    print(f"KDEPLOY_SEED={SEED}")
    yield from two_sides(tmp_path_factory.mktemp("three"), NAME, ports.THREE_PASSIVE)


@pytest.fixture(autouse=True)
def _rest(sides: Sides) -> Iterator[None]:
    yield
    sides.rest()


def mirrored(sides: Sides, there: str, numbers: Set[int]) -> Counter[int]:
    """What a datacenter holds as soon as it has these; a record too many is seen as well."""
    deadline = time.monotonic() + PATIENCE
    while numbers - (found := sides.read(there)).keys():
        missing = len(numbers - found.keys())
        assert time.monotonic() < deadline, f"{missing} of {len(numbers)} are not in {there}"
        time.sleep(1)
    assert once(found)
    return found


def drawn(moments: tuple[str, ...]) -> tuple[str, ...]:
    """All in a soak, and one otherwise."""
    return moments if SOAK else tuple(random.Random(SEED).sample(moments, 1))


def write(sides: Sides, datacenter: str, records: int = MORE) -> None:
    writing = Writing(sides, datacenter, rate=RATE)
    writing.wait_for(records)
    writing.stop()


def halted(sides: Sides, datacenter: str, number: signal.Signals) -> None:
    """Have the worker of a datacenter do nothing, or go on."""
    (folder,) = (sides.kdeploy.state / "nodes" / datacenter).glob("mirror-*")
    os.kill(json.loads((folder / "process.json").read_text())["pid"], number)


def test_all_come_up_and_a_second_run_changes_nothing(sides: Sides) -> None:
    sides.kdeploy("up")
    again = sides.kdeploy("up", "--output", "json").document
    assert [one["changed"] for one in again["clusters"]] == [False, False, False]
    assert sides.kdeploy("preview", "--output", "json").document["changes"] == []


def test_what_the_primary_acknowledges_is_in_both_others_exactly_once_and_they_are_closed(
    sides: Sides,
) -> None:
    write(sides, "north")
    for there in ("east", "west"):
        Writing(sides, there, rate=RATE).stop()
        assert sides.acknowledged[there] == set()
        mirrored(sides, there, sides.everything())
    document = sides.kdeploy("mirror status", "--output", "json", code=None).document
    assert document["active"] == "north"
    assert {(one["source"], one["target"]) for one in document["links"]} == {
        ("north", "east"),
        ("north", "west"),
    }


def test_a_planned_failover_under_load_loses_nothing_and_both_others_follow(sides: Sides) -> None:
    group = Following(sides, "north", "orders-app")
    writing = Writing(sides, "north", rate=RATE)
    writing.wait_for(MORE)
    report = sides.kdeploy("failover", "--to", "east", "--yes", "--output", "json").document
    writing.stop()
    group.stop()
    assert writing.refused > 0, "it was fenced while somebody wrote"
    assert (report["planned"], report["records_lost"], report["source"]) == (True, 0, "north")
    assert mirrored(sides, "east", sides.everything())
    there = Following(sides, "east", "orders-app")
    there.wait_for(sides.everything() - sides.followed["orders-app"])
    there.stop()
    write(sides, "east", 1_000)
    for one in ("north", "west"):
        mirrored(sides, one, sides.everything())
    assert sides.kdeploy("preview", "--output", "json").document["changes"] == []


@pytest.mark.parametrize("point", drawn(PLANNED))
def test_one_that_was_killed_is_finished_by_the_same_command(sides: Sides, point: str) -> None:
    active = sides.written_to()
    to = next(one for one in PLACES if one != active)
    arguments = ("failover", "--to", to, "--yes")
    writing = Writing(sides, active, rate=RATE)
    writing.wait_for(1_000)
    sides.killed_at(*arguments, point=point)
    writing.stop()
    report = sides.kdeploy(*arguments, "--output", "json").document
    assert (report["target"], report["records_lost"]) == (to, 0)
    write(sides, to, 1_000)
    for one in PLACES:
        mirrored(sides, one, sides.everything())


@pytest.mark.parametrize("point", drawn(UNPLANNED))
def test_of_a_primary_that_dies_all_that_any_other_one_has_is_kept_and_the_rest_is_given_up_by_it(
    sides: Sides, point: str, tmp_path: Path
) -> None:
    active = sides.written_to()
    to, other = (one for one in PLACES if one != active)
    writing = Writing(sides, active, rate=RATE)
    writing.wait_for(1_000)
    halted(sides, to, signal.SIGSTOP)
    writing.wait_for(2_000)
    sides.kill(active)
    writing.stop()
    halted(sides, to, signal.SIGCONT)
    refused = sides.kdeploy("failover", "--to", to, "--yes", code=1)
    assert "--accept-loss" in refused.stderr
    arguments = ("failover", "--to", to, "--yes", "--accept-loss")
    had = sides.read(other).keys() | sides.read(to).keys()
    assert len(had) > len(sides.read(to).keys()), "the one that takes over is behind the other one"
    sides.killed_at(*arguments, point=point)
    report = sides.kdeploy(*arguments, "--output", "json").document
    assert (report["planned"], report["source"], report["target"]) == (False, active, to)
    found = sides.read(to)
    assert found.keys() >= had
    assert once(found)
    lost = sides.everything() - found.keys()
    said = f"{report['records_lost']} estimated, {report['records_lost_at_most']} at most"
    print(f"{len(had - sides.acknowledged.get(to, set())):,} kept, {len(lost):,} records lost, {said}")
    write(sides, to, 1_000)
    kept = sides.everything() - lost
    for one in (to, other):
        mirrored(sides, one, kept)

    sides.kdeploy("up")
    before = len(sides.acknowledged[active])
    Writing(sides, active, rate=RATE).stop()
    assert len(sides.acknowledged[active]) == before, "it came back closed"
    alone = sides.read(active).keys() - sides.read(to).keys()
    assert alone >= lost
    report = sides.kdeploy("failback", "--yes", "--export", str(tmp_path), "--output", "json").document
    assert sorted(exported(tmp_path / active)) == sorted(alone)
    assert (report["planned"], report["records_lost"], report["exported"]["records"]) == (True, 0, len(alone))
    assert sides.written_to() == "north"
    write(sides, "north", 1_000)
    for one in PLACES:
        mirrored(sides, one, sides.everything() - lost)
    assert sides.kdeploy("up", "--output", "json").document["changed"] is False
    assert sides.kdeploy("preview", "--output", "json").document["changes"] == []


@pytest.mark.long
def test_a_drill_measures_every_way_and_leaves_nothing(sides: Sides) -> None:
    document = sides.kdeploy("drill", "--yes", "--output", "json", code=None).document
    print(json.dumps(document))
    ways = [(one["source"], one["target"]) for one in document["directions"]]
    assert ways == [("north", "east"), ("north", "west"), ("east", "north"), ("west", "north")]
    for one in document["directions"]:
        assert one["written"] > 0
        assert (one["arrived"], one["doubled"]) == (one["written"], 0)
    assert document["problems"] == []
    lost = sides.everything() - sides.read("north").keys()
    for one in PLACES:
        mirrored(sides, one, sides.everything() - lost)
