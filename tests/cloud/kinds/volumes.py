"""Volumes and where they are attached."""

from __future__ import annotations

import time
import zlib
from typing import Final

from tests.cloud.kinds.base import (
    Aws,
    Kind,
    Refused,
    Values,
    given,
    gone_is_none,
    retag,
    specification,
    tag_map,
)
from tests.cloud.kinds.machines import wait_for

PATIENCE: Final = 120.0
"""Seconds for a volume to change its state; moto changes it at once, hosts take their time."""


class Volume(Kind):
    type = "aws:ebs/volume:Volume"
    noun = "EBS Volume"
    required = ("availabilityZone",)
    changes = frozenset({"size", "type", "iops", "throughput", "tags"})
    computed = frozenset({"iops", "throughput", "kmsKeyId", "snapshotId"})
    defaults = {"type": "gp2", "encrypted": False}  # noqa: RUF012

    def create(self, aws: Aws, inputs: Values) -> str:
        made = aws.ec2.create_volume(
            AvailabilityZone=inputs["availabilityZone"],
            VolumeType=inputs["type"],
            Encrypted=inputs["encrypted"],
            **given(
                Size=inputs.get("size"),
                Iops=inputs.get("iops"),
                Throughput=inputs.get("throughput"),
                KmsKeyId=inputs.get("kmsKeyId"),
                SnapshotId=inputs.get("snapshotId"),
            ),
            **specification("volume", inputs.get("tags")),
        )
        return made["VolumeId"]

    def read(self, aws: Aws, identity: str, state: Values) -> Values | None:
        found = gone_is_none(lambda: aws.ec2.describe_volumes(VolumeIds=[identity]), "InvalidVolume.NotFound")
        if not found:
            return None
        (one,) = found["Volumes"]
        return {
            "arn": f"arn:aws:ec2:{aws.region}:{aws.account}:volume/{identity}",
            "availabilityZone": one["AvailabilityZone"],
            "size": one["Size"],
            "type": one["VolumeType"],
            "encrypted": one["Encrypted"],
            "kmsKeyId": one.get("KmsKeyId") or "",
            "iops": one.get("Iops") or 0,
            "throughput": one.get("Throughput") or 0,
            "snapshotId": one.get("SnapshotId") or "",
            "tags": tag_map(one.get("Tags")),
        }

    def update(self, aws: Aws, identity: str, old: Values, new: Values, changed: set[str]) -> None:
        names = {"size": "Size", "type": "VolumeType", "iops": "Iops", "throughput": "Throughput"}
        arguments = {names[key]: new[key] for key in sorted(changed & set(names)) if new.get(key)}
        if arguments:
            aws.ec2.modify_volume(VolumeId=identity, **arguments)
        retag(aws, identity, old, new)

    def delete(self, aws: Aws, identity: str, state: Values) -> None:
        gone_is_none(lambda: aws.ec2.delete_volume(VolumeId=identity), "InvalidVolume.NotFound")


class VolumeAttachment(Kind):
    type = "aws:ec2/volumeAttachment:VolumeAttachment"
    noun = "EBS Volume Attachment"
    required = ("deviceName", "instanceId", "volumeId")
    inputs = ("deviceName", "instanceId", "volumeId")
    changes = frozenset({"forceDetach", "skipDestroy", "stopInstanceBeforeDetaching"})
    tagged = False

    def create(self, aws: Aws, inputs: Values) -> str:
        aws.ec2.attach_volume(
            Device=inputs["deviceName"], InstanceId=inputs["instanceId"], VolumeId=inputs["volumeId"]
        )
        return attachment_id(inputs["deviceName"], inputs["instanceId"], inputs["volumeId"])

    def read(self, aws: Aws, identity: str, state: Values) -> Values | None:
        volume, instance = state.get("volumeId"), state.get("instanceId")
        if not volume:
            _, volume, instance = identity.split(":")
        found = gone_is_none(lambda: aws.ec2.describe_volumes(VolumeIds=[volume]), "InvalidVolume.NotFound")
        for one in found["Volumes"][0].get("Attachments", []) if found else []:
            if one["InstanceId"] == instance:
                return {
                    **{key: state[key] for key in self.changes if key in state},
                    "id": attachment_id(one["Device"], instance, volume),
                    "deviceName": one["Device"],
                    "instanceId": instance,
                    "volumeId": volume,
                }
        return None

    def update(self, aws: Aws, identity: str, old: Values, new: Values, changed: set[str]) -> None:
        """How to detach is for later; there is nothing to tell AWS."""

    def delete(self, aws: Aws, identity: str, state: Values) -> None:
        if state.get("skipDestroy"):
            return
        instance, volume = state["instanceId"], state["volumeId"]
        if not _attached(aws, volume, instance):
            return
        if state.get("stopInstanceBeforeDetaching"):
            gone_is_none(lambda: aws.ec2.stop_instances(InstanceIds=[instance]), "InvalidInstanceID.NotFound")
            wait_for(aws, instance, "stopped")
        gone_is_none(
            lambda: aws.ec2.detach_volume(
                Device=state["deviceName"],
                InstanceId=instance,
                VolumeId=volume,
                Force=bool(state.get("forceDetach")),
            ),
            "InvalidAttachment.NotFound",
            "InvalidVolume.NotFound",
            "InvalidInstanceID.NotFound",
        )
        until = time.monotonic() + PATIENCE
        while _attached(aws, volume, instance):
            if time.monotonic() > until:
                raise Refused(f"waiting for EBS Volume ({volume}) to detach from {instance}: timeout")
            time.sleep(0.2)


def _attached(aws: Aws, volume: str, instance: str) -> bool:
    found = gone_is_none(lambda: aws.ec2.describe_volumes(VolumeIds=[volume]), "InvalidVolume.NotFound")
    attachments = found["Volumes"][0].get("Attachments", []) if found else []
    return any(one["InstanceId"] == instance for one in attachments)


def attachment_id(device: str, instance: str, volume: str) -> str:
    """The id that the real provider makes up: AWS has none."""
    return f"vai-{zlib.crc32(f'{device}-{instance}-{volume}-'.encode())}"
