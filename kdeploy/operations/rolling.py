"""The rolling order: change a running cluster step by step, and never stop the last in-sync copy.

    1. ZooKeeper followers, then the leader; or KRaft controllers, the active one last.
       Before and after each the whole ensemble answers.
    2. Brokers one at a time, the controller last; or, where a person asks for it, one rack
       at a time. Each is stopped only when its gate is open (`cluster.gate`), by controlled
       shutdown, and the next one only after it is back and every partition is in sync again,
       under its preferred leader.

A node's files are put in place while it still runs, so that it is down no longer than it
takes to stop and to start, and nothing comes between an open gate and the stop.

A node whose machine is changed in its turn, and with it loses what is on the machine's own disks, is never stopped
together with others; its machine is changed only when all that it held is in sync elsewhere and the cluster counts
it in sync no more, and the next one waits for all of it to be replicated anew.

Invariant: at every moment at most one node of the cluster, or brokers of at most one rack, are
stopped by us, and when a gate does not open in time nothing is stopped (`GateClosed`, exit code 7). Nothing is
remembered between runs: what still has to be restarted is seen from what runs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from kdeploy.errors import GateClosed
from kdeploy.operations import readiness
from kdeploy.operations.killpoint import kill_point
from kdeploy.operations.progress import lasting
from kdeploy.operations.site import Site, in_parallel

if TYPE_CHECKING:
    from kdeploy.blueprint import Node
    from kdeploy.cluster.admin import Admin


def roll(site: Site, nodes: Sequence[Node]) -> tuple[Node, ...]:
    """Restart running nodes with their new files, in the rolling order.

    Args:
        site: The cluster; every node of it is up.
        nodes: Those to restart; any order.

    Returns:
        Those that were left as they are: all but the first, or the first rack, where only a canary is wanted.

    Raises:
        GateClosed: It was not safe to go on in time; everything still serves.
    """
    coordinators = [node for node in nodes if node.role != "broker"]
    brokers = [node for node in nodes if node.role == "broker"]
    _refuse_without_its_ensemble(site, coordinators)
    ordered = _leader_last(coordinators, lambda: readiness.leading_coordinator(site))
    if brokers:
        with readiness.connected(site) as admin:
            readiness.refuse_impossible(site, admin, _steps(site, admin, brokers))
    if site.manner.canary and ordered:
        _roll_coordinator(site, ordered[0])
        return (*ordered[1:], *brokers)
    for node in ordered:
        _roll_coordinator(site, node)
    if not brokers:
        return ()
    with readiness.connected(site) as admin:
        steps = _steps(site, admin, brokers)
        meant = steps[:1] if site.manner.canary else steps
        for step in meant:
            _roll_brokers(site, admin, step)
    return tuple(node for step in steps[len(meant) :] for node in step)


def _steps(site: Site, admin: Admin, brokers: list[Node]) -> list[list[Node]]:
    """Brokers that are stopped together, in their order as it is now: the controller may move meanwhile."""
    ordered = _leader_last(brokers, lambda: readiness.controller_id(admin))
    if not site.manner.by_rack:
        return [[node] for node in ordered]
    losing = [node for node in ordered if loses_data(site, node)]
    alone = [[node] for node in losing]
    racks = _racks([node for node in ordered if node not in losing])
    return [*racks, *alone] if ordered[-1] in losing else [*alone, *racks]


def loses_data(site: Site, node: Node) -> bool:
    """Whether a node's machine has to be changed, and its data is on the machine's own disks."""
    from kdeploy.infra import Remakes

    if not node.loses_data_on_stop or not isinstance(site.provider, Remakes):
        return False
    return node.key in site.provider.outdated()


def _racks(ordered: list[Node]) -> list[list[Node]]:
    """The brokers by rack; the rack of the last one last, and the order kept within each."""
    racks: dict[str, list[Node]] = {}
    for node in ordered:
        racks.setdefault(node.rack, []).append(node)
    return sorted(racks.values(), key=lambda rack: ordered[-1] in rack)


def _refuse_without_its_ensemble(site: Site, coordinators: Sequence[Node]) -> None:
    """What is left out cannot be looked at: of an ensemble that lacks a node none is stopped."""
    without = [name for name in site.manner.without if not name.startswith(("broker-", "mirror-"))]
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


def _roll_brokers(site: Site, admin: Admin, nodes: list[Node]) -> None:
    """Restart one broker, or all of a rack together; the last of them is stopped after the others."""
    if len(nodes) == 1:
        site.apply(nodes[0])
    else:
        site.apply_all(nodes, site.apply)
    kill_point("broker-applied-in-roll")
    losing = any(loses_data(site, node) for node in nodes)
    readiness.wait_for_gate(site, admin, *nodes)
    if losing:
        _wait_for_copies(site, admin, nodes[0])
        site = patient(site)
    names = ", ".join(node.name for node in nodes)
    them = "it" if len(nodes) == 1 else "them"
    site.progress.step("roll", f"{names}: no partition needs {them} to stay writable, restarting")
    if len(nodes) == 1:
        _restart(site, nodes[0], "broker")
    else:
        _restart_together(site, nodes)
    readiness.wait_for_brokers(site, admin)
    readiness.settle(site, admin)
    _relieve(site, admin, nodes)


def patient(site: Site) -> Site:
    """The site as whoever waits for a broker's data to come back by replication has it."""
    return replace(site, manner=replace(site.manner, catch_up=readiness.CATCH_UP))


def _wait_for_copies(site: Site, admin: Admin, node: Node) -> None:
    """Wait until a broker that runs may lose all its data: each partition of it has another copy in sync."""
    from kdeploy.cluster import gate, health

    readiness.wait_until_open(
        site,
        lambda: gate.judge_emptying(health.observe(admin), node.id, site.manner.lost),
        f"{node.name} waits",
        f"{node.name} was not stopped: its data is on its machine's own disks, and goes with it",
        "everything still serves; give the topics that are named more copies, or mend what is named, and run this again",
    )


def _wait_until_uncounted(site: Site, admin: Admin, node: Node) -> None:
    """Wait until a broker that was stopped may come back without its data: nothing counts it in sync any more."""
    from kdeploy.cluster import gate, health

    readiness.wait_until_open(
        site,
        lambda: gate.judge_replacement(health.observe(admin), node.id, site.manner.lost),
        f"{node.name} is stopped, and waits",
        f"{node.name} is stopped with its data, and its machine was not changed",
        "run this again: it starts with its data, and goes on from there",
    )


def _relieve(site: Site, admin: Admin, nodes: list[Node]) -> None:
    """Take away the dynamic values that brokers need no more, now that they run with their new files.

    What all brokers together were given is no part of any one's restart: it is seen to when all are rolled.
    """
    from kdeploy.cluster import live

    ids = {node.id for node in nodes}
    for change in (one for one in live.changes(site.live_settings(nodes), admin) if one.broker in ids):
        site.progress.step("roll", str(change))
        live.apply(admin, change)


def _restart_together(site: Site, nodes: list[Node]) -> None:
    """As `_restart`, for brokers of one rack; while they hand their leaders over the controller stays."""
    in_parallel(site.provider.stop, nodes[:-1])
    site.provider.stop(nodes[-1])
    renew_place(site, nodes)
    in_parallel(site.provider.start, nodes)


def _restart(site: Site, node: Node, kind: str) -> None:
    with lasting(site.progress, node.name, "stops, and hands over what it leads"):
        site.provider.stop(node)
    kill_point(f"{kind}-stopped-in-roll")
    renew_place(site, [node])
    with lasting(site.progress, node.name, "starts"):
        site.provider.start(node)
    if kind == "broker":
        kill_point("broker-started-in-roll")


def renew_place(site: Site, nodes: list[Node]) -> None:
    """What is done with the machines of stopped nodes before they are started: changed, booted anew, or nothing."""
    for node in nodes:  # never two in one run of the engine
        _remake(site, node)
    _reboot(site, nodes)


def _remake(site: Site, node: Node) -> None:
    """Change the machine of a stopped node, where it is not what it should be; its files may have gone with it."""
    from kdeploy.infra import Remakes

    if isinstance(site.provider, Remakes) and node.key in site.provider.outdated():
        if node.loses_data_on_stop:
            with readiness.connected(site) as admin:
                _wait_until_uncounted(site, admin, node)
        site.provider.remake(node)
        site.apply(node)


def _reboot(site: Site, nodes: list[Node]) -> None:
    """Boot the hosts of stopped nodes anew, where a person wants it."""
    from kdeploy.infra import Reboots

    if site.manner.reboot and isinstance(site.provider, Reboots):
        site.progress.step("reboot", ", ".join(f"{node.host} ({node.name})" for node in nodes))
        names = ", ".join(node.name for node in nodes)
        with lasting(site.progress, names, "boots anew"):
            in_parallel(site.provider.reboot, nodes)
