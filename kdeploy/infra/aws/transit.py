"""Two networks joined by transit gateways: one for a region, and a peering between two where there are two regions.

Invariant: a gateway leads to the two networks that are attached to it, or to the other gateway, and to nothing else
that is made here; what somebody else attaches to it is theirs. What may be called is still the security groups' to say.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import pulumi
import pulumi_aws as aws

if TYPE_CHECKING:
    from kdeploy.infra.aws.peering import Side

ASN: Final = 64512
"""Autonomous system number of the first gateway; the second one has the next: of gateways that are peered each is to
have its own, and this is the first of 16 bits that are private (RFC 6996; Amazon VPC Transit Gateways, Transit gateway
peering attachments, 2026-11)."""


@dataclass(frozen=True)
class Way:
    """What a side's routes to the other lead through.

    Attributes:
        target: As `aws.ec2.Route` has it.
        ready: What has to be there before it leads anywhere.
    """

    target: Mapping[str, pulumi.Input[str]]
    ready: tuple[pulumi.Resource, ...]


def ways(parent: pulumi.Resource, asking: Side, accepting: Side) -> tuple[Way, Way]:
    """Declare gateways and attachments; the way of the first side, and that of the second."""
    first = _gateway(parent, asking, ASN)
    own = _attachment(parent, asking, first)
    if asking.site.region == accepting.site.region:
        other = _attachment(parent, accepting, first)
        # A gateway's own table learns the networks that are attached to it.
        way = Way({"transit_gateway_id": first.id}, (own, other))
        return way, way
    second = _gateway(parent, accepting, ASN + 1)
    other = _attachment(parent, accepting, second)
    peered = _peered(parent, asking, accepting, first, second)
    there = _to_peer(parent, asking, accepting, first, peered)
    back = _to_peer(parent, accepting, asking, second, peered)
    return (
        Way({"transit_gateway_id": first.id}, (own, there)),
        Way({"transit_gateway_id": second.id}, (other, back)),
    )


def _gateway(parent: pulumi.Resource, side: Side, number: int) -> aws.ec2transitgateway.TransitGateway:
    name = side.site.name("transit")
    return aws.ec2transitgateway.TransitGateway(
        name,
        description=f"{side.site.environment} in {side.site.region}",
        amazon_side_asn=number,
        auto_accept_shared_attachments="disable",
        default_route_table_association="enable",
        default_route_table_propagation="enable",
        dns_support="enable",
        tags=side.site.tags(name),
        opts=side.site.below(parent),
    )


def _attachment(
    parent: pulumi.Resource, side: Side, gateway: aws.ec2transitgateway.TransitGateway
) -> aws.ec2transitgateway.VpcAttachment:
    """A network at a gateway, in every zone: machines of a zone without a subnet of it would not get there."""
    name = side.site.name("transit")
    return aws.ec2transitgateway.VpcAttachment(
        name,
        transit_gateway_id=gateway.id,
        vpc_id=side.network.vpc_id,
        subnet_ids=list(side.network.subnets.values()),
        dns_support="enable",
        tags=side.site.tags(name),
        opts=side.site.below(parent),
    )


def _peered(
    parent: pulumi.Resource,
    asking: Side,
    accepting: Side,
    first: aws.ec2transitgateway.TransitGateway,
    second: aws.ec2transitgateway.TransitGateway,
) -> aws.ec2transitgateway.PeeringAttachmentAccepter:
    """Two gateways joined, as the second one accepted it."""
    name = asking.site.name("to", accepting.site.datacenter)
    asked = aws.ec2transitgateway.PeeringAttachment(
        name,
        transit_gateway_id=first.id,
        peer_transit_gateway_id=second.id,
        peer_region=accepting.site.region,
        tags=asking.site.tags(name),
        opts=asking.site.below(parent),
    )
    return aws.ec2transitgateway.PeeringAttachmentAccepter(
        name,
        transit_gateway_attachment_id=asked.id,
        tags=accepting.site.tags(name),
        opts=accepting.site.below(parent),
    )


def _to_peer(
    parent: pulumi.Resource,
    own: Side,
    other: Side,
    gateway: aws.ec2transitgateway.TransitGateway,
    peered: aws.ec2transitgateway.PeeringAttachmentAccepter,
) -> aws.ec2transitgateway.Route:
    """A gateway's route to the other one: from a peering it learns none (ibid.)."""
    return aws.ec2transitgateway.Route(
        own.site.name("to", other.site.datacenter),
        destination_cidr_block=other.cidr,
        transit_gateway_attachment_id=peered.transit_gateway_attachment_id,
        transit_gateway_route_table_id=gateway.association_default_route_table_id,
        opts=own.site.below(parent, depends_on=[peered]),
    )
