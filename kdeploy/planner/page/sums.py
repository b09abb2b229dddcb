"""The arithmetic of each limit on a page, to be checked by hand.

Invariant: it is what `--explain` prints, line by line; nothing is worked out here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from kdeploy.planner import arithmetic, report
from kdeploy.planner.limits import in_words
from kdeploy.planner.result import LIMITS, DatacenterPlan
from kdeploy.spec.model import Environment


@dataclass(frozen=True)
class Sum:
    """The arithmetic of one limit: its name, what comes out, the lines, and whether they are shown at once."""

    name: str
    outcome: str
    lines: str
    opened: bool


def sums_of(placed: DatacenterPlan, environment: Environment) -> Iterator[Sum]:
    """How each limit's load and capacity come about, as `--explain` has it."""
    (place,) = (one for one in environment.datacenters if one.name == placed.name)
    for limit in LIMITS:
        one = arithmetic.explain(environment, place, placed, limit)
        if one is not None:
            outcome = f"{one.load:,.6g} of {one.capacity:,.6g} {one.unit}, {one.utilisation:.1%}"
            yield Sum(in_words(limit), outcome, report.arithmetic(one), limit == placed.brokers.bottleneck)
