"""One cluster at work: its blueprint, its provider, its secrets and how it is reached.

Invariant: the administrator's files on disk always are those of the vault.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from kdeploy.errors import KdeployError, Stopped, UsageError
from kdeploy.operations import places, prepare
from kdeploy.operations.difference import Action, actions
from kdeploy.operations.progress import Progress

if TYPE_CHECKING:
    from kdeploy.blueprint import ClusterBlueprint, Node
    from kdeploy.cluster import Access, Proxy, live
    from kdeploy.infra import Provider, Secrets
    from kdeploy.security.vault import Vault
    from kdeploy.spec.load import Loaded
    from kdeploy.spec.model import Environment

PARALLEL = 8
"""Nodes worked on at once where order does not matter: most of the time is waiting for Java."""


@dataclass(frozen=True)
class Manner:
    """How a person wants running nodes restarted.

    Attributes:
        canary: Whether to stop after the first of them; the next `up` goes on.
        accepted: Topics that may be unavailable to acks=all producers meanwhile, because they can
            never spare a broker.
        by_rack: Whether all brokers of a rack are restarted together, rack by rack.
        reboot: Whether each node's host is booted anew while the node is stopped.
        lost: Topics whose records a person gives up, where the last copy was on a machine that is replaced.
        catch_up: Seconds more than the site's patience that brokers may take to come in sync, where one
            begins without its data.
        without: Names of nodes that are down and are left as they are; of datacenters, whose every node is.
        move_rate: Bytes per second for each broker at which copies are moved, in place of the environment's.
        take_over: Whether nodes of this machine that belong to another folder are this one's from now on.
        refresh: Whether AWS is asked first what became of all that was made there.
    """

    canary: bool = False
    accepted: tuple[str, ...] = ()
    by_rack: bool = False
    reboot: bool = False
    lost: tuple[str, ...] = ()
    catch_up: float = 0.0
    without: tuple[str, ...] = ()
    move_rate: float | None = None
    take_over: bool = False
    refresh: bool = False

    def refuse_impossible(self, brokers: Sequence[Node]) -> None:
        """Refuse a manner that could never be kept to, before anything is touched.

        Args:
            brokers: Every broker of a cluster.

        Raises:
            UsageError: Brokers are to be restarted by the rack, and all of them are in one.
        """
        racks = sorted({node.rack for node in brokers})
        if self.by_rack and len(racks) == 1 and len(brokers) > 1:
            raise UsageError(
                f"every broker of {brokers[0].datacenter} is in rack {racks[0]}, so --by-rack would stop them all\n"
                "  leave --by-rack out: brokers are then restarted one at a time"
            )


@dataclass(frozen=True)
class Site:
    """What every operation on one cluster needs.

    Attributes:
        design: The environment's design.
        cluster: This cluster's part of the blueprint.
        provider: Where its nodes come from.
        vault: Its secrets.
        access: How its administrator reaches it.
        progress: Where to report.
        patience: Seconds to wait for a node to be ready, or for a gate to open.
        manner: How running nodes are to be restarted.
        written: The datacenter that is written to, where one of two is (`spec.mirrored`).
        absent: Keys of the environment's nodes that are down and left out, of every cluster.
        provisioned: Not empty once hosts of the environment were made ready in this run; shared by its clusters.
    """

    design: prepare.Design
    cluster: ClusterBlueprint
    provider: Provider
    vault: Vault
    access: Access
    progress: Progress
    patience: float = 300.0
    manner: Manner = Manner()
    written: str | None = None
    absent: tuple[str, ...] = ()
    provisioned: set[str] = field(default_factory=set, compare=False)

    @property
    def datacenters(self) -> tuple[str, ...]:
        """Names of all of the environment's datacenters."""
        return tuple(one.name for one in self.design.loaded.environment.datacenters)

    @property
    def declared(self) -> Environment:
        """What the environment declares for this cluster."""
        from kdeploy.spec.mirrored import declared_in

        return declared_in(self.design.loaded.environment, self.cluster.datacenter, self.written)

    def secrets(self, node: Node) -> Secrets:
        """Content of a node's secret files."""
        return prepare.secrets_of(node, self.vault)

    def passwords(self) -> Mapping[str, str]:
        """Passwords of the environment's users, by name."""
        return self.vault.passwords

    def compare(self, nodes: Sequence[Node] | None = None) -> tuple[Action, ...]:
        """What each node needs, of the cluster's own or of those given; read-only."""
        from kdeploy.infra import Remakes

        nodes = self.cluster.nodes if nodes is None else nodes
        wanted = {node.key: self.provider.wanted(node, self.secrets(node)) for node in nodes}
        outdated = self.provider.outdated() if isinstance(self.provider, Remakes) else {}
        return actions(nodes, self.provider.observe(nodes), wanted, outdated)

    def live_settings(
        self, brokers: Sequence[Node], restarting: Collection[str] = ()
    ) -> dict[int, live.Wanted]:
        """What those of some brokers that run are to have while they do, by id.

        Args:
            brokers: The brokers.
            restarting: Keys of those that are going to be restarted with their new files first.
        """
        from kdeploy.cluster import live
        from kdeploy.tuning.definitions import definitions
        from kdeploy.tuning.overrides import changeable

        version = definitions(self.cluster.kafka_version)
        known, others = version.broker, changeable(version)
        states = self.provider.observe(brokers)
        return {
            node.id: live.Wanted(
                node.name,
                # What was ours and is in the file no more goes back to Kafka's default.
                {name: known[name].default for name in states[node.key].live if name in known} | node.live,
                node.key in restarting,
                others,
            )
            for node in brokers
            if states[node.key].running
        }

    def provision(self) -> None:
        """Give every node of the environment its place, once in a run: what one cluster needs the others have then."""
        if not self.provisioned:
            self.provider.provision(self.design.blueprint, self.absent)
            self.provisioned.add(self.design.blueprint.environment)

    def apply(self, node: Node) -> None:
        """Put a node's files in place."""
        self.provider.apply(node, self.secrets(node))

    def apply_all(self, nodes: list[Node], apply: Callable[[Node], None]) -> None:
        """Put several nodes' files in place: by `apply`, side by side, unless the provider does it in one go."""
        from kdeploy.infra import AppliesTogether

        if isinstance(self.provider, AppliesTogether):
            self.provider.apply_together([(node, self.secrets(node)) for node in nodes])
        else:
            in_parallel(apply, nodes)


def refuse_undeployable(loaded: Loaded, manner: Manner = Manner()) -> None:
    """Refuse an environment that cannot be driven yet, before anything is decided or written: one run drives either
    machines that AWS makes or machines that are there.

    Args:
        loaded: The environment.
        manner: How it is to be driven.

    Raises:
        KdeployError: Names the datacenters and what can be done with them.
        UsageError: AWS is to be asked, and nothing is there.
    """
    datacenters = loaded.environment.datacenters
    in_aws = [one.name for one in datacenters if one.provider == "aws"]
    others = [one.name for one in datacenters if one.provider != "aws"]
    if in_aws and others:
        raise KdeployError(
            f"datacenter {in_aws[0]} has provider aws and {others[0]} has machines of yours, which this version of "
            "kdeploy plans and renders together but does not deploy together\n"
            "  make an environment of each, or write the files with `kdeploy render`"
        )
    if manner.refresh and not in_aws:
        raise UsageError(
            f"--refresh asks AWS, and no datacenter of {loaded.environment.name} has provider aws: leave it out\n"
            f"  what was changed on its nodes is named by `kdeploy drift {loaded.environment.name}`"
        )


def provider_of(design: prepare.Design, progress: Progress, vault: Vault | None = None) -> Provider:
    """The provider of an environment's clusters, which `refuse_undeployable` has let through."""
    loaded = design.loaded
    if not places.is_local(loaded):
        from kdeploy.operations import hosts

        return hosts.any_provider(design, progress, vault)
    from kdeploy.infra.local.provider import LocalProvider

    return LocalProvider(places.nodes_folder(loaded.environment.name), progress=progress.bar)


def sites(
    design: prepare.Design,
    vault: Vault,
    progress: Progress,
    manner: Manner = Manner(),
    provider: Provider | None = None,
) -> tuple[Site, ...]:
    """Every cluster of an environment, ready to be worked on."""
    chosen = provider or provider_of(design, progress, vault)
    clusters = design.blueprint.clusters
    everything = (site_of(design, cluster, vault, progress, chosen) for cluster in clusters)
    shared: set[str] = set()
    return tuple(replace(one, manner=manner, provisioned=shared) for one in everything)


def leave_out(everything: tuple[Site, ...]) -> tuple[Site, ...]:
    """The same clusters without the nodes that a person wants left out, workers of MirrorMaker too.

    A datacenter of which nothing is left has no node in the end; whoever works on it has nothing to do there.

    Raises:
        UsageError: There is no such node, or every node would be left out.
        KdeployError: One of them runs: what runs has to be as the environment says.
    """
    clusters = [one.cluster for one in everything]
    names = tuple(dict.fromkeys(name for one in everything for name in one.manner.without))
    absent = _absent(clusters, names)
    left = without(clusters, everything[0].provider, names)
    return tuple(
        replace(
            one,
            cluster=cluster,
            manner=replace(
                one.manner,
                without=tuple(node.name for node in one.cluster.everything if node.key in absent),
            ),
            absent=tuple(sorted(absent)),
        )
        for one, cluster in zip(everything, left, strict=True)
    )


def without(
    clusters: Sequence[ClusterBlueprint], provider: Provider, names: Sequence[str]
) -> tuple[ClusterBlueprint, ...]:
    """Clusters without some nodes, which are down; errors as `leave_out`.

    Args:
        clusters: Every cluster of an environment.
        provider: Where their nodes come from.
        names: The nodes' names, also with their datacenter's (`east/broker-1`); or a datacenter's, for all of it.
    """
    absent = _absent(clusters, names)
    down = [node for one in clusters for node in one.everything if node.key in absent]
    states = provider.observe(down) if down else {}
    running = [node.name for node in down if states[node.key].running]
    if running:
        raise KdeployError(
            f"{', '.join(running)} runs, and only a node that is down can be left out\n"
            "  run this again without --without for it"
        )
    return tuple(
        one.with_nodes(node for node in one.everything if node.key not in absent) if absent else one
        for one in clusters
    )


def _absent(clusters: Sequence[ClusterBlueprint], names: Sequence[str]) -> set[str]:
    """Keys of the nodes that are to be left out."""
    nodes = [node for one in clusters for node in one.everything]
    absent = {node.key for name in names for node in _named(name, nodes)}
    if len(absent) == len(nodes):
        raise UsageError(
            "every node would be left out, and nothing be done\n  run this again without --without"
        )
    return absent


def _named(name: str, nodes: Sequence[Node]) -> Sequence[Node]:
    """The node of a name, or of a datacenter and a name; all those of a datacenter."""
    found = [node for node in nodes if name in (node.name, node.key, node.datacenter)]
    if not found:
        listed = ", ".join(sorted({node.name for node in nodes}))
        raise UsageError(f"there is no node {name!r} to leave out\n  there are: {listed}")
    if found[0].datacenter != name and len(found) > 1:
        raise UsageError(
            f"more than one datacenter has a {name}\n"
            f"  write {found[0].key}; or {found[0].datacenter}, where all of it is down"
        )
    return found


def site_of(
    design: prepare.Design, cluster: ClusterBlueprint, vault: Vault, progress: Progress, provider: Provider
) -> Site:
    """One cluster of an environment, ready to be worked on."""
    name = design.loaded.environment.name
    folder = places.administrator_folder(name)
    _write_administrator_files(folder, vault)
    from kdeploy.infra import Forwards
    from kdeploy.spec.mirrored import written_first

    proxy = provider.proxy(cluster) if isinstance(provider, Forwards) else None
    reach = access(cluster, folder, None if proxy is None else _through(proxy))
    return Site(
        design, cluster, provider, vault, reach, progress, written=written_first(design.loaded.environment)
    )


def _through(proxy: Proxy) -> Proxy:
    """The same way to a cluster; where no host lets anybody in, the cluster cannot be reached, which its room calls so."""

    def opened() -> tuple[str, int]:
        from kdeploy.cluster.failure import Unreachable
        from kdeploy.infra.hosts import ssh

        try:
            return proxy()
        except ssh.Unreachable as error:
            raise Unreachable(str(error)) from None

    return opened


def access(cluster: ClusterBlueprint, folder: Path, proxy: Proxy | None) -> Access:
    """How to reach a cluster with the administrator's files in `folder`, through a proxy or straight."""
    from kdeploy.cluster import Access

    return Access(
        bootstrap=cluster.bootstrap("admin"),
        authority=folder / "nodes-authority.pem",
        certificate=folder / "admin.pem",
        client_bootstrap=cluster.bootstrap("client"),
        node_identity=folder / f"{cluster.datacenter}-node.pem"
        if cluster.coordination == "zookeeper"
        else None,
        proxy=proxy,
    )


def in_parallel(work: Callable[[Node], None], nodes: list[Node]) -> None:
    """Do the same to several nodes at once; the first failure is raised when all have ended.

    Where somebody stops kdeploy, nobody waits for the others: each may be killed at any moment.
    """
    pool, patient = ThreadPoolExecutor(PARALLEL), True
    try:
        for future in [pool.submit(work, node) for node in nodes]:
            future.result()
    except Stopped:
        patient = False
        raise
    finally:
        pool.shutdown(wait=patient, cancel_futures=not patient)


def _write_administrator_files(folder: Path, vault: Vault) -> None:
    from kdeploy.security import files

    for name, content in files.administrator_files(vault).items():
        files.write_secret(folder / name, content)
