"""Endpoints: AWS services reached from inside a network."""

from __future__ import annotations

from typing import Any

from tests.cloud.kinds.base import Aws, Kind, Values, given, gone_is_none, retag, specification, tag_map

MISSING = ("InvalidVpcEndpointId.NotFound",)


class VpcEndpoint(Kind):
    type = "aws:ec2/vpcEndpoint:VpcEndpoint"
    noun = "EC2 VPC Endpoint"
    required = ("vpcId",)
    inputs = ("serviceName",)
    computed = frozenset({"policy", "routeTableIds", "securityGroupIds", "subnetIds"})
    changes = frozenset(
        {"policy", "privateDnsEnabled", "routeTableIds", "securityGroupIds", "subnetIds", "tags"}
    )
    defaults = {"vpcEndpointType": "Gateway", "privateDnsEnabled": False}  # noqa: RUF012

    def create(self, aws: Aws, inputs: Values) -> str:
        made = aws.ec2.create_vpc_endpoint(
            VpcId=inputs["vpcId"],
            ServiceName=inputs["serviceName"],
            VpcEndpointType=inputs["vpcEndpointType"],
            PrivateDnsEnabled=inputs["privateDnsEnabled"],
            **given(
                RouteTableIds=inputs.get("routeTableIds"),
                SubnetIds=inputs.get("subnetIds"),
                SecurityGroupIds=inputs.get("securityGroupIds"),
                PolicyDocument=inputs.get("policy"),
            ),
            **specification("vpc-endpoint", inputs.get("tags")),
        )
        return made["VpcEndpoint"]["VpcEndpointId"]

    def read(self, aws: Aws, identity: str, state: Values) -> Values | None:
        found = gone_is_none(lambda: aws.ec2.describe_vpc_endpoints(VpcEndpointIds=[identity]), *MISSING)
        alive = [one for one in found["VpcEndpoints"] if one["State"] != "deleted"] if found else []
        if not alive:
            return None
        one = alive[0]
        groups = [group["GroupId"] if isinstance(group, dict) else group for group in one.get("Groups") or []]
        return {
            "arn": f"arn:aws:ec2:{aws.region}:{aws.account}:vpc-endpoint/{identity}",
            "vpcId": one["VpcId"],
            "serviceName": one["ServiceName"],
            "vpcEndpointType": one["VpcEndpointType"],
            "state": one["State"],
            "privateDnsEnabled": one.get("PrivateDnsEnabled", False),
            "routeTableIds": sorted(one.get("RouteTableIds") or []),
            "subnetIds": sorted(one.get("SubnetIds") or []),
            "securityGroupIds": sorted(groups) or state.get("securityGroupIds", []),
            "policy": one.get("PolicyDocument") or "",
            "prefixListId": _prefix_list(aws, one),
            "tags": tag_map(one.get("Tags")),
        }

    def update(self, aws: Aws, identity: str, old: Values, new: Values, changed: set[str]) -> None:
        arguments: Values = {}
        lists = {
            "routeTableIds": "RouteTableIds",
            "subnetIds": "SubnetIds",
            "securityGroupIds": "SecurityGroupIds",
        }
        for key, name in lists.items():
            before, after = set(old.get(key) or []), set(new.get(key) or [])
            if after - before:
                arguments[f"Add{name}"] = sorted(after - before)
            if before - after:
                arguments[f"Remove{name}"] = sorted(before - after)
        if "policy" in changed:
            arguments["PolicyDocument"] = new.get("policy", "")
        if "privateDnsEnabled" in changed:
            arguments["PrivateDnsEnabled"] = new["privateDnsEnabled"]
        if arguments:
            aws.ec2.modify_vpc_endpoint(VpcEndpointId=identity, **arguments)
        retag(aws, identity, old, new)

    def delete(self, aws: Aws, identity: str, state: Values) -> None:
        gone_is_none(lambda: aws.ec2.delete_vpc_endpoints(VpcEndpointIds=[identity]), *MISSING)


def _prefix_list(aws: Aws, one: Any) -> str:
    """The list of addresses that a gateway endpoint leads to, for rules and routes."""
    if one["VpcEndpointType"] != "Gateway":
        return ""
    filters = [{"Name": "prefix-list-name", "Values": [one["ServiceName"]]}]
    found = aws.ec2.describe_managed_prefix_lists(Filters=filters)["PrefixLists"]
    return str(found[0]["PrefixListId"]) if found else ""
