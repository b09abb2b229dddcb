"""The choice: of all candidates that hold every limit the cheapest, ties by name.

A candidate is a shape with its disks (a row) and a number of brokers (a
position in the counts). Invariant: the set of candidates does not depend on the
demand, more demand only takes candidates away, and no candidate becomes cheaper
with it; so the cost of the choice never falls when demand rises.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from kdeploy.planner import ensemble, limits, storage
from kdeploy.planner.catalogue import GIB, Floats
from kdeploy.planner.demand import Demand
from kdeploy.planner.ebs import NOTHING, Bought
from kdeploy.planner.limits import CEILINGS, Fleet
from kdeploy.planner.result import LIMITS
from kdeploy.planner.storage import Candidates
from kdeploy.units import HOURS_PER_MONTH

Rows = NDArray[np.intp]
SECONDS_PER_MONTH: Final = HOURS_PER_MONTH * 3600
SPACE: Final = LIMITS.index("disk_space")
PARTITIONS: Final = LIMITS.index("partitions")


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
        load: (disks, limits, counts).
        partitions: (disks, counts).
        allowed: By disks, how many of the counts the cluster's own limit allows.
        needed: (candidates, limits), position of the first count at which the limit holds.
        before: What volumes are bought with already.
        coordinator_size: Bytes that a coordination node's volume has already.
    """

    demand: Demand
    candidates: Candidates
    market: ensemble.Market
    coordinators: int | None
    counts: Floats
    disks: Floats
    disk_row: Rows
    load: Floats
    partitions: Floats
    allowed: Rows
    needed: Rows
    before: Bought = NOTHING
    coordinator_size: float = 0.0

    @property
    def first(self) -> Rows:
        """By candidate, the position of the first count at which every limit holds."""
        position: Rows = self.needed.max(axis=1)
        return position

    def feasible(self) -> NDArray[np.bool_]:
        """Whether any count is enough, by candidate."""
        holds: NDArray[np.bool_] = self.first < self.allowed[self.disk_row]
        return holds


@dataclass(frozen=True)
class Choice:
    """A candidate: a row and a position in the counts."""

    row: int
    position: int


def field(
    demand: Demand,
    candidates: Candidates,
    market: ensemble.Market,
    coordinators: int | None,
    counts: Floats,
    before: Bought = NOTHING,
) -> Field:
    """Work out loads and what each candidate needs.

    Args:
        demand: What to carry.
        candidates: Shapes with their disks.
        market: Shapes for coordination nodes.
        coordinators: Coordination nodes where they are given.
        counts: Numbers of brokers to choose from, rising.
        before: What volumes are bought with already.
    """
    disks, disk_row = np.unique(candidates.disks, return_inverse=True)
    everything = Fleet.even(np.arange(1.0, counts[-1] + 1), demand.racks)
    load = limits.loads(demand, everything, disks)[:, :, counts.astype(int) - 1]
    partitions = limits.shares(demand, Fleet.even(counts, demand.racks), disks).partitions
    needed = np.empty((len(candidates.disks), len(LIMITS)), dtype=np.intp)
    for row in range(len(disks)):
        mine = disk_row == row
        needed[mine] = limits.required(load[row], candidates.capacity[mine])
    allowed = np.array([limits.allowed(demand, one) for one in partitions])
    return Field(
        demand,
        candidates,
        market,
        coordinators,
        counts,
        disks,
        disk_row,
        load,
        partitions,
        allowed,
        needed,
        before,
    )


def choose(space: Field) -> Choice | None:
    """The cheapest candidate that holds every limit, or None.

    The first count that holds is nearly always a shape's cheapest, but not always: each broker
    brings free throughput, and sizes are rounded. So every greater count is looked at that could
    still undercut the best of the first ones: instances and space alone have to cost less.
    """
    rows = np.flatnonzero(space.feasible())
    if not len(rows):
        return None
    positions = space.first[rows]
    prices = monthly_price(space, rows, positions)
    more_rows, more_positions = _greater_counts(space, rows, positions, prices.min())
    rows, positions = np.append(rows, more_rows), np.append(positions, more_positions)
    prices = np.append(prices, monthly_price(space, more_rows, more_positions))
    cents = np.round(prices, 2)
    best = np.lexsort((positions, rows, cents))[0]  # rows are in the order of names
    return Choice(int(rows[best]), int(positions[best]))


def _greater_counts(space: Field, rows: Rows, positions: Rows, best: float) -> tuple[Rows, Rows]:
    chosen = space.candidates
    each = chosen.catalogue.usd_per_hour[rows] * HOURS_PER_MONTH
    stored = (space.load[0, SPACE] * space.counts).min() / CEILINGS[SPACE] / GIB * chosen.kind.usd_per_gib
    floor = np.where(chosen.local[rows], 0.0, stored)
    most = np.maximum((best - floor) / each, 0.0)
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
    """Loads of candidates, (limits, candidates)."""
    return space.load[space.disk_row[rows], :, positions].T


def buy_at(space: Field, rows: Rows, positions: Rows) -> Bought:
    """What each EBS volume of candidates has to be."""
    load = load_at(space, rows, positions)
    return storage.buy(space.candidates.kind, load, space.candidates.disks[rows], space.before)


def replicas_at(space: Field, rows: Rows, positions: Rows) -> Floats:
    """Partition replicas of the whole cluster."""
    return space.partitions[space.disk_row[rows], positions] * space.demand.copies


def coordinators_at(space: Field, positions: Rows) -> Floats:
    """Coordination nodes."""
    if space.coordinators is not None:
        return np.full(len(positions), float(space.coordinators))
    return ensemble.wanted(space.counts[positions])


def price_parts(space: Field, rows: Rows, positions: Rows) -> dict[str, Floats]:
    """US dollars a month, by part.

    brokers: count × hourly price × 730 h. volumes: count × disks × price of a volume, nothing for
    local disks. coordination: nodes and their volumes. cross-zone traffic: see `crossing`.
    """
    chosen = space.candidates
    catalogue = chosen.catalogue
    counts = space.counts[positions]
    volume = chosen.kind.monthly_usd(buy_at(space, rows, positions))
    per_byte = SECONDS_PER_MONTH / GIB * catalogue.cross_zone_usd_per_gib
    traffic = space.demand.rate * crossing(space.demand) * per_byte
    nodes, replicas = coordinators_at(space, positions), replicas_at(space, rows, positions)
    return {
        "brokers": counts * catalogue.usd_per_hour[rows] * HOURS_PER_MONTH,
        "volumes": np.where(chosen.local[rows], 0.0, counts * chosen.disks[rows] * volume),
        "coordination": ensemble.monthly(catalogue, space.market, nodes, replicas, space.coordinator_size),
        "cross_zone_traffic": np.full(len(rows), traffic),
    }


def monthly_price(space: Field, rows: Rows, positions: Rows) -> Floats:
    """US dollars a month of candidates."""
    parts = price_parts(space, rows, positions)
    return np.asarray(sum(parts.values(), np.zeros(len(rows))))


def crossing(demand: Demand) -> float:
    """Bytes that cross zones per byte produced, clients being spread evenly and reading from leaders.

    Produce and fetch: (1 + fan-out) × (1 - 1 ÷ zones). Replication: copies - Σ k² ÷ copies, with k
    the copies in each zone.
    """
    whole, rest = divmod(demand.copies, demand.racks)
    together = (demand.racks - rest) * whole**2 + rest * (whole + 1) ** 2
    replicated = demand.copies - together / demand.copies
    return (1 + demand.fan_out) * (1 - 1 / demand.racks) + replicated


def ratios(space: Field, position: int) -> Floats:
    """Load over usable capacity (its ceiling counted in) of every candidate at one count, (candidates, limits)."""
    usable = space.candidates.capacity * CEILINGS
    return space.load[space.disk_row, :, position] / usable


def utilisation(space: Field, choice: Choice) -> dict[str, float]:
    """Load over capacity of a candidate, with its volumes as they are bought; only limits that apply."""
    row, position = np.array([choice.row]), np.array([choice.position])
    load = load_at(space, row, position)[:, 0]
    capacity: dict[str, float] = dict(
        zip(LIMITS, space.candidates.capacity[choice.row].tolist(), strict=True)
    )
    if not space.candidates.local[choice.row]:
        bought, disks = buy_at(space, row, position), float(space.candidates.disks[choice.row])
        capacity["disk_write"] = float(bought.throughput[0]) * disks
        capacity["disk_throughput"] = min(capacity["disk_throughput"], capacity["disk_write"])
        if not space.candidates.kind.sequential:
            capacity["disk_iops"] = min(capacity["disk_iops"], float(bought.iops[0]) * disks)
        capacity["disk_space"] = float(bought.size[0]) * disks
    shares = zip(LIMITS, load.tolist(), strict=True)
    return {limit: one / capacity[limit] for limit, one in shares if np.isfinite(capacity[limit])}


def required(space: Field, choice: Choice) -> dict[str, int]:
    """The least brokers each limit alone would need with this shape; only limits that apply.

    It is counted over every number of brokers from one, so that what the replication factor or the
    racks add can be told apart.
    """
    capacity = space.candidates.capacity[choice.row]
    everything = np.arange(1.0, space.counts[-1] + 1)
    fleet = Fleet.even(everything, space.demand.racks)
    load = limits.loads(space.demand, fleet, space.candidates.disks[[choice.row]])[0]
    first = limits.required(load, capacity[None, :])[0]
    return {
        limit: int(first[i]) + 1
        for i, limit in enumerate(LIMITS)
        if np.isfinite(capacity[i]) and first[i] < len(everything)
    }
