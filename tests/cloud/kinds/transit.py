"""Transit gateways: the gateways, networks attached to them, peerings of two of them, and their routes."""

from __future__ import annotations

from typing import Any

from tests.cloud.kinds.base import Aws, Kind, Refused, Values, given, retag, specification, tag_map

GONE = ("deleted", "deleting", "rejected", "failed")


def living(found: list[Any]) -> Any:
    """The first that is there and not about to go; None where there is none."""
    return next((one for one in found if one["State"] not in GONE), None)


OPTIONS = {
    "autoAcceptSharedAttachments": "AutoAcceptSharedAttachments",
    "defaultRouteTableAssociation": "DefaultRouteTableAssociation",
    "defaultRouteTablePropagation": "DefaultRouteTablePropagation",
    "dnsSupport": "DnsSupport",
}
"""What a gateway is asked to do, by Pulumi's names and AWS's."""


class TransitGateway(Kind):
    type = "aws:ec2transitgateway/transitGateway:TransitGateway"
    noun = "EC2 Transit Gateway"
    changes = frozenset({"description", "tags"})
    defaults = {"amazonSideAsn": 64512, "defaultRouteTableAssociation": "enable", "dnsSupport": "enable"}  # noqa: RUF012

    def create(self, aws: Aws, inputs: Values) -> str:
        options = {theirs: inputs[ours] for ours, theirs in OPTIONS.items() if inputs.get(ours)}
        made = aws.ec2.create_transit_gateway(
            Description=inputs.get("description") or "",
            Options={**options, "AmazonSideAsn": int(inputs["amazonSideAsn"])},
            **specification("transit-gateway", inputs.get("tags")),
        )
        return made["TransitGateway"]["TransitGatewayId"]

    def read(self, aws: Aws, identity: str, state: Values) -> Values | None:
        one = living(aws.ec2.describe_transit_gateways(TransitGatewayIds=[identity])["TransitGateways"])
        if one is None:
            return None
        said = one["Options"]
        return {
            "arn": one["TransitGatewayArn"],
            "description": one.get("Description", ""),
            "amazonSideAsn": int(said["AmazonSideAsn"]),
            "associationDefaultRouteTableId": said["AssociationDefaultRouteTableId"],
            "propagationDefaultRouteTableId": said["PropagationDefaultRouteTableId"],
            "ownerId": one["OwnerId"],
            **{ours: said[theirs] for ours, theirs in OPTIONS.items()},
            "tags": tag_map(one.get("Tags")),
        }

    def update(self, aws: Aws, identity: str, old: Values, new: Values, changed: set[str]) -> None:
        retag(aws, identity, old, new)

    def delete(self, aws: Aws, identity: str, state: Values) -> None:
        if living(aws.ec2.describe_transit_gateways(TransitGatewayIds=[identity])["TransitGateways"]):
            aws.ec2.delete_transit_gateway(TransitGatewayId=identity)


class VpcAttachment(Kind):
    type = "aws:ec2transitgateway/vpcAttachment:VpcAttachment"
    noun = "EC2 Transit Gateway VPC Attachment"
    required = ("subnetIds", "transitGatewayId", "vpcId")
    changes = frozenset({"subnetIds", "tags"})
    defaults = {"dnsSupport": "enable"}  # noqa: RUF012

    def create(self, aws: Aws, inputs: Values) -> str:
        made = aws.ec2.create_transit_gateway_vpc_attachment(
            TransitGatewayId=inputs["transitGatewayId"],
            VpcId=inputs["vpcId"],
            SubnetIds=inputs["subnetIds"],
            Options={"DnsSupport": inputs["dnsSupport"]},
            **specification("transit-gateway-attachment", inputs.get("tags")),
        )
        return made["TransitGatewayVpcAttachment"]["TransitGatewayAttachmentId"]

    def _found(self, aws: Aws, identity: str) -> Any:
        answer = aws.ec2.describe_transit_gateway_vpc_attachments(TransitGatewayAttachmentIds=[identity])
        return living(answer["TransitGatewayVpcAttachments"])

    def read(self, aws: Aws, identity: str, state: Values) -> Values | None:
        one = self._found(aws, identity)
        if one is None:
            return None
        return {
            "transitGatewayId": one["TransitGatewayId"],
            "vpcId": one["VpcId"],
            "vpcOwnerId": one["VpcOwnerId"],
            "subnetIds": one["SubnetIds"],
            "dnsSupport": one["Options"]["DnsSupport"],
            "tags": tag_map(one.get("Tags")),
        }

    def update(self, aws: Aws, identity: str, old: Values, new: Values, changed: set[str]) -> None:
        if "subnetIds" in changed:
            before, after = set(old["subnetIds"]), set(new["subnetIds"])
            aws.ec2.modify_transit_gateway_vpc_attachment(
                TransitGatewayAttachmentId=identity,
                **given(
                    AddSubnetIds=sorted(after - before) or None,
                    RemoveSubnetIds=sorted(before - after) or None,
                ),
            )
        retag(aws, identity, old, new)

    def delete(self, aws: Aws, identity: str, state: Values) -> None:
        if self._found(aws, identity):
            aws.ec2.delete_transit_gateway_vpc_attachment(TransitGatewayAttachmentId=identity)


def peering(aws: Aws, identity: str) -> Any:
    """A peering of gateways; None when there is none, or none any more."""
    answer = aws.ec2.describe_transit_gateway_peering_attachments(TransitGatewayAttachmentIds=[identity])
    return living(answer["TransitGatewayPeeringAttachments"])


class PeeringAttachment(Kind):
    type = "aws:ec2transitgateway/peeringAttachment:PeeringAttachment"
    noun = "EC2 Transit Gateway Peering Attachment"
    required = ("peerRegion", "peerTransitGatewayId", "transitGatewayId")
    computed = frozenset({"peerAccountId"})
    changes = frozenset({"tags"})

    def create(self, aws: Aws, inputs: Values) -> str:
        made = aws.ec2.create_transit_gateway_peering_attachment(
            TransitGatewayId=inputs["transitGatewayId"],
            PeerTransitGatewayId=inputs["peerTransitGatewayId"],
            PeerRegion=inputs["peerRegion"],
            PeerAccountId=inputs.get("peerAccountId") or aws.account,
            **specification("transit-gateway-attachment", inputs.get("tags")),
        )
        return made["TransitGatewayPeeringAttachment"]["TransitGatewayAttachmentId"]

    def read(self, aws: Aws, identity: str, state: Values) -> Values | None:
        one = peering(aws, identity)
        if one is None:
            return None
        return {
            "transitGatewayId": one["RequesterTgwInfo"]["TransitGatewayId"],
            "peerTransitGatewayId": one["AccepterTgwInfo"]["TransitGatewayId"],
            "peerRegion": one["AccepterTgwInfo"]["Region"],
            "peerAccountId": one["AccepterTgwInfo"]["OwnerId"],
            "state": one["State"],
            "tags": tag_map(one.get("Tags")),
        }

    def update(self, aws: Aws, identity: str, old: Values, new: Values, changed: set[str]) -> None:
        retag(aws, identity, old, new)

    def delete(self, aws: Aws, identity: str, state: Values) -> None:
        if peering(aws, identity):
            aws.ec2.delete_transit_gateway_peering_attachment(TransitGatewayAttachmentId=identity)


class PeeringAttachmentAccepter(Kind):
    type = "aws:ec2transitgateway/peeringAttachmentAccepter:PeeringAttachmentAccepter"
    noun = "EC2 Transit Gateway Peering Attachment Accepter"
    required = ("transitGatewayAttachmentId",)
    changes = frozenset({"tags"})

    def create(self, aws: Aws, inputs: Values) -> str:
        return str(inputs["transitGatewayAttachmentId"])

    def complete(self, aws: Aws, identity: str, inputs: Values) -> None:
        one = peering(aws, identity)
        if one is None:
            raise Refused(f"EC2 Transit Gateway Peering Attachment ({identity}) not found")
        if one["State"] == "pendingAcceptance":
            aws.ec2.accept_transit_gateway_peering_attachment(TransitGatewayAttachmentId=identity)

    def read(self, aws: Aws, identity: str, state: Values) -> Values | None:
        one = peering(aws, identity)
        if one is None:
            return None
        return {
            "transitGatewayAttachmentId": identity,
            # Seen from the other end.
            "transitGatewayId": one["AccepterTgwInfo"]["TransitGatewayId"],
            "peerTransitGatewayId": one["RequesterTgwInfo"]["TransitGatewayId"],
            "peerAccountId": one["RequesterTgwInfo"]["OwnerId"],
            "tags": state.get("tags") or {},
        }

    def update(self, aws: Aws, identity: str, old: Values, new: Values, changed: set[str]) -> None:
        self.complete(aws, identity, new)

    def delete(self, aws: Aws, identity: str, state: Values) -> None:
        """Nothing: who asked for the peering ends it."""


class Route(Kind):
    type = "aws:ec2transitgateway/route:Route"
    noun = "EC2 Transit Gateway Route"
    required = ("destinationCidrBlock", "transitGatewayRouteTableId")
    inputs = ("transitGatewayAttachmentId",)
    tagged = False

    def create(self, aws: Aws, inputs: Values) -> str:
        table, destination = inputs["transitGatewayRouteTableId"], inputs["destinationCidrBlock"]
        aws.ec2.create_transit_gateway_route(
            TransitGatewayRouteTableId=table,
            DestinationCidrBlock=destination,
            TransitGatewayAttachmentId=inputs["transitGatewayAttachmentId"],
        )
        return f"{table}_{destination}"

    def read(self, aws: Aws, identity: str, state: Values) -> Values | None:
        table, _, destination = identity.partition("_")
        answer = aws.ec2.search_transit_gateway_routes(
            TransitGatewayRouteTableId=table,
            Filters=[{"Name": "route-search.exact-match", "Values": [destination]}],
        )
        for one in answer["Routes"]:
            attached = one.get("TransitGatewayAttachments") or [{}]
            return {
                "transitGatewayRouteTableId": table,
                "destinationCidrBlock": destination,
                "transitGatewayAttachmentId": attached[0].get("TransitGatewayAttachmentId", ""),
            }
        return None

    def delete(self, aws: Aws, identity: str, state: Values) -> None:
        if self.read(aws, identity, state):
            table, _, destination = identity.partition("_")
            aws.ec2.delete_transit_gateway_route(
                TransitGatewayRouteTableId=table, DestinationCidrBlock=destination
            )
