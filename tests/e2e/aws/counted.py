"""How many of each resource an account has, and how many the state of a stack says that there are."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from typing import Any

from tests.cloud.account import Account

HERE = ("eu-west-1",)

ROOT_DEVICES = ("/dev/xvda", "/dev/sda1")


def everything(cloud: Account, regions: Iterable[str] = HERE) -> Counter[str]:
    """How many of each resource there are in an account, without what every account has, and what is others'."""
    found = _everywhere(cloud)
    for region in regions:
        found.update(_in_region(cloud, region))
    return +found


def _in_region(cloud: Account, region: str) -> dict[str, int]:
    ec2, mine = cloud.client("ec2", region), cloud.mine(region)

    def own(operation: str, key: str) -> list[Any]:
        return [one for one in _all(ec2, operation, key) if mine(one)]

    security = own("describe_security_groups", "SecurityGroups")
    groups = {one["GroupId"] for one in security if one["GroupName"] != "default"}
    endpoints = own("describe_vpc_endpoints", "VpcEndpoints")
    of_endpoints = {each for one in endpoints for each in one.get("NetworkInterfaceIds", [])}
    tables, volumes = own("describe_route_tables", "RouteTables"), own("describe_volumes", "Volumes")
    alarms = _all(cloud.client("cloudwatch", region), "describe_alarms", "MetricAlarms")
    return {
        "machines": sum(
            one["State"]["Name"] != "terminated"
            for group in _all(ec2, "describe_instances", "Reservations")
            for one in group["Instances"]
            if mine(one)
        ),
        "volumes": len(volumes),
        "attachments": sum(
            each["Device"] not in ROOT_DEVICES for one in volumes for each in one["Attachments"]
        ),
        "interfaces": sum(
            one["NetworkInterfaceId"] not in of_endpoints
            for one in own("describe_network_interfaces", "NetworkInterfaces")
        ),
        "networks": sum(not one["IsDefault"] for one in own("describe_vpcs", "Vpcs")),
        "subnets": sum(not one["DefaultForAz"] for one in own("describe_subnets", "Subnets")),
        "addresses": len(own("describe_addresses", "Addresses")),
        "groups": len(groups),
        "rules": sum(
            one["GroupId"] in groups
            for one in _all(ec2, "describe_security_group_rules", "SecurityGroupRules")
        ),
        "apart": len(own("describe_placement_groups", "PlacementGroups")),
        "tables": sum(not any(each["Main"] for each in one["Associations"]) for one in tables),
        "tied": sum(not each["Main"] for one in tables for each in one["Associations"]),
        "routes": sum(
            each["Origin"] == "CreateRoute"
            and "DestinationCidrBlock" in each  # not those of the endpoint of S3
            for one in tables
            for each in one["Routes"]
        ),
        "gateways": _living(own("describe_nat_gateways", "NatGateways"), "State"),
        "internet": len(own("describe_internet_gateways", "InternetGateways")),
        "endpoints": _living(endpoints, "State"),
        "peerings": sum(
            one["Status"]["Code"] not in ("deleted", "failed", "rejected")
            for one in own("describe_vpc_peering_connections", "VpcPeeringConnections")
            if one["RequesterVpcInfo"]["Region"] == region
        ),
        "alarms": sum(map(mine, alarms)),
    }


def _everywhere(cloud: Account) -> Counter[str]:
    iam, route53, mine = cloud.client("iam"), cloud.client("route53"), cloud.mine(HERE[0])
    zones = [one for one in _all(route53, "list_hosted_zones", "HostedZones") if mine(one)]
    records = [
        one
        for zone in zones
        for one in _all(route53, "list_resource_record_sets", "ResourceRecordSets", HostedZoneId=zone["Id"])
    ]
    return Counter(
        {
            "roles": sum(map(mine, _all(iam, "list_roles", "Roles"))),
            "profiles": sum(map(mine, _all(iam, "list_instance_profiles", "InstanceProfiles"))),
            "buckets": sum(map(mine, _all(cloud.client("s3"), "list_buckets", "Buckets"))),
            "zones": len(zones),
            "records": sum(one["Type"] not in ("NS", "SOA") for one in records),
        }
    )


def _all(client: Any, operation: str, key: str, **given: Any) -> list[Any]:
    """All that an operation lists, page by page where it has pages."""
    if not client.can_paginate(operation):
        return list(getattr(client, operation)(**given)[key])
    return [one for page in client.get_paginator(operation).paginate(**given) for one in page.get(key, ())]


def _living(found: Iterable[Any], state: str) -> int:
    return sum(one[state].lower() not in ("deleted", "deleting") for one in found)


STATE = {
    "machines": ("ec2/instance:Instance",),
    "volumes": ("ebs/volume:Volume", "ec2/instance:Instance"),  # each has a first disk
    "interfaces": ("ec2/networkInterface:NetworkInterface", "ec2/natGateway:NatGateway"),
    "networks": ("ec2/vpc:Vpc",),
    "subnets": ("ec2/subnet:Subnet",),
    "addresses": ("ec2/eip:Eip",),
    "groups": ("ec2/securityGroup:SecurityGroup",),
    "apart": ("ec2/placementGroup:PlacementGroup",),
    "roles": ("iam/role:Role",),
    "profiles": ("iam/instanceProfile:InstanceProfile",),
    "tables": ("ec2/routeTable:RouteTable",),
    "tied": ("ec2/routeTableAssociation:RouteTableAssociation",),
    "routes": ("ec2/route:Route",),
    "buckets": ("s3/bucket:Bucket",),
    "alarms": ("cloudwatch/metricAlarm:MetricAlarm",),
    "zones": ("route53/zone:Zone",),
    "records": ("route53/record:Record",),
    "gateways": ("ec2/natGateway:NatGateway",),
    "internet": ("ec2/internetGateway:InternetGateway",),
    "endpoints": ("ec2/vpcEndpoint:VpcEndpoint",),
    "rules": (
        "vpc/securityGroupIngressRule:SecurityGroupIngressRule",
        "vpc/securityGroupEgressRule:SecurityGroupEgressRule",
    ),
    "attachments": ("ec2/volumeAttachment:VolumeAttachment",),
    "peerings": ("ec2/vpcPeeringConnection:VpcPeeringConnection",),
}
"""Types in the state, by what is counted in the account."""


def beside(found: Counter[str], exported: str) -> dict[str, tuple[int, int]]:
    """What an account has more or less of than a state: how many, and how many there should be.

    Args:
        found: As `everything` counts.
        exported: The state, as JSON.
    """
    types = Counter(one["type"] for one in json.loads(exported)["resources"])
    wanted = {name: sum(types[f"aws:{each}"] for each in kinds) for name, kinds in STATE.items()}
    return {name: (found[name], wanted[name]) for name in found | wanted if found[name] != wanted[name]}
