"""Named checks that only look: brokers, controller, coordination, partitions.

Invariant: each is a pure function from what was seen to a `Check`; `check` asks a few
read-only questions and changes nothing, so that `status` and a second `up` may always run it.
"""

from __future__ import annotations

from collections.abc import Sequence

from kdeploy.blueprint import ClusterBlueprint
from kdeploy.cluster import Access, Check, HealthReport, gate, zookeeper
from kdeploy.cluster.admin import Admin
from kdeploy.cluster.health import observe
from kdeploy.cluster.state import ClusterState
from kdeploy.cluster.zookeeper import Member


def check(admin: Admin, access: Access, cluster: ClusterBlueprint) -> HealthReport:
    """The quick checks.

    Args:
        admin: The cluster.
        access: How to reach its ZooKeeper nodes.
        cluster: What should be there.

    Raises:
        ClusterError: It does not answer.
    """
    state = observe(admin)
    members = zookeeper.ask(access, cluster.coordinators) if cluster.coordination == "zookeeper" else ()
    return HealthReport(cluster.datacenter, judged(state, members, cluster))


def judged(state: ClusterState, members: Sequence[Member], cluster: ClusterBlueprint) -> tuple[Check, ...]:
    """The quick checks of what was seen.

    Args:
        state: The cluster.
        members: Its ZooKeeper nodes; empty with KRaft.
        cluster: What should be there.
    """
    coordination = ensemble(members) if cluster.coordination == "zookeeper" else quorum(state, cluster)
    return (registered(state, cluster), controller(state), coordination, in_sync(state))


def registered(state: ClusterState, cluster: ClusterBlueprint) -> Check:
    """Every broker is registered, in its rack, and answers."""
    found = {broker.id: broker for broker in state.brokers}
    wrong = []
    for node in cluster.brokers:
        if node.id not in found:
            wrong.append(f"{node.name} is not registered")
        elif node.id in state.silent:
            wrong.append(f"{node.name} does not answer")
        elif found[node.id].rack != node.rack:
            wrong.append(f"{node.name} says rack {found[node.id].rack} in place of {node.rack}")
    strangers = sorted(set(found) - {node.id for node in cluster.brokers})
    wrong += [f"broker {one} is registered and not known here" for one in strangers]
    racks = len({node.rack for node in cluster.brokers})
    return _check("brokers registered", wrong, f"{len(cluster.brokers)} brokers in {racks} racks")


def controller(state: ClusterState) -> Check:
    """There is an active controller."""
    if state.controller is None:
        return Check("controller known", False, "the cluster has no controller")
    return Check("controller known", True, f"{state.controller} is the active controller")


def ensemble(members: Sequence[Member]) -> Check:
    """Every ZooKeeper node serves, and one of them leads."""
    wrong = [f"{one.name}: {one.problem or one.mode}" for one in members if not one.serves]
    leaders = [one.name for one in members if one.mode in ("leader", "standalone")]
    if len(leaders) != 1:
        wrong.append(f"{len(leaders)} nodes lead")
    waiting = sum(one.outstanding for one in members)
    said = f"{len(members)} nodes serve, {', '.join(leaders)} leads, {waiting} requests wait"
    return _check("ZooKeeper ensemble", wrong, said)


def quorum(state: ClusterState, cluster: ClusterBlueprint) -> Check:
    """The KRaft quorum has a leader, and every controller votes and keeps up."""
    name = "KRaft quorum"
    if state.quorum is None:
        return Check(name, False, "the cluster does not describe one")
    wrong = [] if state.quorum.leader is not None else ["it has no leader"]
    voters = {voter.id: voter for voter in state.quorum.voters}
    for node in cluster.coordinators:
        voter = voters.get(node.id)
        if voter is None:
            wrong.append(f"{node.name} is not a voter")
        elif voter.silent is None or voter.silent > gate.VOTER_SILENT:
            since = "ever" if voter.silent is None else f"for {voter.silent:.0f} s"
            wrong.append(f"{node.name} has not fetched {since}")
    lag = max((voter.lag for voter in state.quorum.voters), default=0)
    return _check(
        name, wrong, f"{len(voters)} voters, {state.quorum.leader} leads, largest lag {lag} records"
    )


def in_sync(state: ClusterState) -> Check:
    """Every partition has a leader, and all its replicas are in sync."""
    said = f"{len(state.partitions)} partitions"
    return _check("partitions in sync", list(gate.lagging(state)), said)


def _check(name: str, wrong: list[str], right: str) -> Check:
    return Check(name, not wrong, "; ".join(wrong) or right)
