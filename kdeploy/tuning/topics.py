"""What a topic inherits when nobody says otherwise.

Brokers hold these settings, and KRaft controllers too: since eligible leader replicas are on
(KIP-966, Kafka 4.1) a new topic takes min.insync.replicas from the controllers, and a topic
without counts is always made by them. Invariant: what two nodes of a cluster render of these,
they render alike.
"""

from __future__ import annotations

import math
from typing import Final

from kdeploy.spec.model import Environment, Workload
from kdeploy.tuning.definitions import Definitions
from kdeploy.tuning.overrides import Settings
from kdeploy.tuning.situation import Cluster

PARTITIONS: Final = 6
"""Partitions of a topic made without a number: the least that 1, 2, 3 and 6 brokers share evenly. It does
not follow the number of brokers, or one more broker would restart all of them (read-only in Kafka 3.9 to
4.3). Kafka's own 1 makes a topic that one broker alone leads."""

SEGMENT_BYTES: Final = 2**30
"""Kafka's own log.segment.bytes (Kafka 3.9 documentation, 3.1 Broker Configs): the most we set."""

LEAST_SEGMENT_BYTES: Final = 128 * 2**20
"""Below this a partition has needless files: Kafka keeps one file and two memory maps open for each segment
(Kafka 3.9 documentation, 6.7 Hardware and OS, on vm.max_map_count)."""

ROLL: Final = 7 * 86400.0
"""Kafka's own log.roll.hours, 168, in seconds (Kafka 3.9 documentation, 3.1): the most we set."""

LEAST_ROLL: Final = 600.0
"""Two of Kafka's log.retention.check.interval.ms (300,000): a segment that rolls faster is not deleted sooner."""

SEGMENTS_PER_RETENTION: Final = 10
"""Only whole, closed segments are deleted, so a partition holds up to one more than was asked for (Kafka 3.9
documentation, 5.4 Log, Deletes). With a tenth of the retention in a segment, that is 10 % more, not 100 %."""

MESSAGE_BYTES: Final = 1_048_588
"""Kafka's own message.max.bytes: 1 MiB and the overhead of a batch (Kafka 3.9 documentation, 3.1)."""

MESSAGE_HEADROOM: Final = 2
"""Times the average record size that the largest batch may have, at least; the default stays where it is more."""

REQUEST_BYTES: Final = 104_857_600
"""Kafka's own socket.request.max.bytes (Kafka 3.9 documentation, 3.1)."""

_ONLY_SERVERS = ("num.partitions", "default.replication.factor", "message.max.bytes", "log.roll.hours")


def topic_defaults(cluster: Cluster) -> Settings:
    """Broker settings that a topic without its own inherits."""
    environment = cluster.environment
    durability = environment.durability
    settings = {
        "num.partitions": str(default_partitions(environment)),
        "default.replication.factor": str(durability.replication_factor),
        "min.insync.replicas": str(durability.min_insync_replicas),
        "unclean.leader.election.enable": "false",
        "log.retention.ms": _milliseconds(environment.workload.retention),
        "log.roll.ms": _milliseconds(roll(environment.workload)),
        "log.segment.bytes": str(segment_bytes(environment.workload, cluster.partitions)),
    }
    if environment.workload.retention_bytes is not None:
        settings["log.retention.bytes"] = str(math.ceil(environment.workload.retention_bytes))
    return settings | _large_messages(environment.workload)


def internal_topics(cluster: Cluster) -> Settings:
    """Copies of what Kafka keeps for itself: as many as of everybody's records, and as well in sync."""
    copies = str(cluster.environment.durability.replication_factor)
    in_sync = str(cluster.environment.durability.min_insync_replicas)
    wanted = {
        "offsets.topic.replication.factor": copies,
        "transaction.state.log.replication.factor": copies,
        "transaction.state.log.min.isr": in_sync,
        "share.coordinator.state.topic.replication.factor": copies,
        "share.coordinator.state.topic.min.isr": in_sync,
    }
    return {name: value for name, value in wanted.items() if name in cluster.definitions.broker}


def is_inherited(name: str, known: Definitions) -> bool:
    """Whether a broker setting is what topics inherit, so that KRaft controllers need it too."""
    return name in known.topic or name.removeprefix("log.") in known.topic or name in _ONLY_SERVERS


def default_partitions(environment: Environment) -> int:
    """Partitions of a topic made without a number; never more than were declared for all topics together."""
    declared = environment.workload.partitions
    return PARTITIONS if declared is None else min(PARTITIONS, declared)


def roll(workload: Workload) -> float:
    """Seconds after which a segment is closed though it is not full."""
    return min(ROLL, max(LEAST_ROLL, workload.retention / SEGMENTS_PER_RETENTION))


def segment_bytes(workload: Workload, partitions: int) -> int:
    """Bytes of a segment: a tenth of what a partition keeps, as a power of two between the bounds.

    Args:
        workload: What the cluster carries.
        partitions: Leaders of all topics together; their load is taken as even.
    """
    kept = workload.produced * workload.retention / max(1, partitions)
    kept = min(kept, workload.retention_bytes or math.inf)
    tenth = min(SEGMENT_BYTES, max(LEAST_SEGMENT_BYTES, kept / SEGMENTS_PER_RETENTION))
    return int(2 ** math.floor(math.log2(tenth)))


def _large_messages(workload: Workload) -> Settings:
    """Room for records beyond Kafka's 1 MiB, where the environment says they are usual."""
    needed = workload.message_size * MESSAGE_HEADROOM
    if needed <= MESSAGE_BYTES:
        return {}
    largest = math.ceil(needed / 2**20) * 2**20
    return {"message.max.bytes": str(min(largest, 2**31 - 1))}


def request_bytes(workload: Workload) -> int:
    """Bytes of the largest request: room for one batch of the largest size and its envelope."""
    largest = int(_large_messages(workload).get("message.max.bytes", MESSAGE_BYTES))
    return min(2**31 - 1, max(REQUEST_BYTES, largest + 2**20))


def _milliseconds(seconds: float) -> str:
    return str(round(seconds * 1000))
