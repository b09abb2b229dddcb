"""No plan goes by the checks: each row breaks one promise, and what is shipped breaks none."""

from __future__ import annotations

from typing import Any

import pytest

from kdeploy.infra.aws import policy
from kdeploy.infra.aws.policy import Planned

TAGS = {"kdeploy:datacenter": "dc1", "kdeploy:resource": "x"}
ROOT = {"encrypted": True}
SESSIONS = {"httpTokens": "required", "httpPutResponseHopLimit": 1}
INSTANCE = {"rootBlockDevice": ROOT, "metadataOptions": SESSIONS, "tags": TAGS}
RULE = {"cidrIpv4": "10.0.0.0/8", "ipProtocol": "tcp", "fromPort": 9092, "toPort": 9092, "tags": TAGS}
VOLUME = {"encrypted": True, "tags": TAGS}
BLOCK = "aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock"
CLOSED = dict.fromkeys(
    ("blockPublicAcls", "blockPublicPolicy", "ignorePublicAcls", "restrictPublicBuckets"), True
)
ROLE = "aws:iam/rolePolicy:RolePolicy"


def rights(*actions: str) -> dict[str, Any]:
    import json

    return {
        "policy": json.dumps({"Statement": [{"Effect": "Allow", "Action": list(actions), "Resource": "*"}]})
    }


def planned(kind: str, inputs: dict[str, Any], *, kept: bool = True) -> Planned:
    return Planned(kind, "x", inputs, protect=kept, retain=kept)


def said(*resources: Planned) -> list[tuple[str, str]]:
    return [(one.check, one.wrong) for checked in policy.check(resources) for one in checked.violations]


@pytest.mark.parametrize(
    ("kind", "inputs"),
    [
        (policy.INGRESS, RULE),
        (policy.INGRESS, {**RULE, "cidrIpv4": None, "referencedSecurityGroupId": "sg-1"}),
        (policy.INSTANCE, INSTANCE),
        (policy.EBS, VOLUME),
        (policy.SUBNET, {"mapPublicIpOnLaunch": False, "tags": TAGS}),
        (policy.GROUP, {"tags": TAGS}),
        (policy.BUCKET, {"tags": TAGS}),
        (BLOCK, CLOSED),
        (ROLE, rights("ssm:UpdateInstanceInformation")),
        (ROLE, {}),
        ("aws:lb/loadBalancer:LoadBalancer", {"internal": True, "tags": TAGS}),
        ("kdeploy:aws:Node", {}),
    ],
)
def test_what_keeps_to_all_promises_is_let_through(kind: str, inputs: dict[str, Any]) -> None:
    assert said(planned(kind, inputs)) == []


@pytest.mark.parametrize(
    ("kind", "inputs", "check", "wrong"),
    [
        (policy.INGRESS, {**RULE, "cidrIpv4": "0.0.0.0/0"}, "no public exposure", "it lets in 0.0.0.0/0"),
        (policy.INGRESS, {**RULE, "cidrIpv4": "0.0.0.0/1"}, "no public exposure", "it lets in 0.0.0.0/1"),
        (policy.INGRESS, {**RULE, "cidrIpv6": "::/0"}, "no public exposure", "it lets in ::/0"),
        (policy.INGRESS, {**RULE, "toPort": 9095}, "no public exposure", "it opens more than one port"),
        (policy.INGRESS, {**RULE, "ipProtocol": "-1"}, "no public exposure", "it opens more than one port"),
        (
            policy.GROUP,
            {"tags": TAGS, "ingress": [{"cidrBlocks": ["0.0.0.0/0"]}]},
            "no public exposure",
            "its rules are written into it, where no check sees each",
        ),
        (
            policy.INSTANCE,
            {**INSTANCE, "associatePublicIpAddress": True},
            "no public exposure",
            "it gets a public address",
        ),
        (
            policy.SUBNET,
            {"mapPublicIpOnLaunch": True, "tags": TAGS},
            "no public exposure",
            "what is put into it gets a public address",
        ),
        (
            "aws:lb/loadBalancer:LoadBalancer",
            {"tags": TAGS},
            "no public exposure",
            "it is reached from the internet",
        ),
        (
            BLOCK,
            {**CLOSED, "blockPublicPolicy": False},
            "no public exposure",
            "it lets something of the bucket be public",
        ),
        (policy.EBS, {"tags": TAGS}, "encryption", "it is not encrypted"),
        (
            policy.INSTANCE,
            {**INSTANCE, "rootBlockDevice": {"encrypted": False}},
            "encryption",
            "its first disk is not encrypted",
        ),
        (
            policy.INSTANCE,
            {**INSTANCE, "metadataOptions": {**SESSIONS, "httpTokens": "optional"}},
            "metadata by sessions",
            "its metadata is had without a session",
        ),
        (
            policy.INSTANCE,
            {**INSTANCE, "metadataOptions": {**SESSIONS, "httpPutResponseHopLimit": 2}},
            "metadata by sessions",
            "its metadata is had through a hop",
        ),
        (
            policy.BUCKET,
            {"tags": TAGS, "forceDestroy": True},
            "protected data",
            "it would be emptied to be deleted",
        ),
        (policy.EBS, {"encrypted": True}, "tags", "it has no tags"),
        (
            policy.EBS,
            {"encrypted": True, "tags": {"kdeploy:datacenter": "dc1"}},
            "tags",
            "it lacks the tag kdeploy:resource",
        ),
        (ROLE, rights("s3:*", "ssm:UpdateInstanceInformation"), "least rights", "it allows s3:*"),
        (ROLE, rights("*"), "least rights", "it allows *"),
    ],
)
def test_what_breaks_a_promise_is_named(kind: str, inputs: dict[str, Any], check: str, wrong: str) -> None:
    assert said(planned(kind, inputs)) == [(check, wrong)]


def test_a_volume_that_could_be_lost_is_named_for_both_ways() -> None:
    assert said(planned(policy.EBS, VOLUME, kept=False)) == [
        ("protected data", "a slip could delete it: it is not protected"),
        ("protected data", "it would go with its resource"),
    ]


def test_every_check_is_there_also_when_nothing_is_against_it() -> None:
    assert [(one.name, one.ok) for one in policy.check(())] == [(name, True) for name in policy.CHECKS]
