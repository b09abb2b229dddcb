"""A third datacenter beside two in AWS: each two networks are joined, made by a real engine."""

from __future__ import annotations

from itertools import permutations
from pathlib import Path

import pytest

from kdeploy.infra.aws.program import program
from tests.cloud import rights
from tests.cloud.cloud import Cloud
from tests.e2e.aws.engine import Stack
from tests.tuning.places import KINDS, aws, decided

pytestmark = pytest.mark.cloud

PLACES = {"10.1.0.0/16": "eu-west-1", "10.2.0.0/16": "us-east-1", "10.3.0.0/16": "eu-central-1"}
"""By its network, where each is."""


def ways(cloud: Cloud) -> dict[tuple[str, str], set[str]]:
    """By the network that a route is in and the one that it leads to, the peerings that it leads through."""
    found: dict[tuple[str, str], set[str]] = {}
    for here, region in PLACES.items():
        for table in cloud.client("ec2", region).describe_route_tables()["RouteTables"]:
            for route in table["Routes"]:
                there = route.get("DestinationCidrBlock")
                if there in PLACES and there != here and "VpcPeeringConnectionId" in route:
                    found.setdefault((here, there), set()).add(route["VpcPeeringConnectionId"])
    return found


def test_a_third_datacenter_is_joined_to_both_and_nothing_between_the_two_is_touched(
    cloud: Cloud, folder: Path
) -> None:
    blueprint, lock = decided(KINDS["two"], 1, coordinators=1)
    stack = Stack(cloud, folder / "work", program(blueprint), name="joined")
    stack.run()
    before = ways(cloud)
    assert before.keys() == set(permutations(("10.1.0.0/16", "10.2.0.0/16")))
    third = aws(name="three", region="eu-central-1", network={"cidr": "10.3.0.0/16"})
    more = program(decided([*KINDS["two"], third], 1, previous=lock, coordinators=1)[0])
    changed = stack.run(more)
    assert not {"update", "delete", "replace"} & changed.keys(), changed
    found = ways(cloud)
    assert found.keys() == set(permutations(PLACES, 2))
    assert {pair: found[pair] for pair in before} == before
    for here, there in found:
        assert found[here, there] == found[there, here], "one peering for both ways"
    assert len({next(iter(one)) for one in found.values()}) == 3
    assert set(stack.preview(more)) == {"same"}
    assert rights.refused(cloud.needed()) == set(), "the policy of docs/aws.md does not allow it"
