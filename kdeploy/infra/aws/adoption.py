"""What a killed engine had begun to make, found again in AWS: by kdeploy's own tag, or by a name it alone has.

Invariant: read-only. What is found is named as the engine would import it; what is not found was never made, or is
made twice without harm.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from kdeploy.errors import MissingExtra
from kdeploy.infra.aws.changes import Resource, State

TAG: Final = "kdeploy:resource"
"""Tag with the logical name of each resource."""

ENVIRONMENT: Final = "kdeploy:environment"
"""Tag with the environment's name."""

GONE: Final = ("terminated", "shutting-down", "deleted", "deleting", "failed", "rejected", "expired")
"""States in which something is still listed and is there no more."""

TAGGED: Final[Mapping[str, tuple[str, str, str]]] = {
    "aws:ec2/instance:Instance": ("describe_instances", "Instances", "InstanceId"),
    "aws:ebs/volume:Volume": ("describe_volumes", "Volumes", "VolumeId"),
    "aws:ec2/networkInterface:NetworkInterface": ("describe_network_interfaces", "NetworkInterfaces", "NetworkInterfaceId"),
    "aws:ec2/vpc:Vpc": ("describe_vpcs", "Vpcs", "VpcId"),
    "aws:ec2/subnet:Subnet": ("describe_subnets", "Subnets", "SubnetId"),
    "aws:ec2/securityGroup:SecurityGroup": ("describe_security_groups", "SecurityGroups", "GroupId"),
    "aws:ec2/internetGateway:InternetGateway": ("describe_internet_gateways", "InternetGateways", "InternetGatewayId"),
    "aws:ec2/natGateway:NatGateway": ("describe_nat_gateways", "NatGateways", "NatGatewayId"),
    "aws:ec2/eip:Eip": ("describe_addresses", "Addresses", "AllocationId"),
    "aws:ec2/routeTable:RouteTable": ("describe_route_tables", "RouteTables", "RouteTableId"),
    "aws:ec2/vpcEndpoint:VpcEndpoint": ("describe_vpc_endpoints", "VpcEndpoints", "VpcEndpointId"),
    "aws:ec2/vpcPeeringConnection:VpcPeeringConnection": ("describe_vpc_peering_connections", "VpcPeeringConnections", "VpcPeeringConnectionId"),
    "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule": ("describe_security_group_rules", "SecurityGroupRules", "SecurityGroupRuleId"),
    "aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule": ("describe_security_group_rules", "SecurityGroupRules", "SecurityGroupRuleId"),
}  # fmt: skip
"""How a type of EC2 is listed: operation, the list in its answer, the id in that (Amazon EC2 API Reference)."""

Clients = Callable[[str, str], Any]
"""A client of boto3 for a service and a region."""


def found(state: State, regions: Sequence[str], clients: Clients | None = None) -> dict[str, str]:
    """What of a state's pending creations is there, by URN, as `pulumi import` names it.

    Args:
        state: A state with pending creations.
        regions: Where the environment is.
        clients: Makes clients of boto3; the real ones where left out.
    """
    make = clients or _clients()
    known = {(one.type, one.id) for one in state.resources if one.id}
    there = {}
    for pending in state.pending:
        name = next((one for one in _names(pending, regions, make) if (pending.type, one) not in known), None)
        if name is not None:
            there[pending.urn] = name
    return there


def _clients() -> Clients:
    try:
        import boto3
    except ImportError:
        raise MissingExtra("aws", "boto3") from None
    return lambda service, region: boto3.client(service, region_name=region)


def _names(pending: Resource, regions: Sequence[str], clients: Clients) -> Iterable[str]:
    if pending.type in TAGGED:
        for region in regions:
            yield from _tagged(pending, clients("ec2", region))
    else:
        yield from _by_name(pending, regions, clients)


def _tagged(pending: Resource, client: Any) -> Iterable[str]:  # noqa: ANN401 - boto3 has no types
    operation, listed, identity = TAGGED[pending.type]
    tags = {**(pending.inputs.get("tagsAll") or {}), **(pending.inputs.get("tags") or {})}
    filters = [{"Name": f"tag:{TAG}", "Values": [pending.name]}]
    if ENVIRONMENT in tags:
        filters.append({"Name": f"tag:{ENVIRONMENT}", "Values": [tags[ENVIRONMENT]]})
    answer = getattr(client, operation)(Filters=filters)
    groups = answer.get("Reservations")
    things = (
        [one for group in groups for one in group["Instances"]]
        if groups is not None
        else answer.get(listed, [])
    )
    for one in things:
        if _state(one) not in GONE:
            yield one[identity]


def _state(one: Mapping[str, Any]) -> str:
    state = one.get("State") or one.get("Status") or ""
    return str(state.get("Name") or state.get("Code") or "") if isinstance(state, Mapping) else str(state)


def _by_name(pending: Resource, regions: Sequence[str], clients: Clients) -> Iterable[str]:
    """Resources that have a name of their own, which nothing else can have."""
    from botocore.exceptions import ClientError

    asked = pending.inputs
    region = regions[0]
    name = asked.get("name")
    try:
        match pending.type:
            case "aws:iam/role:Role" if name:
                yield clients("iam", region).get_role(RoleName=name)["Role"]["RoleName"]
            case "aws:iam/instanceProfile:InstanceProfile" if name:
                yield clients("iam", region).get_instance_profile(InstanceProfileName=name)[
                    "InstanceProfile"
                ]["InstanceProfileName"]
            case "aws:iam/rolePolicy:RolePolicy" if name and asked.get("role"):
                answer = clients("iam", region).get_role_policy(RoleName=asked["role"], PolicyName=name)
                yield f"{answer['RoleName']}:{answer['PolicyName']}"
            case "aws:ec2/placementGroup:PlacementGroup" if name:
                for one in regions:
                    groups = clients("ec2", one).describe_placement_groups(
                        Filters=[{"Name": "group-name", "Values": [name]}]
                    )
                    yield from (group["GroupName"] for group in groups["PlacementGroups"])
            case "aws:route53/zone:Zone" if name:
                yield from _zones(name, clients("route53", region))
            case "aws:route53/record:Record":
                yield from _records(asked, clients("route53", region))
    except ClientError as error:
        if error.response["Error"]["Code"] not in (
            "NoSuchEntity",
            "NoSuchHostedZone",
            "InvalidPlacementGroup.Unknown",
        ):
            raise


def _zones(name: str, client: Any) -> Iterable[str]:  # noqa: ANN401
    answer = client.list_hosted_zones_by_name(DNSName=name)
    for one in answer["HostedZones"]:
        if one["Name"].rstrip(".") == name.rstrip("."):
            yield one["Id"].rpartition("/")[2]


def _records(asked: Mapping[str, Any], client: Any) -> Iterable[str]:  # noqa: ANN401
    zone, name, kind = asked.get("zoneId"), str(asked.get("name") or ""), asked.get("type")
    if not zone or not name:
        return
    answer = client.list_resource_record_sets(HostedZoneId=zone, StartRecordName=name, StartRecordType=kind)
    for one in answer["ResourceRecordSets"]:
        if one["Name"].rstrip(".") == name.rstrip(".") and one["Type"] == kind:
            yield f"{zone}_{name}_{kind}"
