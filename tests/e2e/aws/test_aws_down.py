"""`down` of an environment in AWS: everything stays but the services, `up` takes it again, and only `--delete-data` gives it up.

A real engine, an emulated AWS, and no machines to log in to: hosts are a few names.
"""

from __future__ import annotations

import re
from typing import Any

import pytest

from kdeploy.operations import hosts, places
from kdeploy.operations.progress import Silent
from kdeploy.spec import load, lockfile
from tests.e2e.aws.counted import beside, everything
from tests.e2e.aws.world import NODES, World, tags

pytestmark = pytest.mark.cloud

CHANGES = r":(Run|Create|Attach|Detach|Modify|Delete|Stop|Start|Terminate|Release|Put)"
"""Calls that change something."""

GONE = ("eu-west-1/broker-2", "eu-west-1/zookeeper-3")
"""Machines that are terminated while the environment is down."""


def interfaces(world: World) -> dict[str, tuple[str, str]]:
    """Network interfaces of nodes, by the node, with their addresses."""
    found = world.cloud.client("ec2").describe_network_interfaces(Filters=world._own())["NetworkInterfaces"]
    named = [(tags({"Tags": one["TagSet"]}).get("kdeploy:node"), one) for one in found]
    own = [(key, (one["NetworkInterfaceId"], one["PrivateIpAddress"])) for key, one in named if key]
    assert len(dict(own)) == len(own), "no interface is there twice"
    return dict(own)


def volumes(world: World) -> dict[str, str]:
    """Data volumes' ids by their resource: there may be one of each alone."""
    found = world.cloud.client("ec2").describe_volumes(Filters=world._own())["Volumes"]
    named = [(tags(one)["kdeploy:resource"], one["VolumeId"]) for one in found if "-data-" in str(tags(one))]
    assert len(dict(named)) == len(named), "no volume is there twice"
    return dict(named)


def carriers(world: World) -> dict[str, str]:
    """The node whose machine each data volume is attached to, by the volume's id."""
    machines = {one["InstanceId"]: key for key, one in world.machines().items()}
    there: dict[str, Any] = world.volumes()
    return {
        one["VolumeId"]: machines[each["InstanceId"]]
        for name, one in there.items()
        if "-data-" in name
        for each in one["Attachments"]
    }


def down(world: World, *, delete_data: bool = False) -> tuple[str, ...]:
    return hosts.down(load.load(world.environment), Silent(), delete_data=delete_data)


def test_down_stops_brokers_first_and_leaves_machines_volumes_and_addresses_as_they_are(
    world: World,
) -> None:
    world.make()
    world.hosts.running = set(NODES)
    before = everything(world.cloud), volumes(world), interfaces(world), carriers(world)
    assert len(before[1]) == len(before[2]) == len(NODES)
    with world.counted() as calls:
        assert set(down(world)) == {key.partition("/")[2] for key in NODES}
    assert [name for name in calls if re.search(CHANGES, name)] == []
    assert not world.hosts.running
    assert {key.partition("/")[2].partition("-")[0] for key in world.hosts.stopped[:3]} == {"broker"}
    assert (everything(world.cloud), volumes(world), interfaces(world), carriers(world)) == before
    assert down(world) == (), "what is stopped already is not stopped again"


def test_up_afterwards_takes_the_same_volumes_and_addresses_also_where_machines_went_meanwhile(
    world: World,
) -> None:
    with world.counted() as calls:
        world.make()
    assert [name for name in calls if re.search(CHANGES, name)] == []
    before = everything(world.cloud), volumes(world), interfaces(world), carriers(world)
    old = {key: world.machines()[key]["InstanceId"] for key in GONE}
    ec2 = world.cloud.client("ec2")
    ec2.terminate_instances(InstanceIds=list(old.values()))
    ec2.get_waiter("instance_terminated").wait(InstanceIds=list(old.values()))
    assert (volumes(world), interfaces(world)) == before[1:3], "they outlive their machines"
    world.hosts.silent = set(old.values())
    world.make()
    world.hosts.silent = set()
    assert (everything(world.cloud), volumes(world), interfaces(world), carriers(world)) == before
    new = {key: world.machines()[key]["InstanceId"] for key in GONE}
    assert not set(new.values()) & set(old.values())
    assert beside(everything(world.cloud), world.exported()) == {}
    assert world.outlook().changes == ()


def test_down_with_delete_data_afterwards_leaves_nothing_there_and_nothing_of_it_here(world: World) -> None:
    world.hosts.running = set(NODES)
    assert len(down(world, delete_data=True)) == len(NODES)
    assert not everything(world.cloud)
    assert not places.state_folder(world.name).exists()
    lock = lockfile.read_lock(world.environment / "lock.yaml")
    assert lock is not None
    assert [place.images for place in lock.datacenters] == [{}]
    assert down(world, delete_data=True) == ()
