"""Every other kind of resource: made, read back without a difference, made again without a change, deleted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.cloud.cloud import Cloud
from tests.cloud.kinds import KINDS
from tests.e2e.aws.engine import Stack

pytestmark = pytest.mark.cloud


def joined(cidrs: tuple[str, str] = ("10.70.0.0/16", "10.80.0.0/16"), threshold: int = 0) -> None:
    """Two regions joined, with ways out, a bucket, an alarm and a load balancer."""
    import pulumi
    import pulumi_aws as aws

    sides = {}
    for region, cidr in zip(("eu-west-1", "us-east-1"), cidrs, strict=True):
        tags = aws.ProviderDefaultTagsArgs(tags={"kdeploy:environment": "joined"})
        provider = aws.Provider(f"aws-{region}", region=region, default_tags=tags)
        here = pulumi.ResourceOptions(provider=provider)
        vpc = aws.ec2.Vpc(f"{region}-vpc", cidr_block=cidr, enable_dns_hostnames=True, opts=here)
        subnet = aws.ec2.Subnet(
            f"{region}-a",
            vpc_id=vpc.id,
            cidr_block=cidr.replace("/16", "/20"),
            availability_zone=f"{region}a",
            opts=here,
        )
        table = aws.ec2.RouteTable(f"{region}-routes", vpc_id=vpc.id, opts=here)
        aws.ec2.RouteTableAssociation(
            f"{region}-routes", subnet_id=subnet.id, route_table_id=table.id, opts=here
        )
        zone = aws.route53.Zone(
            f"{region}-names",
            name=f"{region}.joined",
            vpcs=[aws.route53.ZoneVpcArgs(vpc_id=vpc.id, vpc_region=region)],
            opts=pulumi.ResourceOptions(provider=provider, ignore_changes=["vpcs"]),
        )
        sides[region] = (here, vpc, subnet, table, zone)
    asking, accepting = sides["eu-west-1"], sides["us-east-1"]
    connection = aws.ec2.VpcPeeringConnection(
        "peering", vpc_id=asking[1].id, peer_vpc_id=accepting[1].id, peer_region="us-east-1", opts=asking[0]
    )
    accepted = aws.ec2.VpcPeeringConnectionAccepter(
        "peering", vpc_peering_connection_id=connection.id, auto_accept=True, opts=accepting[0]
    )
    for (here, vpc, _, table, _), other, cidr in (
        (asking, accepting, cidrs[1]),
        (accepting, asking, cidrs[0]),
    ):
        aws.ec2.Route(
            f"to-{cidr.replace('/', '-')}",
            route_table_id=table.id,
            destination_cidr_block=cidr,
            vpc_peering_connection_id=accepted.vpc_peering_connection_id,
            opts=here,
        )
        aws.route53.ZoneAssociation(
            f"names-{cidr.replace('/', '-')}",
            zone_id=other[4].zone_id,
            vpc_id=vpc.id,
            vpc_region="eu-west-1" if here is asking[0] else "us-east-1",
            opts=here,
        )
    _ways_out(asking)
    _bucket(asking[0])
    _rights(asking[0])
    _alarm(asking[0], threshold)
    _balancer(asking)
    pulumi.CustomResource("aws:benchmark/empty:Empty", "nothing", {}, opts=asking[0])


def _ways_out(side: tuple) -> None:  # type: ignore[type-arg]
    import pulumi
    import pulumi_aws as aws

    here, vpc, subnet, table, _ = side
    group = aws.ec2.SecurityGroup("endpoints", vpc_id=vpc.id, description="endpoints", opts=here)
    gateway = aws.ec2.InternetGateway("internet", vpc_id=vpc.id, opts=here)
    address = aws.ec2.Eip("address", domain="vpc", opts=here)
    after = pulumi.ResourceOptions.merge(here, pulumi.ResourceOptions(depends_on=[gateway]))
    nat = aws.ec2.NatGateway("nat", subnet_id=subnet.id, allocation_id=address.id, opts=after)
    aws.ec2.Route(
        "out", route_table_id=table.id, destination_cidr_block="0.0.0.0/0", nat_gateway_id=nat.id, opts=here
    )
    objects = aws.ec2.VpcEndpoint(
        "s3",
        vpc_id=vpc.id,
        service_name="com.amazonaws.eu-west-1.s3",
        vpc_endpoint_type="Gateway",
        route_table_ids=[table.id],
        opts=here,
    )
    aws.ec2.VpcEndpoint(
        "ssm",
        vpc_id=vpc.id,
        service_name="com.amazonaws.eu-west-1.ssm",
        vpc_endpoint_type="Interface",
        subnet_ids=[subnet.id],
        security_group_ids=[group.id],
        private_dns_enabled=True,
        opts=here,
    )
    aws.vpc.SecurityGroupEgressRule(
        "s3",
        security_group_id=group.id,
        ip_protocol="tcp",
        from_port=443,
        to_port=443,
        prefix_list_id=objects.prefix_list_id,
        opts=here,
    )
    aws.vpc.SecurityGroupIngressRule(
        "itself",
        security_group_id=group.id,
        ip_protocol="tcp",
        from_port=443,
        to_port=443,
        referenced_security_group_id=group.id,
        description="sessions",
        opts=here,
    )


def _bucket(here: Any) -> None:
    import pulumi_aws as aws

    bucket = aws.s3.Bucket("backups", bucket_prefix="kdeploy-joined-", opts=here)
    aws.s3.BucketPublicAccessBlock(
        "backups",
        bucket=bucket.id,
        block_public_acls=True,
        block_public_policy=True,
        ignore_public_acls=True,
        restrict_public_buckets=True,
        opts=here,
    )
    aws.s3.BucketServerSideEncryptionConfiguration(
        "backups",
        bucket=bucket.id,
        rules=[{"apply_server_side_encryption_by_default": {"sse_algorithm": "AES256"}}],
        opts=here,
    )
    aws.s3.BucketVersioning(
        "backups", bucket=bucket.id, versioning_configuration={"status": "Enabled"}, opts=here
    )


def _rights(here: Any) -> None:
    import json

    import pulumi_aws as aws

    role = aws.iam.Role(
        "machine",
        assume_role_policy=json.dumps({"Version": "2012-10-17", "Statement": []}),
        opts=here,
    )
    allowed = {"Effect": "Allow", "Action": "s3:PutObject", "Resource": "*"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [allowed]})
    aws.iam.RolePolicy("machine", role=role.id, policy=policy, opts=here)


def _alarm(here: Any, threshold: int) -> None:
    import pulumi_aws as aws

    aws.cloudwatch.MetricAlarm(
        "broken",
        namespace="AWS/EC2",
        metric_name="StatusCheckFailed_System",
        dimensions={"InstanceId": "i-0123456789abcdef0"},
        statistic="Maximum",
        comparison_operator="GreaterThanThreshold",
        threshold=threshold,
        period=60,
        evaluation_periods=2,
        alarm_actions=["arn:aws:automate:eu-west-1:ec2:recover"],
        opts=here,
    )


def _balancer(side: tuple) -> None:  # type: ignore[type-arg]
    import pulumi_aws as aws

    here, vpc, subnet, *_ = side
    balancer = aws.lb.LoadBalancer(
        "clients", internal=True, load_balancer_type="network", subnets=[subnet.id], opts=here
    )
    targets = aws.lb.TargetGroup(
        "clients", port=9094, protocol="TCP", vpc_id=vpc.id, target_type="ip", opts=here
    )
    aws.lb.TargetGroupAttachment(
        "clients", target_group_arn=targets.arn, target_id="10.70.0.17", port=9094, opts=here
    )
    aws.lb.Listener(
        "clients",
        load_balancer_arn=balancer.arn,
        port=9094,
        protocol="TCP",
        default_actions=[{"type": "forward", "target_group_arn": targets.arn}],
        opts=here,
    )


def test_every_kind_is_read_back_as_it_was_made_and_deleted_without_a_trace(
    cloud: Cloud, tmp_path: Path
) -> None:
    stack = Stack(cloud, tmp_path / "work", joined, name="joined")
    stack.run()
    assert set(stack.stack.refresh().summary.resource_changes or {}) == {"same"}
    assert set(stack.run()) == {"same"}
    assert stack.run(lambda: joined(threshold=1))["update"] == 1
    stack.stack.destroy()
    assert [one for one in stack.state() if one["type"].startswith("aws:")] == []
    assert cloud.client("s3").list_buckets()["Buckets"] == []
    groups = cloud.client("ec2").describe_security_groups()["SecurityGroups"]
    assert {one["GroupName"] for one in groups} == {"default"}


def test_no_kind_is_without_a_test() -> None:
    import inspect

    from kdeploy.infra.aws import transit
    from tests.e2e.aws import programs

    # What joins two regions by gateways is run as kdeploy itself declares it (test_transit.py).
    text = inspect.getsource(programs) + Path(__file__).read_text() + inspect.getsource(transit)
    unused = {
        kind for kind in KINDS if f".{kind.rpartition(':')[2]}(" not in text and f'"{kind}"' not in text
    }
    assert unused == set()
