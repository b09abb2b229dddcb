"""The limits: what a fleet of brokers loads each with, against what a broker can take.

A load depends on the demand, the number of brokers and the disks per broker; a
capacity only on the hardware. So `loads` is one array (disks × limits × counts),
capacities are another (candidates × limits), and their quotient is the
explanation. Invariant: loads never rise with the number of brokers and never
fall when the demand rises. All loads are those of the busiest broker, at the
peak, with the declared failure present where it makes a difference.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from kdeploy.planner import far, figures
from kdeploy.planner.catalogue import Floats
from kdeploy.planner.demand import Amount, Demand
from kdeploy.planner.result import LIMITS, Limit
from kdeploy.planner.spread import Fleet, Shares, shares

MOST_BROKERS: Final = 1000
"""Brokers that a plan may have: five times the largest clusters that are reported (Pinterest, 2018: 200)."""

REBUILD: Final = ("rebuild_in", "rebuild_write", "rebuild_out", "rebuild_flow")
"""What a rebuild needs: the new broker's network and disks, the network of those that send to it, and its
connections to one of them."""

COLUMNS: Final[tuple[str, ...]] = (*LIMITS[:-1], *REBUILD)
"""Columns of loads and capacities: the limits, with `rebuild` as what it needs."""

LIMIT_OF: Final[tuple[Limit, ...]] = (*LIMITS[:-1], *(LIMITS[-1],) * len(REBUILD))
"""The limit that each column belongs to."""


def by_column(ceilings: Sequence[float]) -> Floats:
    """Ceilings by limit, as one for each column."""
    return np.array([ceilings[LIMITS.index(limit)] for limit in LIMIT_OF])


CEILINGS: Final[Floats] = by_column([figures.CEILINGS[limit] for limit in LIMITS])
"""kdeploy's own ceilings, in the order of COLUMNS."""


def loads(demand: Demand, fleet: Fleet, disks: Floats) -> Floats:
    """Load of the busiest broker on each limit, as (disks, columns, counts).

    network_in: produced × held × overhead, bytes/s: what it leads is produced to it, the rest replicated;
        and what producers send more than is logged of what it leads after the failure.
    network_out: replicated and fetched, the greater of healthy and after the failure, × overhead, bytes/s.
    disk_write: (produced × held + cleaner's writes) × disk skew, bytes/s.
    disk_read: reads that miss the page cache, and the cleaner's × disk skew, bytes/s.
    disk_throughput: both together. disk_iops: disk_throughput ÷ 128 KiB.
    disk_space: bytes; see `stored`.
    memory: produced × held × 30 s, bytes of page cache. cpu: vCPU seconds per second; see `processor`.
    partitions: replicas. partition_rate: the busiest partition, bytes/s.
    single_flow: what it copies from one other broker, bytes/s.
    heap: 128 MiB, and 100 KiB for each replica and each client, bytes. connections: clients.
    open_files, memory_maps: see `segments`.
    cross_region, far_followers, mirror_flow: see `far.loads`. rebuild_*: see `rebuild`.

    All but counts of things carry the imbalance between brokers. Where whole partitions make a load
    rise with one more broker, the greater counts for the smaller fleet too.

    Returns:
        (disks, columns, counts); for a demand of samples (samples, disks, columns, counts).
    """
    result = of_shares(demand, shares(demand, fleet, disks))
    return np.maximum.accumulate(result[..., ::-1], axis=-1)[..., ::-1]


def of_shares(demand: Demand, share: Shares) -> Floats:
    """Loads of each number of brokers by itself, as `loads` has them."""
    table = table_of(demand, share)
    shape = np.broadcast_shapes(*(np.shape(value) for value in table.values()))
    result = np.empty((*shape[:-1], len(COLUMNS), shape[-1]))
    lonely = np.isnan(share.led_after)
    for column, name in enumerate(COLUMNS):
        result[..., column, :] = table[name]
    if lonely.any():
        result[np.broadcast_to(lonely[:, None, :], result.shape)] = np.inf
    return result


def table_of(demand: Demand, share: Shares) -> dict[str, Floats]:
    """Loads by column."""
    produced, average = demand.produced * demand.imbalance, demand.average * demand.imbalance
    held = held_bytes(demand, share)
    arriving = arrivals(demand, share)
    leaving = departures(demand, share)
    cleaned = demand.compacted * demand.imbalance * held * share.disk_skew
    written = produced * held * share.disk_skew + cleaned * figures.CLEANER_WRITE.value
    missed = demand.missed * demand.imbalance * share.led_after
    read = missed + cleaned * figures.CLEANER_READ.value
    space = stored(demand, share)
    files = segments(demand, share, space)
    maps = (
        np.maximum(figures.MEMORY_MAPS.value, share.replicas * figures.MAPS_PER_REPLICA.value)
        / figures.MEMORY_MAPS.value
    )
    table: dict[str, Floats] = {
        "network_in": arriving,
        "network_out": leaving,
        "disk_write": written,
        "disk_throughput": written + read,
        "disk_iops": (written + read) / figures.IO_SIZE.value,
        "disk_space": space,
        "memory": produced * held * figures.HOT_WINDOW.value,
        "cpu": processor(demand, share),
        "partitions": share.replicas,
        "disk_read": read,
        "partition_rate": busiest_partition(demand, share) * demand.imbalance,
        "single_flow": flow(demand, share),
        "heap": figures.HEAP_BASE.value
        + share.replicas * figures.HEAP_PER_REPLICA.value
        + demand.clients * figures.HEAP_PER_CONNECTION.value,
        "connections": np.full_like(share.held, demand.clients),
        "open_files": files + demand.clients,
        "memory_maps": 2 * files / maps,
    }
    table |= far.loads(demand, table["single_flow"], mirrored(demand, share))
    busy = (arriving, written, leaving, table["single_flow"])
    return table | rebuild(demand, share, busy, space, average / produced)


def held_bytes(demand: Demand, share: Shares) -> Floats:
    """Bytes the busiest broker takes in per byte produced to the cluster."""
    if demand.copies_of_bytes is None:
        return share.held
    return share.held * demand.copies_of_bytes / demand.partition_copies


def wire(demand: Demand, of_clients: Floats | float, of_nodes: Floats | float) -> Floats:
    """Bytes on the network for bytes of record batches: TCP and IP, and TLS where it is spoken."""
    tls = figures.TLS_OVERHEAD.value
    clients = of_clients * (tls if demand.clients_encrypt else 1.0)
    nodes = of_nodes * (tls if demand.nodes_encrypt else 1.0)
    return np.asarray((clients + nodes) * figures.PROTOCOL_OVERHEAD.value)


def arrivals(demand: Demand, share: Shares) -> Floats:
    """Bytes per second that reach the busiest broker: produced to what it leads, copied for the rest.

    Where topics compress more than producers do, more arrives than is logged, of what a survivor leads.

    Where only clients or only brokers encrypt, TLS is counted on all of it: it is a part in 700, and a
    load that fell with what a broker leads would rise with the number of brokers.
    """
    taken = held_bytes(demand, share)
    if demand.arriving > 1:
        taken = taken + (demand.arriving - 1) * share.led_after
    produced = demand.produced * demand.imbalance * taken
    tls = figures.TLS_OVERHEAD.value if demand.clients_encrypt or demand.nodes_encrypt else 1.0
    return np.asarray(produced * (figures.PROTOCOL_OVERHEAD.value * tls))


def departures(demand: Demand, share: Shares) -> Floats:
    """Bytes per second that the busiest broker sends, the greater of healthy and after the failure."""
    produced, fetched = demand.produced * demand.imbalance, demand.fetched * demand.imbalance
    copies = demand.byte_copies
    healthy = wire(demand, fetched * share.led, produced * (copies - 1) * share.copied)
    after = wire(demand, fetched * share.led_after, produced * copied_after(demand, share))
    return np.fmax(healthy, after)


def copied_after(demand: Demand, share: Shares) -> Floats:
    """Bytes a survivor sends to the copies that are left, per byte produced."""
    alive = share.left * share.brokers
    return np.maximum(demand.byte_copies * share.left - 1, 0.0) / alive


def busiest_partition(demand: Demand, share: Shares) -> Floats:
    """Bytes per second of the busiest partition at the peak: an even share, or that of the list's busiest.

    Of the partitions that are needed: those that are added to divide evenly do not count, since they
    come and go with the number of brokers.
    """
    even = demand.produced / demand.partitions + 0 * share.partitions
    return even if demand.busiest_partition is None else np.maximum(even, demand.busiest_partition)


def flow(demand: Demand, share: Shares) -> Floats:
    """Bytes per second that the busiest broker copies from one other, on the network.

    Of each copy it holds it leads one in as many as there are copies, and copies the others.
    """
    followed = held_bytes(demand, share) * (1 - 1 / demand.byte_copies)
    pulled = followed * (demand.produced * demand.imbalance) / np.maximum(share.brokers - 1, 1)
    return wire(demand, 0.0, pulled)


def mirrored(demand: Demand, share: Shares) -> Floats | None:
    """Bytes per second on the network that mirroring fetches from a survivor; None for nothing."""
    if not np.any(demand.mirrored_peak):
        return None
    return wire(demand, demand.mirrored_peak * demand.imbalance * share.led_after, 0.0)


def stored(demand: Demand, share: Shares) -> Floats:
    """Bytes on the busiest broker, as if its busiest disk were all its disks.

    Average rate × retention, at most retention_bytes × partitions; plus what an unrolled
    segment holds beyond retention (min of 1 GiB per partition and 7 d of data); times the
    share held, the indexes, the imbalance and the disk skew.
    """
    if demand.kept is None:
        kept = demand.average * demand.retention + 0 * share.partitions
    else:
        kept = demand.kept / demand.byte_copies + 0 * share.partitions
    if demand.retention_bytes is not None:
        kept = np.minimum(kept, demand.retention_bytes * share.partitions)
    unrolled = np.minimum(
        figures.SEGMENT_BYTES.value * share.partitions, demand.average * figures.SEGMENT_AGE.value
    )
    factor = figures.INDEX_SHARE.value * demand.imbalance
    return (kept + unrolled) * held_bytes(demand, share) * share.disk_skew * factor


def segments(demand: Demand, share: Shares, space: Floats) -> Floats:
    """Log segments of the busiest broker; each keeps one file open and two memory maps.

    The most of 20 per replica, one per GiB, and one per replica for each 7 d of retention; and the
    active one of each replica.
    """
    by_size = space / figures.SEGMENT_BYTES.value
    by_age = share.replicas * (demand.retention / figures.SEGMENT_AGE.value)
    usual = share.replicas * figures.SEGMENTS_PER_REPLICA.value
    return np.maximum(np.maximum(by_size, by_age), usual) + share.replicas


def rebuild(
    demand: Demand,
    share: Shares,
    busy: tuple[Floats, Floats, Floats, Floats],
    space: Floats,
    usual: Amount,
) -> dict[str, Floats]:
    """What filling a lost broker's disks again within the objective needs, beside the average load.

    The new broker takes in and writes bytes held ÷ objective, the other n - 1 send their part of it;
    the whole capacity may be used for it. What comes from one of them keeps as many replica fetchers
    busy as `far.connection` says: where brokers are far apart, bytes × round trip ÷ socket buffer.
    Nothing where one copy is all there is, or no failure is declared.

    Args:
        demand: What to carry.
        share: How it is spread.
        busy: Bytes per second at the peak into, to the disks of and out of the busiest broker, and what it
            copies from one other.
        space: Bytes on it, as `stored`.
        usual: The average over the peak.
    """
    if demand.survive == "none" or demand.copies == 1:
        return dict.fromkeys(REBUILD, np.zeros_like(share.held))
    pace = space / share.disk_skew / demand.rebuild_time
    moved = wire(demand, 0.0, pace)
    arriving, written, leaving, pulled = (one * usual for one in busy)
    sent = moved / np.maximum(share.brokers - 1, 1)
    return {
        "rebuild_in": arriving + moved,
        "rebuild_write": written + pace * share.disk_skew,
        "rebuild_out": leaving + sent,
        "rebuild_flow": (pulled + sent) * far.connection(demand.round_trip, demand.socket_buffer),
    }


def processor(demand: Demand, share: Shares) -> Floats:
    """Reference vCPU seconds per second on the busiest broker, the greater of healthy and after the failure.

    Per byte: led × (max(arriving, 1) × produce + decompression + recompression) + (held - led) × replicate +
    sent × send, and TLS on every byte in and out (on replication alone where clients do not encrypt). Per record: validation
    by the leader. Per request: what it is produced, and as often fetched as bytes are.
    """
    held = held_bytes(demand, share)
    leading = (
        figures.CPU_PRODUCE.value * max(demand.arriving, 1) + demand.decompression + demand.recompression
    )

    def seconds(led: Floats, copied: Floats) -> Floats:
        taken, followed = led * demand.produced, np.maximum(held - led, 0) * demand.produced
        replicated, fetched = copied * demand.produced, led * demand.fetched
        encrypted = 0.0 * taken
        if demand.nodes_encrypt:
            encrypted = encrypted + followed + replicated
        if demand.clients_encrypt:
            encrypted = encrypted + taken * demand.arriving + fetched
        requests = demand.requests * (led * (1 + demand.fan_out) + copied)
        return (
            taken * leading
            + followed * figures.CPU_REPLICATE.value
            + (replicated + fetched) * figures.CPU_SEND.value
            + encrypted * figures.CPU_TLS.value
            + led * demand.records * figures.CPU_RECORD.value
            + requests * figures.CPU_REQUEST.value
        )

    healthy = seconds(share.led, (demand.byte_copies - 1) * share.copied)
    return np.fmax(healthy, seconds(share.led_after, copied_after(demand, share))) * demand.imbalance


def in_words(limit: str) -> str:
    """A limit as a sentence has it."""
    return {"cpu": "CPU", "disk_iops": "disk IOPS"}.get(limit, limit.replace("_", " "))


def required(load: Floats, capacity: Floats, ceilings: Floats = CEILINGS) -> NDArray[np.intp]:
    """Position of the first count at which each limit holds, (candidates, columns).

    Args:
        load: (columns, counts), never rising along counts.
        capacity: (candidates, columns).
        ceilings: By column.

    Returns:
        Positions; the number of counts where no count is enough.
    """
    breaks = -load < (capacity * usable(ceilings))[:, :, None]
    return np.asarray(breaks.sum(axis=-1))


def usable(ceilings: Floats) -> Floats:
    """What a capacity is multiplied by to be compared with a negated load: rounding is no breach."""
    return -ceilings * (1 + 1e-12)


def allowed(demand: Demand, partitions: Floats) -> NDArray[np.intp]:
    """How many of the counts, from the first, keep the cluster under its limit of partition replicas.

    Args:
        demand: What to carry.
        partitions: Of the cluster, (disks, counts).

    Returns:
        By disks.
    """
    most = figures.REPLICAS_PER_CLUSTER[demand.coordination]
    replicas = np.maximum.accumulate(partitions, axis=1) * demand.partition_copies
    return np.asarray((replicas <= most).sum(axis=1))
