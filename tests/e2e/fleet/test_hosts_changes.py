"""On real hosts, while records flow: change after change is what its preview said, in every layer, and nothing is lost.

The table is that of clusters on this machine, with rows for what only hosts have: settings of their kernel, limits
of their firewall. What happened is told by the hosts' own files and processes, and by the cluster. One cluster
for all rows, of which KDEPLOY_CHAINS names some to be tried alone. Chains do not depend on each other, so one row of
each goes in one step; what restarts nodes, and a new password, go by themselves.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from tests.e2e.fleet.conftest import World, world
from tests.e2e.fleet.faults import LOST
from tests.e2e.fleet.life import HostsLife
from tests.e2e.local import test_changes_one_by_one as one_by_one
from tests.e2e.local.changes_one_by_one import ROWS, Document, Row, overrides
from tests.e2e.local.conftest import describe
from tests.e2e.local.life import Outcome
from tests.e2e.local.records import Producing, check

pytestmark = [pytest.mark.fleet, pytest.mark.long, pytest.mark.timeout(7200)]

PLACES = (
    *("/etc/kafka", "/etc/zookeeper", "/etc/kdeploy", "/etc/systemd/system"),
    *("/etc/sysctl.d", "/etc/security/limits.d", "/etc/tmpfiles.d", "/etc/udev/rules.d"),
)
"""Folders that hold all that kdeploy writes on a host."""

KEPT = ("applied", "node.json", "formatted")
"""Files in which kdeploy itself notes what it did: no preview tells of them."""

HOSTS = tuple(f"{role}-{number}" for role in ("broker", "zookeeper") for number in (1, 2, 3))
KERNEL = tuple(f"host {name} /etc/sysctl.d/90-kdeploy.conf" for name in HOSTS)
GUARD = tuple(f"host {name} /etc/kdeploy/firewall.nft" for name in HOSTS)


def firewall(**fields: Any) -> Any:
    """What the datacenter's firewall says; None takes a field away."""

    def change(document: Document) -> None:
        (datacenter,) = document["datacenters"]
        held = datacenter.setdefault("firewall", {})
        for key, value in fields.items():
            held[key] = value
            if value is None:
                del held[key]

    return change


OF_HOSTS = (
    Row("hosts", "a kernel setting", (overrides("kernel", "vm.max_map_count", 300000),), KERNEL),
    Row("hosts", "another value", (overrides("kernel", "vm.max_map_count", 400000),), KERNEL),
    Row(
        "hosts",
        "two kernel settings at once",
        (overrides("kernel", "vm.swappiness", 2), overrides("kernel", "vm.dirty_ratio", 70)),
        KERNEL,
    ),
    Row(
        "hosts",
        "a port that is let in",
        (firewall(also=[{"port": 9100, "sources": ["10.77.0.1/32"]}]),),
        GUARD,
    ),
    Row(
        "hosts",
        "a kernel setting, the firewall, and a topic",
        (
            overrides("kernel", "vm.dirty_ratio", None),
            firewall(also=None),
            lambda document: document["topics"].append({"name": "after-hosts", "partitions": 1}),
        ),
        (*KERNEL, *GUARD, "topic after-hosts made 1 partitions, 3 copies"),
    ),
)
"""What only hosts have."""


class Changing(one_by_one.Cluster):
    """A cluster on a fleet whose environment is changed."""

    def __init__(self, hosts: World, document: Document) -> None:
        self.hosts = hosts
        super().__init__(hosts.kdeploy, document)

    def write(self, rows: Sequence[Row]) -> None:
        super().write(rows)
        self.kdeploy("plan", "--lock")
        self.kdeploy("vault create")  # for users that are new, and secrets that were taken out

    def files(self) -> dict[str, Any]:
        from kdeploy.infra.hosts.archive import is_of_host

        wanted = " ".join(f"! -name {name}" for name in KEPT)
        asked = f"find {' '.join(PLACES)} -type f {wanted} -exec sha256sum {{}} + 2>/dev/null; true"
        found = {}
        for name, listed in self.hosts.everywhere(asked).items():
            for line in listed.splitlines():
                digest, path = line.split(maxsplit=1)
                token = (
                    f"host {name} {path}" if is_of_host(path) else f"file {name} {path.rpartition('/')[2]}"
                )
                found[token] = digest
        return found

    def pids(self) -> dict[str, Any]:
        return self.hosts.pids()


def steps() -> list[tuple[Row, ...]]:
    """All rows in their order within a chain: the next of each chain at once, what stands alone by itself."""
    chains: dict[str, list[Row]] = {}
    for row in (*OF_HOSTS, *ROWS):
        if row.chain == "hosts" or row.chain in one_by_one.CHAINS:
            chains.setdefault(row.chain, []).append(row)
    alone, found = chains.pop("restarts", []), []
    while any(chains.values()):
        secret = next((rows for rows in chains.values() if rows and rows[0].secret), None)
        taken = [secret] if secret else [rows for rows in chains.values() if rows]
        found.append(tuple(rows.pop(0) for rows in taken))
    return [*found, *((row,) for row in alone)]


@pytest.fixture(scope="module")
def life(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HostsLife]:
    for hosts in world(tmp_path_factory.mktemp("changes"), "zookeeper"):
        hosts.kdeploy.edit("  partitions: 12\n", "")  # rows have topics of their own
        hosts.kdeploy("plan", "--lock")
        hosts.kdeploy("vault create")
        hosts.kdeploy("up")
        yield HostsLife.of(hosts)


def test_there_are_more_changes_on_hosts_than_fifty_over_every_layer() -> None:
    assert len({row.chain for row in (*OF_HOSTS, *ROWS)}) >= 7
    assert len(OF_HOSTS) + len(ROWS) >= 60
    if "KDEPLOY_CHAINS" not in os.environ:
        assert sorted(map(id, itertools.chain(*steps()))) == sorted(map(id, (*OF_HOSTS, *ROWS)))


def test_a_roll_that_loses_ssh_to_its_host_goes_on_or_ends_and_the_same_command_finishes(
    life: HostsLife,
) -> None:
    outcome = Outcome()
    life.suffer(LOST, outcome)
    life.expect_nothing_lost(LOST.name, outcome)


def test_every_change_on_hosts_is_what_its_preview_said_and_no_record_is_lost(life: HostsLife) -> None:
    kdeploy = life.kdeploy
    cluster = Changing(life.world, one_by_one.load_document(kdeploy.file))
    cluster.ledger = life.ledger  # of all that was ever acknowledged
    producing = Producing(describe(kdeploy), cluster.ledger, one_by_one.RATE)
    try:
        producing.wait_for(one_by_one.BETWEEN)
        for rows in steps():
            cluster.make(rows, producing)
        producing.stop()
    finally:
        producing.abandon()
    checked = check(describe(kdeploy), cluster.ledger)
    print(f"{len(cluster.done)} steps, {cluster.restarts} nodes restarted, {checked}")
    print(f"longest pause of a partition: {producing.longest_pause:.1f} s")
    assert (checked.lost, checked.out_of_order, cluster.ledger.refused) == (0, 0, 0)
    assert checked.acknowledged == cluster.ledger.count > 0
    assert not kdeploy("preview", "--output", "json").document["pending"]
