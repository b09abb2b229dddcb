"""Security groups and their rules, each rule a resource of its own."""

from __future__ import annotations

from typing import Any

from tests.cloud.kinds.base import Aws, Kind, Values, given, gone_is_none, retag, specification, tag_map

MISSING_GROUP = ("InvalidGroup.NotFound", "InvalidGroupId.Malformed")
MISSING_RULE = ("InvalidSecurityGroupRuleId.NotFound", "InvalidPermission.NotFound", *MISSING_GROUP)


class SecurityGroup(Kind):
    type = "aws:ec2/securityGroup:SecurityGroup"
    noun = "Security Group"
    named = "name"
    inputs = ("vpcId",)
    computed = frozenset({"name", "vpcId"})
    changes = frozenset({"tags", "revokeRulesOnDelete"})
    defaults = {"description": "Managed by Pulumi", "revokeRulesOnDelete": False}  # noqa: RUF012

    def check(self, inputs: Values) -> list[tuple[str, str]]:
        inline = [key for key in ("ingress", "egress") if inputs.get(key)]
        return [(key, "rules inside a group are not emulated: use vpc.SecurityGroup…Rule") for key in inline]

    def create(self, aws: Aws, inputs: Values) -> str:
        made = aws.ec2.create_security_group(
            GroupName=inputs["name"],
            Description=inputs["description"],
            **given(VpcId=inputs.get("vpcId")),
            **specification("security-group", inputs.get("tags")),
        )
        return made["GroupId"]

    def complete(self, aws: Aws, identity: str, inputs: Values) -> None:
        # As the real provider does: a new group lets nothing out until a rule says so.
        everything = {"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}
        gone_is_none(
            lambda: aws.ec2.revoke_security_group_egress(GroupId=identity, IpPermissions=[everything]),
            "InvalidPermission.NotFound",
        )

    def read(self, aws: Aws, identity: str, state: Values) -> Values | None:
        found = gone_is_none(lambda: aws.ec2.describe_security_groups(GroupIds=[identity]), *MISSING_GROUP)
        if not found or not found["SecurityGroups"]:
            return None
        (one,) = found["SecurityGroups"]
        return {
            "arn": f"arn:aws:ec2:{aws.region}:{one['OwnerId']}:security-group/{identity}",
            "name": one["GroupName"],
            "description": one["Description"],
            "vpcId": one.get("VpcId", ""),
            "ownerId": one["OwnerId"],
            "revokeRulesOnDelete": state.get("revokeRulesOnDelete", False),
            "tags": tag_map(one.get("Tags")),
        }

    def update(self, aws: Aws, identity: str, old: Values, new: Values, changed: set[str]) -> None:
        retag(aws, identity, old, new)

    def delete(self, aws: Aws, identity: str, state: Values) -> None:
        if state.get("revokeRulesOnDelete"):
            self._revoke_all(aws, identity)
        gone_is_none(lambda: aws.ec2.delete_security_group(GroupId=identity), *MISSING_GROUP)

    @staticmethod
    def _revoke_all(aws: Aws, identity: str) -> None:
        rules = aws.ec2.describe_security_group_rules(Filters=[{"Name": "group-id", "Values": [identity]}])
        for rule in rules["SecurityGroupRules"]:
            revoke = (
                aws.ec2.revoke_security_group_egress
                if rule["IsEgress"]
                else aws.ec2.revoke_security_group_ingress
            )
            revoke(GroupId=identity, SecurityGroupRuleIds=[rule["SecurityGroupRuleId"]])


class _Rule(Kind):
    """A rule; the two directions differ in two calls."""

    required = ("securityGroupId", "ipProtocol")
    changes = frozenset(
        {
            "cidrIpv4",
            "description",
            "fromPort",
            "ipProtocol",
            "referencedSecurityGroupId",
            "prefixListId",
            "tags",
            "toPort",
        }
    )
    egress: bool

    def create(self, aws: Aws, inputs: Values) -> str:
        authorize = (
            aws.ec2.authorize_security_group_egress
            if self.egress
            else aws.ec2.authorize_security_group_ingress
        )
        made = authorize(
            GroupId=inputs["securityGroupId"],
            IpPermissions=[_permission(inputs)],
            **specification("security-group-rule", inputs.get("tags")),
        )
        return made["SecurityGroupRules"][0]["SecurityGroupRuleId"]

    def read(self, aws: Aws, identity: str, state: Values) -> Values | None:
        found = gone_is_none(
            lambda: aws.ec2.describe_security_group_rules(SecurityGroupRuleIds=[identity]), *MISSING_RULE
        )
        if not found or not found["SecurityGroupRules"]:
            return None
        (one,) = found["SecurityGroupRules"]
        owner = one.get("GroupOwnerId", "")
        everything = one["IpProtocol"] == "-1"
        return {
            "arn": f"arn:aws:ec2:{aws.region}:{owner}:security-group-rule/{identity}",
            "securityGroupRuleId": identity,
            "securityGroupId": one["GroupId"],
            "ipProtocol": one["IpProtocol"],
            "fromPort": None if everything else one.get("FromPort"),
            "toPort": None if everything else one.get("ToPort"),
            "cidrIpv4": one.get("CidrIpv4") or "",
            "prefixListId": one.get("PrefixListId") or "",
            "referencedSecurityGroupId": (one.get("ReferencedGroupInfo") or {}).get("GroupId", ""),
            "description": one.get("Description") or "",
            "tags": tag_map(one.get("Tags")),
        }

    def update(self, aws: Aws, identity: str, old: Values, new: Values, changed: set[str]) -> None:
        if changed - {"tags"}:
            aws.ec2.modify_security_group_rules(
                GroupId=new["securityGroupId"],
                SecurityGroupRules=[
                    {"SecurityGroupRuleId": identity, "SecurityGroupRule": _request(new)},
                ],
            )
        retag(aws, identity, old, new)

    def delete(self, aws: Aws, identity: str, state: Values) -> None:
        revoke = (
            aws.ec2.revoke_security_group_egress if self.egress else aws.ec2.revoke_security_group_ingress
        )
        gone_is_none(
            lambda: revoke(GroupId=state["securityGroupId"], SecurityGroupRuleIds=[identity]), *MISSING_RULE
        )


class IngressRule(_Rule):
    type = "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule"
    noun = "VPC Security Group Ingress Rule"
    egress = False


class EgressRule(_Rule):
    type = "aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule"
    noun = "VPC Security Group Egress Rule"
    egress = True


def _permission(inputs: Values) -> dict[str, Any]:
    """A rule as it is authorised."""
    description = given(Description=inputs.get("description"))
    permission: dict[str, Any] = {"IpProtocol": str(inputs["ipProtocol"]), **_ports(inputs)}
    if inputs.get("cidrIpv4"):
        permission["IpRanges"] = [{"CidrIp": inputs["cidrIpv4"], **description}]
    if inputs.get("prefixListId"):
        permission["PrefixListIds"] = [{"PrefixListId": inputs["prefixListId"], **description}]
    if inputs.get("referencedSecurityGroupId"):
        permission["UserIdGroupPairs"] = [{"GroupId": inputs["referencedSecurityGroupId"], **description}]
    return permission


def _request(inputs: Values) -> dict[str, Any]:
    """A rule as it is modified."""
    return given(
        IpProtocol=str(inputs["ipProtocol"]),
        CidrIpv4=inputs.get("cidrIpv4"),
        PrefixListId=inputs.get("prefixListId"),
        ReferencedGroupId=inputs.get("referencedSecurityGroupId"),
        Description=inputs.get("description"),
        **_ports(inputs),
    )


def _ports(inputs: Values) -> dict[str, int]:
    return given(FromPort=inputs.get("fromPort"), ToPort=inputs.get("toPort"))
