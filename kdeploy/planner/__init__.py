"""How much: from an Environment (and what was decided before) to a Plan.

One matrix of candidates against limits; the cheapest feasible row wins, and the
row of ratios is the explanation. Invariant: pure, no effects, no clock; the same
input gives the same plan, and cost never falls when demand rises.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kdeploy.planner.cloud import Sized, Wanted
    from kdeploy.planner.result import Alternative, DatacenterPlan, Infeasible, Plan
    from kdeploy.spec.lock import Lock, LockedDatacenter
    from kdeploy.spec.model import Datacenter, Environment, Provider

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
        remedies: Whether it is found out what would fit where nothing does, which takes some fifty plans, and
            topics with more copies than there would be brokers are refused; not for a what-if.

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
            if remedies:  # a what-if of another load is about that load alone
                _refuse_too_many_copies(environment, sized.plan)
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
    if environment.mirroring is not None and not infeasible and len(planned) > 1:
        planned, infeasible = _mirrored(environment, planned, before)
    return Plan(
        environment=environment.name,
        feasible=not infeasible,
        datacenters=tuple(planned),
        alternatives=tuple(alternatives),
        rejected=tuple(rejected),
        assumptions=assumptions(environment.mirroring is not None),
        infeasible=tuple(infeasible),
        comparison=tuple(comparison),
    )


def _refuse_too_many_copies(environment: Environment, planned: DatacenterPlan) -> None:
    """Refuse a topic with more copies than a datacenter is planned with brokers, which only a plan can tell.

    Raises:
        InvalidSetting: Names the topic.
    """
    from kdeploy.errors import InvalidSetting

    brokers = planned.brokers.count
    for index, topic in enumerate(environment.topics):
        copies = topic.replication_factor or 0
        if copies > brokers and not topic.delete:
            wrong = f"{copies} copies need {copies} brokers, and datacenter {planned.name} is planned with {brokers}"
            right = f"write {brokers} or less, or ask for more with brokers.count"
            raise InvalidSetting(("topics", index, "replication_factor"), wrong, right)


def _mirrored(
    environment: Environment,
    planned: list[DatacenterPlan],
    before: Mapping[tuple[str, Provider, str | None], LockedDatacenter],
) -> tuple[list[DatacenterPlan], list[Infeasible]]:
    """The same datacenters, each with the workers that read in the others, and what is too little for them."""
    from kdeploy.planner import mirror_loads, mirrors

    found: list[DatacenterPlan] = []
    unfit: list[Infeasible] = []
    loads = {}
    for datacenter, source in zip(environment.datacenters, planned, strict=True):
        wanted = _wanted(environment, datacenter, 0)
        loads[source.name] = mirror_loads.load_of(environment, wanted.sampled or wanted.demand, source)
    for datacenter, target in zip(environment.datacenters, planned, strict=True):
        sources = [(one, loads[one.name]) for one in planned if one.name != target.name]
        held = before.get((datacenter.name, datacenter.provider, datacenter.region))
        one, too_little = mirrors.add(environment, datacenter, target, sources, held)
        found.append(one)
        unfit += [too_little] if too_little else []
    return found, unfit


def _size(
    environment: Environment,
    datacenter: Datacenter,
    position: int,
    held: LockedDatacenter | None,
    reshape: bool,
    compare: bool = False,
) -> Sized:
    """Size a datacenter by what is wanted; where that asks for fewer partitions than there are, by those."""
    import numpy as np

    def sized(partitions_before: int) -> Sized:
        wanted = _wanted(environment, datacenter, partitions_before)
        if datacenter.provider == "aws":
            from kdeploy.planner import cloud

            found = cloud.size(wanted, environment.planner, datacenter, position, held, reshape, compare)
        else:
            from kdeploy.planner import declared

            found = declared.size(wanted, environment.planner, datacenter, position, held)
        return _mirroring(found, wanted, environment) if np.any(wanted.demand.mirrored_out) else found

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
