"""A plan as a person reads it: the answer first, then why, then what it rests on.

Invariant: pure; text stays within 80 columns, and text and markdown are printed
from the same sections, so they say the same.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final

from kdeploy.planner.asked import asked
from kdeploy.planner.ebs import KINDS
from kdeploy.planner.layout import PLAIN, WIDTH, Section, table, wrapped
from kdeploy.planner.limits import in_words
from kdeploy.planner.mirrored import SAID, mirrored
from kdeploy.planner.result import (
    Alternative,
    CoordinationPlan,
    DatacenterPlan,
    Infeasible,
    Plan,
    Relaxation,
    Volumes,
)
from kdeploy.spec.model import Environment
from kdeploy.units import (
    format_bytes,
    format_duration,
    format_rate,
    format_share,
    format_usd,
)

if TYPE_CHECKING:
    from kdeploy.planner.arithmetic import Arithmetic

BAR: Final = 24
SHOWN: Final = 0.05
"""Limits that are used less are named in a sentence, where there are many."""
FEW: Final = 4
SHOWN_AS: Final[dict[str, Callable[[float], str]]] = {
    **dict.fromkeys(("throughput", "mirrored_in", "mirrored_out"), format_rate),
    **dict.fromkeys(("message_size", "batch_size"), format_bytes),
    **dict.fromkeys(("growth", "lagging_consumers"), format_share),
    "retention": format_duration,
}
"""How a quantity of the workload is printed; other ones are numbers."""


def text(plan: Plan, environment: Environment, unicode: bool = True) -> str:
    """The plan for a terminal.

    Args:
        plan: The plan.
        environment: What was asked for.
        unicode: Whether more than ASCII can be shown.
    """
    lines = [*wrapped(answer(plan)), "", *wrapped(asked(environment))]
    for section in sections(plan, environment):
        lines += ["", section.title, *(part for line in section.lines for part in wrapped(line, "  "))]
        lines += table(section)
    whole = "\n".join(line.rstrip() for line in lines)
    return whole if unicode else whole.translate(PLAIN)


def markdown(plan: Plan, environment: Environment) -> str:
    """The plan for a pull request or a page."""
    lines = [f"**{answer(plan)}**", "", asked(environment)]
    for section in sections(plan, environment):
        lines += ["", f"### {section.title}", *(f"\n{line}" for line in section.lines)]
        if section.rows:
            head, *body = section.rows
            marks = ["---:" if column in section.right else "---" for column in range(len(head))]
            rows = [head, tuple(marks), *body]
            cells = [" | ".join(cell.replace("|", "\\|") for cell in row) for row in rows]
            lines += ["", *(f"| {row} |" for row in cells)]
    return "\n".join(lines)


def answer(plan: Plan) -> str:
    """The answer in one sentence."""
    if not plan.feasible:
        return "No plan fits: " + "; ".join(f"in {one.datacenter} {_unfit(one)}" for one in plan.infeasible)
    parts = [f"{_nodes(one)}{_place(one)}" for one in plan.datacenters]
    prices = [one.cost.monthly_usd for one in plan.datacenters if one.cost.monthly_usd is not None]
    price = f": {format_usd(sum(prices))} a month" if prices else ""
    if len(parts) > 1 and len(set(parts)) == 1:
        return f"{parts[0]}, in each of {len(parts)} datacenters{price}"
    return " and ".join(parts) + price


def _unfit(one: Infeasible) -> str:
    if one.limit in SAID:
        return SAID[one.limit].format(times=_times(one.by))
    return f"the load on {_words(one.limit)} is {_times(one.by)} what the best choice may use"


def sections(plan: Plan, environment: Environment) -> Iterator[Section]:
    """Everything after the answer, in order."""
    several = len(environment.datacenters) > 1
    for unfit in plan.infeasible:
        yield Section(
            f"What would fit in {unfit.datacenter}",
            (f"{unfit.nearest}.", *map(_relaxed, unfit.relaxations[1:])),
        )
    for planned in plan.datacenters:
        name = f" ({planned.name})" if several else ""
        yield Section(f"What it is{name}", rows=tuple(_parts(planned)))
        yield _utilisation(planned, name, environment)
        rejected = tuple(one for one in plan.rejected if one.datacenter == planned.name)
        if rejected:
            yield _choices(f"Cheaper, and why not{name}", rejected)
        others = tuple(one for one in plan.alternatives if one.datacenter == planned.name)
        if others:
            yield _choices(f"Next best{name}", others)
        compared = tuple(one for one in plan.comparison if one.datacenter == planned.name)
        if compared:
            yield _compared(planned, compared, name)
        if planned.mirror is not None:
            yield from mirrored(planned.name, planned.mirror, environment)
        yield from _cost(planned, name)
    rows = (
        ("what", "value and source"),
        *((one.name, f"{one.value} [{one.source}]") for one in plan.assumptions),
    )
    yield Section("What it rests on", (_carried(environment),), rows, hanging=True)


def _relaxed(one: Relaxation) -> str:
    price = "" if one.monthly_usd is None else f", for {format_usd(one.monthly_usd)} a month"
    return f"Or {one.change}{price}."


def _carried(environment: Environment) -> str:
    every = "Each datacenter carries the whole workload. " if len(environment.datacenters) > 1 else ""
    read = "the nearest copy" if environment.planner.follower_fetching else "leaders"
    return (
        f"{every}Network and EBS rates of EC2 types are baselines, not bursts. Clients are spread evenly "
        f"over the zones and read from {read}. A rate is what Kafka's BytesInPerSec shows."
    )


def _nodes(planned: DatacenterPlan) -> str:
    brokers = planned.brokers
    if brokers.instance_type:
        return f"{brokers.count} × {brokers.instance_type}"
    return f"{brokers.count} broker{'s' if brokers.count > 1 else ''}"


def _place(planned: DatacenterPlan) -> str:
    where = {"local": " on this machine", "hosts": f" in {planned.name}", "aws": f" in {planned.region}"}
    return where[planned.provider]


def _parts(planned: DatacenterPlan) -> Iterator[tuple[str, str]]:
    brokers, coordination = planned.brokers, planned.coordination
    yield "part", "what"
    yield "brokers", f"{_nodes(planned)}, {_machine(brokers.cores, brokers.memory)}"
    yield "racks", _racks(brokers.per_rack)
    for volumes in brokers.volumes:
        yield "data", f"{volumes_in_words(volumes)} per broker"
    yield coordination.kind, _coordination(coordination)
    yield "racks", _racks(coordination.per_rack)
    yield "partitions", f"{planned.partitions:,}, before replication"
    if planned.mirror is not None:
        mirror = planned.mirror
        name = f"× {mirror.instance_type}" if mirror.instance_type else f"worker{'s' * (mirror.count > 1)}"
        yield "mirroring", f"{mirror.count} {name}, {_machine(mirror.cores, mirror.memory)}"
        yield "racks", _racks(mirror.per_rack)


def _coordination(coordination: CoordinationPlan) -> str:
    kind = ("node" if coordination.kind == "zookeeper" else "controller") + "s" * (coordination.nodes > 1)
    name = f"× {coordination.instance_type}" if coordination.instance_type else kind
    disk = "".join(f", {one.count} × {one.type} {format_bytes(one.size)}" for one in coordination.volumes)
    return f"{coordination.nodes} {name}, {_machine(coordination.cores, coordination.memory)}{disk}"


def _machine(cores: int, memory: float) -> str:
    return f"{cores} vCPU, {format_bytes(memory)}"


def _racks(per_rack: dict[str, int]) -> str:
    return ", ".join(f"{count} in {rack}" for rack, count in per_rack.items() if count)


def volumes_in_words(volumes: Volumes) -> str:
    """Data volumes as a row of a report has them."""
    words = f"{volumes.count} × {volumes.type} {format_bytes(volumes.size)}"
    if volumes.iops is not None:
        words += f", {volumes.iops:,.0f} IOPS"
    if volumes.throughput is not None and volumes.type in KINDS:
        words += f", {volumes.throughput / 2**20:,.0f} MiB/s"
    elif volumes.throughput is not None:
        words += f", {format_rate(volumes.throughput)}"
    return words


def _utilisation(planned: DatacenterPlan, name: str, environment: Environment) -> Section:
    brokers = planned.brokers
    survive = environment.durability.survive
    lost = {"none": "", "broker": ", with a broker lost", "zone": ", with a zone lost"}[survive]
    rows = [("limit", "used", "ceiling", "", "brokers needed")]
    for limit, used in brokers.utilisation.items():
        if used < SHOWN and limit != brokers.bottleneck and len(brokers.utilisation) > FEW:
            continue
        ceiling = brokers.ceilings[limit]
        needed = f"{brokers.required[limit]:,}" if limit in brokers.required else "none is enough"
        mark = "  ◀ bottleneck" if limit == brokers.bottleneck else ""
        rows.append((_words(limit), f"{used:.0%}", f"{ceiling:.0%}", _bar(used, ceiling), f"{needed}{mark}"))
    lines = [_why_so_many(planned, environment)] if brokers.bottleneck else []
    idle = [_words(limit) for limit, used in brokers.utilisation.items() if used < SHOWN]
    if idle and len(brokers.utilisation) > FEW:
        lines.append(f"Below {SHOWN:.0%} and not in the table: {', '.join(idle)}.")
    lines += _after_a_loss(planned)
    is_stated = environment.workload.mirror_consumers is not None or planned.mirror is not None
    if planned.mirror_consumers is not None and not is_stated:
        many = "consumers are" if planned.mirror_consumers > 1 else "consumer is"
        trip = format_duration(environment.workload.mirror_round_trip)
        lines.append(f"Mirroring: {planned.mirror_consumers:,} {many} enough at a round trip of {trip}.")
    if planned.confidence is not None:
        sure = planned.confidence
        lines.insert(
            0,
            f"It holds in {sure.fits:.1%} of {sure.samples:,} samples (asked: {sure.asked:.0%}, seed {sure.seed}); "
            "shares and brokers needed are for that. Being that sure costs "
            f"{format_usd(sure.regret_usd)} a month more than the cheapest plan shown that holds, on average.",
        )
    if planned.provider == "local":
        lines = ["All brokers share this machine, so only what does not depend on it is checked."]
    return Section(
        f"How full the busiest broker is at the peak{lost}{name}", tuple(lines), tuple(rows), (1, 2)
    )


def _after_a_loss(planned: DatacenterPlan) -> Iterator[str]:
    """What it takes to have all copies again after a broker is lost."""
    brokers = planned.brokers
    if planned.provider != "aws":
        return
    if brokers.rebuild_time is not None:
        hours = format_duration(max(1.0, round(brokers.rebuild_time)))
        yield f"A lost broker's local disks are filled again in {hours} at the average load."
    elif not brokers.volumes[0].type.startswith("local"):
        yield "A lost broker's volumes are reattached to a new instance: no copy has to be rebuilt."


def _why_so_many(planned: DatacenterPlan, environment: Environment) -> str:
    brokers = planned.brokers
    needed = brokers.required[brokers.bottleneck or ""]
    if needed >= brokers.count:
        return f"{_opening(_words(brokers.bottleneck or ''))} sets the number of brokers."
    workload, copies = environment.workload, environment.durability.replication_factor
    copies = max([copies, *(topic.replication_factor or 1 for topic in workload.topics)])
    racks, survive = len(brokers.per_rack), environment.durability.survive
    fewest = max(copies, racks, 1 if survive == "none" else 2)
    why = "what was stated or decided before, whole racks, or the price sets it"
    if brokers.count == fewest:
        reasons = {
            f"{copies} copies": copies == fewest > 1,
            f"{racks} racks": racks == fewest > 1,
            "the failure to survive": survive != "none" and fewest > max(copies, racks),
        }
        why = f"they are there for {' and '.join(reason for reason, counts in reasons.items() if counts)}"
    return (
        f"No limit asks for {brokers.count} brokers ({_words(brokers.bottleneck or '')} for {needed}): {why}."
    )


def _bar(used: float, ceiling: float) -> str:
    """Used as full blocks on a scale to 100 %, with a stroke at the ceiling."""
    full = min(BAR, round(used * BAR))
    cells = ["█" if cell < full else "░" for cell in range(BAR)]
    if ceiling < 1:
        cells[round(ceiling * BAR)] = "│"
    return "".join(cells)


def _choices(title: str, choices: tuple[Alternative, ...]) -> Section:
    rows = [("choice", "a month", "why")]
    rows += [
        (f"{one.count} × {one.instance_type}, {one.volumes[0].type}", format_usd(one.monthly_usd), one.reason)
        for one in choices
    ]
    return Section(title, rows=tuple(rows), right=(1,), hanging=True)


def arithmetic(one: Arithmetic) -> str:
    """The arithmetic of a limit as text: each term, each factor on its own line, then the quotient."""
    lines = [f"{_opening(_words(one.limit))} of the busiest broker in {one.datacenter}", *_filled_in(one)]
    for term in one.terms:
        lines += ["", f"  {term.name} = {term.value:,.6g} {one.unit}"]
        for factor in term.factors:
            number = f"{factor.value:.10g} {factor.unit}".rstrip()
            lines += textwrap.wrap(
                f"× {number}  {factor.name} [{factor.source}]",
                WIDTH,
                initial_indent=" " * 4,
                subsequent_indent=" " * 8,
                break_long_words=False,
            )
    lines += [
        "",
        f"  together    {one.load:,.6g} {one.unit}",
        f"  of          {one.capacity:,.6g} {one.unit} that it can take",
        f"  are         {one.utilisation:.4%}; the ceiling is {one.ceiling:.0%}",
    ]
    return "\n".join(lines)


def _filled_in(one: Arithmetic) -> Iterator[str]:
    """What stands for quantities that are ranges."""
    if not one.values:
        return
    yield from wrapped(
        f"In {one.holds:.1%} of the samples this load is not exceeded. It is that of the sample with", "  "
    )
    for place, value in one.values.items():
        yield f"    {place}: {SHOWN_AS.get(place.rpartition('.')[2], '{:.4g}'.format)(value)}"


def _compared(planned: DatacenterPlan, others: tuple[Alternative, ...], name: str) -> Section:
    """The best of each kind side by side."""
    sure = planned.confidence
    head = ("kind", "brokers", "disks of each", "a month", *(("holds",) if sure else ()), "fullest")
    rows = [head]
    chosen = planned.brokers
    every = [
        (
            "chosen",
            chosen.count,
            chosen.instance_type,
            chosen.volumes,
            planned.cost.monthly_usd or 0.0,
            chosen.utilisation,
            sure.fits if sure else None,
        )
    ]
    every += [
        (one.reason, one.count, one.instance_type, one.volumes, one.monthly_usd, one.utilisation, one.fits)
        for one in others
    ]
    for kind, count, shape, volumes, price, used, fits in every:
        excess = {limit: ratio / chosen.ceilings[limit] for limit, ratio in used.items()}
        fullest = max(excess, key=lambda limit: excess[limit])
        disks = f"{volumes[0].count} × {format_bytes(volumes[0].size)}"
        holds = () if fits is None else (f"{fits:.1%}",)
        full = f"{_words(fullest)} {used[fullest]:.0%}"
        rows.append((kind, f"{count} × {shape}", disks, format_usd(price), *holds, full))
    line = "Each holds with the probability that was asked for; holds: in how many of the samples."
    return Section(
        f"Side by side{name}", (line,) if sure else (), tuple(rows), right=(3, 4) if sure else (3,)
    )


def _cost(planned: DatacenterPlan, name: str) -> Iterator[Section]:
    cost = planned.cost
    if cost.monthly_usd is None:
        return
    origin = (
        "published" if cost.exact else "derived from us-east-1's by the region's usual ratio: an estimate"
    )
    rows = [("part", "a month")]
    rows += [(_words(part), format_usd(price)) for part, price in cost.parts.items()]
    rows.append(("together", format_usd(cost.monthly_usd)))
    if cost.yearly_usd is not None:
        rows.append(("a year", format_usd(cost.yearly_usd)))
    line = f"On demand, 730 h, prices of {cost.date} for {planned.region}, {origin}; catalogue: {cost.catalogue}."
    if cost.discount:
        line += f" Instances and volumes are {format_share(cost.discount)} below the list, as you stated."
    crossing = ", ".join(f"{part} {format_usd(price)}" for part, price in cost.cross_zone_traffic.items())
    lines = (line, f"Of the cross-zone traffic: {crossing}.") if crossing else (line,)
    yield Section(f"What it costs{name}", lines, tuple(rows), right=(1,))


def _words(name: str) -> str:
    """A limit or a part of the price as a sentence has it."""
    names = {"cross_zone_traffic": "cross-zone traffic", "cross_region_traffic": "cross-region traffic"}
    return names.get(name) or in_words(name)


def _opening(words: str) -> str:
    return words[0].upper() + words[1:]


def _times(ratio: float) -> str:
    if ratio < 1.005:
        return "slightly more than"
    return f"{ratio:,.2f} times" if ratio < 1000 else f"{ratio:,.0f} times"
