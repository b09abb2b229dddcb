"""`cost`: what an environment costs a month, by datacenter and part.

Invariant: nothing is contacted; the figures are the planner's, and text and markdown say the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from kdeploy.cli.options import environment_argument, output_option, print_json
from kdeploy.errors import InvalidSetting

if TYPE_CHECKING:
    from kdeploy.planner.costs import Costs, DatacenterCost
    from kdeploy.planner.layout import Section


@click.command()
@environment_argument
@output_option
def cost(environment: str, output: str) -> None:
    """Say what an environment costs a month, by datacenter and part.

    Of the machines and volumes that its lock says are there, else of its plan: brokers, volumes,
    coordination, NAT gateways, endpoints, alarms, metrics, and traffic between zones and regions, which follows the
    workload. Prices are the catalogue's (`kdeploy catalogue refresh` gets today's).
    `kdeploy preview` shows what a change makes of them.

    \b
    Example: kdeploy cost prod-eu
    """
    from kdeploy import planner
    from kdeploy.operations import belonging, places
    from kdeploy.planner import decide
    from kdeploy.planner.costs import costs
    from kdeploy.spec.load import find, load

    loaded = load(find(environment))
    lock = belonging.lock(loaded)
    try:
        plan = planner.plan(loaded.environment, lock)
    except InvalidSetting as error:
        raise loaded.source.locate(error) from None
    if lock is not None and not places.is_local(loaded):
        for difference in decide.stale(loaded.environment, lock):
            click.echo(f"{places.lock_file(loaded)}: {difference}: not in what is told here", err=True)
    found = costs(loaded.environment, plan, lock)
    if output == "json":
        print_json(found.to_json())
    else:
        click.echo(text(found) if output == "text" else markdown(found))


def text(found: Costs) -> str:
    """The figures on 80 columns."""
    from kdeploy.planner.layout import table, wrapped

    lines = wrapped(_answer(found))
    for section in _sections(found):
        lines += ["", section.title, *(part for line in section.lines for part in wrapped(line, "  "))]
        lines += table(section)
    return "\n".join(line.rstrip() for line in lines)


def markdown(found: Costs) -> str:
    """The same for a pull request."""
    lines = [f"**{_answer(found)}**"]
    for section in _sections(found):
        lines += ["", f"### {section.title}", *(f"\n{line}" for line in section.lines)]
        if section.rows:
            head, *body = section.rows
            rows = [head, ("---", "---:", "---"), *body]
            lines += ["", *(f"| {' | '.join(row)} |" for row in rows)]
    return "\n".join(lines)


def _answer(found: Costs) -> str:
    from kdeploy.units import format_usd

    if found.monthly_usd is None or found.yearly_usd is None:
        return f"{found.environment} has no price that kdeploy knows."
    source = {"lock": "as its lock has it", "plan": "as it would be planned: it has no lock yet"}[
        found.source
    ]
    some = "" if all(one.monthly_usd is not None for one in found.datacenters) else ", for what has a price"
    a_month, a_year = format_usd(found.monthly_usd), format_usd(found.yearly_usd)
    return f"{found.environment} costs {a_month} a month, {a_year} a year{some}, {source}."


def _sections(found: Costs) -> Iterator[Section]:
    from kdeploy.planner.layout import Section
    from kdeploy.units import format_usd

    for one in found.datacenters:
        where = f"{one.name}, {one.region}" if one.region and one.region != one.name else one.name
        notes = "; ".join(one.notes)
        lines = (f"{notes[:1].upper()}{notes[1:]}.",) if notes else ()
        if one.monthly_usd is None:
            yield Section(where, lines)
            continue
        rows = [("part", "a month", "what"), *_rows(one)]
        rows.append(("together", format_usd(one.monthly_usd), ""))
        yield Section(where, lines, tuple(rows), right=(1,), hanging=True)


def _rows(one: DatacenterCost) -> Iterator[tuple[str, str, str]]:
    from kdeploy.units import format_usd

    for part in one.parts:
        yield part.name.replace("cross_", "cross-").replace("_", " "), format_usd(part.monthly_usd), part.what
