"""server.properties of a broker.

Invariant: pure; every key is in the version's own definitions, and what Kafka's default
already says right is left to Kafka, unless the cluster's safety rests on it.
"""

from __future__ import annotations

from typing import Final

from kdeploy.spec.identity import endpoint
from kdeploy.tuning import outside, tls
from kdeploy.tuning.overrides import Settings, override
from kdeploy.tuning.situation import Cluster, Member, Situation
from kdeploy.tuning.topics import internal_topics, request_bytes, topic_defaults

NETWORK_THREADS: Final = (3, 16)
"""Least and most num.network.threads: Kafka's own 3 (Kafka 3.9 documentation, 3.1), and twice cp-ansible's 8
(7.9.x, roles/variables) as our bound. They encrypt, so one a core in between."""

IO_THREADS: Final = (8, 64)
"""Least and most num.io.threads: Kafka's own 8 (Kafka 3.9 documentation, 3.1); the most is our bound."""

IO_THREADS_PER_DISK: Final = 8
"""Kafka's own 8 serve one log directory; a disk more brings as many more waits at once."""

REPLICA_FETCHERS: Final = (1, 4)
"""Least and most num.replica.fetchers: Kafka's own 1, and the 4 of the production configuration it published
(Kafka 0.8.1 documentation, 6.3 A Production Server Config). It is threads for each other broker."""

RECOVERY_THREADS: Final = (2, 8)
"""Least and most num.recovery.threads.per.data.dir: 2 is Kafka's own from 4.0 (KIP-1030; cp-ansible sets the
same). They work at start and stop only, when nothing else needs the cores."""

ADMIN_NETWORK_THREADS: Final = 1
"""The administrator's listener carries one client (num.network.threads is a listener's since KIP-788, 3.3)."""


def settings(situation: Situation) -> Settings:
    """All settings of one broker, a person's overrides included.

    Raises:
        InvalidSetting: An override is unknown, invalid, or kdeploy's own to set.
    """
    cluster = situation.cluster
    decided = (
        identity(situation)
        | listeners(situation)
        | tls.node_tls(situation.layout)
        | tls.mutual("internal")
        | tls.administrator_listener(situation.layout)
        | tls.client_listeners(situation)
        | tls.authorizer(situation)
        | coordination(situation)
        | threads(situation.cores, len(situation.layout.data))
        | network(situation)
        | inherited_by_topics(cluster)
        | internal_topics(cluster)
        | {"auto.create.topics.enable": "false", "controlled.shutdown.enable": "true"}
    )
    return override("broker", decided, situation.environment.overrides.broker, cluster.definitions)


def identity(situation: Situation) -> Settings:
    """Who it is, where it stands, where its data is."""
    member = situation.member
    who = (
        {"broker.id": str(member.id), "broker.id.generation.enable": "false"}
        if situation.cluster.coordination == "zookeeper"
        else {"node.id": str(member.id), "process.roles": "broker"}
    )
    return who | {"broker.rack": member.rack, "log.dirs": ",".join(situation.layout.data)}


def listeners(situation: Situation) -> Settings:
    """Three listeners: among brokers, for clients, for the administrator; one more where clients come from outside."""
    protocols = {
        "INTERNAL": "SSL",
        "CLIENT": situation.environment.security.client_listener,
        "ADMIN": "SSL",
    }
    member = situation.member
    advertised = _addresses(tuple(protocols), member.host, member)
    if member.outside is not None:
        protocols[outside.LISTENER.upper()] = tls.OUTSIDE
        advertised += f",{outside.LISTENER.upper()}://{member.outside}"
    names = tuple(protocols)
    if situation.cluster.coordination == "kraft":
        protocols["CONTROLLER"] = "SSL"
    return {
        "listeners": _addresses(names, member.bind, member),
        "advertised.listeners": advertised,
        "listener.security.protocol.map": ",".join(f"{name}:{value}" for name, value in protocols.items()),
        "inter.broker.listener.name": "INTERNAL",
        "listener.name.admin.num.network.threads": str(ADMIN_NETWORK_THREADS),
    }


def coordination(situation: Situation) -> Settings:
    """Where the metadata is, and how it is reached."""
    cluster = situation.cluster
    if cluster.coordination == "zookeeper":
        ensemble = ",".join(member.at("secure") for member in cluster.of("zookeeper"))
        return {"zookeeper.connect": ensemble} | tls.zookeeper_client(situation.layout)
    return quorum(situation)


def quorum(situation: Situation) -> Settings:
    """How a KRaft node finds the controllers: any of them, for voters may change (KIP-853, Kafka 3.9)."""
    servers = ",".join(member.at("controller") for member in situation.cluster.of("controller"))
    return {"controller.quorum.bootstrap.servers": servers, "controller.listener.names": "CONTROLLER"}


def inherited_by_topics(cluster: Cluster) -> Settings:
    """What topics inherit; counts only with ZooKeeper: Kafka 4.3 warns that KRaft has them on controllers."""
    left = () if cluster.coordination == "zookeeper" else ("num.partitions", "default.replication.factor")
    return {name: value for name, value in topic_defaults(cluster).items() if name not in left}


def threads(cores: int, disks: int) -> Settings:
    """Threads from cores and disks.

    Args:
        cores: Processor cores.
        disks: Log directories.
    """
    return {
        "num.network.threads": str(_within(NETWORK_THREADS, cores)),
        "num.io.threads": str(_within(IO_THREADS, max(IO_THREADS_PER_DISK * disks, 2 * cores))),
        "num.replica.fetchers": str(_within(REPLICA_FETCHERS, cores // 4)),
        "num.recovery.threads.per.data.dir": str(_within(RECOVERY_THREADS, cores // disks)),
    }


def network(situation: Situation) -> Settings:
    """Socket buffers and requests.

    -1 leaves buffers to the operating system, which grows them with the connection: a fixed size
    turns that off (tcp(7), Linux man-pages 6.03), and Kafka's 64 to 100 KiB hold a connection of 1 ms
    round trip under 100 MB/s. Their bounds are `kernel.settings`. That replicas may have -1 is in
    org.apache.kafka.common.network.Selectable.USE_DEFAULT_BUFFER_SIZE (Kafka 3.9).
    """
    return {
        "socket.send.buffer.bytes": "-1",
        "socket.receive.buffer.bytes": "-1",
        "replica.socket.receive.buffer.bytes": "-1",
        "socket.request.max.bytes": str(request_bytes(situation.environment.workload)),
    }


def _addresses(names: tuple[str, ...], host: str, member: Member) -> str:
    return ",".join(f"{name}://{endpoint(host, member.ports[name.lower()])}" for name in names)


def _within(bounds: tuple[int, int], value: int) -> int:
    least, most = bounds
    return min(most, max(least, value))
