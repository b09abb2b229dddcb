"""The same on KRaft: controllers whose storage is formatted once, brokers that join them."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from tests.e2e.fleet.conftest import World, world
from tests.e2e.fleet.faults import KRAFT, chosen
from tests.e2e.fleet.life import SEED, SOAK, HostsLife
from tests.e2e.local.faults import Fault
from tests.e2e.local.life import Outcome, seconds_since

pytestmark = [pytest.mark.fleet, pytest.mark.timeout(3600)]


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    yield from world(tmp_path_factory.mktemp("kraft"), "controller")


@pytest.fixture(scope="module")
def life(hosts: World) -> HostsLife:
    return HostsLife.of(hosts)


def test_bare_hosts_become_a_verified_cluster_and_a_second_run_changes_nothing(hosts: World) -> None:
    hosts.kdeploy("plan", "--lock")
    hosts.kdeploy("vault create")
    began = time.monotonic()
    document = hosts.kdeploy("up", "--output", "json").document
    first, began = seconds_since(began), time.monotonic()
    assert all(one["ok"] for cluster in document["clusters"] for one in cluster["checks"]), document
    before = hosts.pids()
    document = hosts.kdeploy("up", "--output", "json").document
    print(f"up from bare hosts: {first} s, up again: {seconds_since(began)} s")
    assert {action["action"] for cluster in document["clusters"] for action in cluster["nodes"]} == {"none"}
    assert hosts.pids() == before


def test_an_option_of_the_controllers_java_rolls_exactly_them_and_loses_nothing(
    hosts: World, life: HostsLife
) -> None:
    before, outcome = hosts.pids(), Outcome()
    with life.producing(outcome):
        hosts.change("controller: [-Xmx128m]", "controller: [-Xmx144m]")
        hosts.kdeploy("up")
    after = hosts.pids()
    assert {name for name in before if before[name] != after[name]} == {
        "controller-1",
        "controller-2",
        "controller-3",
    }
    life.expect_nothing_lost("an option of the controllers' Java", outcome)


@pytest.mark.parametrize("fault", KRAFT if SOAK else chosen(SEED), ids=lambda fault: fault.at[0])
def test_what_happens_during_a_roll_is_survived_and_the_same_command_finishes(
    fault: Fault, life: HostsLife
) -> None:
    life.row(fault)
