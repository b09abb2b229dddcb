"""The network of a datacenter: a VPC with a private subnet a rack, or one that is there already.

Invariant: no subnet of a rack gives public addresses, and none has a route from the internet: gateways, and a load
balancer that was asked to face the internet, stand in small subnets of their own, where no machine is. What is there already is named by id and left as it is.
"""

from __future__ import annotations

from typing import Any, Final

import pulumi
import pulumi_aws as aws

from kdeploy.blueprint import Place, SubnetPlace
from kdeploy.infra.aws.site import Site

EVERYWHERE: Final = "0.0.0.0/0"
"""Of routes out alone: nothing is ever let in from there."""


class Network(pulumi.ComponentResource):
    """A VPC with its subnets and ways out.

    Attributes:
        vpc_id: Its id.
        subnets: Ids of the racks' subnets.
        route_tables: Ids of their route tables; empty where the VPC was there already.
        objects: Id of the prefix list of S3, that machines reach by a gateway; None where they do not.
        open_subnets: Ids, by rack, of subnets that the internet reaches and where a load balancer stands.
        open_routes: What has to be there before it is reached.
        ready: What has to be there before a machine of a rack can fetch anything.
    """

    def __init__(self, site: Site, place: Place) -> None:
        super().__init__("kdeploy:aws:Network", site.name("network"))
        self._site, self._place = site, place
        self.subnets: dict[str, pulumi.Input[str]] = {}
        self.route_tables: dict[str, pulumi.Output[str]] = {}
        self.open_subnets: dict[str, pulumi.Output[str]] = {}
        self.open_routes: list[pulumi.Resource] = []
        self.objects: pulumi.Output[str] | None = None
        self.ready: dict[str, list[pulumi.Resource]] = {one.rack: [] for one in place.subnets}
        self.vpc_id: pulumi.Input[str]
        if place.vpc is not None:
            self.vpc_id = place.vpc
            self.subnets = {one.rack: str(one.id) for one in place.subnets}
        else:
            self.vpc_id = self._vpc()
            for subnet in place.subnets:
                self._private(subnet)
            if any(one.open_range for one in place.subnets):
                self._ways_out()
            self._endpoint_of_s3()
        self.register_outputs({"vpc": self.vpc_id, "subnets": self.subnets})

    def _of(self, *parts: str) -> dict[str, Any]:
        """What a resource's constructor takes besides what it is: name and tags."""
        name = self._site.name(*parts)
        return {"resource_name": name, "tags": self._site.tags(name)}

    def _below(self, **options: Any) -> pulumi.ResourceOptions:  # noqa: ANN401
        return self._site.below(self, **options)

    def _vpc(self) -> pulumi.Output[str]:
        vpc = aws.ec2.Vpc(
            **self._of("vpc"),
            cidr_block=self._place.cidr,
            enable_dns_hostnames=True,  # private zones need both (Route 53 Developer Guide, private hosted zones)
            enable_dns_support=True,
            opts=self._below(),
        )
        found: pulumi.Output[str] = vpc.id
        return found

    def _private(self, place: SubnetPlace) -> None:
        subnet = aws.ec2.Subnet(
            **self._of("subnet", place.rack),
            vpc_id=self.vpc_id,
            cidr_block=place.cidr,
            availability_zone=place.zone,
            map_public_ip_on_launch=False,
            opts=self._below(),
        )
        table = aws.ec2.RouteTable(**self._of("routes", place.rack), vpc_id=self.vpc_id, opts=self._below())
        tied = aws.ec2.RouteTableAssociation(
            self._site.name("routes", place.rack),
            subnet_id=subnet.id,
            route_table_id=table.id,
            opts=self._below(),
        )
        self.ready[place.rack].append(tied)
        self.subnets[place.rack] = subnet.id
        self.route_tables[place.rack] = table.id

    def _ways_out(self) -> None:
        """A gateway to the internet, one for addresses in each zone that has its own, and each rack's route to it."""
        internet = aws.ec2.InternetGateway(**self._of("internet"), vpc_id=self.vpc_id, opts=self._below())
        table = aws.ec2.RouteTable(**self._of("routes", "gateways"), vpc_id=self.vpc_id, opts=self._below())
        out = aws.ec2.Route(
            self._site.name("gateways", "out"),
            route_table_id=table.id,
            destination_cidr_block=EVERYWHERE,
            gateway_id=internet.id,
            opts=self._below(),
        )
        self.open_routes.append(out)
        gateways = {}
        for one in (each for each in self._place.subnets if each.open_range):
            subnet = self._open(one, table)
            if one.public:
                self.open_subnets[one.rack] = subnet
            if one.gateway:
                gateways[one.rack] = self._gateway(one, subnet, internet)
        if not gateways:
            return
        shared = next(iter(gateways.values()))
        for one in self._place.subnets:
            route = aws.ec2.Route(
                self._site.name("out", one.rack),
                route_table_id=self.route_tables[one.rack],
                destination_cidr_block=EVERYWHERE,
                nat_gateway_id=gateways.get(one.rack, shared),
                opts=self._below(),
            )
            self.ready[one.rack].append(route)

    def _open(self, place: SubnetPlace, table: aws.ec2.RouteTable) -> pulumi.Output[str]:
        """A small subnet with a route to the internet, for gateways and load balancers."""
        subnet = aws.ec2.Subnet(
            **self._of("gateway", place.rack),
            vpc_id=self.vpc_id,
            cidr_block=place.open_range,
            availability_zone=place.zone,
            map_public_ip_on_launch=False,
            opts=self._below(),
        )
        tied = aws.ec2.RouteTableAssociation(
            self._site.name("gateway", place.rack),
            subnet_id=subnet.id,
            route_table_id=table.id,
            opts=self._below(),
        )
        self.open_routes.append(tied)
        found: pulumi.Output[str] = subnet.id
        return found

    def _gateway(
        self, place: SubnetPlace, subnet: pulumi.Input[str], internet: aws.ec2.InternetGateway
    ) -> pulumi.Output[str]:
        address = aws.ec2.Eip(**self._of("gateway", place.rack), domain="vpc", opts=self._below())
        gateway = aws.ec2.NatGateway(
            **self._of("gateway", place.rack),
            subnet_id=subnet,
            allocation_id=address.id,
            # It works only in a VPC that has a gateway to the internet (Amazon VPC User Guide, NAT gateway basics).
            opts=self._below(depends_on=[internet]),
        )
        found: pulumi.Output[str] = gateway.id
        return found

    def _endpoint_of_s3(self) -> None:
        """S3 without the internet, at no price (Amazon VPC User Guide, Gateway endpoints for Amazon S3)."""
        endpoint = aws.ec2.VpcEndpoint(
            **self._of("s3"),
            vpc_id=self.vpc_id,
            service_name=f"com.amazonaws.{self._site.region}.s3",
            vpc_endpoint_type="Gateway",
            route_table_ids=list(self.route_tables.values()),
            opts=self._below(),
        )
        self.objects = endpoint.prefix_list_id
        for rack in self.ready:
            self.ready[rack].append(endpoint)
