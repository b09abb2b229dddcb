"""Launching as EC2 does it: placement groups, which moto has not, quotas, types by zone, interfaces in use.

Invariant: an instance is either launched where and as it was asked for, or refused; moto alone
would launch it anywhere.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any, Final

from moto.core.responses import ActionResult, EmptyResult
from moto.ec2.models.core import TaggedEC2Resource
from moto.ec2.responses import EC2Response
from moto.ec2.responses.instances import InstanceResponse
from moto.ec2.utils import EC2_RESOURCE_TO_PREFIX

from tests.cloud.strict import offered, refuse
from tests.cloud.troubles import SETTINGS

SPREAD: Final = 7
"""Running instances of a spread placement group in one zone, at most (EC2 user guide, "Placement
strategies", 2026-11)."""
PARTITIONS: Final = 7
"""Partitions of a placement group in one zone, at most (the same)."""

EC2_RESOURCE_TO_PREFIX["placement-group"] = "pg"

GROUPS: Final[dict[tuple[str, str], dict[str, Group]]] = {}
"""By account and region, then by name."""


LAUNCHED: Final[list[Callable[[Any], None]]] = []
"""What else is done with an instance that was launched."""


class Group(TaggedEC2Resource):
    """A placement group."""

    def __init__(self, backend: Any, name: str, strategy: str, partitions: int, spread_level: str) -> None:
        self.ec2_backend = backend
        self.id = f"pg-{uuid.uuid4().hex[:17]}"
        self.name, self.strategy, self.partitions, self.spread_level = (
            name,
            strategy,
            partitions,
            spread_level,
        )

    def described(self) -> dict[str, Any]:
        """As EC2 describes it."""
        backend = self.ec2_backend
        place = f"arn:aws:ec2:{backend.region_name}:{backend.account_id}"
        found: dict[str, Any] = {
            "GroupName": self.name,
            "State": "available",
            "Strategy": self.strategy,
            "GroupId": self.id,
            "GroupArn": f"{place}:placement-group/{self.name}",
            "Tags": [{"Key": tag["key"], "Value": tag["value"]} for tag in self.get_tags()],
        }
        if self.strategy == "partition":
            found["PartitionCount"] = self.partitions
        if self.strategy == "spread":
            found["SpreadLevel"] = self.spread_level
        return found

    def members(self) -> list[Any]:
        """Its instances that are not gone."""
        return [
            one
            for one in self.ec2_backend.all_instances()
            if one.placement.group_name == self.name and one.state not in ("terminated", "shutting-down")
        ]


def groups(backend: Any) -> dict[str, Group]:
    """The placement groups of an account in a region."""
    return GROUPS.setdefault((backend.account_id, backend.region_name), {})


def create_placement_group(self: Any) -> ActionResult:
    name, strategy = self._get_param("GroupName"), self._get_param("Strategy")
    partitions = int(self._get_param("PartitionCount") or 0)
    known = groups(self.ec2_backend)
    if name in known:
        refuse("InvalidPlacementGroup.Duplicate", f"The Placement Group '{name}' already exists.")
    if strategy not in ("cluster", "spread", "partition"):
        refuse("InvalidParameterValue", f"Value ({strategy}) for parameter strategy is invalid.")
    if partitions and strategy != "partition":
        refuse("InvalidParameterCombination", "PartitionCount is only for strategy partition.")
    if partitions > PARTITIONS:
        refuse(
            "InvalidParameterValue",
            f"Value ({partitions}) for parameter partitionCount is invalid. Must be 1 to {PARTITIONS}.",
        )
    level = self._get_param("SpreadLevel") or "rack"
    made = known[name] = Group(self.ec2_backend, name, strategy, partitions or PARTITIONS, level)
    made.add_tags(self._parse_tag_specification().get("placement-group", {}))
    return ActionResult({"PlacementGroup": made.described()})


def describe_placement_groups(self: Any) -> ActionResult:
    known, names = groups(self.ec2_backend), self._get_param("GroupNames", [])
    for name in names:
        if name not in known:
            refuse("InvalidPlacementGroup.Unknown", f"The Placement Group '{name}' is unknown.")
    found = [one for one in known.values() if not names or one.name in names]
    filters = self._filters_from_querystring()
    for key, values in filters.items():
        if key == "group-name":
            found = [one for one in found if one.name in values]
        elif key.startswith("tag:"):
            found = [one for one in found if one.get_filter_value(key) in values]
        else:
            refuse("InvalidParameterValue", f"The filter '{key}' is invalid")
    return ActionResult({"PlacementGroups": [one.described() for one in found]})


def delete_placement_group(self: Any) -> EmptyResult:
    name, known = self._get_param("GroupName"), groups(self.ec2_backend)
    if name not in known:
        refuse("InvalidPlacementGroup.Unknown", f"The Placement Group '{name}' is unknown.")
    if known[name].members():
        refuse(
            "InvalidPlacementGroup.InUse", f"The placement group '{name}' is in use and may not be deleted."
        )
    del known[name]
    return EmptyResult()


def vcpus(sort: str) -> int:
    """How many vCPUs a type has, as AWS's list says."""
    from moto.ec2.models.instance_types import INSTANCE_TYPES

    return int(INSTANCE_TYPES.get(sort, {}).get("VCpuInfo", {}).get("DefaultVCpus", 1))


def _check(self: Any, zone: str, sort: str) -> None:
    """Refuse a launch that EC2 would refuse."""
    backend = self.ec2_backend
    for nic in self._get_param("NetworkInterfaces", []):
        identity = nic.get("NetworkInterfaceId")
        if identity and backend.get_network_interface(identity).instance is not None:
            refuse("InvalidNetworkInterface.InUse", f"Interface: [{identity}] in use.")
    offered(backend, sort, zone)
    limit = SETTINGS.quotas.get("vcpu")
    if limit is not None:
        running = [one for one in backend.all_instances() if one.state in ("running", "pending")]
        if sum(vcpus(one.instance_type) for one in running) + vcpus(sort) > limit:
            refuse(
                "VcpuLimitExceeded",
                f"You have requested more vCPU capacity than your current vCPU limit of {limit} allows for "
                "the instance bucket that the specified instance type belongs to. Please visit "
                "http://aws.amazon.com/contact-us/ec2-request to request an adjustment to this limit.",
            )


def _check_group(backend: Any, name: str, partition: int | None, zone: str) -> None:
    known = groups(backend)
    if name not in known:
        refuse("InvalidPlacementGroup.Unknown", f"The Placement Group '{name}' is unknown.")
    group = known[name]
    here = [one for one in group.members() if one.availability_zone == zone]
    if group.strategy == "spread" and len(here) >= SPREAD:
        refuse(
            "InsufficientInstanceCapacity",
            f"A spread placement group runs at most {SPREAD} instances in a zone: '{name}' has {len(here)} "
            f"in {zone}.",
        )
    if partition and (group.strategy != "partition" or partition > group.partitions):
        refuse("InvalidParameterValue", f"Value ({partition}) for parameter partitionNumber is invalid.")


def _run_instances(original: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def run(self: Any) -> Any:
        backend = self.ec2_backend
        before = _with_token(backend, self._get_param("ClientToken"))
        if before is not None:
            return ActionResult(before)
        zone = _zone(self)
        name = self._get_param("Placement.GroupName")
        partition = int(self._get_param("Placement.PartitionNumber") or 0) or None
        _check(self, zone, self._get_param("InstanceType", "m1.small"))
        if name:
            _check_group(backend, name, partition, zone)
        answer = original(self)
        for one in answer.result.instances:
            one.placement.zone = zone
            one.placement.group_name = name or ""
            one.placement.partition_number = partition or _next_partition(backend, name)
            one.disable_api_termination = self._get_param("DisableApiTermination") or False
            for done in LAUNCHED:
                done(one)
        return answer

    return run


def _with_token(backend: Any, token: str | None) -> Any:
    """What was launched with a token before: who asks again, not having heard the answer, gets it again."""
    for reservation in backend.reservations.values():
        if token and any(one.client_token == token for one in reservation.instances):
            return reservation
    return None


def _next_partition(backend: Any, name: str | None) -> int | None:
    group = groups(backend).get(name or "")
    if group is None or group.strategy != "partition":
        return None
    used = [getattr(one.placement, "partition_number", 0) for one in group.members()]
    return min(range(1, group.partitions + 1), key=used.count)


def _zone(self: Any) -> str:
    """Where an instance will be: where its interface or subnet is."""
    backend = self.ec2_backend
    for nic in self._get_param("NetworkInterfaces", []):
        if nic.get("NetworkInterfaceId"):
            return str(backend.get_network_interface(nic["NetworkInterfaceId"]).subnet.availability_zone)
        if nic.get("SubnetId"):
            return str(backend.get_subnet(nic["SubnetId"]).availability_zone)
    subnet = self._get_param("SubnetId")
    if subnet:
        return str(backend.get_subnet(subnet).availability_zone)
    return str(self._get_param("Placement.AvailabilityZone") or f"{backend.region_name}a")


InstanceResponse.run_instances = _run_instances(InstanceResponse.run_instances)  # type: ignore[method-assign]
for _method in (create_placement_group, describe_placement_groups, delete_placement_group):
    setattr(EC2Response, _method.__name__, _method)
