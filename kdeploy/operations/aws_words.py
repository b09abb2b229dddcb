"""What would change in AWS, in words: as items of a preview, as reasons, as one line.

Invariant: pure; nothing is asked and nothing is changed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from kdeploy.operations.pending import Effect, Item

if TYPE_CHECKING:
    from kdeploy.errors import KdeployError
    from kdeploy.infra.aws.changes import ResourceChange, State
    from kdeploy.operations.aws import Outlook
    from kdeploy.operations.prepare import Design


def reason(changes: Sequence[ResourceChange]) -> str:
    """Why a running node's machine has to be changed, in words."""
    said = []
    for one in (one for one in changes if one.is_disturbing):
        differs = ", ".join(map(str, one.differs))
        what = {"update": "changes", "replace": "is replaced", "delete": "is deleted", "create": "is made"}[
            one.op
        ]
        said.append(f"its {WORDS.get(one.kind, one.kind)} {what}" + (f": {differs}" if differs else ""))
    return "; ".join(said)


def stopped(looked: Outlook, state: State | None) -> str:
    """That somebody else stopped machines, and how they are started; empty where none is known to be.

    Args:
        looked: What was looked at, and what AWS was asked of.
        state: What the stack's state holds since.
    """
    found = [
        one
        for one in (state.resources if state else ())
        if one.instance_state in ("stopping", "stopped") and (looked.refresh or one.urn in looked.asked)
    ]
    clusters = looked.design.blueprint.clusters
    regions = {cluster.datacenter: cluster.place.region for cluster in clusters if cluster.place}
    by_region: dict[str, list[str]] = {}
    for one in found:
        by_region.setdefault(regions[datacenter_of(looked.design, one.name)], []).append(one.id)
    commands = [
        f"\n    aws ec2 start-instances --region {region} --instance-ids {' '.join(ids)}"
        for region, ids in by_region.items()
    ]
    names, them = ", ".join(one.name for one in found), "them" if len(found) > 1 else "it"
    said = f"{names}: stopped in AWS by somebody else, and no node was changed\n  start {them}, then run this again:"
    return said + "".join(commands) if found else ""


def names_to_make(design: Design, outputs: Mapping[str, Any]) -> Iterator[str]:
    """What a person has to do so that clients outside find the load balancers whose names kdeploy does not make.

    Args:
        design: The environment's design.
        outputs: What the stack exports.
    """
    made = outputs.get("clusters") or {}
    for cluster in design.blueprint.clusters:
        balancer = cluster.place.balancer if cluster.place else None
        called = (made.get(cluster.datacenter) or {}).get("balancer")
        if balancer is not None and balancer.zone is None and called:
            yield f"{balancer.name} has to lead to {called}: make it an alias of that (CNAME) in its zone"


WORDS: Final = {
    "Instance": "machine",
    "NetworkInterface": "network interface",
    "VolumeAttachment": "volume's attachment",
    "Volume": "volume",
    "SecurityGroupIngressRule": "security group's rule",
    "SecurityGroupEgressRule": "security group's rule",
    "Zone": "private DNS zone",
    "Record": "DNS record",
    "LoadBalancer": "load balancer",
    "TargetGroup": "load balancer's targets",
    "TargetGroupAttachment": "load balancer's target",
    "Listener": "load balancer's port",
}
"""What people call a resource, where its type is not plain."""

EFFECTS: Final[Mapping[str, Effect]] = {
    "create": "create",
    "update": "change",
    "replace": "change",
    "delete": "remove",
}


def items(design: Design, looked: Outlook) -> tuple[Item, ...]:
    """What the engine would do, as items of layer resources."""
    return tuple(_item(design, looked, one) for one in looked.changes)


def checked(looked: Outlook) -> tuple[str, ...]:
    """What came of the checks, a sentence each."""
    held = [one.name for one in looked.checks if one.ok]
    broken = [
        f"check {one.name} does not hold: {each.resource}: {each.wrong}"
        for one in looked.checks
        for each in one.violations
    ]
    told = [f"advised against: {one}" for one in looked.advised]
    if looked.packs:
        told.append(f"policy packs let it through: {', '.join(looked.packs)}")
    return (*broken, *([f"checked in AWS, and so: {', '.join(held)}"] if held else []), *told)


def why_and_remedy(error: KdeployError) -> tuple[str, str]:
    """Why AWS or its engine could not be asked, and what to do about it, in a line each."""
    first, *others = (line.strip(" -") for line in str(error).splitlines())
    if first.endswith(":") and others:  # what follows is what went wrong, and then what to do
        first, *others = others
    return first, "; ".join(others)


def _item(design: Design, looked: Outlook, one: ResourceChange) -> Item:
    stopped = next((key for key, some in looked.disturbed.items() if one in some and one.is_disturbing), None)
    why = ", ".join(map(str, one.differs))
    if stopped:
        why += ("; " if why else "") + f"{stopped.partition('/')[2]} is stopped for it, in its turn"
        losing = {node.key for node in design.blueprint.nodes if node.loses_data_on_stop}
        why += (
            ", loses its data with it, and gets all of it anew from the others" if stopped in losing else ""
        )
    datacenter, what = datacenter_of(design, one.name), f"{one.op} {called(one)}"
    return Item(datacenter, "resources", f"{one.op}-resource", one.name, what, why, effect=EFFECTS[one.op])


def called(one: ResourceChange) -> str:
    """What people call a resource."""
    return WORDS.get(one.kind, one.kind)


def datacenter_of(design: Design, name: str) -> str:
    """The datacenter that a resource is in, by its logical name; the first one where it is of all of them."""
    datacenters = [cluster.datacenter for cluster in design.blueprint.clusters]
    # The longest name that fits: eu-west-1-b is no resource of eu-west-1.
    own = [one for one in datacenters if name == one or name.startswith(f"{one}-")]
    return max(own, key=len) if own else datacenters[0]


def summary(changes: Sequence[ResourceChange]) -> str:
    """`12 to create, 1 to update`."""
    counted = {op: sum(one.op == op for one in changes) for op in ("create", "update", "replace", "delete")}
    return ", ".join(f"{count} to {op}" for op, count in counted.items() if count) + " in AWS"
