"""What a killed engine had made and nobody wrote down, found again in AWS: by kdeploy's tags, or by its own name.

Invariant: read-only. What is found is named as the engine would import it; what is not found was never made, or is
made twice without harm.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from kdeploy.errors import MissingExtra
from kdeploy.infra.aws import ownership
from kdeploy.infra.aws.failure import Said, explained
from kdeploy.infra.aws.ownership import ENVIRONMENT, IDENTITY
from kdeploy.infra.aws.policy import Planned

TAG: Final = "kdeploy:resource"
"""Tag with the logical name of each resource."""

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
    "aws:ec2transitgateway/transitGateway:TransitGateway": ("describe_transit_gateways", "TransitGateways", "TransitGatewayId"),
    "aws:ec2transitgateway/vpcAttachment:VpcAttachment": ("describe_transit_gateway_vpc_attachments", "TransitGatewayVpcAttachments", "TransitGatewayAttachmentId"),
    "aws:ec2transitgateway/peeringAttachment:PeeringAttachment": ("describe_transit_gateway_peering_attachments", "TransitGatewayPeeringAttachments", "TransitGatewayAttachmentId"),
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
    "TransitGatewayId": "tgw-",
    "TransitGatewayAttachmentId": "tgw-attach-",
}
"""What ids of each kind have before their number (Amazon EC2 User Guide, resource ids)."""

Clients = Callable[[str, str], Any]
"""A client of boto3 for a service and a region."""

Find = Callable[[Planned, Sequence[str], Clients], Iterable[str]]
"""Looks for a resource in some regions; what the engine imports it by."""


def found(
    planned: Iterable[Planned],
    known: Collection[tuple[str, str]],
    environment: str,
    identity: str | None,
    regions: Sequence[str],
    clients: Clients | None = None,
) -> dict[tuple[str, str], str]:
    """What a stack would make and AWS has already, by type and logical name, as the engine imports it.

    Args:
        planned: Resources that would be made.
        known: Types and ids that the state has: those are nobody's to take.
        environment: The environment's name.
        identity: Its id, which its own resources have as a tag; None where its lock has none yet.
        regions: Where it is.
        clients: Makes clients of boto3; the real ones where left out.

    Raises:
        CloudError: Something has a name already that another environment gave it, or AWS refuses to say.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        return _found(planned, known, environment, identity, regions, clients or _clients())
    except (BotoCoreError, ClientError) as error:
        raise explained([Said("", str(error))], environment) from None


def _found(
    planned: Iterable[Planned],
    known: Collection[tuple[str, str]],
    environment: str,
    identity: str | None,
    regions: Sequence[str],
    make: Clients,
) -> dict[tuple[str, str], str]:
    tagged = {region: _by_tag(make("ec2", region), environment, identity) for region in regions}
    there = {}
    for one in planned:
        names = _names(one, tagged, regions, make)
        name = next((each for each in names if (one.type, each) not in known), None)
        if name is not None and not ownership.is_another(one, name, identity, regions, make):
            there[one.type, one.name] = name
    return there


def _by_tag(client: Any, environment: str, identity: str | None) -> dict[str, list[str]]:  # noqa: ANN401 - boto3 has no types
    """Ids of everything in EC2 that an environment's resources are called, by their logical names."""
    own = {one["ResourceId"] for one in _tags(client, ENVIRONMENT) if one["Value"] == environment}
    if own and identity is not None:
        own &= {one["ResourceId"] for one in _tags(client, IDENTITY) if one["Value"] == identity}
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
    session = (
        boto3.Session()
    )  # one of its own: the default one keeps the credentials that it was first made with
    return lambda service, region: session.client(service, region_name=region)


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
        mine = [each for each in ids.get(one.name, ()) if each[: each.rfind("-") + 1] == PREFIXES[identity]]
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
    """Resources that have a name of their own, which nothing else can have, or are known by what they join."""
    from botocore.exceptions import ClientError

    find = OTHERWISE.get(pending.type)
    try:
        yield from find(pending, regions, clients) if find else ()
    except ClientError as error:
        if error.response["Error"]["Code"] not in ABSENT:
            raise


ABSENT: Final = (
    *("NoSuchEntity", "NoSuchHostedZone", "InvalidPlacementGroup.Unknown", "InvalidRouteTableID.NotFound"),
    *("InvalidSubnetID.NotFound", "NoSuchBucket", "InvalidRouteTableId.NotFound"),
    *("LoadBalancerNotFound", "TargetGroupNotFound"),
)
"""What AWS says where there is no such thing."""


def _role(one: Planned, regions: Sequence[str], clients: Clients) -> Iterable[str]:
    yield clients("iam", regions[0]).get_role(RoleName=one.inputs["name"])["Role"]["RoleName"]


def _profile(one: Planned, regions: Sequence[str], clients: Clients) -> Iterable[str]:
    name = one.inputs["name"]
    answer = clients("iam", regions[0]).get_instance_profile(InstanceProfileName=name)
    yield answer["InstanceProfile"]["InstanceProfileName"]


def _policy(one: Planned, regions: Sequence[str], clients: Clients) -> Iterable[str]:
    name, role = one.inputs["name"], one.inputs.get("role")
    if role:
        answer = clients("iam", regions[0]).get_role_policy(RoleName=role, PolicyName=name)
        yield f"{answer['RoleName']}:{answer['PolicyName']}"


def _placement(one: Planned, regions: Sequence[str], clients: Clients) -> Iterable[str]:
    asked = [{"Name": "group-name", "Values": [one.inputs["name"]]}]
    for region in regions:
        groups = clients("ec2", region).describe_placement_groups(Filters=asked)
        yield from (group["GroupName"] for group in groups["PlacementGroups"])


def _alarm(one: Planned, regions: Sequence[str], clients: Clients) -> Iterable[str]:
    for region in regions:
        answer = clients("cloudwatch", region).describe_alarms(AlarmNames=[one.inputs["name"]])
        yield from (each["AlarmName"] for each in answer["MetricAlarms"])


def _route(one: Planned, regions: Sequence[str], clients: Clients) -> Iterable[str]:
    """A route by its table and where it leads: a table has one to each network."""
    table, network = one.inputs.get("routeTableId"), one.inputs.get("destinationCidrBlock")
    for found in _tables(table, regions, clients):
        if any(each.get("DestinationCidrBlock") == network for each in found["Routes"]):
            yield f"{table}_{network}"


def _association(one: Planned, regions: Sequence[str], clients: Clients) -> Iterable[str]:
    """A subnet's table: it has one."""
    table, subnet = one.inputs.get("routeTableId"), one.inputs.get("subnetId")
    for found in _tables(table, regions, clients):
        if any(each.get("SubnetId") == subnet for each in found["Associations"]) and subnet:
            yield f"{subnet}/{table}"


def _tables(table: str | None, regions: Sequence[str], clients: Clients) -> Iterator[Any]:
    """A route table, in whichever region it is."""
    for region in regions if table else ():
        # A filter: one that is in another region is no error.
        asked = [{"Name": "route-table-id", "Values": [table]}]
        yield from clients("ec2", region).describe_route_tables(Filters=asked)["RouteTables"]


def _gateway_route(one: Planned, regions: Sequence[str], clients: Clients) -> Iterable[str]:
    """A transit gateway's route by its table and where it leads."""
    table, network = one.inputs.get("transitGatewayRouteTableId"), one.inputs.get("destinationCidrBlock")
    for region in regions if table and network else ():
        client = clients("ec2", region)
        named = [{"Name": "transit-gateway-route-table-id", "Values": [table]}]
        if not client.describe_transit_gateway_route_tables(Filters=named)["TransitGatewayRouteTables"]:
            continue
        exact = [{"Name": "route-search.exact-match", "Values": [network]}]
        if client.search_transit_gateway_routes(TransitGatewayRouteTableId=table, Filters=exact)["Routes"]:
            yield f"{table}_{network}"


def _balancer(one: Planned, regions: Sequence[str], clients: Clients) -> Iterable[str]:
    for region in regions:
        yield from _of_balancing(clients("elbv2", region).describe_load_balancers, "LoadBalancer", one)


def _targets(one: Planned, regions: Sequence[str], clients: Clients) -> Iterable[str]:
    for region in regions:
        yield from _of_balancing(clients("elbv2", region).describe_target_groups, "TargetGroup", one)


def _of_balancing(ask: Callable[..., Any], what: str, one: Planned) -> Iterable[str]:
    """A load balancer or its targets by name, which is one's alone in a region; another region may have none."""
    from botocore.exceptions import ClientError

    try:
        answer = ask(Names=[one.inputs["name"]])
    except ClientError as error:
        if error.response["Error"]["Code"] not in ABSENT:
            raise
        return
    yield from (each[f"{what}Arn"] for each in answer[f"{what}s"])


def _listener(one: Planned, regions: Sequence[str], clients: Clients) -> Iterable[str]:
    """A listener by its load balancer and its port: there is one to each."""
    balancer, port = one.inputs.get("loadBalancerArn"), one.inputs.get("port")
    if balancer and port:
        answer = clients("elbv2", _region(balancer)).describe_listeners(LoadBalancerArn=balancer)
        yield from (each["ListenerArn"] for each in answer["Listeners"] if each["Port"] == int(port))


def _region(arn: str) -> str:
    """The region in an ARN (IAM User Guide, Amazon Resource Names)."""
    return arn.split(":")[3]


def _zone_association(one: Planned, regions: Sequence[str], clients: Clients) -> Iterable[str]:
    zone, vpc = one.inputs.get("zoneId"), one.inputs.get("vpcId")
    if zone and vpc:
        answer = clients("route53", regions[0]).get_hosted_zone(Id=zone)
        yield from (f"{zone}:{vpc}" for each in answer["VPCs"] if each["VPCId"] == vpc)


def _bucket(one: Planned, regions: Sequence[str], clients: Clients) -> Iterable[str]:
    """A bucket by the beginning of its name, which is the environment's own, and its tag, which is given after it."""
    beginning, client = one.inputs.get("bucketPrefix"), clients("s3", regions[0])
    for each in client.list_buckets()["Buckets"] if beginning else ():
        end = each["Name"].removeprefix(beginning)
        if re.fullmatch(LOT, end) and _tagged_bucket(client, each["Name"]) in (one.name, None):
            yield each["Name"]


LOT: Final = r"[0-9a-f]{26}"
"""What the provider puts behind the beginning of a bucket's name (terraform-plugin-sdk, helper/id, 2026-11)."""


def _tagged_bucket(client: Any, bucket: str) -> str | None:  # noqa: ANN401
    """The logical name that a bucket is tagged with."""
    from botocore.exceptions import ClientError

    try:
        tags = client.get_bucket_tagging(Bucket=bucket)["TagSet"]
    except ClientError as error:
        if error.response["Error"]["Code"] not in ("NoSuchTagSet", "NoSuchBucket"):
            raise
        return None
    return next((str(one["Value"]) for one in tags if one["Key"] == TAG), None)


def _of_bucket(ask: str) -> Find:
    """A setting of a bucket, which has its name: it is there where AWS answers."""

    def find(one: Planned, regions: Sequence[str], clients: Clients) -> Iterable[str]:
        from botocore.exceptions import ClientError

        bucket = one.inputs.get("bucket")
        try:
            answer = getattr(clients("s3", regions[0]), ask)(Bucket=bucket) if bucket else {}
        except ClientError as error:
            if error.response["Error"]["Code"] not in UNSET:
                raise
            return
        if bucket and len(answer) > 1:  # beside what every answer has
            yield str(bucket)

    return find


UNSET: Final = (
    "NoSuchPublicAccessBlockConfiguration",
    "ServerSideEncryptionConfigurationNotFoundError",
    "NoSuchBucket",
)
"""What S3 says where a bucket has no such setting (Amazon S3 API Reference, "Error responses")."""


def _zone(one: Planned, regions: Sequence[str], clients: Clients) -> Iterable[str]:
    return _zones(one.inputs["name"], clients("route53", regions[0]))


def _record(one: Planned, regions: Sequence[str], clients: Clients) -> Iterable[str]:
    return _records(one.inputs, clients("route53", regions[0]))


OTHERWISE: Final[Mapping[str, Find]] = {
    "aws:iam/role:Role": _role,
    "aws:iam/instanceProfile:InstanceProfile": _profile,
    "aws:iam/rolePolicy:RolePolicy": _policy,
    "aws:ec2/placementGroup:PlacementGroup": _placement,
    "aws:route53/zone:Zone": _zone,
    "aws:route53/record:Record": _record,
    "aws:route53/zoneAssociation:ZoneAssociation": _zone_association,
    "aws:ec2/route:Route": _route,
    "aws:ec2/routeTableAssociation:RouteTableAssociation": _association,
    "aws:ec2transitgateway/route:Route": _gateway_route,
    "aws:cloudwatch/metricAlarm:MetricAlarm": _alarm,
    "aws:lb/loadBalancer:LoadBalancer": _balancer,
    "aws:lb/targetGroup:TargetGroup": _targets,
    "aws:lb/listener:Listener": _listener,
    "aws:s3/bucket:Bucket": _bucket,
    "aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock": _of_bucket("get_public_access_block"),
    "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration": _of_bucket("get_bucket_encryption"),
    "aws:s3/bucketVersioning:BucketVersioning": _of_bucket("get_bucket_versioning"),
}  # fmt: skip
"""How a type is found that is in none of EC2's lists of tags."""


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
        if one["Name"].rstrip(".") == name.rstrip(".") and one["Type"] == kind and _leads_as(one, asked):
            yield f"{zone}_{name}_{kind}"


def _leads_as(found: Mapping[str, Any], asked: Mapping[str, Any]) -> bool:
    """Whether a record is no alias, or leads where the asked one would: an alias may be in somebody else's zone, where a
    name that leads elsewhere is not ours to take.
    """
    wanted = asked.get("aliases")
    if not wanted:
        return "AliasTarget" not in found
    leads = str(found.get("AliasTarget", {}).get("DNSName", ""))
    return any(leads.rstrip(".") == str(one.get("name", "")).rstrip(".") for one in wanted)
