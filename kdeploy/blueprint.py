"""The Blueprint: every node, volume, port and rendered file of an environment.

It is the last pure value: what providers, Ansible and reviews see is decided
here. Invariant: no secret and no address that is known only after provisioning
is in it, so it can be printed in a CI log; the same environment, plan and lock
give the same bytes.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Literal

from kdeploy.spec.lock import Role
from kdeploy.spec.model import Coordination, Provider

SecretKind = Literal["identity", "broker-zookeeper-identity", "nodes-authority", "clients-authority"]
"""What a secret file holds, all PEM:

identity: a node's private key and certificate, signed by the nodes' authority;
broker-zookeeper-identity: key and certificate with the one name all brokers share towards ZooKeeper;
nodes-authority, clients-authority: the certificate (no key) of an authority to trust.
"""


@dataclass(frozen=True)
class RenderedFile:
    """A file of a node, whole, without secrets.

    Attributes:
        path: Where, relative to the node's folder (local) or absolute (hosts).
        text: What is in it.
        restart: Whether a change of it takes effect only when the node restarts.
    """

    path: str
    text: str
    restart: bool = True

    @property
    def sha256(self) -> str:
        """Hash of the text, in hex."""
        return hashlib.sha256(self.text.encode()).hexdigest()


@dataclass(frozen=True)
class SecretFile:
    """A file whose content comes from the vault when it is applied (mode 0600)."""

    path: str
    kind: SecretKind


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
        ports: Purpose to number: client, internal, admin (brokers); controller; secure (ZooKeeper's
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

    @property
    def key(self) -> str:
        """`datacenter/name`: unique in the environment."""
        return f"{self.datacenter}/{self.name}"

    @property
    def fingerprint(self) -> str:
        """Hash of all that takes a restart to change, except secrets. Equal means: no restart needed."""
        parts = [self.main_class, *self.arguments, *self.java_options]
        parts += [f"{file.path}={file.sha256}" for file in self.files if file.restart]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()


@dataclass(frozen=True)
class ClusterBlueprint:
    """One datacenter's Kafka cluster.

    Attributes:
        datacenter: The datacenter's name.
        provider: Where the nodes come from.
        coordination: zookeeper or kraft.
        kafka_version: Version of every node.
        cluster_id: Known beforehand for KRaft, None in ZooKeeper mode.
        nodes: Coordination nodes first, then brokers, by id.
    """

    datacenter: str
    provider: Provider
    coordination: Coordination
    kafka_version: str
    cluster_id: str | None
    nodes: tuple[Node, ...]

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
        return ",".join(f"{node.host}:{node.ports[purpose]}" for node in self.brokers)


@dataclass(frozen=True)
class Blueprint:
    """Everything an environment is made of."""

    environment: str
    clusters: tuple[ClusterBlueprint, ...]

    @property
    def nodes(self) -> tuple[Node, ...]:
        """Every node of every cluster."""
        return tuple(node for cluster in self.clusters for node in cluster.nodes)
