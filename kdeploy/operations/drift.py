"""`drift`: what differs from what git last gave, and was not changed by git; nothing is changed.

    resources  what is not in AWS as it was made
    nodes      a node that was stopped
    files      a file of a node that was edited, removed or opened to others
    host       a kernel setting, a disk's queue, the firewall or the timer for metrics of a machine
    settings   a dynamic setting of a running broker
    topics, users, acls, quotas      what the cluster holds for its clients

Invariant: what git itself has changed since, and `up` has yet to bring, is not drift: each layer is
compared with what was put there last, which nodes and the cluster remember. No secret is in a finding.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from kdeploy.errors import KdeployError
from kdeploy.operations import aws_words, hosts, mirroring, readiness
from kdeploy.operations.progress import Silent
from kdeploy.operations.reach import WrongCluster
from kdeploy.operations.status import sites_of

if TYPE_CHECKING:
    from kdeploy.blueprint import Node
    from kdeploy.cluster.admin import Admin
    from kdeploy.infra import Strayed
    from kdeploy.operations.site import Site
    from kdeploy.spec.load import Loaded

Layer = Literal["resources", "nodes", "files", "host", "settings", "topics", "users", "acls", "quotas"]

LAYERS: Final[tuple[Layer, ...]] = (
    "resources",
    "nodes",
    "files",
    "host",
    "settings",
    "topics",
    "users",
    "acls",
    "quotas",
)
"""In the order they are told."""


@dataclass(frozen=True)
class Drifted:
    """One thing that somebody else changed.

    Attributes:
        layer: Where it is.
        datacenter: Whose.
        name: The node, topic, user or entity.
        key: What of it: a file and its setting, a setting, a permission.
        git: What git says, of nodes and files what it last gave; None where it says nothing, or it is secret.
        found: What is there; None where nothing is, or it is secret.
        winner: git: the next `up` puts it back (of resources, with --refresh). cluster: it cannot be put back, only
            accepted.
        why: What else a person should know.
        entry: Of access list entries and quotas what tells one from others, field by field.
    """

    layer: Layer
    datacenter: str
    name: str
    key: str
    git: str | None
    found: str | None
    winner: Literal["git", "cluster"] = "git"
    why: str = ""
    entry: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Drift:
    """All that somebody else changed in an environment.

    Attributes:
        environment: Its name.
        items: What, in the order of `LAYERS`.
        unseen: What could not be looked at, each with the reason.
    """

    environment: str
    items: tuple[Drifted, ...]
    unseen: tuple[str, ...] = ()


def drift(loaded: Loaded, password_file: Path | None = None) -> Drift:
    """Look at every layer of an environment; read-only.

    Args:
        loaded: The environment.
        password_file: File with the vault's password.

    Raises:
        WrongCluster: What runs is another cluster.
        KdeployError: It was never brought up.
    """
    items, unseen = list[Drifted](), list[str]()
    sites, _ = mirroring.as_decided(sites_of(loaded, Silent(), password_file), patience=10)
    if hosts.is_in_aws(loaded):
        try:
            items += in_aws(sites[0])
        except KdeployError as error:
            what, remedy = aws_words.why_and_remedy(error)
            said = "AWS could not be asked, so what became of all that was made there is not known"
            unseen.append(f"{said}: {what}" + (f"; {remedy}" if remedy else ""))
    for here in sites:
        changed, unasked = on_nodes(here)
        items += changed
        unseen += unasked
        states = here.provider.observe(here.cluster.brokers).values()
        if not any(state.running or state.unseen for state in states):
            unseen.append(f"{here.cluster.datacenter}: no broker runs, so the cluster could not be asked")
            continue
        try:
            with readiness.connected(here, patience=10) as admin:
                items += in_cluster(here, admin)
        except WrongCluster:
            raise
        except KdeployError as error:
            unseen.append(f"{here.cluster.datacenter}: {str(error).splitlines()[0]}")
    items.sort(key=lambda one: LAYERS.index(one.layer))
    return Drift(loaded.environment.name, tuple(items), tuple(unseen))


def in_aws(here: Site) -> Iterator[Drifted]:
    """What is not in AWS as the engine made it."""
    from kdeploy.operations import aws

    for one in aws.drifted(here.design, here.vault):
        datacenter = aws_words.datacenter_of(here.design, one.name)
        if one.op == "delete":
            yield Drifted(
                "resources", datacenter, one.name, aws_words.called(one), "there", None, why="it is gone"
            )
        for each in one.differs if one.op == "update" else ():
            yield Drifted(
                *("resources", datacenter, one.name, f"{aws_words.called(one)}, {each.name}"),
                *(each.before, each.after),
                why="it was changed",
            )


def on_nodes(here: Site) -> tuple[list[Drifted], list[str]]:
    """What was changed on the nodes of a cluster, and which of them cannot be asked, with the reason."""
    nodes = here.cluster.everything
    states, strayed = here.provider.observe(nodes), here.provider.strayed(nodes)
    items, unseen, silent = list[Drifted](), list[str](), dict[str, list[str]]()
    for node in nodes:
        state = states[node.key]
        if state.unseen:
            silent.setdefault(state.detail, []).append(node.name)
        elif node.key not in strayed:
            unseen.append(f"{node.name} could not be asked for its files")
        elif state.present and not state.running:
            said = ("process", "running", "stopped")
            items.append(Drifted("nodes", node.datacenter, node.name, *said, why=state.detail))
        items += [found for one in strayed.get(node.key, ()) for found in _strayed(node, one)]
    alike = [f"{', '.join(names)} cannot be asked: {why}" for why, names in silent.items()]
    return items, [*alike, *unseen]


def _strayed(node: Node, one: Strayed) -> Iterator[Drifted]:
    if one.layer == "host" or not one.name.endswith((".properties", ".cfg")):
        yield Drifted(one.layer, node.datacenter, node.name, one.name, one.last, one.found, why=one.why)
        return
    before, after = _settings(one.last), _settings(one.found)
    altered = [key for key in sorted(before | after) if before.get(key) != after.get(key)]
    if one.found is None or one.last is None or not altered:
        yield Drifted("files", node.datacenter, node.name, one.name, one.last, one.found, why=one.why)
        return
    for key in altered:
        name = f"{one.name}: {key}"
        yield Drifted("files", node.datacenter, node.name, name, before.get(key), after.get(key), why=one.why)


def _settings(text: str | None) -> dict[str, str]:
    """Settings of a .properties file by name; a line that is none stands for itself."""
    lines = [line.strip() for line in (text or "").splitlines()]
    pairs = [line.partition("=") for line in lines if line and not line.startswith("#")]
    return {name.strip(): value.strip() for name, _, value in pairs}


def in_cluster(here: Site, admin: Admin) -> Iterator[Drifted]:
    """What was changed over the Kafka protocol."""
    yield from _settings_of_brokers(here, admin)
    yield from _resources(here, admin)


def _resources(here: Site, admin: Admin) -> Iterator[Drifted]:
    """Topics, users, access lists and quotas that are neither what git says nor what kdeploy gave last."""
    from kdeploy.cluster import acl, quotas, reconcile

    environment = here.declared
    observed = reconcile.observe(environment, admin, here.passwords())
    bindings = {str(one): one for one in (*acl.declared(environment), *(observed.bindings or ()))}
    entities = {str(one): one for one in (*quotas.declared(environment), *observed.quotas)}
    for one in reconcile.drift(environment, observed):
        apart = bindings.get(one.key) if one.layer == "acls" else entities.get(one.name)
        why = "git changed it too" if one.cause == "both" and one.last is not None else ""
        yield Drifted(
            *(one.layer, here.cluster.datacenter, one.name, one.key or "it"),
            one.git,
            one.found,
            one.winner,
            why,
            asdict(apart) if apart is not None and one.layer in ("acls", "quotas") else {},
        )


def _settings_of_brokers(here: Site, admin: Admin) -> Iterator[Drifted]:
    """Dynamic values that somebody gave to running brokers; those outrank files."""
    from kdeploy.cluster import live
    from kdeploy.cluster.state import EVERY_BROKER

    brokers = here.cluster.brokers
    states = here.provider.observe(brokers)
    # A file that is about to change, or was edited, is told as such: what its broker has is no drift of its own.
    # What all brokers together have is never kdeploy's.
    calm = {
        node.id
        for node in brokers
        if states[node.key].applied == here.provider.wanted(node, here.secrets(node))
    } | {EVERY_BROKER}
    for change in live.changes(here.live_settings(brokers), admin):
        for name, given in sorted(change.settings.items()) if change.broker in calm else ():
            if given.before != given.after:
                datacenter = here.cluster.datacenter
                yield Drifted("settings", datacenter, change.name, name, given.after, given.before)
