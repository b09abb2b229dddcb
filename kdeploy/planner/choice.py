"""The choice: of all candidates that hold every limit the cheapest, ties by name.

A candidate is a shape with its disks (a row) and a number of brokers (a
position in the counts). Invariant: the set of candidates does not depend on the
demand, more demand only takes candidates away, and no candidate becomes cheaper
with it; so the cost of the choice never falls when demand rises.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray

from kdeploy.planner import ensemble, far, limits, spread, storage
from kdeploy.planner.catalogue import GIB, Floats
from kdeploy.planner.demand import Amount, Demand
from kdeploy.planner.ebs import NOTHING, Bought
from kdeploy.planner.limits import CEILINGS, COLUMNS, LIMIT_OF, REBUILD
from kdeploy.planner.result import LIMITS
from kdeploy.planner.spread import Fleet, Shares
from kdeploy.planner.storage import Candidates
from kdeploy.units import HOURS_PER_MONTH

Rows = NDArray[np.intp]
SECONDS_PER_MONTH: Final = HOURS_PER_MONTH * 3600
MIRROR: Final = "mirror"
"""What leaves the region, among the traffic."""

ALL: Final = slice(None)
SPACE: Final = COLUMNS.index("disk_space")
REBUILDING: Final = [COLUMNS.index(name) for name in REBUILD]
BUSY: Final = [COLUMNS.index(name) for name in ("network_in", "disk_write", "network_out", "single_flow")]
"""What the average load takes of each that a rebuild needs."""


@dataclass(frozen=True, eq=False)
class Field:
    """Everything the choice is made from.

    Attributes:
        demand: What to carry.
        candidates: Shapes with their disks.
        market: Shapes for the coordination nodes.
        coordinators: Coordination nodes where they are given, else None.
        counts: Numbers of brokers to choose from.
        disks: The different numbers of disks; a row of `load` and `partitions` for each.
        disk_row: Each candidate's row in them.
        load: (disks, columns, counts).
        load_from_one: The same from one broker on, as far as the counts go.
        share: How the load is spread, each (disks, counts).
        allowed: By disks, how many of the counts the cluster's own limit allows.
        needed: (candidates, columns), position of the first count at which the limit holds.
        ceilings: By column.
        traffic: Bytes per second that cross zones on average, by what they are for.
        before: What volumes are bought with already.
        coordinator_size: Bytes that a coordination node's volume has already.
        discount: What is paid less for instances and volumes.
    """

    demand: Demand
    candidates: Candidates
    market: ensemble.Market
    coordinators: int | None
    counts: Floats
    disks: Floats
    disk_row: Rows
    load: Floats
    load_from_one: Floats
    share: Shares
    allowed: Rows
    needed: Rows
    ceilings: Floats
    traffic: dict[str, float]
    before: Bought = NOTHING
    coordinator_size: float = 0.0
    discount: float = 0.0

    @property
    def partitions(self) -> Floats:
        """Partitions of the cluster, (disks, counts)."""
        return self.share.partitions

    @cached_property
    def first(self) -> Rows:
        """By candidate, the position of the first count at which every limit holds."""
        position: Rows = self.needed.max(axis=1)
        return position

    @cached_property
    def least_space(self) -> Floats:
        """Bytes that all brokers together have to have at least, by disks.

        A broker holds at least its even share of the copies, so all brokers together at least all copies.
        """
        whole = self.load[:, SPACE] / (self.share.held * self.share.disk_skew)
        copies = np.minimum(self.demand.partition_copies, self.counts)
        return np.asarray((whole * copies).min(axis=1) / self.ceilings[SPACE])

    @cached_property
    def fixed_price(self) -> float:
        """US dollars a month that every candidate costs at least: traffic, and the smallest coordination."""
        replicas = np.array([self.partitions.min() * self.demand.partition_copies])
        nodes = coordinators_at(self, np.zeros(1, dtype=np.intp))
        return sum(self.traffic_parts.values()) + float(coordination_for(self, nodes, replicas)[0])

    @cached_property
    def traffic_parts(self) -> dict[str, float]:
        """US dollars a month for traffic: produce, replication, fetch, and mirror where that leaves the region."""
        shapes = self.candidates.catalogue
        usd = {MIRROR: shapes.cross_region_usd_per_gib}
        return {
            part: rate * (SECONDS_PER_MONTH / GIB * usd.get(part, shapes.cross_zone_usd_per_gib))
            for part, rate in self.traffic.items()
        }

    @cached_property
    def traffic_totals(self) -> dict[str, float]:
        """The same by where it goes, as `Cost.parts` has it."""
        crossed = dict(self.traffic_parts)
        abroad = {"cross_region_traffic": crossed.pop(MIRROR)} if MIRROR in crossed else {}
        return {"cross_zone_traffic": sum(crossed.values()), **abroad}

    def feasible(self) -> NDArray[np.bool_]:
        """Whether any count is enough, by candidate."""
        holds: NDArray[np.bool_] = self.first < self.allowed[self.disk_row]
        return holds

    @cached_property
    def firsts(self) -> tuple[Rows, Rows, Floats]:
        """Candidates for which a count is enough, the position of the first one, and what each then costs."""
        rows = np.flatnonzero(self.feasible())
        return rows, self.first[rows], monthly_price(self, rows, self.first[rows])


@dataclass(frozen=True)
class Terms:
    """What is given besides demand and shapes.

    Attributes:
        coordinators: Coordination nodes where they are given, else None.
        before: What volumes are bought with already.
        coordinator_size: Bytes that a coordination node's volume has already.
        discount: What is paid less for instances and volumes.
    """

    coordinators: int | None = None
    before: Bought = NOTHING
    coordinator_size: float = 0.0
    discount: float = 0.0


@dataclass(frozen=True)
class Choice:
    """A candidate: a row and a position in the counts."""

    row: int
    position: int


def field(
    demand: Demand, candidates: Candidates, market: ensemble.Market, counts: Floats, terms: Terms
) -> Field:
    """Work out loads and what each candidate needs.

    Args:
        demand: What to carry; of ranges the middle.
        candidates: Shapes with their disks.
        market: Shapes for coordination nodes.
        counts: Numbers of brokers to choose from, rising by one.
        terms: What is given.
    """
    disks = np.array([disks for disks, _ in candidates.by_disks])
    ceilings = limits.by_column(demand.ceilings)
    everything = np.arange(1.0, counts[-1] + 1)
    fleet = Fleet.even(_with_its_group(everything, demand.racks), demand.racks)
    share = spread.shares(demand, fleet, disks)
    load = limits.of_shares(demand, share)
    load = np.maximum.accumulate(load[..., ::-1], axis=-1)[..., ::-1]
    mine = slice(int(counts[0]) - 1, len(everything))
    share = Shares(*(value[:, mine] for value in vars(share).values()))
    return Field(
        demand,
        candidates,
        market,
        terms.coordinators,
        counts,
        disks,
        candidates.disk_row,
        load[..., mine],
        load[..., : mine.stop],
        share,
        limits.allowed(demand, share.partitions),
        candidates.required(load[..., mine], ceilings),
        ceilings,
        crossing(demand),
        terms.before,
        terms.coordinator_size,
        terms.discount,
    )


def _with_its_group(counts: Floats, racks: int) -> Floats:
    """Counts to the end of the last one's group, up to the next that fills the racks evenly.

    A load can rise with one more broker only within a group: where the racks are even again it is
    lower than anywhere before.
    """
    last = -(-counts[-1] // racks) * racks
    return np.append(counts, np.arange(counts[-1] + 1, last + 1))


def choose(space: Field) -> Choice | None:
    """The cheapest candidate that holds every limit, or None.

    The first count that holds is nearly always a shape's cheapest, but not always: each broker
    brings free throughput, and sizes are rounded. So every greater count is looked at that could
    still undercut the best of the first ones: instances and space alone have to cost less.
    """
    rows, positions, prices = space.firsts
    if not len(rows):
        return None
    more_rows, more_positions = greater_counts(space, rows, positions, prices.min())
    if len(more_rows):
        rows, positions = np.append(rows, more_rows), np.append(positions, more_positions)
        prices = np.append(prices, monthly_price(space, more_rows, more_positions))
    cents = np.round(prices, 2)
    best = np.lexsort((positions, rows, cents))[0]  # rows are in the order of names
    return Choice(int(rows[best]), int(positions[best]))


def floor_price(space: Field, rows: Rows, stored: Floats | float = 0.0) -> Floats:
    """What candidates cost at least beside instances: traffic, coordination, and space.

    Args:
        space: What the choice is made from.
        rows: Candidates.
        stored: Bytes that all brokers together have to have, where that is more than the demand's own.
    """
    chosen = space.candidates
    per_byte = chosen.kind.usd_per_gib * (1 - space.discount) / GIB
    volumes = np.maximum(space.least_space[space.disk_row[rows]], stored) * per_byte
    return np.asarray(np.where(chosen.local[rows], 0.0, volumes) + space.fixed_price)


def least_price(space: Field, brokers: float) -> Floats:
    """What every candidate costs at least with so many brokers or more."""
    rows = np.arange(len(space.candidates.disks))
    held = space.least_space[space.disk_row] / space.candidates.capacity[:, SPACE]
    each = space.candidates.catalogue.usd_per_hour * HOURS_PER_MONTH * (1 - space.discount)
    return np.asarray(floor_price(space, rows) + np.maximum(held, brokers) * each)


def greater_counts(space: Field, rows: Rows, positions: Rows, best: float) -> tuple[Rows, Rows]:
    """Candidates with more brokers than the first that holds which could cost less than the best.

    Args:
        space: What the choice is made from.
        rows: Candidates.
        positions: The first count at which each holds.
        best: The price to undercut.
    """
    each = space.candidates.catalogue.usd_per_hour[rows] * HOURS_PER_MONTH * (1 - space.discount)
    most = np.maximum((best - floor_price(space, rows)) / each, 0.0)
    last = np.searchsorted(space.counts, most, side="right") - 1
    last = np.minimum(last, space.allowed[space.disk_row[rows]] - 1)
    extra = np.maximum(last - positions, 0)
    more_rows = np.repeat(rows, extra)
    offsets = np.arange(extra.sum()) - np.repeat(np.cumsum(extra) - extra, extra)
    more_positions = np.repeat(positions, extra) + 1 + offsets
    if space.demand.copies > 1:
        whole = space.counts[more_positions] % space.demand.racks == 0
        more_rows, more_positions = more_rows[whole], more_positions[whole]
    return more_rows, more_positions


def load_at(space: Field, rows: Rows, positions: Rows) -> Floats:
    """Loads of candidates, (columns, candidates)."""
    return space.load[space.disk_row[rows], :, positions].T


def buy_at(space: Field, rows: Rows, positions: Rows) -> Bought:
    """What each EBS volume of candidates has to be."""
    return buy_for(space, load_at(space, rows, positions), rows)


def buy_for(space: Field, load: Floats, rows: Rows) -> Bought:
    """What each EBS volume has to be for a load, (columns, candidates).

    `storage.buy` has kdeploy's own ceilings; other ones are a load that is as much greater.
    """
    scaled = load * (CEILINGS / space.ceilings)[:, None]
    return storage.buy(space.candidates.kind, scaled, space.candidates.disks[rows], space.before)


def replicas_at(space: Field, rows: Rows, positions: Rows) -> Floats:
    """Partition replicas of the whole cluster."""
    return np.ceil(space.partitions[space.disk_row[rows], positions] * space.demand.partition_copies)


def coordinators_at(space: Field, positions: Rows) -> Floats:
    """Coordination nodes."""
    if space.coordinators is not None:
        return np.full(len(positions), float(space.coordinators))
    return ensemble.wanted(space.counts[positions])


def coordination_price(space: Field, rows: Rows, positions: Rows) -> Floats:
    """US dollars a month for the coordination nodes and their volumes."""
    return coordination_for(space, coordinators_at(space, positions), replicas_at(space, rows, positions))


def coordination_for(space: Field, nodes: Floats, replicas: Floats) -> Floats:
    """The same for so many nodes and partition replicas."""
    price = ensemble.monthly(
        space.candidates.catalogue, space.market, nodes, replicas, space.coordinator_size
    )
    return price * (1 - space.discount)


def price_parts(space: Field, rows: Rows, positions: Rows, bought: Bought | None = None) -> dict[str, Floats]:
    """US dollars a month, by part; all but the traffic, which no candidate changes, is `_machines`.

    brokers: count × hourly price × 730 h. volumes: count × disks × price of a volume, nothing for
    local disks. coordination: nodes and their volumes. All three less the discount. cross-zone
    and cross-region traffic: see `crossing`.
    """
    parts = _machines(space, rows, positions, bought)
    return parts | {name: np.full(len(rows), usd) for name, usd in space.traffic_totals.items()}


def monthly_price(space: Field, rows: Rows, positions: Rows, bought: Bought | None = None) -> Floats:
    """US dollars a month of candidates."""
    parts = _machines(space, rows, positions, bought)
    price = parts["brokers"] + parts["volumes"] + parts["coordination"]
    for usd in space.traffic_totals.values():
        price = price + usd
    return price


def _machines(space: Field, rows: Rows, positions: Rows, bought: Bought | None) -> dict[str, Floats]:
    chosen = space.candidates
    counts = space.counts[positions]
    volume = chosen.kind.monthly_usd(bought or buy_at(space, rows, positions))
    paid = 1 - space.discount
    return {
        "brokers": counts * chosen.catalogue.usd_per_hour[rows] * (HOURS_PER_MONTH * paid),
        "volumes": np.where(chosen.local[rows], 0.0, counts * chosen.disks[rows] * volume * paid),
        "coordination": coordination_price(space, rows, positions),
    }


def crossing(demand: Demand) -> dict[str, float]:
    """Bytes per second that cross zones on average, clients being spread evenly over the zones.

    produce: rate × (1 - 1 ÷ zones). replication: rate × (copies - Σ k² ÷ copies), with k the copies
    in each zone. fetch: rate × fan-out × (1 - 1 ÷ zones) from leaders; where consumers read from the
    nearest copy, × max(0, 1 - copies ÷ zones): the share of zones that have no copy. produce counts what
    producers send, before topics compress it anew. mirror, where it goes to another region, is not fetched
    over zones: all of it leaves the region; of three datacenters and more what goes to those in this region is. A datacenter that stands by sends nothing to be mirrored.
    """
    apart = 1 - 1 / demand.racks
    remote = max(0.0, 1 - demand.copies / demand.racks) if demand.follower_fetching else apart
    fetched = demand.rate * demand.fan_out
    leaving, staying = demand.usual or (float(demand.leaves_region), float(not demand.leaves_region))
    abroad = _mean(demand.mirrored_out * leaving) if leaving and demand.sends else 0.0
    if demand.sends and staying:
        fetched = fetched + demand.mirrored_out * staying
    return {
        "produce": _mean(demand.average * demand.arriving * apart),
        "replication": _mean(demand.average * _replicated(demand)),
        "fetch": _mean(fetched * remote),
        **({MIRROR: abroad} if abroad else {}),
    }


def _replicated(demand: Demand) -> Amount:
    """Copies of a byte that are sent to another zone than the leader's."""
    whole, rest = divmod(demand.copies, demand.racks)
    together = (demand.racks - rest) * whole**2 + rest * (whole + 1) ** 2
    return (demand.copies - together / demand.copies) * (demand.byte_copies / demand.copies)


def _mean(amount: Amount) -> float:
    return amount if isinstance(amount, float) else float(np.mean(amount))


def ratios(space: Field, position: int, rows: Rows | slice = ALL) -> Floats:
    """Load over usable capacity (its ceiling counted in) of candidates at one count, (candidates, columns)."""
    usable = space.candidates.capacity[rows] * space.ceilings
    return space.load[:, :, position][space.disk_row[rows]] / usable


def capacity_at(space: Field, rows: Rows, positions: Rows, bought: Bought | None = None) -> Floats:
    """Capacities of candidates with their volumes as they are bought, (candidates, columns)."""
    capacity = space.candidates.capacity[rows]
    ebs = ~space.candidates.local[rows]
    if not ebs.any():
        return capacity
    bought = bought or buy_at(space, rows, positions)
    disks = space.candidates.disks[rows]
    throughput, size = bought.throughput * disks, bought.size * disks
    given = {
        "disk_write": throughput,
        "disk_throughput": np.minimum(capacity[:, COLUMNS.index("disk_throughput")], throughput),
        "disk_space": size,
    }
    if not space.candidates.kind.sequential:
        iops = bought.iops * disks
        given["disk_iops"] = np.minimum(capacity[:, COLUMNS.index("disk_iops")], iops)
    for name, values in given.items():
        column = COLUMNS.index(name)
        capacity[ebs, column] = values[ebs]
    return capacity


def utilisations(
    space: Field, rows: Rows, positions: Rows, bought: Bought | None = None
) -> list[dict[str, float]]:
    """Load over capacity of candidates, with their volumes as they are bought; only limits that apply.

    Of `rebuild` it is the time it takes over the objective.
    """
    load, capacity = load_at(space, rows, positions).T, capacity_at(space, rows, positions, bought)
    ratios = load / capacity
    rebuilds = _rebuild_time(space, load, capacity) / space.demand.rebuild_time
    found = []
    for one, own, rebuild in zip(
        ratios.tolist(), np.isfinite(capacity).tolist(), rebuilds.tolist(), strict=True
    ):
        used: dict[str, float] = {limit: one[i] for i, limit in enumerate(LIMITS[:-1]) if own[i]}
        if own[REBUILDING[0]]:
            used[LIMITS[-1]] = rebuild
        found.append(used)
    return found


def rebuild_time(space: Field, rows: Rows, positions: Rows) -> Floats:
    """Seconds to fill a lost broker's local disks again: the slowest of its network, disks, sources and connections.

    Each is what has to be moved over what the average load leaves of it; 0 where nothing is rebuilt.
    """
    return _rebuild_time(space, load_at(space, rows, positions).T, space.candidates.capacity[rows])


def _rebuild_time(space: Field, load: Floats, capacity: Floats) -> Floats:
    """The same for loads and capacities, (candidates, columns)."""
    demand, rebuilding = space.demand, load[:, REBUILDING]
    average = load[:, BUSY] * (demand.average / demand.produced)
    average[:, -1] *= far.connection(demand.round_trip, demand.socket_buffer)
    average[rebuilding == 0] = 0.0
    spare = np.maximum(capacity[:, REBUILDING] - average, 1e-9)
    return np.asarray(((rebuilding - average) * demand.rebuild_time / spare).max(axis=1))


def required(space: Field, choice: Choice) -> dict[str, int]:
    """The least brokers each limit alone would need with this shape; only limits that apply.

    It is counted from one broker on, so that what the replication factor or the racks add can be told
    apart, to the count that is chosen, with which all hold.
    """
    capacity = space.candidates.capacity[[choice.row]]
    load = space.load_from_one[space.disk_row[choice.row], :, : int(space.counts[choice.position])]
    return needs(load, capacity, space.ceilings)


def needs(load: Floats, capacity: Floats, ceilings: Floats) -> dict[str, int]:
    """The least brokers that each limit alone needs, where any number does; only limits that apply.

    Args:
        load: (columns, counts), of 1, 2, 3 ... brokers.
        capacity: (1, columns).
        ceilings: By column.
    """
    first = limits.required(load, capacity, ceilings)[0]
    found: dict[str, int] = {}
    for column, limit in enumerate(LIMIT_OF):
        if np.isfinite(capacity[0, column]):
            found[limit] = max(found.get(limit, 0), int(first[column]) + 1)
    return {limit: count for limit, count in found.items() if count <= load.shape[1]}
