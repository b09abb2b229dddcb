"""A real engine on the emulated AWS: what it makes, changes, finds changed, and takes down."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.cloud.cloud import Cloud
from tests.e2e.aws.engine import Stack
from tests.e2e.aws.programs import Machines

pytestmark = pytest.mark.cloud

TWO = Machines()


@pytest.fixture(scope="module")
def stack(cloud: Cloud, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    made = Stack(cloud, tmp_path_factory.mktemp("stack"), TWO)
    yield made
    made.stack.destroy()


def test_a_preview_says_what_up_then_does_and_a_second_up_changes_nothing(stack: Stack) -> None:
    promised = stack.preview()
    assert stack.cloud.client("ec2").describe_instances()["Reservations"] == []
    assert stack.run() == promised
    assert set(stack.run()) == {"same"}


def test_machines_stand_where_their_interfaces_are_with_their_disks(stack: Stack) -> None:
    stack.run()
    ec2 = stack.cloud.client("ec2")
    found = [one["Instances"][0] for one in ec2.describe_instances()["Reservations"]]
    placed = {(one["Placement"]["AvailabilityZone"], one["PrivateIpAddress"]) for one in found}
    assert placed == {("eu-west-1a", "10.20.0.17"), ("eu-west-1b", "10.20.16.17")}
    assert {len(one["BlockDeviceMappings"]) for one in found} == {2}
    assert {one["MetadataOptions"]["HttpTokens"] for one in found} == {"required"}
    assert {one["Placement"]["GroupName"][:7] for one in found} == {"spread-"}


def test_a_type_changes_in_place_by_stop_and_start_and_the_instance_stays(stack: Stack) -> None:
    stack.run()
    before = stack.stack.outputs()["broker-1"].value
    stack.cloud.calls(forget=True)
    assert stack.run(replace(TWO, instance_type="m6i.xlarge"))["update"] == 2
    assert stack.stack.outputs()["broker-1"].value == before
    calls = stack.cloud.calls()
    assert calls["ec2:StopInstances"] == calls["ec2:StartInstances"] == 2
    assert calls["ec2:RunInstances"] == calls["ec2:TerminateInstances"] == 0


def test_what_changed_behind_the_engines_back_is_named_and_put_right(stack: Stack) -> None:
    stack.run()
    ec2 = stack.cloud.client("ec2")
    instance = stack.stack.outputs()["broker-1"].value
    ec2.create_tags(Resources=[instance], Tags=[{"Key": "Name", "Value": "mine"}])
    told = stack.pulumi("refresh", "--preview-only", "--diff", "--stack", "test").stdout
    assert instance in told
    assert "mine" in told
    stack.stack.refresh()
    assert stack.run()["update"] == 1
    (found,) = ec2.describe_tags(
        Filters=[{"Name": "resource-id", "Values": [instance]}, {"Name": "key", "Values": ["Name"]}]
    )["Tags"]
    assert found["Value"] == "broker-1"


def test_a_terminated_instance_is_replaced_with_its_old_address_and_volume(
    stack: Stack,
) -> None:
    stack.run()
    ec2 = stack.cloud.client("ec2")
    before = {name: one.value for name, one in stack.stack.outputs().items()}
    ec2.terminate_instances(InstanceIds=[before["broker-1"]])
    stack.stack.refresh()
    made = stack.run()
    after = {name: one.value for name, one in stack.stack.outputs().items()}
    assert made["create"] == 2  # the instance and what ties the volume to it
    assert after["broker-1"] != before["broker-1"]
    assert after["broker-1-volume"] == before["broker-1-volume"]
    (one,) = ec2.describe_instances(InstanceIds=[after["broker-1"]])["Reservations"][0]["Instances"]
    assert one["PrivateIpAddress"] == "10.20.0.17"
    assert after["broker-1-volume"] in {disk["Ebs"]["VolumeId"] for disk in one["BlockDeviceMappings"]}


def test_volumes_grow_in_place_and_refuse_to_shrink(stack: Stack) -> None:
    from pulumi.automation.errors import CommandError

    stack.run(replace(TWO, gib=12))
    volume = stack.stack.outputs()["broker-1-volume"].value
    ec2 = stack.cloud.client("ec2")
    assert ec2.describe_volumes(VolumeIds=[volume])["Volumes"][0]["Size"] == 12
    with pytest.raises(CommandError, match=r"New size cannot be smaller than existing size"):
        stack.run(replace(TWO, gib=11))
    assert ec2.describe_volumes(VolumeIds=[volume])["Volumes"][0]["Size"] == 12


def test_nothing_is_left_after_a_destroy(cloud: Cloud, tmp_path: Path) -> None:
    here = Stack(cloud, tmp_path / "work", Machines(zones="c", cidr="10.30.0.0/16"), name="short")
    here.run()
    ec2 = cloud.client("ec2")
    assert [one for one in ec2.describe_vpcs()["Vpcs"] if one["CidrBlock"] == "10.30.0.0/16"]
    here.stack.destroy()
    assert not [one for one in ec2.describe_vpcs()["Vpcs"] if one["CidrBlock"] == "10.30.0.0/16"]
    assert [one for one in here.state() if not one["type"].startswith("pulumi:")] == []
