"""`preview`: what `up` would do, node by node and change by change, without doing any of it.

Invariant: the list is made by the same functions that `up` acts on, and nothing of it is
written: no lock, no vault, no file of a node. Only to ask a cluster that runs are the
administrator's files put in place, as every command does that asks one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from kdeploy.errors import KdeployError
from kdeploy.operations import expiry, places, prepare, readiness, site, vaults
from kdeploy.operations.difference import Action, actions
from kdeploy.operations.progress import Silent

if TYPE_CHECKING:
    from kdeploy.blueprint import ClusterBlueprint
    from kdeploy.cluster.change import Change
    from kdeploy.security.vault import Vault
    from kdeploy.spec.load import Loaded


@dataclass(frozen=True)
class ClusterPreview:
    """What `up` would do to one cluster.

    Attributes:
        datacenter: Its name.
        actions: What each node needs.
        changes: What would change through the Kafka protocol; None when that cannot be
            seen because the cluster is not up, so that everything declared is checked then.
    """

    datacenter: str
    actions: tuple[Action, ...]
    changes: tuple[Change, ...] | None

    @property
    def pending(self) -> bool:
        """Whether `up` would change anything."""
        return self.changes is None or bool(self.changes) or any(one.kind != "none" for one in self.actions)


@dataclass(frozen=True)
class Preview:
    """What `up` would do to an environment."""

    environment: str
    clusters: tuple[ClusterPreview, ...]

    @property
    def pending(self) -> bool:
        """Whether `up` would change anything."""
        return any(cluster.pending for cluster in self.clusters)


def preview(loaded: Loaded, password_file: Path | None = None) -> Preview:
    """Compare an environment with what runs; read-only."""
    site.refuse_undeployable(loaded)
    design = prepare.design(loaded, freeze=True)
    vault = vaults.open_existing(loaded, password_file) if places.vault_file(loaded).exists() else None
    if vault is not None:
        expiry.refuse_ended(design, vault)
    name = loaded.environment.name
    return Preview(name, tuple(_preview(design, cluster, vault) for cluster in design.blueprint.clusters))


def _preview(design: prepare.Design, cluster: ClusterBlueprint, vault: Vault | None) -> ClusterPreview:
    if vault is None:
        provider = site.provider_of(design.loaded, Silent())
        states = provider.observe(cluster.nodes)
        todo = actions(cluster.nodes, states, {node.key: "" for node in cluster.nodes})
        return ClusterPreview(cluster.datacenter, todo, None)
    here = site.site_of(design, cluster, vault, Silent())
    todo = here.compare()
    restarting = [action.node.key for action in todo if action.kind == "restart"]
    return ClusterPreview(cluster.datacenter, todo, _changes(here, restarting))


def _changes(here: site.Site, restarting: Sequence[str]) -> tuple[Change, ...] | None:
    if not any(state.running for state in here.provider.observe(here.cluster.brokers).values()):
        return None
    try:
        with readiness.connected(here, patience=5) as admin:
            return readiness.pending_changes(here, admin, restarting)
    except KdeployError:
        return None
