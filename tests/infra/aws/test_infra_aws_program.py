"""What is declared to Pulumi: the shipped environments whole as goldens, and what must hold for any environment.

A wanted change is accepted with `pytest --accept-goldens tests/infra/aws`, and reviewed in git.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import replace
from functools import cache
from ipaddress import ip_address, ip_network
from itertools import combinations, permutations, product
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kdeploy.blueprint import Blueprint
from kdeploy.infra.aws import policy
from kdeploy.planner.decide import decide
from kdeploy.spec.aws import MOST_SPREAD
from kdeploy.tuning import place
from tests.infra.aws.recorded import ACCOUNT, Recording, record
from tests.tuning import builders
from tests.tuning.places import KINDS, aws, decided, planned, small
from tests.tuning.test_tuning_goldens import rendered

GOLDEN = Path(__file__).parents[2] / "golden" / "aws"
SHIPPED = ("dr-active-passive", "global-active-active", "prod-eu", "prod-us-kraft")
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIExample operator"


@cache
def shipped(name: str) -> Recording:
    blueprint = rendered(name)
    return record(blueprint, {cluster.datacenter: KEY for cluster in blueprint.clusters})


@cache
def recorded(kind: str) -> tuple[Blueprint, Recording]:
    blueprint, _ = decided(KINDS[kind], 4, disks=2)
    return blueprint, record(blueprint, {"dc1": KEY})


EVERY = pytest.mark.parametrize("found", [*SHIPPED, *KINDS])


def recording(found: str) -> Recording:
    return shipped(found) if found in SHIPPED else recorded(found)[1]


def drawn(found: str) -> Blueprint:
    return rendered(found) if found in SHIPPED else recorded(found)[0]


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_environment_declares_what_was_reviewed(name: str, request: pytest.FixtureRequest) -> None:
    found = shipped(name).golden()
    file = GOLDEN / f"{name}.txt"
    if request.config.getoption("--accept-goldens"):
        GOLDEN.mkdir(exist_ok=True)
        file.write_text(found)
    assert found == file.read_text(), "resources changed; review with pytest --accept-goldens"


@EVERY
def test_nothing_is_let_in_from_every_address(found: str) -> None:
    rules = recording(found).of("vpc/securityGroupIngressRule:SecurityGroupIngressRule")
    assert rules
    for rule in rules:
        networks = [rule.inputs[name] for name in ("cidrIpv4", "cidrIpv6") if name in rule.inputs]
        is_asked = found == "public" and rule.inputs["securityGroupId"] == "dc1-balancer-id"
        assert is_asked or all(ip_network(one).prefixlen >= 8 for one in networks), rule
        assert rule.inputs["fromPort"] == rule.inputs["toPort"], "a rule opens one port"
        assert rule.inputs["ipProtocol"] in ("tcp", "udp")
    for group in recording(found).of("ec2/securityGroup:SecurityGroup"):
        assert not {"ingress", "egress"} & group.inputs.keys(), "rules are resources of their own"


@EVERY
def test_each_declared_port_is_opened_to_its_declared_peers_and_no_other_is(found: str) -> None:
    result = recording(found)
    opened = Counter()
    for rule in result.of("vpc/securityGroupIngressRule:SecurityGroupIngressRule"):
        said = rule.inputs
        source = said.get("referencedSecurityGroupId") or said["cidrIpv4"]
        opened[said["securityGroupId"], said["ipProtocol"], int(said["fromPort"]), source] += 1
    wanted = Counter()
    for cluster in drawn(found).clusters:
        assert cluster.place
        for rule in (one for one in cluster.place.rules if not one.outgoing):
            group, other = (f"{cluster.datacenter}-{role}-id" for role in (rule.role, rule.group))
            wanted[group, rule.protocol, rule.port, other if rule.group else rule.network] += 1
        by_endpoints = cluster.place.through == "ssm" or (
            cluster.place.alarms and cluster.place.egress == "none"
        )
        if by_endpoints and cluster.place.vpc is None:
            for role in {node.role for node in cluster.everything}:
                wanted[
                    f"{cluster.datacenter}-endpoints-id", "tcp", 443, f"{cluster.datacenter}-{role}-id"
                ] += 1
        if cluster.place.balancer:
            own = f"{cluster.datacenter}-balancer-id"
            wanted[f"{cluster.datacenter}-broker-id", "tcp", 9096, own] += 1
            ports = [cluster.place.balancer.port, *(one.port for one in cluster.place.balancer.outlets)]
            for port, source in product(ports, cluster.place.balancer.sources):
                wanted[own, "tcp", port, source] += 1
    assert opened == wanted
    assert set(opened.values()) == {1}


@EVERY
def test_who_may_come_in_by_a_group_may_go_out_to_it(found: str) -> None:
    result = recording(found)

    def pairs(kind: str, own: str, other: str) -> set[tuple[str, str, int]]:
        return {
            (one.inputs[own], one.inputs[other], int(one.inputs["fromPort"]))
            for one in result.of(f"vpc/securityGroup{kind}Rule:SecurityGroup{kind}Rule")
            if "referencedSecurityGroupId" in one.inputs and "endpoints" not in one.name
        }

    inward = pairs("Ingress", "referencedSecurityGroupId", "securityGroupId")
    assert inward == pairs("Egress", "securityGroupId", "referencedSecurityGroupId")


@pytest.mark.parametrize("name", ["dr-active-passive", "global-active-active"])
def test_workers_of_mirrormaker_may_call_the_brokers_of_the_other_datacenter_and_nobody_else_may(
    name: str,
) -> None:
    blueprint = rendered(name)
    networks = {one.place.cidr: one for one in blueprint.clusters if one.place}
    called = {
        (one.inputs["securityGroupId"], one.inputs["cidrIpv4"], int(one.inputs["fromPort"]))
        for one in shipped(name).of("vpc/securityGroupEgressRule:SecurityGroupEgressRule")
        if one.inputs.get("cidrIpv4") in networks
    }
    assert called == {
        (f"{own.datacenter}-mirror-id", cidr, broker.ports["client"])
        for own in blueprint.clusters
        for cidr, other in networks.items()
        if other is not own
        for broker in other.brokers
    }


@EVERY
def test_every_check_before_up_lets_it_through(found: str) -> None:
    result = recording(found)
    options = result.options
    planned = (
        policy.Planned(
            one.type, one.name, one.inputs, options[one.key]["protect"], options[one.key]["retain"]
        )
        for one in result.resources
    )
    checked = policy.check(planned, policy.asked(drawn(found)))
    assert [one for one in checked if not one.ok] == []


@EVERY
def test_every_volume_is_encrypted_protected_and_kept(found: str) -> None:
    result = recording(found)
    volumes = result.of("ebs/volume:Volume")
    nodes = drawn(found).nodes
    assert len(volumes) == sum(len(node.disks) for node in nodes)
    for volume in volumes:
        assert volume.inputs["encrypted"] is True
        assert result.options[volume.key]["protect"]
        assert result.options[volume.key]["retain"]
    for instance in result.of("ec2/instance:Instance"):
        assert instance.inputs["rootBlockDevice"]["encrypted"] is True


@EVERY
def test_an_instance_has_no_public_address_and_answers_only_sessions_of_its_own(found: str) -> None:
    result = recording(found)
    for instance in result.of("ec2/instance:Instance"):
        said = instance.inputs
        assert said["metadataOptions"] == {
            "httpEndpoint": "enabled",
            "httpTokens": "required",
            "httpPutResponseHopLimit": 1,
        }
        assert not {"associatePublicIpAddress", "keyName", "subnetId"} & said.keys()
        assert result.options[instance.key]["delete first"], "the interface and the volumes are in use"
    assert all(one.inputs["mapPublicIpOnLaunch"] is False for one in result.of("ec2/subnet:Subnet"))
    assert {one.name.split("-gateway-")[0] for one in result.of("ec2/eip:Eip")} <= {
        cluster.datacenter for cluster in drawn(found).clusters
    }


@EVERY
def test_addresses_are_each_node_s_own_and_inside_its_subnet(found: str) -> None:
    blueprint, result = drawn(found), recording(found)
    addresses = [node.machine.address for node in blueprint.nodes if node.machine]
    assert len(set(addresses)) == len(blueprint.nodes)
    for cluster in blueprint.clusters:
        assert cluster.place
        subnets = {one.rack: ip_network(one.cidr) for one in cluster.place.subnets}
        gateways = [ip_network(one.gateway) for one in cluster.place.subnets if one.gateway]
        assert not [one for one in gateways for other in subnets.values() if one.overlaps(other)]
        for node in cluster.nodes:
            assert node.machine
            address = ip_address(node.machine.address)
            assert address in subnets[node.rack]
            assert address not in list(subnets[node.rack])[:4], "AWS keeps the first four"
            assert address != subnets[node.rack].broadcast_address, "and the last one"
    interfaces = {one.name: one for one in result.of("ec2/networkInterface:NetworkInterface")}
    for node in blueprint.nodes:
        interface = interfaces[f"{node.datacenter}-{node.name}-interface"]
        assert interface.inputs["privateIps"] == [node.machine.address if node.machine else None]


@EVERY
def test_everything_that_can_be_tagged_says_what_it_is(found: str) -> None:
    result = recording(found)
    for one in result.resources:
        if "tags" in one.inputs:
            assert one.inputs["tags"]["kdeploy:resource"] == one.name
    tagged = {one.type for one in result.resources if "tags" in one.inputs}
    untagged = {one.type for one in result.resources if one.type.startswith("aws:")} - tagged
    assert {one.rpartition(":")[2] for one in untagged} <= {
        *("RouteTableAssociation", "Route", "VolumeAttachment", "RolePolicy", "Record", "ZoneAssociation"),
        *("BucketPublicAccessBlock", "BucketServerSideEncryptionConfiguration", "BucketVersioning"),
        "TargetGroupAttachment",
    }


@EVERY
def test_no_name_is_there_twice_and_none_is_too_long_for_aws(found: str) -> None:
    result = recording(found)
    keys = Counter(one.key for one in result.resources)
    assert [key for key, times in keys.items() if times > 1] == []
    for kind, most in (("iam/role:Role", 64), ("iam/instanceProfile:InstanceProfile", 128)):
        assert all(len(one.inputs["name"]) <= most for one in result.of(kind))
    taken = Counter(
        (one.type, one.inputs["name"])
        for one in result.resources
        if "name" in one.inputs and "RolePolicy" not in one.type
    )
    assert [name for name, times in taken.items() if times > 1] == []


@pytest.mark.parametrize("name", SHIPPED)
def test_no_secret_is_in_what_is_declared(name: str, shipped_secrets: Any) -> None:
    found = shipped(name)
    said = found.golden() + json.dumps(found.outputs)
    secrets = shipped_secrets(name)
    assert len(secrets) > 10
    assert [one for one in secrets if one in said] == []


@pytest.fixture(scope="module")
def shipped_secrets() -> Any:
    """Every private key and password of an environment's own vault, as the lines and words they are written with."""
    from datetime import UTC, datetime

    from kdeploy import planner
    from kdeploy.security import issue
    from kdeploy.spec.load import load, shipped_folder

    def secrets(name: str) -> list[str]:
        environment = load(shipped_folder() / name).environment
        lock = decide(environment, planner.plan(environment), None, builders.fixed_ids())
        vault = issue.complete(None, issue.requirements(environment, lock), datetime.now(UTC))
        keys = [line for one in vault.identities().values() for line in one.key.splitlines()]
        return [line for line in keys if "-----" not in line] + list(vault.passwords.values())

    return secrets


def by_node(result: Recording) -> dict[str, list[tuple[str, str]]]:
    """What each node is made of: every resource that carries its name."""
    found: dict[str, list[tuple[str, str]]] = {}
    for one in result.resources:
        node = re.search(r"(broker|zookeeper|controller)-\d+", one.name)
        if node and not one.type.startswith("aws:vpc/"):
            inputs = json.dumps(one.inputs, sort_keys=True)
            found.setdefault(node[0], []).append((one.key, inputs))
    return {name: sorted(parts) for name, parts in found.items()}


@pytest.mark.parametrize(("before", "after"), [(3, 4), (20, 22)])
def test_one_node_more_changes_no_other_s_resources(before: int, after: int) -> None:
    first, lock = decided([aws()], before)
    second, _ = decided([aws()], after, previous=lock)
    old, new = by_node(record(first)), by_node(record(second))
    assert {name: new[name] for name in old} == old
    assert len(new) == len(old) + after - before


@given(st.lists(st.integers(3, 60), min_size=1, max_size=4))
@settings(max_examples=25)
def test_however_a_cluster_grows_addresses_and_placements_stay_and_are_never_given_twice(
    steps: list[int],
) -> None:
    environment = builders.environment(kafka={"version": "3.9.2"}, datacenters=[aws()])
    lock, known = None, {}
    for count in sorted(set(steps)):
        lock = decide(environment, planned(environment, count), lock, builders.fixed_ids())
        locked = lock.datacenters[0]
        now = {node.name: place.machine(locked, node.name) for node in locked.nodes}
        assert {name: now[name] for name in known} == known
        assert len({one.address for one in now.values() if one}) == len(now) == count + 3
        known = now


def test_up_to_seven_of_a_role_in_a_zone_are_spread_and_the_rest_are_in_partitions() -> None:
    blueprint = small(25)
    placements = Counter(
        (node.machine.placement.group, node.machine.placement.strategy)
        for node in blueprint.nodes
        if node.machine and node.role == "broker" and node.rack == "a"
    )
    assert placements == {("broker-a", "spread"): MOST_SPREAD, ("broker-a-more", "partition"): 2}
    partitions = [
        node.machine.placement.partition
        for node in blueprint.nodes
        if node.machine and node.machine.placement.strategy == "partition" and node.rack == "a"
    ]
    assert partitions == [1, 2]
    groups = record(blueprint).of("ec2/placementGroup:PlacementGroup")
    counts = {one.name: one.inputs.get("partitionCount") for one in groups}
    assert counts["dc1-apart-broker-a"] is None
    assert counts["dc1-apart-broker-a-more"] == MOST_SPREAD


def test_what_is_known_afterwards_is_exported() -> None:
    blueprint, result = recorded("two")
    assert result.outputs["nodes"].keys() == {node.key for node in blueprint.nodes}
    assert result.outputs["nodes"]["one/broker-1"] == {
        "address": "10.1.0.17",
        "image": "ami-of-arm64",
        "instance": "one-broker-1-id",
        "instance_type": "m7g.large",
        "subnet": "one-subnet-a-id",
        "zone": "eu-west-1a",
        "volumes": ["one-broker-1-data-0-id", "one-broker-1-data-1-id"],
    }
    assert result.outputs["clusters"]["two"] == {
        "vpc": "two-vpc-id",
        "account": ACCOUNT,
        "zone_id": "two-names-zone",
        "images": {"arm64": "ami-of-arm64", "x86_64": "ami-of-amd64"},
    }


def test_an_image_that_was_chosen_is_not_asked_for_again() -> None:
    images = {"arm64": "ami-0123456789abcdef0", "x86_64": "ami-01234567"}
    first, lock = decided([aws(machine={"images": images})])
    assert lock.datacenters[0].images == images
    result = record(first)
    assert {one.inputs["ami"] for one in result.of("ec2/instance:Instance")} == set(images.values())
    assert not [token for token, _ in result.asked if "getParameter" in token]
    # The lock remembers what `up` noted, where the environment says nothing.
    noted = lock.model_copy(
        update={
            "datacenters": (lock.datacenters[0].model_copy(update={"images": {"arm64": "ami-89abcdef"}}),)
        }
    )
    _, again = decided([aws()], previous=noted)
    assert again.datacenters[0].images == {"arm64": "ami-89abcdef"}


def test_two_datacenters_are_joined_both_ways() -> None:
    _, result = recorded("two")
    (asked,) = result.of("ec2/vpcPeeringConnection:VpcPeeringConnection")
    assert (asked.inputs["vpcId"], asked.inputs["peerVpcId"]) == ("one-vpc-id", "two-vpc-id")
    assert asked.inputs["peerRegion"] == "us-east-1"
    routes = {
        (one.inputs["routeTableId"], one.inputs["destinationCidrBlock"])
        for one in result.of("ec2/route:Route")
        if "vpcPeeringConnectionId" in one.inputs
    }
    assert routes == {(f"one-routes-{rack}-id", "10.2.0.0/16") for rack in "abc"} | {
        (f"two-routes-{rack}-id", "10.1.0.0/16") for rack in "abc"
    }
    names = {
        (one.inputs["zoneId"], one.inputs["vpcId"], one.inputs["vpcRegion"])
        for one in result.of("route53/zoneAssociation:ZoneAssociation")
    }
    assert names == {
        ("one-names-zone", "two-vpc-id", "us-east-1"),
        ("two-names-zone", "one-vpc-id", "eu-west-1"),
    }
    clients = {
        (one.inputs["securityGroupId"], one.inputs["cidrIpv4"])
        for one in result.of("vpc/securityGroupIngressRule:SecurityGroupIngressRule")
        if "cidrIpv4" in one.inputs and one.inputs["fromPort"] == 9092
    }
    both = ("10.1.0.0/16", "10.2.0.0/16")
    assert clients == {(f"{name}-broker-id", network) for name in ("one", "two") for network in both}


def test_of_three_datacenters_each_two_are_joined_and_none_leads_through_another() -> None:
    three = [*KINDS["two"], aws(name="three", region="eu-central-1", network={"cidr": "10.3.0.0/16"})]
    result = record(decided(three, 1, coordinators=1)[0])
    cidrs = {"one": "10.1.0.0/16", "two": "10.2.0.0/16", "three": "10.3.0.0/16"}
    asked = {
        (one.inputs["vpcId"], one.inputs["peerVpcId"])
        for one in result.of("ec2/vpcPeeringConnection:VpcPeeringConnection")
    }
    assert asked == {(f"{one}-vpc-id", f"{other}-vpc-id") for one, other in combinations(cidrs, 2)}
    routes = {
        (one.inputs["routeTableId"], one.inputs["destinationCidrBlock"], one.inputs["vpcPeeringConnectionId"])
        for one in result.of("ec2/route:Route")
        if "vpcPeeringConnectionId" in one.inputs
    }
    assert {(table, cidr) for table, cidr, _ in routes} == {
        (f"{one}-routes-{rack}-id", cidrs[other]) for one, other in permutations(cidrs, 2) for rack in "abc"
    }
    for table, cidr, through in routes:
        here, there = table.partition("-")[0], next(name for name, one in cidrs.items() if one == cidr)
        assert {here, there} <= set(through.split("-")), "a peering leads to its own two networks alone"
    names = {
        (one.inputs["zoneId"], one.inputs["vpcId"])
        for one in result.of("route53/zoneAssociation:ZoneAssociation")
    }
    assert names == {(f"{one}-names-zone", f"{other}-vpc-id") for one, other in permutations(cidrs, 2)}
    clients = {
        (one.inputs["securityGroupId"], one.inputs["cidrIpv4"])
        for one in result.of("vpc/securityGroupIngressRule:SecurityGroupIngressRule")
        if "cidrIpv4" in one.inputs and one.inputs["fromPort"] == 9092
    }
    assert clients == {(f"{name}-broker-id", network) for name in cidrs for network in cidrs.values()}


def test_two_in_one_region_are_joined_by_one_thing() -> None:
    near = [{**place, "region": "eu-west-1"} for place in KINDS["two"]]
    result = record(decided(near, 1, coordinators=1)[0])
    (asked,) = result.of("ec2/vpcPeeringConnection:VpcPeeringConnection")
    assert asked.inputs["autoAccept"] is True
    assert "peerRegion" not in asked.inputs
    assert not result.of("ec2/vpcPeeringConnectionAccepter:VpcPeeringConnectionAccepter")
    assert len([one for one in result.resources if one.type == "pulumi:providers:aws"]) == 1


def through_gateways(blueprint: Blueprint) -> Blueprint:
    """The same with networks joined by transit gateways."""
    assert blueprint.aws
    joined = tuple(replace(one, by="transit-gateway") for one in blueprint.aws.peerings)
    return replace(blueprint, aws=replace(blueprint.aws, peerings=joined))


def joining(result: Recording) -> list[Any]:
    """What joins two networks: gateways, peerings, what leads there."""
    found = [one for one in result.resources if "ransit" in one.type or "eering" in one.type]
    return [*found, *(one for one in result.of("ec2/route:Route") if "-to-" in one.name)]


def test_two_regions_joined_by_gateways_are_what_was_reviewed(request: pytest.FixtureRequest) -> None:
    result = record(through_gateways(decided(KINDS["two"], 1, coordinators=1)[0]))
    found = replace(result, resources=tuple(joining(result))).golden()
    file = GOLDEN / "transit-gateways.txt"
    if request.config.getoption("--accept-goldens"):
        file.write_text(found)
    assert found == file.read_text(), "resources changed; review with pytest --accept-goldens"


def test_gateways_of_two_regions_are_peered_and_each_knows_the_way_to_the_other_and_no_more() -> None:
    result = record(through_gateways(decided(KINDS["two"], 1, coordinators=1)[0]))
    gateways = {one.name: one.inputs for one in result.of("ec2transitgateway/transitGateway:TransitGateway")}
    assert gateways.keys() == {"one-transit", "two-transit"}
    assert len({one["amazonSideAsn"] for one in gateways.values()}) == 2, "peers need numbers of their own"
    attached = {
        (one.inputs["vpcId"], one.inputs["transitGatewayId"], tuple(one.inputs["subnetIds"]))
        for one in result.of("ec2transitgateway/vpcAttachment:VpcAttachment")
    }
    assert attached == {
        (f"{name}-vpc-id", f"{name}-transit-id", tuple(f"{name}-subnet-{rack}-id" for rack in "abc"))
        for name in ("one", "two")
    }
    (peered,) = result.of("ec2transitgateway/peeringAttachment:PeeringAttachment")
    assert peered.inputs["peerRegion"] == "us-east-1"
    assert len(result.of("ec2transitgateway/peeringAttachmentAccepter:PeeringAttachmentAccepter")) == 1
    between = {
        one.name: one.inputs["destinationCidrBlock"] for one in result.of("ec2transitgateway/route:Route")
    }
    assert between == {"one-to-two": "10.2.0.0/16", "two-to-one": "10.1.0.0/16"}
    assert not result.of("ec2/vpcPeeringConnection:VpcPeeringConnection")
    assert len(result.of("route53/zoneAssociation:ZoneAssociation")) == 2


def test_two_networks_of_one_region_are_attached_to_one_gateway() -> None:
    near = [{**place, "region": "eu-west-1"} for place in KINDS["two"]]
    result = record(through_gateways(decided(near, 1, coordinators=1)[0]))
    (gateway,) = result.of("ec2transitgateway/transitGateway:TransitGateway")
    attached = result.of("ec2transitgateway/vpcAttachment:VpcAttachment")
    assert {one.inputs["transitGatewayId"] for one in attached} == {f"{gateway.name}-id"}
    assert len(attached) == 2
    assert not result.of("ec2transitgateway/route:Route"), "it learns the networks that are attached"
    assert not result.of("ec2transitgateway/peeringAttachment:PeeringAttachment")


def test_another_way_between_two_networks_takes_over_routes_of_the_same_names() -> None:
    blueprint = decided(KINDS["two"], 1, coordinators=1)[0]

    def routes(result: Recording) -> dict[str, tuple[str, str]]:
        return {
            one.name: (one.inputs["routeTableId"], one.inputs["destinationCidrBlock"])
            for one in joining(result)
            if one.type == "aws:ec2/route:Route"
        }

    peered, through = record(blueprint), record(through_gateways(blueprint))
    assert routes(peered) == routes(through)
    assert len(routes(peered)) == 6
    leads = {
        one.inputs.get("transitGatewayId") for one in joining(through) if one.type == "aws:ec2/route:Route"
    }
    assert leads == {"one-transit-id", "two-transit-id"}


def test_a_network_that_is_there_is_used_and_nothing_of_it_is_made() -> None:
    blueprint, result = recorded("there")
    for kind in (
        "vpc:Vpc",
        "subnet:Subnet",
        "routeTable:RouteTable",
        "natGateway:NatGateway",
        "vpcEndpoint:VpcEndpoint",
    ):
        assert not result.of(f"ec2/{kind}")
    assert {one.inputs["vpcId"] for one in result.of("ec2/securityGroup:SecurityGroup")} == {"vpc-01234567"}
    placed = {one.inputs["subnetId"] for one in result.of("ec2/networkInterface:NetworkInterface")}
    assert placed == {"subnet-01234560", "subnet-01234561", "subnet-01234562"}
    assert min(ip_address(node.machine.address) for node in blueprint.nodes if node.machine) == ip_address(
        "172.31.0.64"
    )


def test_without_a_way_out_machines_reach_the_endpoints_alone() -> None:
    _, result = recorded("by hand")
    assert not result.of("ec2/natGateway:NatGateway")
    assert not result.of("ec2/internetGateway:InternetGateway")
    for rule in result.of("vpc/securityGroupEgressRule:SecurityGroupEgressRule"):
        assert rule.inputs.get("cidrIpv4") in (None, "10.20.0.0/16")
    lists = {
        rule.inputs["prefixListId"]
        for rule in result.of("vpc/securityGroupEgressRule:SecurityGroupEgressRule")
        if "prefixListId" in rule.inputs
    }
    assert lists == {"dc1-s3-list"}


@pytest.mark.parametrize(
    ("through", "ports"), [({"through": "direct"}, {22}), ({"through": "ssm"}, set()), ({}, set())]
)
def test_ssh_is_open_to_operators_alone_and_to_nobody_through_systems_manager(
    through: dict[str, str], ports: set[int]
) -> None:
    network = {"operators": ["192.0.2.0/24"]} if ports else {}
    result = record(small(ssh=through, network=network))
    rules = result.of("vpc/securityGroupIngressRule:SecurityGroupIngressRule")
    assert {int(one.inputs["fromPort"]) for one in rules} & {22} == ports
    assert {one.inputs["cidrIpv4"] for one in rules if one.inputs["fromPort"] == 22} <= {"192.0.2.0/24"}
    data = result.of("ec2/instance:Instance")[0].inputs["userData"]
    assert ("amazon-ssm-agent" in data) == (not ports)


@pytest.mark.parametrize(
    ("user", "said"),
    [
        (None, {"ssh_authorized_keys": [KEY]}),
        ("admin", {"ssh_authorized_keys": [KEY]}),
        ("root", {"ssh_authorized_keys": [KEY], "disable_root": False}),
    ],
)
def test_an_operator_s_key_is_all_of_the_first_start_where_ssh_is_direct(
    user: str | None, said: dict[str, Any]
) -> None:
    ssh = {"through": "direct"} | ({"user": user} if user else {})
    blueprint = small(ssh=ssh, network={"operators": ["192.0.2.0/24"]})
    data = record(blueprint, {"dc1": KEY}).of("ec2/instance:Instance")[0].inputs["userData"]
    header, _, document = data.partition("\n")
    assert header == "#cloud-config"
    assert json.loads(document) == {"manage_etc_hosts": False, "package_update": False, **said}


def test_another_user_is_made_and_may_become_root() -> None:
    data = recorded("by hand")[1].of("ec2/instance:Instance")[0].inputs["userData"]
    default, named = json.loads(data.partition("\n")[2])["users"]
    assert default == "default"
    assert (named["name"], named["ssh_authorized_keys"]) == ("deploy", [KEY])


def test_a_bucket_is_closed_encrypted_and_kept_and_machines_may_not_delete_from_it() -> None:
    _, result = recorded("by hand")
    (bucket,) = result.of("s3/bucket:Bucket")
    assert result.options[bucket.key]["protect"]
    (closed,) = result.of("s3/bucketPublicAccessBlock:BucketPublicAccessBlock")
    assert all(value is True for name, value in closed.inputs.items() if name != "bucket")
    (policy,) = result.of("iam/rolePolicy:RolePolicy")
    actions = {action for one in json.loads(policy.inputs["policy"])["Statement"] for action in one["Action"]}
    assert actions == {"cloudwatch:PutMetricData", "s3:ListBucket", "s3:GetObject", "s3:PutObject"}


def test_rights_of_a_machine_name_no_star_of_actions() -> None:
    for name in SHIPPED:
        for rights in shipped(name).of("iam/rolePolicy:RolePolicy"):
            for statement in json.loads(rights.inputs["policy"])["Statement"]:
                assert all("*" not in action for action in statement["Action"])


def test_recovery_is_asked_for_where_data_outlives_the_machine() -> None:
    everything = shipped("prod-eu").of("cloudwatch/metricAlarm:MetricAlarm")
    alarms = [one for one in everything if one.inputs["namespace"] == "AWS/EC2"]
    assert len(alarms) == 2 * len(rendered("prod-eu").nodes)
    actions = {one.inputs["metricName"]: one.inputs["alarmActions"] for one in alarms}
    assert actions == {
        "StatusCheckFailed_System": ["arn:aws:automate:eu-west-1:ec2:recover"],
        "StatusCheckFailed_Instance": [],
    }


def told(file: str) -> dict[str, Any]:
    """What the program on a machine is given."""
    found: dict[str, Any] = json.loads(file)
    return found


@pytest.mark.parametrize("name", ["prod-eu", "prod-us-kraft"])
def test_each_metric_that_a_machine_sends_has_an_alarm_of_exactly_its_name_and_dimensions(name: str) -> None:
    alarms = Counter(
        (
            one.inputs["namespace"],
            one.inputs["metricName"],
            json.dumps(one.inputs["dimensions"], sort_keys=True),
        )
        for one in shipped(name).of("cloudwatch/metricAlarm:MetricAlarm")
        if one.inputs["namespace"] != "AWS/EC2"
    )
    sent = Counter()
    for node in rendered(name).nodes:
        (given,) = (told(file.text) for file in node.files if file.path == "/etc/kdeploy/disk-use.json")
        mounts = [one["mount"] for one in given["mounts"]]
        assert mounts == ["/", *(disk.mount for disk in node.disks)]
        for one in given["mounts"]:
            dimensions = json.dumps(one["dimensions"], sort_keys=True)
            sent[given["namespace"], given["metric"], dimensions] += 1
    assert alarms == sent
    assert set(sent.values()) == {1}


def test_a_disk_is_watched_for_the_share_that_was_asked_for_and_silence_is_told_as_such() -> None:
    topic = "arn:aws:sns:eu-west-1:123456789012:kafka"
    machine = {"alarms": True, "alarm_topic": topic, "alarm_percent": 70}
    alarms = [
        one.inputs
        for one in record(small(machine=machine)).of("cloudwatch/metricAlarm:MetricAlarm")
        if one.inputs["namespace"] == "kdeploy"
    ]
    assert len(alarms) == 12, "three brokers and three ZooKeeper nodes, each with two file systems"
    for one in alarms:
        assert (one["threshold"], one["comparisonOperator"]) == (70, "GreaterThanThreshold")
        assert one["period"] * one["evaluationPeriods"] == 300
        assert one["treatMissingData"] == "missing"
        assert one["alarmActions"] == one["insufficientDataActions"] == [topic]
        assert "InstanceId" not in one["dimensions"], "a machine that is replaced keeps its alarm"
        assert one["alarmDescription"].endswith("is more than 70 % full")


@pytest.mark.parametrize(
    ("fields", "services"),
    [
        ({"machine": {"alarms": True}, "network": {"egress": "none"}}, {"ssm", "ssmmessages", "monitoring"}),
        ({"machine": {"alarms": True}, "network": {"egress": "nat"}}, {"ssm", "ssmmessages"}),
        ({"network": {"egress": "none"}}, {"ssm", "ssmmessages"}),
        (
            {
                "machine": {"alarms": True},
                "network": {"egress": "none", "operators": ["192.0.2.0/24"]},
                "ssh": {"through": "direct"},
            },
            {"monitoring"},
        ),
        ({"network": {"egress": "none", "operators": ["192.0.2.0/24"]}, "ssh": {"through": "direct"}}, set()),
    ],
)
def test_cloudwatch_has_an_endpoint_where_machines_tell_it_something_and_have_no_other_way_out(
    fields: dict[str, Any], services: set[str]
) -> None:
    result = record(small(**fields))
    endpoints = result.of("ec2/vpcEndpoint:VpcEndpoint")
    interfaces = [one.inputs for one in endpoints if one.inputs["vpcEndpointType"] == "Interface"]
    assert {one["serviceName"].rpartition(".")[2] for one in interfaces} == services
    assert all(one["privateDnsEnabled"] is True for one in interfaces)
    if fields["network"]["egress"] == "none":
        outward = result.of("vpc/securityGroupEgressRule:SecurityGroupEgressRule")
        reached = {one.name for one in outward if one.name.endswith("tcp-443-to-endpoints")}
        assert reached == {"dc1-broker-tcp-443-to-endpoints", "dc1-zookeeper-tcp-443-to-endpoints"}


def test_machines_that_tell_nothing_may_tell_nothing_and_have_no_policy_where_they_may_nothing() -> None:
    direct = {"ssh": {"through": "direct"}, "network": {"operators": ["192.0.2.0/24"]}}
    assert record(small(**direct)).of("iam/rolePolicy:RolePolicy") == []
    (policy,) = record(small()).of("iam/rolePolicy:RolePolicy")
    assert "cloudwatch" not in policy.inputs["policy"]
    (watched,) = record(small(machine={"alarms": True}, **direct)).of("iam/rolePolicy:RolePolicy")
    (statement,) = json.loads(watched.inputs["policy"])["Statement"]
    assert statement["Action"] == ["cloudwatch:PutMetricData"]
    assert statement["Condition"] == {"StringEquals": {"cloudwatch:namespace": "kdeploy"}}


def balancing(kind: str) -> Recording:
    """What is declared for clients outside: the balancer with all that is its own, and where it stands."""
    result = recorded(kind)[1]
    own = tuple(
        one for one in result.resources if "balancer" in one.name or one.name.startswith("dc1-gateway")
    )
    return replace(result, resources=own)


@pytest.mark.parametrize("kind", ["outside", "public"])
def test_a_load_balancer_is_what_was_reviewed(kind: str, request: pytest.FixtureRequest) -> None:
    found = balancing(kind).golden()
    file = GOLDEN / f"load-balancer-{kind}.txt"
    if request.config.getoption("--accept-goldens"):
        file.write_text(found)
    assert found == file.read_text(), "resources changed; review with pytest --accept-goldens"


@pytest.mark.parametrize("kind", ["outside", "public"])
def test_a_port_leads_to_the_broker_that_is_advertised_there_and_the_first_one_to_all(kind: str) -> None:
    blueprint, result = recorded(kind)
    (cluster,) = blueprint.clusters
    leads: dict[int, set[tuple[str, int]]] = {}
    for listener in result.of("lb/listener:Listener"):
        (action,) = listener.inputs["defaultActions"]
        leads[int(listener.inputs["port"])] = {
            (one.inputs["targetId"], int(one.inputs["port"]))
            for one in result.of("lb/targetGroupAttachment:TargetGroupAttachment")
            if one.inputs["targetGroupArn"] == action["targetGroupArn"]
        }
    wanted: dict[int, set[tuple[str, int]]] = {}
    for node in cluster.brokers:
        assert node.machine
        (text,) = (file.text for file in node.files if file.path.endswith("server.properties"))
        (told,) = re.findall(r"EXTERNAL://kafka\.example\.com:(\d+)", text)
        (listens,) = re.findall(r"^listeners=.*EXTERNAL://0\.0\.0\.0:(\d+)", text, re.MULTILINE)
        wanted[int(told)] = {(node.machine.address, int(listens))}
    assert cluster.place
    assert cluster.place.balancer
    everyone = set().union(*wanted.values())
    assert len(everyone) == len(cluster.brokers)
    assert leads == {**wanted, cluster.place.balancer.port: everyone}


def test_a_load_balancer_is_internal_unless_the_internet_was_asked_for() -> None:
    (inside,) = recorded("outside")[1].of("lb/loadBalancer:LoadBalancer")
    assert inside.inputs["internal"] is True
    assert inside.inputs["subnets"] == [f"dc1-subnet-{rack}-id" for rack in "abc"]
    assert not [one for one in balancing("outside").resources if "gateway-b" in one.name]
    _, result = recorded("public")
    (facing,) = result.of("lb/loadBalancer:LoadBalancer")
    assert facing.inputs["internal"] is False
    assert facing.inputs["subnets"] == [f"dc1-gateway-{rack}-id" for rack in "abc"]
    ties = result.of("ec2/routeTableAssociation:RouteTableAssociation")
    tables = {one.inputs["subnetId"]: one.inputs["routeTableId"] for one in ties}
    assert {tables[one] for one in facing.inputs["subnets"]} == {"dc1-routes-gateways-id"}
    assert len(result.of("ec2/natGateway:NatGateway")) == 1, "a public subnet more is no gateway more"


def test_a_public_load_balancer_without_a_way_out_has_a_gateway_and_machines_have_none() -> None:
    wanted = {"name": "kafka.example.com", "scheme": "internet-facing", "sources": ["198.51.100.0/24"]}
    result = record(small(network={"load_balancer": wanted, "egress": "none"}))
    assert len(result.of("ec2/internetGateway:InternetGateway")) == 1
    assert not result.of("ec2/natGateway:NatGateway")
    (route,) = result.of("ec2/route:Route")
    assert route.inputs["routeTableId"] == "dc1-routes-gateways-id"


def test_in_a_network_that_is_there_a_load_balancer_stands_in_its_subnets() -> None:
    (there,) = KINDS["there"]
    balancer = {"name": "kafka.example.com", "sources": ["10.0.0.0/8"]}
    network = {**there["network"], "load_balancer": balancer}
    result = record(decided([{**there, "network": network}])[0])
    (made,) = result.of("lb/loadBalancer:LoadBalancer")
    assert made.inputs["subnets"] == ["subnet-01234560", "subnet-01234561", "subnet-01234562"]
    assert {one.inputs["vpcId"] for one in result.of("lb/targetGroup:TargetGroup")} == {"vpc-01234567"}
    assert not result.of("route53/record:Record")[0].inputs["name"].startswith("kafka."), (
        "its zone is not named"
    )


@pytest.mark.parametrize("environment", ["a", "a-rather-long-name-of-an-environment", "ends-at-the-cut-"])
def test_names_of_a_load_balancer_are_such_as_aws_takes_and_no_two_are_alike(environment: str) -> None:
    name = environment.rstrip("-")
    blueprint = replace(recorded("outside")[0], environment=name)
    assert blueprint.aws
    result = record(replace(blueprint, aws=replace(blueprint.aws, name=name)))
    names = [
        one.inputs["name"]
        for kind in ("lb/loadBalancer:LoadBalancer", "lb/targetGroup:TargetGroup")
        for one in result.of(kind)
    ]
    assert len(set(names)) == len(names) == 6
    for one in names:
        assert re.fullmatch(r"(?!.*--)[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?", one), one


def test_the_checks_hold_an_open_balancer_against_who_did_not_ask_for_it() -> None:
    blueprint, result = recorded("public")
    planned = [policy.Planned(one.type, one.name, one.inputs, True, True) for one in result.resources]
    (exposure, *_) = policy.check(planned, policy.asked(recorded("outside")[0]))
    assert {one.resource for one in exposure.violations} == {
        "dc1-balancer",
        *(f"dc1-balancer-tcp-{port}-from-0.0.0.0-0" for port in (9200, 9201, 9202, 9203, 9204)),
    }
    stray = policy.Planned(
        policy.INGRESS,
        "dc1-broker-tcp-9092-from-0.0.0.0-0",
        {"cidrIpv4": "0.0.0.0/0", "ipProtocol": "tcp", "fromPort": 9092, "toPort": 9092},
    )
    (exposure, *_) = policy.check([*planned, stray], policy.asked(blueprint))
    assert [one.resource for one in exposure.violations] == [stray.name]
