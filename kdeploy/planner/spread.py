"""How partitions spread over brokers and disks, before and after the failure that is declared.

Invariant: a share depends on no rate, only on partitions, copies, racks, brokers and disks; what the
busiest broker holds never rises where the racks are filled evenly by more brokers.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kdeploy.planner.catalogue import Floats
from kdeploy.planner.demand import Demand


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
    """How the load is spread: each an array over (disks, counts). It depends on no rate.

    Attributes:
        brokers: Brokers.
        partitions: Partitions of the cluster.
        replicas: Replicas on the busiest broker.
        held: Bytes it takes in per byte produced to the cluster, where bytes have as many copies as
            partitions have.
        led: Share of all partitions that the busiest broker leads while all brokers are up.
        led_after: The same for a survivor of the declared failure.
        copied: Copies that the busiest broker sends to others, per byte produced and copy beyond the first.
        left: Share of the brokers that the declared failure leaves.
        disk_skew: Load of the busiest disk over the average disk of that broker.
    """

    brokers: Floats
    partitions: Floats
    replicas: Floats
    held: Floats
    led: Floats
    led_after: Floats
    copied: Floats
    left: Floats
    disk_skew: Floats

    def part(self, position: int) -> Shares:
        """One count alone."""
        return Shares(*(value[:, position : position + 1] for value in vars(self).values()))


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
        demand: What to carry; only its partitions, copies and failure count here.
        fleet: Numbers of brokers.
        disks: Data disks per broker, one row of the result for each.
    """
    n, d = fleet.counts[None, :], disks[:, None]
    shape = np.broadcast_shapes(n.shape, d.shape)
    spread = n if demand.copies == 1 else (fleet.used_racks * fleet.smallest_rack)[None, :]
    if demand.stated:
        partitions = np.full(shape, float(demand.partitions))
    else:
        partitions = np.ceil(demand.partitions / (spread * d)) * spread * d
    copies = demand.partition_copies
    replicas = np.minimum(np.ceil(np.round(partitions * copies / spread, 9)), partitions)
    lost = fleet.largest_rack if demand.survive == "zone" else float(demand.survive == "broker")
    alive = np.maximum(n - lost, 0.0)
    alive = np.where(alive > 0, alive, np.nan)
    led = np.ceil(partitions / n) / partitions
    led_after = np.ceil(partitions / alive) / partitions if demand.stated else 1 / alive
    led_after = led if demand.copies == 1 else np.maximum(led, led_after)
    return Shares(
        brokers=np.broadcast_to(n, shape),
        partitions=partitions,
        replicas=replicas,
        held=replicas / partitions,
        led=led,
        led_after=led_after + 0 * alive,
        copied=np.broadcast_to(1 / n, shape),
        left=np.broadcast_to(alive / n, shape),
        disk_skew=np.ceil(replicas / d) * d / replicas,
    )
