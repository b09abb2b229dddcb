"""Rights that a deployment needs: what the real provider calls for each type of resource, and what a policy allows.

The table is this project's own, written by hand. With the source of the Terraform provider that pulumi-aws 7 is made of
(hashicorp/terraform-provider-aws, internal/service, read 2026-11) it was compared for transit gateways' attachments, and
with its release notes for tags of buckets; the rest was not. The Service Authorization Reference says where AWS asks for a right that no call shows. No account of AWS was asked. What the emulated
account is asked by kdeploy and by the provider of the tests is held against the same policy while it happens.

Invariant: rights are named as policies name them (`ec2:RunInstances`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Final

DOCUMENT: Final = Path(__file__).parents[2] / "docs" / "aws.md"
"""Where the policy stands, under `## Rights it needs`."""

LONGEST: Final = 6144
"""Characters that a managed policy may have, without spaces (IAM User Guide, IAM and AWS STS quotas)."""


def _of(service: str, *actions: str) -> tuple[str, ...]:
    return tuple(f"{service}:{action}" for action in actions)


def _ec2(*actions: str, tags: bool = True) -> tuple[str, ...]:
    return _of("ec2", *actions, *(("CreateTags", "DeleteTags") if tags else ()))


_RULE: Final = ("DescribeSecurityGroupRules", "ModifySecurityGroupRules")
_ZONE: Final = _of("route53", "GetHostedZone", "GetChange")

REAL: Final[Mapping[str, tuple[str, ...]]] = {
    "aws:cloudwatch/metricAlarm:MetricAlarm": _of(
        "cloudwatch", "PutMetricAlarm", "DescribeAlarms", "DeleteAlarms", "ListTagsForResource", "TagResource",
        "UntagResource",
    ),
    "aws:ebs/volume:Volume": _ec2(
        "CreateVolume", "DescribeVolumes", "ModifyVolume", "DescribeVolumesModifications", "DeleteVolume",
    ),
    "aws:ec2/eip:Eip": _ec2(
        "AllocateAddress", "DescribeAddresses", "DescribeAddressesAttribute", "DisassociateAddress", "ReleaseAddress",
    ),
    "aws:ec2/instance:Instance": (
        *_ec2(
            "RunInstances", "DescribeInstances", "DescribeInstanceTypes", "DescribeInstanceAttribute",
            "DescribeInstanceCreditSpecifications", "DescribeVolumes", "DescribeImages", "DescribeTags",
            "DescribeNetworkInterfaces", "DescribeVpcs", "DescribeIamInstanceProfileAssociations",
            "ModifyInstanceAttribute", "ModifyInstanceMetadataOptions", "ModifyInstancePlacement", "ModifyVolume",
            "StopInstances", "StartInstances", "TerminateInstances",
        ),
        # No call shows the first one: AWS asks for it where an instance is given a profile.
        *_of("iam", "PassRole", "GetInstanceProfile"),
    ),
    "aws:ec2/internetGateway:InternetGateway": _ec2(
        "CreateInternetGateway", "AttachInternetGateway", "DescribeInternetGateways", "DetachInternetGateway",
        "DeleteInternetGateway",
    ),
    "aws:ec2/natGateway:NatGateway": _ec2("CreateNatGateway", "DescribeNatGateways", "DeleteNatGateway"),
    "aws:ec2/networkInterface:NetworkInterface": _ec2(
        "CreateNetworkInterface", "DescribeNetworkInterfaces", "ModifyNetworkInterfaceAttribute",
        "DetachNetworkInterface", "DeleteNetworkInterface",
    ),
    "aws:ec2/placementGroup:PlacementGroup": _ec2(
        "CreatePlacementGroup", "DescribePlacementGroups", "DeletePlacementGroup"
    ),
    "aws:ec2/route:Route": _ec2("CreateRoute", "ReplaceRoute", "DescribeRouteTables", "DeleteRoute", tags=False),
    "aws:ec2/routeTable:RouteTable": _ec2(
        "CreateRouteTable", "DescribeRouteTables", "DisassociateRouteTable", "DeleteRouteTable"
    ),
    "aws:ec2/routeTableAssociation:RouteTableAssociation": _ec2(
        "AssociateRouteTable", "ReplaceRouteTableAssociation", "DescribeRouteTables", "DisassociateRouteTable", tags=False
    ),
    "aws:ec2/securityGroup:SecurityGroup": _ec2(
        "CreateSecurityGroup", "DescribeSecurityGroups", "DescribeNetworkInterfaces", "RevokeSecurityGroupEgress",
        "DeleteSecurityGroup",
    ),
    # Changed where somebody let it give public addresses.
    "aws:ec2/subnet:Subnet": _ec2(
        "CreateSubnet", "DescribeSubnets", "ModifySubnetAttribute", "DescribeNetworkInterfaces", "DeleteSubnet"
    ),
    "aws:ec2/volumeAttachment:VolumeAttachment": _ec2(
        "AttachVolume", "DescribeVolumes", "DescribeInstances", "StopInstances", "DetachVolume", tags=False
    ),
    "aws:ec2/vpc:Vpc": _ec2(
        "CreateVpc", "DescribeVpcs", "DescribeVpcAttribute", "ModifyVpcAttribute", "DescribeNetworkAcls",
        "DescribeRouteTables", "DescribeSecurityGroups", "DeleteVpc",
    ),
    "aws:ec2/vpcEndpoint:VpcEndpoint": _ec2(
        "CreateVpcEndpoint", "DescribeVpcEndpoints", "DescribePrefixLists", "ModifyVpcEndpoint", "DeleteVpcEndpoints"
    ),
    "aws:ec2/vpcPeeringConnection:VpcPeeringConnection": _ec2(
        "CreateVpcPeeringConnection", "DescribeVpcPeeringConnections", "DeleteVpcPeeringConnection"
    ),
    "aws:ec2/vpcPeeringConnectionAccepter:VpcPeeringConnectionAccepter": _ec2(
        "AcceptVpcPeeringConnection", "DescribeVpcPeeringConnections"
    ),
    "aws:ec2transitgateway/peeringAttachment:PeeringAttachment": _ec2(
        "CreateTransitGatewayPeeringAttachment", "DescribeTransitGatewayPeeringAttachments",
        "DeleteTransitGatewayPeeringAttachment",
    ),
    "aws:ec2transitgateway/peeringAttachmentAccepter:PeeringAttachmentAccepter": _ec2(
        "AcceptTransitGatewayPeeringAttachment", "DescribeTransitGatewayPeeringAttachments",
        "DeleteTransitGatewayPeeringAttachment",
    ),
    "aws:ec2transitgateway/route:Route": _ec2(
        "CreateTransitGatewayRoute", "SearchTransitGatewayRoutes", "DeleteTransitGatewayRoute", tags=False
    ),
    "aws:ec2transitgateway/transitGateway:TransitGateway": _ec2(
        "CreateTransitGateway", "DescribeTransitGateways", "ModifyTransitGateway", "DeleteTransitGateway"
    ),
    "aws:ec2transitgateway/vpcAttachment:VpcAttachment": _ec2(
        "CreateTransitGatewayVpcAttachment", "DescribeTransitGatewayVpcAttachments", "DescribeTransitGateways",
        "GetTransitGatewayRouteTableAssociations", "GetTransitGatewayRouteTablePropagations",
        "ModifyTransitGatewayVpcAttachment", "DeleteTransitGatewayVpcAttachment",
    ),
    "aws:iam/instanceProfile:InstanceProfile": _of(
        "iam", "CreateInstanceProfile", "GetInstanceProfile", "AddRoleToInstanceProfile", "PassRole", "GetRole",
        "RemoveRoleFromInstanceProfile", "TagInstanceProfile", "UntagInstanceProfile", "DeleteInstanceProfile",
    ),
    "aws:iam/role:Role": _of(
        "iam", "CreateRole", "GetRole", "ListRolePolicies", "ListAttachedRolePolicies", "UpdateAssumeRolePolicy",
        "UpdateRole", "TagRole", "UntagRole", "ListInstanceProfilesForRole", "DeleteRole",
    ),
    "aws:iam/rolePolicy:RolePolicy": _of("iam", "PutRolePolicy", "GetRolePolicy", "DeleteRolePolicy"),
    "aws:lb/listener:Listener": _of(
        "elasticloadbalancing", "CreateListener", "DescribeListeners", "DescribeListenerAttributes", "ModifyListener",
        "ModifyListenerAttributes", "DeleteListener", "DescribeTags", "AddTags", "RemoveTags",
    ),
    "aws:lb/loadBalancer:LoadBalancer": _of(
        "elasticloadbalancing", "CreateLoadBalancer", "DescribeLoadBalancers", "DescribeLoadBalancerAttributes",
        "ModifyLoadBalancerAttributes", "SetSubnets", "SetSecurityGroups", "DeleteLoadBalancer", "DescribeTags",
        "AddTags", "RemoveTags",
    ),
    "aws:lb/targetGroup:TargetGroup": _of(
        "elasticloadbalancing", "CreateTargetGroup", "DescribeTargetGroups", "DescribeTargetGroupAttributes",
        "ModifyTargetGroup", "ModifyTargetGroupAttributes", "DeleteTargetGroup", "DescribeTags", "AddTags", "RemoveTags",
    ),
    "aws:lb/targetGroupAttachment:TargetGroupAttachment": _of(
        "elasticloadbalancing", "RegisterTargets", "DescribeTargetHealth", "DeregisterTargets"
    ),
    "aws:route53/record:Record": (*_ZONE, *_of("route53", "ChangeResourceRecordSets", "ListResourceRecordSets")),
    # A private zone is seen only by who may look at its VPC (Route 53 Developer Guide, identity-based policies).
    "aws:route53/zone:Zone": (
        *_ZONE,
        *_of(
            "route53", "CreateHostedZone", "ListTagsForResource", "ChangeTagsForResource", "UpdateHostedZoneComment",
            "ListResourceRecordSets", "AssociateVPCWithHostedZone", "DisassociateVPCFromHostedZone", "DeleteHostedZone",
        ),
        "ec2:DescribeVpcs",
    ),
    "aws:route53/zoneAssociation:ZoneAssociation": (
        *_ZONE,
        *_of(
            "route53", "AssociateVPCWithHostedZone", "DisassociateVPCFromHostedZone", "ListHostedZonesByVPC"
        ),
        "ec2:DescribeVpcs",
    ),
    # Every setting is read with the bucket, set or not; tags since 6.23 through S3 Control.
    "aws:s3/bucket:Bucket": _of(
        "s3", "CreateBucket", "ListBucket", "GetBucketTagging", "PutBucketTagging", "ListTagsForResource", "TagResource",
        "UntagResource", "GetBucketPolicy", "GetBucketAcl", "GetBucketCORS", "GetBucketWebsite", "GetBucketVersioning",
        "GetAccelerateConfiguration", "GetBucketRequestPayment", "GetBucketLogging", "GetLifecycleConfiguration",
        "GetReplicationConfiguration", "GetEncryptionConfiguration", "GetBucketObjectLockConfiguration",
        "GetBucketLocation", "DeleteBucket",
    ),
    "aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock": _of(
        "s3", "GetBucketPublicAccessBlock", "PutBucketPublicAccessBlock"
    ),
    "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration": _of(
        "s3", "GetEncryptionConfiguration", "PutEncryptionConfiguration"
    ),
    "aws:s3/bucketVersioning:BucketVersioning": _of("s3", "GetBucketVersioning", "PutBucketVersioning"),
    "aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule": _ec2(
        "AuthorizeSecurityGroupEgress", *_RULE, "RevokeSecurityGroupEgress"
    ),
    "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule": _ec2(
        "AuthorizeSecurityGroupIngress", *_RULE, "RevokeSecurityGroupIngress"
    ),
}  # fmt: skip
"""What making, reading, changing and deleting a resource asks for, by its type."""

ASKED: Final = (
    *_of("sts", "GetCallerIdentity"),
    *_of("ssm", "GetParameter"),
)
"""What the provider, and the program, ask whatever is made: whose account it is, which image is the latest."""

LOOKED_FOR: Final = (
    *_of("ec2", "DescribeTags", "DescribeTransitGatewayRouteTables"),
    *_of("route53", "ListHostedZonesByName"),
    *_of("s3", "ListAllMyBuckets"),
)
"""What kdeploy asks beside that, to find what a killed run left behind (`kdeploy.infra.aws.adoption`)."""

OTHERWISE: Final[Mapping[str, str]] = {
    "ssm:StartSession": "the way in through Systems Manager, by AWS's own command line and its plugin",
    "ssm:TerminateSession": "the same",
}
"""Actions that neither the provider nor kdeploy calls, and why the policy has them."""


def policy() -> dict[str, Any]:
    """The policy that docs/aws.md gives a person to copy."""
    text = DOCUMENT.read_text().partition("## Rights it needs")[2]
    found = re.search(r"```json\n(.*?)```", text, re.DOTALL)
    assert found is not None, "no policy under `## Rights it needs`"
    return dict(json.loads(found[1]))


def actions() -> tuple[str, ...]:
    """Every action that the policy allows, as it writes them."""
    return tuple(action for one in policy()["Statement"] for action in one["Action"])


def refused(rights: Iterable[str]) -> set[str]:
    """Rights that the policy does not give."""
    allowed = actions()
    return {right for right in rights if not any(fnmatchcase(right, action) for action in allowed)}
