"""What hosts are set to, on real ones: firewall, queues, time; seen when it drifts, put back, there after a boot.

Java is a script that waits, as in `test_hosts_provider`, whose hosts these are like.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from kdeploy.errors import KdeployError
from tests.e2e.fleet import test_hosts_provider as provider
from tests.e2e.fleet.outside import open_ports
from tests.e2e.fleet.test_hosts_provider import Hosts

pytestmark = [pytest.mark.fleet, pytest.mark.long, pytest.mark.timeout(1800)]

PORTS = (22, 2182, 2888, 3888, 8000, 9092, 9094, 9095)
LISTEN = """
import socket, subprocess, time
for port in {ports}:
    opened = socket.socket()
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    opened.bind(("", port))
    opened.listen()
    globals()["kept%d" % port] = opened
subprocess.run(["systemd-notify", "--ready"], check=True)
time.sleep(3600)
"""


bare = provider.hosts
"""Two hosts of this module's own."""


@pytest.fixture(scope="module")
def hosts(bare: Hosts) -> Hosts:
    """Hosts that were prepared."""
    bare.prepare()
    return bare


@contextmanager
def listening(hosts: Hosts) -> Iterator[None]:
    """Something listens at every port there could be; only meanwhile, since `up` refuses ports that are taken."""
    program = LISTEN.format(ports=[port for port in PORTS if port != 22])
    # A name of its own each time: systemd forgets a unit that has ended a moment later.
    unit = f"listen-{time.monotonic_ns()}"
    start = f"systemd-run -q --collect --unit={unit} -p Type=notify -p NotifyAccess=all"
    for one in hosts.fleet.hosts():
        (one.root / "root/listen.py").write_text(program)
        hosts.run(one.name, f"{start} python3 /root/listen.py")
    try:
        yield
    finally:
        hosts.everywhere(f"systemctl stop {unit}")


def answering(address: str) -> set[int]:
    """Of the ports at which something listens, those that answer this machine."""
    return open_ports(address, PORTS)


def from_inside(hosts: Hosts, source: str, target: str) -> set[int]:
    """Ports of a host that answer another host."""
    program = "; ".join(
        [
            "import socket",
            f"address, ports = '{hosts.hosts[target].address}', {list(PORTS)}",
            "print(*[port for port in ports if socket.socket().connect_ex((address, port)) == 0])",
        ]
    )
    return set(map(int, hosts.run(source, f'python3 -c "{program}"').split()))


def test_a_host_answers_only_at_the_ports_that_are_for_the_one_who_asks(hosts: Hosts) -> None:
    broker, zookeeper = hosts.hosts["broker-1"].address, hosts.hosts["zookeeper-1"].address
    with listening(hosts):
        assert answering(broker) == {22, 9092, 9095}, "to an operator, who may be a client"
        assert answering(zookeeper) == {22, 2182}
        assert from_inside(hosts, "zookeeper-1", "broker-1") == {22, 9092, 9095}
        assert from_inside(hosts, "broker-1", "zookeeper-1") == {22, 2182}


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        ("nft delete table inet kdeploy", "firewall is not loaded"),
        ("nft add rule inet kdeploy input tcp dport 8000 accept", "firewall is changed by hand"),
        ("nft flush ruleset", "firewall is not loaded"),
        (
            "echo 4096 > /sys/block/$(basename $(realpath DISK))/queue/read_ahead_kb",
            "read_ahead_kb of DISK is 4096",
        ),
    ],
)
def test_what_drifted_is_named_and_put_back(hosts: Hosts, harm: str, said: str) -> None:
    disk = hosts.hosts["broker-1"].devices[0]
    hosts.run("broker-1", harm.replace("DISK", disk))
    assert said.replace("DISK", disk) in hosts.states()["broker-1"].detail
    assert hosts.actions()["broker-1"] != "none"
    hosts.prepare()
    assert said.replace("DISK", disk) not in hosts.states()["broker-1"].detail
    assert hosts.prepare() == {}
    with listening(hosts):
        assert answering(hosts.hosts["broker-1"].address) == {22, 9092, 9095}


def test_a_host_that_is_booted_anew_is_guarded_from_its_start_and_its_lease_is_kept(hosts: Hosts) -> None:
    from kdeploy.operations import hosts as operating

    here = hosts.site()
    broker = here.cluster.brokers[0]
    before = hosts.run("broker-1", "cat /proc/sys/kernel/random/boot_id")
    with operating.held(here.design, "restart"):
        here.provider.reboot(broker)
        assert hosts.run("broker-1", "cat /run/kdeploy/lease.json") != ""
    assert hosts.run("broker-1", "cat /proc/sys/kernel/random/boot_id") != before
    assert hosts.run("broker-1", "systemctl is-active kdeploy-firewall") == "active"
    assert "firewall" not in hosts.states()["broker-1"].detail
    # The fleet has no udev, whose rule would have set the queue.
    hosts.prepare()
    assert hosts.prepare() == {}


def test_a_service_keeps_time_where_the_clock_is_not_right_already(hosts: Hosts) -> None:
    for name, active in hosts.everywhere("systemctl is-active chrony").items():
        assert active == "active", name


def test_rules_that_would_shut_kdeploy_out_are_refused_before_they_are_loaded(hosts: Hosts) -> None:
    hosts.kdeploy.edit("    hosts:\n", "    firewall: {operators: [192.0.2.0/24]}\n    hosts:\n")
    with pytest.raises(KdeployError, match=r"which firewall\.operators would shut out"):
        hosts.prepare()
    hosts.kdeploy.edit("    firewall: {operators: [192.0.2.0/24]}\n", "")
    assert hosts.prepare() == {}


def test_a_firewall_that_is_switched_off_is_removed_without_a_restart(hosts: Hosts) -> None:
    hosts.kdeploy.edit("    hosts:\n", "    firewall: {enabled: false}\n    hosts:\n")
    hosts.prepare()
    assert "inet kdeploy" not in hosts.run("broker-1", "nft list tables")
    assert hosts.run("broker-1", "ls /etc/systemd/system/kdeploy-firewall.service", check=False) == ""
    with listening(hosts):
        assert answering(zookeeper_of(hosts)) == set(PORTS)
    hosts.kdeploy.edit("    firewall: {enabled: false}\n", "")
    hosts.prepare()
    with listening(hosts):
        assert answering(zookeeper_of(hosts)) == {22, 2182}


def zookeeper_of(hosts: Hosts) -> str:
    return hosts.hosts["zookeeper-1"].address


def test_a_retired_node_cannot_start_and_has_no_keys(hosts: Hosts) -> None:
    here = hosts.site()
    broker = here.cluster.brokers[0]
    # It starts at boot, and was booted.
    hosts.run("broker-1", "systemctl stop kafka")
    assert here.provider.retire(broker)
    assert hosts.run("broker-1", "systemctl start kafka", check=False) == ""
    assert hosts.run("broker-1", "systemctl is-active kafka", check=False) == "inactive"
    assert hosts.run("broker-1", "ls /etc/kafka/secrets") == ""
    hosts.prepare()
    assert hosts.run("broker-1", "ls /etc/kafka/secrets") != "", "up makes it a broker again, when asked to"
