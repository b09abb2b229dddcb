"""Two regions of the emulated AWS with machines that are hosts: both clusters and the workers of MirrorMaker between them, a
planned failover, the way back and a drill.

One environment goes through all tests of this file.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pytest

from tests.e2e.aws.counted import everything
from tests.e2e.aws.load import TOLD, knowing, names_of
from tests.e2e.aws.running import Running, running
from tests.e2e.local.kdeploy_command import Kdeploy
from tests.e2e.local.two_sides import Following, Sides, Writing, expect_drilled
from tests.fleet.environment import MIRRORED

pytestmark = [pytest.mark.cloud, pytest.mark.fleet, pytest.mark.long, pytest.mark.timeout(3600)]

REGIONS = {"east": "eu-west-1", "west": "eu-central-1"}
NETWORKS = {"east": "10.50.0.0/16", "west": "10.51.0.0/16"}

PLACES = "".join(
    f"""\
  - name: {name}
    provider: aws
    region: {region}
    racks: [a]
    ssh: {{user: root, key: KEY, through: direct}}
    network: {{cidr: {NETWORKS[name]}, operators: [{NETWORKS[name]}]}}
    brokers: {{count: 1}}
    coordination: {{count: 1}}
"""
    for name, region in REGIONS.items()
)
TEXT = (
    'kafka: {version: "4.3.1", coordination: kraft}\ndatacenters:\n'
    + PLACES
    + MIRRORED.replace("BANDWIDTH", "50MB/s").replace("ROUND_TRIP", "1ms").replace("{tasks: TASKS}", "{count: 1, tasks: 2}")
)  # fmt: skip

NODES = sorted(f"{name}/{role}-1" for name in REGIONS for role in ("broker", "mirror")) + sorted(
    f"{name}/controller-1001" for name in REGIONS
)

PATIENCE = 1500.0
"""Seconds a command may take: six hosts share two processors here."""

ARRIVE = 180.0
"""Seconds for records to be on the other side: half a second by the settings, on processors that nobody else uses."""

MORE, RATE = 10_000, 1000
"""Records that are acknowledged before something is done, and as many a second are offered."""

GROUP = "orders-app"

T = TypeVar("T")


@dataclass(frozen=True)
class Two:
    """Both regions, and what was written to them.

    Attributes:
        running: Their machines, and what runs on them.
        sides: The clients' view.
        names: A thread of this machine that knows brokers by the names of their private zones, as those it begins do.
    """

    running: Running
    sides: Sides
    names: ThreadPoolExecutor

    @property
    def kdeploy(self) -> Kdeploy:
        return self.sides.kdeploy

    def as_client(self, work: Callable[..., T], *arguments: Any, **named: Any) -> T:
        """Do something as a client that finds the brokers."""
        return self.names.submit(work, *arguments, **named).result()

    def read(self, datacenter: str) -> Counter[int]:
        return self.as_client(self.sides.read, datacenter)

    def writing(self, datacenter: str) -> Writing:
        return self.as_client(Writing, self.sides, datacenter, RATE)

    def following(self, datacenter: str) -> Following:
        return self.as_client(Following, self.sides, datacenter, GROUP)

    def write(self, datacenter: str, records: int = MORE) -> None:
        writing = self.writing(datacenter)
        try:
            writing.wait_for(records)
        finally:
            writing.stop()

    def arrived(self, datacenter: str) -> float:
        """Wait until everything that was acknowledged anywhere is there, each record once; the seconds it took."""
        began = time.monotonic()
        while (found := self.read(datacenter)).keys() < self.sides.everything():
            assert time.monotonic() < began + ARRIVE, (
                f"{len(self.sides.everything() - found.keys())} are lacking"
            )
        assert set(found.values()) == {1}
        return time.monotonic() - began

    def link(self) -> Any:
        """The one direction that is mirrored, as `mirror status` has it; its connectors run."""
        document = self.kdeploy("mirror status", "--output", "json").document
        assert (document["silent"], document["problems"]) == ([], [])
        (link,) = document["links"]
        assert link["heartbeat"] is not None
        assert {task["state"] for one in link["connectors"] for task in one["tasks"]} == {"RUNNING"}
        return link

    def expect_follower(self, datacenter: str) -> None:
        """What is written to the other is here, and nobody may write here."""
        (other,) = set(REGIONS) - {datacenter}
        self.write(other)
        self.arrived(datacenter)
        link = self.link()
        assert (link["source"], link["target"]) == (other, datacenter)
        before = len(self.sides.acknowledged[datacenter])
        self.writing(datacenter).stop()
        assert len(self.sides.acknowledged[datacenter]) == before

    def expect_nothing_to_do(self) -> None:
        document = self.kdeploy("up", "--output", "json").document
        assert [one["changed"] for one in document["clusters"]] == [False, False]

    def handed_over(self, source: str, target: str, *command: str) -> None:
        """Let a command have the other one written to, while somebody writes and a group has read some; nothing is lost, and
        the group goes on where it was.
        """
        group, writing = self.following(source), self.writing(source)
        writing.wait_for(MORE)
        group.stop()
        before = set(self.sides.followed[GROUP])
        assert before, "it read, and is somewhere"
        writing.wait_for(MORE)
        report = self.kdeploy(*command, "--yes", "--output", "json").document
        writing.stop()
        assert writing.refused > 0, "it was fenced while somebody wrote"
        assert (report["planned"], report["target"], report["records_lost"]) == (True, target, 0)
        self.arrived(target)
        unread = self.sides.everything() - before
        assert len(unread) >= MORE
        there = self.following(target)
        there.wait_for(unread)
        there.stop()
        (bound,) = (one for one in report["groups"] if one["group"] == GROUP)
        again = len(before & there.got.keys())
        assert again <= bound["re_read"]
        assert (bound["skipped"], bound["untranslated"]) == (0, 0)
        TOLD.append(
            f"{command[0]} under {RATE:,} records a second: {report['rto_seconds']} s until {target} could be written to, "
            f"0 lost of {len(self.sides.everything()):,}; a group that had read {len(before):,} went on with the other "
            f"{len(unread):,}, {again:,} were read again, {bound['re_read']:,} at most by the report"
        )


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory, module: pytest.MonkeyPatch) -> Iterator[Two]:
    folder: Path = tmp_path_factory.mktemp("two")
    with (
        running(folder, TEXT, module, tuple(REGIONS.values())) as made,
        knowing(names_of(made)) as names,
    ):
        yield Two(made, Sides(Kdeploy(folder, made.name, PATIENCE)), names)


@pytest.fixture(autouse=True)
def _rest(two: Two) -> Iterator[None]:
    yield
    two.sides.rest()


def test_two_regions_become_two_clusters_and_their_mirror_and_a_second_run_changes_nothing(two: Two) -> None:
    began = time.monotonic()
    two.running.up()
    first = time.monotonic() - began
    two.running.expect_health()
    assert sorted(two.running.machines()) == sorted(NODES)
    regions = two.running.regions
    there, lives = everything(two.running.cloud, regions), two.running.lives()
    assert there["peerings"] == 1
    began = time.monotonic()
    with two.running.counted() as calls:
        document = two.kdeploy("up", "--output", "json").document
    assert [one["changed"] for one in document["clusters"]] == [False, False]
    assert {one["node"] for cluster in document["clusters"] for one in cluster["nodes"]} >= {"mirror-1"}
    assert not [name for name in calls if name.startswith(("ec2:Run", "ec2:Create", "ec2:Modify"))]
    TOLD.append(f"two regions: up {first:.0f} s, again {time.monotonic() - began:.0f} s")
    assert everything(two.running.cloud, regions) == there
    assert two.running.lives() == lives
    assert two.kdeploy("preview", "--output", "json").document["changes"] == []


def test_what_is_acknowledged_in_one_region_arrives_once_in_the_other(two: Two) -> None:
    two.write("east")
    seconds = two.arrived("west")
    link = two.link()
    assert (link["source"], link["target"]) == ("east", "west")
    assert {one["topic"]: one["records"] for one in link["topics"]}["orders"] == 0
    TOLD.append(f"{len(two.sides.everything()):,} records of east in west, {seconds:.1f} s after the last")


def test_a_planned_failover_under_load_loses_nothing_and_a_group_goes_on_where_it_was(two: Two) -> None:
    two.handed_over("east", "west", "failover", "--to", "west")


def test_the_region_that_was_left_follows_the_other_and_is_closed(two: Two) -> None:
    two.expect_follower("east")
    two.expect_nothing_to_do()


def test_a_failback_under_load_loses_nothing_and_the_first_region_is_written_to_again(two: Two) -> None:
    two.handed_over("west", "east", "failback")
    two.expect_follower("west")
    two.expect_nothing_to_do()


def test_a_drill_while_records_are_written_has_every_canary_arrive_once_each_way_and_leaves_nothing(
    two: Two,
) -> None:
    writing = two.writing("east")
    writing.wait_for(MORE)
    ended = two.kdeploy("drill", "--yes", "--output", "json", code=None)
    drilled = expect_drilled(ended, ("east", "west"), ("west", "east"))
    writing.stop()
    assert (drilled["active"], writing.refused) == ("east", 0)
    assert two.as_client(two.sides.canaries) == set()
    two.arrived("west")
    two.expect_nothing_to_do()
    ways = ", ".join(
        f"{one['arrived']:,} of {one['written']:,} canaries from {one['source']}, the last after {one['max_seconds']} s"
        for one in drilled["directions"]
    )
    TOLD.append(f"drill under {RATE:,} records a second: {ways}; rpo {drilled['rpo']}, rto {drilled['rto']}")


def test_both_regions_are_given_up_and_nothing_is_left(two: Two) -> None:
    two.running.give_up()
