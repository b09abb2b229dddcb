"""A node's machine: its network interface, its volumes, the instance, and which others share no hardware with it.

Invariant: what has to outlive an instance is a resource of its own. The interface keeps the address and the volumes
keep the data; both are attached again to whatever instance comes next, which is made after the old one is gone, since
it needs both. A volume is encrypted, protected, and kept when its resource goes.
"""

from __future__ import annotations

import math
import string
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

import pulumi
import pulumi_aws as aws

from kdeploy.blueprint import DataVolume, Machine, Node
from kdeploy.infra.aws.site import Site
from kdeploy.spec.aws import MOST_SPREAD

GIB, MIB = 2**30, 2**20

DEVICES: Final = tuple(f"/dev/sd{letter}" for letter in string.ascii_lowercase[5:16])
"""Names that volumes are attached by (Amazon EC2 User Guide, Device names for volumes: /dev/sd[f-p]). The machine calls
them otherwise: they are found by their ids."""

SOLD: Final = {"gp3": ("iops", "throughput"), "io2": ("iops",)}
"""What is bought with each kind of volume besides its size (Amazon EBS User Guide, volume types, 2026-11)."""


@dataclass(frozen=True)
class Surroundings:
    """What an instance is put into.

    Attributes:
        subnet: Id of its subnet.
        group: Id of its security group.
        profile: Name of its instance profile.
        image: Id of its machine image.
        placement: Name of its placement group.
        user_data: What it does when it first starts.
        kms_key: Key of its disks; None is the account's.
        root_size: GiB of its first disk.
        ready: What has to be there before it first starts: ways out, without which it fetches nothing.
    """

    subnet: pulumi.Input[str]
    group: pulumi.Input[str]
    profile: pulumi.Input[str]
    image: pulumi.Input[str]
    placement: pulumi.Input[str]
    user_data: str
    kms_key: str | None
    root_size: int
    ready: tuple[pulumi.Resource, ...] = ()


def placement_groups(site: Site, machines: Iterable[Machine]) -> dict[str, pulumi.Output[str]]:
    """The placement groups of some machines: their names in AWS, by theirs in the Blueprint."""
    strategies = {one.placement.group: one.placement.strategy for one in machines}
    found = {}
    for group, strategy in sorted(strategies.items()):
        name = site.name("apart", group)
        made = aws.ec2.PlacementGroup(
            name,
            name=site.outside(group),
            strategy=strategy,
            partition_count=MOST_SPREAD if strategy == "partition" else None,
            tags=site.tags(name),
            opts=pulumi.ResourceOptions(provider=site.provider),
        )
        found[group] = made.name
    return found


class Instance(pulumi.ComponentResource):
    """A node's machine with all that belongs to it.

    Attributes:
        exported: What is known of it once it is there: address, instance, image, instance_type, subnet, zone, and
            the volumes' ids in the order of the node's EBS disks.
    """

    def __init__(self, site: Site, node: Node, around: Surroundings) -> None:
        super().__init__("kdeploy:aws:Node", site.name(node.name))
        assert node.machine is not None  # noqa: S101 - only nodes of AWS come here
        self._site, self._node, self._machine, self._around = site, node, node.machine, around
        interface = self._interface()
        instance = self._instance(interface)
        volumes = [self._volume(at, one) for at, one in enumerate(self._machine.volumes)]
        for at, volume in enumerate(volumes):
            self._attach(at, volume, instance)
        self.exported: dict[str, Any] = {
            "address": self._machine.address,
            "instance": instance.id,
            "image": instance.ami,
            "instance_type": instance.instance_type,
            "subnet": around.subnet,
            "zone": self._machine.zone,
            "volumes": [volume.id for volume in volumes],
        }
        self.register_outputs(self.exported)

    def _named(self, *parts: str) -> dict[str, Any]:
        """Name and tags of a resource of the node."""
        name = self._site.name(self._node.name, *parts)
        tags = self._site.tags(name, node=self._node.key, role=self._node.role)
        return {"resource_name": name, "tags": tags}

    def _interface(self) -> aws.ec2.NetworkInterface:
        return aws.ec2.NetworkInterface(
            **self._named("interface"),
            description=f"{self._node.name} of {self._site.environment}",
            subnet_id=self._around.subnet,
            private_ips=[self._machine.address],
            security_groups=[self._around.group],
            # The address is its own: another interface can have it only when this one is gone.
            opts=self._site.below(self, delete_before_replace=True),
        )

    def _instance(self, interface: aws.ec2.NetworkInterface) -> aws.ec2.Instance:
        around, machine = self._around, self._machine
        return aws.ec2.Instance(
            **self._named(),
            ami=around.image,
            instance_type=machine.instance_type,
            primary_network_interface={"network_interface_id": interface.id},
            placement_group=around.placement,
            placement_partition_number=machine.placement.partition,
            iam_instance_profile=around.profile,
            ebs_optimized=True,
            # Sessions (IMDSv2) alone, and not through a hop: nothing on the machine can be made to ask for its
            # credentials by a forwarded request (Amazon EC2 User Guide, Use the Instance Metadata Service).
            metadata_options={
                "http_endpoint": "enabled",
                "http_tokens": "required",
                "http_put_response_hop_limit": 1,
            },
            root_block_device={
                "encrypted": True,
                # A key that nobody names is left out: an unset one differs from the account's, once AWS is asked.
                **({"kms_key_id": around.kms_key} if around.kms_key else {}),
                "volume_type": "gp3",
                "volume_size": around.root_size,
                "delete_on_termination": True,
            },
            user_data=around.user_data,
            user_data_replace_on_change=False,
            # It acts at the first start alone, and a change of it would stop a machine that runs.
            opts=self._site.below(
                self,
                delete_before_replace=True,
                ignore_changes=["userData"],
                depends_on=list(around.ready),
            ),
        )

    def _volume(self, at: int, volume: DataVolume) -> aws.ebs.Volume:
        sold = SOLD.get(volume.type, ())
        return aws.ebs.Volume(
            **self._named("data", str(at)),
            availability_zone=self._machine.zone,
            type=volume.type,
            size=math.ceil(volume.size / GIB),
            iops=round(volume.iops) if "iops" in sold and volume.iops else None,
            throughput=round(volume.throughput / MIB) if "throughput" in sold and volume.throughput else None,
            encrypted=True,
            kms_key_id=self._around.kms_key,
            opts=self._site.below(self, protect=True, retain_on_delete=True),
        )

    def _attach(self, at: int, volume: aws.ebs.Volume, instance: aws.ec2.Instance) -> None:
        aws.ec2.VolumeAttachment(
            self._site.name(self._node.name, "data", str(at)),
            device_name=DEVICES[at],
            instance_id=instance.id,
            volume_id=volume.id,
            # A file system that is mounted does not let go of its volume.
            stop_instance_before_detaching=True,
            opts=self._site.below(self, delete_before_replace=True),
        )
