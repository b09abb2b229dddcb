"""What a page says, as plain values for its template: sentences, tables, and charts already drawn.

Invariant: a number that the plan's JSON holds is a `Number`, which knows where in the
JSON it stands, so that the page can be held against it; all other text is plain and is
escaped by the template.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from kdeploy.planner import report
from kdeploy.planner.asked import asked as asked_of
from kdeploy.planner.demand import ranges
from kdeploy.planner.limits import in_words
from kdeploy.planner.page import charts, outlook
from kdeploy.planner.page.charts import Bar, Point
from kdeploy.planner.page.choices import choices
from kdeploy.planner.page.figure import Cell, Figure, Number, Row, Table, figure
from kdeploy.planner.page.outlook import Growth, Month, Planned, Priced
from kdeploy.planner.page.sums import Sum, sums_of
from kdeploy.planner.result import (
    Assumption,
    Cost,
    DatacenterPlan,
    Plan,
    Relaxation,
    Volumes,
)
from kdeploy.spec.model import Environment
from kdeploy.units import BYTE_UNITS, format_bytes, format_rate, format_usd

LOST: Final = {"none": "", "broker": ", with a broker lost", "zone": ", with a zone lost"}


@dataclass(frozen=True)
class Tile:
    """A number that is seen first: what it is, the number, and a word on it."""

    label: str
    value: Cell
    note: str


@dataclass(frozen=True)
class Place:
    """One datacenter: a heading where there are several, what it is, and its charts."""

    heading: str
    parts: tuple[Row, ...]
    cost: tuple[Figure, ...]
    figures: tuple[Figure, ...]
    choices: tuple[Figure, ...]
    arithmetic: tuple[Sum, ...]


@dataclass(frozen=True)
class Content:
    """A whole page."""

    name: str
    answer: str
    asked: str
    reasons: tuple[str, ...]
    tiles: tuple[Tile, ...]
    figures: tuple[Figure, ...]
    places: tuple[Place, ...]
    basis: tuple[str, ...]
    assumptions: tuple[Assumption, ...]


def content(plan: Plan, environment: Environment, planned: Planned, growth: float, months: int) -> Content:
    """Everything that a page says; see `kdeploy.planner.page.html` for the arguments."""
    wanted, environment = environment, outlook.certain(environment)
    figures = tuple(_over_throughput(environment, outlook.over_throughput(environment, planned)))
    later = (
        tuple(outlook.over_time(environment, one, planned, growth, months) for one in plan.datacenters)
        if plan.feasible
        else ()
    )
    places = tuple(
        _place(plan, position, environment, planned, later, growth, months)
        for position in range(len(plan.datacenters))
    )
    return Content(
        name=environment.name,
        answer=report.answer(plan),
        asked=asked_of(wanted),
        reasons=tuple(_reasons(plan)),
        tiles=tuple(_tiles(plan, later, growth, months)),
        figures=figures,
        places=places,
        basis=tuple(_basis(plan, wanted, growth, months)),
        assumptions=plan.assumptions,
    )


def _reasons(plan: Plan) -> Iterator[str]:
    several = len(plan.datacenters) + len(plan.infeasible) > 1
    for one in plan.infeasible:
        yield f"What would fit{f' in {one.datacenter}' if several else ''}: {one.nearest}."
        others = [_relaxed(other) for other in one.relaxations[1:]]
        if others:
            yield f"Or: {'; '.join(others)}."
    for placed in plan.datacenters:
        if placed.brokers.bottleneck:
            yield (f"In {placed.name}: " if several else "") + _limited(placed)


def _relaxed(one: Relaxation) -> str:
    price = "" if one.monthly_usd is None else f", {format_usd(one.monthly_usd)} a month"
    return f"{one.change}{price}"


def _limited(placed: DatacenterPlan) -> str:
    """What sets the number of brokers, in a sentence."""
    brokers = placed.brokers
    limit = brokers.bottleneck or ""
    fill = f"{brokers.utilisation[limit]:.0%} used of the {brokers.ceilings[limit]:.0%} allowed"
    if brokers.required[limit] >= brokers.count:
        return f"{_opening(_words(limit))} sets the number of brokers: {fill}."
    return (
        f"No limit asks for {brokers.count} brokers: copies, racks, the failure to survive, what was stated "
        f"or decided before, or the price sets the number. The first to be full is {_words(limit)}, {fill}."
    )


def _tiles(plan: Plan, later: Sequence[Growth], growth: float, months: int) -> Iterator[Tile]:
    several = len(plan.datacenters) > 1
    total = outlook.monthly_usd(plan)
    if total is not None and plan.feasible:
        shown: Cell = format_usd(total)
        if not several:
            shown = Number(format_usd(total), total, "datacenters.0.cost.monthly_usd")
        yield Tile("a month", shown, f"{format_usd(total * 12)} a year")
    for position, placed in enumerate(plan.datacenters):
        path, name = f"datacenters.{position}", f" in {placed.name}" if several else ""
        brokers = placed.brokers
        count = Number(f"{brokers.count}", brokers.count, f"{path}.brokers.count")
        machine = brokers.instance_type or f"{brokers.cores} vCPU, {format_bytes(brokers.memory)}"
        yield Tile(f"brokers{name}", count, machine)
        limit = brokers.bottleneck
        if limit and not several:
            used = brokers.utilisation[limit]
            yield Tile(
                f"first to be full: {_words(limit)}",
                Number(f"{used:.0%}", used, f"{path}.brokers.utilisation.{limit}"),
                f"of the {brokers.ceilings[limit]:.0%} allowed",
            )
        sure = placed.confidence
        if sure is not None:
            fits = Number(f"{sure.fits:.1%}", sure.fits, f"{path}.confidence.fits")
            yield Tile(f"of the samples hold{name}", fits, f"of {sure.samples:,}; asked: {sure.asked:.0%}")
    for position, unfit in enumerate(plan.infeasible):
        yield Tile(
            f"load on {_words(unfit.limit)} in {unfit.datacenter}",
            Number(f"{unfit.by:,.2f} times", unfit.by, f"infeasible.{position}.by"),
            "what the best choice may use",
        )
    for one in later:
        name = f" in {one.datacenter}" if several else ""
        if one.end is None:
            yield Tile(f"these brokers hold{name}", f"{months}+ months", f"at {growth:.0%} growth a year")
        else:
            yield Tile(
                f"these brokers are full{name}", f"month {one.end.month}", f"at {growth:.0%} growth a year"
            )


def _place(
    plan: Plan,
    position: int,
    environment: Environment,
    planned: Planned,
    later: Sequence[Growth],
    growth: float,
    months: int,
) -> Place:
    placed = plan.datacenters[position]
    several = len(environment.datacenters) > 1
    figures = [_utilisation(placed, position, environment.durability.survive)]
    if later:
        figures.append(_growth(later[position], position, growth, months))
    cost = (_cost(placed, position),) if placed.cost.monthly_usd is not None else ()
    others: tuple[Figure, ...] = ()
    if placed.cost.monthly_usd is not None and plan.feasible:
        others = tuple(choices(plan, position, environment, planned))
    heading = f"{placed.name}, {placed.region or placed.provider}" if several else ""
    sums = tuple(sums_of(placed, environment)) if placed.confidence is None else ()
    return Place(heading, tuple(_parts(placed, position)), cost, tuple(figures), others, sums)


def _parts(placed: DatacenterPlan, position: int) -> Iterator[Row]:
    path = f"datacenters.{position}"
    brokers, coordination = placed.brokers, placed.coordination
    yield (
        "brokers",
        Number(f"{brokers.count}", brokers.count, f"{path}.brokers.count"),
        f" × {brokers.instance_type or 'broker'}, {brokers.cores} vCPU, {format_bytes(brokers.memory)}; "
        + _racks(brokers.per_rack),
    )
    for volumes in brokers.volumes:
        yield "data", f"{_volumes(volumes)} per broker"
    kind = "ZooKeeper" if coordination.kind == "zookeeper" else "KRaft controllers"
    disks = "".join(f", {_volumes(one)}" for one in coordination.volumes)
    yield (
        kind,
        Number(f"{coordination.nodes}", coordination.nodes, f"{path}.coordination.nodes"),
        f" × {coordination.instance_type or 'node'}, {coordination.cores} vCPU, "
        f"{format_bytes(coordination.memory)}{disks}; {_racks(coordination.per_rack)}",
    )
    number = Number(f"{placed.partitions:,}", placed.partitions, f"{path}.partitions")
    yield "partitions", number, ", before replication"
    if placed.mirror is not None:
        mirror = placed.mirror
        number = Number(f"{mirror.count}", mirror.count, f"{path}.mirror.count")
        kind = f" × {mirror.instance_type or 'worker'}, {mirror.cores} vCPU, {format_bytes(mirror.memory)}"
        yield "mirroring", number, f"{kind}; {_racks(mirror.per_rack)}"


def _racks(per_rack: dict[str, int]) -> str:
    return ", ".join(f"{count} in {rack}" for rack, count in per_rack.items() if count)


def _volumes(volumes: Volumes) -> str:
    bought = [f"{volumes.iops:,.0f} IOPS"] if volumes.iops is not None else []
    bought += [format_rate(volumes.throughput)] if volumes.throughput is not None else []
    return ", ".join([f"{volumes.count} × {volumes.type} {format_bytes(volumes.size)}", *bought])


def _utilisation(placed: DatacenterPlan, position: int, survive: str) -> Figure:
    brokers, path = placed.brokers, f"datacenters.{position}.brokers"
    rows, bars = [], []
    for limit, used in brokers.utilisation.items():
        ceiling = brokers.ceilings[limit]
        needed: Cell = "none is enough"
        if limit in brokers.required:
            needed = Number(
                f"{brokers.required[limit]:,}", brokers.required[limit], f"{path}.required.{limit}"
            )
        rows.append(
            (
                _words(limit),
                Number(f"{used:.0%}", used, f"{path}.utilisation.{limit}"),
                Number(f"{ceiling:.0%}", ceiling, f"{path}.ceilings.{limit}"),
                f"{used / ceiling:.0%}",
                needed,
            )
        )
        strong = limit == brokers.bottleneck
        bars.append(Bar(_words(limit), used, f"{used:.0%} of {ceiling:.0%}", ceiling, strong))
    note = f"Load over capacity of the busiest broker at the peak{LOST[survive]}; the stroke is the ceiling."
    if placed.provider == "local":
        note = "All brokers share this machine, so only what does not depend on it is checked."
    return figure(
        f"utilisation-{position}",
        "How full is the busiest broker?",
        _limited(placed) if brokers.bottleneck else "Every limit that applies is under its ceiling.",
        note,
        charts.bars(bars, "%", 1.0),
        Table(("limit", "used", "ceiling", "of the ceiling", "brokers needed"), tuple(rows), (1, 2, 3, 4)),
        opened=True,
        broad=True,
    )


def _cost(placed: DatacenterPlan, position: int) -> Figure:
    cost, path = placed.cost, f"datacenters.{position}.cost"
    total = cost.monthly_usd or 0.0
    parts = sorted(cost.parts.items(), key=lambda part: -part[1])
    rows: list[Row] = [
        (_words(part), Number(format_usd(usd), usd, f"{path}.parts.{part}"), _share(usd, total))
        for part, usd in parts
    ]
    rows.append(("together", Number(format_usd(total), total, f"{path}.monthly_usd"), ""))
    largest, usd = parts[0]
    origin = (
        "published" if cost.exact else "derived from us-east-1's by the region's usual ratio: an estimate"
    )
    return figure(
        f"cost-{position}",
        "Where does the money go?",
        f"Of {format_usd(total)} a month, {format_usd(usd)} ({_share(usd, total)}) is for {_words(largest)}.",
        _priced(cost, f"prices of {cost.date} for {placed.region}, {origin}"),
        charts.bars(
            [
                Bar(_words(part), usd, f"{format_usd(usd)}, {_share(usd, total)}", strong=part == largest)
                for part, usd in parts
            ],
            "$,.0f",
        ),
        Table(("part", "a month", "share"), tuple(rows), (1, 2)),
    )


def _priced(cost: Cost, prices: str) -> str:
    note = f"On demand, 730 h a month, {prices}; catalogue: {cost.catalogue}."
    if cost.discount:
        note += f" Instances and volumes are {_share(cost.discount, 1)} below the list, as stated."
    crossing = ", ".join(f"{part} {format_usd(usd)}" for part, usd in cost.cross_zone_traffic.items())
    return f"{note} Of the cross-zone traffic: {crossing}." if crossing else note


def _over_throughput(environment: Environment, priced: Sequence[Priced]) -> Iterator[Figure]:
    """What other produce rates would cost; nothing where nothing has a price."""
    found = [(one, one.monthly_usd) for one in priced]
    known = [(one, usd) for one, usd in found if usd is not None]
    if not known:
        return
    rate = environment.workload.produced
    unit = format_rate(known[-1][0].rate).rpartition(" ")[2]
    step = BYTE_UNITS[unit.removesuffix("/s")]
    points = [
        Point(one.rate / step, usd, f"{format_rate(one.rate)}: {_nodes(one.plan)}, {format_usd(usd)} a month")
        for one, usd in known
    ]
    today = next((point for (one, _), point in zip(known, points, strict=True) if one.rate == rate), None)
    sentences = []
    if today is not None:
        sentences.append(f"Today's {format_rate(rate)} cost {format_usd(today.y)} a month.")
    for factor, words in ((0.5, "Half of it"), (2.0, "Twice as much")):
        usd_then = next((usd for one, usd in known if one.rate == rate * factor), None)
        if usd_then is not None:
            sentences.append(f"{words} would cost {format_usd(usd_then)}.")
    last, price = known[-1]
    if today is None:
        sentences.append(f"{format_rate(last.rate)} would fit, for {format_usd(price)} a month.")
    elif last.rate < rate * outlook.FACTORS[-1]:
        sentences.append(f"Of the rates that were tried, {format_rate(last.rate)} is the last that fits.")
    rows = tuple(
        (format_rate(one.rate), format_usd(usd), _nodes(one.plan) + (" (today)" if one.rate == rate else ""))
        for one, usd in known
    )
    yield figure(
        "throughput",
        "What would more, or less, throughput cost?",
        " ".join(sentences),
        f"The cheapest plan for each of {len(known)} average produce rates, all else being equal"
        + (", growing as stated." if environment.workload.growth else "."),
        charts.curve(
            points,
            f"average produce rate, {unit}",
            "US dollars a month",
            today,
            f"today {format_usd(today.y)}" if today else "",
        ),
        Table(("produce rate", "a month", "brokers"), rows, (0, 1)),
    )


def _growth(later: Growth, position: int, growth: float, months: int) -> Figure:
    holding = later.holding
    ends = later.end.tightest if later.end else _fullest(holding)
    first, last = holding[0].used, holding[-1].used
    bought = [limit for limit, used in last.items() if limit != ends and used <= first[limit] * 1.02]
    bought = bought if len(holding) > 1 else []
    points = [
        Point(
            one.month, used, f"{_words(limit)}: {used:.0%} of its ceiling", limit == ends, line=_words(limit)
        )
        for one in holding
        for limit, used in one.used.items()
        if limit not in bought
    ]
    points += [
        Point(one.month, one.share, f"{_words(one.tightest)}: {one.share:.0%}", True, line=_words(ends))
        for one in later.months
        if not one.used
    ]
    note = f"{_words(ends)} full in month {later.end.month}" if later.end else ""
    return figure(
        f"growth-{position}",
        "How long do these brokers last?",
        _lasts(later, growth, months),
        _how_it_grows(bought, ends),
        charts.lines(
            points,
            "months from now",
            "load, in shares of the ceiling",
            months,
            later.end.month if later.end else None,
            note,
        ),
        _by_half_year(later),
    )


def _fullest(holding: Sequence[Month]) -> str:
    """Of the limits that the growth fills, the one that is fullest at the end."""
    first, last = holding[0].used, holding[-1].used
    rising = {limit: used for limit, used in last.items() if used > first[limit] * 1.02} or last
    return max(rising, key=lambda limit: rising[limit])


def _lasts(later: Growth, growth: float, months: int) -> str:
    if later.end is None:
        ends, last = _fullest(later.holding), later.holding[-1]
        return (
            f"At {growth:.0%} growth a year these brokers hold for all {months} months. The limit that fills "
            f"up first is then at {last.used[ends]:.0%} of its ceiling: {_words(ends)}."
        )
    ends = f"{_words(later.end.tightest)} would be at {_over(later.end.share)} of what may be used"
    sentence = f"At {growth:.0%} growth a year these brokers are full in month {later.end.month}: {ends}."
    if later.then is not None and later.then.feasible:
        usd = outlook.monthly_usd(later.then)
        price = f", {format_usd(usd)} a month" if usd is not None else ""
        sentence += f" Planned afresh, that month takes {_nodes(later.then)}{price}."
    return sentence


def _how_it_grows(bought: Sequence[str], ends: str) -> str:
    note = f"The strong line is {_words(ends)}, the dashed one the ceiling; the brokers hold below it."
    if bought:
        note += (
            f" Not drawn: {', '.join(map(_words, bought))}. What is bought or chosen to need (volumes, "
            "partitions) grows with the demand while the cluster runs."
        )
    return note


def _by_half_year(later: Growth) -> Table:
    limits = tuple(later.months[0].used)
    chosen = [one for one in later.months if one.month % 6 == 0 or one is later.end]
    rows = tuple(
        (
            f"{one.month}",
            f"{one.factor:.0%}",
            format_usd(one.monthly_usd) if one.monthly_usd is not None else "",
            *(f"{one.used[limit]:.0%}" for limit in limits if one.used),
            *(_over(one.share) if limit == one.tightest else "" for limit in limits if not one.used),
        )
        for one in chosen
    )
    head = ("month", "of today's rate", "a month", *map(_words, limits))
    return Table(head, rows, tuple(range(len(head))))


def _basis(plan: Plan, environment: Environment, growth: float, months: int) -> Iterator[str]:
    if len(environment.datacenters) > 1:
        yield "Each datacenter carries the whole workload."
    yield "Network and EBS rates of EC2 types are baselines, not bursts; a rate is what Kafka's BytesInPerSec shows."
    if ranges(environment.workload):
        yield "The plan is for the ranges; charts of other rates, months and choices take the middle of each."
    if plan.feasible:
        stated = "as stated" if environment.workload.growth else "an assumption, since none is stated"
        yield (
            f"For the outlook the produce rate is taken to grow by {growth:.0%} a year ({stated}), "
            f"compounding, over {months} months, at today's prices."
        )


def _nodes(plan: Plan) -> str:
    return " and ".join(
        f"{one.brokers.count} × {one.brokers.instance_type or 'broker'}" for one in plan.datacenters
    )


def _words(name: str) -> str:
    """A limit or a part of the price as a sentence has it."""
    names = {"cross_zone_traffic": "cross-zone traffic", "cross_region_traffic": "cross-region traffic"}
    return names.get(name) or in_words(name)


def _opening(words: str) -> str:
    return words[0].upper() + words[1:]


def _share(part: float, whole: float) -> str:
    """A part as a percentage; what is there is never shown as nothing."""
    share = part / whole if whole else 0.0
    return "under 1%" if 0 < share < 0.005 else f"{share:.0%}"


def _over(ratio: float) -> str:
    """More than the whole, as a percentage that does not round to it."""
    return f"{max(ratio, 1.01):,.0%}"
