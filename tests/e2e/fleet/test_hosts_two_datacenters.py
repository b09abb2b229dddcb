"""Two datacenters of real hosts: workers of MirrorMaker under systemd, a planned failover, and a datacenter that is gone.

One life, told in order; each test goes on from where the one before it left the hosts.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.e2e.fleet.conftest import World, two_fleets
from tests.e2e.local.two_sides import Sides, Writing
from tests.fleet import base
from tests.fleet.environment import two_datacenters

pytestmark = [pytest.mark.fleet, pytest.mark.long, pytest.mark.timeout(3600)]

ROLES = ("controller", "broker", "mirror")
MORE = 2000
"""Records that are acknowledged before something is done."""


@dataclass(frozen=True)
class Two:
    """The hosts of both datacenters, and what was written to them.

    Attributes:
        world: The hosts, and kdeploy.
        sides: The clients' view.
    """

    world: World
    sides: Sides

    def pids(self, datacenter: str = "") -> dict[str, str]:
        """The main process of each node."""
        return {name: pid for name, pid in self.world.pids().items() if name.startswith(datacenter)}

    def write(self, datacenter: str, records: int = MORE) -> None:
        writing = Writing(self.sides, datacenter, rate=500)
        try:
            writing.wait_for(records)
        finally:
            writing.stop()

    def failover(self, *arguments: str) -> Any:
        """What a failover came to."""
        return json.loads(self.world.kdeploy("failover", *arguments, "--yes", "--output", "json").stdout)

    def kill(self, datacenter: str) -> None:
        """End every host of a datacenter as a loss of power would."""
        for name, host in self.world.hosts.items():
            if name.startswith(datacenter):
                host.kill()


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Two]:
    problem = base.lacking()
    if problem:
        pytest.skip(problem)
    with two_fleets(tmp_path_factory.mktemp("two"), ROLES) as (fleet, kdeploy):
        kdeploy.file.write_text(two_datacenters(fleet))
        yield Two(World(fleet, kdeploy), Sides(kdeploy))


def test_bare_hosts_become_two_clusters_and_their_mirror_and_a_second_run_changes_nothing(two: Two) -> None:
    kdeploy = two.world.kdeploy
    kdeploy("plan", "--lock")
    kdeploy("vault create")
    kdeploy("up")
    before = two.pids()
    assert len(before) == 2 * len(ROLES)
    assert all(before.values()), before
    document = kdeploy("up", "--output", "json").document
    assert [one["changed"] for one in document["clusters"]] == [False, False]
    assert {one["node"] for cluster in document["clusters"] for one in cluster["nodes"]} >= {"mirror-1"}
    assert {one["action"] for cluster in document["clusters"] for one in cluster["nodes"]} == {"none"}
    assert two.pids() == before
    assert kdeploy("preview", "--output", "json").document["changes"] == []


def test_what_one_datacenter_acknowledges_is_in_the_other_once_a_planned_failover_has_ended(two: Two) -> None:
    two.write("east")
    report = two.failover("--to", "west")
    assert (report["planned"], report["records_lost"]) == (True, 0)
    found = two.sides.read("west")
    assert set(found) == two.sides.everything()
    assert set(found.values()) == {1}
    two.write("west")
    assert set(two.sides.read("west")) == two.sides.everything()


def test_a_worker_is_restarted_by_name_and_no_other_node_is(two: Two) -> None:
    before = two.pids()
    two.world.kdeploy("restart", "--node", "east/mirror-1")
    after = two.pids()
    assert {name for name in after if after[name] != before[name]} == {"east-mirror"}


def test_a_datacenter_whose_hosts_are_gone_is_given_up_on_a_persons_word_alone(two: Two) -> None:
    kdeploy = two.world.kdeploy
    link = kdeploy("mirror status", "--output", "json").document["links"][0]
    assert (link["source"], link["target"]) == ("west", "east")
    two.kill("west")
    refused = kdeploy("failover", "--to", "east", "--yes", code=1)
    assert "--accept-loss" in refused.stderr
    report = two.failover("--to", "east", "--accept-loss")
    assert (report["planned"], report["target"]) == (False, "east")
    two.write("east")
    assert kdeploy("mirror status", code=None).code in (0, 5)


def test_up_names_the_datacenter_that_is_gone_and_does_the_rest_without_it(two: Two) -> None:
    kdeploy = two.world.kdeploy
    # A value that brokers take while they run: a lone controller could not be restarted without a pause.
    kdeploy.edit("overrides:\n", "overrides:\n  broker: {num.io.threads: 9}\n")
    kdeploy("plan", "--lock")
    refused = kdeploy("up", code=1)
    assert "--without west" in refused.stderr
    document = kdeploy("up", "--without", "west", "--output", "json", code=5).document
    assert [one["datacenter"] for one in document["clusters"] if one["ok"]] == ["east"]
    assert kdeploy("up", "--without", "west", "--output", "json", code=5).document["changed"] is False


def test_a_datacenter_that_is_back_is_mirrored_to_and_given_its_place_back(two: Two) -> None:
    kdeploy = two.world.kdeploy
    two.world.fleet.start()
    kdeploy("up")
    kdeploy("failback", "--yes")
    assert set(two.sides.read("west")) == two.sides.everything()
    assert set(two.sides.read("east")) == two.sides.everything()
