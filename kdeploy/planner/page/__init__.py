"""A plan as one page that a person sends to another: the answer first, then charts, then what it rests on.

Invariant: the page is whole. It loads nothing, runs nothing, and says in text all that
its charts show; the same input gives the same bytes. Everything that a person named is
escaped.
"""

from __future__ import annotations

from functools import cache
from typing import Final

from jinja2 import Environment as Templates
from jinja2 import PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from kdeploy import __version__
from kdeploy.planner.demand import YEAR
from kdeploy.planner.page.content import content
from kdeploy.planner.page.figure import Number
from kdeploy.planner.page.outlook import Planned
from kdeploy.planner.result import Plan
from kdeploy.spec.model import Environment

__all__ = ["GROWTH", "MONTHS", "html"]

GROWTH: Final = 0.2
"""Growth of the produce rate in a year where none is stated: an assumption, which the page names."""

MONTHS: Final = 36
"""Months that the outlook covers where nothing else is stated: three years, EC2's longest commitment."""

MOST_MONTHS: Final = 120
"""Months that it covers at most, however far ahead the workload is planned for."""

LONGEST_UNBROKEN: Final = 18
"""Characters of a word that is not broken: every region of AWS, and no more than a phone is wide."""


def html(
    plan: Plan,
    environment: Environment,
    planned: Planned,
    growth: float | None = None,
    months: int | None = None,
) -> str:
    """The plan as a self-contained HTML document.

    Args:
        plan: The plan, feasible or not.
        environment: What it was made for.
        planned: Plans another environment as this one was: with the same lock.
        growth: Growth of the produce rate in a year, 0.2 for 20 %, compounding; None for the workload's
            own, and GROWTH where it has none.
        months: How far to look ahead; None for MONTHS, or for as long as the workload's growth is planned for.

    Returns:
        The document; to be written as UTF-8.

    Raises:
        ModuleNotFoundError: The charts' library is not installed (the extra `report`).
    """
    workload = environment.workload
    if months is None:
        months = MONTHS
        if workload.growth:
            months = min(max(MONTHS, round(workload.horizon / YEAR * 12)), MOST_MONTHS)
    if growth is None:
        growth = float(workload.growth) or GROWTH
    page = content(plan, environment, planned, growth, months)
    return _templates().get_template("page.html.j2").render(page=page, version=__version__)


def _unbroken(sentence: str) -> Markup:
    """A sentence in which short names stay on one line: browsers break `us-east-1` at a hyphen."""
    words = (
        Markup('<span class="unbroken">{}</span>').format(word)
        if "-" in word and len(word) <= LONGEST_UNBROKEN
        else escape(word)
        for word in sentence.split(" ")
    )
    return Markup(" ").join(words)


@cache
def _templates() -> Templates:
    templates = Templates(
        loader=PackageLoader("kdeploy.planner.page", ""),
        undefined=StrictUndefined,
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    templates.tests["number"] = lambda cell: isinstance(cell, Number)
    templates.filters["unbroken"] = _unbroken
    templates.filters["drawn"] = Markup  # an SVG of our own, whose text is escaped by its maker
    return templates
