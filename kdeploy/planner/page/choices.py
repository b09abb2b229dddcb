"""The choice among others: what each would cost, and the most it would take.

Invariant: nothing is judged here; each choice is held against the planner's own answer.
"""

from __future__ import annotations

from collections.abc import Iterator

from kdeploy.planner.page import charts, outlook
from kdeploy.planner.page.charts import Point
from kdeploy.planner.page.figure import Figure, Number, Row, Table, figure
from kdeploy.planner.page.outlook import Planned
from kdeploy.planner.result import Alternative, DatacenterPlan, Plan
from kdeploy.spec.model import Environment
from kdeploy.units import format_usd


def choices(plan: Plan, position: int, environment: Environment, planned: Planned) -> Iterator[Figure]:
    """The choice among others: what each costs today, and the most it takes."""
    placed = plan.datacenters[position]
    others = [
        (one, f"{kind}.{index}.monthly_usd")
        for kind, list_ in (
            ("alternatives", plan.alternatives),
            ("rejected", plan.rejected),
            ("comparison", plan.comparison),
        )
        for index, one in enumerate(list_)
        if one.datacenter == placed.name
    ]
    if not others:
        return
    rows: list[Row] = []
    points: list[Point] = []
    named: list[tuple[Alternative | DatacenterPlan, str, float, str, str]] = [
        (
            placed,
            _name(placed),
            placed.cost.monthly_usd or 0.0,
            f"datacenters.{position}.cost.monthly_usd",
            "the plan",
        )
    ]
    named += [(one, _name(one), one.monthly_usd, path, one.reason) for one, path in others]
    for index, (one, name, usd, path, reason) in enumerate(named):
        letter = chr(ord("A") + index)
        if isinstance(one, DatacenterPlan):
            takes = outlook.can_take(environment, one, planned)
        else:
            takes = outlook.could_take(environment, one, placed.brokers.ceilings, planned)
        rows.append((letter, name, Number(format_usd(usd), usd, path), _at_most(takes), reason))
        says = f"{letter}: {name}, {format_usd(usd)} a month, takes {_at_most(takes)} of today's rate"
        points.append(Point(takes, usd, says, strong=index == 0, letter=letter))
    yield figure(
        f"choices-{position}",
        "What else could be bought?",
        f"A is the plan, {rows[0][1]}: it takes {rows[0][3]} of today's produce rate. What is left of the "
        "dashed line does not carry today's.",
        "Each at its price in this plan, against the most that its brokers take with volumes enlarged"
        + (", growing as stated." if environment.workload.growth else "."),
        charts.scatter(points, "produce rate it takes, today's being 100%", "US dollars a month"),
        Table(("", "choice", "a month", "takes", "why"), tuple(rows), (2, 3)),
        opened=True,
        broad=True,
    )


def _name(choice: Alternative | DatacenterPlan) -> str:
    if isinstance(choice, DatacenterPlan):
        volumes = choice.brokers.volumes
        words = f"{choice.brokers.count} × {choice.brokers.instance_type}"
    else:
        volumes, words = choice.volumes, f"{choice.count} × {choice.instance_type}"
    return f"{words}, {volumes[0].type}" if volumes else words


def _at_most(takes: float) -> str:
    if takes >= outlook.MOST:
        return f"more than {outlook.MOST:.0%}"
    return f"{takes:.0%}"
