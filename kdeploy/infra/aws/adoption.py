"""What a killed engine had made and nobody wrote down, found again in AWS: by kdeploy's tags, or by its own name.

Invariant: read-only. What is found is named as the engine would import it; what is not found was never made, or is
made twice without harm.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, Final

from kdeploy.errors import MissingExtra
from kdeploy.infra.aws.policy import Planned

TAG: Final = "kdeploy:resource"
"""Tag with the logical name of each resource."""

ENVIRONMENT: Final = "kdeploy:environment"
"""Tag with the environment's name."""

ATTACHMENT: Final = "aws:ec2/volumeAttachment:VolumeAttachment"

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

PREFIXES: Final[Mapping[str, str]] = {
    "InstanceId": "i-",
    "VolumeId": "vol-",
    "NetworkInterfaceId": "eni-",
    "VpcId": "vpc-",
    "SubnetId": "subnet-",
    "GroupId": "sg-",
    "InternetGatewayId": "igw-",
    "NatGatewayId": "nat-",
    "AllocationId": "eipalloc-",
    "RouteTableId": "rtb-",
    "VpcEndpointId": "vpce-",
    "VpcPeeringConnectionId": "pcx-",
    "SecurityGroupRuleId": "sgr-",
}
"""What ids of each kind begin with (Amazon EC2 User Guide, resource ids)."""

Clients = Callable[[str, str], Any]
"""A client of boto3 for a service and a region."""


def found(
    planned: Iterable[Planned],
    known: Collection[tuple[str, str]],
    environment: str,
    regions: Sequence[str],
    clients: Clients | None = None,
) -> dict[tuple[str, str], str]:
    """What a stack would make and AWS has already, by type and logical name, as the engine imports it.

    Args:
        planned: Resources that would be made.
        known: Types and ids that the state has: those are nobody's to take.
        environment: The environment's name.
        regions: Where it is.
        clients: Makes clients of boto3; the real ones where left out.
    """
    make = clients or _clients()
    tagged = {region: _by_tag(make("ec2", region), environment) for region in regions}
    there = {}
    for one in planned:
        names = _names(one, tagged, regions, make)
        name = next((each for each in names if (one.type, each) not in known), None)
        if name is not None:
            there[one.type, one.name] = name
    return there


def _by_tag(client: Any, environment: str) -> dict[str, list[str]]:  # noqa: ANN401 - boto3 has no types
    """Ids of everything in EC2 that an environment's resources are called, by their logical names."""
    own = {one["ResourceId"] for one in _tags(client, ENVIRONMENT) if one["Value"] == environment}
    found: dict[str, list[str]] = {}
    for one in _tags(client, TAG) if own else ():
        if one["ResourceId"] in own:
            found.setdefault(one["Value"], []).append(one["ResourceId"])
    return found


def _tags(client: Any, key: str) -> Iterable[dict[str, str]]:  # noqa: ANN401
    pages = client.get_paginator("describe_tags").paginate(Filters=[{"Name": "key", "Values": [key]}])
    return (one for page in pages for one in page["Tags"])


def adopt(known: Mapping[tuple[str, str], str]) -> None:
    """Have the program that runs take over what is there already; called in it, before anything is declared.

    Args:
        known: As `found` gives it.
    """
    import pulumi

    def take(given: pulumi.ResourceTransformArgs) -> pulumi.ResourceTransformResult:
        name = known.get((given.type_, given.name))
        options = pulumi.ResourceOptions.merge(given.opts, pulumi.ResourceOptions(import_=name))
        return pulumi.ResourceTransformResult(given.props, options)

    pulumi.runtime.register_resource_transform(take)


def _clients() -> Clients:
    try:
        import boto3
    except ImportError:
        raise MissingExtra("aws", "boto3") from None
    return lambda service, region: boto3.client(service, region_name=region)


def _names(
    one: Planned, tagged: Mapping[str, Mapping[str, Sequence[str]]], regions: Sequence[str], clients: Clients
) -> Iterable[str]:
    if one.type == ATTACHMENT:
        for region, ids in tagged.items():
            yield from _attached(
                [each for each in ids.get(one.name, ()) if each.startswith("vol-")], clients("ec2", region)
            )
        return
    if one.type not in TAGGED:
        yield from _by_name(one, regions, clients)
        return
    operation, listed, identity = TAGGED[one.type]
    for region, ids in tagged.items():
        # Several kinds may have one name; which is of this kind is told by how AWS begins its ids.
        mine = [each for each in ids.get(one.name, ()) if each.startswith(PREFIXES[identity])]
        if mine:
            yield from _living(clients("ec2", region), operation, listed, identity, mine)


def _attached(volumes: Sequence[str], client: Any) -> Iterable[str]:  # noqa: ANN401
    """Attachments of volumes, which have no tags: each is called as its volume is."""
    asked = [{"Name": "volume-id", "Values": list(volumes)}]  # one that is gone is no error here
    for volume in client.describe_volumes(Filters=asked)["Volumes"] if volumes else ():
        for one in volume["Attachments"]:
            if one["State"] in ("attached", "attaching"):
                yield f"{one['Device']}:{volume['VolumeId']}:{one['InstanceId']}"


def _living(client: Any, operation: str, listed: str, identity: str, ids: Sequence[str]) -> Iterable[str]:  # noqa: ANN401
    """Those that are there and not about to go."""
    from botocore.exceptions import ClientError

    for each in ids:
        try:
            answer = getattr(client, operation)(**{f"{identity}s": [each]})
        except ClientError as error:
            if "NotFound" not in error.response["Error"]["Code"]:
                raise
            continue
        groups = answer.get("Reservations")
        found = (
            [one for group in groups for one in group["Instances"]] if groups is not None else answer[listed]
        )
        yield from (one[identity] for one in found if _state(one) not in GONE)


def _state(one: Mapping[str, Any]) -> str:
    state = one.get("State") or one.get("Status") or ""
    return str(state.get("Name") or state.get("Code") or "") if isinstance(state, Mapping) else str(state)


def _by_name(pending: Planned, regions: Sequence[str], clients: Clients) -> Iterable[str]:
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
