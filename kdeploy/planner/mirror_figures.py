"""Every number that plans of mirroring rest on, beside those of `kdeploy.planner.figures`: each once, with its source.

Invariant: each is in the assumptions of every plan with mirroring, and in docs/planner.md. Those that
`kdeploy.tuning` sets are the same there, which a test holds.
"""

from __future__ import annotations

from typing import Final

from kdeploy.planner.figures import Figure

TASK: Final = Figure(
    "most that one MirrorMaker task carries",
    30e6,
    "30 MB/s",
    "Confluent Platform documentation, Tuning Replicator, the rate of its worked example for one task; seen 2026",
)
CPU: Final = Figure(
    "processor time to mirror a GB",
    1 / 30e6,
    "33 vCPU s",
    "estimate, 2026: a task is one thread, which takes records out of batches and makes batches of them again",
)
TASKS: Final = Figure(
    "tasks of each worker",
    4,
    "4, where none are stated",
    "kdeploy.tuning; Confluent Platform documentation, Tuning Replicator: at most 20; seen 2026",
)
PARTITIONS: Final = Figure(
    "most partitions of a MirrorMaker task",
    150,
    "150",
    "Confluent Platform documentation, Tuning Replicator; seen 2026",
)
CEILING: Final = Figure(
    "most of what workers carry that is used at the peak",
    0.6,
    "60 %, with one of several workers lost",
    "as for brokers' processors: AWS, MSK best practices, seen 2026; the rest is what a backlog is caught up with",
)
FETCH: Final = Figure(
    "bytes of a partition that one fetch of the mirror takes",
    4 * 2.0**20,
    "4 MiB each round trip",
    "kdeploy.tuning (max.partition.fetch.bytes)",
)
HEAP: Final = Figure(
    "heap of a worker without tasks",
    256 * 2.0**20,
    "256 MiB",
    "what Connect's own script starts with (Kafka 3.9, connect-distributed.sh)",
)
FETCHED: Final = Figure(
    "most that a broker answers the mirror with at once",
    4 * 2.0**20,
    "4 MiB",
    "kdeploy.tuning (fetch.max.bytes); one answer of each broker is on its way or waits to be worked on",
)
SENT: Final = Figure(
    "records of a MirrorMaker task that wait to be sent",
    32 * 2.0**20,
    "32 MiB",
    "Kafka 3.9 (buffer.memory)",
)
KEPT: Final = Figure(
    "records of a MirrorMaker task that wait to be committed",
    2 * 30e6 * 0.5,
    "30 MB",
    "its rate in the time between commits, twice, as bytes and as objects: a task keeps them until then (Kafka 3.9, "
    "ExactlyOnceWorkerSourceTask); estimate, 2026",
)
HEAP_SHARE: Final = Figure(
    "share of a worker's memory that is heap", 0.5, "a half", "kdeploy.tuning: nothing of it is page cache"
)
MOST_HEAP: Final = Figure(
    "most heap of a worker", 4 * 2.0**30, "4 GiB", "kdeploy.tuning: with more its pauses grow longer"
)
TRANSACTION: Final = Figure(
    "time between commits of the mirror",
    0.5,
    "0.5 s",
    "kdeploy.tuning (transaction.boundary.interval.ms): records are seen once they are committed",
)
LINGER: Final = Figure(
    "time that a batch of the mirror is waited for", 0.02, "20 ms", "kdeploy.tuning (linger.ms)"
)
TRIPS: Final = Figure(
    "round trips until a record is there",
    1.5,
    "1.5",
    "a fetch asks, waits and is answered; the one before it may just have left",
)
REBALANCE: Final = Figure(
    "time for which a lost worker's tasks stand still",
    20.0,
    "20 s",
    "10 s until it is missed (session.timeout.ms of Connect, Kafka 3.9), 10 s until its tasks go to others "
    "(scheduled.rebalance.max.delay.ms in kdeploy.tuning)",
)
MIRRORING: Final = (
    TASK,
    CPU,
    TASKS,
    PARTITIONS,
    CEILING,
    FETCH,
    HEAP,
    FETCHED,
    SENT,
    KEPT,
    HEAP_SHARE,
    MOST_HEAP,
    TRANSACTION,
    LINGER,
    TRIPS,
    REBALANCE,
)
"""Figures that plans rest on where something is mirrored, beside the others."""
