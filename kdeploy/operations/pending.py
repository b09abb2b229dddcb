"""What would change, as one list over all layers: the value that preview shows, apply tells and --expect compares.

Invariant: pure, and without any secret: of a secret file an item says that it changed. The same files,
nodes and cluster give the same list in the same order.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, Literal, get_args

if TYPE_CHECKING:
    from kdeploy.cluster.change import Change

Layer = Literal[
    "resources", "host", "files", "nodes", "settings", "topics", "users", "acls", "quotas", "mirrors", "cost"
]
"""Where a change takes place, in the order in which `up` carries them out. resources: what a cloud is told to have;
host: what a machine's kernel and firewall are told; settings: values that running brokers are given; mirrors: connectors of
MirrorMaker."""

LAYERS: Final[tuple[Layer, ...]] = get_args(Layer)

Effect = Literal["create", "change", "remove", "start", "restart", "none"]
"""What becomes of the thing; none for what only accompanies another change (a node's files, a price)."""


@dataclass(frozen=True)
class Item:
    """One thing that would change.

    Attributes:
        datacenter: Whose cluster it is in.
        layer: Where.
        kind: What is done, from a closed list.
        name: The node, topic, user or entity that it is done to.
        what: What is done, in words and values; without the reason.
        why: The reason, where it is not plain from `what`.
        before: What it is now, where one value says it; of a file the SHA-256 of its text.
        after: What it would be then.
        effect: What becomes of it.
        path: The file, in layers files and host.
        diff: The file's text now against the wanted one (unified, without its two head lines); empty for secrets.
    """

    datacenter: str
    layer: Layer
    kind: str
    name: str
    what: str
    why: str = ""
    before: str | None = None
    after: str | None = None
    effect: Effect = "change"
    path: str | None = None
    diff: str = ""

    @property
    def restart(self) -> bool:
        """Whether a running node is stopped for it."""
        return self.effect == "restart"

    @property
    def identity(self) -> tuple[str | None, ...]:
        """What two items that are the same change agree in: all but reasons, which hold moments and process ids."""
        return identity(self.to_json())

    def to_json(self) -> dict[str, Any]:
        """The item as JSON values."""
        return {name: getattr(self, name) for name in FIELDS}


FIELDS: Final = (
    *("datacenter", "layer", "kind", "name", "what", "why", "before", "after"),
    *("restart", "effect", "path", "diff"),
)
"""Fields of an item's JSON."""


def identity(document: Mapping[str, Any]) -> tuple[str | None, ...]:
    """`Item.identity` of an item's JSON.

    Raises:
        KeyError: A field is missing.
    """
    found = {name: document[name] for name in IDENTITY}
    if found["path"] and (found["before"] or found["after"]):  # the file's whole text says more
        found["what"] = ""
    return tuple(found.values())


IDENTITY: Final = ("datacenter", "layer", "kind", "name", "what", "before", "after", "path")
"""Fields that make a change the same change."""

KINDS: Final[Mapping[str, tuple[Layer, Effect, str]]] = {
    "alter-broker-config": ("settings", "change", "name"),
    "create-topic": ("topics", "create", "topic.name"),
    "add-partitions": ("topics", "change", "topic"),
    "alter-topic-config": ("topics", "change", "topic"),
    "alter-replication": ("topics", "change", "topic"),
    "delete-topic": ("topics", "remove", "topic"),
    "create-user": ("users", "create", "user"),
    "set-password": ("users", "change", "user"),
    "shut-out-user": ("users", "remove", "user"),
    "create-acl": ("acls", "create", "binding.user"),
    "delete-acl": ("acls", "remove", "binding.user"),
    "set-quota": ("quotas", "change", "entity"),
    "delete-quota": ("quotas", "remove", "entity"),
}
"""Each kind of change of `cluster.change`: its layer, its effect, and where in it the name of the thing is.
A new kind needs a row here; a test holds this table against the closed list of kinds."""


CAUSES: Final[Mapping[str, str]] = {
    "drift": "it was changed behind our back",
    "both": "the files changed, and so did the cluster, behind our back",
}
"""Why a change is needed, by its `cause`, where that is not the files alone."""


def of_change(datacenter: str, change: Change) -> tuple[Item, ...]:
    """A change through the Kafka protocol as items: one, or one for each setting of a broker."""
    from kdeploy.cluster.change import AlterBrokerConfig

    layer, effect, place = KINDS[change.kind]
    if isinstance(change, AlterBrokerConfig):
        alone = (replace(change, settings={key: given}) for key, given in sorted(change.settings.items()))
        return tuple(_of_setting(datacenter, one) for one in alone)
    found: object = change
    for step in place.split("."):
        found = getattr(found, step)
    before, after = (_text(getattr(change, end, None)) for end in ("before", "after"))
    why = CAUSES.get(getattr(change, "cause", "git"), "")
    return (Item(datacenter, layer, change.kind, str(found), str(change), why, before, after, effect),)


def _of_setting(datacenter: str, change: Any) -> Item:  # noqa: ANN401 - an AlterBrokerConfig, imported late
    (given,) = change.settings.values()
    what = str(change).partition("run: " if change.name == "every broker" else "runs: ")[2]
    why = CAUSES.get(getattr(change, "cause", "git"), "")
    return Item(
        datacenter, "settings", change.kind, change.name, what, why, given.before, given.after, "change"
    )


def _text(value: object) -> str | None:
    if value is None:
        return None
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_said(one)}" for key, one in sorted(value.items())) or None
    return str(value)


def _said(value: object) -> str:
    """A value of one setting or limit; what is taken away is unset."""
    return "unset" if value is None else f"{value:.15g}" if isinstance(value, float) else str(value)


def ordered(items: Iterable[Item]) -> tuple[Item, ...]:
    """Items by layer, then by cluster and name as people count: broker-2 before broker-10."""
    return tuple(
        sorted(
            items,
            key=lambda one: (
                LAYERS.index(one.layer),
                one.datacenter,
                one.path or "",
                natural(one.name),
                one.kind,
                one.what,
            ),
        )
    )


def natural(text: str) -> tuple[tuple[int, int, str], ...]:
    """A key that sorts numbers in names by their value."""
    parts = re.findall(r"[0-9]+|[^0-9]+", text)
    return tuple((0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts)


def digest(text: str) -> str:
    """SHA-256 of a text, in hex."""
    return hashlib.sha256(text.encode()).hexdigest()


COUNTED: Final[tuple[Effect, ...]] = ("create", "change", "remove", "start", "restart")
"""Effects in the order in which a summary counts them."""


def counts(items: Iterable[Item]) -> dict[str, int]:
    """How many things of each effect, and how many files."""
    found = dict.fromkeys((*COUNTED, "files"), 0)
    for one in items:
        if one.effect in found:
            found[one.effect] += 1
        found["files"] += one.path is not None
    return found


def summary(items: Iterable[Item]) -> str:
    """`3 to create, 2 to change, 1 to restart; 4 files differ`."""
    found = counts(items)
    said = ", ".join(f"{found[effect]} to {effect}" for effect in COUNTED if found[effect])
    files = found["files"]
    differ = f"{files} file{'s' if files != 1 else ''} differ{'' if files != 1 else 's'}" if files else ""
    return "; ".join(part for part in (said, differ) if part)
