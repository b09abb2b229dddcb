"""What the engine would do, and what its state holds: resources, as values.

Invariant: pure, and without secrets: what the engine marks as secret is shown by its name alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal

from kdeploy.infra.aws.policy import Planned

Op = Literal["create", "update", "replace", "delete"]

OPS: Final[Mapping[str, Op]] = {
    "create": "create",
    "import": "create",
    "update": "update",
    "delete": "delete",
    "replace": "replace",
    "create-replacement": "replace",
    "import-replacement": "replace",
    "delete-replaced": "replace",
}
"""Steps of the engine (`pulumi.automation.events.OpType`) that change something, and what they come to."""

SECRET: Final = "4dabf18193072939515e22adb298388d"  # noqa: S105 - a mark, no secret
"""Key that marks a wrapped value in the engine's data (pulumi sdk/go/common/resource/sig, read 2026-11-27)."""

CALM: Final = frozenset(
    {
        *("tags", "tagsAll", "volumeTags", "vpcSecurityGroupIds", "iamInstanceProfile", "metadataOptions"),
        *(
            "monitoring",
            "disableApiTermination",
            "sourceDestCheck",
            "rootBlockDevice",
            "userDataReplaceOnChange",
        ),
    }
)
"""Properties of an instance that change while it runs, without what runs on it noticing (Amazon EC2 API Reference,
ModifyInstanceAttribute, ModifyInstanceMetadataOptions and ModifyVolume: all others want it stopped)."""

INSTANCE: Final = "aws:ec2/instance:Instance"
ATTACHED: Final = frozenset(
    {"aws:ec2/networkInterface:NetworkInterface", "aws:ec2/volumeAttachment:VolumeAttachment"}
)
"""Resources that a running instance has in use, so that replacing one stops what runs there."""


@dataclass(frozen=True)
class Property:
    """A value that differs.

    Attributes:
        name: The property, as pulumi-aws names it.
        before: What it is; None where there is none, or it is no plain value.
        after: What it would be.
    """

    name: str
    before: str | None
    after: str | None

    def __str__(self) -> str:
        if self.before is None and self.after is None:
            return self.name
        return f"{self.name} {self.before or 'unset'} → {self.after or 'unset'}"


@dataclass(frozen=True)
class ResourceChange:
    """One resource that would change.

    Attributes:
        urn: The engine's name of it.
        type: Its type, `aws:ec2/instance:Instance`.
        name: Its logical name, `eu-west-1-broker-1`.
        op: What becomes of it.
        differs: What of it differs (update, replace).
    """

    urn: str
    type: str
    name: str
    op: Op
    differs: tuple[Property, ...] = ()

    @property
    def kind(self) -> str:
        """The last word of its type: `Instance`."""
        return self.type.rpartition(":")[2]

    @property
    def is_grouping(self) -> bool:
        """Whether it only groups others: a component, the stack itself, or the way to a region."""
        return self.type.startswith(("kdeploy:", "pulumi:"))

    @property
    def is_disturbing(self) -> bool:
        """Whether carrying it out stops what runs on the instance that it belongs to."""
        if self.type == INSTANCE:
            gone = self.op in ("replace", "delete")
            return gone or (self.op == "update" and any(one.name not in CALM for one in self.differs))
        return self.type in ATTACHED and self.op in ("replace", "delete")


@dataclass(frozen=True)
class Step:
    """One step that the engine tells of.

    Attributes:
        op: As `pulumi.automation.events.OpType`.
        urn, type: Of the resource.
        differs: Names of what differs.
        before, after: Inputs.
        protect: Whether it is protected.
        retain: Whether it stays when its resource goes.
    """

    op: str
    urn: str
    type: str
    differs: tuple[str, ...] = ()
    before: Mapping[str, Any] = field(default_factory=dict)
    after: Mapping[str, Any] = field(default_factory=dict)
    protect: bool = False
    retain: bool = False


UNKNOWN: Final = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
"""Stands for what is known only once it is made (pulumi sdk/go/common/resource/plugin/rpc.go, read 2026-11-27)."""


def planned(steps: Iterable[Step]) -> tuple[Planned, ...]:
    """Resources as they would be, for the checks of `policy`; what is known later is left out."""
    found: dict[str, Planned] = {}
    for step in steps:
        if step.op in ("delete", "delete-replaced", "discard", "refresh", "read"):
            continue
        inputs = {name: value for name, value in step.after.items() if UNKNOWN not in str(value)}
        found[step.urn] = Planned(
            step.type, step.urn.rpartition("::")[2], inputs, protect=step.protect, retain=step.retain
        )
    return tuple(found.values())


def collected(steps: Iterable[Step]) -> tuple[ResourceChange, ...]:
    """Changes of a run: one for each resource, whatever number of steps it takes; in the engine's order."""
    found: dict[str, ResourceChange] = {}
    for step in steps:
        op = OPS.get(step.op)
        if op is None:
            continue
        before = found.get(step.urn)
        if before is not None and before.op == "replace":
            op = "replace"
        differs = _properties(step) or (before.differs if before else ())
        name = step.urn.rpartition("::")[2]
        found[step.urn] = ResourceChange(
            step.urn, step.type, name, op, () if op in ("create", "delete") else differs
        )
    return tuple(found.values())


def strayed(steps: Iterable[Step]) -> tuple[ResourceChange, ...]:
    """As `collected`, of what a refresh found: without what AWS fills in by itself where nothing was asked."""
    told = []
    for step in steps:
        differs = tuple(one for one in step.differs if _was_asked(one, step.before))
        if step.op != "update" or differs:
            told.append(replace(step, differs=differs))
    return collected(told)


def _was_asked(path: str, inputs: Mapping[str, Any]) -> bool:
    """Whether a property was asked for, by its path; a tag is somebody's wherever it is."""
    value: object = inputs
    for step in re.findall(r"[^.\[\]\"]+", path):
        if step in ("tags", "tagsAll"):
            return bool(step == "tags")
        if isinstance(value, Mapping):
            value = value.get(step)
        elif isinstance(value, list | tuple) and step.isdecimal() and int(step) < len(value):
            value = value[int(step)]
        else:
            return False
    return value is not None


def _properties(step: Step) -> tuple[Property, ...]:
    names = dict.fromkeys(one.partition(".")[0].partition("[")[0] for one in step.differs)
    return tuple(
        Property(name, _plain(step.before.get(name)), _plain(step.after.get(name))) for name in sorted(names)
    )


def _plain(value: object) -> str | None:
    """A value as a person reads it, where it is one word or number; nothing of what is secret."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value) if isinstance(value, str | int | float) and len(str(value)) <= 80 else None


def of_node(changes: Sequence[ResourceChange], datacenter: str, node: str) -> tuple[ResourceChange, ...]:
    """Changes of a node's own resources: their names begin with the datacenter's and the node's."""
    return tuple(one for one in changes if is_of_node(one.name, datacenter, node))


def is_of_node(name: str, datacenter: str, node: str) -> bool:
    """Whether a logical name is that of a node's machine, or of what belongs to it."""
    own = f"{datacenter}-{node}"
    return name == own or name.startswith(f"{own}-")


@dataclass(frozen=True)
class Resource:
    """A resource in the state.

    Attributes:
        urn: The engine's name of it.
        type: Its type.
        id: AWS's name of it; empty for what only groups others.
        inputs: What it was asked to be.
        instance_state: What an instance was in when AWS was last asked, `running`; empty for all else.
    """

    urn: str
    type: str
    id: str
    inputs: Mapping[str, Any]
    instance_state: str = ""

    @property
    def name(self) -> str:
        """Its logical name."""
        return self.urn.rpartition("::")[2]


@dataclass(frozen=True)
class State:
    """What a stack's state holds.

    Attributes:
        outputs: What the program exported last.
        resources: Everything that was made.
        pending: What was being made when an engine was killed: nobody knows whether it is there.
    """

    outputs: Mapping[str, Any] = field(default_factory=dict)
    resources: tuple[Resource, ...] = ()
    pending: tuple[Resource, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether nothing of AWS is in it."""
        return not any(one.id and one.type.startswith("aws:") for one in self.resources) and not self.pending


def state(deployment: Mapping[str, Any]) -> State:
    """Read an exported deployment (its version 3, `pulumi stack export`)."""
    resources = tuple(_resource(one) for one in deployment.get("resources") or ())
    stack: Mapping[str, Any] = next(
        (one for one in deployment.get("resources") or () if one["type"] == "pulumi:pulumi:Stack"), {}
    )
    pending = tuple(
        _resource(one["resource"])
        for one in deployment.get("pending_operations") or ()
        if one.get("type") == "creating"
    )
    return State(_shown(stack.get("outputs") or {}), resources, pending)


def _resource(one: Mapping[str, Any]) -> Resource:
    outputs = one.get("outputs") or {}
    state = str(outputs.get("instanceState", "")) if one["type"] == INSTANCE else ""
    return Resource(one["urn"], one["type"], one.get("id", ""), one.get("inputs") or {}, state)


def _shown(outputs: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: value for name, value in outputs.items() if not (isinstance(value, dict) and SECRET in value)
    }
