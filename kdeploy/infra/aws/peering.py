"""Two datacenters joined: each VPC reached from the other's subnets, by a peering or a gateway; names answered in both.

Invariant: routes lead to the other VPC's range alone, and what may be called there is still the security groups' to
say. Both are in one account; regions may differ.
"""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from kdeploy.infra.aws import transit
from kdeploy.infra.aws.network import Network
from kdeploy.infra.aws.site import Site
from kdeploy.infra.aws.transit import Way
from kdeploy.spec.aws import Join


@dataclass(frozen=True)
class Side:
    """One of the two.

    Attributes:
        site: Where its resources belong.
        cidr: Range of its VPC.
        network: Its network.
        zone_id: Its zone of names.
    """

    site: Site
    cidr: str
    network: Network
    zone_id: pulumi.Input[str]


class Peering(pulumi.ComponentResource):
    """What joins them: the first one asks, the second one accepts.

    Whatever leads from one to the other, routes are called the same, so that another way takes them over in place.
    """

    def __init__(self, asking: Side, accepting: Side, by: Join = "peering") -> None:
        name = asking.site.name("to", accepting.site.datacenter)
        super().__init__("kdeploy:aws:Peering", name)
        if by == "transit-gateway":
            there, back = transit.ways(self, asking, accepting)
        else:
            there = back = self._peered(name, asking, accepting)
        self._join(asking, accepting, there)
        self._join(accepting, asking, back)
        self.register_outputs({"there": dict(there.target), "back": dict(back.target)})

    def _peered(self, name: str, asking: Side, accepting: Side) -> Way:
        """A peering of the two networks, as it was accepted."""
        far = asking.site.region != accepting.site.region
        connection = aws.ec2.VpcPeeringConnection(
            name,
            vpc_id=asking.network.vpc_id,
            peer_vpc_id=accepting.network.vpc_id,
            peer_region=accepting.site.region if far else None,
            auto_accept=not far,
            tags=asking.site.tags(name),
            opts=asking.site.below(self),
        )
        accepted: pulumi.CustomResource = connection
        if far:  # within a region both would be one thing in AWS, and fight over its tags
            accepted = aws.ec2.VpcPeeringConnectionAccepter(
                name,
                vpc_peering_connection_id=connection.id,
                auto_accept=True,
                tags=accepting.site.tags(name),
                opts=accepting.site.below(self),
            )
        # Only one that was accepted leads anywhere.
        return Way({"vpc_peering_connection_id": accepted.id}, (accepted,))

    def _join(self, own: Side, other: Side, way: Way) -> None:
        """One side's routes to the other, and the other's names answered in it."""
        for rack, table in own.network.route_tables.items():
            aws.ec2.Route(
                own.site.name("to", other.site.datacenter, rack),
                route_table_id=table,
                destination_cidr_block=other.cidr,
                opts=own.site.below(self, depends_on=list(way.ready)),
                **way.target,
            )
        aws.route53.ZoneAssociation(
            other.site.name("names", "in", own.site.datacenter),
            zone_id=other.zone_id,
            vpc_id=own.network.vpc_id,
            vpc_region=own.site.region,
            opts=other.site.below(self),
        )
