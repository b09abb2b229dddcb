"""The reverse of a plan: the greatest produce rate that a given fleet can take.

For each limit the greatest rate at which that limit alone holds; the answer is the
least of them. Loads rise with the rate, so each limit has a bracket of a rate at
which it holds and one at which it does not, and every rate that is tried narrows
the brackets of all limits at once. Where a load is linear the first secant hits.
Invariant: a plan for the answer on the same fleet is feasible, for 1 % more it is not.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from itertools import count
from typing import Any, Final

import numpy as np

from kdeploy.planner import figures, limits, spread
from kdeploy.planner.catalogue import Floats
from kdeploy.planner.declared import fleet_of
from kdeploy.planner.demand import Demand, demand_of
from kdeploy.planner.given import Given
from kdeploy.planner.limits import COLUMNS, LIMIT_OF, REBUILD, by_column
from kdeploy.planner.result import LIMITS, Volumes
from kdeploy.spec.model import Datacenter, Environment

CAPACITY_SCHEMA: Final = "kdeploy.capacity/v1"

SLOWEST: Final = 1e-3
"""Bytes per second at which the search begins; a limit that breaks here does not depend on the rate."""

FASTEST: Final = 1e18
"""Bytes per second at which it ends; a limit that holds here does not depend on the rate."""

PRECISION: Final = 1e-9
"""Width of a bracket over its rate at which the search ends."""

SECANTS: Final = 4
"""Rounds that try straight lines."""

UNBOUND: Final = 1e300
"""Stands for infinity where it divides: a load may be infinite too."""

HOLDS: Final = 1 + 1e-12
"""What a load over usable capacity may be, as `limits.required` has it: rounding is no breach."""

SPACE: Final = COLUMNS.index("disk_space")
MEMORY: Final = COLUMNS.index("memory")
PARTITIONS: Final = COLUMNS.index("partitions")
KEPT: Final = [SPACE, *(COLUMNS.index(name) for name in REBUILD)]
"""Columns that depend on what is kept more than on the rate."""

MOMENT: Final = 1.0
"""Seconds of retention where no retention is asked for: nothing then depends on the usual one."""


@dataclass(frozen=True)
class Question:
    """How full the fleet may get, and what is added for caution.

    Attributes:
        utilisation: The most that is used of each limit, 0 to 1; None for the planner's own ceilings.
        imbalance: Load of the busiest broker over the average; None for the planner's own.
        lagging_consumers: Share of the reads that come from disk; None for the planner's own.
        encrypted: Whether anything is encrypted.
        space: Whether disks have to hold the retention.
    """

    utilisation: float | None = None
    imbalance: float | None = None
    lagging_consumers: float | None = None
    encrypted: bool = True
    space: bool = True

    @property
    def physical(self) -> bool:
        """Whether everything may be used up: what is added for caution is left out then, unless it is stated."""
        return self.utilisation == 1.0

    def applied(self, demand: Demand) -> Demand:
        """The demand with what the question says of caution and encryption."""
        share = self.lagging_consumers
        if share is None and self.physical:
            share = 0.0
        same = demand.ceilings if self.utilisation is None else (self.utilisation,) * len(LIMITS)
        return replace(
            demand,
            ceilings=same,
            imbalance=self.imbalance or (1.0 if self.physical else demand.imbalance),
            lagging=demand.lagging if share is None else share * demand.fan_out * demand.peak,
            clients_encrypt=demand.clients_encrypt and self.encrypted,
            nodes_encrypt=demand.nodes_encrypt and self.encrypted,
        )


@dataclass(frozen=True)
class FleetCapacity:
    """What one datacenter's fleet can take.

    Attributes:
        name: The datacenter.
        feasible: Whether it can take any rate at all.
        throughput: Greatest average produce rate, bytes per second; None where it can take none, or
            where nothing that is known limits it.
        peak: The same in the busiest minutes.
        bottleneck: The limit that sets it, or that breaks at any rate.
        limits: For each limit that applies the greatest average produce rate with which it holds
            alone; None where the limit does not depend on the rate.
        broken: Limits that break at any rate.
        utilisation: Load over capacity of each limit at the answer.
        ceilings: The most of each limit that may be used.
        retention: Seconds that the disks keep records at the answer; None where it is not known.
        partitions: Before replication, at the answer.
        brokers: How many.
        per_rack: Brokers in each rack.
        instance_type, region: In EC2.
        cores, memory, volumes: Of each broker.
    """

    name: str
    feasible: bool
    throughput: float | None
    peak: float | None
    bottleneck: str | None
    limits: dict[str, float | None]
    broken: tuple[str, ...]
    utilisation: dict[str, float]
    ceilings: dict[str, float]
    retention: float | None
    partitions: int
    brokers: int
    per_rack: dict[str, int]
    instance_type: str | None
    region: str | None
    cores: int
    memory: float
    volumes: tuple[Volumes, ...]


@dataclass(frozen=True)
class Capacity:
    """What an environment can take: as much as the weakest of its datacenters, since each carries everything.

    Attributes:
        environment: Its name; None where flags describe the fleet.
        datacenters: In the environment's order.
        assumed: Imbalance, lagging reads and whether caution was left out, as they were used.
    """

    environment: str | None
    datacenters: tuple[FleetCapacity, ...]
    assumed: dict[str, Any]

    @property
    def weakest(self) -> FleetCapacity:
        """The datacenter that sets the answer."""
        return min(
            self.datacenters,
            key=lambda one: (one.feasible, np.inf if one.throughput is None else one.throughput),
        )

    def to_json(self) -> dict[str, Any]:
        """The contract `kdeploy.capacity/v1`."""
        weakest = asdict(self.weakest)
        shared = ("feasible", "throughput", "peak", "bottleneck", "limits")
        return {
            "schema": CAPACITY_SCHEMA,
            "environment": self.environment,
            **{name: weakest[name] for name in shared},
            "datacenters": [asdict(one) for one in self.datacenters],
            "assumed": self.assumed,
            "assumptions": [asdict(one) for one in figures.assumptions()],
        }


def capacity(
    environment: Environment, fleets: tuple[Given, ...], question: Question, name: str | None = None
) -> Capacity:
    """The greatest produce rate that each datacenter's fleet can take.

    Args:
        environment: The workload; its throughput does not matter.
        fleets: One for each of its datacenters.
        question: How full they may get.
        name: The environment's name, where it has one.

    Returns:
        The answer; where not even the slowest rate fits, `feasible` is false.
    """
    pairs = zip(environment.datacenters, fleets, strict=True)
    found = tuple(_capacity(environment, place, fleet, question) for place, fleet in pairs)
    demand = _At(environment, environment.datacenters[0], fleets[0], question).demand(SLOWEST)
    return Capacity(
        name,
        found,
        {
            "imbalance": demand.imbalance,
            "lagging": float(demand.missed / demand.peak),
            "hot_window": None if question.physical else figures.HOT_WINDOW.value,
            "encrypted": demand.nodes_encrypt,
        },
    )


def _capacity(environment: Environment, place: Datacenter, fleet: Given, question: Question) -> FleetCapacity:
    at = _At(environment, place, fleet, question)
    ceilings = at.demand(SLOWEST).ceilings
    usable = fleet.capacity * by_column(ceilings)
    if not question.space:
        usable[KEPT] = np.inf
    usable[MEMORY] = np.inf if question.physical else usable[MEMORY]
    columns = greatest_that_holds(lambda rates: at.excess(rates, usable))
    applies = list(dict.fromkeys(LIMIT_OF[i] for i in np.flatnonzero(np.isfinite(usable)).tolist()))
    rates = {str(limit): float(columns[_of(limit)].min()) for limit in applies}
    bottleneck = min(rates, key=lambda limit: rates[limit])
    rate = rates[bottleneck]
    known = 0 < rate < np.inf
    used = at.load(rate) / np.minimum(fleet.capacity, UNBOUND) if known else np.zeros(len(COLUMNS))
    return FleetCapacity(
        name=fleet.name,
        feasible=rate > 0,
        throughput=rate if known else None,
        peak=rate * environment.workload.peak_factor if known else None,
        bottleneck=bottleneck if rate < np.inf else None,
        limits={limit: value if 0 < value < np.inf else None for limit, value in rates.items()},
        broken=tuple(limit for limit, value in rates.items() if value == 0),
        utilisation={limit: float(used[_of(limit)].max()) for limit in applies if known},
        ceilings={limit: ceilings[LIMITS.index(limit)] for limit in applies},
        retention=at.longest_retention(rate, fleet.capacity[SPACE] * ceilings[LIMITS.index("disk_space")])
        if known
        else None,
        partitions=round(at.partitions(rate if known else SLOWEST)),
        brokers=fleet.count,
        per_rack=fleet.per_rack,
        instance_type=fleet.instance_type,
        region=fleet.region,
        cores=fleet.cores,
        memory=fleet.memory,
        volumes=fleet.volumes,
    )


def _of(limit: str) -> list[int]:
    """The columns of a limit."""
    return [position for position, one in enumerate(LIMIT_OF) if one == limit]


@dataclass(frozen=True)
class _At:
    """What the busiest broker of a fleet is loaded with at a produce rate."""

    environment: Environment
    place: Datacenter
    fleet: Given
    question: Question

    def demand(self, rate: float, retention: float | None = None) -> Demand:
        """The demand at a rate of today: growth is left out, and topics keep their parts of it."""
        workload = self.environment.workload
        changed: dict[str, Any] = {"throughput": rate, "growth": 0.0}
        if retention is None and not self.question.space:
            retention = MOMENT
        if retention is not None:
            changed["retention"] = retention
        own = {} if retention is None else {"retention": retention}
        changed["topics"] = tuple(
            topic.model_copy(update={"throughput": topic.throughput * (rate / workload.produced), **own})
            for topic in workload.topics
        )
        wanted = self.environment.model_copy(update={"workload": workload.model_copy(update=changed)})
        return self.question.applied(demand_of(wanted, self.place, self.fleet.partitions_before))

    def load(self, rate: float, retention: float | None = None) -> Floats:
        """By column."""
        demand = self.demand(rate, retention)
        return limits.loads(demand, fleet_of(self.fleet.per_rack), self.fleet.disks)[0, :, 0]

    def partitions(self, rate: float) -> float:
        share = spread.shares(self.demand(rate), fleet_of(self.fleet.per_rack), self.fleet.disks)
        return float(share.partitions[0, 0])

    def excess(self, rates: Floats, usable: Floats) -> Floats:
        """Load over what may be used, (columns, rates); the cluster's own limit of replicas counts as well."""
        ratios = np.stack([self.load(rate) / np.minimum(usable, UNBOUND) for rate in rates.tolist()], axis=1)
        ratios[np.isinf(usable)] = 0.0
        whole = np.array([self.partitions(rate) for rate in rates.tolist()])
        most = figures.REPLICAS_PER_CLUSTER[self.environment.kafka.coordination]
        copies = self.demand(SLOWEST).partition_copies
        ratios[PARTITIONS] = np.maximum(ratios[PARTITIONS], whole * copies / most)
        return ratios

    def longest_retention(self, rate: float, usable: float) -> float | None:
        """Seconds of records that the disks hold at a rate; None where their size is not known."""
        if not 0 < usable < np.inf:
            return None

        def excess(retentions: Floats) -> Floats:
            space = [self.load(rate, retention)[SPACE] / usable for retention in retentions.tolist()]
            return np.array([space])

        longest = float(greatest_that_holds(excess)[0])
        return longest if np.isfinite(longest) else None


def greatest_that_holds(excess: Callable[[Floats], Floats]) -> Floats:
    """For each row the greatest argument at which it is at most 1, to a relative 1e-9.

    Each round tries, for every row that is not found yet, its bracket's geometric middle; the first
    rounds also the secant with two neighbours at less than the precision, so that a straight line, or
    two of them with a bend, are found at once. Every value narrows every row.

    Args:
        excess: From arguments to (rows, arguments); no row falls where the argument rises.

    Returns:
        By row; 0 where it exceeds 1 already at SLOWEST, infinity where it does not even at FASTEST.
    """
    ends = np.array([SLOWEST, FASTEST])
    first = excess(ends)
    low, high = np.full(len(first), SLOWEST), np.full(len(first), FASTEST)
    at_low, at_high = first[:, 0].copy(), first[:, 1].copy()
    never, always = at_low > HOLDS, at_high <= HOLDS
    for turn in count():
        open_rows = ~never & ~always & (high > low * (1 + PRECISION))
        if not open_rows.any():
            break
        tried = np.sqrt(low[open_rows]) * np.sqrt(high[open_rows])
        if turn < SECANTS:
            straight = _secants(low[open_rows], high[open_rows], at_low[open_rows], at_high[open_rows])
            tried = np.append(tried, straight)
        tried = np.unique(tried)
        values = excess(tried)
        for row in np.flatnonzero(open_rows).tolist():
            holds = values[row] <= HOLDS
            breaks = tried[~holds]
            if len(breaks) and breaks.min() < high[row]:
                high[row] = breaks.min()
                at_high[row] = values[row][tried == high[row]][0]
            good = tried[holds & (tried < high[row])]
            if len(good) and good.max() > low[row]:
                low[row] = good.max()
                at_low[row] = values[row][tried == low[row]][0]
    return np.where(never, 0.0, np.where(always, np.inf, low))


def _secants(low: Floats, high: Floats, at_low: Floats, at_high: Floats) -> Floats:
    """Where the straight lines through the ends of brackets are 1, and just beside, if that is inside."""
    with np.errstate(invalid="ignore"):
        secant = low + (1 - at_low) * (high - low) / (at_high - at_low)
    secant = secant[(secant > low) & (secant < high)]
    near = PRECISION * 0.4
    return np.concatenate([secant * (1 - near), secant, secant * (1 + near)])
