"""What no plan for AWS may do: named checks of planned resources, before anything is made.

Invariant: pure. A check looks at types and inputs alone, so the same list judges what a component declares in a test
and what the engine plans; what it cannot see yet (an id that is known later) it does not hold against anyone.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_network
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from kdeploy.blueprint import Blueprint

EBS, INSTANCE = "aws:ebs/volume:Volume", "aws:ec2/instance:Instance"
INGRESS = "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule"
GROUP, SUBNET = "aws:ec2/securityGroup:SecurityGroup", "aws:ec2/subnet:Subnet"
BUCKET = "aws:s3/bucket:Bucket"
LOAD_BALANCER, TARGETS = "aws:lb/loadBalancer:LoadBalancer", "aws:lb/targetGroup:TargetGroup"

TAGS: Final = ("kdeploy:datacenter", "kdeploy:resource")
"""What every resource that can be tagged has; `kdeploy:environment` comes from the provider."""

WIDEST: Final = 8
"""Shortest prefix of a network that is let in: the largest private one, 10.0.0.0/8 (RFC 1918)."""


@dataclass(frozen=True)
class Planned:
    """A resource as it is planned.

    Attributes:
        type: Pulumi's type.
        name: Logical name.
        inputs: As the provider gets them, by Pulumi's names (camel case).
        protect: Whether it is protected.
        retain: Whether it stays when the resource goes.
    """

    type: str
    name: str
    inputs: Mapping[str, Any] = field(default_factory=dict)
    protect: bool = False
    retain: bool = False


@dataclass(frozen=True)
class Violation:
    """A resource that a check does not let through.

    Attributes:
        check: The check's name.
        resource: The resource's logical name.
        wrong: What is wrong with it, as a sentence.
    """

    check: str
    resource: str
    wrong: str


@dataclass(frozen=True)
class Checked:
    """A check and what came of it: nothing, where all is well."""

    name: str
    promise: str
    violations: tuple[Violation, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing is against it."""
        return not self.violations


BALANCER: Final = "balancer"
"""What the logical names of a load balancer and of all that is its own begin with, after the datacenter."""


@dataclass(frozen=True)
class Asked:
    """What a person asked for by name that no plan may do otherwise.

    Attributes:
        public: Load balancers that the internet reaches, by logical name.
        opened: Rules of theirs that let in every address, by logical name.
    """

    public: frozenset[str] = frozenset()
    opened: frozenset[str] = frozenset()


def asked(blueprint: Blueprint) -> Asked:
    """What an environment says by name of its load balancers (`network.load_balancer`, scheme and everyone)."""
    public, opened = set(), set()
    for cluster in blueprint.clusters:
        balancer = cluster.place.balancer if cluster.place else None
        if balancer is None or not balancer.public:
            continue
        public.add(f"{cluster.datacenter}-{BALANCER}")
        wide = [one for one in balancer.sources if ip_network(one).prefixlen == 0]
        for port in (balancer.port, *(one.port for one in balancer.outlets)):
            opened |= {let_in_name(cluster.datacenter, port, one) for one in wide}
    return Asked(frozenset(public), frozenset(opened))


def let_in_name(datacenter: str, port: int, source: str) -> str:
    """Logical name of the rule by which a load balancer lets a network in."""
    return f"{datacenter}-{BALANCER}-tcp-{port}-from-{source.replace('/', '-')}"


Check = Callable[[Planned, Asked], Iterator[str]]


def _exposure(one: Planned, asked: Asked) -> Iterator[str]:
    """Nothing can be reached from everywhere, but for a load balancer of which that was asked for by name."""
    said = one.inputs
    if one.type == INGRESS:
        yield from _opened(said, everyone=one.name in asked.opened)
    if one.type == GROUP and (said.get("ingress") or said.get("egress")):
        yield "its rules are written into it, where no check sees each"
    if one.type == INSTANCE and said.get("associatePublicIpAddress"):
        yield "it gets a public address"
    if one.type == SUBNET and said.get("mapPublicIpOnLaunch"):
        yield "what is put into it gets a public address"
    if one.type == LOAD_BALANCER and said.get("internal") is not True and one.name not in asked.public:
        yield "it is reached from the internet"
    if one.type == "aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock":
        names = ("blockPublicAcls", "blockPublicPolicy", "ignorePublicAcls", "restrictPublicBuckets")
        if not all(said.get(name) is True for name in names):
            yield "it lets something of the bucket be public"


def _opened(said: Mapping[str, Any], *, everyone: bool) -> Iterator[str]:
    for name in ("cidrIpv4", "cidrIpv6"):
        network = said.get(name)
        if not everyone and isinstance(network, str) and ip_network(network, strict=False).prefixlen < WIDEST:
            yield f"it lets in {network}"
    if said.get("ipProtocol") in ("-1", "all") or said.get("fromPort") != said.get("toPort"):
        yield "it opens more than one port"


def _encryption(one: Planned, _: Asked) -> Iterator[str]:
    """Every disk and every bucket is encrypted."""
    if one.type == EBS and one.inputs.get("encrypted") is not True:
        yield "it is not encrypted"
    if one.type == INSTANCE:
        root = one.inputs.get("rootBlockDevice")
        if not (isinstance(root, Mapping) and root.get("encrypted") is True):
            yield "its first disk is not encrypted"


def _metadata(one: Planned, _: Asked) -> Iterator[str]:
    """Machines answer questions about themselves in sessions alone (IMDSv2), and not through a hop."""
    if one.type != INSTANCE:
        return
    options = one.inputs.get("metadataOptions")
    said = options if isinstance(options, Mapping) else {}
    if said.get("httpTokens") != "required":
        yield "its metadata is had without a session"
    if said.get("httpPutResponseHopLimit") != 1:
        yield "its metadata is had through a hop"


def _protection(one: Planned, _: Asked) -> Iterator[str]:
    """Volumes and buckets are protected, and stay when their resource goes."""
    if one.type not in (EBS, BUCKET):
        return
    if not one.protect:
        yield "a slip could delete it: it is not protected"
    if not one.retain:
        yield "it would go with its resource"
    if one.type == BUCKET and one.inputs.get("forceDestroy"):
        yield "it would be emptied to be deleted"


def _tags(one: Planned, _: Asked) -> Iterator[str]:
    """Everything that can be tagged says what it is."""
    tags = one.inputs.get("tags")
    if not isinstance(tags, Mapping):
        if one.type in TAGGED:
            yield "it has no tags"
        return
    lacking = [name for name in TAGS if name not in tags]
    if lacking:
        yield f"it lacks the tag {' and '.join(lacking)}"


TAGGED: Final = frozenset(
    {
        *(EBS, INSTANCE, GROUP, SUBNET, INGRESS, BUCKET, LOAD_BALANCER, TARGETS),
        "aws:ec2/vpc:Vpc",
        "aws:ec2/networkInterface:NetworkInterface",
        "aws:iam/role:Role",
        "aws:route53/zone:Zone",
    }
)
"""Types that have to have tags; others that have some are held to the same."""


def _rights(one: Planned, _: Asked) -> Iterator[str]:
    """No machine may do everything, with anything."""
    if one.type != "aws:iam/rolePolicy:RolePolicy":
        return
    policy = one.inputs.get("policy")
    if not isinstance(policy, str):
        return  # known later
    for statement in json.loads(policy).get("Statement", ()):
        actions = statement.get("Action", ())
        wide = [action for action in ([actions] if isinstance(actions, str) else actions) if "*" in action]
        if wide and statement.get("Effect") == "Allow":
            yield f"it allows {', '.join(wide)}"


CHECKS: Final[Mapping[str, tuple[str, Check]]] = {
    "no public exposure": ("nothing can be reached from everywhere", _exposure),
    "encryption": ("every disk is encrypted", _encryption),
    "metadata by sessions": ("machines answer about themselves in sessions alone (IMDSv2)", _metadata),
    "protected data": ("volumes and buckets are protected, and stay when their resource goes", _protection),
    "tags": ("everything that can be tagged says what it is", _tags),
    "least rights": ("no machine may do all of anything", _rights),
}
"""Each check by its name, with what it promises."""


def check(planned: Iterable[Planned], asked: Asked = Asked()) -> tuple[Checked, ...]:
    """Every check with what is against it.

    Args:
        planned: Resources that are there or will be; what is to be deleted is left out.
        asked: What was asked for by name, and is not held against anyone.
    """
    planned = tuple(planned)
    return tuple(
        Checked(
            name,
            promise,
            tuple(Violation(name, one.name, wrong) for one in planned for wrong in judge(one, asked)),
        )
        for name, (promise, judge) in CHECKS.items()
    )
