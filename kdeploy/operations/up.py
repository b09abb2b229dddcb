"""`up`: make the cluster what the environment says, from nothing or from anywhere in between.

    lease → lock and vault written → provisioned → files applied → coordination up
          → brokers up → what runs with old files rolled → reconciled → verified

Invariant: every step first looks at what is, so that running `up` again after any
crash finishes it, and running it on a cluster that is as it should be changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from kdeploy.errors import GateClosed, KdeployError, Unhealthy
from kdeploy.operations import (
    belonging,
    expected,
    expiry,
    hosts,
    mirroring,
    places,
    prepare,
    preview,
    readiness,
    rolling,
    site,
)
from kdeploy.operations.apply import carry_out, items_of
from kdeploy.operations.difference import Action
from kdeploy.operations.killpoint import kill_point
from kdeploy.operations.lease import lease
from kdeploy.operations.progress import Progress
from kdeploy.operations.site import Site
from kdeploy.operations.standing import told

if TYPE_CHECKING:
    from kdeploy.blueprint import Node
    from kdeploy.cluster import HealthReport
    from kdeploy.cluster.change import Change
    from kdeploy.operations.expected import Expectation
    from kdeploy.spec.load import Loaded


@dataclass(frozen=True)
class Outcome:
    """What `up` did to one cluster, and how it is now.

    Attributes:
        datacenter: Its name.
        bootstrap: `host:port,...` that clients connect to.
        actions: What each node needed.
        changes: What was changed through the Kafka protocol.
        report: The checks made at the end: all of them after a change, the quick ones otherwise.
        clients: Folder with the clients' properties and certificates; None where nobody asked
            for them yet (provider local has them written by `up`).
        left: Names of the nodes that still run with old files, after a canary.
        without: Names of the nodes that are down and were left as they are.
        connectors: What was changed in MirrorMaker's connectors, in words.
    """

    datacenter: str
    bootstrap: str
    actions: tuple[Action, ...]
    changes: tuple[Change, ...]
    report: HealthReport
    clients: Path | None = None
    left: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    connectors: tuple[str, ...] = ()

    @property
    def changed(self) -> bool:
        """Whether anything was changed."""
        return bool(self.changes or self.connectors) or any(action.kind != "none" for action in self.actions)


def up(
    loaded: Loaded,
    progress: Progress,
    password_file: Path | None = None,
    manner: site.Manner = site.Manner(),  # noqa: B008 - frozen
    expectation: Expectation | None = None,
) -> tuple[Outcome, ...]:
    """Make every cluster of an environment what the environment says.

    Args:
        loaded: The environment.
        progress: Where to report.
        password_file: File with the vault's password.
        manner: How running nodes are to be restarted.
        expectation: A saved preview: anything else than it says is refused.

    Raises:
        UsageError: The nodes on this machine belong to another folder; or AWS is to be asked and nothing is there.
        Moved: What would be done is not what the saved preview says; nothing was changed, or, where that is seen
            only when nodes are up, nothing of it.
        KdeployError: Any of the tree in `kdeploy.errors`; run again to go on.
    """
    site.refuse_undeployable(loaded, manner)
    name = loaded.environment.name
    with lease(places.state_folder(name), "up"), told(name, progress):
        kill_point("lease-taken")
        if not manner.take_over:
            belonging.refuse_other(loaded)
        design = prepare.design(loaded, freeze=True)
        for cluster in design.blueprint.clusters:
            manner.refuse_impossible(cluster.brokers)
        with ExitStack() as stack:
            if expectation is not None:  # nobody else may change anything from here on
                holding = stack.enter_context(hosts.held(design, "up", None, password_file))
                expected.refuse_other(
                    expectation, preview.of_design(design, password_file, manner), manner.without
                )
            _take(loaded, progress)
            prepare.save_lock(design)
            kill_point("lock-written")
            vault = prepare.complete_vault(design, password_file)
            kill_point("vault-written")
            expiry.refuse_ended(design, vault)
            if expectation is None:
                holding = stack.enter_context(hosts.held(design, "up", vault))
            provider = None
            if hosts.is_in_aws(loaded):
                from kdeploy.operations import aws

                design, provider = aws.make(design, vault, progress, holding, manner.refresh)
            sites = site.leave_out(site.sites(design, vault, progress, manner, provider))
            everything = tuple(_anew(one) for one in sites if one.cluster.nodes)
            for one in everything:
                _refuse_early(one)
            brought = [_nodes_up(one) for one in everything]
            everything, direction = mirroring.as_decided(everything)
            outcomes = tuple(
                _hold(one, todo, left, expectation)
                for one, (todo, left) in zip(everything, brought, strict=True)
            )
            begun = {
                action.node.datacenter for todo, _ in brought for action in todo if action.kind == "restart"
            }
            mirrored = mirroring.bring_up(everything, direction, begun)
            outcomes = tuple(_with_mirror(one, mirrored) for one in outcomes)
            _remember_ids(design, everything)
    return (*outcomes, *(_left_out(one) for one in sites if not one.cluster.nodes))


def _with_mirror(outcome: Outcome, mirrored: Sequence[mirroring.Mirrored]) -> Outcome:
    """The same with what was done to what mirrors into it."""
    for one in (one for one in mirrored if one.datacenter == outcome.datacenter):
        outcome = replace(
            outcome,
            actions=(*outcome.actions, *one.actions),
            connectors=one.changes,
            left=(*outcome.left, *one.left),
        )
    return outcome


def _left_out(here: Site) -> Outcome:
    """What is said of a datacenter that is left out as a whole."""
    from kdeploy.cluster import Check, HealthReport

    whole = next(one for one in here.design.blueprint.clusters if one.datacenter == here.cluster.datacenter)
    report = HealthReport(whole.datacenter, (Check("brokers", False, "left out: nobody looked at any"),))
    return Outcome(whole.datacenter, whole.bootstrap("client"), (), (), report, without=here.manner.without)


def _take(loaded: Loaded, progress: Progress) -> None:
    """Note whose the nodes of this machine are, before the first of them is made."""
    before = belonging.remember(loaded)
    if before is not None:
        progress.step(
            "state", f"nodes and data that belonged to {before} belong to {loaded.folder} from now on"
        )


def _remember_ids(design: prepare.Design, sites: Sequence[Site]) -> None:
    """Note in the lock which clusters were made, where ZooKeeper chose their ids."""
    ids = {}
    for one in sites:
        if one.cluster.cluster_id is None:
            with readiness.connected(one) as admin:
                ids[one.cluster.datacenter] = admin.metadata().cluster_id
    prepare.remember_ids(design, ids)


def _anew(site: Site) -> Site:
    """The cluster without its id, where its whole ensemble is yet to be made: ZooKeeper then chooses another one."""
    cluster = site.cluster
    states = site.provider.observe(cluster.coordinators) if cluster.coordination == "zookeeper" else {}
    made_anew = bool(states) and not any(state.present for state in states.values())
    return replace(site, cluster=replace(cluster, cluster_id=None)) if made_anew else site


def _nodes_up(site: Site) -> tuple[tuple[Action, ...], tuple[str, ...]]:
    """Bring a cluster's nodes up; what each needed, and names of those that a canary leaves."""
    todo, left = site.compare(), tuple[str, ...]()
    if any(action.kind != "none" for action in todo):
        site.progress.step("plan", _summary(todo))
        if _wait_for_others(site, todo):
            site = rolling.patient(site)
        if any(action.needs_its_place for action in todo):
            site.provision()
        kill_point("provisioned")
        todo = _seen_now(site, todo)
        _refuse_invalid(site, [action.node for action in todo if action.kind == "update"])
        left = _bring_up(site, todo)
    return todo, left


def _hold(
    site: Site, todo: tuple[Action, ...], left: tuple[str, ...], expectation: Expectation | None
) -> Outcome:
    """Give a cluster that is up what it is to hold, and check it."""
    changes = _reconcile(site, expectation)
    untouched = not changes and all(action.kind == "none" for action in todo)
    report = readiness.check(site) if untouched else None
    if report is None or not report.ok:
        # Also where nothing is to be done: a killed `up` may have started what is not back yet.
        with readiness.connected(site) as admin:
            readiness.wait_for_brokers(site, admin)
            readiness.settle(site, admin)
        # With a node down, proving by records through each broker says nothing new.
        quick = untouched or bool(site.manner.without)
        report = readiness.check(site) if quick else readiness.verify(site)
    folder = _hand_out(site)
    bootstrap = site.cluster.bootstrap("client")
    without = site.manner.without
    return Outcome(site.cluster.datacenter, bootstrap, todo, changes, report, folder, left, without)


def _seen_now(site: Site, todo: tuple[Action, ...]) -> tuple[Action, ...]:
    """What each node needs, where some of them could be asked only when their hosts were provisioned."""
    if all(action.kind != "unseen" for action in todo):
        return todo
    again = site.compare()
    unseen = [f"  - {action.node.name}: {action.reason}" for action in again if action.kind == "unseen"]
    if unseen:
        listed = "\n".join(unseen)
        raise KdeployError(f"no node was changed, since not all can be asked:\n{listed}\n  run this again")
    return again


def _refuse_early(site: Site) -> None:
    """Refuse another cluster, and topics, users, access lists or quotas that it could not be given, before any
    node is touched: wherever brokers run that can be asked. What cannot be seen now is judged once nodes are up.
    """
    from kdeploy.cluster.failure import ClusterError

    todo = site.compare()
    down = ("create", "start", "unseen")
    standing = [one for one in todo if one.node.role == "broker" and one.kind not in down]
    if standing and any(one.kind != "none" for one in todo):
        restarting = [one.node.key for one in todo if one.kind == "restart"]
        with suppress(ClusterError, Unhealthy), readiness.connected(site, patience=5) as admin:
            readiness.pending(site, admin, restarting, planned=len(site.cluster.brokers))


def _wait_for_others(site: Site, todo: tuple[Action, ...]) -> bool:
    """Where a cluster serves, let no broker of it begin without its data while others may lack that.

    A host that was made anew has no trace of its node, as one that was added has none; the cluster knows.

    Returns:
        Whether what its own machine lost has to come back to one of them.

    Raises:
        GateClosed: Others may lack it, or there is nobody to ask.
    """
    brokers = [action for action in todo if action.node.role == "broker"]
    created = [action.node for action in brokers if action.kind == "create"]
    if created and any(action.kind not in ("create", "start", "unseen") for action in brokers):
        with readiness.connected(site) as admin:
            for node in created:
                readiness.wait_for_others(site, admin, node)
        return any(node.loses_data_on_stop for node in created)
    _refuse_emptied(site, brokers)
    return False


def _refuse_emptied(site: Site, brokers: list[Action]) -> None:
    """Let no broker whose machine lost its data begin where none serves: what others still have would be thrown away."""
    created = [
        action.node for action in brokers if action.kind == "create" and action.node.loses_data_on_stop
    ]
    states = site.provider.observe(created) if created else {}
    emptied = [node.name for node in created if states[node.key].emptied]
    if not emptied:
        return
    name, names = site.design.blueprint.environment, ", ".join(emptied)
    remedy = (
        f"bring up the others first: `kdeploy up {name} {' '.join(f'--without {one}' for one in emptied)}`"
        if len(emptied) < len(brokers)
        else f"nothing is left of the data: `kdeploy down {name} --delete-data`, then `kdeploy up {name}`"
    )
    raise GateClosed(
        f"{names}: not begun anew; the machine was stopped and lost its data, and no broker serves that has it\n"
        f"  {remedy}"
    )


def _hand_out(site: Site) -> Path | None:
    """On this machine a newcomer's next step is a client, so its files are there already."""
    loaded = site.design.loaded
    if not places.is_local(loaded):
        return None
    from kdeploy.operations.clients import hand_out

    hand_out(loaded)
    return places.clients_folder(loaded.environment.name)


def _summary(todo: tuple[Action, ...]) -> str:
    kinds = dict.fromkeys(action.kind for action in todo if action.kind != "none")
    return "\n".join(
        f"{kind}: {', '.join(action.node.name for action in todo if action.kind == kind)}" for kind in kinds
    )


def _bring_up(site: Site, todo: tuple[Action, ...]) -> tuple[str, ...]:
    """Start what is down, then roll what runs with old files; names of those that a canary leaves."""
    down = [action.node for action in todo if action.kind in ("create", "start")]
    _apply(site, down + [action.node for action in todo if action.kind == "update"])
    _start_coordination(site, [node for node in down if node.role != "broker"])
    _start_brokers(site, [node for node in down if node.role == "broker"])
    readiness.wait_for_coordination(site, all_of_them=True)
    # What was left stopped with its data came up with it, and its machine is changed in its turn.
    changed = [
        action.node for action in todo if action.kind == "start" and rolling.loses_data(site, action.node)
    ]
    left = rolling.roll(site, [action.node for action in todo if action.kind == "restart"] + changed)
    return tuple(node.name for node in left)


def _refuse_invalid(site: Site, nodes: list[Node]) -> None:
    """Ask running brokers about the values that they are to take while they run, before their files say them:
    what a broker refuses now is what it might not start with.
    """
    from kdeploy.cluster import live
    from kdeploy.cluster.failure import Unreachable

    wanted = site.live_settings([node for node in nodes if node.role == "broker"])
    if not wanted:
        return
    with suppress(Unreachable), readiness.connected(site, patience=5) as admin:
        for change in live.changes(wanted, admin):
            live.refuse_invalid(admin, change)


def _apply(site_: Site, nodes: list[Node]) -> None:
    def apply(node: Node) -> None:
        site_.apply(node)
        kill_point("first-node-applied")

    if nodes:
        site_.progress.step("render", f"files of {len(nodes)} nodes")
        site_.apply_all(nodes, apply)
        kill_point("nodes-applied")


def _start_coordination(site_: Site, nodes: list[Node]) -> None:
    if nodes:
        site_.progress.step("start", ", ".join(node.name for node in nodes))
        site.in_parallel(site_.provider.start, nodes)
        kill_point("coordination-started")
    readiness.wait_for_coordination(site_, all_of_them=False)
    kill_point("coordination-ready")


def _start_brokers(site_: Site, nodes: list[Node]) -> None:
    def start(node: Node) -> None:
        site_.provider.start(node)
        kill_point("first-broker-started")

    if nodes:
        site_.progress.step("start", ", ".join(node.name for node in nodes))
        site.in_parallel(start, nodes)
        kill_point("brokers-started")
        with readiness.connected(site_, starting=True) as admin:
            readiness.wait_for_brokers(site_, admin)
            readiness.settle(site_, admin)
    kill_point("brokers-ready")


def _reconcile(site: Site, expectation: Expectation | None) -> tuple[Change, ...]:
    with readiness.connected(site, starting=True) as admin:
        # A killed `up` may have started brokers that are not registered yet.
        readiness.wait_for_brokers(site, admin)
        plan = readiness.pending(site, admin)
        # The cluster may have moved while nodes were rolled, or was not seen before.
        if expectation is not None:
            name = site.design.blueprint.environment
            expected.refuse_beyond(expectation, name, site.cluster.datacenter, items_of(site, plan.changes))
        kill_point("reconcile-begun")
        carry_out(site, admin, plan)
    kill_point("reconciled")
    return plan.changes
