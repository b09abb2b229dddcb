"""`preview`: what `up` would do, over all layers and with reasons, without doing any of it.

Invariant: the list is made by the same functions that `up` acts on, and nothing of it is
written: no lock, no vault, no file of a node. Only to ask a cluster that runs are the
administrator's files put in place, as every command does that asks one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from kdeploy.operations import expiry, files, notes, pending, places, prepare, readiness, site
from kdeploy.operations.difference import Action, actions
from kdeploy.operations.pending import Effect, Item
from kdeploy.operations.progress import Silent

if TYPE_CHECKING:
    from kdeploy.blueprint import ClusterBlueprint, Node
    from kdeploy.cluster.change import Change
    from kdeploy.cluster.reconcile import Plan
    from kdeploy.infra import NodeState, Provider, Standing
    from kdeploy.security.vault import Vault
    from kdeploy.spec.load import Loaded

PREVIEW_SCHEMA: Final = "kdeploy.preview/v2"


@dataclass(frozen=True)
class ClusterPreview:
    """What `up` would do to one cluster.

    Attributes:
        datacenter: Its name.
        items: Everything that would change, in the order of `pending.ordered`.
        compared: Whether its topics, users, ACLs and running settings could be looked at: not while it is down,
            so that everything declared is checked when it is up.
        notes: What `up` leaves as it is and a person should know, a sentence each.
    """

    datacenter: str
    items: tuple[Item, ...]
    compared: bool
    notes: tuple[str, ...] = ()

    @property
    def pending(self) -> bool:
        """Whether `up` would change anything."""
        return not self.compared or any(one.layer != "cost" for one in self.items)


@dataclass(frozen=True)
class Preview:
    """What `up` would do to an environment.

    Attributes:
        environment: Its name.
        clusters: Each of its clusters.
        notes: What nobody changes and a person should know, a sentence each.
    """

    environment: str
    clusters: tuple[ClusterPreview, ...]
    notes: tuple[str, ...] = ()

    @property
    def pending(self) -> bool:
        """Whether `up` would change anything."""
        return any(cluster.pending for cluster in self.clusters)

    @property
    def items(self) -> tuple[Item, ...]:
        """Everything that would change, in every cluster."""
        return pending.ordered(item for cluster in self.clusters for item in cluster.items)

    def to_json(self) -> dict[str, Any]:
        """The contract `kdeploy.preview/v2`: the same world gives the same bytes."""
        clusters = [
            {"datacenter": one.datacenter, "pending": one.pending, "compared": one.compared}
            for one in self.clusters
        ]
        return {
            "schema": PREVIEW_SCHEMA,
            "environment": self.environment,
            "pending": self.pending,
            "clusters": clusters,
            "summary": pending.counts(self.items),
            "changes": [item.to_json() for item in self.items],
            "notes": list(self.notes),
        }


def preview(loaded: Loaded, password_file: Path | None = None) -> Preview:
    """Compare an environment with what runs; read-only.

    Raises:
        WrongCluster: What runs at its addresses is another cluster.
        KdeployError: As `up` would be refused.
    """
    site.refuse_undeployable(loaded)
    return of_design(prepare.design(loaded, freeze=True), password_file)


def of_design(design: prepare.Design, password_file: Path | None = None) -> Preview:
    """As `preview`, of an environment that is designed already."""
    there = places.vault_file(design.loaded).exists()
    vault = prepare.completed_vault(design, password_file).vault if there else None
    if vault is not None:
        expiry.refuse_ended(design, vault)
    provider, resources, unseen, checks = _resources(design, vault)
    more = (*resources, *cost_items(design, provider))
    clusters = [_preview(design, cluster, vault, provider) for cluster in design.blueprint.clusters]
    notes = dict.fromkeys([*unseen, *checks, *(note for cluster in clusters for note in cluster.notes)])
    priced = tuple(
        replace(
            one,
            items=pending.ordered(
                [*one.items, *(item for item in more if item.datacenter == one.datacenter)]
            ),
            compared=one.compared and not unseen,
        )
        for one in clusters
    )
    return Preview(design.loaded.environment.name, priced, tuple(notes))


def _resources(
    design: prepare.Design, vault: Vault | None
) -> tuple[Provider, tuple[Item, ...], tuple[str, ...], tuple[str, ...]]:
    """Where nodes come from; what would change in AWS; that it could not be asked, where so; what was checked."""
    from kdeploy.operations import hosts

    if not hosts.is_in_aws(design.loaded):
        return site.provider_of(design, Silent(), vault), (), (), ()
    from kdeploy.infra.aws.failure import CloudError
    from kdeploy.operations import aws

    try:
        looked = aws.outlook(design, vault, Silent())
    except CloudError as error:
        reason = "; ".join(line.strip(" -") for line in str(error).splitlines()[1:2])
        unseen = f"AWS could not be asked, so what would change there is not in this list: {reason}"
        return aws.known(design, vault, Silent()), (), (unseen,), ()
    return looked.provider, aws.items(design, looked), (), aws.checked(looked)


def _preview(
    design: prepare.Design, cluster: ClusterBlueprint, vault: Vault | None, provider: Provider
) -> ClusterPreview:
    name = cluster.datacenter
    if vault is None:
        states = provider.observe(cluster.nodes)
        todo = actions(cluster.nodes, states, {node.key: "" for node in cluster.nodes})
        made = (_of_action(action, states[action.node.key], (), None) for action in todo)
        return ClusterPreview(name, pending.ordered(one for one in made if one is not None), compared=False)
    here = site.site_of(design, cluster, vault, Silent(), provider)
    todo = here.compare()
    states = here.provider.observe(cluster.nodes)
    restarting = [action.node.key for action in todo if action.kind == "restart"]
    seen = _held(here, states, restarting)
    changes, notes = seen or ((), ())
    items = [*_of_nodes(here, todo, states)]
    items += [item for change in changes for item in pending.of_change(name, change)]
    return ClusterPreview(name, pending.ordered(items), seen is not None, notes)


def _held(
    here: site.Site, states: Mapping[str, NodeState], restarting: Sequence[str]
) -> tuple[tuple[Change, ...], tuple[str, ...]] | None:
    """What would change through the Kafka protocol, and what stays undeclared; None where the cluster is not up."""
    from kdeploy.cluster.failure import TimedOut, Unreachable
    from kdeploy.errors import Unhealthy

    if not any(states[node.key].running or states[node.key].unseen for node in here.cluster.brokers):
        return None
    try:
        with readiness.connected(here, patience=5) as admin:
            planned = len(here.cluster.brokers)  # `up` starts those that do not run yet first
            plan = readiness.pending(here, admin, restarting, planned=planned)
            topics = {one.topic for one in admin.metadata().partitions}
            return plan.changes, (*undeclared(plan, topics), *notes.of(here.design.loaded, plan, topics))
    except (Unreachable, TimedOut, Unhealthy):
        return None


def undeclared(plan: Plan, topics: Set[str]) -> tuple[str, ...]:
    """A sentence for each thing that kdeploy made and no file declares any more: it stays until someone says more.

    Args:
        plan: What is to be done, with the record of what was made.
        topics: Names of the topics that are there.
    """
    record, environment = plan.observed.record, plan.environment
    declared = {topic.name for topic in environment.topics}
    users = {user.name for user in environment.users}
    found = [
        *(
            f"topic {name}"
            for name, one in sorted(record.topics.items())
            if one.made and name in topics - declared
        ),
        *(
            f"user {name}"
            for name, one in sorted(record.users.items())
            if one.made and not one.shut_out and name not in users
        ),
    ]
    return tuple(
        f"{one} is no longer declared and stays; to be rid of it, mark it `delete: true`" for one in found
    )


def _of_nodes(here: site.Site, todo: Sequence[Action], states: Mapping[str, NodeState]) -> list[Item]:
    """Nodes that need something, and the files of those that are there already."""
    busy = [action.node for action in todo if action.kind not in ("none", "create", "unseen")]
    standing = here.provider.standing(busy)
    is_of_host = _host_files(here.cluster)
    items = []
    for action in todo:
        node = action.node
        there = standing.get(node.key)
        differ = files.differences(node, here.secrets(node), there) if there else ()
        items += [_of_file(node, one, is_of_host(one.path)) for one in differ]
        item = _of_action(action, states[node.key], differ, there)
        items += [item] if item else []
    return items


def cost_items(design: prepare.Design, provider: Provider | None = None) -> tuple[Item, ...]:
    """What machines and volumes cost a month before and after, where both have a price and they differ.

    Before is what the lock that was found says; where the provider knows what its machines are, by what they are
    now, so that a lock which was written anew already does not hide what its change costs.
    """
    from kdeploy.infra import KnowsTypes
    from kdeploy.planner.locked import parts

    discount = design.loaded.environment.planner.price_discount
    after = {one.name: parts(one, discount) for one in design.lock.datacenters}
    before: dict[str, dict[str, float] | None] = {}
    if isinstance(provider, KnowsTypes):
        for cluster in design.blueprint.clusters:
            known = provider.types(cluster.nodes)
            types = {node.name: known[node.key] for node in cluster.nodes if node.key in known}
            previous = design.previous or design.lock
            for one in (one for one in previous.datacenters if one.name == cluster.datacenter):
                before[one.name] = parts(one, discount, types)
    elif design.previous is not None:
        before = {one.name: parts(one, discount) for one in design.previous.datacenters}
    return tuple(
        _of_cost(name, old, new)
        for name, new in after.items()
        if new is not None and (old := before.get(name)) is not None and new != old
    )


def _of_cost(datacenter: str, before: Mapping[str, float], after: Mapping[str, float]) -> Item:
    whole = [sum(before.values()), sum(after.values())]
    old, new = (f"${usd:,.0f}" for usd in whole)
    what = f"machines and volumes: {old} → {new} a month, {_more(whole[1] - whole[0])}"
    why = ", ".join(
        f"{part} {_more(usd - before[part])}" for part, usd in after.items() if usd != before[part]
    )
    return Item(datacenter, "cost", "cost", datacenter, what, why, old, new, "none")


def _more(usd: float) -> str:
    return f"${abs(usd):,.0f} {'more' if usd > 0 else 'less'}"


def _host_files(cluster: ClusterBlueprint) -> Callable[[str], bool]:
    """Tells files that set up a machine from those of its node; on this machine there are none."""
    if cluster.provider == "local":
        return lambda path: False
    from kdeploy.infra.hosts.archive import is_of_host

    return is_of_host


def _of_action(
    action: Action, state: NodeState, differ: Sequence[files.Difference], there: Standing | None
) -> Item | None:
    node = action.node
    if action.kind == "none":
        return None
    why = action.reason
    if action.kind == "restart":
        why = files.why_restart(node, differ, there) or why
    elif action.kind == "update":
        why = files.why_update(differ) or _drift(state) or why
    effect: Effect = "none" if action.kind == "update" or action.kind == "unseen" else action.kind
    what = f"{node.name} cannot be asked" if action.kind == "unseen" else f"{action.kind} {node.name}"
    return Item(
        node.datacenter,
        "nodes",
        action.kind,
        node.name,
        what,
        why,
        None,
        None,
        effect,
    )


def _drift(state: NodeState) -> str:
    """What a host shows beside its process, as `vm.swappiness is 60, wanted 1`."""
    return "; ".join(part.strip() for part in state.detail.split(";")[1:])


def _of_file(node: Node, one: files.Difference, of_host: bool) -> Item:
    kind = (
        "create-file"
        if one.what == "new"
        else "remove-file"
        if one.what == "no longer needed"
        else "change-file"
    )
    by_hand = (
        "it was changed by hand since it was put there"
        if one.by_hand and one.what != "others may read it"
        else ""
    )
    hashes = [None if text is None else pending.digest(text) for text in (one.before, one.after)]
    return Item(
        *(node.datacenter, "host" if of_host else "files", kind, node.name, one.what, by_hand),
        *(hashes[0], hashes[1], "none", one.path, one.diff),
    )
