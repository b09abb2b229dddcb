"""What one cluster has to carry, as plain numbers in base units.

Invariant: everything the limits depend on that is not hardware is here, and
nothing else; two environments with equal demands get equal sizes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from kdeploy.planner.figures import DECOMPRESSION, IMBALANCE, PARTITION_RATE
from kdeploy.spec.model import Coordination, Datacenter, Environment, Survive


@dataclass(frozen=True)
class Demand:
    """The demand on one datacenter's cluster.

    Attributes:
        rate: Average produce rate, bytes per second (Kafka's BytesInPerSec).
        peak: The same in the busiest minutes.
        fan_out: Bytes read by consumers per byte produced.
        records: Records per second at the peak.
        retention: Seconds that records are kept.
        retention_bytes: Most bytes kept per partition, None without such a limit.
        copies: Replication factor.
        racks: Failure domains that the copies are spread over.
        survive: The failure that every limit has to hold with.
        partitions: Partitions of all topics, before replication: what a person stated, or
            the least that the peak needs.
        stated: Whether a person stated the partitions.
        decompression: vCPU seconds per produced byte to look into compressed batches.
        clients_encrypt: Whether clients speak TLS.
        coordination: ZooKeeper or KRaft.
        nodes_encrypt: Whether the nodes speak TLS among themselves; what kdeploy deploys always does.
        imbalance: Load of the busiest broker over the average.
        lagging: Bytes per second read from disk at the peak; None for half the produce rate.
    """

    rate: float
    peak: float
    fan_out: float
    records: float
    retention: float
    retention_bytes: float | None
    copies: int
    racks: int
    survive: Survive
    partitions: int
    stated: bool
    decompression: float
    clients_encrypt: bool
    coordination: Coordination
    nodes_encrypt: bool = True
    imbalance: float = IMBALANCE.value
    lagging: float | None = None

    @property
    def fewest_brokers(self) -> int:
        """The structural least: a broker per copy and per rack, and one left after the failure."""
        return max(self.copies, self.racks, 1 if self.survive == "none" else 2)


def demand_of(environment: Environment, datacenter: Datacenter, partitions_before: int = 0) -> Demand:
    """The demand on one datacenter: it carries the whole workload.

    Args:
        environment: What is wanted.
        datacenter: One of its datacenters.
        partitions_before: Partitions that the lock holds; they are never fewer.
    """
    workload = environment.workload
    peak = workload.throughput * workload.peak_factor
    stated = workload.partitions is not None
    partitions = workload.partitions or max(1, math.ceil(peak / PARTITION_RATE.value))
    return Demand(
        rate=workload.throughput,
        peak=peak,
        fan_out=workload.fan_out,
        records=peak / workload.message_size,
        retention=workload.retention,
        retention_bytes=workload.retention_bytes,
        copies=environment.durability.replication_factor,
        racks=len(datacenter.racks),
        survive=environment.durability.survive,
        partitions=max(partitions, partitions_before),
        stated=stated,
        decompression=DECOMPRESSION[workload.compression],
        clients_encrypt=environment.security.client_listener == "SASL_SSL",
        coordination=environment.kafka.coordination,
    )
