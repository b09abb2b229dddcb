"""The emulated AWS refuses what AWS refuses, in AWS's words; moto alone would let most of it pass."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.cloud.cloud import Cloud

pytestmark = pytest.mark.cloud

ZONE = "eu-west-1a"


class Account:
    """A network with a machine in it, made by calls."""

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud
        self.ec2 = cloud.client("ec2")
        self.image = cloud.client("ssm").get_parameter(Name="/aws/service/debian/release/12/latest/amd64")[
            "Parameter"
        ]["Value"]
        self.vpc = self.ec2.create_vpc(CidrBlock="10.20.0.0/16")["Vpc"]["VpcId"]
        self.subnet = self.ec2.create_subnet(VpcId=self.vpc, CidrBlock="10.20.0.0/20", AvailabilityZone=ZONE)[
            "Subnet"
        ]["SubnetId"]
        self.group = self.ec2.create_security_group(GroupName="brokers", Description="b", VpcId=self.vpc)[
            "GroupId"
        ]
        self.interface = self.address("10.20.0.17")
        self.instance = self.launch(self.interface)
        self.volume = self.disk(ZONE)
        self.attach(self.volume, "/dev/sdf")

    def address(self, address: str) -> str:
        made = self.ec2.create_network_interface(
            SubnetId=self.subnet, PrivateIpAddress=address, Groups=[self.group]
        )
        return str(made["NetworkInterface"]["NetworkInterfaceId"])

    def launch(self, interface: str, sort: str = "m6i.large", **more: Any) -> str:
        made = self.ec2.run_instances(
            ImageId=self.image,
            InstanceType=sort,
            MinCount=1,
            MaxCount=1,
            NetworkInterfaces=[{"DeviceIndex": 0, "NetworkInterfaceId": interface}],
            **more,
        )
        return str(made["Instances"][0]["InstanceId"])

    def disk(self, zone: str, **more: Any) -> str:
        made = self.ec2.create_volume(AvailabilityZone=zone, Size=10, VolumeType="gp3", **more)
        return str(made["VolumeId"])

    def attach(self, volume: str, device: str) -> None:
        self.ec2.attach_volume(VolumeId=volume, InstanceId=self.instance, Device=device)


@pytest.fixture(scope="module")
def account(cloud: Cloud) -> Account:
    return Account(cloud)


@contextmanager
def refused(code: str, said: str) -> Iterator[None]:
    with pytest.raises(ClientError) as caught:
        yield
    error = caught.value.response["Error"]
    assert error["Code"] == code
    assert said in error["Message"]


REFUSALS: dict[str, tuple[str, str, Callable[[Account], Any]]] = {
    "a volume that would shrink": (
        "InvalidParameterValue",
        "New size cannot be smaller than existing size",
        lambda one: one.ec2.modify_volume(VolumeId=one.volume, Size=9),
    ),
    "more throughput than the operations carry": (
        "InvalidParameterCombination",
        "throughput to iops ratio of 0.33 is too high",
        lambda one: one.disk(ZONE, Iops=3000, Throughput=1000),
    ),
    "more operations than the size carries": (
        "InvalidParameterCombination",
        "iops to volume size ratio of 600.0 is too high",
        lambda one: one.disk(ZONE, Iops=6000),
    ),
    "a volume in use deleted": (
        "VolumeInUse",
        "is currently attached to",
        lambda one: one.ec2.delete_volume(VolumeId=one.volume),
    ),
    "a volume in use attached again": (
        "VolumeInUse",
        "is already attached to an instance",
        lambda one: one.attach(one.volume, "/dev/sdg"),
    ),
    "a volume of another zone": (
        "InvalidVolume.ZoneMismatch",
        "is not in the same availability zone",
        lambda one: one.attach(one.disk("eu-west-1b"), "/dev/sdg"),
    ),
    "two volumes under one name": (
        "InvalidParameterValue",
        "Attachment point /dev/sdf is already in use",
        lambda one: one.attach(one.disk(ZONE), "/dev/sdf"),
    ),
    "an interface in use deleted": (
        "InvalidParameterValue",
        "is currently in use",
        lambda one: one.ec2.delete_network_interface(NetworkInterfaceId=one.interface),
    ),
    "an interface in use launched with": (
        "InvalidNetworkInterface.InUse",
        "in use",
        lambda one: one.launch(one.interface),
    ),
    "an address in use": (
        "InvalidIPAddress.InUse",
        "already in use",
        lambda one: one.address("10.20.0.17"),
    ),
    "an address outside of its subnet": (
        "InvalidParameterValue",
        "does not fall within the subnet's address range",
        lambda one: one.address("10.20.16.17"),
    ),
    "an address that is Amazon's own": (
        "InvalidParameterValue",
        "reserved address range",
        lambda one: one.address("10.20.0.3"),
    ),
    "a subnet with interfaces deleted": (
        "DependencyViolation",
        "has dependencies and cannot be deleted",
        lambda one: one.ec2.delete_subnet(SubnetId=one.subnet),
    ),
    "subnets that overlap": (
        "InvalidSubnet.Conflict",
        "conflicts with another subnet",
        lambda one: one.ec2.create_subnet(VpcId=one.vpc, CidrBlock="10.20.8.0/21"),
    ),
    "a subnet outside of its network": (
        "InvalidSubnet.Range",
        "is invalid",
        lambda one: one.ec2.create_subnet(VpcId=one.vpc, CidrBlock="10.21.0.0/20"),
    ),
    "a group in use deleted": (
        "DependencyViolation",
        "has a dependent object",
        lambda one: one.ec2.delete_security_group(GroupId=one.group),
    ),
    "a network that is not empty deleted": (
        "DependencyViolation",
        "has dependencies and cannot be deleted",
        lambda one: one.ec2.delete_vpc(VpcId=one.vpc),
    ),
    "a type that the zone does not offer": (
        "Unsupported",
        "(u-24tb1.metal) is not supported in your requested Availability Zone (eu-west-1a)",
        lambda one: one.launch(one.address("10.20.0.30"), "u-24tb1.metal"),
    ),
    "a type changed while it runs": (
        "IncorrectInstanceState",
        "is not in the 'stopped' state",
        lambda one: one.ec2.modify_instance_attribute(
            InstanceId=one.instance, InstanceType={"Value": "m6i.xlarge"}
        ),
    ),
    "a placement group that nobody made": (
        "InvalidPlacementGroup.Unknown",
        "is unknown",
        lambda one: one.launch(one.address("10.20.0.31"), Placement={"GroupName": "none"}),
    ),
    "a way out for addresses without a gateway to the internet": (
        "Gateway.NotAttached",
        "has no Internet gateway attached",
        lambda one: one.ec2.create_nat_gateway(SubnetId=one.subnet),
    ),
    "a network too large": (
        "InvalidVpc.Range",
        "is invalid",
        lambda one: one.ec2.create_vpc(CidrBlock="10.0.0.0/8"),
    ),
}


@pytest.mark.parametrize("what", REFUSALS)
def test_aws_refuses(account: Account, what: str) -> None:
    code, said, act = REFUSALS[what]
    with refused(code, said):
        act(account)


def test_a_spread_placement_group_takes_seven_in_a_zone(account: Account) -> None:
    account.ec2.create_placement_group(GroupName="spread", Strategy="spread")
    for number in range(7):
        account.launch(account.address(f"10.20.1.{number}"), Placement={"GroupName": "spread"})
    with refused("InsufficientInstanceCapacity", "at most 7 instances in a zone"):
        account.launch(account.address("10.20.1.7"), Placement={"GroupName": "spread"})
    with refused("InvalidPlacementGroup.InUse", "in use"):
        account.ec2.delete_placement_group(GroupName="spread")


def test_a_partition_placement_group_spreads_over_its_partitions(account: Account) -> None:
    account.ec2.create_placement_group(GroupName="parts", Strategy="partition", PartitionCount=3)
    for number in range(3):
        account.launch(account.address(f"10.20.2.{number}"), Placement={"GroupName": "parts"})
    found = [one["Instances"][0]["Placement"] for one in account.ec2.describe_instances()["Reservations"]]
    assert sorted(one["PartitionNumber"] for one in found if one.get("GroupName") == "parts") == [1, 2, 3]


def test_a_launch_that_is_asked_for_again_is_the_same_launch(account: Account) -> None:
    interface = account.address("10.20.4.1")
    first = account.launch(interface, ClientToken="once")
    assert account.launch(interface, ClientToken="once") == first


def test_quotas_refuse_the_machine_that_is_one_too_many(account: Account) -> None:
    account.cloud.set(quotas={"vcpu": 2, "vpc": 1})
    try:
        with refused("VcpuLimitExceeded", "more vCPU capacity than your current vCPU limit of 2"):
            account.launch(account.address("10.20.3.1"))
        with refused("VpcLimitExceeded", "maximum number of VPCs has been reached"):
            account.ec2.create_vpc(CidrBlock="10.40.0.0/16")
    finally:
        account.cloud.set(quotas={})


def test_what_a_zone_does_not_offer_names_the_zones_that_do(account: Account) -> None:
    account.cloud.set(not_offered=[("m6i.large", ZONE)])
    try:
        with refused("Unsupported", "choosing eu-west-1b, eu-west-1c"):
            account.launch(account.address("10.20.3.2"))
    finally:
        account.cloud.set(not_offered=[])


def test_a_wrong_key_and_a_region_that_is_not_enabled_let_nobody_in(cloud: Cloud) -> None:
    import boto3

    wrong = boto3.session.Session().client(
        "sts",
        region_name="eu-west-1",
        endpoint_url=cloud.endpoint,
        aws_access_key_id="AKIAWRONG",
        aws_secret_access_key="wrong",
    )
    with refused("InvalidClientTokenId", "The security token included in the request is invalid"):
        wrong.get_caller_identity()
    cloud.set(regions_off=["me-central-1"])
    try:
        with refused("AuthFailure", "not able to validate the provided access credentials"):
            cloud.client("ec2", "me-central-1").describe_vpcs()
    finally:
        cloud.set(regions_off=[])


def test_a_trouble_strikes_the_calls_that_fit_as_often_as_it_was_told(cloud: Cloud) -> None:
    ec2 = cloud.client("ec2")
    trouble = {
        "call": "ec2:DescribeVpcs",
        "code": "UnauthorizedOperation",
        "message": "You are not authorized",
    }
    cloud.set(troubles=[{**trouble, "status": 403, "after": 1, "times": 1}])
    ec2.describe_vpcs()
    with refused("UnauthorizedOperation", "You are not authorized"):
        ec2.describe_vpcs()
    ec2.describe_vpcs()
    cloud.set(troubles=[])


def test_networks_with_one_range_cannot_be_peered(account: Account) -> None:
    with refused("OverlappingCidrs", "have overlapping CIDR blocks"):
        other = account.ec2.create_vpc(CidrBlock="10.20.0.0/17")["Vpc"]["VpcId"]
        account.ec2.create_vpc_peering_connection(VpcId=account.vpc, PeerVpcId=other)


def test_calls_are_counted_by_the_names_that_rights_have(account: Account) -> None:
    account.cloud.calls(forget=True)
    account.ec2.describe_vpcs()
    account.cloud.client("route53").list_hosted_zones()
    account.cloud.client("iam").list_roles()
    account.cloud.client("s3").list_buckets()
    assert account.cloud.calls() == {
        "ec2:DescribeVpcs": 1,
        "route53:ListHostedZones": 1,
        "iam:ListRoles": 1,
        "s3:ListBuckets": 1,
    }
