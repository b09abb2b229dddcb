"""A worker of MirrorMaker, and the connectors it runs: a distributed Kafka Connect cluster beside the brokers it writes to.

Invariant: pure; passwords are named (`${file:…}`), never written. Workers of a datacenter write to that
datacenter's brokers alone, so what crosses the distance is fetched, with buffers that grow with the round trip. A
record is written once: with its offset, in one transaction (KIP-618).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from kdeploy.spec.identity import DRILL, MIRROR, endpoint
from kdeploy.spec.mirrored import CONFIGS, HEARTBEATS, INTERNAL, OFFSETS, STATUS
from kdeploy.spec.mirroring import Mirroring, passes_heartbeats_on
from kdeploy.spec.model import Environment
from kdeploy.tuning.overrides import Settings
from kdeploy.tuning.situation import Situation

LOGIN_FILE: Final = "mirror.properties"
"""Secret file of a worker: `login`, with which it reaches both clusters, and `store`, which opens its stores."""

KEY_STORE: Final = "rest-keystore.p12"
TRUST_STORE: Final = "rest-truststore.p12"
"""What its REST interface shows and believes. Connect's own server reads no PEM (Kafka 4.3, SSLUtils of
connect-runtime hands the store to Jetty), unlike every other listener."""

SECRETS: Final[
    Mapping[str, Literal["mirror-login", "nodes-authority", "rest-authorities", "rest-identity"]]
] = {
    LOGIN_FILE: "mirror-login",
    "nodes-authority.pem": "nodes-authority",
    KEY_STORE: "rest-identity",
    TRUST_STORE: "rest-authorities",
}
"""A worker's secret files, and what each holds."""

CONVERTER: Final = "org.apache.kafka.connect.converters.ByteArrayConverter"
"""Bytes as they are: a mirror looks into no record."""

TASKS_PER_WORKER: Final = 4
"""Tasks for each worker where a person says nothing: each is a consumer and a producer of its own."""

REBALANCE_DELAY: Final = 10.0
"""Seconds for which tasks of a worker that left wait for it to come back (scheduled.rebalance.max.delay.ms, whose
default is 300). A restart takes about as long. With the 10 s until a worker is missed, whoever is lost for good costs
its tasks 20 s, which the default `rpo` of 30 s bears."""

TRANSACTION: Final = 0.5
"""Seconds of records in a transaction (transaction.boundary.interval.ms). Connect's own boundary is each poll, which
is a transaction for 500 records; half a second is small against any objective of seconds."""

POLL: Final = 5000
"""Records of a poll (max.poll.records; Kafka's own 500 makes ten times the rounds for the same bytes)."""

FETCH: Final = 4 * 2**20
"""Bytes of a broker's answer, which may all be of one partition (fetch.max.bytes, max.partition.fetch.bytes). Kafka's own
1 MiB a partition holds one at a round trip of 80 ms to 13 MB/s, since the next is asked for when it has come; with 4 MiB it
is 52 MB/s. Kafka's own 50 MiB an answer never comes to its end on a line that loses packets: at 80 ms and 1 % a connection
carries 0.2 MB/s (Mathis and others, The Macroscopic Behavior of the TCP Congestion Avoidance Algorithm, 1997; measured
2026-11-28), what takes longer than its time (`ANSWER`) is given up, and asked for again from its beginning."""

LEAST_FETCH: Final = 64 * 2**10
"""Bytes of an answer at least: less is a question for each few batches. One batch is always answered, however large."""

ANSWER: Final = 60.0
"""Seconds in which an answer has to be there (request.timeout.ms; Kafka's own are 30): a whole one needs 70 kB/s, which
is what a connection carries at 250 ms and 1 % loss."""

SHARED: Final = 10.0
"""Seconds that whole answers take where all tasks ask all brokers at once over a link whose bandwidth is stated: a sixth of
the time that they have. On a line of 400 kB/s answers of 8 MiB a partition never ended, and after a cut of 5 minutes nothing
more was mirrored (measured 2026-11-28)."""

BATCH: Final = 256 * 2**10
LINGER: Final = 0.02
"""Bytes of a batch and seconds it is waited for, when writing: records come by the thousand, and 16 KiB batches
(Kafka's own) would be as many requests more."""

AUTO: Final = "-1"
"""A socket buffer that the kernel sizes (Kafka 3.9 documentation, 3.4: receive.buffer.bytes). Kafka's own 64 KiB and
100 KiB hold a connection at 80 ms to about 1 MB/s, whatever the line carries."""

REFRESH: Final = 30.0
"""Seconds between two looks for new topics and groups (refresh.topics.interval.seconds; its default is 600)."""

SYNC: Final = 5.0
"""Seconds between two checkpoints, and between two writes of translated offsets into the other side's groups (60
each by default): what a failover reads again is at least what was read in this time."""

HEARTBEAT: Final = 1.0
"""Seconds between two heartbeats (emit.heartbeats.interval.seconds, its default)."""

OFFSET_LAG: Final = 10
"""Records between two points from which offsets are translated exactly (offset.lag.max, 100 by default): a group may
read about as many again."""

QUESTIONS: Final = (10.0, 60.0)
"""Seconds, at least and at most, in which the source has to answer a connector's questions: a third of the environment's `rto`,
else Kafka's own (default.api.timeout.ms of its administrator, admin.timeout.ms of MirrorMaker, 60 each, Kafka 3.9 to 4.3). A
connector whose source is dead is stopped when its questions have ended, and nobody is let in before: with 60 s a failover took 66
of them to stop its mirror (measured 2026-11-28)."""

OWN_TOPICS: Final = (r"__.*", r"\..*", r".*[.-]internal", r".*\.heartbeats")
"""Topics that are never mirrored: Kafka's and kdeploy's own, and MirrorMaker's, of which only `heartbeats` is, by itself.
The endings are those of 3.9 (ReplicationPolicy.isInternalTopic) for 4.x too, so that what is mirrored does not change
with the version; `spec.mirrored.is_mirrored` says the same."""

OWN_GROUPS: Final = (r"__.*", r"connect-.*", r"console-consumer-.*")
"""Groups whose offsets mean nothing elsewhere; the last two are MirrorMaker's own default (groups.exclude)."""

_POLICIES: Final = {
    "identity": "org.apache.kafka.connect.mirror.IdentityReplicationPolicy",
    "prefixed": "org.apache.kafka.connect.mirror.DefaultReplicationPolicy",
}


@dataclass(frozen=True)
class Side:
    """A datacenter as the other one sees it.

    Attributes:
        datacenter: Its name, and the alias of its cluster.
        bootstrap: `host:port,...` of its client listeners.
    """

    datacenter: str
    bootstrap: str


@dataclass(frozen=True)
class Connector:
    """A connector as it is to be.

    Attributes:
        name: Its name.
        config: Its configuration without `name`; no secret is in it.
        source: The datacenter that it reads from; None of the one that writes heartbeats.
    """

    name: str
    config: dict[str, str]
    source: str | None = None


RECORDS: Final = "-records"
"""How the name of a connector ends that carries records."""


def records(source: str, target: str) -> str:
    """Name of the connector that carries records."""
    return f"{source}-to-{target}{RECORDS}"


def groups(source: str, target: str) -> str:
    """Name of the connector that translates groups' offsets."""
    return f"{source}-to-{target}-groups"


def drill(source: str, target: str) -> str:
    """Name of the connector that carries a drill's canary the way nothing else is mirrored now."""
    return f"{source}-to-{target}-drill"


def canaries(datacenter: str) -> str:
    """Names of the canary topics and groups that a drill makes in a datacenter, as a pattern of an environment."""
    return f"{DRILL}{datacenter}_*"


def heartbeats(datacenter: str) -> str:
    """Name of the connector that writes the heartbeats of a datacenter's own cluster."""
    return f"{datacenter}-heartbeats"


def settings(situation: Situation) -> Settings:
    """connect-distributed.properties of a worker (Kafka 3.9 and 4.3 documentation, Kafka Connect configs)."""
    cluster, member, layout = situation.cluster, situation.member, situation.layout
    copies = str(cluster.environment.durability.replication_factor)
    bootstrap = ",".join(one.at("client") for one in cluster.of("broker"))
    reaching = _reaching(layout.secrets)
    kept = {f"{what}.storage.replication.factor": copies for what in ("config", "offset", "status")}
    clients = (
        {f"{client}.{name}": value for name, value in reaching.items()}
        for client in ("producer", "consumer", "admin")
    )
    found = {
        "bootstrap.servers": bootstrap,
        "group.id": MIRROR,
        "client.id": member.name,
        "config.storage.topic": CONFIGS,
        "offset.storage.topic": OFFSETS,
        "offset.storage.partitions": str(INTERNAL[OFFSETS]),
        "status.storage.topic": STATUS,
        "status.storage.partitions": str(INTERNAL[STATUS]),
        "exactly.once.source.support": "enabled",
        "key.converter": CONVERTER,
        "value.converter": CONVERTER,
        "plugin.discovery": "service_load",
        "scheduled.rebalance.max.delay.ms": _milliseconds(REBALANCE_DELAY),
        "config.providers": "file",
        "config.providers.file.class": "org.apache.kafka.common.config.provider.FileConfigProvider",
    }
    for one in clients:
        found |= one
    return found | kept | reaching | _rest(situation)


def _rest(situation: Situation) -> Settings:
    """The REST interface: over TLS, to who shows a certificate of kdeploy's authorities alone (KIP-208)."""
    member, secrets = situation.member, situation.layout.secrets
    port = member.ports["rest"]
    password = f"${{file:{secrets}/{LOGIN_FILE}:store}}"
    stores = {
        f"listeners.https.ssl.{kind}.{what}": value
        for kind, file in (("keystore", KEY_STORE), ("truststore", TRUST_STORE))
        for what, value in (("type", "PKCS12"), ("location", f"{secrets}/{file}"), ("password", password))
    }
    return stores | {
        "listeners": f"https://{endpoint(member.bind, port)}",
        "rest.advertised.listener": "https",
        "rest.advertised.host.name": member.host,
        "rest.advertised.port": str(port),
        "listeners.https.ssl.client.auth": "required",
        "listeners.https.ssl.key.password": password,
        "listeners.https.ssl.endpoint.identification.algorithm": "https",
    }


def _reaching(secrets: str) -> Settings:
    """How a worker reaches brokers: as its user, by password over TLS."""
    return {
        "security.protocol": "SASL_SSL",
        "sasl.mechanism": "SCRAM-SHA-512",
        "sasl.jaas.config": f"${{file:{secrets}/{LOGIN_FILE}:login}}",
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": f"{secrets}/nodes-authority.pem",
    }


def connectors(
    environment: Environment, target: Side, sources: Iterable[Side], tasks: int, secrets: str
) -> tuple[Connector, ...]:
    """Every connector that workers of a datacenter may run; which of them do, `operations` decides.

    Args:
        environment: With `mirroring`.
        target: The workers' own datacenter.
        sources: The others.
        tasks: Most tasks of a connector that carries records.
        secrets: Folder of the workers' secret files.
    """
    wanted = environment.mirroring
    if wanted is None:
        return ()
    copies = str(environment.durability.replication_factor)
    found = [_heartbeats(target, copies, secrets)]
    others = tuple(sources)
    for source in others:
        beyond = [one.datacenter for one in others if one is not source]
        found.append(_records(environment, wanted, source, target, tasks, secrets, beyond))
        found.append(_groups(wanted, source, target, copies, secrets))
    return tuple(sorted(found, key=lambda one: one.name))


def _heartbeats(target: Side, copies: str, secrets: str) -> Connector:
    config = {
        "connector.class": "org.apache.kafka.connect.mirror.MirrorHeartbeatConnector",
        "tasks.max": "1",
        "source.cluster.alias": target.datacenter,
        "target.cluster.alias": target.datacenter,
        **_clusters({"source": target, "target": target}, secrets),
        "heartbeats.topic.replication.factor": copies,
        "emit.heartbeats.interval.seconds": f"{HEARTBEAT:.0f}",
    }
    return Connector(heartbeats(target.datacenter), config)


def _records(
    environment: Environment,
    wanted: Mirroring,
    source: Side,
    target: Side,
    tasks: int,
    secrets: str,
    beyond: Sequence[str],
) -> Connector:
    """What carries records of a source's own: what others (`beyond`) mirror there comes from them, and from there no more.

    Where names stay what they are, one that begins with a datacenter's is an application's. Nothing but a drill's canaries
    comes from others then, which may be mirrored to the one that is written to while it is mirrored from.
    """
    copies, codec = str(environment.durability.replication_factor), environment.workload.compression
    bandwidth = wanted.link(source.datacenter, target.datacenter).bandwidth
    answer = str(fetched(bandwidth, tasks * (source.bootstrap.count(",") + 1)))
    narrow = bool(beyond) and not passes_heartbeats_on(environment.kafka.version)
    is_one_name = wanted.names == "identity"
    config = {
        "connector.class": "org.apache.kafka.connect.mirror.MirrorSourceConnector",
        "tasks.max": str(tasks),
        "exactly.once.support": "required",
        "transaction.boundary": "interval",
        "transaction.boundary.interval.ms": _milliseconds(TRANSACTION),
        **_common(wanted, source, target, secrets),
        "topics": _patterns((*wanted.topics, canaries(source.datacenter), *([HEARTBEATS] if narrow else ()))),
        # Of one name everywhere, what a drill mirrors to the source must not come back, nor go on.
        "topics.exclude": ",".join(
            (
                *map(_pattern, (*wanted.exclude_topics, canaries(target.datacenter))),
                *(_pattern(canaries(one)) for one in beyond if is_one_name),
                *_own_topics(wanted),
                *(_pattern(f"{one}.*") for one in beyond if not is_one_name),
            )
        ),
        # Else it mirrors heartbeats past its own filter, those too that came to the source from others.
        **({"heartbeats.replication.enabled": "false"} if narrow else {}),
        "refresh.topics.interval.seconds": f"{REFRESH:.0f}",
        **_followed(wanted),
        "replication.factor": copies,
        "offset-syncs.topic.replication.factor": copies,
        "offset.lag.max": str(OFFSET_LAG),
        "source.consumer.isolation.level": "read_committed",
        "source.consumer.max.poll.records": str(POLL),
        "source.consumer.fetch.max.bytes": answer,
        "source.consumer.max.partition.fetch.bytes": answer,
        "source.consumer.request.timeout.ms": _milliseconds(ANSWER),
        "source.consumer.receive.buffer.bytes": AUTO,
        "source.consumer.auto.offset.reset": "earliest",
        "producer.override.batch.size": str(BATCH),
        "producer.override.linger.ms": _milliseconds(LINGER),
        "producer.override.send.buffer.bytes": AUTO,
        **({} if codec == "none" else {"producer.override.compression.type": codec}),
    }
    return Connector(records(source.datacenter, target.datacenter), config, source.datacenter)


def fetched(bandwidth: float | None, connections: int) -> int:
    """Bytes of a broker's answer at most: what ends in good time though all connections are answered at once.

    Args:
        bandwidth: Bytes per second of the link; None where it is not stated.
        connections: Tasks times brokers of the source.

    Example:
        >>> fetched(None, 4), fetched(400e3, 2)
        (4194304, 2000000)
    """
    if bandwidth is None:
        return FETCH
    return round(min(FETCH, max(LEAST_FETCH, bandwidth * SHARED / connections)))


def _own_topics(wanted: Mirroring) -> tuple[str, ...]:
    """What is never mirrored: nor, prefixed, the entry for every topic, which would stand for none (`east.*`)."""
    return (*OWN_TOPICS, r"\*") if wanted.sync_topic_acls and wanted.names == "prefixed" else OWN_TOPICS


def _followed(wanted: Mirroring) -> Settings:
    """Which of a topic's settings and access lists follow the source's; `spec.mirrored` declares what comes of the latter."""
    configs, acls = "sync.topic.configs", "sync.topic.acls"
    interval = f"{REFRESH:.0f}"
    return {
        **(
            {f"{configs}.interval.seconds": interval}
            if wanted.sync_topic_configs
            else {f"{configs}.enabled": "false"}
        ),
        f"{acls}.enabled": str(wanted.sync_topic_acls).lower(),
        **({f"{acls}.interval.seconds": interval} if wanted.sync_topic_acls else {}),
    }


def _groups(wanted: Mirroring, source: Side, target: Side, copies: str, secrets: str) -> Connector:
    config = {
        "connector.class": "org.apache.kafka.connect.mirror.MirrorCheckpointConnector",
        "tasks.max": "1",
        **_common(wanted, source, target, secrets),
        "groups": _patterns((*wanted.groups, canaries(source.datacenter))),
        "groups.exclude": ",".join((*map(_pattern, wanted.exclude_groups), *OWN_GROUPS)),
        "refresh.groups.interval.seconds": f"{REFRESH:.0f}",
        "emit.checkpoints.interval.seconds": f"{SYNC:.0f}",
        "sync.group.offsets.enabled": "true",
        "sync.group.offsets.interval.seconds": f"{SYNC:.0f}",
        "checkpoints.topic.replication.factor": copies,
    }
    return Connector(groups(source.datacenter, target.datacenter), config, source.datacenter)


def _common(wanted: Mirroring, source: Side, target: Side, secrets: str) -> Settings:
    return {
        "source.cluster.alias": source.datacenter,
        "target.cluster.alias": target.datacenter,
        **_clusters({"source": source, "target": target}, secrets),
        **_questions(wanted.rto),
        "replication.policy.class": _POLICIES[wanted.names],
        # At the target, so that at the source nothing has to be allowed but reading (KIP-716).
        "offset-syncs.topic.location": "target",
    }


def _questions(rto: float) -> Settings:
    """How long a connector waits for answers of its source."""
    least, most = QUESTIONS
    within = min(most, max(least, rto / 3))
    names = ("admin.timeout.ms", "source.admin.default.api.timeout.ms", "source.admin.request.timeout.ms")
    return dict.fromkeys(names, _milliseconds(within)) if within < most else {}


def _clusters(sides: Mapping[str, Side], secrets: str) -> Settings:
    return {
        f"{which}.cluster.{name}": value
        for which, side in sides.items()
        for name, value in {"bootstrap.servers": side.bootstrap, **_reaching(secrets)}.items()
    }


def _patterns(names: Iterable[str]) -> str:
    return ",".join(map(_pattern, names))


def _pattern(name: str) -> str:
    """A name, or one that ends in an asterisk, as the regular expression that MirrorMaker reads.

    Example:
        >>> _pattern("orders.*"), _pattern("*")
        ('orders\\\\..*', '.*')
    """
    is_prefix = name.endswith("*")
    return re.escape(name.removesuffix("*")).replace(r"\-", "-") + (".*" if is_prefix else "")


def _milliseconds(seconds: float) -> str:
    return str(round(seconds * 1000))
