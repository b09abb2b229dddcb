"""The limits: what a fleet of brokers loads each with, against what a broker can take.

A load depends on the demand, the number of brokers and the disks per broker; a
capacity only on the hardware. So `loads` is one array (disks × limits × counts),
capacities are another (candidates × limits), and their quotient is the
explanation. Invariant: loads never rise with the number of brokers and never
fall when the demand rises. All loads are those of the busiest broker, at the
peak, with the declared failure present where it makes a difference.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from kdeploy.planner import figures
from kdeploy.planner.catalogue import Floats
from kdeploy.planner.demand import Demand
from kdeploy.planner.result import LIMITS

MOST_BROKERS: Final = 1000
"""Brokers that a plan may have: five times the largest clusters that are reported (Pinterest, 2018: 200)."""

CEILINGS: Final[Floats] = np.array([figures.CEILINGS[limit] for limit in LIMITS])
"""Ceilings in the order of LIMITS."""

UNLIMITED: Final = np.inf
"""Capacity of a limit that does not apply to a shape."""


@dataclass(frozen=True)
class Fleet:
    """Numbers of brokers to look at, and how each is spread over the racks.

    Attributes:
        counts: Brokers.
        smallest_rack: Brokers in the smallest rack that has any.
        largest_rack: Brokers in the largest rack.
        used_racks: Racks that have any.
    """

    counts: Floats
    smallest_rack: Floats
    largest_rack: Floats
    used_racks: Floats

    @classmethod
    def even(cls, counts: Floats, racks: int) -> Fleet:
        """Racks filled evenly: they differ by at most one broker."""
        used = np.minimum(racks, counts)
        return cls(counts, counts // used, -(-counts // used), used)


@dataclass(frozen=True)
class Shares:
    """How the load is spread: each an array over (disks, counts).

    Attributes:
        partitions: Partitions of the cluster.
        replicas: Replicas on the busiest broker.
        held: Their share of all partitions.
        led: Share of all partitions that the busiest broker leads while all brokers are up.
        led_after: The same for a survivor of the declared failure.
        sent: Bytes sent per byte produced in the whole cluster, while all brokers are up.
        sent_after: The same by a survivor.
        disk_skew: Load of the busiest disk over the average disk of that broker.
    """

    partitions: Floats
    replicas: Floats
    held: Floats
    led: Floats
    led_after: Floats
    sent: Floats
    sent_after: Floats
    disk_skew: Floats


def shares(demand: Demand, fleet: Fleet, disks: Floats) -> Shares:
    """Spread partitions over brokers and disks.

    Kafka's rack-aware assignment gives each rack its share of the copies, whatever the
    rack's size, so the brokers of the smallest rack hold the most: copies ÷ (racks ×
    brokers of the smallest rack), at most every partition once. A single copy needs no second rack and spreads evenly.
    Whole partitions make it ceil(replicas ÷ brokers), and again per disk. Where the
    planner chooses the partitions it takes a multiple of brokers (as many as the
    smallest rack has, in every rack) × disks, which is even.

    A failure moves leadership, not copies: with f of n brokers gone a survivor leads
    1 ÷ (n - f) of the partitions, sends each to all its consumers and to the copies that
    are left, copies × (n - f) ÷ n - 1 of them; what it takes in and writes stays. With one
    copy nothing can move.

    Args:
        demand: What to carry.
        fleet: Numbers of brokers.
        disks: Data disks per broker, one row of the result for each.
    """
    n, d = fleet.counts[None, :], disks[:, None]
    spread = n if demand.copies == 1 else (fleet.used_racks * fleet.smallest_rack)[None, :]
    if demand.stated:
        partitions = np.broadcast_to(float(demand.partitions), np.broadcast_shapes(n.shape, d.shape))
    else:
        partitions = np.ceil(demand.partitions / (spread * d)) * spread * d
    replicas = np.minimum(np.ceil(np.round(partitions * demand.copies / spread, 9)), partitions)
    lost = fleet.largest_rack if demand.survive == "zone" else float(demand.survive == "broker")
    left = np.maximum(n - lost, 0.0)
    alive = np.where(left > 0, left, np.nan)
    led = np.ceil(partitions / n) / partitions
    led_after = np.ceil(partitions / alive) / partitions if demand.stated else 1 / alive
    led_after = led if demand.copies == 1 else np.maximum(led, led_after)
    copied_after = np.maximum(demand.copies * alive / n - 1, 0) / alive
    return Shares(
        partitions=partitions,
        replicas=replicas,
        held=replicas / partitions,
        led=led,
        led_after=led_after + 0 * alive,
        sent=led * demand.fan_out + (demand.copies - 1) / n,
        sent_after=led_after * demand.fan_out + copied_after,
        disk_skew=np.ceil(replicas / d) * d / replicas,
    )


def loads(demand: Demand, fleet: Fleet, disks: Floats) -> Floats:
    """Load of the busiest broker on each limit, as (disks, limits, counts).

    network_in: peak × held × overhead, bytes/s: what it leads is produced to it, the rest replicated.
    network_out: peak × the greater of sent and sent_after × overhead, bytes/s.
    disk_write: peak × held × disk skew, bytes/s.
    disk_throughput: the same plus reads that miss the page cache, led_after × lagging, or min(0.5, fan-out) × peak.
    disk_iops: disk_throughput ÷ 128 KiB.
    disk_space: bytes; see `stored`.
    memory: peak × held × 30 s, bytes of page cache.
    cpu: vCPU seconds per second; see `processor`.
    partitions: replicas.

    All but the last carry the imbalance between brokers. Where whole partitions make a load rise
    with one more broker, the greater counts for the smaller fleet too.
    """
    share = shares(demand, fleet, disks)
    peak = demand.peak * demand.imbalance
    network = peak * figures.PROTOCOL_OVERHEAD.value
    write = peak * share.held * share.disk_skew
    behind = min(figures.LAGGING_READS.value, demand.fan_out) * demand.peak
    behind = behind if demand.lagging is None else demand.lagging
    missed = behind * demand.imbalance * share.led_after * share.disk_skew
    table = {
        "network_in": network * share.held,
        "network_out": network * np.fmax(share.sent, share.sent_after),
        "disk_write": write,
        "disk_throughput": write + missed,
        "disk_iops": (write + missed) / figures.IO_SIZE.value,
        "disk_space": stored(demand, share),
        "memory": peak * share.held * figures.HOT_WINDOW.value,
        "cpu": processor(demand, share),
        "partitions": share.replicas,
    }
    result = np.stack(np.broadcast_arrays(*(table[limit] for limit in LIMITS)), axis=1)
    result = np.where(np.isnan(share.led_after)[:, None, :], np.inf, result)
    return np.maximum.accumulate(result[:, :, ::-1], axis=2)[:, :, ::-1]


def stored(demand: Demand, share: Shares) -> Floats:
    """Bytes on the busiest broker, as if its busiest disk were all its disks.

    Average rate × retention, at most retention_bytes × partitions; plus what an unrolled
    segment holds beyond retention (min of 1 GiB per partition and 7 d of data); times the
    share held, the indexes, the imbalance and the disk skew.
    """
    kept = np.full_like(share.partitions, demand.rate * demand.retention)
    if demand.retention_bytes is not None:
        kept = np.minimum(kept, demand.retention_bytes * share.partitions)
    unrolled = np.minimum(
        figures.SEGMENT_BYTES.value * share.partitions, demand.rate * figures.SEGMENT_AGE.value
    )
    factor = figures.INDEX_SHARE.value * demand.imbalance
    return (kept + unrolled) * share.held * share.disk_skew * factor


def processor(demand: Demand, share: Shares) -> Floats:
    """Reference vCPU seconds per second on the busiest broker, the greater of healthy and after the failure.

    Per byte: led × (produce + decompression) + (held - led) × replicate + sent × send, and TLS on
    every byte in and out (on replication alone where clients do not encrypt, on none where nobody does). Per record: validation
    by the leader.
    """

    def seconds(led: Floats, sent: Floats) -> Floats:
        followed = np.maximum(share.held - led, 0)
        replicated = np.maximum(sent - led * demand.fan_out, 0)
        encrypted = followed + replicated if demand.nodes_encrypt else 0 * followed
        if demand.clients_encrypt:
            encrypted = encrypted + led * (1 + demand.fan_out)
        per_byte = (
            led * (figures.CPU_PRODUCE.value + demand.decompression)
            + followed * figures.CPU_REPLICATE.value
            + sent * figures.CPU_SEND.value
            + encrypted * figures.CPU_TLS.value
        )
        return per_byte * demand.peak + led * demand.records * figures.CPU_RECORD.value

    busiest = np.fmax(seconds(share.led, share.sent), seconds(share.led_after, share.sent_after))
    return busiest * demand.imbalance


def replicas_capacity(vcpus: Floats) -> Floats:
    """Replicas a broker may hold, by its processors (figures.REPLICAS_PER_BROKER)."""
    cores, most = zip(*figures.REPLICAS_PER_BROKER, strict=True)
    return np.array(most, dtype=float)[np.searchsorted(np.array(cores), vcpus, side="right") - 1]


def in_words(limit: str) -> str:
    """A limit as a sentence has it."""
    return {"cpu": "CPU", "disk_iops": "disk IOPS"}.get(limit, limit.replace("_", " "))


def page_cache(memory: Floats) -> Floats:
    """Bytes that heap (6 GiB, at most a quarter of memory) and system (1 GiB) leave for the page cache."""
    heap = np.minimum(figures.HEAP_LARGEST.value, memory / 4)
    return np.maximum(memory - heap - figures.SYSTEM_MEMORY.value, 1.0)


def capacities(**columns: Floats) -> Floats:
    """Stack capacity columns, (candidates, limits); a limit that is left out does not apply.

    Args:
        columns: By limit name, in the unit of its load.
    """
    size = max(np.size(column) for column in columns.values())
    unlimited = np.full(size, UNLIMITED)
    return np.stack([np.broadcast_to(columns.get(limit, unlimited), size) for limit in LIMITS], axis=1)


def required(load: Floats, capacity: Floats) -> Floats:
    """Position of the first count at which each limit holds, (candidates, limits).

    Args:
        load: (limits, counts), never rising along counts.
        capacity: (candidates, limits).

    Returns:
        Positions; the number of counts where no count is enough.
    """
    usable = capacity * CEILINGS * (1 + 1e-12)
    columns = [np.searchsorted(-load[i], -usable[:, i], side="left") for i in range(len(LIMITS))]
    return np.stack(columns, axis=1)


def allowed(demand: Demand, partitions: Floats) -> int:
    """How many of the counts, from the first, keep the cluster under its limit of partition replicas.

    Args:
        demand: What to carry.
        partitions: Of the cluster, by count.
    """
    most = figures.REPLICAS_PER_CLUSTER[demand.coordination]
    replicas = np.maximum.accumulate(partitions) * demand.copies
    return int(np.searchsorted(replicas, most, side="right"))
