"""What is in AWS and in no state is found by its tags or its name; what is another's, or gone, is not."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("moto")

import boto3
from moto import mock_aws

from kdeploy.infra.aws import adoption
from kdeploy.infra.aws.policy import Planned

VPC, VOLUME, ROLE = "aws:ec2/vpc:Vpc", "aws:ebs/volume:Volume", "aws:iam/role:Role"
ZONE, PROFILE = "aws:route53/zone:Zone", "aws:iam/instanceProfile:InstanceProfile"
REGIONS = ("eu-west-1", "us-east-1")


def clients(service: str, region: str) -> Any:
    return boto3.client(
        service, region_name=region, aws_access_key_id="testing", aws_secret_access_key="testing"
    )


@pytest.fixture(autouse=True)
def account() -> Iterator[None]:
    with mock_aws():
        yield


def tags(kind: str, name: str, environment: str = "prod") -> list[dict[str, Any]]:
    own = {adoption.TAG: name, adoption.ENVIRONMENT: environment}
    return [{"ResourceType": kind, "Tags": [{"Key": key, "Value": value} for key, value in own.items()]}]


def found(*planned: Planned, known: Any = ()) -> dict[tuple[str, str], str]:
    return adoption.found(planned, known, "prod", REGIONS, clients)


def test_a_resource_is_known_by_its_name_and_its_environment_in_whichever_region() -> None:
    ec2 = clients("ec2", "us-east-1")
    mine = ec2.create_vpc(CidrBlock="10.1.0.0/16", TagSpecifications=tags("vpc", "east-vpc"))["Vpc"]["VpcId"]
    ec2.create_vpc(CidrBlock="10.2.0.0/16", TagSpecifications=tags("vpc", "east-vpc", "other"))
    ec2.create_vpc(CidrBlock="10.3.0.0/16", TagSpecifications=tags("vpc", "east-vpc-2"))
    assert found(Planned(VPC, "east-vpc"), Planned(VPC, "west-vpc")) == {(VPC, "east-vpc"): mine}
    assert found(Planned(VPC, "east-vpc"), known={(VPC, mine)}) == {}


def test_two_kinds_of_one_name_are_told_apart_and_what_is_deleted_is_not_found() -> None:
    ec2 = clients("ec2", "eu-west-1")
    zone = {"AvailabilityZone": "eu-west-1a", "Size": 1}
    volume = ec2.create_volume(**zone, TagSpecifications=tags("volume", "one"))["VolumeId"]
    gone = ec2.create_volume(**zone, TagSpecifications=tags("volume", "two"))["VolumeId"]
    ec2.create_vpc(CidrBlock="10.1.0.0/16", TagSpecifications=tags("vpc", "one"))
    ec2.delete_volume(VolumeId=gone)
    assert found(Planned(VOLUME, "one"), Planned(VOLUME, "two")) == {(VOLUME, "one"): volume}


def test_what_has_a_name_that_nothing_else_can_have_is_known_by_that() -> None:
    iam = clients("iam", "eu-west-1")
    iam.create_role(RoleName="kdeploy-prod", AssumeRolePolicyDocument="{}")
    planned = [
        Planned(ROLE, "machine", {"name": "kdeploy-prod"}),
        Planned(PROFILE, "machine", {"name": "kdeploy-prod"}),
    ]
    assert found(*planned) == {(ROLE, "machine"): "kdeploy-prod"}
    zone = clients("route53", "eu-west-1").create_hosted_zone(Name="dc.prod", CallerReference="x")[
        "HostedZone"
    ]["Id"]
    assert found(Planned(ZONE, "names", {"name": "dc.prod"})) == {(ZONE, "names"): zone.rpartition("/")[2]}
    assert found(Planned(ZONE, "names", {"name": "dc.other"})) == {}


def test_in_an_empty_account_nothing_is_taken_over() -> None:
    kinds = [*adoption.TAGGED, ROLE, PROFILE, ZONE]
    assert found(*(Planned(kind, "one", {"name": "one"}) for kind in kinds)) == {}
