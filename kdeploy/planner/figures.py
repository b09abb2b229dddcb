"""Every number the model rests on that no one measured here: each once, with its source and date.

Invariant: no other module of the planner but `mirror_figures` holds a constant of the model;
each figure of this one is in every plan's assumptions and in docs/planner.md.
"""

from __future__ import annotations

from functools import cache
from typing import Final, NamedTuple

from kdeploy.planner.result import Assumption, Limit


class Figure(NamedTuple):
    """A number of the model.

    Attributes:
        name: What it is.
        value: In base units (bytes, bytes per second, seconds, vCPU seconds).
        shown: The same, as a person reads it.
        source: Where it comes from, and when.
    """

    name: str
    value: float
    shown: str
    source: str


IMBALANCE: Final = Figure(
    "imbalance between brokers",
    1.2,
    "the busiest broker carries 1.2 times the average",
    "estimate, 2026; Cruise Control's balance threshold is 1.1, AWS's leader imbalance limit 10 %",
)
PROTOCOL_OVERHEAD: Final = Figure(
    "protocol overhead on the network",
    1 + 52 / 1448,
    "1.036 bytes sent for each byte of a record batch",
    "IP and TCP headers, 52 B per 1,448 B segment of an Ethernet frame (RFC 9293)",
)
TLS_OVERHEAD: Final = Figure(
    "TLS overhead on the network",
    1 + 22 / 16384,
    "1.0013 bytes sent for each byte that is encrypted",
    "TLS 1.3 records, 22 B per 16 KiB (RFC 8446)",
)
LAGGING_READS: Final = Figure(
    "reads that miss the page cache",
    0.5,
    "0.5 times the produce rate, at most the fan-out, where no share of lagging consumers is stated",
    "AWS, MSK sizing model (aws-samples): 0.5 for lagging consumers, seen 2026",
)
IO_SIZE: Final = Figure(
    "size of a disk operation",
    128 * 1024.0,
    "128 KiB",
    "estimate, 2026: writeback of sequential appends; EBS counts up to 256 KiB as one (Amazon EBS User Guide)",
)
HOT_WINDOW: Final = Figure(
    "page cache for what was just written",
    30.0,
    "30 s of writes at the peak",
    "Apache Kafka documentation, Hardware and OS: write_throughput × 30",
)
HEAP_LARGEST: Final = Figure(
    "largest heap of a broker",
    6 * 2.0**30,
    "6 GiB, at most a quarter of memory",
    "Apache Kafka documentation, Java version: -Xmx6g; a quarter, as kdeploy.tuning sets it",
)
SYSTEM_MEMORY: Final = Figure(
    "memory for the system beside heap and page cache",
    2.0**30,
    "1 GiB",
    "estimate, 2026: kernel, agents, and the JVM outside its heap",
)
SEGMENT_BYTES: Final = Figure(
    "log segment that is not rolled yet",
    2.0**30,
    "1 GiB or 7 d per partition, whichever is less, beyond retention",
    "Apache Kafka documentation: log.segment.bytes, log.roll.hours (3.9)",
)
SEGMENT_AGE: Final = Figure(
    "age at which a segment rolls", 7 * 86400.0, "7 d", "Apache Kafka documentation: log.roll.hours (3.9)"
)
INDEX_SHARE: Final = Figure(
    "indexes beside the log",
    1.005,
    "0.5 % of the data",
    "Apache Kafka documentation: 8 B and 12 B per log.index.interval.bytes of 4 KiB (3.9)",
)
PARTITION_RATE: Final = Figure(
    "rate one partition is planned for",
    10e6,
    "10 MB/s at the peak",
    "Jun Rao, How to choose the number of topics/partitions in a Kafka cluster (Confluent, 2015): "
    "tens of MB/s; by memory. Measured ceiling: 190 MB/s (StreamNative, 2020)",
)
CPU_PRODUCE: Final = Figure(
    "processor time to take in a produced GB",
    4e-9,
    "4 vCPU s",
    "estimate, 2026, under the bound of StreamNative's 200 MB/s per i3en.2xlarge (2020)",
)
CPU_REPLICATE: Final = Figure(
    "processor time to take in a replicated GB", 2e-9, "2 vCPU s", "estimate, 2026, as for produce"
)
CPU_SEND: Final = Figure("processor time to send a GB", 1e-9, "1 vCPU s", "estimate, 2026, as for produce")
CPU_TLS: Final = Figure(
    "processor time for TLS on a GB, each way",
    2e-9,
    "2 vCPU s",
    "estimate, 2026: AES-GCM in Java 11+, and no zero-copy",
)
CPU_RECORD: Final = Figure(
    "processor time to validate a produced record",
    0.5e-6,
    "0.5 µs",
    "estimate, 2026, under the bound of 274,000 records/s per processor (DC/OS, m3.xlarge, 10 B records)",
)
CPU_REQUEST: Final = Figure(
    "processor time for a request",
    20e-6,
    "20 µs",
    "estimate, 2026: parsing, queues and purgatory of a produce or fetch request; its bytes are counted apart",
)
CPU_REFERENCE: Final = Figure(
    "processor the times are for",
    3.1,
    "one thread of a 3.1 GHz Xeon (m5, i3en)",
    "EC2 clock speeds, DescribeInstanceTypes, 2026-10-27",
)
WHOLE_CORE: Final = Figure(
    "vCPU that is a whole core",
    1.5,
    "1.5 times a hyperthread",
    "estimate, 2026, below Netflix's 1.95 for m7a (service-capacity-modeling, 2026)",
)
PARTITION_CEILING: Final = Figure(
    "most that one partition takes",
    190e6,
    "190 MB/s",
    "StreamNative, Benchmarking Pulsar and Kafka (2020): one partition on i3en.2xlarge",
)
SINGLE_FLOW: Final = Figure(
    "most of one TCP connection",
    625e6,
    "5 Gbit/s for each replica fetcher",
    "Amazon EC2 User Guide, network bandwidth: 5 Gbps for single-flow traffic outside a cluster placement group",
)
REGION_RATE: Final = Figure(
    "most that leaves a region from an EC2 instance of fewer than 32 vCPUs",
    625e6,
    "5 Gbit/s, at most its baseline",
    "Amazon EC2 User Guide, network bandwidth, multi-flow traffic to other Regions; seen 2026-11-26",
)
REGION_SHARE: Final = Figure(
    "the same from 32 vCPUs on",
    0.5,
    "half of its baseline",
    "Amazon EC2 User Guide, network bandwidth, multi-flow traffic to other Regions; seen 2026-11-26",
)
REGION_CORES: Final = 32
"""vCPUs from which the share counts, from the same page."""

ROUND_TRIP: Final = Figure(
    "round trip between racks",
    1e-3,
    "1 ms, where none is stated",
    "estimate, 2026: zones of a region, which AWS promises within single-digit milliseconds",
)
MIRROR_ROUND_TRIP: Final = Figure(
    "round trip to mirroring consumers",
    80e-3,
    "80 ms, where none is stated",
    "estimate, 2026: over the Atlantic, as between us-east-1 and eu-west-1",
)
SOCKET_BUFFER: Final = Figure(
    "bytes of a connection on their way at once",
    16 * 2.0**20,
    "16 MiB, where none is stated; Linux may keep half of it for itself (tcp_adv_win_scale), hence the ceiling",
    "kdeploy.tuning sets tcp_rmem and tcp_wmem so, and leaves Kafka's socket buffers to the kernel (-1)",
)
CLEANER_READ: Final = Figure(
    "log cleaner's reads",
    2.0,
    "2 bytes for each byte produced to a compacted topic",
    "Apache Kafka documentation: min.cleanable.dirty.ratio 0.5 (3.9): a log is read whole when half of it is new",
)
CLEANER_WRITE: Final = Figure(
    "log cleaner's writes",
    1.0,
    "1 byte for each byte produced to a compacted topic",
    "the same: what is kept, the other half at most, is written again",
)
HEAP_BASE: Final = Figure(
    "heap of a broker without partitions and clients",
    128 * 2.0**20,
    "128 MiB",
    "estimate, 2026: the log cleaner's buffer, log.cleaner.dedupe.buffer.size, has 128 MiB (3.9)",
)
HEAP_PER_REPLICA: Final = Figure(
    "heap for a partition replica",
    100 * 1024.0,
    "100 KiB",
    "estimate, 2026: log, segments, metrics, fetch state",
)
HEAP_PER_CONNECTION: Final = Figure(
    "heap for a connection",
    100 * 1024.0,
    "100 KiB",
    "estimate, 2026: three TLS buffers of 16 KiB, a request in flight, quotas and metrics of the client",
)
CONNECTIONS_SHARE: Final = Figure(
    "heap that connections may take",
    0.2,
    "a fifth",
    "estimate, 2026; m5.large then holds 4,194, and AWS allows 3,000 per MSK broker (MSK quotas, seen 2026)",
)
REPLICA_FETCHERS: Final = Figure(
    "replica fetchers of a broker for each other broker",
    4.0,
    "a quarter of the processors, 1 to 4",
    "kdeploy.tuning sets num.replica.fetchers so",
)
SEGMENTS_PER_REPLICA: Final = Figure(
    "segments of a partition replica",
    20.0,
    "20, or one per GiB, or one for each 7 d of retention, whichever is most, and the active one",
    "kdeploy.tuning sets segment.bytes and segment.ms to a tenth of the retention, as a power of two",
)
OPEN_FILES: Final = Figure(
    "files and connections that a broker may have open",
    524288.0,
    "524,288",
    "kdeploy.tuning sets LimitNOFILE so",
)
MEMORY_MAPS: Final = Figure(
    "memory maps that a broker may have",
    262144.0,
    "262,144, and at least 40 for each replica; two per segment",
    "kdeploy.tuning sets vm.max_map_count so; Apache Kafka documentation, Hardware and OS (3.9)",
)
MAPS_PER_REPLICA: Final = Figure(
    "memory maps for each replica", 40.0, "40, where that is more", "kdeploy.tuning sets vm.max_map_count so"
)
COORDINATOR_MEMORY: Final = Figure(
    "memory of a ZooKeeper node or controller without metadata",
    4 * 2.0**30,
    "4 GiB",
    "estimate, 2026: 1 GiB heap (Apache Kafka documentation, ZooKeeper), page cache, system",
)
METADATA_PER_REPLICA: Final = Figure(
    "metadata of a partition replica in a coordinator's memory",
    8 * 1024.0,
    "8 KiB, twice what is live, for snapshots",
    "estimate, 2026",
)
COORDINATOR_DISK: Final = Figure(
    "disk of a ZooKeeper node or controller",
    20 * 2.0**30,
    "20 GiB and ten times the metadata",
    "estimate, 2026: transaction log segments and three snapshots (ZooKeeper 3.8 Administrator's Guide)",
)
LARGE_CLUSTER: Final = Figure(
    "brokers from which coordination survives two failures",
    30,
    "30 brokers: five nodes in place of three",
    "estimate, 2026: with five, a failure during maintenance of another node is survived "
    "(ZooKeeper 3.8 Administrator's Guide)",
)
LOCAL_CORES: Final = Figure(
    "processors a local node counts on",
    2,
    "2",
    "estimate, 2026: several brokers and coordination nodes share one machine",
)
FIGURES: Final = (
    IMBALANCE,
    PROTOCOL_OVERHEAD,
    TLS_OVERHEAD,
    LAGGING_READS,
    IO_SIZE,
    HOT_WINDOW,
    HEAP_LARGEST,
    SYSTEM_MEMORY,
    SEGMENT_BYTES,
    SEGMENT_AGE,
    INDEX_SHARE,
    PARTITION_RATE,
    CPU_PRODUCE,
    CPU_REPLICATE,
    CPU_SEND,
    CPU_TLS,
    CPU_RECORD,
    CPU_REQUEST,
    CPU_REFERENCE,
    WHOLE_CORE,
    PARTITION_CEILING,
    SINGLE_FLOW,
    REGION_RATE,
    REGION_SHARE,
    ROUND_TRIP,
    MIRROR_ROUND_TRIP,
    SOCKET_BUFFER,
    CLEANER_READ,
    CLEANER_WRITE,
    HEAP_BASE,
    HEAP_PER_REPLICA,
    HEAP_PER_CONNECTION,
    CONNECTIONS_SHARE,
    REPLICA_FETCHERS,
    SEGMENTS_PER_REPLICA,
    OPEN_FILES,
    MEMORY_MAPS,
    MAPS_PER_REPLICA,
    COORDINATOR_MEMORY,
    METADATA_PER_REPLICA,
    COORDINATOR_DISK,
    LARGE_CLUSTER,
    LOCAL_CORES,
)

CEILINGS: Final[dict[Limit, float]] = {
    "network_in": 0.8,
    "network_out": 0.8,
    "disk_write": 0.8,
    "disk_throughput": 0.8,
    "disk_iops": 0.8,
    "disk_space": 0.8,
    "memory": 1.0,
    "cpu": 0.6,
    "partitions": 1.0,
    "disk_read": 0.8,
    "partition_rate": 0.8,
    "single_flow": 0.8,
    "heap": 0.6,
    "connections": 1.0,
    "open_files": 0.8,
    "memory_maps": 0.8,
    "cross_region": 0.8,
    "far_followers": 0.5,
    "mirror_flow": 0.5,
    "rebuild": 1.0,
}
"""The most of each limit that a plan uses, with the declared failure present and at the peak."""

CEILINGS_SOURCE: Final = (
    "Cruise Control's capacity thresholds: 0.8 for network and disk; AWS, MSK best practices: "
    "processor under 60 %, and heap under 60 %; seen 2026; a person's own where they are stated"
)

RATIOS: Final[dict[str, float]] = {"none": 1.0, "lz4": 2.101, "snappy": 2.073, "gzip": 2.743, "zstd": 2.887}
"""Payload over what is sent, by codec: lzbench results in the zstd README 1.5, level 1 of each."""

DECOMPRESSION: Final[dict[str, float]] = {
    "none": 0.0,
    "lz4": RATIOS["lz4"] / 4000e6,
    "snappy": RATIOS["snappy"] / 1660e6,
    "gzip": RATIOS["gzip"] / 400e6,
    "zstd": RATIOS["zstd"] / 1580e6,
}
"""vCPU seconds per compressed byte to look into a batch: ratio ÷ decompression speed
(lzbench results in the zstd README 1.5: level 1 of each)."""

COMPRESSION: Final[dict[str, float]] = {
    "none": 0.0,
    "lz4": RATIOS["lz4"] / 700e6,
    "snappy": RATIOS["snappy"] / 530e6,
    "gzip": RATIOS["gzip"] / 95e6,
    "zstd": RATIOS["zstd"] / 510e6,
}
"""vCPU seconds per compressed byte to make a batch anew: ratio ÷ compression speed
(lzbench results in the zstd README 1.5.7: level 1 of each, Core i7-9700K)."""

REPLICAS_PER_BROKER: Final = ((0, 1000), (8, 2000), (16, 4000))
"""(least vCPUs, replicas): AWS, MSK best practices, partitions per broker, seen 2026; the 4,000 is
also Confluent's (Apache Kafka supports 200K partitions per cluster, 2018)."""

REPLICAS_PER_CLUSTER: Final[dict[str, float]] = {"zookeeper": 200_000, "kraft": 2_000_000}
"""Partition replicas per cluster: Confluent, 2018 (ZooKeeper), and their KRaft test, 2021."""


@cache
def assumptions(mirrored: bool = False) -> tuple[Assumption, ...]:
    """Every figure of the model, as a plan lists them.

    Args:
        mirrored: Whether something is mirrored between two datacenters, and so those of mirroring are among them.
    """
    from kdeploy.planner.mirror_figures import MIRRORING

    ceilings = ", ".join(f"{limit} {ceiling:.0%}" for limit, ceiling in CEILINGS.items())
    speeds = ", ".join(f"{codec} {cost * 1e9:.2f}" for codec, cost in DECOMPRESSION.items() if cost)
    made = ", ".join(f"{codec} {cost * 1e9:.2f}" for codec, cost in COMPRESSION.items() if cost)
    replicas = ", ".join(f"{most:,} from {cores} vCPUs" for cores, most in REPLICAS_PER_BROKER)
    return (
        *(
            Assumption(figure.name, figure.shown, figure.source)
            for figure in (*FIGURES, *(MIRRORING if mirrored else ()))
        ),
        Assumption("ceilings", ceilings, CEILINGS_SOURCE),
        Assumption(
            "processor time to look into a compressed GB",
            f"vCPU s: {speeds}",
            "ratio ÷ speed, lzbench in the zstd README 1.5",
        ),
        Assumption(
            "processor time to compress a GB anew, as it is then",
            f"vCPU s: {made}",
            "ratio ÷ speed, lzbench in the zstd README 1.5.7",
        ),
        Assumption("replicas per broker", replicas, "AWS, MSK best practices, seen 2026; Confluent, 2018"),
        Assumption(
            "replicas per cluster",
            ", ".join(f"{kind} {most:,.0f}" for kind, most in REPLICAS_PER_CLUSTER.items()),
            "Confluent, 2018 and 2021",
        ),
    )
