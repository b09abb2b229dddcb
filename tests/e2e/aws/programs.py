"""Programs for the engine's own tests: a network, a machine with a disk, what lets it in."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

TRUST = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"Service": "ec2.amazonaws.com"}}
        ],
    }
)


@dataclass(frozen=True)
class Machines:
    """One machine a zone, as a program of kdeploy makes them.

    Attributes:
        zones: Zones by their letter.
        instance_type: Of all.
        gib: Size of the data volumes.
        cidr: The network's range.
        names: Whether records and a zone are made.
        tags: Of the instances.
    """

    zones: str = "ab"
    instance_type: str = "m6i.large"
    gib: int = 10
    cidr: str = "10.20.0.0/16"
    names: bool = True
    tags: tuple[tuple[str, str], ...] = ()

    def __call__(self) -> None:
        import pulumi
        import pulumi_aws as aws

        region = "eu-west-1"
        provider = aws.Provider(
            f"aws-{region}",
            region=region,
            default_tags=aws.ProviderDefaultTagsArgs(tags={"kdeploy:environment": "test"}),
        )
        here = pulumi.ResourceOptions(provider=provider)
        asked = pulumi.InvokeOptions(provider=provider)
        # Not asked and waited for (`get_parameter`): where the engine ends meanwhile that waits for ever, and so would
        # the tests at their end.
        latest = "/aws/service/debian/release/12/latest/amd64"
        image = aws.ssm.get_parameter_output(name=latest, opts=asked).value
        vpc = aws.ec2.Vpc("vpc", cidr_block=self.cidr, enable_dns_hostnames=True, opts=here)
        role = aws.iam.Role("role", assume_role_policy=TRUST, opts=here)
        aws.iam.RolePolicyAttachment(
            "ssm",
            role=role.name,
            policy_arn="arn:aws:iam::aws:policy/AmazonSSMManagedInstanceCore",
            opts=here,
        )
        profile = aws.iam.InstanceProfile("profile", role=role.name, opts=here)
        group = aws.ec2.SecurityGroup("brokers", vpc_id=vpc.id, description="brokers", opts=here)
        aws.vpc.SecurityGroupIngressRule(
            "clients",
            security_group_id=group.id,
            ip_protocol="tcp",
            from_port=9093,
            to_port=9093,
            cidr_ipv4=self.cidr,
            description="clients",
            opts=here,
        )
        aws.vpc.SecurityGroupEgressRule(
            "out", security_group_id=group.id, ip_protocol="-1", cidr_ipv4=self.cidr, opts=here
        )
        spread = aws.ec2.PlacementGroup("spread", strategy="spread", opts=here)
        zone = None
        if self.names:
            networks = [aws.route53.ZoneVpcArgs(vpc_id=vpc.id, vpc_region=region)]
            zone = aws.route53.Zone("zone", name="test.kdeploy", vpcs=networks, opts=here)
        for number, letter in enumerate(self.zones):
            self._machine(number, f"{region}{letter}", vpc, group, profile, spread, zone, image, provider)

    def _machine(
        self,
        number: int,
        where: str,
        vpc: Any,
        group: Any,
        profile: Any,
        spread: Any,
        zone: Any,
        image: Any,
        provider: Any,
    ) -> None:
        import ipaddress

        import pulumi
        import pulumi_aws as aws

        here = pulumi.ResourceOptions(provider=provider)
        first = pulumi.ResourceOptions(provider=provider, delete_before_replace=True)
        part = list(ipaddress.ip_network(self.cidr).subnets(new_prefix=20))[number]
        name = f"broker-{number + 1}"
        subnet = aws.ec2.Subnet(
            f"subnet-{where}", vpc_id=vpc.id, cidr_block=str(part), availability_zone=where, opts=here
        )
        eni = aws.ec2.NetworkInterface(
            name, subnet_id=subnet.id, private_ips=[str(part[17])], security_groups=[group.id], opts=here
        )
        machine = aws.ec2.Instance(
            name,
            ami=image,
            instance_type=self.instance_type,
            iam_instance_profile=profile.name,
            primary_network_interface={"network_interface_id": eni.id},
            metadata_options={
                "http_tokens": "required",
                "http_put_response_hop_limit": 1,
                "http_endpoint": "enabled",
            },
            root_block_device={"encrypted": True, "volume_size": 20, "volume_type": "gp3"},
            ebs_optimized=True,
            user_data="#!/bin/sh\ntrue\n",
            placement_group=spread.name,
            tags={"Name": name, **dict(self.tags)},
            opts=first,
        )
        volume = aws.ebs.Volume(
            f"{name}-data-0",
            availability_zone=where,
            size=self.gib,
            type="gp3",
            iops=3000,
            throughput=125,
            encrypted=True,
            opts=here,
        )
        aws.ec2.VolumeAttachment(
            f"{name}-data-0", device_name="/dev/sdf", volume_id=volume.id, instance_id=machine.id, opts=first
        )
        if zone is not None:
            aws.route53.Record(
                name,
                zone_id=zone.zone_id,
                name=f"{name}.test.kdeploy",
                type="A",
                ttl=60,
                records=[eni.private_ip],
                opts=here,
            )
        pulumi.export(name, machine.id)
        pulumi.export(f"{name}-volume", volume.id)


def nothing() -> None:
    """A program without resources."""


Program = Callable[[], None]
