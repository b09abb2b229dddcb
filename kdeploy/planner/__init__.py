"""How much: from an Environment (and what was decided before) to a Plan.

One matrix of candidates against limits; the cheapest feasible row wins, and the
row of ratios is the explanation. Invariant: pure, no effects, no clock; the same
input gives the same plan, and cost never falls when demand rises.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kdeploy.planner.cloud import Sized
    from kdeploy.planner.result import Alternative, DatacenterPlan, Infeasible, Plan
    from kdeploy.spec.lock import Lock, LockedDatacenter
    from kdeploy.spec.model import Datacenter, Environment

__all__ = ["plan"]


def plan(environment: Environment, previous: Lock | None = None, *, reshape: bool = False) -> Plan:
    """Size every datacenter of an environment.

    Each datacenter carries the whole workload, so that one is enough when the other is lost.

    Args:
        environment: What is wanted.
        previous: What was decided before: shapes stay, volumes never shrink, brokers never get fewer.
        reshape: Whether brokers that the lock holds may get another EC2 type.

    Returns:
        The plan; where nothing fits, `feasible` is false and `infeasible` says why.

    Raises:
        InvalidSetting: A setting that only the catalogue or the lock can judge is wrong.

    Example:
        >>> from kdeploy.spec.model import Environment
        >>> plan(Environment(name="trial")).datacenters[0].brokers.count
        3
    """
    from kdeploy.planner import relax
    from kdeploy.planner.figures import assumptions
    from kdeploy.planner.result import Plan

    before = {(one.name, one.provider, one.region): one for one in previous.datacenters} if previous else {}
    planned: list[DatacenterPlan] = []
    alternatives: list[Alternative] = []
    rejected: list[Alternative] = []
    infeasible: list[Infeasible] = []
    for position, datacenter in enumerate(environment.datacenters):
        held = before.get((datacenter.name, datacenter.provider, datacenter.region))
        sized = _size(environment, datacenter, position, held, reshape)
        alternatives += sized.alternatives
        rejected += sized.rejected
        if sized.plan is not None:
            planned.append(sized.plan)
        elif sized.shortfall is not None:

            def attempt(
                changed: Environment,
                place: Datacenter,
                position: int = position,
                held: LockedDatacenter | None = held,
            ) -> Sized:
                return _size(changed, place, position, held, reshape)

            infeasible.append(relax.explain(environment, datacenter, sized.shortfall, attempt))
    return Plan(
        environment=environment.name,
        feasible=not infeasible,
        datacenters=tuple(planned),
        alternatives=tuple(alternatives),
        rejected=tuple(rejected),
        assumptions=assumptions(),
        infeasible=tuple(infeasible),
    )


def _size(
    environment: Environment,
    datacenter: Datacenter,
    position: int,
    held: LockedDatacenter | None,
    reshape: bool,
) -> Sized:
    """Size a datacenter by what is wanted; where that asks for fewer partitions than there are, by those."""
    from kdeploy.planner import cloud, declared
    from kdeploy.planner.demand import demand_of

    def sized(partitions_before: int) -> Sized:
        demand = demand_of(environment, datacenter, partitions_before)
        if datacenter.provider == "aws":
            return cloud.size(demand, environment.planner, datacenter, position, held, reshape)
        return declared.size(demand, datacenter, position, held)

    fresh = sized(0)
    if held is None or fresh.plan is None or fresh.plan.partitions >= held.partitions:
        return fresh
    return sized(held.partitions)
