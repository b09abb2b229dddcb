"""What the planner answers: the Plan, a frozen value that round-trips through JSON.

Invariant: a plan explains itself. Every ratio, price and assumption that led to
it is in it, under limit names from one closed list; "nothing fits" is a plan
too, with `feasible` false, the binding limit and the nearest relaxation.
The JSON is the contract `kdeploy.plan/v1`: fields may be added, none changed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final, get_args

from kdeploy.spec.planning import LimitName

PLAN_SCHEMA: Final = "kdeploy.plan/v1"

Limit = LimitName
"""The closed list of limits. A later model may append to it, never rename."""

LIMITS: Final[tuple[Limit, ...]] = get_args(Limit)

MIRROR_LIMITS: Final = ("mirror_link", "mirror_partitions", "mirror_workers", "mirror_lag")
"""What may be too little for mirroring, beside the limits of brokers: the network between two datacenters, partitions
to fetch from over that distance, the workers, and the objective for how far behind the mirror may be."""


@dataclass(frozen=True)
class Volumes:
    """The data volumes of one broker.

    Attributes:
        type: gp3, gp2, io2, st1, local-nvme, or disk where a person declared it.
        count: Volumes per broker.
        size: Bytes of each.
        iops: Operations per second provisioned for each; None where not sold by it.
        throughput: Bytes per second provisioned for each; None where unknown.
    """

    type: str
    count: int
    size: float
    iops: float | None
    throughput: float | None


@dataclass(frozen=True)
class BrokerPlan:
    """The brokers of one datacenter.

    Attributes:
        count: Brokers in all.
        per_rack: Brokers in each rack; counts differ by at most one.
        instance_type: EC2 type; None without a cloud.
        cores: Processor cores of one broker.
        memory: Bytes of memory of one broker.
        volumes: Data volumes per broker.
        utilisation: Load over capacity for each limit, with the declared failure
            present and at the peak; only limits that apply are there.
        bottleneck: The limit that sets the count: it needs the most brokers.
        required: The least brokers each limit alone would need.
        ceilings: The most of each limit that a plan uses; every utilisation is at most this.
        rebuild_time: Seconds to fill a lost broker's local disks again; None where its volumes are
            reattached, or nothing can be rebuilt.
    """

    count: int
    per_rack: dict[str, int]
    instance_type: str | None
    cores: int
    memory: float
    volumes: tuple[Volumes, ...]
    utilisation: dict[str, float]
    bottleneck: str | None
    required: dict[str, int]
    ceilings: dict[str, float] = field(default_factory=dict)
    rebuild_time: float | None = None


@dataclass(frozen=True)
class CoordinationPlan:
    """The ZooKeeper ensemble or the KRaft controllers of one datacenter.

    Attributes:
        kind: zookeeper or kraft.
        nodes: How many; odd.
        per_rack: Nodes in each rack.
        instance_type: EC2 type; None without a cloud.
        cores: Processor cores of one node.
        memory: Bytes of memory of one node.
        volumes: Data volumes per node.
    """

    kind: str
    nodes: int
    per_rack: dict[str, int]
    instance_type: str | None
    cores: int
    memory: float
    volumes: tuple[Volumes, ...] = ()


@dataclass(frozen=True)
class LinkPlan:
    """One direction of mirroring. Rates of records are those that brokers count, at the horizon's end.

    Attributes:
        source: The datacenter that is read from.
        runs: Whether anything is mirrored this way now; else it is after a failover.
        round_trip: Seconds between the two.
        live: Bytes per second of records on average.
        peak: The same in the busiest minutes.
        needed: Bytes per second on the network at the peak.
        bandwidth: Bytes per second that the network carries; None where nothing was said, and so enough.
        utilisation: `needed` over `bandwidth`; None likewise.
        carried: Most bytes per second of records that get through, with all workers running.
        least: What sets that: link, workers, partitions or brokers.
        lag: Seconds after which a record is expected on the other side, at the peak, while `carried` is no less.
        lag_after_loss: The same of records that a worker was to carry which has just been lost; None where there is
            no other one, and they wait until it is back.
        drain: Seconds until all is on the other side again after a cut of one hour; None where it never is.
        monthly_usd: US dollars a month for what crosses; None where that has no price.
    """

    source: str
    runs: bool
    round_trip: float
    live: float
    peak: float
    needed: float
    bandwidth: float | None
    utilisation: float | None
    carried: float
    least: str
    lag: float
    lag_after_loss: float | None
    drain: float | None
    monthly_usd: float | None


@dataclass(frozen=True)
class MirrorPlan:
    """The Kafka Connect workers of one datacenter, which write to it what they read in the other.

    Attributes:
        count: Workers in all.
        per_rack: Workers in each rack.
        instance_type: EC2 type; None without a cloud.
        cores: Processor cores of one worker.
        memory: Bytes of memory of one worker.
        tasks: Most tasks of a direction.
        heap: Bytes of heap that a worker needs, one of the others being lost.
        utilisation: What is to be carried at the peak over what workers carry, one being lost where there are more.
        links: Where from.
    """

    count: int
    per_rack: dict[str, int]
    instance_type: str | None
    cores: int
    memory: float
    tasks: int = 0
    heap: float = 0.0
    utilisation: float = 0.0
    links: tuple[LinkPlan, ...] = ()


@dataclass(frozen=True)
class Cost:
    """What a datacenter costs.

    Attributes:
        monthly_usd: US dollars a month of 730 hours; None where nothing has a price.
        parts: The same by part (brokers, volumes, coordination, cross-zone traffic, ...).
        date: The day of the prices.
        exact: Whether the prices are the published ones of that region, or derived from another's.
        yearly_usd: Twelve times the monthly price.
        discount: What is paid less than the list for instances and volumes, 0 to 1.
        cross_zone_traffic: US dollars a month for it, by produce, replication and fetch.
        catalogue: Which catalogue the types and prices are from; None where nothing has a price.
    """

    monthly_usd: float | None
    parts: dict[str, float]
    date: str | None = None
    exact: bool = False
    catalogue: str | None = None
    yearly_usd: float | None = None
    discount: float = 0.0
    cross_zone_traffic: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Confidence:
    """How sure a plan is, where quantities of the workload are ranges.

    Attributes:
        asked: Probability with which it had to hold.
        fits: Share of the samples in which every limit holds.
        samples: Samples drawn.
        seed: Their seed.
        regret_usd: What it costs a month above the cheapest of the plans shown that holds, on average
            over the samples in which it holds.
        ranges: Both ends of each range, in base units, by its place in the workload.
    """

    asked: float
    fits: float
    samples: int
    seed: int
    regret_usd: float
    ranges: dict[str, tuple[float, float]]


@dataclass(frozen=True)
class DatacenterPlan:
    """One datacenter's part of the plan.

    Attributes:
        name: The datacenter's name.
        provider: Where its nodes come from.
        region: AWS region; None without a cloud.
        partitions: Of all topics, before replication.
        brokers: The brokers.
        coordination: The ZooKeeper ensemble or KRaft controllers.
        cost: What it costs.
        confidence: How sure it is; None where no quantity is a range.
        mirror_consumers: Consumers that mirroring reads with: as stated, or the fewest that are enough;
            None where nothing is mirrored out.
        mirror: The workers that mirror what the other datacenter has; None where nothing is mirrored.
    """

    name: str
    provider: str
    region: str | None
    partitions: int
    brokers: BrokerPlan
    coordination: CoordinationPlan
    cost: Cost
    confidence: Confidence | None = None
    mirror_consumers: int | None = None
    mirror: MirrorPlan | None = None


@dataclass(frozen=True)
class Alternative:
    """A feasible choice that costs more, or one that was rejected and why.

    Attributes:
        datacenter: Whose choice it is.
        instance_type: EC2 type.
        volumes: Data volumes per broker.
        count: Brokers.
        monthly_usd: Price, like `Cost.monthly_usd`.
        reason: Why it was not taken, in a sentence.
        limit: The limit it breaks; None when it is feasible.
        utilisation: As in `BrokerPlan`.
        fits: As `Confidence.fits`; None where no quantity is a range.
        regret_usd: As `Confidence.regret_usd`.
    """

    datacenter: str
    instance_type: str
    volumes: tuple[Volumes, ...]
    count: int
    monthly_usd: float
    reason: str
    limit: str | None = None
    utilisation: dict[str, float] = field(default_factory=dict)
    fits: float | None = None
    regret_usd: float | None = None


@dataclass(frozen=True)
class Assumption:
    """One number the model rests on: its name, value with unit, and source with date."""

    name: str
    value: str
    source: str


@dataclass(frozen=True)
class Relaxation:
    """A change of what was asked for with which a plan fits.

    Attributes:
        change: The change and what then fits, as a sentence.
        monthly_usd: What that costs; None where nothing has a price.
    """

    change: str
    monthly_usd: float | None = None


@dataclass(frozen=True)
class Infeasible:
    """Why nothing fits.

    Attributes:
        datacenter: Where.
        limit: The binding limit.
        by: Load over capacity of that limit in the best candidate (above 1).
        nearest: The nearest relaxation that fits, as a sentence.
        relaxations: Every single change that was tried and fits, the nearest first.
    """

    datacenter: str
    limit: str
    by: float
    nearest: str
    relaxations: tuple[Relaxation, ...] = ()


@dataclass(frozen=True)
class Plan:
    """How much, why, what was rejected, what it costs.

    `comparison` has the cheapest of other kinds (few large, many small, ...) where it was asked for;
    the reason of each is its kind.
    """

    environment: str
    feasible: bool
    datacenters: tuple[DatacenterPlan, ...]
    alternatives: tuple[Alternative, ...] = ()
    rejected: tuple[Alternative, ...] = ()
    assumptions: tuple[Assumption, ...] = ()
    infeasible: tuple[Infeasible, ...] = ()
    comparison: tuple[Alternative, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The plan as JSON values under the contract `kdeploy.plan/v1`."""
        from dataclasses import asdict

        return {"schema": PLAN_SCHEMA, **asdict(self)}

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Plan:
        """Read back what `to_json` wrote, equal to it.

        Raises:
            ValueError: The document is of another schema or does not fit it.
        """
        from pydantic import TypeAdapter

        if document.get("schema") != PLAN_SCHEMA:
            raise ValueError(f"not a {PLAN_SCHEMA} document")
        fields = {key: value for key, value in document.items() if key != "schema"}
        return TypeAdapter(Plan).validate_python(fields)
