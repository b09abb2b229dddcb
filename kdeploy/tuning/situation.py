"""A node among its peers and on its machine: all that tuning decides from.

Invariant: it holds decisions only (from the environment and the lock), no text and no
path that is not decided here; two equal situations get equal files.
"""

from __future__ import annotations

from dataclasses import dataclass

from kdeploy.spec.identity import endpoint
from kdeploy.spec.lock import Role
from kdeploy.spec.model import Coordination, Environment, Provider
from kdeploy.tuning.definitions import Definitions, definitions
from kdeploy.tuning.outside import Balancer


@dataclass(frozen=True)
class Member:
    """One node as its peers know it.

    Attributes:
        id: broker.id, node.id or myid.
        name: `broker-1`.
        role: What it is.
        rack: Its failure domain.
        host: The name its peers reach it by.
        bind: The address it listens on.
        ports: Purpose to number.
        directory_id: Its KRaft log directory's id (controllers), None elsewhere.
        address: Its private address where that is decided beforehand (provider aws), None elsewhere.
        outside: `host:port` by which clients outside the network reach it (brokers); None where none do.
    """

    id: int
    name: str
    role: Role
    rack: str
    host: str
    bind: str
    ports: dict[str, int]
    directory_id: str | None = None
    address: str | None = None
    outside: str | None = None

    def at(self, purpose: str) -> str:
        """`host:port` as its peers use it."""
        return endpoint(self.host, self.ports[purpose])


@dataclass(frozen=True)
class Cluster:
    """One datacenter's cluster as a whole.

    Attributes:
        environment: What is wanted.
        datacenter: The datacenter's name.
        provider: Where its nodes come from.
        version: Kafka's version.
        coordination: zookeeper or kraft.
        cluster_id: Known beforehand for KRaft only.
        partitions: Leaders of all topics together, as planned.
        members: Every node.
        far_mirrors: Addresses of workers of MirrorMaker in the other datacenter: they fetch from these brokers.
        balancer: What clients outside the network connect to; None where there is nothing for them.
    """

    environment: Environment
    datacenter: str
    provider: Provider
    version: str
    coordination: Coordination
    cluster_id: str | None
    partitions: int
    members: tuple[Member, ...]
    far_mirrors: tuple[str, ...] = ()
    balancer: Balancer | None = None

    @property
    def definitions(self) -> Definitions:
        """What the version defines."""
        return definitions(self.version)

    def of(self, role: Role) -> tuple[Member, ...]:
        """Members of a role, by id."""
        return tuple(sorted((one for one in self.members if one.role == role), key=lambda one: one.id))


@dataclass(frozen=True)
class Layout:
    """Where things are on a node: relative to its folder (local), or absolute.

    Attributes:
        config: Folder of rendered files.
        secrets: Folder of secret files.
        data: Data folders, one a disk; none of a worker of MirrorMaker that has a host of its own.
        logs: Folder of its own logs.
    """

    config: str
    secrets: str
    data: tuple[str, ...]
    logs: str


@dataclass(frozen=True)
class Situation:
    """One node, its cluster and its machine.

    Attributes:
        cluster: The cluster it belongs to.
        member: The node itself.
        cores: Processor cores it may count on.
        memory: Bytes of memory it may count on.
        layout: Where things are.
        devices: Its data disks: stable paths where they are declared (provider hosts), names that the paths take the
            place of once the volumes are there (provider aws).
    """

    cluster: Cluster
    member: Member
    cores: int
    memory: float
    layout: Layout
    devices: tuple[str, ...] = ()

    @property
    def environment(self) -> Environment:
        """What is wanted."""
        return self.cluster.environment

    @property
    def is_local(self) -> bool:
        """Whether it is a process beside others on this machine, with no host of its own."""
        return self.cluster.provider == "local"


def layout(provider: Provider, role: Role, disks: int) -> Layout:
    """Where things are on a node, by the Filesystem Hierarchy Standard 3.0 where it has a host of its own.

    Args:
        provider: Where the node comes from.
        role: What it is.
        disks: Data disks; each is a data folder of its own.
    """
    numbers = range(max(1, disks))
    if provider == "local":
        return Layout("config", "secrets", tuple(f"data/{number}" for number in numbers), "logs")
    name = "zookeeper" if role == "zookeeper" else "kafka"
    if role == "mirror":  # what a worker has to keep is in topics
        return Layout(f"/etc/{name}", f"/etc/{name}/secrets", (), f"/var/log/{name}")
    data = tuple(f"/var/lib/{name}/data/{number}" for number in numbers)
    return Layout(f"/etc/{name}", f"/etc/{name}/secrets", data, f"/var/log/{name}")
