"""What an environment costs a month, by datacenter and part: what its lock says is there, else what would be planned.

Invariant: pure; of an environment without a lock it is what the plan says, part for part. Machines that somebody has
already cost nothing that is known here: that is said, and no zero stands for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from kdeploy.planner import catalogue, locked
from kdeploy.planner.result import DatacenterPlan, Plan, Volumes
from kdeploy.spec.aws import through
from kdeploy.units import HOURS_PER_MONTH, format_bytes, format_usd

if TYPE_CHECKING:
    from kdeploy.planner.catalogue import Catalogue
    from kdeploy.spec.lock import Lock, LockedDatacenter, LockedShape, LockedVolumes
    from kdeploy.spec.model import Datacenter, Environment

COST_SCHEMA: Final = "kdeploy.cost/v1"

NAT_GATEWAY: Final = 0.045 + 0.005
"""US dollars an hour of a NAT gateway and of its public address in us-east-1 (Amazon VPC pricing, NAT gateway and public
IPv4 addresses, 2026-06). Elsewhere it is multiplied as volumes are."""

ENDPOINT: Final = 0.01
"""US dollars an hour of an interface endpoint in one zone, in us-east-1 (AWS PrivateLink pricing: by the endpoint, zone and
hour; infracost's recorded answer of the Price List API has the same, $7.30 for 730 h, both read 2026-11-27). Elsewhere it is
multiplied as volumes are. What goes through it, $0.01 for each GB, is that of sessions, and not in it."""

ENDPOINTS: Final = 2
"""Endpoints that Systems Manager is given in a network of kdeploy's own, in each of its zones (`infra.aws.access`, SERVICES)."""

LOAD_BALANCER: Final = 0.0225
"""US dollars an hour of a network load balancer in us-east-1, and 0.006 an hour for each unit of its capacity, which is 1 GB,
800 new connections a second or 100,000 that are open, whichever is most (Elastic Load Balancing pricing, second-hand:
infracost's recorded answer of the Price List API has $16.42 for 730 h and $0.006, read 2026-11-27; the three from the
same page, recalled). Elsewhere both are multiplied as volumes are. What clients outside carry is not known, so units are
not in it."""

UNIT: Final = 0.006
"""US dollars an hour of such a unit (ibid.)."""

ADDRESS: Final = 0.005
"""US dollars an hour of a public IPv4 address, everywhere (Amazon VPC pricing, public IPv4 addresses, 2026-06): a load
balancer that faces the internet has one in each zone."""

ALARM: Final = 0.10
"""US dollars a month of a CloudWatch alarm of standard resolution in us-east-1 (Amazon CloudWatch pricing; infracost's
recorded answer of the Price List API has the same, both read 2026-11-27), and taken for the same elsewhere. The first ten of
an account are free, which is not counted."""

ALARMS: Final = 2
"""Alarms of each machine, where they are asked for (`infra.aws.alarms`, CHECKS); each of its file systems has one more."""

METRIC: Final = 0.30
"""US dollars a month of a metric of one's own, for the first 10,000 of an account, in us-east-1 (Amazon CloudWatch pricing,
https://aws.amazon.com/cloudwatch/pricing/, read second-hand, 2026-11-27), and taken for the same elsewhere. How full a
file system is makes one. Ten are free, and those beyond 10,000 are cheaper, neither of which is counted."""

REQUESTS: Final = 60 * HOURS_PER_MONTH / 1000 * 0.01
"""US dollars a month of what a machine asks CloudWatch: one PutMetricData a minute, $0.01 for each 1,000 (ibid.). The first
million of an account is free, which is not counted."""

METRICS_ENDPOINTS: Final = 1
"""Endpoints that CloudWatch is given in a network of kdeploy's own, in each of its zones, where there is no other way out
(`infra.aws.access`, MONITORING)."""

TRAFFIC: Final = {"cross_zone_traffic": "cross-zone traffic", "cross_region_traffic": "cross-region traffic"}
"""Parts that follow the workload and not what is there, and what they are called."""

MACHINES: Final = ("brokers", "volumes", "coordination", "workers")
"""Parts that a lock decides."""

YOURS: Final = {
    "local": "processes on this machine, which cost nothing that kdeploy knows of",
    "hosts": "machines that you have, which cost nothing that kdeploy knows of",
}
"""What is said where nothing has a price."""


@dataclass(frozen=True)
class Part:
    """One part of the price.

    Attributes:
        name: brokers, volumes, coordination, workers, root_disks, nat_gateways, endpoints, load_balancer, alarms,
            metrics, cross_zone_traffic or cross_region_traffic.
        what: What it is of, in words.
        monthly_usd: US dollars a month of 730 hours.
    """

    name: str
    what: str
    monthly_usd: float


@dataclass(frozen=True)
class Beside:
    """What a datacenter in AWS has, beside brokers and coordination, that costs by being there.

    Attributes:
        root_disks: GiB of all machines' first disks.
        nat_gateways: NAT gateways, each with a public address.
        endpoints: Interface endpoints, each counted once for each zone that it is in.
        load_balancers: Network load balancers.
        addresses: Public addresses of those.
        alarms: CloudWatch alarms.
        metrics: Metrics of one's own in CloudWatch: file systems that are watched.
        telling: Machines that send them.
    """

    root_disks: int = 0
    nat_gateways: int = 0
    endpoints: int = 0
    load_balancers: int = 0
    addresses: int = 0
    alarms: int = 0
    metrics: int = 0
    telling: int = 0


@dataclass(frozen=True)
class DatacenterCost:
    """What one datacenter costs.

    Attributes:
        name: Its name.
        provider: Where its nodes come from.
        region: AWS region; None without a cloud.
        monthly_usd: US dollars a month; None where nothing has a price, or something has none any more.
        parts: The same by part.
        notes: What a person should know of the figures, a sentence each.
    """

    name: str
    provider: str
    region: str | None
    monthly_usd: float | None
    parts: tuple[Part, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Costs:
    """What an environment costs.

    Attributes:
        environment: Its name.
        source: lock, where that says what is there; else plan.
        monthly_usd: US dollars a month of all datacenters that have a price; None where none has.
        yearly_usd: Twelve times that.
        datacenters: Each of its datacenters.
    """

    environment: str
    source: Literal["lock", "plan"]
    monthly_usd: float | None
    yearly_usd: float | None
    datacenters: tuple[DatacenterCost, ...]

    def to_json(self) -> dict[str, Any]:
        """The contract `kdeploy.cost/v1`."""
        from dataclasses import asdict

        return {"schema": COST_SCHEMA, **asdict(self)}


def costs(environment: Environment, plan: Plan, lock: Lock | None) -> Costs:
    """What an environment costs.

    Args:
        environment: What is wanted; its workload decides the traffic.
        plan: Its plan, made from the lock where there is one.
        lock: What was decided before.
    """
    planned = {one.name: one for one in plan.datacenters}
    wanted = {one.name: one for one in environment.datacenters}
    discount = environment.planner.price_discount
    found = (
        tuple(_of_plan(one, wanted[one.name], discount) for one in plan.datacenters)
        if lock is None
        else tuple(
            _of_lock(one, wanted.get(one.name), planned.get(one.name), discount) for one in lock.datacenters
        )
    )
    priced = [one.monthly_usd for one in found if one.monthly_usd is not None]
    monthly = round(sum(priced), 2) if priced else None
    yearly = None if monthly is None else round(12 * monthly, 2)
    return Costs(environment.name, "plan" if lock is None else "lock", monthly, yearly, found)


def _of_plan(planned: DatacenterPlan, wanted: Datacenter, discount: float) -> DatacenterCost:
    cost, brokers, coordination = planned.cost, planned.brokers, planned.coordination
    if planned.region is None or cost.monthly_usd is None:
        return DatacenterCost(planned.name, planned.provider, None, None, (), (YOURS[planned.provider],))
    words = {
        "brokers": f"{brokers.count} × {brokers.instance_type}",
        "volumes": _disks(brokers.volumes),
        "coordination": _machines(coordination.nodes, coordination.instance_type, coordination.volumes),
        "cross_zone_traffic": _crossing(planned),
    }
    nodes = brokers.count + coordination.nodes
    disks = brokers.count * _count(brokers.volumes) + coordination.nodes * _count(coordination.volumes)
    if planned.mirror is not None:
        nodes += planned.mirror.count
        words["workers"] = _machines(planned.mirror.count, planned.mirror.instance_type, ())
    parts = [Part(name, words.get(name, ""), usd) for name, usd in cost.parts.items()]
    shapes = catalogue.load(planned.region)
    parts += _network(wanted, planned.region, nodes, disks, discount)
    return _priced(planned.name, planned.region, parts, _notes(shapes, discount))


def _of_lock(
    one: LockedDatacenter, wanted: Datacenter | None, planned: DatacenterPlan | None, discount: float
) -> DatacenterCost:
    if one.region is None:
        return DatacenterCost(one.name, one.provider, None, None, (), (YOURS[one.provider],))
    machines = locked.parts(one, discount)
    if machines is None:
        kinds = ", ".join(dict.fromkeys(str(each.instance_type) for each in (one.brokers, one.coordination)))
        note = f"there is no price of {kinds} or of their volumes in {one.region}; `kdeploy catalogue` lists what has one"
        return DatacenterCost(one.name, one.provider, one.region, None, (), (note,))
    brokers = sum(node.role == "broker" for node in one.nodes)
    words = {
        "brokers": f"{brokers} × {one.brokers.instance_type}",
        "volumes": _disks(_volumes(one.brokers)),
        "coordination": _machines(
            len(one.nodes) - brokers, one.coordination.instance_type, _volumes(one.coordination)
        ),
    }
    if one.mirror is not None:
        words["workers"] = _machines(len(one.mirrors), one.mirror.instance_type, ())
    parts = [Part(name, words[name], usd) for name, usd in machines.items()]
    shapes = catalogue.load(one.region)
    notes = _notes(shapes, discount)
    if wanted is None:
        notes += ("the environment does not have this datacenter any more",)
    elif planned is None:
        notes += ("traffic is not in it: nothing fits what the environment asks for",)
    else:
        traffic = {name: usd for name, usd in planned.cost.parts.items() if name in TRAFFIC}
        said = {"cross_zone_traffic": _crossing(planned)}
        parts += [Part(name, said.get(name, ""), usd) for name, usd in traffic.items()]
        parts += _network(wanted, one.region, len(one.nodes) + len(one.mirrors), data_disks(one), discount)
    return _priced(one.name, one.region, parts, notes)


def _priced(name: str, region: str, parts: list[Part], notes: tuple[str, ...]) -> DatacenterCost:
    kept = tuple(one for one in parts if one.monthly_usd or one.name in MACHINES)
    monthly = round(sum(one.monthly_usd for one in kept), 2)
    return DatacenterCost(name, "aws", region, monthly, kept, notes)


def _notes(shapes: Catalogue, discount: float) -> tuple[str, ...]:
    origin = (
        "published" if shapes.exact else "derived from us-east-1's by the region's usual ratio: an estimate"
    )
    stated = f"instances and volumes are {discount:.0%} below the list, as you stated"
    return (
        f"on demand, 730 h, prices of {shapes.date}, {origin}; catalogue: {shapes.origin}",
        *((stated,) if discount else ()),
    )


def data_disks(one: LockedDatacenter) -> int:
    """How many disks for data all machines of a datacenter have, as its lock says."""
    brokers = sum(node.role == "broker" for node in one.nodes)
    coordinators = len(one.nodes) - brokers
    return brokers * _count(one.brokers.volumes) + coordinators * _count(one.coordination.volumes)


def _count(volumes: Iterable[Volumes | LockedVolumes]) -> int:
    return sum(each.count for each in volumes)


def beside(wanted: Datacenter, nodes: int, disks: int) -> Beside:
    """What a datacenter in AWS has beside brokers and coordination, as it is declared.

    Args:
        wanted: The datacenter.
        nodes: How many machines it has, of all roles.
        disks: How many disks for data all of them have.
    """
    network, zones = wanted.network, len(wanted.racks)
    own = network.vpc is None
    gateways = {"none": 0, "nat": 1, "nat-per-zone": zones}[network.egress] if own else 0
    balancer = network.load_balancer
    public = balancer is not None and balancer.scheme == "internet-facing"
    watches = wanted.machine.alarms
    endpoints = ENDPOINTS if through(wanted) == "ssm" else 0
    endpoints += METRICS_ENDPOINTS if watches and network.egress == "none" else 0
    file_systems = nodes + disks if watches else 0
    return Beside(
        root_disks=nodes * wanted.machine.root_size,
        nat_gateways=gateways,
        endpoints=endpoints * zones if own else 0,
        load_balancers=int(balancer is not None),
        addresses=zones if public else 0,
        alarms=ALARMS * nodes + file_systems if watches else 0,
        metrics=file_systems,
        telling=nodes if watches else 0,
    )


def made(
    one: LockedDatacenter, there: Beside, discount: float, types: Mapping[str, str] | None = None
) -> dict[str, float] | None:
    """What all that is in AWS of a datacenter costs a month, by part; without traffic, which follows the workload.

    Args:
        one: Its part of a lock.
        there: What it has beside brokers and coordination.
        discount: What is paid less than the list for instances and volumes, 0 to 1.
        types: As `locked.parts`.

    Returns:
        US dollars a month; None outside AWS, or where a type or a kind of volume has no price (any more).
    """
    machines = locked.parts(one, discount, types)
    if machines is None or one.region is None:
        return None
    return machines | _prices(there, one.region, discount)


def _prices(there: Beside, region: str, discount: float) -> dict[str, float]:
    ratio = catalogue.usual_ratio(region)
    gib = catalogue.load(region).gp3.usd_per_gib * (1 - discount)
    hourly = ratio * HOURS_PER_MONTH
    balancers = there.load_balancers * LOAD_BALANCER * hourly + there.addresses * ADDRESS * HOURS_PER_MONTH
    found = {
        "root_disks": there.root_disks * gib,
        "nat_gateways": there.nat_gateways * NAT_GATEWAY * hourly,
        "endpoints": there.endpoints * ENDPOINT * hourly,
        "load_balancer": balancers,
        "alarms": there.alarms * ALARM,
        "metrics": there.metrics * METRIC + there.telling * REQUESTS,
    }
    return {name: round(usd, 2) for name, usd in found.items()}


def _network(wanted: Datacenter, region: str, nodes: int, disks: int, discount: float) -> Iterator[Part]:
    """What is declared beside brokers and coordination: disks of operating systems, ways to the internet and to Systems
    Manager, and what watches machines.
    """
    there = beside(wanted, nodes, disks)
    gateways, zones = there.nat_gateways, len(wanted.racks)
    their = "their addresses" if gateways > 1 else "its address"
    words = {
        "root_disks": f"{nodes} × gp3 {format_bytes(wanted.machine.root_size * 2.0**30)}",
        "nat_gateways": f"{gateways} with {their}; what packages carry over them is not in it",
        "endpoints": _endpoints(wanted, zones),
        "load_balancer": _balancer(there, catalogue.usual_ratio(region)),
        "alarms": f"{there.alarms} of CloudWatch: {ALARMS} for each of {nodes} machines, and one for each of their "
        f"{there.metrics} file systems; an account's first ten, which are free, count too",
        "metrics": f"{there.metrics} of CloudWatch, each sent every minute; what of an account is free counts too",
    }
    for name, usd in _prices(there, region, discount).items():
        if usd:
            yield Part(name, words[name], usd)


def _endpoints(wanted: Datacenter, zones: int) -> str:
    named = [f"{ENDPOINTS} of Systems Manager"] if through(wanted) == "ssm" else []
    if wanted.machine.alarms and wanted.network.egress == "none":
        named.append(f"{METRICS_ENDPOINTS} of CloudWatch")
    return f"{' and '.join(named)} in {zones} {'zones' if zones > 1 else 'zone'}"


def _balancer(there: Beside, ratio: float) -> str:
    many = "addresses" if there.addresses > 1 else "address"
    its = f"1 with {there.addresses} public {many}" if there.addresses else "1"
    return f"{its}; each GB through it costs ${UNIT * ratio:.2g} more, and what crosses zones as traffic does: not in it"


def _crossing(planned: DatacenterPlan) -> str:
    crossed = planned.cost.cross_zone_traffic
    return ", ".join(f"{part} {format_usd(usd)}" for part, usd in crossed.items())


def _volumes(shape: LockedShape) -> tuple[Volumes, ...]:
    return tuple(Volumes(one.type, one.count, one.size, one.iops, one.throughput) for one in shape.volumes)


def _disks(volumes: tuple[Volumes, ...]) -> str:
    from kdeploy.planner.report import volumes_in_words

    return "; ".join(f"{volumes_in_words(one)} per broker" for one in volumes)


def _machines(count: int, kind: str | None, volumes: tuple[Volumes, ...]) -> str:
    disks = "".join(f", {one.count} × {one.type} {format_bytes(one.size)} each" for one in volumes)
    return f"{count} × {kind}{disks}"
