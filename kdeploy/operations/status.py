"""`status` and `verify`: how an environment is, looked at without changing it.

`status` looks at processes and asks the cluster; `verify` also proves it with records
and refusals, on topics of its own that it removes. Invariant: neither needs the lease,
so both work while somebody else is at work.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from kdeploy.errors import KdeployError
from kdeploy.operations import belonging, expiry, places, prepare, readiness, site, vaults
from kdeploy.operations.difference import Action
from kdeploy.operations.progress import Progress, Silent
from kdeploy.operations.reach import WrongCluster

if TYPE_CHECKING:
    from kdeploy.cluster import Check, HealthReport
    from kdeploy.infra import NodeState, Provider
    from kdeploy.security.vault import Vault
    from kdeploy.spec.load import Loaded


@dataclass(frozen=True)
class ClusterStatus:
    """How one cluster is.

    Attributes:
        datacenter: Its name.
        actions: Each node with what `up` would do to it.
        states: What the provider sees of each node, by key.
        checks: The quick checks over the Kafka protocol; one failed check when it does not answer.
    """

    datacenter: str
    actions: tuple[Action, ...]
    states: dict[str, NodeState]
    checks: tuple[Check, ...]

    @property
    def ok(self) -> bool:
        """Whether every node runs and every check holds."""
        return all(state.running for state in self.states.values()) and all(one.ok for one in self.checks)


@dataclass(frozen=True)
class Status:
    """How an environment is."""

    environment: str
    clusters: tuple[ClusterStatus, ...]

    @property
    def ok(self) -> bool:
        """Whether every cluster is."""
        return all(cluster.ok for cluster in self.clusters)


def status(loaded: Loaded, password_file: Path | None = None) -> Status:
    """Look at every node and every cluster of an environment.

    Raises:
        WrongCluster: What runs at its addresses is another cluster.
        KdeployError: It was never brought up.
    """
    sites = sites_of(loaded, Silent(), password_file)
    return Status(loaded.environment.name, tuple(map(_status, sites)))


def verify(loaded: Loaded, progress: Progress, password_file: Path | None = None) -> tuple[HealthReport, ...]:
    """Prove every cluster of an environment by all named checks.

    Raises:
        KdeployError: It was never brought up, or it does not answer.
    """
    sites = sites_of(loaded, progress, password_file)
    for here in sites:
        expiry.refuse_ended(here.design, here.vault)
    return tuple(readiness.verify(here) for here in sites)


def sites_of(loaded: Loaded, progress: Progress, password_file: Path | None) -> tuple[site.Site, ...]:
    """Every cluster of an environment that was brought up before, ready to be looked at.

    Raises:
        KdeployError: It was never brought up.
    """
    site.refuse_undeployable(loaded)
    belonging.refuse_other(loaded)
    design = prepare.design(loaded, freeze=False)
    vault = vaults.open_existing(loaded, password_file) if places.vault_file(loaded).exists() else None
    if vault is None or not places.lock_file(loaded).exists():
        name = loaded.environment.name
        missing = places.lock_file(loaded) if vault is not None else places.vault_file(loaded)
        own = any(place.provider != "local" for place in loaded.environment.datacenters)
        raise KdeployError(
            f"{name} was never brought up from here: there is no {missing}\n  bring it up with `kdeploy up {name}`"
            + (", or get that file from where this was done" if own else "")
        )
    return site.sites(design, vault, progress, provider=_provider(design, vault, progress))


def _provider(design: prepare.Design, vault: Vault, progress: Progress) -> Provider:
    """Where nodes come from; in AWS also where nobody can say which machines there are, since nothing is changed."""
    from kdeploy.operations import hosts

    if not hosts.is_in_aws(design.loaded):
        return site.provider_of(design, progress, vault)
    from kdeploy.operations import aws

    return aws.known_or_unasked(design, vault, progress)


def _status(here: site.Site) -> ClusterStatus:
    from kdeploy.cluster import Check

    states = here.provider.observe(here.cluster.everything)
    checks: tuple[Check, ...]
    if not any(states[node.key].running or states[node.key].unseen for node in here.cluster.brokers):
        checks = (Check("brokers", False, "no broker runs"),)
    else:
        try:
            checks = readiness.check(here).checks
        except WrongCluster:
            raise
        except KdeployError as error:
            checks = (Check("brokers", False, str(error).splitlines()[0]),)
    over = expiry.ended(here.design, here.vault)
    if over:
        listed = ", ".join(f"{one.name} on {one.not_after:%Y-%m-%d}" for one in over)
        how = f"`kdeploy up {here.design.loaded.environment.name}` says how to have new ones"
        checks = (Check("certificates", False, f"ended: {listed}; {how}"), *checks)
    return ClusterStatus(here.cluster.datacenter, here.compare(here.cluster.everything), states, checks)
