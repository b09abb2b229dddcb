"""Whose something is that is in AWS already under a name that this environment would give: told by its tags.

Invariant: read-only. Each environment has an id, which its lock keeps and everything it makes has as a tag, so two
environments of one name in one account are never taken for each other. What has no tag of kdeploy's is told apart by
nothing, and taken for what a killed run had made and not tagged yet.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from kdeploy.infra.aws.failure import NotLetThrough
from kdeploy.infra.aws.policy import Planned

ENVIRONMENT: Final = "kdeploy:environment"
IDENTITY: Final = "kdeploy:id"
"""Tags with the environment's name, and with its id."""

Tags = Mapping[str, str]
Clients = Callable[[str, str], Any]


def refuse_another(said: str | None, own: str | None, environment: str, backend: str) -> None:
    """Refuse a state that another environment of the same name wrote.

    Args:
        said: The id that the state has; None where it has none, from before there were any.
        own: This environment's.
        environment: The name of both.
        backend: Where the state is.

    Raises:
        NotLetThrough: It is another environment's.
    """
    if said is not None and own is not None and said != own:
        raise NotLetThrough(
            f"the state in {backend} is that of another environment called {environment}: its id is {said}, and this "
            f"one's is {own}; nothing was changed\n"
            f"  give one of the two another name or another `aws.backend`; where lock.yaml was lost, put `id: {said}` "
            "back into it"
        )


def is_another(one: Planned, name: str, own: str | None, regions: Sequence[str], clients: Clients) -> bool:
    """Whether what has a resource's name already is another environment's, and may stand beside it.

    Args:
        one: The resource, as it is planned.
        name: What has its name, as the engine imports it.
        own: This environment's id; None where its lock has none yet.
        regions: Where it is.
        clients: Makes clients of boto3.

    Raises:
        NotLetThrough: It is another environment's, and two of that name cannot be.
    """
    ask = ASKED.get(one.type)
    tags = ask(name, regions, clients) if ask is not None and own is not None else {}
    whose = tags.get(IDENTITY)
    if ENVIRONMENT not in tags or whose == own:
        return False
    if one.type in BESIDE:
        return True
    kind = one.type.rpartition(":")[2]
    theirs = f"its id is {whose}" if whose else "it has no id"
    raise NotLetThrough(
        f"{name} ({kind}) is there already and belongs to another environment, called {tags[ENVIRONMENT]} too: "
        f"{theirs}, and this one's is {own}; nothing was changed\n"
        "  give this environment, or its datacenter, another name"
        + (f"; where lock.yaml was lost, put `id: {whose}` back into it" if whose else "")
    )


def _role(name: str, regions: Sequence[str], clients: Clients) -> Tags:
    return _map(clients("iam", regions[0]).get_role(RoleName=name)["Role"].get("Tags"))


def _profile(name: str, regions: Sequence[str], clients: Clients) -> Tags:
    answer = clients("iam", regions[0]).get_instance_profile(InstanceProfileName=name)
    return _map(answer["InstanceProfile"].get("Tags"))


def _placement(name: str, regions: Sequence[str], clients: Clients) -> Tags:
    asked = [{"Name": "group-name", "Values": [name]}]
    for region in regions:
        for one in clients("ec2", region).describe_placement_groups(Filters=asked)["PlacementGroups"]:
            return _map(one.get("Tags"))
    return {}


def _alarm(name: str, regions: Sequence[str], clients: Clients) -> Tags:
    for region in regions:
        client = clients("cloudwatch", region)
        for one in client.describe_alarms(AlarmNames=[name])["MetricAlarms"]:
            return _map(client.list_tags_for_resource(ResourceARN=one["AlarmArn"])["Tags"])
    return {}


def _zone(name: str, regions: Sequence[str], clients: Clients) -> Tags:
    client = clients("route53", regions[0])
    answer = client.list_tags_for_resource(ResourceType="hostedzone", ResourceId=name)
    return _map(answer["ResourceTagSet"].get("Tags"))


def _bucket(name: str, regions: Sequence[str], clients: Clients) -> Tags:
    from botocore.exceptions import ClientError

    try:
        return _map(clients("s3", regions[0]).get_bucket_tagging(Bucket=name)["TagSet"])
    except ClientError as error:
        if error.response["Error"]["Code"] not in ("NoSuchTagSet", "NoSuchBucket"):
            raise
        return {}


def _balanced(name: str, regions: Sequence[str], clients: Clients) -> Tags:
    """Tags of a load balancer or of its targets, by ARN."""
    answer = clients("elbv2", name.split(":")[3]).describe_tags(ResourceArns=[name])
    return _map(answer["TagDescriptions"][0]["Tags"] if answer["TagDescriptions"] else None)


def _map(tags: Sequence[Mapping[str, str]] | None) -> Tags:
    return {one["Key"]: one["Value"] for one in tags or ()}


ASKED: Final[Mapping[str, Callable[[str, Sequence[str], Clients], Tags]]] = {
    "aws:iam/role:Role": _role,
    "aws:iam/instanceProfile:InstanceProfile": _profile,
    "aws:ec2/placementGroup:PlacementGroup": _placement,
    "aws:cloudwatch/metricAlarm:MetricAlarm": _alarm,
    "aws:lb/loadBalancer:LoadBalancer": _balanced,
    "aws:lb/targetGroup:TargetGroup": _balanced,
    "aws:route53/zone:Zone": _zone,
    "aws:s3/bucket:Bucket": _bucket,
}
"""How the tags are asked for of what is known by its name."""

BESIDE: Final = frozenset({"aws:route53/zone:Zone", "aws:s3/bucket:Bucket"})
"""Of those, what two may have: private zones of one name, and buckets whose names end otherwise."""
