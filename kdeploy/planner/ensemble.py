"""How many ZooKeeper nodes or KRaft controllers, in which racks, on what.

Invariant: an odd number, 2f + 1 for f failures, spread over the racks so evenly
that the declared failure leaves a majority; never fewer than that demands.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kdeploy.errors import InvalidSetting
from kdeploy.planner import figures
from kdeploy.planner.catalogue import GIB, Catalogue, Floats
from kdeploy.planner.ebs import GP3, Bought
from kdeploy.planner.result import Volumes
from kdeploy.spec.model import Survive
from kdeploy.units import HOURS_PER_MONTH

FEWEST_PROCESSORS = 2


def spread(count: int, racks: tuple[str, ...]) -> dict[str, int]:
    """Nodes in each rack, the first racks getting one more where it does not divide."""
    whole, rest = divmod(count, len(racks))
    return {rack: whole + (position < rest) for position, rack in enumerate(racks)}


def wanted(brokers: Floats) -> Floats:
    """Nodes for a number of brokers: 3, which survive one failure; 5 from 30 brokers on."""
    return np.where(brokers >= figures.LARGE_CLUSTER.value, 5.0, 3.0)


def refuse_lost_majority(per_rack: dict[str, int], survive: Survive, datacenter: int, stated: bool) -> None:
    """Refuse an ensemble that the declared failure would leave without a majority.

    Args:
        per_rack: Nodes in each rack.
        survive: The declared failure.
        datacenter: Its position in the environment.
        stated: Whether a person stated the number of nodes.

    Raises:
        InvalidSetting: Fewer than a majority would be left.
    """
    nodes = sum(per_rack.values())
    lost = {"none": 0, "broker": 1, "zone": max(per_rack.values())}[survive]
    if nodes - lost > nodes / 2:
        return
    used = sum(1 for count in per_rack.values() if count)
    path: tuple[str | int, ...] = ("datacenters", datacenter, "coordination", "count")
    if survive == "zone" and (used < 3 or not stated):
        path = ("datacenters", datacenter, "racks")
        right = "name three racks or more, or set durability.survive to broker"
    else:
        right = "ask for three nodes or more, or set durability.survive to none"
    raise InvalidSetting(
        path,
        f"{nodes} ZooKeeper nodes or controllers in {used} racks have no majority when a {survive} is lost",
        right,
    )


@dataclass(frozen=True, eq=False)
class Market:
    """The cheapest shape for each amount of memory: shapes by memory, prices never falling."""

    names: tuple[str, ...]
    vcpus: NDArray[np.float64]
    memory: Floats
    usd_per_month: Floats

    @classmethod
    def of(cls, shapes: Catalogue, instance_type: str | None) -> Market:
        """Shapes with at least two processors, or the one that is asked for."""
        usable = shapes.offered & (shapes.vcpus >= FEWEST_PROCESSORS)
        if instance_type is not None:
            usable = np.array([name == instance_type for name in shapes.names])
        kept = shapes.only(usable)
        order = np.lexsort((np.array(kept.names), -kept.memory, kept.usd_per_hour))
        rows: list[int] = []
        most = 0.0
        for row in order.tolist():
            if kept.memory[row] > most:
                rows.append(row)
                most = kept.memory[row]
        return cls(
            tuple(kept.names[row] for row in rows),
            kept.vcpus[rows],
            kept.memory[rows],
            kept.usd_per_hour[rows] * HOURS_PER_MONTH,
        )

    def rows(self, replicas: Floats) -> NDArray[np.intp]:
        """Which shape keeps the metadata of so many partition replicas; the largest where none does."""
        need = figures.COORDINATOR_MEMORY.value + replicas * figures.METADATA_PER_REPLICA.value
        return np.minimum(np.searchsorted(self.memory, need), len(self.names) - 1)


def bought(shapes: Catalogue, replicas: Floats, before: float = 0.0) -> Bought:
    """One gp3 volume per node, of which nothing is bought but its size."""
    size = _size(replicas, before)
    return Bought(
        size, np.full_like(size, shapes.gp3.free_iops), np.full_like(size, shapes.gp3.free_throughput)
    )


def _size(replicas: Floats, before: float) -> Floats:
    """Bytes of a node's volume: 20 GiB and ten times the metadata, in whole GiB, never less than before."""
    need = figures.COORDINATOR_DISK.value + 10 * replicas * figures.METADATA_PER_REPLICA.value
    return np.maximum(np.ceil(need / GIB) * GIB, before)


def monthly(
    shapes: Catalogue, market: Market, nodes: Floats, replicas: Floats, before: float = 0.0
) -> Floats:
    """US dollars a month for all nodes with their volumes."""
    each = market.usd_per_month[market.rows(replicas)]
    return nodes * (each + shapes.gp3.space_usd(_size(replicas, before)))


def volumes(shapes: Catalogue, replicas: float, before: float = 0.0) -> tuple[Volumes, ...]:
    """A node's data volume, as the plan shows it."""
    one = bought(shapes, np.array([replicas]), before)
    return (Volumes(GP3, 1, float(one.size[0]), float(one.iops[0]), float(one.throughput[0])),)
