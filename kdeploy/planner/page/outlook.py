"""What a page shows beyond the plan itself, all of it asked of the planner: dearer, later, otherwise.

Invariant: no figure here is worked out beside the planner. Each comes from a plan for
the same environment with another produce rate, or with the brokers held as chosen, so a
limit or a part of the price that the planner learns is in it by itself. A quantity that is
a range is taken at its middle: what is shown is a plan for each of some hundred questions.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from kdeploy.planner.ebs import KINDS
from kdeploy.planner.result import Alternative, BrokerPlan, DatacenterPlan, Plan
from kdeploy.spec.model import Datacenter, Environment, Workload, WorkloadTopic
from kdeploy.units import Range

Planned = Callable[[Environment], Plan]
"""The planner as the page's plan was asked of it: with the same lock, and the same leave to reshape."""

FACTORS: Final = tuple(0.25 + step * 0.125 for step in range(25))
"""Produce rates to plan for, as multiples of today's: a quarter to three and a quarter; the seventh is 1."""

LEAST: Final = 2.0**-20
"""Share of today's produce rate below which nothing is looked for: a millionth."""

MOST: Final = 16.0
"""Multiple of today's produce rate up to which it is found out what a fleet can take."""

AFTERWARDS: Final = 3
"""Months between those that are looked at once the brokers do not hold."""

HALVINGS: Final = 7
"""Halvings between two powers of two: the answer is right to 0.6 %."""


@dataclass(frozen=True)
class Priced:
    """What a produce rate would take.

    Attributes:
        rate: Average produce rate, bytes per second.
        plan: The plan for it.
    """

    rate: float
    plan: Plan

    @property
    def monthly_usd(self) -> float | None:
        """US dollars a month of all datacenters together; None where nothing has a price."""
        return monthly_usd(self.plan)


@dataclass(frozen=True)
class Month:
    """The chosen brokers under the demand of a later month.

    Attributes:
        month: Months from now.
        factor: That month's produce rate over today's.
        tightest: The limit that is fullest; once the brokers do not hold, the one that they break.
        share: Its load over what may be used; above 1 the brokers do not hold.
        used: The same for every limit; empty once the brokers do not hold.
        monthly_usd: Price of the same brokers with volumes as they are needed then; None without.
    """

    month: int
    factor: float
    tightest: str
    share: float
    used: dict[str, float]
    monthly_usd: float | None


@dataclass(frozen=True)
class Growth:
    """How long the chosen brokers of one datacenter hold.

    Attributes:
        datacenter: Its name.
        months: Every month while they hold, from month 0, then every third.
        end: The first month in which they do not hold; None if they hold throughout.
        then: The plan that is made afresh for that month.
    """

    datacenter: str
    months: tuple[Month, ...]
    end: Month | None
    then: Plan | None

    @property
    def holding(self) -> tuple[Month, ...]:
        """The months in which the brokers hold."""
        return tuple(one for one in self.months if one.used)


def monthly_usd(plan: Plan) -> float | None:
    """US dollars a month of all datacenters together; None where nothing has a price."""
    prices = [one.cost.monthly_usd for one in plan.datacenters if one.cost.monthly_usd is not None]
    return sum(prices) if prices else None


def certain(environment: Environment) -> Environment:
    """The environment with the middle of every range in its place."""
    workload = environment.workload

    def middles(part: Workload | WorkloadTopic) -> dict[str, float]:
        values = {name: getattr(part, name) for name in type(part).model_fields}
        return {name: float(value) for name, value in values.items() if isinstance(value, Range)}

    topics = tuple(topic.model_copy(update=middles(topic)) for topic in workload.topics)
    settled = workload.model_copy(update={**middles(workload), "topics": topics})
    return environment.model_copy(update={"workload": settled})


def at_rate(environment: Environment, factor: float) -> Environment:
    """The environment with its produce rate, of every topic where they are listed, times a factor."""
    workload = environment.workload
    topics = tuple(
        topic.model_copy(update={"throughput": topic.throughput * factor}) for topic in workload.topics
    )
    scaled = workload.model_copy(update={"throughput": workload.throughput * factor, "topics": topics})
    return environment.model_copy(update={"workload": scaled})


def without_growth(environment: Environment) -> Environment:
    """The environment with the produce rate of one moment, which holds no later one."""
    workload = environment.workload.model_copy(update={"growth": 0.0})
    return environment.model_copy(update={"workload": workload})


def over_throughput(environment: Environment, planned: Planned) -> tuple[Priced, ...]:
    """Plans for produce rates around today's, rising, up to the first for which nothing fits.

    Each grows as the workload does, so that today's is what the plan was made for.
    Where nothing fits today, around the first of a half, a quarter and so on of today's that does.
    """
    around = 1.0
    while not planned(at_rate(environment, around)).feasible:
        around /= 2
        if around < LEAST:
            return ()
    found = []
    for factor in FACTORS:
        wanted = at_rate(environment, factor * around)
        plan = planned(wanted)
        if not plan.feasible:
            break
        found.append(Priced(wanted.workload.produced, plan))
    return tuple(found)


def over_time(
    environment: Environment, chosen: DatacenterPlan, planned: Planned, growth: float, months: int
) -> Growth:
    """How full the chosen brokers are as the produce rate grows.

    The brokers stay as they are; volumes that are bought, and partitions that the planner
    chooses, grow with the demand, as both can while the cluster runs.

    Args:
        environment: What is wanted today; its own growth is left out.
        chosen: One datacenter's plan.
        planned: The planner.
        growth: Growth of the produce rate in a year, 0.2 for 20 %; it compounds.
        months: How far to look.
    """
    environment = without_growth(environment)
    held = held_at(environment, chosen.name, chosen.brokers)
    found: list[Month] = []
    end: Month | None = None
    for month in range(months + 1):
        if end is None or month % AFTERWARDS == 0 or month == months:
            factor = (1 + growth) ** (month / 12)
            found.append(_month(month, factor, planned(at_rate(held, factor))))
            end = end or (None if found[-1].used else found[-1])
    then = planned(at_rate(environment, end.factor)) if end else None
    return Growth(chosen.name, tuple(found), end, then)


def _month(month: int, factor: float, plan: Plan) -> Month:
    if not plan.feasible:
        (unfit,) = plan.infeasible
        return Month(month, factor, unfit.limit, unfit.by, {}, None)
    (one,) = plan.datacenters
    used = shares(one.brokers.utilisation, one.brokers.ceilings)
    tightest = max(used, key=lambda limit: used[limit])
    return Month(month, factor, tightest, used[tightest], used, one.cost.monthly_usd)


def shares(utilisation: dict[str, float], ceilings: dict[str, float]) -> dict[str, float]:
    """Utilisation over ceiling, by limit."""
    return {limit: used / ceilings[limit] for limit, used in utilisation.items()}


def can_take(environment: Environment, choice: DatacenterPlan, planned: Planned) -> float:
    """The greatest produce rate that the chosen brokers hold with, over today's; from 1 to `MOST`.

    Args:
        environment: What is wanted today.
        choice: One datacenter's plan.
        planned: The planner.
    """
    return _greatest(environment, choice.name, choice.brokers, planned) or 1.0


def could_take(
    environment: Environment, choice: Alternative, ceilings: dict[str, float], planned: Planned
) -> float:
    """The same for brokers that were not chosen; below 1 for those that do not hold.

    A choice that does not hold is judged by its fullest limit alone.

    Args:
        environment: What is wanted today.
        choice: The brokers.
        ceilings: The most of each limit that may be used.
        planned: The planner.
    """
    found = None
    if choice.limit is None:
        found = _greatest(environment, choice.datacenter, choice, planned)
    fullest = max(shares(choice.utilisation, ceilings).values())
    return min(1 / fullest, MOST) if found is None else found


def _greatest(
    environment: Environment, name: str, brokers: BrokerPlan | Alternative, planned: Planned
) -> float | None:
    """The greatest factor that holds; None where not even today's does."""
    held = held_at(environment, name, brokers)

    def holds(factor: float) -> bool:
        return planned(at_rate(held, factor)).feasible

    if not holds(1.0):
        return None
    low, high = 1.0, 2.0
    while holds(high):
        low, high = high, high * 2
        if low >= MOST:
            return MOST
    for _ in range(HALVINGS):
        middle = (low * high) ** 0.5
        low, high = (middle, high) if holds(middle) else (low, middle)
    return low


def held_at(environment: Environment, name: str, brokers: BrokerPlan | Alternative) -> Environment:
    """The environment with one datacenter alone, and brokers in it that are stated, with their kind of disks."""
    (place,) = (one for one in environment.datacenters if one.name == name)
    return environment.model_copy(update={"datacenters": (_stated(place, brokers),)})


def _stated(place: Datacenter, brokers: BrokerPlan | Alternative) -> Datacenter:
    if place.provider == "hosts":
        return place  # its hosts are stated already
    stated: dict[str, Any] = {"count": brokers.count, "instance_type": brokers.instance_type}
    if place.provider == "aws" and brokers.volumes:
        kind = brokers.volumes[0].type
        bought = kind in KINDS
        stated |= {"storage": "ebs" if bought else "local", "volume_type": kind if bought else None}
    return place.model_copy(update={"brokers": place.brokers.model_copy(update=stated)})
