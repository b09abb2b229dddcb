"""Where a broker's data lies: EBS volumes bought to need, or the instance's own disks.

Invariant: a layout is fixed by the shape alone, what is bought for it by the
load alone, and a greater load never buys less. gp3 and local disks are the
candidates unless another kind is asked for: gp2 and io2 never cost less than gp3
for the same, and st1, which can, is a hard disk, whose seeks no limit here counts.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from kdeploy.planner import hardware, limits
from kdeploy.planner.catalogue import Catalogue, Floats
from kdeploy.planner.ebs import GP3, NOTHING, Bought, Kind
from kdeploy.planner.figures import CEILINGS
from kdeploy.planner.result import Limit, Volumes

NVME: Final = "local-nvme"
EBS_LAYOUTS: Final = (1, 2, 4, 8)
"""EBS volumes per broker: the fewest that let the instance use all its EBS bandwidth, or eight. More would
gather more free throughput, at the price of more disks to keep balanced."""


@dataclass(frozen=True, eq=False)
class Candidates:
    """Shapes with a layout of their data disks: what is multiplied by a count to be a candidate.

    Attributes:
        catalogue: One row for each candidate (a shape with local disks is there twice).
        kind: The kind of EBS volume where the data does not lie on the instance's own disks.
        local: Whether the data lies on the instance's own disks.
        disks: Data disks per broker.
        capacity: (candidates, columns), with the most of each volume that can be bought.
    """

    catalogue: Catalogue
    kind: Kind
    local: NDArray[np.bool_]
    disks: Floats
    capacity: Floats

    @cached_property
    def by_disks(self) -> tuple[tuple[float, NDArray[np.intp]], ...]:
        """The different numbers of disks, rising, each with the candidates that have so many."""
        numbers = sorted(set(self.disks.tolist()))  # numpy.unique would import numpy.ma, a tenth of numpy
        return tuple((disks, np.flatnonzero(self.disks == disks)) for disks in numbers)

    @cached_property
    def disk_row(self) -> NDArray[np.intp]:
        """Each candidate's position among the different numbers of disks."""
        return np.searchsorted([disks for disks, _ in self.by_disks], self.disks)

    def required(self, load: Floats, ceilings: Floats) -> NDArray[np.intp]:
        """Position of the first count at which each limit holds, (candidates, columns); see `limits.required`.

        Args:
            load: (disks, columns, counts), never rising along counts; the disks as in `by_disks`.
            ceilings: By column.
        """
        factor, rising = limits.usable(ceilings), -load
        usable = self._together * factor[:, None]
        found = np.zeros(usable.shape, dtype=np.intp)
        # Where the fewest brokers are enough for the smallest of the candidates, they are for all of them.
        asked = np.nonzero(rising[:, :, 0] < self._least * factor)
        for row, column in zip(asked[0].tolist(), asked[1].tolist(), strict=True):
            mine = self._sides[row]
            found[column, mine] = rising[row, column].searchsorted(usable[column, mine])
        return found[:, self._apart].T

    @cached_property
    def _order(self) -> NDArray[np.intp]:
        return np.concatenate([mine for _, mine in self.by_disks])

    @cached_property
    def _apart(self) -> NDArray[np.intp]:
        """Each candidate's place where those with as many disks stand together."""
        return np.argsort(self._order)

    @cached_property
    def _together(self) -> Floats:
        """Capacities by column, candidates with as many disks side by side."""
        return np.ascontiguousarray(self.capacity[self._order].T)

    @cached_property
    def _sides(self) -> tuple[slice, ...]:
        """By disks, where the candidates that have so many stand there."""
        ends = np.cumsum([0, *(len(mine) for _, mine in self.by_disks)]).tolist()
        return tuple(slice(start, end) for start, end in pairwise(ends))

    @cached_property
    def _least(self) -> Floats:
        """The least capacity of all that have as many disks, (disks, columns)."""
        return np.array([self.capacity[mine].min(axis=0) for _, mine in self.by_disks])


def candidates(
    shapes: Catalogue,
    layout: tuple[str, int] | None = None,
    storage: str | None = None,
    volume_type: str | None = None,
) -> Candidates:
    """Every shape with its EBS layout, and those with local disks with these too.

    Args:
        shapes: EC2 types.
        layout: Volume type and count that brokers already have; only these are candidates then.
        storage: ebs or local where only that will do.
        volume_type: The kind of EBS volume; gp3 where none is asked for.
    """
    if layout is not None:
        storage, volume_type = ("local", None) if layout[0] == NVME else ("ebs", layout[0])
    kind = shapes.volumes[volume_type or GP3]
    tables = []
    if storage != "local":
        disks = _ebs_disks(shapes, kind) if layout is None else np.full(len(shapes.names), float(layout[1]))
        tables.append((shapes, False, disks))
    if storage == "local" or (storage is None and volume_type is None):
        own = shapes.only(shapes.nvme_count > 0)
        tables.append((own, True, own.nvme_count))
    order = np.argsort(np.concatenate([np.array(table.names) for table, _, _ in tables]), kind="stable")
    together = _concatenate([table for table, _, _ in tables], order)
    local = np.concatenate([np.full(len(table.names), is_local) for table, is_local, _ in tables])[order]
    disks = np.concatenate([count for _, _, count in tables])[order]
    return Candidates(together, kind, local, disks, _capacity(together, kind, local, disks))


def _ebs_disks(shapes: Catalogue, kind: Kind) -> Floats:
    wanted = np.maximum(
        shapes.ebs_throughput / kind.most_throughput,
        0.0 if kind.sequential else shapes.ebs_iops / kind.most_iops,
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


def _capacity(shapes: Catalogue, kind: Kind, local: NDArray[np.bool_], disks: Floats) -> Floats:
    unlimited = hardware.UNLIMITED
    most_iops = unlimited if kind.sequential else kind.most_iops
    return hardware.capacities(
        network_in=shapes.network,
        network_out=shapes.network,
        disk_write=np.where(local, shapes.nvme_write, kind.most_throughput) * disks,
        disk_throughput=np.where(
            local, unlimited, np.minimum(shapes.ebs_throughput, kind.most_throughput * disks)
        ),
        disk_iops=np.where(local, unlimited, np.minimum(shapes.ebs_iops, most_iops * disks)),
        disk_space=np.where(local, shapes.nvme_size, kind.most_size) * disks,
        memory=hardware.page_cache(shapes.memory),
        cpu=shapes.compute,
        partitions=hardware.replicas_capacity(shapes.vcpus),
    )


def buy(kind: Kind, load: Floats, disks: Floats, before: Bought = NOTHING) -> Bought:
    """What each volume of a kind has to be for a load: load ÷ (disks × ceiling), by the kind's rules.

    Args:
        kind: The kind of volume.
        load: (columns, anything), as `limits.loads`.
        disks: Volumes per broker, by the same anything.
        before: What the volumes are already; they never shrink.
    """

    def per_disk(limit: Limit) -> Floats:
        return np.asarray(load[limits.COLUMNS.index(limit)] / (disks * CEILINGS[limit]))

    return kind.buy(per_disk("disk_space"), per_disk("disk_iops"), per_disk("disk_throughput"), before)


def volumes(chosen: Candidates, row: int, bought: Bought, position: int) -> Volumes:
    """A candidate's data disks, as the plan shows them."""
    count = int(chosen.disks[row])
    if chosen.local[row]:
        shapes = chosen.catalogue
        return Volumes(NVME, count, float(shapes.nvme_size[row]), None, float(shapes.nvme_write[row]))
    size, iops, throughput = (float(part[position]) for part in (bought.size, bought.iops, bought.throughput))
    return Volumes(chosen.kind.name, count, size, None if chosen.kind.sequential else iops, throughput)
