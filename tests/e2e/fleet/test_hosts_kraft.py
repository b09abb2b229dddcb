"""The same on KRaft: controllers whose storage is formatted once, brokers that join them; then drift.

What somebody changes on hosts and in their cluster behind git's back is named by layer, and put back.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from kdeploy.cluster.admin import connect
from kdeploy.cluster.state import EVERY_BROKER, Binding
from tests.e2e.fleet.conftest import World, world
from tests.e2e.fleet.faults import KRAFT, drawn
from tests.e2e.fleet.life import SEED, SOAK, HostsLife
from tests.e2e.local.conftest import describe
from tests.e2e.local.faults import Fault
from tests.e2e.local.life import Outcome, seconds_since

pytestmark = [pytest.mark.fleet, pytest.mark.timeout(3600)]

BUFFERS = "4096 131072 1048576"
FILE = "/etc/kafka/server.properties"


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


@pytest.mark.parametrize(
    "fault", KRAFT if SOAK else (drawn(KRAFT, SEED, "kraft"),), ids=lambda fault: fault.at[0]
)
def test_what_happens_during_a_roll_is_survived_and_the_same_command_finishes(
    fault: Fault, life: HostsLife
) -> None:
    life.row(fault)


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


def drift(hosts: World, code: int) -> dict[tuple[str, str, str], dict[str, Any]]:
    document = hosts.kdeploy("drift", "--output", "json", code=code).document
    return {(one["layer"], one["name"], one["key"]): one for one in document["items"]}


def pending(hosts: World, code: int = 0) -> list[str]:
    document = hosts.kdeploy("preview", "--output", "json", code=code).document
    return [one["what"] for one in document["changes"]]


def test_a_cluster_as_it_was_left_has_no_drift_and_nothing_pending(hosts: World) -> None:
    assert drift(hosts, 0) == {}
    assert pending(hosts) == []


def test_each_layer_that_is_changed_by_other_tools_is_named_with_both_values_and_put_back(
    hosts: World,
) -> None:
    buffers = " ".join(hosts.run("broker-1", "sysctl -n net.ipv4.tcp_rmem").split())
    hosts.run("broker-1", f"sysctl -w net.ipv4.tcp_rmem='{BUFFERS}'")
    hosts.run("broker-1", "nft add rule inet kdeploy input tcp dport 8000 accept")
    hosts.run("broker-2", f"sed -i 's/^num.io.threads=.*/num.io.threads=99/' {FILE}")
    hosts.run("broker-3", "systemctl stop kafka.service")
    with connect(describe(hosts.kdeploy).access) as admin:
        admin.set_topic_settings({"orders": {"retention.ms": "1234567"}})
        admin.set_broker_settings(EVERY_BROKER, {"log.cleaner.threads": "2"})
        admin.create_bindings(
            [Binding("orders-consumer", "topic", "others", "literal", "read", "allow", "*")]
        )
    found = drift(hosts, 4)
    said = {key: (one["git"], one["found"]) for key, one in found.items()}
    assert said == {
        ("nodes", "broker-3", "process"): ("running", "stopped"),
        ("files", "broker-2", f"{FILE}: num.io.threads"): ("8", "99"),
        ("host", "broker-1", "net.ipv4.tcp_rmem"): (buffers, BUFFERS),
        ("host", "broker-1", "firewall"): ("as in /etc/kdeploy/firewall.nft", "changed by hand"),
        ("settings", "every broker", "log.cleaner.threads"): ("1", "2"),
        ("topics", "orders", "retention.ms"): ("86400000", "1234567"),
        ("acls", "orders-consumer", "orders-consumer may read topic others"): (None, "present"),
    }
    hosts.kdeploy("up")
    assert drift(hosts, 0) == {}
    assert pending(hosts) == []
    assert " ".join(hosts.run("broker-1", "sysctl -n net.ipv4.tcp_rmem").split()) == buffers


def test_resources_are_applied_alone_and_no_host_is_touched(hosts: World) -> None:
    before = hosts.pids()
    hosts.kdeploy.edit("    partitions: 6\n", "    partitions: 7\n")
    assert pending(hosts, 4) == ["topic orders: partitions 6 → 7"]
    hosts.kdeploy("apply")
    assert hosts.pids() == before
    assert pending(hosts) == []
