"""Which values of ranges a limit's arithmetic is shown for: those of the sample that decides.

A plan for ranges holds in so many samples; of a limit it shows the load that these do not exceed,
which is the load in one of them. Invariant: the arithmetic of that sample gives the utilisation that
the plan shows; the samples are drawn again, by the same seed.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from kdeploy.errors import dotted
from kdeploy.planner import limits, spread
from kdeploy.planner.catalogue import Floats
from kdeploy.planner.demand import Demand, demand_of, ranges
from kdeploy.planner.limits import COLUMNS
from kdeploy.planner.samples import draw
from kdeploy.planner.spread import Fleet
from kdeploy.spec.model import Datacenter, Environment


@dataclass(frozen=True)
class Sample:
    """One sample of ranges, with what is filled in for them.

    Attributes:
        demand: What is to be carried in it, as numbers.
        values: Of each range, by its place in the workload; empty where no range changes the limit.
        holds: Share of all samples in which the load is at most this one.
    """

    demand: Demand
    values: dict[str, float]
    holds: float


def sample(
    environment: Environment,
    datacenter: Datacenter,
    partitions_before: int,
    fleet: Fleet,
    disks: Floats,
    column: str,
    load: float,
) -> Sample:
    """The sample in which a load of the busiest broker is the one that a plan shows.

    Args:
        environment: With a range at least.
        datacenter: One of its datacenters.
        partitions_before: Partitions that there are at least.
        fleet: The numbers of brokers whose greatest load counts; see `limits.loads`.
        disks: Data disks per broker, (1,).
        column: Of limits.COLUMNS.
        load: As the plan has it; the nearest is taken.
    """
    found, settings = ranges(environment.workload), environment.planner
    drawn = draw(found, settings.samples, settings.seed)
    sampled = demand_of(environment, datacenter, partitions_before, drawn)
    middle = replace(demand_of(environment, datacenter, partitions_before), partitions=sampled.partitions)
    share = spread.shares(middle, fleet, disks)
    table = limits.of_shares(sampled, share)[..., COLUMNS.index(column), :].max(axis=-1).ravel()
    if np.ptp(table) <= 1e-12 * abs(table[0]):
        return Sample(middle, {}, 1.0)
    position = int(np.abs(table - load).argmin())
    values = {dotted(place): float(samples.ravel()[position]) for place, samples in drawn.items()}
    holds = float((table <= table[position] * (1 + 1e-12)).mean())
    return Sample(_at(sampled, position), values, holds)


def _at(sampled: Demand, position: int) -> Demand:
    """A demand's numbers in one of its samples."""

    def number(value: Any) -> Any:  # noqa: ANN401
        if isinstance(value, np.ndarray):
            return float(value.ravel()[position if value.size > 1 else 0])
        return value

    return Demand(**{one.name: number(getattr(sampled, one.name)) for one in fields(Demand)})
