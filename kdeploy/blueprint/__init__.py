"""The Blueprint: every node, volume, port and rendered file of an environment.

It is the last pure value: what providers, Ansible and reviews see is decided
here. Invariant: no secret and no address that is known only after provisioning
is in it, so it can be printed in a CI log; the same environment, plan and lock
give the same bytes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, Literal

from kdeploy.spec.identity import endpoint
from kdeploy.spec.lock import Lock, Role
from kdeploy.spec.model import Coordination, Environment, Provider
from kdeploy.tuning.mirror import Connector
from kdeploy.tuning.outside import Balancer, Outlet
from kdeploy.tuning.place import (
    Account,
    DataVolume,
    Machine,
    Peering,
    Place,
    Placement,
    Rule,
    SubnetPlace,
)

if TYPE_CHECKING:
    from kdeploy.planner.result import Plan

__all__ = [
    "BLUEPRINT_SCHEMA",
    "Account",
    "Balancer",
    "Blueprint",
    "ClusterBlueprint",
    "DataVolume",
    "Disk",
    "HostFirewall",
    "Machine",
    "Node",
    "Outlet",
    "Peering",
    "Place",
    "Placement",
    "RenderedFile",
    "Role",
    "Rule",
    "SecretFile",
    "SecretKind",
    "SubnetPlace",
    "draw",
]

BLUEPRINT_SCHEMA: Final = "kdeploy.blueprint/v1"

LOOPBACK: Final = ("127.0.0.0/8", "::1/128")
"""Where what comes from the machine itself comes from (RFC 6890, table 4; RFC 4291, section 2.5.3)."""

SecretKind = Literal[
    "identity",
    "broker-zookeeper-identity",
    "nodes-authority",
    "clients-authority",
    "mirror-login",
    "rest-identity",
    "rest-authorities",
]
"""What a secret file holds, PEM unless it says otherwise:

identity: a node's private key and certificate, signed by the nodes' authority;
broker-zookeeper-identity: key and certificate with the one name all brokers share towards ZooKeeper;
nodes-authority, clients-authority: the certificate (no key) of an authority to trust;
mirror-login: properties `login` (the JAAS line of MirrorMaker's user) and `store` (what opens the two stores);
rest-identity, rest-authorities: PKCS #12 stores of a worker's REST interface, its own key and certificate and whom
it believes; made anew each time, so their bytes say nothing about whether something changed.
"""

DERIVED: Final = frozenset({"rest-identity", "rest-authorities"})
"""Kinds of secret files whose bytes differ each time they are made; what they are made of, `mirror-login` hashes."""


@dataclass(frozen=True)
class RenderedFile:
    """A file of a node, whole, without secrets.

    Attributes:
        path: Where, relative to the node's folder (local) or absolute (hosts).
        text: What is in it.
        restart: Whether a change of it takes effect only when the node restarts.
        live: Names of settings in it (of a .properties file) that need no restart all the same:
            a running node is given their values by Kafka's protocol.
    """

    path: str
    text: str
    restart: bool = True
    live: tuple[str, ...] = ()

    @property
    def sha256(self) -> str:
        """Hash of the text, in hex."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    @property
    def restart_sha256(self) -> str:
        """Hash of what takes a restart: all but the lines of `live`."""
        if not self.live:
            return self.sha256
        lines = (line for line in self.text.splitlines() if line.partition("=")[0] not in self.live)
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()


@dataclass(frozen=True)
class SecretFile:
    """A file whose content comes from the vault when it is applied (mode 0600)."""

    path: str
    kind: SecretKind


LOCAL_DISK: Final = "local:"
"""What the name of a disk of the machine's own begins with, in AWS: its data ends when the machine stops."""


@dataclass(frozen=True)
class Disk:
    """A data disk of a host, and what is made of it.

    Attributes:
        device: Its stable path, as the person declared it. In AWS a name, `volume:0`, whose place a path takes once the
            volume is there; the machine's own disks are `local:0` and so on.
        file_system: UUID that its file system gets and is mounted by; its data is ours by it.
        mount: Where it is mounted: one of the node's data directories.
        queues: Settings of its queue in the kernel, by whether it turns out to rotate ("0" or "1").
    """

    device: str
    file_system: str
    mount: str
    queues: dict[str, dict[str, str]] = field(default_factory=dict)


@dataclass(frozen=True)
class HostFirewall:
    """The firewall of a host; its rules are a file of the node.

    Attributes:
        digest: Stands for the rules, and is in a comment among them.
        operators: Networks that may log in.
        ssh_ports: Ports that they log in on.
    """

    digest: str
    operators: tuple[str, ...]
    ssh_ports: tuple[int, ...]


@dataclass(frozen=True)
class Node:
    """One process of the cluster, and all that is on its disk.

    Attributes:
        datacenter: The datacenter's name.
        name: `broker-1`, `zookeeper-2`, `controller-1001`; unique in the datacenter.
        role: zookeeper, controller or broker.
        id: broker.id, node.id or myid.
        rack: Its failure domain.
        host: The name other nodes and clients use for it (`localhost` for provider local).
        bind: The address it listens on.
        ports: Purpose to number: client, internal, admin, and external behind a load balancer (brokers); controller; secure (ZooKeeper's
            TLS client port), quorum, election.
        cores: Processor cores it may count on.
        memory: Bytes of memory it may count on.
        data_directories: Where it keeps data, first one first; same kind of path as `RenderedFile.path`.
        format_arguments: Arguments of Kafka's StorageTool that format its storage before its
            first start (KRaft only, else empty); paths in them are like `RenderedFile.path`.
        java_options: Options of its JVM, without class path and main class.
        main_class: Java class it runs.
        arguments: Arguments of the main class (the configuration file).
        files: Rendered files.
        secrets: Secret files.
        disks: Data disks of its host, where they are declared (provider hosts) or decided (provider aws).
        firewall: The firewall of its host, where kdeploy keeps it (providers hosts and aws).
        machine: The instance it runs on (provider aws).
    """

    datacenter: str
    name: str
    role: Role
    id: int
    rack: str
    host: str
    bind: str
    ports: dict[str, int]
    cores: int
    memory: float
    data_directories: tuple[str, ...]
    format_arguments: tuple[str, ...]
    java_options: tuple[str, ...]
    main_class: str
    arguments: tuple[str, ...]
    files: tuple[RenderedFile, ...]
    secrets: tuple[SecretFile, ...]
    disks: tuple[Disk, ...] = ()
    firewall: HostFirewall | None = None
    machine: Machine | None = None

    @property
    def key(self) -> str:
        """`datacenter/name`: unique in the environment."""
        return f"{self.datacenter}/{self.name}"

    @property
    def loses_data_on_stop(self) -> bool:
        """Whether its data is on its machine's own disks, and gone when that is stopped or made anew."""
        return any(disk.device.startswith(LOCAL_DISK) for disk in self.disks)

    @property
    def fingerprint(self) -> str:
        """Hash of all that takes a restart to change, except secrets. Equal means: no restart needed."""
        parts = [self.main_class, *self.arguments, *self.java_options]
        parts += [f"{file.path}={file.restart_sha256}" for file in self.files if file.restart]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()

    @property
    def live(self) -> dict[str, str]:
        """Settings whose values it is given while it runs, by name."""
        from kdeploy.tuning.render import parse_properties

        found: dict[str, str] = {}
        for file in self.files:
            if file.live:
                settings = parse_properties(file.text)
                found |= {name: settings[name] for name in file.live}
        return found


@dataclass(frozen=True)
class Mirror:
    """MirrorMaker's workers in a datacenter, which write to its cluster, and what they run.

    Attributes:
        nodes: The workers, by id.
        connectors: Every connector that they may run; no secret is in them.
    """

    nodes: tuple[Node, ...]
    connectors: tuple[Connector, ...]


@dataclass(frozen=True)
class ClusterBlueprint:
    """One datacenter's Kafka cluster.

    Attributes:
        datacenter: The datacenter's name.
        provider: Where the nodes come from.
        coordination: zookeeper or kraft.
        kafka_version: Version of every node.
        cluster_id: Known beforehand for KRaft, from the first `up` on in ZooKeeper mode; None before.
        nodes: Coordination nodes first, then brokers, by id.
        keep_time: Whether its hosts get a time service where they have none (providers hosts and aws).
        place: What of AWS it stands on (provider aws).
        mirror: What mirrors into it; None where nothing does.
    """

    datacenter: str
    provider: Provider
    coordination: Coordination
    kafka_version: str
    cluster_id: str | None
    nodes: tuple[Node, ...]
    keep_time: bool = False
    place: Place | None = None
    mirror: Mirror | None = None

    @property
    def everything(self) -> tuple[Node, ...]:
        """Nodes of the cluster, and the workers of MirrorMaker beside it."""
        return (*self.nodes, *(self.mirror.nodes if self.mirror else ()))

    def with_nodes(self, everything: Iterable[Node]) -> ClusterBlueprint:
        """The same cluster of these nodes and workers alone."""
        chosen = tuple(everything)
        workers = tuple(node for node in chosen if node.role == "mirror")
        return replace(
            self,
            nodes=tuple(node for node in chosen if node.role != "mirror"),
            mirror=self.mirror and replace(self.mirror, nodes=workers),
        )

    @property
    def brokers(self) -> tuple[Node, ...]:
        """The brokers, by id."""
        return tuple(node for node in self.nodes if node.role == "broker")

    @property
    def coordinators(self) -> tuple[Node, ...]:
        """The ZooKeeper nodes or the controllers, by id."""
        return tuple(node for node in self.nodes if node.role != "broker")

    def bootstrap(self, purpose: str) -> str:
        """`host:port,...` of every broker for a port's purpose (client or admin)."""
        return ",".join(endpoint(node.host, node.ports[purpose]) for node in self.brokers)


@dataclass(frozen=True)
class Blueprint:
    """Everything an environment is made of; `aws` is what holds for all of it in AWS."""

    environment: str
    clusters: tuple[ClusterBlueprint, ...]
    aws: Account | None = None

    @property
    def nodes(self) -> tuple[Node, ...]:
        """Every node of every cluster, and every worker of MirrorMaker."""
        return tuple(node for cluster in self.clusters for node in cluster.everything)

    def to_json(self) -> dict[str, Any]:
        """The blueprint as JSON values with its schema."""
        return {"schema": BLUEPRINT_SCHEMA, **asdict(self)}

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Blueprint:
        """Read back what `to_json` wrote, equal to it.

        Raises:
            ValueError: The document is of another schema or does not fit it.
        """
        from pydantic import TypeAdapter

        if document.get("schema") != BLUEPRINT_SCHEMA:
            raise ValueError(f"not a {BLUEPRINT_SCHEMA} document")
        fields = {key: value for key, value in document.items() if key != "schema"}
        return TypeAdapter(Blueprint).validate_python(fields)

    def tree(self) -> dict[str, str]:
        """Every file of every node by `datacenter/node/path`, and beside them `node.json`: the rest of the node."""
        import json

        files = {}
        for node in self.nodes:
            for file in node.files:
                files[f"{node.key}/{file.path.lstrip('/')}"] = file.text
            rest = {name: value for name, value in asdict(node).items() if name != "files"}
            files[f"{node.key}/node.json"] = json.dumps(rest, indent=2, sort_keys=True) + "\n"
        return files


def draw(environment: Environment, plan: Plan, lock: Lock) -> Blueprint:
    """Every node with its files, as the lock decided them.

    Args:
        environment: What is wanted.
        plan: A feasible plan for it.
        lock: What was decided: ids, names, ports, shapes.

    Raises:
        InvalidSetting: Overrides, or settings of topics, are unknown, invalid, or kdeploy's own to set: all of them.
    """
    from kdeploy.blueprint import drawing

    return drawing.draw(environment, plan, lock)
