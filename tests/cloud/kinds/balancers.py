"""Load balancers for clients outside the network: the balancer, its listeners, its targets."""

from __future__ import annotations

from typing import Any

from tests.cloud.kinds.base import Aws, Kind, Values, given, gone_is_none, tag_list, tag_map

LB = "LoadBalancerNotFound"
GROUP = "TargetGroupNotFound"


def retag(aws: Aws, identity: str, old: Values, new: Values) -> None:
    """Give a resource the tags it should have now."""
    before, after = old.get("tags") or {}, new.get("tags") or {}
    dropped = [key for key in before if key not in after]
    if dropped:
        aws.client("elbv2").remove_tags(ResourceArns=[identity], TagKeys=dropped)
    if after and after != before:
        aws.client("elbv2").add_tags(ResourceArns=[identity], Tags=tag_list(after))


def tags_of(aws: Aws, identity: str) -> dict[str, str]:
    """The tags of a resource."""
    found = aws.client("elbv2").describe_tags(ResourceArns=[identity])["TagDescriptions"]
    return tag_map(found[0]["Tags"]) if found else {}


class LoadBalancer(Kind):
    type = "aws:lb/loadBalancer:LoadBalancer"
    noun = "ELBv2 Load Balancer"
    named = "name"
    inputs = ("subnets", "internal", "loadBalancerType")
    computed = frozenset({"securityGroups", "enableDeletionProtection", "enableCrossZoneLoadBalancing"})
    changes = frozenset(
        {"enableCrossZoneLoadBalancing", "enableDeletionProtection", "securityGroups", "subnets", "tags"}
    )
    defaults = {"internal": False, "loadBalancerType": "application"}  # noqa: RUF012

    def check(self, inputs: Values) -> list[tuple[str, str]]:
        name = str(inputs.get("name", ""))
        return [("name", f'"name" cannot be longer than 32 characters: "{name}"')] if len(name) > 32 else []

    def create(self, aws: Aws, inputs: Values) -> str:
        made = aws.client("elbv2").create_load_balancer(
            Name=inputs["name"],
            Scheme="internal" if inputs["internal"] else "internet-facing",
            Type=inputs["loadBalancerType"],
            **given(
                Subnets=inputs.get("subnets"),
                SecurityGroups=inputs.get("securityGroups"),
                Tags=tag_list(inputs.get("tags")) or None,
            ),
        )
        return made["LoadBalancers"][0]["LoadBalancerArn"]

    def complete(self, aws: Aws, identity: str, inputs: Values) -> None:
        names = {
            "enableDeletionProtection": "deletion_protection.enabled",
            "enableCrossZoneLoadBalancing": "load_balancing.cross_zone.enabled",
        }
        wanted = [
            {"Key": theirs, "Value": str(bool(inputs[ours])).lower()}
            for ours, theirs in names.items()
            if ours in inputs
        ]
        if wanted:
            aws.client("elbv2").modify_load_balancer_attributes(LoadBalancerArn=identity, Attributes=wanted)

    def read(self, aws: Aws, identity: str, state: Values) -> Values | None:
        client = aws.client("elbv2")
        found = gone_is_none(lambda: client.describe_load_balancers(LoadBalancerArns=[identity]), LB)
        if not found or not found["LoadBalancers"]:
            return None
        (one,) = found["LoadBalancers"]
        listed = client.describe_load_balancer_attributes(LoadBalancerArn=identity)["Attributes"]
        attributes = {each["Key"]: each["Value"] == "true" for each in listed}
        return {
            "arn": identity,
            "arnSuffix": identity.partition("loadbalancer/")[2],
            "name": one["LoadBalancerName"],
            "internal": one["Scheme"] == "internal",
            "loadBalancerType": one["Type"],
            "dnsName": one["DNSName"],
            "zoneId": one["CanonicalHostedZoneId"],
            "vpcId": one["VpcId"],
            "subnets": sorted(zone["SubnetId"] for zone in one["AvailabilityZones"]),
            "securityGroups": sorted(one.get("SecurityGroups") or []),
            "enableDeletionProtection": attributes.get("deletion_protection.enabled", False),
            "enableCrossZoneLoadBalancing": attributes.get("load_balancing.cross_zone.enabled", False),
            "tags": tags_of(aws, identity),
        }

    def update(self, aws: Aws, identity: str, old: Values, new: Values, changed: set[str]) -> None:
        self.complete(aws, identity, {key: new.get(key) for key in changed if key.startswith("enable")})
        if "subnets" in changed:
            aws.client("elbv2").set_subnets(LoadBalancerArn=identity, Subnets=new["subnets"])
        if "securityGroups" in changed:
            aws.client("elbv2").set_security_groups(
                LoadBalancerArn=identity, SecurityGroups=new.get("securityGroups") or []
            )
        retag(aws, identity, old, new)

    def delete(self, aws: Aws, identity: str, state: Values) -> None:
        gone_is_none(lambda: aws.client("elbv2").delete_load_balancer(LoadBalancerArn=identity), LB)


class TargetGroup(Kind):
    type = "aws:lb/targetGroup:TargetGroup"
    noun = "ELBv2 Target Group"
    named = "name"
    inputs = ("port", "protocol", "vpcId")
    computed = frozenset({"healthCheck"})
    changes = frozenset({"deregistrationDelay", "healthCheck", "preserveClientIp", "tags"})
    defaults = {"targetType": "instance", "deregistrationDelay": 300}  # noqa: RUF012

    def create(self, aws: Aws, inputs: Values) -> str:
        made = aws.client("elbv2").create_target_group(
            Name=inputs["name"][:32],
            TargetType=inputs["targetType"],
            **given(
                Port=inputs.get("port"),
                Protocol=inputs.get("protocol"),
                VpcId=inputs.get("vpcId"),
                Tags=tag_list(inputs.get("tags")) or None,
            ),
            **_health(inputs),
        )
        return made["TargetGroups"][0]["TargetGroupArn"]

    def complete(self, aws: Aws, identity: str, inputs: Values) -> None:
        names = {
            "deregistrationDelay": "deregistration_delay.timeout_seconds",
            "preserveClientIp": "preserve_client_ip.enabled",
        }
        wanted = [
            {"Key": theirs, "Value": str(inputs[ours]).lower()}
            for ours, theirs in names.items()
            if ours in inputs
        ]
        aws.client("elbv2").modify_target_group_attributes(TargetGroupArn=identity, Attributes=wanted)

    def read(self, aws: Aws, identity: str, state: Values) -> Values | None:
        client = aws.client("elbv2")
        found = gone_is_none(lambda: client.describe_target_groups(TargetGroupArns=[identity]), GROUP)
        if not found or not found["TargetGroups"]:
            return None
        (one,) = found["TargetGroups"]
        listed = client.describe_target_group_attributes(TargetGroupArn=identity)["Attributes"]
        attributes = {each["Key"]: each["Value"] for each in listed}
        return {
            "arn": identity,
            "name": one["TargetGroupName"],
            "port": one.get("Port"),
            "protocol": one.get("Protocol"),
            "vpcId": one.get("VpcId"),
            "targetType": one.get("TargetType", "instance"),
            "deregistrationDelay": int(attributes.get("deregistration_delay.timeout_seconds", 300)),
            "healthCheck": {
                "enabled": one.get("HealthCheckEnabled", True),
                "protocol": one.get("HealthCheckProtocol"),
                "port": one.get("HealthCheckPort"),
                "interval": one.get("HealthCheckIntervalSeconds"),
                "healthyThreshold": one.get("HealthyThresholdCount"),
                "unhealthyThreshold": one.get("UnhealthyThresholdCount"),
            },
            **{key: state[key] for key in ("preserveClientIp",) if key in state},
            "tags": tags_of(aws, identity),
        }

    def update(self, aws: Aws, identity: str, old: Values, new: Values, changed: set[str]) -> None:
        self.complete(aws, identity, new)
        if "healthCheck" in changed:
            aws.client("elbv2").modify_target_group(TargetGroupArn=identity, **_health(new))
        retag(aws, identity, old, new)

    def delete(self, aws: Aws, identity: str, state: Values) -> None:
        gone_is_none(lambda: aws.client("elbv2").delete_target_group(TargetGroupArn=identity), GROUP)


def _health(inputs: Values) -> Values:
    check = inputs.get("healthCheck") or {}
    return given(
        HealthCheckProtocol=check.get("protocol"),
        HealthCheckPort=check.get("port"),
        HealthCheckIntervalSeconds=check.get("interval"),
        HealthyThresholdCount=check.get("healthyThreshold"),
        UnhealthyThresholdCount=check.get("unhealthyThreshold"),
    )


class TargetGroupAttachment(Kind):
    type = "aws:lb/targetGroupAttachment:TargetGroupAttachment"
    noun = "ELBv2 Target Group Attachment"
    required = ("targetGroupArn", "targetId")
    tagged = False

    @staticmethod
    def _target(inputs: Values) -> dict[str, Any]:
        return given(Id=inputs["targetId"], Port=inputs.get("port"))

    def create(self, aws: Aws, inputs: Values) -> str:
        aws.client("elbv2").register_targets(
            TargetGroupArn=inputs["targetGroupArn"], Targets=[self._target(inputs)]
        )
        return f"{inputs['targetGroupArn']}-{inputs['targetId']}"

    def read(self, aws: Aws, identity: str, state: Values) -> Values | None:
        if not state:
            return None
        found = gone_is_none(
            lambda: aws.client("elbv2").describe_target_health(TargetGroupArn=state["targetGroupArn"]), GROUP
        )
        there = [one["Target"]["Id"] for one in found["TargetHealthDescriptions"]] if found else []
        kept = {key: state[key] for key in ("targetGroupArn", "targetId", "port") if key in state}
        return kept if state["targetId"] in there else None

    def delete(self, aws: Aws, identity: str, state: Values) -> None:
        gone_is_none(
            lambda: aws.client("elbv2").deregister_targets(
                TargetGroupArn=state["targetGroupArn"], Targets=[self._target(state)]
            ),
            GROUP,
        )


class Listener(Kind):
    type = "aws:lb/listener:Listener"
    noun = "ELBv2 Listener"
    required = ("defaultActions", "loadBalancerArn")
    inputs = ("port", "protocol")
    changes = frozenset({"defaultActions", "port", "protocol", "tags"})

    @staticmethod
    def _arguments(inputs: Values) -> Values:
        actions = [
            given(Type=one["type"], TargetGroupArn=one.get("targetGroupArn"))
            for one in inputs["defaultActions"]
        ]
        return given(Port=inputs.get("port"), Protocol=inputs.get("protocol"), DefaultActions=actions)

    def create(self, aws: Aws, inputs: Values) -> str:
        made = aws.client("elbv2").create_listener(
            LoadBalancerArn=inputs["loadBalancerArn"],
            **self._arguments(inputs),
            **given(Tags=tag_list(inputs.get("tags")) or None),
        )
        return made["Listeners"][0]["ListenerArn"]

    def read(self, aws: Aws, identity: str, state: Values) -> Values | None:
        found = gone_is_none(
            lambda: aws.client("elbv2").describe_listeners(ListenerArns=[identity]), "ListenerNotFound", LB
        )
        if not found or not found["Listeners"]:
            return None
        (one,) = found["Listeners"]
        return {
            "arn": identity,
            "loadBalancerArn": one["LoadBalancerArn"],
            "port": one.get("Port"),
            "protocol": one.get("Protocol"),
            "defaultActions": [
                {
                    "type": each["Type"],
                    "targetGroupArn": each.get("TargetGroupArn", ""),
                    "order": each.get("Order", 1),
                }
                for each in one["DefaultActions"]
            ],
            "tags": tags_of(aws, identity),
        }

    def update(self, aws: Aws, identity: str, old: Values, new: Values, changed: set[str]) -> None:
        if changed - {"tags"}:
            aws.client("elbv2").modify_listener(ListenerArn=identity, **self._arguments(new))
        retag(aws, identity, old, new)

    def delete(self, aws: Aws, identity: str, state: Values) -> None:
        gone_is_none(
            lambda: aws.client("elbv2").delete_listener(ListenerArn=identity), "ListenerNotFound", LB
        )
