"""The Kafka Connect workers that mirror: how many and on what, what the link carries, how far behind, how soon caught up.

What workers of a datacenter write there they read in the others: in all of them, or in the one that is written to,
whichever it is. Rates are of records, as brokers count them, at the horizon's end. Invariant: pure; more to carry never
takes fewer workers, and more bandwidth never more time to catch up. An environment without mirroring has no workers, and
every other part of its plan is as it was.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import numpy as np

from kdeploy.errors import InvalidSetting
from kdeploy.planner import catalogue, declared, ensemble, figures, mirror_figures
from kdeploy.planner.demand import ceilings_of
from kdeploy.planner.ebs import Floats
from kdeploy.planner.mirror_loads import Fleet, Load, beside, by_tasks
from kdeploy.planner.result import LIMITS, Infeasible, LinkPlan, MirrorPlan, Relaxation
from kdeploy.spec.mirroring import Workers
from kdeploy.units import HOURS_PER_MONTH, format_bytes, format_duration, format_rate

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from kdeploy.planner.result import DatacenterPlan
    from kdeploy.spec.lock import LockedDatacenter
    from kdeploy.spec.mirroring import Link
    from kdeploy.spec.model import Datacenter, Environment

USUAL: Final = 2
"""Workers of a datacenter on machines of their own: one is enough while the other is down."""

STEP: Final = 2.0**26
"""Bytes to which the memory of a worker is rounded up where a process is all there is."""

MOST: Final = 100
"""Most workers of a datacenter (`spec.mirroring.Workers.count`)."""

CUT: Final = 3600.0
"""Seconds of the cut whose backlog a plan says the time of."""

RATES: Final = ("network_in", "network_out", "disk_write", "disk_throughput", "disk_iops", "disk_read", "cpu")
"""Limits of brokers that more traffic reaches."""

SECONDS_PER_MONTH: Final = HOURS_PER_MONTH * 3600


def drain(cut: Floats | float, live: Floats | float, carried: Floats | float) -> Floats:
    """Seconds until all is on the other side again after nothing got through for some time.

    cut × live ÷ (carried - live): what was written meanwhile, over what is left for it.

    Args:
        cut: Seconds for which nothing got through.
        live: Bytes per second that go on being written.
        carried: Most bytes per second that get through, of the same kind.

    Returns:
        The time; infinite where nothing is left for it.
    """
    spare = np.asarray(carried, dtype=float) - live
    backlog = np.asarray(cut, dtype=float) * live
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(backlog == 0, 0.0, np.where(spare > 0, backlog / spare, np.inf))


def lag(load: Load, round_trip: float, carried: float) -> float:
    """Seconds after which a record is expected on the other side, at the peak.

    1.5 round trips for it to be fetched, 0.5 s until its transaction ends, the time that the records of such a
    transaction take, and 20 ms until its batch is sent. It holds while no less gets through than is written.
    """
    filled = mirror_figures.TRANSACTION.value * (load.peak / carried if carried else math.inf)
    whole = mirror_figures.TRIPS.value * round_trip + mirror_figures.LINGER.value
    return whole + mirror_figures.TRANSACTION.value + filled


def through(load: Load, link: Link, workers: float, brokers: float = math.inf) -> tuple[float, str]:
    """Most bytes per second of records that get through, and what sets it: link, workers, partitions or brokers.

    Of a partition a fetch takes 4 MiB each round trip, so that few partitions are read no faster.

    Args:
        load: What is carried.
        link: What is known of the network.
        workers: What the workers carry.
        brokers: What the brokers of both sides take of it.
    """
    most = {
        "link": math.inf if link.bandwidth is None else link.bandwidth / load.wire,
        "workers": workers,
        "partitions": load.partitions * mirror_figures.FETCH.value / link.round_trip,
        "brokers": brokers,
    }
    least = min(most, key=lambda name: most[name])
    return most[least], least


def _taken_by_brokers(load: Load, source: DatacenterPlan, target: DatacenterPlan) -> float:
    """What brokers take of it at most: the peak over the fullest of their limits on rates, with a failure present."""
    fullest = max(
        (
            used
            for plan in (source, target)
            for name, used in plan.brokers.utilisation.items()
            if name in RATES
        ),
        default=0.0,
    )
    return load.peak / fullest if fullest else math.inf


def heap(load: Load, tasks: int, count: int, directions: int = 1) -> float:
    """Bytes of heap that each worker needs, with the tasks of a lost one where there are several.

    256 MiB and, for each task, what it has fetched and not worked on (of each broker one answer, of 4 MiB at most, and of
    each of its partitions as much at most), 32 MiB that wait to be sent, and 30 MB that wait to be committed.

    Args:
        load: What is to be carried.
        tasks: Tasks of all workers for a direction.
        count: Workers.
        directions: Datacenters that they read from at a time, all of which are taken to be as this one.
    """
    mine = math.ceil(load.partitions / tasks)
    fetched = min(load.brokers * mirror_figures.FETCHED.value, mine * mirror_figures.FETCH.value)
    task = fetched + mirror_figures.SENT.value + mirror_figures.KEPT.value
    return mirror_figures.HEAP.value + math.ceil(directions * tasks / max(count - 1, 1)) * task


def room(memory: Floats | float) -> Floats:
    """Bytes of heap that workers have, by their memory."""
    return np.minimum(np.asarray(memory) * mirror_figures.HEAP_SHARE.value, mirror_figures.MOST_HEAP.value)


def add(
    environment: Environment,
    target: Datacenter,
    planned: DatacenterPlan,
    sources: Sequence[tuple[DatacenterPlan, Load]],
    held: LockedDatacenter | None,
) -> tuple[DatacenterPlan, Infeasible | None]:
    """A datacenter's plan with its workers and where they read, and what is too little for them, if anything.

    Args:
        environment: With `mirroring`.
        target: The datacenter that workers write to.
        planned: Its plan.
        sources: The plans of those that they read in, each with what they carry from there.
        held: What the lock holds of the target.

    Raises:
        InvalidSetting: There is no such EC2 type in the region.
    """
    mirroring = environment.mirroring
    if mirroring is None:
        return planned, None
    loads = [load for _, load in sources]
    plan, fleet = _workers(environment, target, loads, held)
    links = tuple(_link(environment, planned, source, load, loads, plan, fleet) for source, load in sources)
    plan = replace(plan, links=links)
    unfit = None
    if target.provider != "local":
        unfit = next(_unfit(environment, target, plan, loads, fleet), None)
    return _priced(replace(planned, mirror=plan), environment.planner.price_discount), unfit


def _link(
    environment: Environment,
    planned: DatacenterPlan,
    source: DatacenterPlan,
    load: Load,
    loads: Sequence[Load],
    plan: MirrorPlan,
    fleet: Fleet,
) -> LinkPlan:
    """One direction, beside what the same workers carry from elsewhere."""
    mirroring = environment.mirroring
    if mirroring is None:
        raise ValueError("nothing is mirrored")
    link = mirroring.link(source.name, planned.name)
    runs = mirroring.mode == "active-active" or source.name == (
        mirroring.primary or environment.datacenters[0].name
    )
    elsewhere = beside(load, loads)
    by_workers = min(
        max(0.0, float(fleet.worked(load)) - elsewhere), float(by_tasks(load, np.array(float(plan.tasks))))
    )
    carried, least = through(load, link, by_workers, _taken_by_brokers(load, source, planned))
    needed = load.peak * load.wire
    behind = lag(load, link.round_trip, carried)
    caught_up = float(drain(CUT, load.live, carried))
    return LinkPlan(
        source=source.name,
        runs=runs,
        round_trip=link.round_trip,
        live=load.live,
        peak=load.peak,
        needed=needed,
        bandwidth=link.bandwidth,
        utilisation=None if link.bandwidth is None else needed / link.bandwidth,
        carried=carried,
        least=least,
        lag=behind,
        lag_after_loss=behind + mirror_figures.REBALANCE.value if plan.count > 1 else None,
        drain=caught_up if math.isfinite(caught_up) else None,
        monthly_usd=_crossing(source, planned, load),
    )


def _crossing(source: DatacenterPlan, target: DatacenterPlan, load: Load) -> float | None:
    """US dollars a month for what leaves the source's region, in records, as traffic between zones is priced."""
    if source.region is None or source.region == target.region:
        return None
    usd = catalogue.load(source.region).cross_region_usd_per_gib
    return round(load.live * SECONDS_PER_MONTH / catalogue.GIB * usd, 2)


def _priced(planned: DatacenterPlan, discount: float) -> DatacenterPlan:
    """The plan with the price of its workers."""
    mirror, cost = planned.mirror, planned.cost
    if mirror is None or planned.region is None or cost.monthly_usd is None:
        return planned
    shapes = catalogue.load(planned.region)
    hourly = float(shapes.usd_per_hour[shapes.names.index(mirror.instance_type or "")])
    usd = round(mirror.count * hourly * HOURS_PER_MONTH * (1 - discount), 2)
    monthly = round(cost.monthly_usd + usd, 2)
    parts = {**cost.parts, "workers": usd}
    return replace(
        planned, cost=replace(cost, parts=parts, monthly_usd=monthly, yearly_usd=round(monthly * 12, 2))
    )


def _workers(
    environment: Environment, target: Datacenter, loads: Sequence[Load], held: LockedDatacenter | None
) -> tuple[MirrorPlan, Fleet]:
    """The workers as they were declared, were decided before, or are the cheapest."""
    wanted = environment.mirroring.workers if environment.mirroring else None
    if wanted is None:
        raise ValueError("nothing is mirrored")
    if target.provider == "aws":
        return _bought(environment, wanted, target, loads, held)
    if target.provider == "hosts":
        hosts = tuple(host for host in target.hosts if host.role == "mirror")
        per_rack, machine = declared.by_rack(hosts, target.racks), declared.least_of(hosts)
    else:
        count = wanted.count or max(1, len(held.mirrors) if held else 0)
        per_rack = ensemble.spread(count, target.racks)
        needed = _heap(loads, _tasks(wanted, count, loads), count)
        memory = wanted.memory or math.ceil(needed / mirror_figures.HEAP_SHARE.value / STEP) * STEP
        machine = declared.Machine(int(figures.LOCAL_CORES.value), memory)
    fleet = Fleet(
        np.array(float(machine.cores)),
        np.array(machine.network or math.inf),
        np.array(float(sum(per_rack.values()))),
    )
    return _made(wanted, loads, fleet, per_rack, None, machine.memory), fleet


def _tasks(wanted: Workers, count: int, loads: Sequence[Load]) -> int:
    """Tasks of all workers for each direction."""
    return wanted.tasks_of(count, _at_once(loads), int(mirror_figures.TASKS.value))


def _at_once(loads: Sequence[Load]) -> int:
    """Datacenters that workers read from at a time."""
    return sum(not load.alone for load in loads) or 1


def _heap(loads: Sequence[Load], tasks: int, count: int) -> float:
    return max(heap(load, tasks, count, _at_once(loads)) for load in loads)


def _made(
    wanted: Workers,
    loads: Sequence[Load],
    fleet: Fleet,
    per_rack: dict[str, int],
    instance_type: str | None,
    memory: float,
) -> MirrorPlan:
    count = int(fleet.count)
    tasks = _tasks(wanted, count, loads)
    return MirrorPlan(
        count=count,
        per_rack=per_rack,
        instance_type=instance_type,
        cores=int(fleet.cores),
        memory=memory,
        tasks=tasks,
        heap=_heap(loads, tasks, count),
        utilisation=fleet.used(loads, float(tasks)),
    )


def _bought(
    environment: Environment,
    wanted: Workers,
    target: Datacenter,
    loads: Sequence[Load],
    held: LockedDatacenter | None,
) -> tuple[MirrorPlan, Fleet]:
    """The cheapest workers that are enough; where none are, the most of the kind that carries most."""
    shapes = catalogue.load(target.region or "")
    named = wanted.instance_type or (held.mirror.instance_type if held and held.mirror else None)
    if named is not None and named not in shapes.names:
        from difflib import get_close_matches

        nearest = get_close_matches(named, shapes.names, n=1, cutoff=0.0)[0]
        raise InvalidSetting(
            ("mirroring", "workers", "instance_type"),
            f"{named} is not in the catalogue for {target.region}",
            f"did you mean {nearest}? or leave it out, and the planner decides",
        )
    usable = shapes.offered & (shapes.vcpus >= ensemble.FEWEST_PROCESSORS)
    if named is not None:
        usable = np.array([name == named for name in shapes.names])
    kept = shapes.only(usable)
    fewest = max(USUAL, len(held.mirrors) if held else 0)
    counts = np.array([float(wanted.count)]) if wanted.count else np.arange(float(fewest), MOST + 1)
    fleet = Fleet(kept.vcpus[:, None], kept.network[:, None], counts[None, :])
    each = [_tasks(wanted, int(count), loads) for count in counts]
    tasks = np.array([each], dtype=float)
    carried = np.minimum(
        fleet.worked(loads[0], lost=True), np.min([by_tasks(load, tasks) for load in loads], axis=0)
    )
    price = kept.usd_per_hour[:, None] * fleet.count
    needs = np.array([_heap(loads, one, int(count)) for one, count in zip(each, counts, strict=True)])
    roomy = room(kept.memory)[:, None] >= needs
    enough = fleet.enough(loads, tasks) & roomy
    if enough.any():
        row, column = np.unravel_index(np.where(enough, price, np.inf).argmin(), price.shape)
    else:
        row, column = np.unravel_index(np.where(roomy, carried, -1.0).argmax(), price.shape)
    chosen = Fleet(kept.vcpus[row], kept.network[row], counts[column])
    per_rack = ensemble.spread(int(counts[column]), target.racks)
    return _made(wanted, loads, chosen, per_rack, kept.names[row], float(kept.memory[row])), chosen


def _unfit(
    environment: Environment, target: Datacenter, plan: MirrorPlan, loads: Sequence[Load], fleet: Fleet
) -> Iterator[Infeasible]:
    """What is too little, the network first: each with the change that fits."""
    ceiling = dict(zip(LIMITS, ceilings_of(environment), strict=True))["network_out"]
    for link in plan.links:
        if (
            link.utilisation is not None
            and link.bandwidth is not None
            and link.utilisation > ceiling * (1 + 1e-12)
        ):
            enough = _rounded(link.needed / ceiling)
            change = (
                f"a link of {format_rate(enough)} from {link.source} to {target.name} in place of "
                f"{format_rate(link.bandwidth)} fits"
            )
            yield _said(target, "mirror_link", link.utilisation / ceiling, change)
    for link, load in zip(plan.links, loads, strict=True):
        read = load.partitions * mirror_figures.FETCH.value / link.round_trip
        if read < load.peak:
            needed = math.ceil(load.peak * link.round_trip / mirror_figures.FETCH.value)
            change = f"{needed:,} partitions in place of {load.partitions:,} fit"
            yield _said(target, "mirror_partitions", load.peak / read if read else math.inf, change)
    yield from _too_small(environment, target, plan, loads, fleet)
    rpo = environment.mirroring.rpo if environment.mirroring else math.inf
    for link in plan.links:
        if link.lag > rpo:
            change = (
                f"an rpo of {format_duration(math.ceil(link.lag))} in place of {format_duration(rpo)} fits"
            )
            yield _said(target, "mirror_lag", link.lag / rpo, change)


def _too_small(
    environment: Environment, target: Datacenter, plan: MirrorPlan, loads: Sequence[Load], fleet: Fleet
) -> Iterator[Infeasible]:
    """What is too little of the workers."""
    if plan.heap > mirror_figures.MOST_HEAP.value:
        fewer = f"more workers than {plan.count}, or fewer tasks than {plan.tasks}"
        change = f"{fewer}, fit: each has {mirror_figures.MOST_HEAP.shown} of heap at most"
        yield _said(target, "mirror_workers", plan.heap / mirror_figures.MOST_HEAP.value, change)
    elif plan.heap > plan.memory * mirror_figures.HEAP_SHARE.value:
        enough = plan.heap / mirror_figures.HEAP_SHARE.value
        change = f"workers with {format_bytes(math.ceil(enough / 2**30) * 2.0**30)} of memory fit"
        yield _said(target, "mirror_workers", enough / plan.memory, change)
    if plan.utilisation > mirror_figures.CEILING.value * (1 + 1e-12):
        over = plan.utilisation / mirror_figures.CEILING.value
        yield _said(target, "mirror_workers", over, _more(environment, loads, fleet))


def _said(target: Datacenter, limit: str, by: float, change: str) -> Infeasible:
    return Infeasible(target.name, limit, by, change, (Relaxation(change),))


def _more(environment: Environment, loads: Sequence[Load], fleet: Fleet) -> str:
    """How many workers of the same kind are enough."""
    wanted = environment.mirroring.workers if environment.mirroring else Workers.default()
    stated, load = wanted.tasks, max(loads, key=lambda one: one.peak)
    counts = np.arange(1.0, MOST + 1)
    more = Fleet(fleet.cores, fleet.network, counts)
    tasks = np.array([float(_tasks(wanted, int(count), loads)) for count in counts])
    enough = more.enough(loads, tasks)
    if enough.any():
        return f"{int(counts[enough.argmax()])} workers in place of {int(fleet.count)}, of the same kind, fit"
    tasks_needed = math.ceil(load.peak / mirror_figures.TASK.value / mirror_figures.CEILING.value)
    if stated and stated < tasks_needed:
        return f"{tasks_needed} tasks in place of {stated} are needed, and workers for them"
    if load.partitions < tasks_needed:
        return f"{tasks_needed} partitions in place of {load.partitions} are needed, for as many tasks"
    return "larger workers are needed, or less to be mirrored"


def _rounded(rate: float) -> float:
    """Up to three digits, so that what is said is enough."""
    unit = 10.0 ** (math.floor(math.log10(rate)) - 2)
    return math.ceil(round(rate / unit, 6)) * unit
