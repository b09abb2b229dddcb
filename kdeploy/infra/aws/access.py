"""Who may do what: security groups by role, the way in through Systems Manager, and the machines' own rights.

Invariant: what comes in is exactly the Blueprint's rules, each for one port; nothing comes in from everywhere. What
goes out is the other end of the same rules, what is fetched from the other datacenter, and web pages for packages
where there is a way out. Machines may register for sessions, tell CloudWatch of their disks, and keep backups, each where
it is asked for; nothing else.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final

import pulumi
import pulumi_aws as aws

from kdeploy.blueprint import Place, Rule
from kdeploy.infra.aws.network import EVERYWHERE, Network
from kdeploy.infra.aws.site import Site
from kdeploy.spec.aws import METRICS
from kdeploy.spec.lock import Role

HTTPS, HTTP = 443, 80
SERVICES: Final = ("ssm", "ssmmessages")
"""Endpoints that Session Manager needs (AWS Systems Manager User Guide, "Improve the security of EC2 instances by using
VPC endpoints", 2026-11; ec2messages is needed by agents before 3.3.40 alone)."""

SESSIONS: Final = (
    "ssm:UpdateInstanceInformation",
    "ssmmessages:CreateControlChannel",
    "ssmmessages:CreateDataChannel",
    "ssmmessages:OpenControlChannel",
    "ssmmessages:OpenDataChannel",
)
"""What a machine needs for sessions, and no more (ibid., "Add Session Manager permissions to an existing IAM role"):
AWS's own policy AmazonSSMManagedInstanceCore also reads every parameter of the account."""

ROLE_NAME, BUCKET_NAME = 64, 36
"""Characters of a role's name (IAM quotas, names), and of what a bucket's begins with: 63 in all (Amazon S3 User Guide,
bucket naming rules), of which 26 tell it from others' buckets."""

MONITORING: Final = "monitoring"
"""The endpoint that machines tell CloudWatch by where there is no other way out (Amazon CloudWatch User Guide, "Using
CloudWatch, CloudWatch Synthetics, and CloudWatch Network Monitoring with interface VPC endpoints", 2026-11)."""


class Access(pulumi.ComponentResource):
    """Security groups, endpoints, role and bucket of a datacenter.

    Attributes:
        groups: Ids of the roles' security groups.
        profile: Name of the instance profile.
        bucket: Name of the bucket for backups; None where there is none.
        ready: What has to be there before a machine of a role can fetch anything.
    """

    def __init__(self, site: Site, place: Place, roles: Sequence[Role], network: Network) -> None:
        super().__init__("kdeploy:aws:Access", site.name("access"))
        self._site, self._place, self._network = site, place, network
        self.ready: dict[Role, list[pulumi.Resource]] = {role: [] for role in roles}
        self.groups: dict[Role, pulumi.Output[str]] = {role: self._group(role) for role in roles}
        for rule in place.rules:
            if rule.outgoing:
                far = str(rule.network)
                self._out(rule.role, rule.port, rule.protocol, far, None, rule.why, network=far)
            else:
                self._let_in(rule)
        for role in roles:
            self._let_out(role)
        if place.vpc is None:
            self._endpoints()
        self.bucket = self._bucket() if place.bucket else None
        self.profile = self._profile()
        self.register_outputs({"groups": self.groups, "profile": self.profile, "bucket": self.bucket})

    def _of(self, *parts: str) -> dict[str, Any]:
        name = self._site.name(*parts)
        return {"resource_name": name, "tags": self._site.tags(name)}

    def _below(self, **options: Any) -> pulumi.ResourceOptions:  # noqa: ANN401
        return self._site.below(self, **options)

    def _group(self, name: str) -> pulumi.Output[str]:
        group = aws.ec2.SecurityGroup(
            **self._of(name),
            name=self._site.outside(name),
            description=f"{name} of {self._site.environment} in {self._site.datacenter}",
            vpc_id=self._network.vpc_id,
            # Two groups name each other: neither could be deleted before the other's rules are.
            revoke_rules_on_delete=True,
            opts=self._below(),
        )
        found: pulumi.Output[str] = group.id
        return found

    def _let_in(self, rule: Rule) -> None:
        source = rule.group or str(rule.network).replace("/", "-")
        aws.vpc.SecurityGroupIngressRule(
            **self._of(rule.role, rule.protocol, str(rule.port), "from", source),
            security_group_id=self.groups[rule.role],
            ip_protocol=rule.protocol,
            from_port=rule.port,
            to_port=rule.port,
            referenced_security_group_id=self.groups[rule.group] if rule.group else None,
            cidr_ipv4=rule.network,
            description=rule.why,
            opts=self._below(),
        )
        if rule.group is not None:
            self._out(rule.group, rule.port, rule.protocol, rule.role, self.groups[rule.role], rule.why)

    def _out(
        self,
        role: Role,
        port: int,
        protocol: str,
        to: str,
        group: pulumi.Input[str] | None,
        why: str,
        *,
        network: str | None = None,
        listed: pulumi.Input[str] | None = None,
    ) -> pulumi.Resource:
        """A port that a role's machines may call: in a group, a network, or a list of AWS's."""
        rule: pulumi.Resource = aws.vpc.SecurityGroupEgressRule(
            **self._of(role, protocol, str(port), "to", to.replace("/", "-")),
            security_group_id=self.groups[role],
            ip_protocol=protocol,
            from_port=port,
            to_port=port,
            referenced_security_group_id=group,
            cidr_ipv4=network,
            prefix_list_id=listed,
            description=why,
            opts=self._below(),
        )
        return rule

    def _let_out(self, role: Role) -> None:
        """Packages and AWS itself. Names and the time need no rule: they are asked of addresses that none holds for."""
        ready = self.ready[role]
        if self._place.egress != "none":
            for port in (HTTPS, HTTP):
                why = "packages, and AWS"
                ready.append(self._out(role, port, "tcp", "everywhere", None, why, network=EVERYWHERE))
            return
        cidr = self._place.cidr
        ready.append(self._out(role, HTTPS, "tcp", "endpoints", None, "AWS by its endpoints", network=cidr))
        if self._network.objects is not None:
            listed = self._network.objects
            ready.append(self._out(role, HTTPS, "tcp", "s3", None, "S3 by its gateway", listed=listed))

    def _endpoints(self) -> None:
        """Systems Manager without the internet, and CloudWatch where that is the only way to it; open to the machines
        alone.
        """
        sessions = SERVICES if self._place.through == "ssm" else ()
        metrics = (MONITORING,) if self._place.alarms and self._place.egress == "none" else ()
        if not (sessions or metrics):
            return
        why = ["sessions of Systems Manager"] if sessions else []
        why += ["metrics for CloudWatch"] if metrics else []
        group = self._group("endpoints")
        for role, source in self.groups.items():
            aws.vpc.SecurityGroupIngressRule(
                **self._of("endpoints", "tcp", str(HTTPS), "from", role),
                security_group_id=group,
                ip_protocol="tcp",
                from_port=HTTPS,
                to_port=HTTPS,
                referenced_security_group_id=source,
                description=", ".join(why),
                opts=self._below(),
            )
        for service in (*sessions, *metrics):
            endpoint = aws.ec2.VpcEndpoint(
                **self._of(service),
                vpc_id=self._network.vpc_id,
                service_name=f"com.amazonaws.{self._site.region}.{service}",
                vpc_endpoint_type="Interface",
                subnet_ids=list(self._network.subnets.values()),
                security_group_ids=[group],
                private_dns_enabled=True,
                opts=self._below(),
            )
            # How full a new machine's disks are can wait; the way in to it cannot.
            for ready in self.ready.values() if service in sessions else ():
                ready.append(endpoint)

    def _bucket(self) -> pulumi.Output[str]:
        """For backups: closed to the public, encrypted, with what was written over kept."""
        bucket = aws.s3.Bucket(
            **self._of("backups"),
            bucket_prefix=f"{self._site.outside(most=BUCKET_NAME)}-",
            opts=self._below(protect=True, retain_on_delete=True),
        )
        name = self._site.name("backups")
        aws.s3.BucketPublicAccessBlock(
            name,
            bucket=bucket.id,
            block_public_acls=True,
            block_public_policy=True,
            ignore_public_acls=True,
            restrict_public_buckets=True,
            opts=self._below(),
        )
        algorithm: dict[str, Any] = {"sse_algorithm": "AES256"}
        if self._place.kms_key:
            algorithm = {"sse_algorithm": "aws:kms", "kms_master_key_id": self._place.kms_key}
        aws.s3.BucketServerSideEncryptionConfiguration(
            name,
            bucket=bucket.id,
            rules=[{"apply_server_side_encryption_by_default": algorithm}],
            opts=self._below(),
        )
        aws.s3.BucketVersioning(
            name, bucket=bucket.id, versioning_configuration={"status": "Enabled"}, opts=self._below()
        )
        found: pulumi.Output[str] = bucket.id
        return found

    def _profile(self) -> pulumi.Output[str]:
        """A role that only machines of EC2 take, with what they need."""
        trust = {
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Effect": "Allow",
                    "Principal": {"Service": "ec2.amazonaws.com"},
                    "Action": "sts:AssumeRole",
                }
            ],
        }
        role = aws.iam.Role(
            **self._of("machine"),
            name=self._site.outside(most=ROLE_NAME),
            description=f"Machines of {self._site.environment} in {self._site.datacenter}",
            assume_role_policy=json.dumps(trust, sort_keys=True),
            opts=self._below(),
        )
        rights = self._rights()
        if rights or self.bucket is not None:  # AWS takes no policy that allows nothing
            aws.iam.RolePolicy(
                self._site.name("machine"),
                name="kdeploy",
                role=role.id,
                policy=self._policy(rights),
                opts=self._below(),
            )
        profile = aws.iam.InstanceProfile(
            **self._of("machine"), name=self._site.outside(most=ROLE_NAME), role=role.name, opts=self._below()
        )
        found: pulumi.Output[str] = profile.name
        return found

    def _rights(self) -> list[dict[str, Any]]:
        """What machines may do, but for the bucket. PutMetricData can be tied to a namespace, and to no resource (Service
        Authorization Reference, Amazon CloudWatch, 2026-11).
        """
        statements: list[dict[str, Any]] = []
        if self._place.alarms:
            statements.append(
                {
                    "Sid": "Metrics",
                    "Effect": "Allow",
                    "Action": ["cloudwatch:PutMetricData"],
                    "Resource": "*",
                    "Condition": {"StringEquals": {"cloudwatch:namespace": METRICS}},
                }
            )
        if self._place.through == "ssm":
            statements.append(
                {"Sid": "Sessions", "Effect": "Allow", "Action": list(SESSIONS), "Resource": "*"}
            )
        return statements

    def _policy(self, statements: list[dict[str, Any]]) -> pulumi.Input[str]:
        if self.bucket is None:
            return _policy(statements)
        return self.bucket.apply(lambda name: _policy([*statements, *_backups(self._site.partition, name)]))


def _policy(statements: list[dict[str, Any]]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": statements}, sort_keys=True)


def _backups(partition: str, bucket: str) -> list[dict[str, Any]]:
    """Rights on one bucket: to list, read and write, not to delete."""
    return [
        {
            "Sid": "Backups",
            "Effect": "Allow",
            "Action": ["s3:ListBucket", "s3:GetObject", "s3:PutObject"],
            "Resource": [f"arn:{partition}:s3:::{bucket}", f"arn:{partition}:s3:::{bucket}/*"],
        }
    ]
