"""The same on KRaft: controllers whose storage is formatted once, brokers that join them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.fleet.conftest import World, world
from tests.e2e.local.conftest import describe
from tests.e2e.local.records import Ledger, Producing, check

pytestmark = [pytest.mark.fleet, pytest.mark.timeout(3600)]

RECORDS = 30_000


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    yield from world(tmp_path_factory.mktemp("kraft"), "controller")


def test_bare_hosts_become_a_verified_cluster_and_a_second_run_changes_nothing(hosts: World) -> None:
    hosts.kdeploy("plan", "--lock")
    hosts.kdeploy("vault create")
    document = hosts.kdeploy("up", "--output", "json").document
    assert all(one["ok"] for cluster in document["clusters"] for one in cluster["checks"]), document
    before = hosts.pids()
    document = hosts.kdeploy("up", "--output", "json").document
    assert {action["action"] for cluster in document["clusters"] for action in cluster["nodes"]} == {"none"}
    assert hosts.pids() == before


def test_an_option_of_the_controllers_java_rolls_exactly_them_and_loses_nothing(hosts: World) -> None:
    before, ledger = hosts.pids(), Ledger()
    producing = Producing(describe(hosts.kdeploy), ledger)
    try:
        producing.wait_for(RECORDS // 3)
        hosts.change("controller: [-Xmx128m]", "controller: [-Xmx144m]")
        hosts.kdeploy("up")
        while ledger.count < RECORDS:
            producing.wait_for(100)
        producing.stop()
    finally:
        producing.abandon()
    after = hosts.pids()
    assert {name for name in before if before[name] != after[name]} == {
        "controller-1",
        "controller-2",
        "controller-3",
    }
    checked = check(describe(hosts.kdeploy), ledger)
    assert (checked.lost, checked.out_of_order) == (0, 0)
