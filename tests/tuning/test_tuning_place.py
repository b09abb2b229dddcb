"""What a cluster in AWS stands on: one table behind security groups and firewalls, and machines that go by their node."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest

from kdeploy.blueprint import Blueprint, Node, Place
from kdeploy.planner import catalogue
from kdeploy.spec.lock import LockedShape, LockedVolumes
from kdeploy.tuning import place
from tests.tuning.places import KINDS, decided, small
from tests.tuning.test_tuning_firewall import lets_in

STRANGERS = ("192.0.2.7", "198.51.100.7", "203.0.113.7", "10.1.0.9", "10.2.0.9", "10.20.99.9", "172.31.99.9")


def grouped(found: Place, nodes: tuple[Node, ...], one: Node, source: str, port: int, protocol: str) -> bool:
    """Whether the security group of a node lets a connection in, straight or through the load balancer."""
    if found.balancer and (one.role, port, protocol) == ("broker", found.balancer.target, "tcp"):
        ranges = (*found.balancer.sources, *found.balancer.ranges)
        if any(ip_address(source) in ip_network(each) for each in ranges):
            return True
    roles = {node.role for node in nodes if node.machine and node.machine.address == source}
    return any(
        (rule.group in roles if rule.group else ip_address(source) in ip_network(str(rule.network)))
        for rule in found.rules
        if (rule.role, rule.port, rule.protocol) == (one.role, port, protocol)
    )


@pytest.mark.parametrize("kind", KINDS)
def test_security_groups_and_firewalls_let_in_the_same(kind: str) -> None:
    blueprint, _ = decided(KINDS[kind], 3)
    for cluster in blueprint.clusters:
        assert cluster.place
        nodes = cluster.nodes
        sources = [node.machine.address for node in nodes if node.machine] + list(STRANGERS)
        ports = {port for node in nodes for port in node.ports.values()} | {22, 2222, 9100, 9999}
        for one in (nodes[0], nodes[-1]):
            for source in sources:
                assert one.machine
                if source == one.machine.address:
                    continue  # what comes from itself comes by no network
                for port in ports:
                    by_group = grouped(cluster.place, nodes, one, source, port, "tcp")
                    assert lets_in(one, source, port) == by_group, (one.name, source, port)


def test_without_a_firewall_on_the_machines_security_groups_stay() -> None:
    blueprint = small(firewall={"enabled": False})
    assert blueprint.clusters[0].place
    assert blueprint.clusters[0].place.rules == small().clusters[0].place.rules  # type: ignore[union-attr]
    assert all(node.firewall is None for node in blueprint.nodes)


def test_a_type_s_name_says_what_its_processors_speak() -> None:
    known = catalogue.load("us-east-1")
    said = {name: str(kind) for name, kind in zip(known.names, known.architecture, strict=True)}
    assert {name: place.architecture(name) for name in said} == said
    assert place.architecture("a1.large") == "arm64"


@pytest.mark.parametrize(("rack", "zone"), [("a", "eu-west-1a"), ("eu-west-1b", "eu-west-1b")])
def test_a_rack_is_a_zone_by_letter_or_by_name(rack: str, zone: str) -> None:
    assert place.zone("eu-west-1", rack) == zone


def test_disks_are_named_until_their_volumes_are_there() -> None:
    def of(kind: str, count: int) -> LockedVolumes:
        return LockedVolumes(type=kind, count=count, size=1.0)

    shape = LockedShape(cores=1, memory=1.0, volumes=(of("gp3", 2), of("local-nvme", 2), of("st1", 1)))
    assert place.devices(shape) == ("volume:0", "volume:1", "local:0", "local:1", "volume:2")


def test_a_machine_gets_what_a_host_gets() -> None:
    blueprint = small()
    broker = blueprint.nodes[-1]
    paths = {file.path for file in broker.files}
    assert {"/etc/kdeploy/firewall.nft", "/etc/systemd/system/var-lib-kafka-data-0.mount"} <= paths
    assert [disk.device for disk in broker.disks] == ["volume:0"]
    assert blueprint.clusters[0].keep_time
    assert broker.host == "broker-3.dc1.test.kdeploy.internal"


def test_an_environment_in_aws_survives_the_way_through_json() -> None:
    import json

    for kind in KINDS:
        blueprint, _ = decided(KINDS[kind], 3)
        assert Blueprint.from_json(json.loads(json.dumps(blueprint.to_json()))) == blueprint


def test_vpcs_of_somebody_s_are_not_joined() -> None:
    joined, _ = decided(KINDS["two"])
    assert joined.aws
    assert [(one.requester, one.accepter) for one in joined.aws.peerings] == [("one", "two")]
    alone, _ = decided(KINDS["there"])
    assert alone.aws
    assert alone.aws.peerings == ()
