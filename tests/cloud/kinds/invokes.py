"""What a program may ask AWS while it runs: accounts, zones, images, parameters."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any, Final

from tests.cloud.kinds.base import Aws, Refused, Values, tag_map


def caller_identity(aws: Aws, arguments: Values) -> Values:
    found = aws.client("sts").get_caller_identity()
    return {
        "accountId": found["Account"],
        "arn": found["Arn"],
        "userId": found["UserId"],
        "id": found["Account"],
    }


def availability_zones(aws: Aws, arguments: Values) -> Values:
    filters = [{"Name": one["name"], "Values": one["values"]} for one in arguments.get("filters") or []]
    if arguments.get("state"):
        filters.append({"Name": "state", "Values": [arguments["state"]]})
    zones = aws.ec2.describe_availability_zones(Filters=filters)["AvailabilityZones"]
    return {
        **arguments,
        "id": aws.region,
        "names": [zone["ZoneName"] for zone in zones],
        "zoneIds": [zone["ZoneId"] for zone in zones],
        "groupNames": sorted({zone.get("GroupName", aws.region) for zone in zones}),
    }


def parameter(aws: Aws, arguments: Values) -> Values:
    found = aws.client("ssm").get_parameter(
        Name=arguments["name"], WithDecryption=arguments.get("withDecryption", True)
    )["Parameter"]
    return {
        **arguments,
        "id": found["Name"],
        "arn": found.get("ARN", ""),
        "name": found["Name"],
        "type": found["Type"],
        "value": found["Value"],
        "insecureValue": found["Value"],
        "version": found["Version"],
    }


def image(aws: Aws, arguments: Values) -> Values:
    filters = [{"Name": one["name"], "Values": one["values"]} for one in arguments.get("filters") or []]
    wanted: dict[str, Any] = {"Filters": filters}
    if arguments.get("owners"):
        wanted["Owners"] = arguments["owners"]
    found = aws.ec2.describe_images(**wanted)["Images"]
    if not found:
        raise Refused("Your query returned no results. Please change your search criteria and try again.")
    if len(found) > 1 and not arguments.get("mostRecent"):
        raise Refused("Your query returned more than one result. Please try a more specific search criteria")
    one = max(found, key=lambda each: each["CreationDate"])
    return {
        **arguments,
        "id": one["ImageId"],
        "imageId": one["ImageId"],
        "name": one.get("Name", ""),
        "architecture": one["Architecture"],
        "creationDate": one["CreationDate"],
        "ownerId": one["OwnerId"],
        "rootDeviceName": one["RootDeviceName"],
        "tags": tag_map(one.get("Tags")),
    }


def region(aws: Aws, arguments: Values) -> Values:
    return {"id": aws.region, "name": aws.region, "region": aws.region, "description": aws.region}


def partition(aws: Aws, arguments: Values) -> Values:
    return {
        "id": "aws",
        "partition": "aws",
        "dnsSuffix": "amazonaws.com",
        "reverseDnsPrefix": "com.amazonaws",
    }


def network(aws: Aws, arguments: Values) -> Values:
    found = aws.ec2.describe_vpcs(VpcIds=[arguments["id"]])["Vpcs"]
    one = found[0]
    return {**arguments, "id": one["VpcId"], "cidrBlock": one["CidrBlock"], "tags": tag_map(one.get("Tags"))}


def subnet(aws: Aws, arguments: Values) -> Values:
    (one,) = aws.ec2.describe_subnets(SubnetIds=[arguments["id"]])["Subnets"]
    return {
        **arguments,
        "id": one["SubnetId"],
        "vpcId": one["VpcId"],
        "cidrBlock": one["CidrBlock"],
        "availabilityZone": one["AvailabilityZone"],
        "availabilityZoneId": one["AvailabilityZoneId"],
        "tags": tag_map(one.get("Tags")),
    }


def prefix_list(aws: Aws, arguments: Values) -> Values:
    filters = [{"Name": "prefix-list-name", "Values": [arguments["name"]]}]
    found = aws.ec2.describe_managed_prefix_lists(Filters=filters)["PrefixLists"]
    if not found:
        raise Refused("no matching EC2 Managed Prefix List found")
    (one,) = found
    return {**arguments, "id": one["PrefixListId"], "name": one["PrefixListName"], "entries": []}


def policy_document(aws: Aws, arguments: Values) -> Values:
    import json

    statements = [_statement(one) for one in arguments.get("statements") or []]
    text = json.dumps({"Version": "2012-10-17", "Statement": statements}, indent=2)
    return {**arguments, "id": uuid.uuid5(uuid.NAMESPACE_OID, text).hex, "json": text, "minifiedJson": text}


def _statement(one: Values) -> dict[str, Any]:
    made: dict[str, Any] = {"Effect": one.get("effect", "Allow"), "Action": one.get("actions") or []}
    if one.get("sid"):
        made["Sid"] = one["sid"]
    if one.get("resources"):
        made["Resource"] = one["resources"]
    if one.get("principals"):
        made["Principal"] = {each["type"]: each["identifiers"] for each in one["principals"]}
    for each in one.get("conditions") or []:
        made.setdefault("Condition", {}).setdefault(each["test"], {})[each["variable"]] = each["values"]
    return made


INVOKES: Final[dict[str, Callable[[Aws, Values], Values]]] = {
    "aws:index/getCallerIdentity:getCallerIdentity": caller_identity,
    "aws:index/getAvailabilityZones:getAvailabilityZones": availability_zones,
    "aws:index/getRegion:getRegion": region,
    "aws:index/getPartition:getPartition": partition,
    "aws:ssm/getParameter:getParameter": parameter,
    "aws:ec2/getAmi:getAmi": image,
    "aws:ec2/getVpc:getVpc": network,
    "aws:ec2/getSubnet:getSubnet": subnet,
    "aws:ec2/getManagedPrefixList:getManagedPrefixList": prefix_list,
    "aws:iam/getPolicyDocument:getPolicyDocument": policy_document,
}
