"""Where a broker's data lies: EBS volumes bought to need, or the instance's own disks.

Invariant: a layout is fixed by the shape alone, what is bought for it by the
load alone, and a greater load never buys less.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from kdeploy.planner import limits
from kdeploy.planner.catalogue import GIB, MIB, Catalogue, Floats, Gp3
from kdeploy.planner.figures import CEILINGS
from kdeploy.planner.result import LIMITS, Limit, Volumes

GP3: Final = "gp3"
NVME: Final = "local-nvme"
EBS_LAYOUTS: Final = (1, 2, 4, 8)
"""gp3 volumes per broker: the fewest that let the instance use all its EBS bandwidth. More would
gather more free throughput, at the price of more disks to keep balanced."""


@dataclass(frozen=True, eq=False)
class Candidates:
    """Shapes with a layout of their data disks: what is multiplied by a count to be a candidate.

    Attributes:
        catalogue: One row for each candidate (a shape with local disks is there twice).
        local: Whether the data lies on the instance's own disks.
        disks: Data disks per broker.
        capacity: (candidates, limits), with the most of each volume that can be bought.
    """

    catalogue: Catalogue
    local: NDArray[np.bool_]
    disks: Floats
    capacity: Floats


@dataclass(frozen=True)
class Bought:
    """What each gp3 volume is bought with: bytes, operations per second, bytes per second."""

    size: Floats
    iops: Floats
    throughput: Floats


NOTHING: Final = Bought(np.zeros(1), np.zeros(1), np.zeros(1))


def candidates(shapes: Catalogue, layout: tuple[str, int] | None = None) -> Candidates:
    """Every shape with its EBS layout, and those with local disks with these too.

    Args:
        shapes: EC2 types.
        layout: Volume type and count that brokers already have; only these are candidates then.
    """
    ebs_disks = _ebs_disks(shapes) if layout is None else np.full(len(shapes.names), float(layout[1]))
    tables = []
    if layout is None or layout[0] == GP3:
        tables.append((shapes, False, ebs_disks))
    if layout is None or layout[0] == NVME:
        own = shapes.only(shapes.nvme_count > 0)
        tables.append((own, True, own.nvme_count))
    order = np.argsort(np.concatenate([np.array(table.names) for table, _, _ in tables]), kind="stable")
    together = _concatenate([table for table, _, _ in tables], order)
    local = np.concatenate([np.full(len(table.names), kind) for table, kind, _ in tables])[order]
    disks = np.concatenate([count for _, _, count in tables])[order]
    return Candidates(together, local, disks, _capacity(together, local, disks))


def _ebs_disks(shapes: Catalogue) -> Floats:
    wanted = np.maximum(
        shapes.ebs_throughput / shapes.gp3.most_throughput, shapes.ebs_iops / shapes.gp3.most_iops
    )
    steps = np.array(EBS_LAYOUTS, dtype=float)
    return steps[np.minimum(np.searchsorted(steps, wanted), len(steps) - 1)]


def _concatenate(tables: list[Catalogue], order: NDArray[np.intp]) -> Catalogue:
    first = tables[0]
    columns: dict[str, Any] = {
        key: np.concatenate([vars(table)[key] for table in tables])[order]
        for key, value in vars(first).items()
        if isinstance(value, np.ndarray)
    }
    names = [name for table in tables for name in table.names]
    return replace(first, names=tuple(names[position] for position in order.tolist()), **columns)


def _capacity(shapes: Catalogue, local: NDArray[np.bool_], disks: Floats) -> Floats:
    gp3 = shapes.gp3
    unlimited = limits.UNLIMITED
    return limits.capacities(
        network_in=shapes.network,
        network_out=shapes.network,
        disk_write=np.where(local, shapes.nvme_write, gp3.most_throughput) * disks,
        disk_throughput=np.where(
            local, unlimited, np.minimum(shapes.ebs_throughput, gp3.most_throughput * disks)
        ),
        disk_iops=np.where(local, unlimited, np.minimum(shapes.ebs_iops, gp3.most_iops * disks)),
        disk_space=np.where(local, shapes.nvme_size, gp3.most_size) * disks,
        memory=limits.page_cache(shapes.memory),
        cpu=shapes.compute,
        partitions=limits.replicas_capacity(shapes.vcpus),
    )


def buy(gp3: Gp3, load: Floats, disks: Floats, before: Bought = NOTHING) -> Bought:
    """What gp3 volumes have to be for a load, in whole GiB, operations per second and MiB/s.

    size = load ÷ (disks × ceiling), throughput and operations likewise; at least what is free and
    what the volumes are now; operations at least throughput ÷ 0.25 MiB/s, size at least operations ÷ 500
    (rules of gp3, Amazon EBS User Guide).

    Args:
        gp3: Limits of a volume.
        load: (limits, anything), as `limits.loads`.
        disks: Volumes per broker, by the same anything.
        before: What the volumes are already; they never shrink.
    """

    def per_disk(limit: Limit, unit: float) -> Floats:
        row = load[LIMITS.index(limit)] / (disks * CEILINGS[limit] * unit)
        return np.asarray(np.ceil(row - 1e-9)) * unit

    throughput = np.maximum(
        np.maximum(per_disk("disk_throughput", MIB), gp3.free_throughput), before.throughput
    )
    throughput = np.minimum(throughput, gp3.most_throughput)
    iops = np.maximum(np.maximum(per_disk("disk_iops", 1.0), gp3.free_iops), before.iops)
    iops = np.minimum(np.maximum(iops, np.ceil(throughput / gp3.throughput_per_iops)), gp3.most_iops)
    size = np.maximum(per_disk("disk_space", GIB), before.size)
    size = np.maximum(size, np.ceil(iops / gp3.iops_per_gib) * GIB)
    return Bought(np.minimum(size, gp3.most_size), iops, throughput)


def monthly_price(gp3: Gp3, bought: Bought) -> Floats:
    """US dollars a month for one volume: size, and operations and throughput beyond what is free."""
    return np.asarray(
        bought.size / GIB * gp3.usd_per_gib
        + np.maximum(bought.iops - gp3.free_iops, 0) * gp3.usd_per_iops
        + np.maximum(bought.throughput - gp3.free_throughput, 0) / MIB * gp3.usd_per_mib_s
    )


def volumes(chosen: Candidates, row: int, bought: Bought, position: int) -> Volumes:
    """A candidate's data disks, as the plan shows them."""
    count = int(chosen.disks[row])
    if chosen.local[row]:
        shapes = chosen.catalogue
        return Volumes(NVME, count, float(shapes.nvme_size[row]), None, float(shapes.nvme_write[row]))
    size, iops, throughput = (float(part[position]) for part in (bought.size, bought.iops, bought.throughput))
    return Volumes(GP3, count, size, iops, throughput)
