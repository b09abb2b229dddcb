"""How much: from an Environment (and what was decided before) to a Plan.

One matrix of candidates against limits; the cheapest feasible row wins, and the
row of ratios is the explanation. Invariant: pure, no effects, no clock; the same
input gives the same plan, and cost never falls when demand rises.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kdeploy.planner.cloud import Sized, Wanted
    from kdeploy.planner.result import Alternative, DatacenterPlan, Plan
    from kdeploy.spec.lock import Lock, LockedDatacenter
    from kdeploy.spec.model import Datacenter, Environment

__all__ = ["plan"]


def plan(
    environment: Environment,
    previous: Lock | None = None,
    *,
    reshape: bool = False,
    compare: bool = False,
    remedies: bool = True,
) -> Plan:
    """Size every datacenter of an environment.

    Each datacenter carries the whole workload, so that one is enough when the other is lost.

    Args:
        environment: What is wanted.
        previous: What was decided before: shapes stay, volumes never shrink, brokers never get fewer.
        reshape: Whether brokers that the lock holds may get another EC2 type.
        compare: Whether the best of other kinds is worked out too (few large, local disks, ...).
        remedies: Whether it is found out what would fit where nothing does, which takes some fifty plans.

    Returns:
        The plan; where nothing fits, `feasible` is false and `infeasible` says why.

    Raises:
        InvalidSetting: A setting that only the catalogue or the lock can judge is wrong.

    Example:
        >>> from kdeploy.spec.model import Environment
        >>> plan(Environment(name="trial")).datacenters[0].brokers.count
        3
    """
    from kdeploy.planner.figures import assumptions
    from kdeploy.planner.result import Infeasible, Plan

    before = {(one.name, one.provider, one.region): one for one in previous.datacenters} if previous else {}
    planned: list[DatacenterPlan] = []
    alternatives: list[Alternative] = []
    rejected: list[Alternative] = []
    comparison: list[Alternative] = []
    infeasible: list[Infeasible] = []
    for position, datacenter in enumerate(environment.datacenters):
        held = before.get((datacenter.name, datacenter.provider, datacenter.region))
        sized = _size(environment, datacenter, position, held, reshape, compare)
        alternatives += sized.alternatives
        rejected += sized.rejected
        comparison += sized.comparison
        if sized.plan is not None:
            planned.append(sized.plan)
        elif sized.shortfall is not None and not remedies:
            infeasible.append(Infeasible(datacenter.name, sized.shortfall.limit, sized.shortfall.by, ""))
        elif sized.shortfall is not None:
            from kdeploy.planner import relax

            def attempt(
                changed: Environment,
                place: Datacenter,
                position: int = position,
                held: LockedDatacenter | None = held,
            ) -> Sized:
                return _size(changed, place, position, held, reshape)

            infeasible.append(
                relax.explain(environment, datacenter, sized.shortfall, attempt, new=held is None)
            )
    return Plan(
        environment=environment.name,
        feasible=not infeasible,
        datacenters=tuple(planned),
        alternatives=tuple(alternatives),
        rejected=tuple(rejected),
        assumptions=assumptions(),
        infeasible=tuple(infeasible),
        comparison=tuple(comparison),
    )


def _size(
    environment: Environment,
    datacenter: Datacenter,
    position: int,
    held: LockedDatacenter | None,
    reshape: bool,
    compare: bool = False,
) -> Sized:
    """Size a datacenter by what is wanted; where that asks for fewer partitions than there are, by those."""

    def sized(partitions_before: int) -> Sized:
        wanted = _wanted(environment, datacenter, partitions_before)
        if datacenter.provider == "aws":
            from kdeploy.planner import cloud

            found = cloud.size(wanted, environment.planner, datacenter, position, held, reshape, compare)
        else:
            from kdeploy.planner import declared

            found = declared.size(wanted, environment.planner, datacenter, position, held)
        return _mirroring(found, wanted, environment) if environment.workload.mirrored_out else found

    fresh = sized(0)
    if held is None or fresh.plan is None or fresh.plan.partitions >= held.partitions:
        return fresh
    return sized(held.partitions)


def _mirroring(sized: Sized, wanted: Wanted, environment: Environment) -> Sized:
    """The same with the consumers that mirroring reads with."""
    from dataclasses import replace

    import numpy as np

    from kdeploy.planner import far, limits, spread
    from kdeploy.planner.declared import fleet_of

    if sized.plan is None:
        return sized
    brokers = sized.plan.brokers
    disks = np.array([float(brokers.volumes[0].count if brokers.volumes else 1)])
    share = spread.shares(wanted.demand, fleet_of(brokers.per_rack), disks)
    demand = wanted.sampled or wanted.demand
    mirrored = limits.mirrored(demand, share)
    count = far.consumers(demand, mirrored, environment.planner.confidence)
    return replace(sized, plan=replace(sized.plan, mirror_consumers=count))


def _wanted(environment: Environment, datacenter: Datacenter, partitions_before: int) -> Wanted:
    """The demand at the middle of every range, and in samples of them where there are any."""
    from dataclasses import replace

    from kdeploy.errors import dotted
    from kdeploy.planner.cloud import Wanted
    from kdeploy.planner.demand import demand_of, ranges

    middle = demand_of(environment, datacenter, partitions_before)
    found = ranges(environment.workload)
    if not found:
        return Wanted(middle)
    from kdeploy.planner.samples import draw

    settings = environment.planner
    sampled = demand_of(
        environment, datacenter, partitions_before, draw(found, settings.samples, settings.seed)
    )
    middle = replace(middle, partitions=sampled.partitions)
    return Wanted(middle, sampled, {dotted(place): ends for place, ends in found.items()})
