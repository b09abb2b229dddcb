"""`preview`: what `up` would do, over all layers and with reasons, without doing any of it.

Invariant: the list is made by the same functions that `up` acts on, and nothing of it is
written: no lock, no vault, no file of a node. Only to ask a cluster that runs are the
administrator's files put in place, as every command does that asks one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from kdeploy.operations import (
    belonging,
    expiry,
    files,
    mirroring,
    notes,
    pending,
    places,
    prepare,
    readiness,
    site,
)
from kdeploy.operations.difference import Action, actions
from kdeploy.operations.pending import Effect, Item
from kdeploy.operations.progress import Silent

if TYPE_CHECKING:
    from kdeploy.blueprint import ClusterBlueprint, Node
    from kdeploy.cluster.change import Change
    from kdeploy.cluster.direction import Direction
    from kdeploy.cluster.reconcile import Plan
    from kdeploy.infra import NodeState, Provider, Standing
    from kdeploy.planner.costs import Beside
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


def preview(
    loaded: Loaded,
    password_file: Path | None = None,
    manner: site.Manner = site.Manner(),  # noqa: B008 - frozen
) -> Preview:
    """Compare an environment with what runs; read-only.

    Args:
        loaded: The environment.
        password_file: File with the vault's password.
        manner: How `up` would be told to do it: what is left out, and how fast copies are moved.

    Raises:
        UsageError: There is no node of the name that is to be left out, or nothing in AWS that could be asked for.
        WrongCluster: What runs at its addresses is another cluster.
        KdeployError: As `up` would be refused.
    """
    site.refuse_undeployable(loaded, manner)
    if not manner.take_over:
        belonging.refuse_other(loaded)
    return of_design(prepare.design(loaded, freeze=True), password_file, manner)


def of_design(
    design: prepare.Design,
    password_file: Path | None = None,
    manner: site.Manner = site.Manner(),  # noqa: B008 - frozen
) -> Preview:
    """As `preview`, of an environment that is designed already."""
    there = places.vault_file(design.loaded).exists()
    vault = prepare.completed_vault(design, password_file).vault if there else None
    if vault is not None:
        expiry.refuse_ended(design, vault)
    looked = _resources(design, vault, manner.refresh)
    provider, unseen = looked.provider, looked.unseen
    more = (*looked.items, *cost_items(design, provider, looked.beside))
    left = site.without(design.blueprint.clusters, provider, manner.without)
    clusters = _previews(design, left, vault, provider, manner)
    notes = dict.fromkeys(
        [*unseen, *looked.checks, *(note for cluster in clusters for note in cluster.notes)]
    )
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


@dataclass(frozen=True)
class _Looked:
    """What is known of where nodes come from.

    Attributes:
        provider: That.
        items: What would change in AWS.
        unseen: That AWS could not be asked, where so.
        checks: What was checked.
        beside: What each datacenter has in AWS beside brokers and coordination; None where that is not known.
    """

    provider: Provider
    items: tuple[Item, ...] = ()
    unseen: tuple[str, ...] = ()
    checks: tuple[str, ...] = ()
    beside: Mapping[str, Beside] | None = None


def _resources(design: prepare.Design, vault: Vault | None, refresh: bool) -> _Looked:
    """Where nodes come from, and what would change there."""
    from kdeploy.operations import hosts

    if not hosts.is_in_aws(design.loaded):
        return _Looked(site.provider_of(design, Silent(), vault))
    from kdeploy.errors import MissingExtra
    from kdeploy.infra.aws.command import NoEngine
    from kdeploy.infra.aws.failure import CloudError, NotLetThrough
    from kdeploy.operations import aws, aws_costs, aws_words

    try:
        looked = aws.outlook(design, vault, Silent(), refresh)
    except NotLetThrough:
        raise
    except (CloudError, NoEngine, MissingExtra) as error:
        what, remedy = aws_words.why_and_remedy(error)
        said = what if isinstance(error, CloudError) else f"{what}; {remedy}"
        return _without_outlook(design, vault, _unseen(said))
    there = aws_costs.beside(looked.state)
    return _Looked(looked.provider, aws_words.items(design, looked), (), aws_words.checked(looked), there)


def _unseen(reason: str) -> str:
    return f"AWS could not be asked, so what would change there is not in this list: {reason}"


def _without_outlook(design: prepare.Design, vault: Vault | None, unseen: str) -> _Looked:
    """The same where the engine cannot look: machines as the stack's state has them, where that can be read;
    without a vault nothing was ever made.
    """
    from kdeploy.infra.aws.provider import Unasked
    from kdeploy.operations import aws, aws_costs

    if vault is None:
        return _Looked(aws.provider_of(design, Silent(), {}), unseen=(unseen,), beside={})
    provider = aws.known_or_unasked(design, vault, Silent())
    if isinstance(provider, Unasked):
        return _Looked(provider, unseen=(unseen,))
    there = aws_costs.beside(aws.stack_of(design, vault, Silent()).state())
    return _Looked(provider, unseen=(unseen,), beside=there)


def _previews(
    design: prepare.Design,
    clusters: Sequence[ClusterBlueprint],
    vault: Vault | None,
    provider: Provider,
    manner: site.Manner,
) -> list[ClusterPreview]:
    if vault is None:
        return [_unmade(cluster, provider) for cluster in clusters]
    sites = (site.site_of(design, cluster, vault, Silent(), provider) for cluster in clusters)
    heres = [replace(one, manner=manner) for one in sites]
    placed, decided = mirroring.as_decided(heres, patience=5)
    return [_preview(here, decided) for here in placed]


def _unmade(cluster: ClusterBlueprint, provider: Provider) -> ClusterPreview:
    """A cluster whose secrets were never made: nothing of it can be asked."""
    nodes = cluster.everything
    states = provider.observe(nodes)
    todo = actions(nodes, states, {node.key: "" for node in nodes})
    made = (_of_action(action, states[action.node.key], (), None) for action in todo)
    ordered = pending.ordered(one for one in made if one is not None)
    return ClusterPreview(cluster.datacenter, ordered, compared=False)


def _preview(here: site.Site, decided: Direction | None) -> ClusterPreview:
    name, nodes = here.cluster.datacenter, here.cluster.everything
    todo = here.compare(nodes)
    states = here.provider.observe(nodes)
    restarting = [action.node.key for action in todo if action.kind == "restart"]
    seen = _held(here, states, restarting)
    changes, notes = seen or ((), ())
    items = [*_of_nodes(here, todo, states), *_of_mirror(here, states, decided)]
    items += [item for change in changes for item in pending.of_change(name, change)]
    return ClusterPreview(name, pending.ordered(items), seen is not None, notes)


def _of_mirror(here: site.Site, states: Mapping[str, NodeState], decided: Direction | None) -> Iterator[Item]:
    """Connectors that would be made, changed, started or stopped; all that are to run, where no worker answers."""
    from kdeploy.cluster.failure import ClusterError

    workers = mirroring.workers_of(here)
    if not workers:
        return
    found = {}
    if any(states[node.key].running for node in workers):
        with suppress(ClusterError):
            found = mirroring.connect(here, patience=5).connectors()
    effects: dict[str, Effect] = {"create": "create", "delete": "remove", "start": "start"}
    for one in mirroring.wanted(here, found, mirroring.running(here, decided)):
        effect = effects.get(one.kind.partition("-")[0], "change")
        yield Item(here.cluster.datacenter, "mirrors", one.kind, one.name, one.words, effect=effect)


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
            told = notes.of(here.design.loaded, plan, topics, here.manner.move_rate)
            return plan.changes, (*undeclared(plan, topics), *told)
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


def cost_items(
    design: prepare.Design, provider: Provider | None = None, there: Mapping[str, Beside] | None = None
) -> tuple[Item, ...]:
    """What all that is made costs a month before and after, traffic apart, where it has a price and they differ.

    After is what `kdeploy cost` says of the lock. Before is what there is: machines of the types that the provider
    knows, so that a lock which was written anew already does not hide what its change costs, and what was made
    beside them.

    Args:
        design: What is wanted.
        provider: Where nodes come from.
        there: What each datacenter has beside brokers and coordination; None where nobody could look: then the
            price after is told alone.
    """
    from kdeploy.infra import KnowsTypes
    from kdeploy.planner.costs import Beside, beside, data_disks, made

    environment, found = design.loaded.environment, []
    discount, wanted = environment.planner.price_discount, {one.name: one for one in environment.datacenters}
    previous = {one.name: one for one in (design.previous or design.lock).datacenters}
    everything = {one.datacenter: one.everything for one in design.blueprint.clusters}
    for one in design.lock.datacenters:
        declared = beside(wanted[one.name], len(one.nodes) + len(one.mirrors), data_disks(one))
        after = made(one, declared, discount)
        if after is None:
            continue
        if there is None or not isinstance(provider, KnowsTypes):
            found.append(_of_cost(one.name, None, after))
            continue
        known, nodes = provider.types(everything[one.name]), everything[one.name]
        types = {node.name: known[node.key] for node in nodes if node.key in known}
        before = made(previous.get(one.name, one), there.get(one.name, Beside()), discount, types)
        if before is not None and before != after:
            found.append(_of_cost(one.name, before, after))
    return tuple(found)


def _of_cost(datacenter: str, before: Mapping[str, float] | None, after: Mapping[str, float]) -> Item:
    whole = sum(after.values())
    new = f"${whole:,.0f}"
    if before is None:
        what = f"all that is made, without traffic: {new} a month; what of it there is now is not known"
        why = ", ".join(f"{part.replace('_', ' ')} ${usd:,.0f}" for part, usd in after.items() if usd)
        return Item(datacenter, "cost", "cost", datacenter, what, why, None, new, "none")
    was = sum(before.values())
    old = f"${was:,.0f}"
    what = f"all that is made, without traffic: {old} → {new} a month, {_more(whole - was)}"
    parts = dict.fromkeys((*after, *before))
    differ = {part: after.get(part, 0.0) - before.get(part, 0.0) for part in parts}
    why = ", ".join(f"{part.replace('_', ' ')} {_more(usd)}" for part, usd in differ.items() if usd)
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
