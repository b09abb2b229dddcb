"""Networks: VPC, subnets, gateways, route tables, routes, peering."""

from __future__ import annotations

from typing import Any

from tests.cloud.kinds.base import Aws, Kind, Values, given, gone_is_none, retag, specification, tag_map


class Vpc(Kind):
    type = "aws:ec2/vpc:Vpc"
    noun = "EC2 VPC"
    inputs = ("cidrBlock",)
    changes = frozenset({"enableDnsHostnames", "enableDnsSupport", "tags"})
    defaults = {"instanceTenancy": "default", "enableDnsSupport": True, "enableDnsHostnames": False}  # noqa: RUF012

    def create(self, aws: Aws, inputs: Values) -> str:
        made = aws.ec2.create_vpc(
            CidrBlock=inputs["cidrBlock"],
            InstanceTenancy=inputs["instanceTenancy"],
            **specification("vpc", inputs.get("tags")),
        )
        return made["Vpc"]["VpcId"]

    def complete(self, aws: Aws, identity: str, inputs: Values) -> None:
        for key in ("enableDnsSupport", "enableDnsHostnames"):
            name = key[0].upper() + key[1:]
            aws.ec2.modify_vpc_attribute(VpcId=identity, **{name: {"Value": inputs[key]}})

    def read(self, aws: Aws, identity: str, state: Values) -> Values | None:
        found = gone_is_none(lambda: aws.ec2.describe_vpcs(VpcIds=[identity]), "InvalidVpcID.NotFound")
        if not found:
            return None
        (vpc,) = found["Vpcs"]
        filters = [{"Name": "vpc-id", "Values": [identity]}]
        tables = aws.ec2.describe_route_tables(
            Filters=[*filters, {"Name": "association.main", "Values": ["true"]}]
        )["RouteTables"]
        groups = aws.ec2.describe_security_groups(
            Filters=[*filters, {"Name": "group-name", "Values": ["default"]}]
        )["SecurityGroups"]
        return {
            "arn": f"arn:aws:ec2:{aws.region}:{vpc['OwnerId']}:vpc/{identity}",
            "cidrBlock": vpc["CidrBlock"],
            "instanceTenancy": vpc["InstanceTenancy"],
            "enableDnsSupport": self._attribute(aws, identity, "enableDnsSupport"),
            "enableDnsHostnames": self._attribute(aws, identity, "enableDnsHostnames"),
            "mainRouteTableId": tables[0]["RouteTableId"] if tables else "",
            "defaultRouteTableId": tables[0]["RouteTableId"] if tables else "",
            "defaultSecurityGroupId": groups[0]["GroupId"] if groups else "",
            "ownerId": vpc["OwnerId"],
            "tags": tag_map(vpc.get("Tags")),
        }

    @staticmethod
    def _attribute(aws: Aws, identity: str, name: str) -> bool:
        answer = aws.ec2.describe_vpc_attribute(VpcId=identity, Attribute=name)
        return bool(answer[name[0].upper() + name[1:]]["Value"])

    def update(self, aws: Aws, identity: str, old: Values, new: Values, changed: set[str]) -> None:
        for key in changed & {"enableDnsSupport", "enableDnsHostnames"}:
            name = key[0].upper() + key[1:]
            aws.ec2.modify_vpc_attribute(VpcId=identity, **{name: {"Value": new[key]}})
        retag(aws, identity, old, new)

    def delete(self, aws: Aws, identity: str, state: Values) -> None:
        gone_is_none(lambda: aws.ec2.delete_vpc(VpcId=identity), "InvalidVpcID.NotFound")


class Subnet(Kind):
    type = "aws:ec2/subnet:Subnet"
    noun = "EC2 Subnet"
    required = ("vpcId",)
    inputs = ("availabilityZone", "cidrBlock")
    computed = frozenset({"availabilityZone", "availabilityZoneId"})
    changes = frozenset({"mapPublicIpOnLaunch", "tags"})
    defaults = {"mapPublicIpOnLaunch": False}  # noqa: RUF012

    def create(self, aws: Aws, inputs: Values) -> str:
        made = aws.ec2.create_subnet(
            VpcId=inputs["vpcId"],
            CidrBlock=inputs["cidrBlock"],
            **given(
                AvailabilityZone=inputs.get("availabilityZone"),
                AvailabilityZoneId=inputs.get("availabilityZoneId"),
            ),
            **specification("subnet", inputs.get("tags")),
        )
        return made["Subnet"]["SubnetId"]

    def complete(self, aws: Aws, identity: str, inputs: Values) -> None:
        aws.ec2.modify_subnet_attribute(
            SubnetId=identity, MapPublicIpOnLaunch={"Value": inputs["mapPublicIpOnLaunch"]}
        )

    def read(self, aws: Aws, identity: str, state: Values) -> Values | None:
        found = gone_is_none(
            lambda: aws.ec2.describe_subnets(SubnetIds=[identity]), "InvalidSubnetID.NotFound"
        )
        if not found:
            return None
        (subnet,) = found["Subnets"]
        return {
            "arn": subnet["SubnetArn"],
            "vpcId": subnet["VpcId"],
            "cidrBlock": subnet["CidrBlock"],
            "availabilityZone": subnet["AvailabilityZone"],
            "availabilityZoneId": subnet["AvailabilityZoneId"],
            "mapPublicIpOnLaunch": subnet["MapPublicIpOnLaunch"],
            "ownerId": subnet["OwnerId"],
            "tags": tag_map(subnet.get("Tags")),
        }

    def update(self, aws: Aws, identity: str, old: Values, new: Values, changed: set[str]) -> None:
        if "mapPublicIpOnLaunch" in changed:
            self.complete(aws, identity, new)
        retag(aws, identity, old, new)

    def delete(self, aws: Aws, identity: str, state: Values) -> None:
        gone_is_none(lambda: aws.ec2.delete_subnet(SubnetId=identity), "InvalidSubnetID.NotFound")


class InternetGateway(Kind):
    type = "aws:ec2/internetGateway:InternetGateway"
    noun = "EC2 Internet Gateway"
    changes = frozenset({"vpcId", "tags"})

    def create(self, aws: Aws, inputs: Values) -> str:
        made = aws.ec2.create_internet_gateway(**specification("internet-gateway", inputs.get("tags")))
        return made["InternetGateway"]["InternetGatewayId"]

    def complete(self, aws: Aws, identity: str, inputs: Values) -> None:
        if inputs.get("vpcId"):
            aws.ec2.attach_internet_gateway(InternetGatewayId=identity, VpcId=inputs["vpcId"])

    def read(self, aws: Aws, identity: str, state: Values) -> Values | None:
        found = gone_is_none(
            lambda: aws.ec2.describe_internet_gateways(InternetGatewayIds=[identity]),
            "InvalidInternetGatewayID.NotFound",
        )
        if not found:
            return None
        (gateway,) = found["InternetGateways"]
        attached = [one["VpcId"] for one in gateway.get("Attachments", [])]
        owner = gateway.get("OwnerId", "")
        return {
            "arn": f"arn:aws:ec2:{aws.region}:{owner}:internet-gateway/{identity}",
            "vpcId": attached[0] if attached else "",
            "ownerId": owner,
            "tags": tag_map(gateway.get("Tags")),
        }

    def update(self, aws: Aws, identity: str, old: Values, new: Values, changed: set[str]) -> None:
        if "vpcId" in changed:
            if old.get("vpcId"):
                aws.ec2.detach_internet_gateway(InternetGatewayId=identity, VpcId=old["vpcId"])
            self.complete(aws, identity, new)
        retag(aws, identity, old, new)

    def delete(self, aws: Aws, identity: str, state: Values) -> None:
        missing = ("InvalidInternetGatewayID.NotFound", "Gateway.NotAttached")
        if state.get("vpcId"):
            gone_is_none(
                lambda: aws.ec2.detach_internet_gateway(InternetGatewayId=identity, VpcId=state["vpcId"]),
                *missing,
            )
        gone_is_none(lambda: aws.ec2.delete_internet_gateway(InternetGatewayId=identity), *missing)


class RouteTable(Kind):
    type = "aws:ec2/routeTable:RouteTable"
    noun = "EC2 Route Table"
    required = ("vpcId",)
    changes = frozenset({"tags"})

    def check(self, inputs: Values) -> list[tuple[str, str]]:
        return (
            [("routes", "routes inside a table are not emulated: use ec2.Route")]
            if inputs.get("routes")
            else []
        )

    def create(self, aws: Aws, inputs: Values) -> str:
        made = aws.ec2.create_route_table(
            VpcId=inputs["vpcId"], **specification("route-table", inputs.get("tags"))
        )
        return made["RouteTable"]["RouteTableId"]

    def read(self, aws: Aws, identity: str, state: Values) -> Values | None:
        table = route_table(aws, identity)
        if table is None:
            return None
        return {
            "arn": f"arn:aws:ec2:{aws.region}:{table['OwnerId']}:route-table/{identity}",
            "vpcId": table["VpcId"],
            "ownerId": table["OwnerId"],
            "tags": tag_map(table.get("Tags")),
        }

    def update(self, aws: Aws, identity: str, old: Values, new: Values, changed: set[str]) -> None:
        retag(aws, identity, old, new)

    def delete(self, aws: Aws, identity: str, state: Values) -> None:
        gone_is_none(
            lambda: aws.ec2.delete_route_table(RouteTableId=identity), "InvalidRouteTableID.NotFound"
        )


TARGETS = {
    "gatewayId": "GatewayId",
    "natGatewayId": "NatGatewayId",
    "vpcPeeringConnectionId": "VpcPeeringConnectionId",
    "transitGatewayId": "TransitGatewayId",
    "networkInterfaceId": "NetworkInterfaceId",
}
"""What a route may lead to: Pulumi's name and AWS's."""


class Route(Kind):
    type = "aws:ec2/route:Route"
    noun = "EC2 Route"
    required = ("routeTableId",)
    inputs = ("destinationCidrBlock",)
    changes = frozenset(TARGETS)
    tagged = False

    def create(self, aws: Aws, inputs: Values) -> str:
        aws.ec2.create_route(**self._arguments(inputs))
        return route_id(inputs["routeTableId"], inputs["destinationCidrBlock"])

    @staticmethod
    def _arguments(inputs: Values) -> Values:
        targets = {theirs: inputs[ours] for ours, theirs in TARGETS.items() if inputs.get(ours)}
        return {
            "RouteTableId": inputs["routeTableId"],
            "DestinationCidrBlock": inputs["destinationCidrBlock"],
            **targets,
        }

    def read(self, aws: Aws, identity: str, state: Values) -> Values | None:
        table_id, destination = state.get("routeTableId"), state.get("destinationCidrBlock")
        if not table_id:
            table_id, _, destination = identity.partition("_")
        table = route_table(aws, table_id)
        routes = table["Routes"] if table else []
        for one in routes:
            if one.get("DestinationCidrBlock") == destination:
                return {
                    "routeTableId": table_id,
                    "destinationCidrBlock": destination,
                    "origin": one["Origin"],
                    "state": one["State"],
                    **{ours: one.get(theirs, "") for ours, theirs in TARGETS.items()},
                }
        return None

    def update(self, aws: Aws, identity: str, old: Values, new: Values, changed: set[str]) -> None:
        aws.ec2.replace_route(**self._arguments(new))

    def delete(self, aws: Aws, identity: str, state: Values) -> None:
        gone_is_none(
            lambda: aws.ec2.delete_route(
                RouteTableId=state["routeTableId"], DestinationCidrBlock=state["destinationCidrBlock"]
            ),
            "InvalidRoute.NotFound",
            "InvalidRouteTableID.NotFound",
        )


def route_id(table: str, destination: str) -> str:
    """The id that the real provider gives a route: the destination's checksum behind the table."""
    import zlib

    return f"r-{table}{zlib.crc32(destination.encode())}"


def route_table(aws: Aws, identity: str) -> Any:
    """A route table as AWS describes it; None when there is none."""
    found = gone_is_none(
        lambda: aws.ec2.describe_route_tables(RouteTableIds=[identity]), "InvalidRouteTableID.NotFound"
    )
    return found["RouteTables"][0] if found and found["RouteTables"] else None


class RouteTableAssociation(Kind):
    type = "aws:ec2/routeTableAssociation:RouteTableAssociation"
    noun = "EC2 Route Table Association"
    required = ("routeTableId",)
    inputs = ("subnetId",)
    tagged = False

    def create(self, aws: Aws, inputs: Values) -> str:
        made = aws.ec2.associate_route_table(RouteTableId=inputs["routeTableId"], SubnetId=inputs["subnetId"])
        return made["AssociationId"]

    def read(self, aws: Aws, identity: str, state: Values) -> Values | None:
        table_id, subnet = state.get("routeTableId"), None
        if not table_id:
            subnet, _, table_id = identity.partition("/")
        table = route_table(aws, table_id)
        for one in table["Associations"] if table else []:
            if identity == one["RouteTableAssociationId"] or (subnet and subnet == one.get("SubnetId")):
                return {
                    "id": one["RouteTableAssociationId"],
                    "routeTableId": table_id,
                    "subnetId": one.get("SubnetId", ""),
                }
        return None

    def delete(self, aws: Aws, identity: str, state: Values) -> None:
        gone_is_none(
            lambda: aws.ec2.disassociate_route_table(AssociationId=identity), "InvalidAssociationID.NotFound"
        )
