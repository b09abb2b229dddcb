"""`restart`: restart nodes on request, by the same rolling order that changes use.

Invariant: only what runs as it should is restarted, so nothing is changed by the way; the
order, the gates and the waits are those of `kdeploy.operations.rolling`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from kdeploy.errors import KdeployError, UsageError
from kdeploy.operations import belonging, expiry, hosts, mirroring, places, prepare, rolling, site, vaults
from kdeploy.operations.lease import lease
from kdeploy.operations.progress import Progress
from kdeploy.operations.standing import told

if TYPE_CHECKING:
    from kdeploy.blueprint import Node
    from kdeploy.spec.load import Loaded


def restart(
    loaded: Loaded,
    progress: Progress,
    password_file: Path | None = None,
    *,
    nodes: Sequence[str] = (),
    racks: Sequence[str] = (),
    manner: site.Manner = site.Manner(),  # noqa: B008 - frozen
) -> tuple[str, ...]:
    """Restart nodes of every cluster of an environment, one at a time or rack by rack.

    Args:
        loaded: The environment.
        progress: Where to report.
        password_file: File with the vault's password.
        nodes: Names of the nodes to restart, or `DATACENTER/NAME` of one.
        racks: Racks whose nodes to restart; with neither, every node is.
        manner: How they are to be restarted; there is no canary here, since nodes can be named.

    Returns:
        Names of the nodes that were restarted.

    Raises:
        UsageError: A node or a rack is not there, or the manner is impossible.
        KdeployError: A node does not run as it should; nothing was restarted.
        GateClosed: It was not safe to go on in time; everything still serves.
    """
    site.refuse_undeployable(loaded)
    belonging.refuse_other(loaded)
    name = loaded.environment.name
    design = prepare.design(loaded, freeze=True)
    chosen = _chosen(design.blueprint.nodes, nodes, racks)
    if manner.reboot and places.is_local(loaded):
        raise UsageError(
            f"the nodes of {name} are processes on this machine, which --reboot would boot anew\n"
            "  leave --reboot out; it is for provider hosts"
        )
    for cluster in design.blueprint.clusters:
        manner.refuse_impossible(cluster.brokers)
    if design.previous is None:
        raise KdeployError(vaults.undecided(loaded))
    with lease(places.state_folder(name), "restart"), told(name, progress):
        vault = vaults.open_existing(loaded, password_file)
        expiry.refuse_ended(design, vault)
        here = site.sites(design, vault, progress, manner)
        with hosts.held(design, "restart", vault):
            for one in here:
                _refuse_pending(one)
            for one in here:
                rolling.roll(one, [node for node in one.cluster.nodes if node.key in chosen])
                for worker in (node for node in mirroring.workers_of(one) if node.key in chosen):
                    mirroring.restart(one, worker)
    return tuple(node.name for node in design.blueprint.nodes if node.key in chosen)


def _chosen(known: Sequence[Node], names: Sequence[str], racks: Sequence[str]) -> set[str]:
    """Keys of the nodes that are meant."""
    keys = {node.key for node in known}
    for what, asked, there in (
        ("node", [one for one in names if one not in keys], sorted({node.name for node in known})),
        ("rack", racks, sorted({node.rack for node in known})),
    ):
        unknown = [one for one in asked if one not in there]
        if unknown:
            raise UsageError(f"there is no {what} {unknown[0]!r}\n  there are: {', '.join(there)}")
    everything = not names and not racks
    return {
        node.key
        for node in known
        if everything or node.name in names or node.key in names or node.rack in racks
    }


def _refuse_pending(here: site.Site) -> None:
    pending = [action for action in here.compare(here.cluster.everything) if action.kind != "none"]
    if pending:
        listed = "\n".join(f"  - {action.node.name}: {action.reason}" for action in pending)
        raise KdeployError(
            f"nothing was restarted, because not everything is as it should be:\n{listed}\n"
            f"  run `kdeploy up {here.design.blueprint.environment}` first"
        )
