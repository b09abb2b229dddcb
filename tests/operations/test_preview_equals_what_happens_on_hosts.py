"""On hosts too what preview says is what happens: settings of the kernel, the firewall, files, restarts; on no real host.

`host NODE PATH` is a file that came with what is the host's own, by the playbook's first part.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import pytest

from tests.operations.changes_table import Row, override
from tests.operations.hosts_world import Host, HostsWorld, Killed
from tests.operations.world import predicted

SYSCTL, RULES = "/etc/sysctl.d/90-kdeploy.conf", "/etc/kdeploy/firewall.nft"
UNIT = "/etc/systemd/system/kdeploy-firewall.service"
SSH = "    ssh:\n      user: deploy"
COORDINATORS = {"datacenter-zk": "zookeepers", "datacenter-kraft": "controllers"}


def kernel(*lines: str) -> tuple[tuple[str, str], ...]:
    return override("kernel", *lines)


def beside_ssh(line: str) -> tuple[tuple[str, str], ...]:
    return ((SSH, f"    {line}\n{SSH}"),)


def rows(environment: str) -> Iterator[Row]:
    coordinators = COORDINATORS[environment]
    role = coordinators.removesuffix("s")
    log = "log4j.properties" if environment == "datacenter-zk" else "log4j2.properties"

    def everywhere(*paths: str) -> tuple[str, ...]:
        return tuple(f"host {nodes} {path}" for nodes in ("brokers", coordinators) for path in paths)

    restarts = ("file brokers server.properties", "restart brokers")
    for name, edits, happens in (
        ("nothing at all", (), ()),
        ("a kernel setting", kernel("vm.max_map_count: 300000"), everywhere(SYSCTL)),
        (
            "two kernel settings, one of them new",
            kernel("vm.swappiness: 10", "net.core.somaxconn: 8192"),
            everywhere(SYSCTL),
        ),
        (
            "networks of operators and clients",
            beside_ssh("firewall: {operators: [10.20.0.0/16], clients: [10.0.0.0/8]}"),
            everywhere(RULES),
        ),
        ("ports of SSH", beside_ssh("firewall: {ssh_ports: [22, 2022]}"), everywhere(RULES)),
        (
            "a port of a monitoring agent",
            beside_ssh("firewall: {also: [{port: 9100, sources: [10.9.0.0/16]}]}"),
            everywhere(RULES),
        ),
        ("no firewall", beside_ssh("firewall: {enabled: false}"), everywhere(RULES, UNIT)),
        ("who keeps time", beside_ssh("time_service: none"), ()),
        ("who logs in", (("user: deploy", "user: other"),), ()),
        (
            "a kernel setting and one that takes a restart",
            (
                *kernel("vm.swappiness: 10"),
                ("\noverrides:\n", "\noverrides:\n  broker: {queued.max.requests: 400}\n"),
            ),
            (*everywhere(SYSCTL), *restarts),
        ),
        ("a static setting", override("broker", "queued.max.requests: 400"), restarts),
        (
            "a setting while brokers run",
            override("broker", "num.io.threads: 12"),
            (restarts[0], "set brokers num.io.threads 12"),
        ),
        (
            f"an option of each {role}'s Java",
            override("jvm", f'{role}: ["-Da=1"]'),
            (f"file {coordinators} jvm.options", f"restart {coordinators}"),
        ),
        (
            "a log level",
            override("logs", "broker: {kafka.coordinator: DEBUG}"),
            (f"file brokers {log}", "restart brokers"),
        ),
        ("more partitions", (("    partitions: 12", "    partitions: 15"),), ("topic orders partitions 15",)),
        (
            "a kernel setting, a firewall and a topic",
            (
                *kernel("vm.swappiness: 10"),
                *beside_ssh("firewall: {ssh_ports: [2022]}"),
                ("    partitions: 12", "    partitions: 15"),
            ),
            (*everywhere(SYSCTL, RULES), "topic orders partitions 15"),
        ),
    ):
        yield Row(name, edits, happens, environment)


ROWS = tuple(row for environment in COORDINATORS for row in rows(environment))


@pytest.fixture(scope="module", params=COORDINATORS)
def hosts_standing(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[HostsWorld]:
    """An environment on hosts after its first `up`."""
    with pytest.MonkeyPatch.context() as patch:
        made = HostsWorld(tmp_path_factory.mktemp("hosts"), request.param, patch)
        made.begin()
        yield made


@pytest.fixture
def hosts(hosts_standing: HostsWorld) -> HostsWorld:
    """The same, put back to what it was."""
    hosts_standing.again()
    return hosts_standing


@pytest.mark.parametrize(
    ("hosts_standing", "row"),
    [(row.environment, row) for row in ROWS],
    ids=[f"{row.environment}: {row.name}" for row in ROWS],
    indirect=["hosts_standing"],
)
def test_what_preview_says_is_what_happens(row: Row, hosts: HostsWorld) -> None:
    hosts.edit(row.edits)
    hosts.decide()
    said = json.loads(json.dumps(hosts.preview().to_json()))
    before = hosts.seen()
    hosts.up()
    assert hosts.happened(before) == row.tokens
    assert predicted(said) == row.tokens
    assert said["pending"] == bool(row.happens)
    assert not hosts.preview().pending, "and then nothing is left to do"


def test_what_the_kernel_and_the_firewall_have_is_what_was_said(hosts: HostsWorld) -> None:
    rules = {one.firewall for one in hosts.hosts.values()}
    hosts.edit([*kernel("vm.swappiness: 10"), *beside_ssh("firewall: {ssh_ports: [2022]}")])
    hosts.decide()
    hosts.up()
    for one in hosts.hosts.values():
        assert one.kernel["/proc/sys/vm/swappiness"] == "10"
        assert one.firewall not in rules, "other rules are loaded"
        assert one.firewall in one.files[RULES].decode()


def edited(one: Host) -> None:
    one.files["/etc/kafka/server.properties"] += b"# by hand\n"


HARMS: dict[str, tuple[Callable[[Host], object], set[str]]] = {
    "a kernel setting": (lambda one: one.kernel.update({"/proc/sys/vm/swappiness": "60"}), set()),
    "the firewall": (lambda one: setattr(one, "firewall", "none"), set()),
    "a file of the node": (edited, {"file broker-2 server.properties"}),
    "a file of the host": (
        lambda one: one.files.update({SYSCTL: b"vm.swappiness = 60\n"}),
        {f"host broker-2 {SYSCTL}"},
    ),
}


@pytest.mark.parametrize("what", HARMS)
def test_what_was_changed_by_hand_is_put_back_as_preview_says_without_a_restart(
    what: str, hosts: HostsWorld
) -> None:
    harm, tokens = HARMS[what]
    (address,) = (address for address, name in hosts.names().items() if name == "broker-2")
    good = copy_of(hosts.hosts[address])
    harm(hosts.hosts[address])
    said = hosts.preview()
    assert said.pending
    assert predicted(json.loads(json.dumps(said.to_json()))) == tokens
    before = hosts.seen()
    hosts.up()
    assert hosts.happened(before) == tokens
    assert copy_of(hosts.hosts[address]) == good
    assert not hosts.preview().pending


def copy_of(one: Host) -> tuple[dict[str, bytes], dict[str, str], str, int]:
    return dict(one.files), dict(one.kernel), one.firewall, one.pid


def test_a_host_that_is_added_to_the_list_comes_into_the_cluster_and_the_others_change_as_preview_says(
    hosts: HostsWorld,
) -> None:
    last = hosts.base[hosts.base.index("      - address: 10.20.3.21") : hosts.base.index("\nworkload:")]
    added = last.replace("10.20.3.21", "10.20.1.22").replace("rack: c", "rack: a")
    hosts.edit([("\nworkload:", f"{added}\nworkload:")])
    hosts.decide()
    preview = hosts.preview()
    said, before = predicted(json.loads(json.dumps(preview.to_json()))), hosts.seen()
    hosts.up()
    happened = hosts.happened(before)
    assert "create broker-4" in said
    assert "start broker-4" in happened
    of_others = {one for one in happened if " broker-4" not in one}
    assert said == {"create broker-4", *of_others}
    assert {f"host broker-{number} {RULES}" for number in (1, 2, 3)} <= of_others, "firewalls let it in"
    restarted = [one for one in preview.items if one.kind == "restart"]
    assert {one.name.partition("-")[0] for one in restarted} <= {"broker", "controller"}
    assert all("super.users" in one.why for one in restarted), "nodes are known by their certificates"
    for one in hosts.hosts.values():
        assert any(line.startswith("10.20.1.22 broker-4.dc1 broker-4") for line in one.names)
    assert not hosts.preview().pending


MOMENTS = 8
"""Moments of a run, evenly over it, at which it is ended."""


def all_of(hosts: HostsWorld) -> dict[str, object]:
    """What there is on every host, but for the numbers of processes."""
    return {
        address: (dict(one.files), dict(one.kernel), one.firewall, one.names, one.started)
        for address, one in hosts.hosts.items()
    }


def test_ended_at_any_moment_the_same_command_finishes(hosts: HostsWorld) -> None:
    edits = [
        *kernel("vm.swappiness: 10"),
        ("\noverrides:\n", "\noverrides:\n  broker: {queued.max.requests: 400}\n"),
        *beside_ssh("firewall: {ssh_ports: [2022]}"),
        ("    partitions: 12", "    partitions: 15"),
    ]
    hosts.edit(edits)
    hosts.decide()
    hosts.touched = 0
    hosts.up()
    whole, wanted = hosts.touched, all_of(hosts)
    assert whole > MOMENTS
    for moment in range(1, whole + 1, whole // MOMENTS):
        hosts.again()
        hosts.edit(edits)
        hosts.decide()
        hosts.touched, hosts.killed_at = 0, moment
        with pytest.raises(Killed):
            hosts.up()
        hosts.killed_at = 0
        hosts.up()
        assert all_of(hosts) == wanted, f"ended at {moment} of {whole}"
        assert not hosts.preview().pending
