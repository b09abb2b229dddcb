"""Addresses that outlive what uses them: network interfaces, elastic addresses, NAT gateways."""

from __future__ import annotations

from tests.cloud.kinds.base import Aws, Kind, Values, given, gone_is_none, retag, specification, tag_map


class NetworkInterface(Kind):
    type = "aws:ec2/networkInterface:NetworkInterface"
    noun = "EC2 Network Interface"
    required = ("subnetId",)
    inputs = ("privateIps",)
    changes = frozenset({"securityGroups", "sourceDestCheck", "description", "tags"})
    computed = frozenset({"privateIps", "securityGroups"})
    defaults = {"sourceDestCheck": True}  # noqa: RUF012

    def create(self, aws: Aws, inputs: Values) -> str:
        addresses = inputs.get("privateIps") or []
        made = aws.ec2.create_network_interface(
            SubnetId=inputs["subnetId"],
            **given(
                PrivateIpAddress=addresses[0] if addresses else None,
                Groups=inputs.get("securityGroups") or None,
                Description=inputs.get("description"),
            ),
            **specification("network-interface", inputs.get("tags")),
        )
        return made["NetworkInterface"]["NetworkInterfaceId"]

    def complete(self, aws: Aws, identity: str, inputs: Values) -> None:
        if not inputs["sourceDestCheck"]:
            aws.ec2.modify_network_interface_attribute(
                NetworkInterfaceId=identity, SourceDestCheck={"Value": False}
            )

    def read(self, aws: Aws, identity: str, state: Values) -> Values | None:
        found = gone_is_none(
            lambda: aws.ec2.describe_network_interfaces(NetworkInterfaceIds=[identity]),
            "InvalidNetworkInterfaceID.NotFound",
        )
        if not found:
            return None
        (one,) = found["NetworkInterfaces"]
        owner = one.get("OwnerId", "")
        return {
            "arn": f"arn:aws:ec2:{aws.region}:{owner}:network-interface/{identity}",
            "subnetId": one["SubnetId"],
            "privateIp": one["PrivateIpAddress"],
            "privateIps": [address["PrivateIpAddress"] for address in one["PrivateIpAddresses"]],
            "securityGroups": sorted(group["GroupId"] for group in one["Groups"]),
            "description": one.get("Description", ""),
            "sourceDestCheck": one.get("SourceDestCheck", True),
            "macAddress": one["MacAddress"],
            "interfaceType": one.get("InterfaceType", "interface"),
            "ownerId": owner,
            "tags": tag_map(one.get("TagSet")),
        }

    def update(self, aws: Aws, identity: str, old: Values, new: Values, changed: set[str]) -> None:
        arguments: Values = {}
        if "securityGroups" in changed:
            arguments = {"Groups": new["securityGroups"]}
            aws.ec2.modify_network_interface_attribute(NetworkInterfaceId=identity, **arguments)
        if "sourceDestCheck" in changed:
            arguments = {"SourceDestCheck": {"Value": new["sourceDestCheck"]}}
            aws.ec2.modify_network_interface_attribute(NetworkInterfaceId=identity, **arguments)
        if "description" in changed:
            arguments = {"Description": {"Value": new.get("description", "")}}
            aws.ec2.modify_network_interface_attribute(NetworkInterfaceId=identity, **arguments)
        retag(aws, identity, old, new)

    def delete(self, aws: Aws, identity: str, state: Values) -> None:
        gone_is_none(
            lambda: aws.ec2.delete_network_interface(NetworkInterfaceId=identity),
            "InvalidNetworkInterfaceID.NotFound",
        )


class Eip(Kind):
    type = "aws:ec2/eip:Eip"
    noun = "EC2 EIP"
    changes = frozenset({"tags"})
    defaults = {"domain": "vpc"}  # noqa: RUF012

    def create(self, aws: Aws, inputs: Values) -> str:
        made = aws.ec2.allocate_address(Domain="vpc", **specification("elastic-ip", inputs.get("tags")))
        return made["AllocationId"]

    def read(self, aws: Aws, identity: str, state: Values) -> Values | None:
        found = gone_is_none(
            lambda: aws.ec2.describe_addresses(AllocationIds=[identity]), "InvalidAllocationID.NotFound"
        )
        if not found or not found["Addresses"]:
            return None
        (one,) = found["Addresses"]
        return {
            "allocationId": identity,
            "associationId": one.get("AssociationId", ""),
            "domain": one["Domain"],
            "publicIp": one["PublicIp"],
            "tags": tag_map(one.get("Tags")),
        }

    def update(self, aws: Aws, identity: str, old: Values, new: Values, changed: set[str]) -> None:
        retag(aws, identity, old, new)

    def delete(self, aws: Aws, identity: str, state: Values) -> None:
        gone_is_none(lambda: aws.ec2.release_address(AllocationId=identity), "InvalidAllocationID.NotFound")


class NatGateway(Kind):
    type = "aws:ec2/natGateway:NatGateway"
    noun = "EC2 NAT Gateway"
    required = ("subnetId",)
    inputs = ("allocationId",)
    changes = frozenset({"tags"})
    defaults = {"connectivityType": "public"}  # noqa: RUF012

    def create(self, aws: Aws, inputs: Values) -> str:
        made = aws.ec2.create_nat_gateway(
            SubnetId=inputs["subnetId"],
            ConnectivityType=inputs["connectivityType"],
            **given(AllocationId=inputs.get("allocationId")),
            **specification("natgateway", inputs.get("tags")),
        )
        return made["NatGateway"]["NatGatewayId"]

    def read(self, aws: Aws, identity: str, state: Values) -> Values | None:
        found = gone_is_none(
            lambda: aws.ec2.describe_nat_gateways(NatGatewayIds=[identity]), "NatGatewayNotFound"
        )
        alive = [one for one in found["NatGateways"] if one["State"] != "deleted"] if found else []
        if not alive:
            return None
        one = alive[0]
        address = (one.get("NatGatewayAddresses") or [{}])[0]
        return {
            "subnetId": one["SubnetId"],
            "connectivityType": one.get("ConnectivityType", "public"),
            "allocationId": address.get("AllocationId", ""),
            "networkInterfaceId": address.get("NetworkInterfaceId", ""),
            "privateIp": address.get("PrivateIp", ""),
            "publicIp": address.get("PublicIp", ""),
            "tags": tag_map(one.get("Tags")),
        }

    def update(self, aws: Aws, identity: str, old: Values, new: Values, changed: set[str]) -> None:
        retag(aws, identity, old, new)

    def delete(self, aws: Aws, identity: str, state: Values) -> None:
        gone_is_none(lambda: aws.ec2.delete_nat_gateway(NatGatewayId=identity), "NatGatewayNotFound")
