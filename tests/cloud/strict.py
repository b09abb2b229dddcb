"""Moto made to refuse what AWS refuses: things in use, ranges that overlap, volumes that would shrink.

Invariant: a refusal is raised before anything is changed. What is refused here is what the order of
creation, change and deletion depends on; README.md lists what stays laxer than AWS.
"""

from __future__ import annotations

import functools
import ipaddress
from collections.abc import Callable
from typing import Any, Final

from moto.ec2.exceptions import DependencyViolationError, EC2ClientError
from moto.ec2.models import EC2Backend
from moto.ec2.models.instances import Instance
from moto.ec2.models.security_groups import SecurityGroupRule
from moto.ec2.responses.elastic_network_interfaces import ElasticNetworkInterfaces
from moto.ec2.responses.transit_gateway_attachments import TransitGatewayAttachment

from tests.cloud.troubles import SETTINGS

RESERVED: Final = 4
"""Addresses at the start of every subnet that are Amazon's own, and one at its end (VPC user guide,
"Subnet CIDR blocks", 2026-11)."""


def refuse(code: str, message: str) -> None:
    """Raise what AWS would answer."""
    raise EC2ClientError(code, message)


def before(name: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Run a check before a method of the EC2 backend."""

    def decorate(check: Callable[..., None]) -> Callable[..., None]:
        original = getattr(EC2Backend, name)

        @functools.wraps(original)
        def checked(self: Any, *arguments: Any, **named: Any) -> Any:
            check(self, *arguments, **named)
            return original(self, *arguments, **named)

        setattr(EC2Backend, name, checked)
        return check

    return decorate


@before("create_vpc")
def vpc_quota(self: Any, *_: Any, **__: Any) -> None:
    limit = SETTINGS.quotas.get("vpc")
    if limit is not None and len(self.vpcs) >= limit:
        refuse("VpcLimitExceeded", "The maximum number of VPCs has been reached.")


@before("allocate_address")
def address_quota(self: Any, *_: Any, **__: Any) -> None:
    limit = SETTINGS.quotas.get("eip")
    if limit is not None and len(self.addresses) >= limit:
        refuse("AddressLimitExceeded", "The maximum number of addresses has been reached.")


def _address_is_free(original: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """For who asks through the API: moto itself gives endpoints and gateways addresses from anywhere."""

    @functools.wraps(original)
    def create(self: Any) -> Any:
        backend = self.ec2_backend
        subnet = backend.get_subnet(self._get_param("SubnetId"))
        for group in self._get_param("Groups", []):
            if backend.get_security_group_from_id(group) is None:
                refuse("InvalidGroup.NotFound", f"The security group '{group}' does not exist")
        wanted = self._get_param("PrivateIpAddress")
        if wanted:
            _free(backend, subnet, wanted)
        return original(self)

    return create


def _free(backend: Any, subnet: Any, wanted: str) -> None:
    network, address = ipaddress.ip_network(subnet.cidr_block), ipaddress.ip_address(wanted)
    if address not in network:
        refuse("InvalidParameterValue", f"Address {wanted} does not fall within the subnet's address range")
    place = int(address) - int(network.network_address)
    if place < RESERVED or address == network.broadcast_address:
        refuse("InvalidParameterValue", f"Address {wanted} is in subnet's reserved address range")
    if wanted in {one.private_ip_address for one in backend.enis.values() if one.subnet.id == subnet.id}:
        refuse("InvalidIPAddress.InUse", f"The specified address is already in use: {wanted}")


@before("delete_network_interface")
def interface_is_free(self: Any, eni_id: str) -> None:
    eni = self.enis.get(eni_id)
    if eni is not None and eni.instance is not None and eni.instance.state != "terminated":
        refuse("InvalidParameterValue", f"Network interface '{eni_id}' is currently in use.")


@before("delete_subnet")
def subnet_is_empty(self: Any, subnet_id: str) -> None:
    if any(one.subnet.id == subnet_id for one in self.enis.values()):
        raise DependencyViolationError(f"The subnet '{subnet_id}' has dependencies and cannot be deleted.")


@before("delete_vpc")
def vpc_has_no_gateway(self: Any, vpc_id: str) -> None:
    attached = [one for one in self.internet_gateways.values() if one.vpc and one.vpc.id == vpc_id]
    groups = [one for one in self.groups.get(vpc_id, {}).values() if one.name != "default"]
    if attached or groups:
        raise DependencyViolationError(f"The vpc '{vpc_id}' has dependencies and cannot be deleted.")


@before("detach_internet_gateway")
def no_public_addresses(self: Any, internet_gateway_id: str, vpc_id: str) -> None:
    for one in self.nat_gateways.values():
        public = one.connectivity_type == "public" and one.state not in ("deleted", "deleting")
        if public and self.get_subnet(one.subnet_id).vpc_id == vpc_id:
            raise DependencyViolationError(
                f"Network {vpc_id} has some mapped public address(es). Please unmap those public "
                "address(es) before detaching the gateway."
            )


@before("create_nat_gateway")
def network_has_a_gateway(self: Any, subnet_id: str, *_: Any, **named: Any) -> None:
    vpc = self.get_subnet(subnet_id).vpc_id
    attached = any(one.vpc and one.vpc.id == vpc for one in self.internet_gateways.values())
    if (named.get("connectivity_type") or "public") == "public" and not attached:
        refuse("Gateway.NotAttached", f"Network {vpc} has no Internet gateway attached")


@before("release_address")
def address_is_not_mapped(self: Any, address: str | None = None, allocation_id: str | None = None) -> None:
    for one in self.nat_gateways.values():
        mapped = [each.get("allocationId") for each in one.address_set]
        if one.state not in ("deleted", "deleting") and allocation_id and allocation_id in mapped:
            refuse("InvalidIPAddress.InUse", f"Address with allocation id {allocation_id} is in use.")


@before("delete_security_group")
def group_is_free(self: Any, name: str | None = None, group_id: str | None = None) -> None:
    if group_id is None:
        return
    used = any(group_id in {group.id for group in one.group_set} for one in self.enis.values())
    for groups in self.groups.values():
        for group in groups.values():
            rules = [*group.ingress_rules, *group.egress_rules] if group.id != group_id else []
            used = used or any(_refers(rule, group_id) for rule in rules)
    if used:
        raise DependencyViolationError(f"resource {group_id} has a dependent object")


def _refers(rule: Any, group_id: str) -> bool:
    sources = getattr(rule, "source_group", None) or {}
    listed = [*getattr(rule, "source_groups", []), sources]
    return any(isinstance(one, dict) and one.get("GroupId") == group_id for one in listed)


@before("attach_volume")
def volume_fits(self: Any, volume_id: str, instance_id: str, device_path: str, *_: Any, **__: Any) -> None:
    volume, instance = self.get_volume(volume_id), self.get_instance(instance_id)
    if volume.attachment is not None:
        refuse("VolumeInUse", f"{volume_id} is already attached to an instance")
    if instance.state not in ("running", "stopped", "pending"):
        refuse("IncorrectState", f"Instance '{instance_id}' is not 'running'.")
    if volume.availability_zone != instance.availability_zone:
        refuse(
            "InvalidVolume.ZoneMismatch",
            f"The volume '{volume_id}' is not in the same availability zone as instance '{instance_id}'",
        )
    if device_path in instance.block_device_mapping:
        refuse(
            "InvalidParameterValue",
            f"Invalid value '{device_path}' for unixDevice. Attachment point {device_path} is already in use",
        )


@before("detach_volume")
def root_stays(self: Any, volume_id: str, instance_id: str, device_path: str) -> None:
    instance = self.get_instance(instance_id)
    attachment = self.get_volume(volume_id).attachment
    if attachment is None or instance.state != "running" or getattr(instance, "ending", False):
        return
    if attachment.device == instance.root_device_name:
        refuse(
            "OperationNotPermitted",
            f"Unable to detach root volume '{volume_id}' from instance '{instance_id}'",
        )


GP3_IOPS_PER_GIB: Final = 500
GP3_THROUGHPUT_PER_IOPS: Final = 0.25
"""MiB/s for each bought operation a second; both from the EBS user guide, "General Purpose SSD volumes", 2026-11."""


@before("create_volume")
def volume_makes_sense(self: Any, *_: Any, **named: Any) -> None:
    _ratios(named.get("volume_type"), named.get("size"), named.get("iops"), named.get("throughput"))


@before("modify_volume")
def volume_grows(
    self: Any,
    volume_id: str,
    target_size: int | None = None,
    target_volume_type: str | None = None,
    target_iops: int | None = None,
    target_throughput: int | None = None,
    *_: Any,
) -> None:
    volume = self.get_volume(volume_id)
    if target_size and int(target_size) < int(volume.size):
        refuse("InvalidParameterValue", "New size cannot be smaller than existing size")
    _ratios(
        target_volume_type or volume.volume_type,
        target_size or volume.size,
        target_iops or volume.iops,
        target_throughput or volume.throughput,
    )


def _ratios(sort: Any, size: Any, iops: Any, throughput: Any) -> None:
    if sort != "gp3" or not size:
        return
    bought = int(iops or 3000)
    if bought > max(3000, int(size) * GP3_IOPS_PER_GIB):
        refuse(
            "InvalidParameterCombination",
            f"The iops to volume size ratio of {bought / int(size):.1f} is too high; "
            f"maximum is {GP3_IOPS_PER_GIB}.0 iops per GiB",
        )
    if throughput and int(throughput) > bought * GP3_THROUGHPUT_PER_IOPS:
        refuse(
            "InvalidParameterCombination",
            f"The throughput to iops ratio of {int(throughput) / bought:.2f} is too high; "
            f"maximum is {GP3_THROUGHPUT_PER_IOPS} MiBps per iops",
        )


@before("create_vpc_peering_connection")
def ranges_differ(self: Any, vpc: Any, peer_vpc: Any, *_: Any, **__: Any) -> None:
    ours = [ipaddress.ip_network(one["cidr_block"]) for one in vpc.get_cidr_block_association_set()]
    theirs = [ipaddress.ip_network(one["cidr_block"]) for one in peer_vpc.get_cidr_block_association_set()]
    if any(one.overlaps(other) for one in ours for other in theirs):
        refuse(
            "OverlappingCidrs",
            f"The VPCs {vpc.id} and {peer_vpc.id} have overlapping CIDR blocks and cannot be peered",
        )


@before("delete_transit_gateway")
def gateway_is_free(self: Any, transit_gateway_id: str) -> None:
    """EC2 API Reference, DeleteTransitGateway: its attachments have to go first."""
    attached = self.transit_gateway_attachments.values()
    if any(one.transit_gateway_id == transit_gateway_id and one.state != "deleted" for one in attached):
        refuse(
            "IncorrectState", f"{transit_gateway_id} has non-deleted VPC Attachments or Peering Attachments."
        )


@before("modify_instance_attribute")
def instance_is_stopped(self: Any, instance_id: str, key: str, value: Any) -> None:
    instance = self.get_instance(instance_id)
    if key in ("instance_type", "user_data", "ebs_optimized", "kernel") and instance.state != "stopped":
        refuse("IncorrectInstanceState", f"The instance '{instance_id}' is not in the 'stopped' state.")
    if key == "instance_type":
        offered(self, str(value), instance.availability_zone)


@before("start_instances")
def instance_can_start(self: Any, instance_ids: list[str]) -> None:
    for one in instance_ids:
        instance = self.get_instance(one)
        if instance.state not in ("stopped", "running", "pending"):
            refuse(
                "IncorrectInstanceState",
                f"The instance '{one}' is not in a state from which it can be started.",
            )


@before("stop_instances")
def instance_can_stop(self: Any, instance_ids: list[str]) -> None:
    for one in instance_ids:
        if self.get_instance(one).state in ("terminated", "shutting-down"):
            refuse(
                "IncorrectInstanceState",
                f"This instance '{one}' is not in a state from which it can be stopped.",
            )


def offered(self: Any, sort: str, zone: str | None) -> None:
    """Refuse a type that a zone does not offer."""
    from moto.ec2.models.instance_types import INSTANCE_TYPE_OFFERINGS

    listed = INSTANCE_TYPE_OFFERINGS["availability-zone"].get(self.region_name, [])
    zones = sorted({one["Location"] for one in listed if one["InstanceType"] == sort})
    zones = [one for one in zones if (sort, one) not in SETTINGS.not_offered]
    if zone not in zones:
        others = f" Please retry your request by choosing {', '.join(zones)}." if zones else ""
        refuse(
            "Unsupported",
            f"Your requested instance type ({sort}) is not supported in your requested Availability Zone "
            f"({zone}).{others}",
        )


def _terminate(original: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Interfaces that outlive their instance are free again once it has gone."""

    @functools.wraps(original)
    def terminate(self: Any) -> Any:
        self.ending = True
        kept = [one for one in self.nics.values() if not one.delete_on_termination]
        for one in self.nics.values():
            # Moto frees them by deleting; in that moment they belong to nobody.
            if one.delete_on_termination:
                one.instance = None
        answer = original(self)
        for one in kept:
            self.detach_eni(one)
            # Moto describes a terminated instance by the interface that it had.
            self.nics[0] = one
        return answer

    return terminate


def _delete_nat_gateway(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def delete(self: Any, nat_gateway_id: str) -> Any:
        gateway = original(self, nat_gateway_id)
        self.enis.pop(gateway._eni.id, None)
        return gateway

    return delete


def _description(self: Any) -> str | None:
    """Of a rule whose source is a group, which moto keeps with the group and does not show."""
    found = self.ip_range.get("Description") or (self.source_group or {}).get("Description")
    return str(found) if found else None


def _interfaces(self: Any) -> list[Any]:
    """Of an instance that is not gone: what is gone has none."""
    return [] if self.state == "terminated" else list(self.nics.values())


def _tagged(original: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """A network at a transit gateway, with the tags that it was made with: moto looks for those of a route table."""

    @functools.wraps(original)
    def create(self: Any) -> Any:
        answer = original(self)
        made = answer.result["TransitGatewayVpcAttachment"]
        made.add_tags(self._parse_tag_specification().get("transit-gateway-attachment", {}))
        return answer

    return create


def _listed(original: Callable[..., Any]) -> Callable[..., Any]:
    """A transit gateway's route with what it leads to in a list, as it is told; moto has it alone."""

    @functools.wraps(original)
    def create(self: Any, *arguments: Any, **named: Any) -> Any:
        route = original(self, *arguments, **named)
        if "transitGatewayAttachments" in route:
            route["transitGatewayAttachments"] = [route["transitGatewayAttachments"]]
        return route

    return create


EC2Backend.create_transit_gateway_route = _listed(EC2Backend.create_transit_gateway_route)  # type: ignore[method-assign]
TransitGatewayAttachment.create_transit_gateway_vpc_attachment = _tagged(  # type: ignore[method-assign]
    TransitGatewayAttachment.create_transit_gateway_vpc_attachment
)
Instance.network_interfaces = property(_interfaces)  # type: ignore[assignment,method-assign]
SecurityGroupRule.description = property(_description)  # type: ignore[assignment]
Instance.terminate = _terminate(Instance.terminate)  # type: ignore[method-assign]
EC2Backend.delete_nat_gateway = _delete_nat_gateway(EC2Backend.delete_nat_gateway)  # type: ignore[method-assign]
ElasticNetworkInterfaces.create_network_interface = _address_is_free(  # type: ignore[method-assign]
    ElasticNetworkInterfaces.create_network_interface
)


def _of_its_interface(name: str, otherwise: str | None) -> property:
    """A property that a machine has from its interface, which a terminated one has no more."""
    original = getattr(Instance, name)
    return property(lambda self: original.fget(self) if self.nics else otherwise)


for _name, _otherwise in (
    ("private_ip", None),
    ("private_ip_address", None),
    ("private_dns_name", ""),
    ("public_ip", None),
    ("public_ip_address", None),
):
    setattr(Instance, _name, _of_its_interface(_name, _otherwise))
