"""Instances and placement groups."""

from __future__ import annotations

import base64
import time
from typing import Any, Final

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

PATIENCE: Final = 600.0
"""Seconds for an instance to change its state, as the real provider waits at least."""

METADATA: Final = {
    "httpEndpoint": "HttpEndpoint",
    "httpTokens": "HttpTokens",
    "httpPutResponseHopLimit": "HttpPutResponseHopLimit",
    "httpProtocolIpv6": "HttpProtocolIpv6",
    "instanceMetadataTags": "InstanceMetadataTags",
}
ROOT: Final = {
    "volumeSize": "VolumeSize",
    "volumeType": "VolumeType",
    "iops": "Iops",
    "throughput": "Throughput",
    "encrypted": "Encrypted",
    "kmsKeyId": "KmsKeyId",
    "deleteOnTermination": "DeleteOnTermination",
}
STOPPED: Final = {
    "instanceType": "instanceType",
    "userData": "userData",
    "userDataBase64": "userData",
    "ebsOptimized": "ebsOptimized",
}
"""What changes only while the instance is stopped: Pulumi's name and EC2's."""


class Instance(Kind):
    type = "aws:ec2/instance:Instance"
    noun = "EC2 Instance"
    changes = frozenset(
        {
            *STOPPED,
            "disableApiTermination",
            "iamInstanceProfile",
            "metadataOptions",
            "monitoring",
            "rootBlockDevice",
            "sourceDestCheck",
            "tags",
            "userDataReplaceOnChange",
            "volumeTags",
            "vpcSecurityGroupIds",
        }
    )

    inputs = (
        "ami",
        "availabilityZone",
        "placementGroup",
        "placementPartitionNumber",
        "primaryNetworkInterface",
    )
    computed = frozenset(
        {
            *inputs,
            *(changes - {"tags"}),
            "associatePublicIpAddress",
            "keyName",
            "maintenanceOptions",
            "networkInterfaces",
            "privateIp",
            "subnetId",
            "tenancy",
        }
    )

    def check(self, inputs: Values) -> list[tuple[str, str]]:
        known = self.supported
        return [(key, "this input of ec2.Instance is not emulated") for key in sorted(set(inputs) - known)]

    supported: Final = changes | {
        "ami",
        "associatePublicIpAddress",
        "availabilityZone",
        "keyName",
        "maintenanceOptions",
        "networkInterfaces",
        "placementGroup",
        "placementPartitionNumber",
        "primaryNetworkInterface",
        "privateIp",
        "region",
        "subnetId",
        "tagsAll",
        "tenancy",
    }

    def create(self, aws: Aws, inputs: Values) -> str:
        answer = aws.ec2.run_instances(MinCount=1, MaxCount=1, **self._arguments(aws, inputs))
        return answer["Instances"][0]["InstanceId"]

    def _arguments(self, aws: Aws, inputs: Values) -> Values:
        profile = inputs.get("iamInstanceProfile")
        interfaces = _interfaces(inputs)
        return {
            **given(
                ImageId=inputs.get("ami"),
                InstanceType=inputs.get("instanceType"),
                UserData=_user_data(inputs),
                EbsOptimized=inputs.get("ebsOptimized"),
                DisableApiTermination=inputs.get("disableApiTermination"),
                KeyName=inputs.get("keyName"),
                SubnetId=None if interfaces else inputs.get("subnetId"),
                SecurityGroupIds=None if interfaces else inputs.get("vpcSecurityGroupIds"),
                PrivateIpAddress=inputs.get("privateIp"),
                NetworkInterfaces=interfaces or None,
                IamInstanceProfile={"Name": profile} if profile else None,
                MetadataOptions=_translated(inputs.get("metadataOptions"), METADATA),
                MaintenanceOptions=_translated(
                    inputs.get("maintenanceOptions"), {"autoRecovery": "AutoRecovery"}
                ),
                Placement=_placement(inputs) or None,
                BlockDeviceMappings=self._root(aws, inputs),
            ),
            **specification("instance", inputs.get("tags")),
        }

    @staticmethod
    def _root(aws: Aws, inputs: Values) -> list[dict[str, Any]] | None:
        wanted = inputs.get("rootBlockDevice")
        if not wanted:
            return None
        image = aws.ec2.describe_images(ImageIds=[inputs["ami"]])["Images"][0]
        disk = {"DeleteOnTermination": True, **(_translated(wanted, ROOT) or {})}
        disk.setdefault("VolumeSize", image["BlockDeviceMappings"][0]["Ebs"]["VolumeSize"])
        return [{"DeviceName": image["RootDeviceName"], "Ebs": disk}]

    def complete(self, aws: Aws, identity: str, inputs: Values) -> None:
        wait_for(aws, identity, "running")

    def read(self, aws: Aws, identity: str, state: Values) -> Values | None:
        one = described(aws, identity)
        if one is None or one["State"]["Name"] == "terminated":
            return None
        script = aws.ec2.describe_instance_attribute(InstanceId=identity, Attribute="userData")[
            "UserData"
        ].get("Value", "")
        placement = one["Placement"]
        protected = aws.ec2.describe_instance_attribute(
            InstanceId=identity, Attribute="disableApiTermination"
        )
        return {
            "arn": f"arn:aws:ec2:{aws.region}:{aws.account}:instance/{identity}",
            "ami": one["ImageId"],
            "instanceType": one["InstanceType"],
            "instanceState": one["State"]["Name"],
            "availabilityZone": placement["AvailabilityZone"],
            "placementGroup": placement.get("GroupName", ""),
            "placementPartitionNumber": placement.get("PartitionNumber", 0),
            "tenancy": placement.get("Tenancy", "default"),
            "ebsOptimized": one.get("EbsOptimized", False),
            "disableApiTermination": protected["DisableApiTermination"]["Value"],
            "monitoring": one["Monitoring"]["State"] != "disabled",
            "keyName": one.get("KeyName", ""),
            "iamInstanceProfile": one.get("IamInstanceProfile", {}).get("Arn", "").rpartition("/")[2],
            "metadataOptions": {
                ours: one["MetadataOptions"].get(theirs) for ours, theirs in METADATA.items()
            },
            "rootBlockDevice": _root_device(aws, one),
            "privateIp": one.get("PrivateIpAddress", ""),
            "privateDns": one.get("PrivateDnsName", ""),
            "publicIp": one.get("PublicIpAddress", ""),
            "publicDns": one.get("PublicDnsName", ""),
            **_network(one),
            "userData": base64.b64decode(script).decode(errors="replace"),
            "userDataBase64": script,
            "tags": tag_map(one.get("Tags")),
            **{key: state[key] for key in ("userDataReplaceOnChange", "volumeTags") if key in state},
            "maintenanceOptions": one.get("MaintenanceOptions", state.get("maintenanceOptions")),
            "associatePublicIpAddress": bool(one.get("PublicIpAddress")),
            "sourceDestCheck": one.get("SourceDestCheck", True),
        }

    def update(self, aws: Aws, identity: str, old: Values, new: Values, changed: set[str]) -> None:
        if changed & {"vpcSecurityGroupIds"}:
            aws.ec2.modify_instance_attribute(InstanceId=identity, Groups=new["vpcSecurityGroupIds"])
        if "disableApiTermination" in changed:
            value = {"Value": bool(new.get("disableApiTermination"))}
            aws.ec2.modify_instance_attribute(InstanceId=identity, DisableApiTermination=value)
        if "metadataOptions" in changed:
            options = _translated(new.get("metadataOptions"), METADATA) or {}
            aws.ec2.modify_instance_metadata_options(InstanceId=identity, **options)
        if "iamInstanceProfile" in changed:
            self._profile(aws, identity, new)
        if "rootBlockDevice" in changed:
            self._grow_root(aws, identity, new)
        self._while_stopped(aws, identity, new, changed & set(STOPPED))
        retag(aws, identity, old, new)

    @staticmethod
    def _while_stopped(aws: Aws, identity: str, new: Values, changed: set[str]) -> None:
        """As the real provider does: stop, change, start; the instance, its address and disks stay."""
        if not changed:
            return
        one = described(aws, identity)
        if one is None:
            raise Refused(f"EC2 Instance ({identity}) does not exist")
        was_running = one["State"]["Name"] == "running"
        if was_running:
            aws.ec2.stop_instances(InstanceIds=[identity])
            wait_for(aws, identity, "stopped")
        for attribute in sorted({STOPPED[key] for key in changed}):
            aws.ec2.modify_instance_attribute(InstanceId=identity, **_attribute(attribute, new))
        if was_running:
            aws.ec2.start_instances(InstanceIds=[identity])
            wait_for(aws, identity, "running")

    @staticmethod
    def _profile(aws: Aws, identity: str, new: Values) -> None:
        filters = [{"Name": "instance-id", "Values": [identity]}]
        found = aws.ec2.describe_iam_instance_profile_associations(Filters=filters)
        for one in found["IamInstanceProfileAssociations"]:
            aws.ec2.disassociate_iam_instance_profile(AssociationId=one["AssociationId"])
        if new.get("iamInstanceProfile"):
            profile = {"Name": new["iamInstanceProfile"]}
            aws.ec2.associate_iam_instance_profile(InstanceId=identity, IamInstanceProfile=profile)

    @staticmethod
    def _grow_root(aws: Aws, identity: str, new: Values) -> None:
        one = described(aws, identity) or {}
        names = {"volumeSize": "Size", "volumeType": "VolumeType", "iops": "Iops", "throughput": "Throughput"}
        wanted = _translated(new.get("rootBlockDevice"), names)
        if wanted:
            aws.ec2.modify_volume(VolumeId=_root_device(aws, one)["volumeId"], **wanted)

    def delete(self, aws: Aws, identity: str, state: Values) -> None:
        answer = gone_is_none(
            lambda: aws.ec2.terminate_instances(InstanceIds=[identity]), "InvalidInstanceID.NotFound"
        )
        if answer:
            wait_for(aws, identity, "terminated")


def described(aws: Aws, identity: str) -> Any:
    """An instance as EC2 describes it; None when there is none."""
    found = gone_is_none(
        lambda: aws.ec2.describe_instances(InstanceIds=[identity]), "InvalidInstanceID.NotFound"
    )
    return found["Reservations"][0]["Instances"][0] if found and found["Reservations"] else None


def wait_for(aws: Aws, identity: str, state: str) -> None:
    """Wait until an instance has come to a state."""
    until = time.monotonic() + PATIENCE
    while True:
        one = described(aws, identity)
        now = one["State"]["Name"] if one else "terminated"
        if now == state:
            return
        if now == "terminated" or time.monotonic() > until:
            reason = one.get("StateReason", {}).get("Message", "") if one else ""
            raise Refused(
                f"waiting for EC2 Instance ({identity}) to become {state}: "
                f"unexpected state '{now}', wanted target '{state}'. {reason}".rstrip()
            )
        time.sleep(0.3)


def _interfaces(inputs: Values) -> list[dict[str, Any]]:
    primary = inputs.get("primaryNetworkInterface")
    if primary:
        return [{"DeviceIndex": 0, "NetworkInterfaceId": primary["networkInterfaceId"]}]
    return [
        {"DeviceIndex": int(one["deviceIndex"]), "NetworkInterfaceId": one["networkInterfaceId"]}
        for one in inputs.get("networkInterfaces") or []
    ]


def _placement(inputs: Values) -> Values:
    partition = inputs.get("placementPartitionNumber")
    return given(
        AvailabilityZone=inputs.get("availabilityZone"),
        GroupName=inputs.get("placementGroup"),
        PartitionNumber=partition,
        Tenancy=inputs.get("tenancy"),
    )


def _user_data(inputs: Values) -> str | None:
    encoded = inputs.get("userDataBase64")
    return base64.b64decode(encoded).decode() if encoded else inputs.get("userData")


def _attribute(name: str, new: Values) -> Values:
    if name == "instanceType":
        return {"InstanceType": {"Value": new["instanceType"]}}
    if name == "ebsOptimized":
        return {"EbsOptimized": {"Value": bool(new.get("ebsOptimized"))}}
    return {"UserData": {"Value": (_user_data(new) or "").encode()}}


def _translated(values: Values | None, names: dict[str, str]) -> Values | None:
    if not values:
        return None
    return {names[key]: value for key, value in values.items() if key in names and value is not None}


def _root_device(aws: Aws, one: Any) -> Values:
    for mapping in one.get("BlockDeviceMappings", []):
        if mapping["DeviceName"] == one.get("RootDeviceName"):
            (disk,) = aws.ec2.describe_volumes(VolumeIds=[mapping["Ebs"]["VolumeId"]])["Volumes"]
            return {
                "deviceName": mapping["DeviceName"],
                "volumeId": disk["VolumeId"],
                "volumeSize": disk["Size"],
                "volumeType": disk["VolumeType"],
                "encrypted": disk["Encrypted"],
                "kmsKeyId": disk.get("KmsKeyId") or "",
                "iops": disk.get("Iops") or 0,
                "throughput": disk.get("Throughput") or 0,
                "deleteOnTermination": mapping["Ebs"].get("DeleteOnTermination", False),
                "tags": tag_map(disk.get("Tags")),
            }
    return {}


def _network(one: Any) -> Values:
    attached = sorted(one.get("NetworkInterfaces", []), key=lambda each: each["Attachment"]["DeviceIndex"])
    primary = attached[0] if attached else {}
    return {
        "subnetId": primary.get("SubnetId", one.get("SubnetId", "")),
        "primaryNetworkInterfaceId": primary.get("NetworkInterfaceId", ""),
        "primaryNetworkInterface": {
            "networkInterfaceId": primary.get("NetworkInterfaceId", ""),
            "deleteOnTermination": primary.get("Attachment", {}).get("DeleteOnTermination", False),
        },
        "networkInterfaces": [
            {
                "deviceIndex": each["Attachment"]["DeviceIndex"],
                "networkInterfaceId": each["NetworkInterfaceId"],
                "networkCardIndex": 0,
                "deleteOnTermination": each["Attachment"].get("DeleteOnTermination", False),
            }
            for each in attached
        ],
        "vpcSecurityGroupIds": sorted({group["GroupId"] for group in primary.get("Groups", [])}),
    }


class PlacementGroup(Kind):
    type = "aws:ec2/placementGroup:PlacementGroup"
    noun = "EC2 Placement Group"
    required = ("strategy",)
    named = "name"
    changes = frozenset({"tags"})
    computed = frozenset({"partitionCount", "spreadLevel"})

    def create(self, aws: Aws, inputs: Values) -> str:
        aws.ec2.create_placement_group(
            GroupName=inputs["name"],
            Strategy=str(inputs["strategy"]),
            **given(PartitionCount=inputs.get("partitionCount"), SpreadLevel=inputs.get("spreadLevel")),
            **specification("placement-group", inputs.get("tags")),
        )
        return inputs["name"]

    def read(self, aws: Aws, identity: str, state: Values) -> Values | None:
        found = gone_is_none(
            lambda: aws.ec2.describe_placement_groups(GroupNames=[identity]), "InvalidPlacementGroup.Unknown"
        )
        if not found or not found["PlacementGroups"]:
            return None
        (one,) = found["PlacementGroups"]
        return {
            "arn": one.get("GroupArn", ""),
            "name": one["GroupName"],
            "placementGroupId": one["GroupId"],
            "strategy": one["Strategy"],
            "partitionCount": one.get("PartitionCount", 0),
            "spreadLevel": one.get("SpreadLevel", ""),
            "tags": tag_map(one.get("Tags")),
        }

    def update(self, aws: Aws, identity: str, old: Values, new: Values, changed: set[str]) -> None:
        retag(aws, old["placementGroupId"], old, new)

    def delete(self, aws: Aws, identity: str, state: Values) -> None:
        gone_is_none(
            lambda: aws.ec2.delete_placement_group(GroupName=identity), "InvalidPlacementGroup.Unknown"
        )
