"""The rolling order: change a running cluster one node at a time, and never stop the last in-sync copy.

    1. ZooKeeper followers, then the leader; or KRaft controllers, the active one last.
       Before and after each the whole ensemble answers.
    2. Brokers one at a time, the controller last. Each is stopped only when its gate is
       open (`cluster.gate`), by controlled shutdown, and the next one only after it is
       back and every partition is in sync again, under its preferred leader.

A node's files are put in place while it still runs, so that it is down no longer than it
takes to stop and to start, and nothing comes between an open gate and the stop.

Invariant: at every moment at most one node of the cluster is stopped by us, and when
a gate does not open in time nothing is stopped (`GateClosed`, exit code 7). Nothing is
remembered between runs: what still has to be restarted is seen from what runs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from kdeploy.errors import GateClosed
from kdeploy.operations import readiness
from kdeploy.operations.killpoint import kill_point
from kdeploy.operations.site import Site

if TYPE_CHECKING:
    from kdeploy.blueprint import Node
    from kdeploy.cluster.admin import Admin


def roll(site: Site, nodes: Sequence[Node]) -> tuple[Node, ...]:
    """Restart running nodes with their new files, in the rolling order.

    Args:
        site: The cluster; every node of it is up.
        nodes: Those to restart; any order.

    Returns:
        Those that were left as they are: all but the first, where only a canary is wanted.

    Raises:
        GateClosed: It was not safe to go on in time; everything still serves.
    """
    coordinators = [node for node in nodes if node.role != "broker"]
    brokers = [node for node in nodes if node.role == "broker"]
    _refuse_without_its_ensemble(site, coordinators)
    ordered = _leader_last(coordinators, lambda: readiness.leading_coordinator(site))
    if site.manner.canary and ordered:
        _roll_coordinator(site, ordered[0])
        return (*ordered[1:], *brokers)
    for node in ordered:
        _roll_coordinator(site, node)
    if not brokers:
        return ()
    with readiness.connected(site) as admin:
        ordered = _leader_last(brokers, lambda: readiness.controller_id(admin))
        meant = ordered[:1] if site.manner.canary else ordered
        for node in meant:
            _roll_broker(site, admin, node)
    return tuple(ordered[len(meant) :])


def _refuse_without_its_ensemble(site: Site, coordinators: Sequence[Node]) -> None:
    """What is left out cannot be looked at: of an ensemble that lacks a node none is stopped."""
    without = [name for name in site.manner.without if not name.startswith("broker-")]
    if coordinators and without:
        names = ", ".join(node.name for node in coordinators)
        raise GateClosed(
            f"{names}: not stopped, because {', '.join(without)} is down and the others have to make a majority\n"
            f"  everything still serves; bring {', '.join(without)} back and run up again"
        )


def _leader_last(nodes: list[Node], leader: Callable[[], int | None]) -> list[Node]:
    """By id, with the node that leads now at the end."""
    if len(nodes) < 2:
        return nodes
    last = leader()
    return sorted(nodes, key=lambda node: (node.id == last, node.id))


def _roll_coordinator(site: Site, node: Node) -> None:
    site.apply(node)
    readiness.wait_for_coordination(site, all_of_them=True)
    if node.role == "controller":
        with readiness.connected(site) as admin:
            readiness.wait_for_gate(site, admin, node)
    site.progress.step("roll", f"{node.name}: its ensemble is whole, restarting")
    _restart(site, node, "coordinator")
    readiness.wait_for_coordination(site, all_of_them=True)


def _roll_broker(site: Site, admin: Admin, node: Node) -> None:
    site.apply(node)
    kill_point("broker-applied-in-roll")
    readiness.wait_for_gate(site, admin, node)
    site.progress.step("roll", f"{node.name}: no partition needs it to stay writable, restarting")
    _restart(site, node, "broker")
    readiness.wait_for_brokers(site, admin)
    readiness.settle(site, admin)


def _restart(site: Site, node: Node, kind: str) -> None:
    site.provider.stop(node)
    kill_point(f"{kind}-stopped-in-roll")
    site.provider.start(node)
    if kind == "broker":
        kill_point("broker-started-in-roll")
