"""Two regions joined by transit gateways: what a program of kdeploy declares, made by a real engine."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kdeploy.blueprint import Blueprint
from tests.cloud import rights
from tests.cloud.cloud import Cloud
from tests.e2e.aws.engine import Stack
from tests.tuning.places import KINDS, decided

pytestmark = pytest.mark.cloud


def by(blueprint: Blueprint, way: Any) -> Any:
    """The program whose networks are joined that way."""
    from kdeploy.infra.aws.program import program

    assert blueprint.aws
    joined = tuple(replace(one, by=way) for one in blueprint.aws.peerings)
    return program(replace(blueprint, aws=replace(blueprint.aws, peerings=joined)))


def leads(cloud: Cloud) -> set[str]:
    """Beginnings of the ids that routes between the two networks lead to."""
    found = set()
    for region, other in (("eu-west-1", "10.2.0.0/16"), ("us-east-1", "10.1.0.0/16")):
        tables = cloud.client("ec2", region).describe_route_tables()["RouteTables"]
        for route in (one for table in tables for one in table["Routes"]):
            if route.get("DestinationCidrBlock") == other:
                found.add(str(route.get("TransitGatewayId") or route.get("VpcPeeringConnectionId"))[:4])
    return found


def strayed(stack: Stack) -> set[str]:
    """Types of what AWS has otherwise than the state."""
    events: list[Any] = []
    stack.stack.preview_refresh(on_event=events.append)
    ended = [one.res_outputs_event.metadata for one in events if one.res_outputs_event]
    return {one.type for one in ended if one.diffs or one.detailed_diff}


def test_networks_change_from_a_peering_to_gateways_and_back_without_a_moment_without_routes(
    cloud: Cloud, folder: Path
) -> None:
    blueprint, _ = decided(KINDS["two"], 1, coordinators=1)
    stack = Stack(cloud, folder / "work", by(blueprint, "peering"), name="joined")
    stack.run()
    assert leads(cloud) == {"pcx-"}
    changed = stack.run(by(blueprint, "transit-gateway"))
    assert (changed["update"], changed["create"], changed["delete"]) == (6, 8, 2), changed
    assert leads(cloud) == {"tgw-"}
    assert set(stack.preview(by(blueprint, "transit-gateway"))) == {"same"}
    assert strayed(stack) <= {"aws:ec2/instance:Instance"}, "AWS fills in the key of a machine's first disk"
    for region in ("eu-west-1", "us-east-1"):
        (gateway,) = cloud.client("ec2", region).describe_transit_gateways()["TransitGateways"]
        table = gateway["Options"]["AssociationDefaultRouteTableId"]
        (route,) = cloud.client("ec2", region).search_transit_gateway_routes(
            TransitGatewayRouteTableId=table, Filters=[{"Name": "type", "Values": ["static"]}]
        )["Routes"]
        assert route["State"] == "active"
    changed = stack.run(by(blueprint, "peering"))
    assert (changed["update"], changed["create"], changed["delete"]) == (6, 2, 8), changed
    assert leads(cloud) == {"pcx-"}
    for region in ("eu-west-1", "us-east-1"):
        left = cloud.client("ec2", region).describe_transit_gateways()["TransitGateways"]
        assert [one for one in left if one["State"] == "available"] == []
    needed = cloud.needed()
    assert {"ec2:CreateTransitGateway", "ec2:DeleteVpcPeeringConnection"} <= needed
    assert rights.refused(needed) == set(), "the policy of docs/aws.md does not allow it"
