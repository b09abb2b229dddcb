"""The arithmetic of one limit, with the numbers filled in, for a person to check by hand.

Invariant: the terms are products of the factors that are printed and of nothing else; their sum over
the capacity is the utilisation that the plan shows (a test multiplies them out for every limit).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from kdeploy.planner import catalogue, figures, hardware, limits, spread
from kdeploy.planner.catalogue import Floats
from kdeploy.planner.demand import Demand, demand_of, ranges
from kdeploy.planner.limits import COLUMNS
from kdeploy.planner.result import DatacenterPlan, Limit
from kdeploy.planner.spread import Fleet, Shares
from kdeploy.planner.storage import NVME
from kdeploy.spec.model import Datacenter, Environment


@dataclass(frozen=True)
class Factor:
    """One number of a product: what it is, in which unit, and where it comes from."""

    name: str
    value: float
    unit: str
    source: str


@dataclass(frozen=True)
class Term:
    """A product of factors; terms of a limit are added."""

    name: str
    factors: tuple[Factor, ...]

    @property
    def value(self) -> float:
        """The product."""
        return math.prod(factor.value for factor in self.factors)


@dataclass(frozen=True)
class Arithmetic:
    """One limit of one datacenter's plan.

    Attributes:
        datacenter: The datacenter.
        limit: The limit.
        terms: What the busiest broker is loaded with, to be added.
        unit: The unit of load and capacity.
        capacity: What a broker can take; for `rebuild` the objective, in seconds.
        ceiling: The most of it that is used.
        utilisation: As the plan shows it.
        values: What is filled in for each quantity that is a range, by its place in the workload, in base
            units; empty where there is none, or where none changes the limit.
        holds: Share of the samples in which the load is at most this one; 1 where nothing is a range.
    """

    datacenter: str
    limit: Limit
    terms: tuple[Term, ...]
    unit: str
    capacity: float
    ceiling: float
    utilisation: float
    values: dict[str, float] = field(default_factory=dict)
    holds: float = 1.0

    @property
    def load(self) -> float:
        """The sum of the terms."""
        return math.fsum(term.value for term in self.terms)


UNITS = {
    "network_in": "B/s",
    "network_out": "B/s",
    "disk_write": "B/s",
    "disk_throughput": "B/s",
    "disk_iops": "1/s",
    "disk_space": "B",
    "memory": "B",
    "cpu": "vCPU s/s",
    "partitions": "replicas",
    "disk_read": "B/s",
    "partition_rate": "B/s",
    "single_flow": "B/s",
    "heap": "B",
    "connections": "clients",
    "open_files": "files",
    "memory_maps": "maps",
    "cross_region": "B/s",
    "far_followers": "fetchers",
    "mirror_flow": "connections",
    "rebuild": "s",
}
"""Unit of each limit's load and capacity."""


def explain(
    environment: Environment, datacenter: Datacenter, planned: DatacenterPlan, limit: Limit
) -> Arithmetic | None:
    """Fill in the numbers of a limit.

    Args:
        environment: What the plan is for. Where quantities of its workload are ranges, the numbers are those
            of the sample that decides: no more samples than asked for have a greater load.
        datacenter: One of its datacenters.
        planned: Its plan.
        limit: Which limit.

    Returns:
        The arithmetic; None where the limit does not apply to what is planned.
    """
    used = planned.brokers.utilisation.get(limit)
    if used is None:
        return None
    capacity = (
        _capacity(datacenter, planned, limit) if limit != "rebuild" else environment.planner.rebuild_time
    )
    demand, values, holds = _demand(environment, datacenter, planned, limit, used * capacity)
    share = _shares(demand, planned, limit)
    terms = tuple(Term(name, tuple(factors)) for name, factors in _terms(_Numbers(demand, share), limit))
    if limit == "rebuild":
        terms = (_rebuild(demand, share, planned),)
    ceiling = planned.brokers.ceilings[limit]
    return Arithmetic(planned.name, limit, terms, UNITS[limit], capacity, ceiling, used, values, holds)


def _demand(
    environment: Environment, datacenter: Datacenter, planned: DatacenterPlan, limit: Limit, load: float
) -> tuple[Demand, dict[str, float], float]:
    """The demand, what is filled in for ranges, and the share of samples with no greater load."""
    demand = demand_of(environment, datacenter)
    sure = not ranges(environment.workload)
    partitions = spread.shares(demand, *_fleet(demand, planned)).partitions[0, 0]
    if sure and float(partitions) == planned.partitions:
        return demand, {}, 1.0
    if sure:  # the lock had more
        return demand_of(environment, datacenter, planned.partitions), {}, 1.0
    from kdeploy.planner.decisive import sample

    column = "disk_space" if limit == "rebuild" else limit
    if limit == "rebuild":
        load = planned.brokers.utilisation[column] * _capacity(datacenter, planned, column)
    fleet, disks = _fleet(demand, planned)
    for before in (0, planned.partitions):
        found = sample(environment, datacenter, before, fleet, disks, column, load)
        if float(spread.shares(found.demand, fleet, disks).partitions[0, 0]) == planned.partitions:
            break
    return found.demand, found.values, found.holds


def _fleet(demand: Demand, planned: DatacenterPlan) -> tuple[Fleet, Floats]:
    """The numbers of brokers up to racks that are even again, the one that is planned first; and its disks."""
    disks = np.array([float(planned.brokers.volumes[0].count if planned.brokers.volumes else 1)])
    per_rack = [count for count in planned.brokers.per_rack.values() if count]
    if planned.provider != "aws":
        parts = (sum(per_rack), min(per_rack), max(per_rack), len(per_rack))
        return Fleet(*(np.array([float(part)]) for part in parts)), disks
    count, racks = planned.brokers.count, demand.racks
    group = np.arange(float(count), -(-count // racks) * racks + 1.0)
    return Fleet.even(group, racks), disks


def _shares(demand: Demand, planned: DatacenterPlan, limit: str) -> Shares:
    """Of these numbers of brokers the one whose load counts; see `limits.loads`."""
    share = spread.shares(demand, *_fleet(demand, planned))
    column = COLUMNS.index("rebuild_in" if limit == "rebuild" else limit)
    return share.part(int(limits.of_shares(demand, share)[0, column].argmax()))


def _capacity(datacenter: Datacenter, planned: DatacenterPlan, limit: str) -> float:
    """What one broker of the plan can take."""
    brokers = planned.brokers
    cores, memory = np.array([float(brokers.cores)]), np.array([brokers.memory])
    columns = {
        "partitions": hardware.replicas_capacity(cores),
        "memory": hardware.page_cache(memory),
        "cpu": cores,
    }
    local = True
    if planned.region is not None and brokers.instance_type is not None:
        shapes = catalogue.load(planned.region)
        row = [shapes.names.index(brokers.instance_type)]
        columns["network_in"] = columns["network_out"] = shapes.network[row]
        columns["cpu"] = shapes.compute[row]
        local = brokers.volumes[0].type == NVME
        columns["disk_throughput"] = shapes.ebs_throughput[row]
        columns["disk_iops"] = shapes.ebs_iops[row]
    else:
        rates = [host.hardware.network for host in datacenter.hosts if host.role == "broker"]
        if rates and all(rates):
            least = np.array([min(float(rate or 0) for rate in rates)])
            columns["network_in"] = columns["network_out"] = least
    for volumes in brokers.volumes:
        columns["disk_space"] = np.array([volumes.size * volumes.count])
        written = np.array([(volumes.throughput or math.inf) * volumes.count])
        columns["disk_write"] = written
        if not local:
            columns["disk_throughput"] = np.minimum(columns["disk_throughput"], written)
            most = np.array([(volumes.iops or math.inf) * volumes.count])
            columns["disk_iops"] = np.minimum(columns["disk_iops"], most)
    in_ec2 = planned.region is not None
    capacity = hardware.completed(hardware.capacities(**columns), cores, memory, np.array([local]), in_ec2)
    return float(capacity[0, COLUMNS.index(limit)])


class _Numbers:
    """The numbers of a demand and its spread, as factors."""

    def __init__(self, demand: Demand, share: Shares) -> None:
        self.demand, self.share = demand, share
        self.brokers, self.replicas = float(share.brokers[0, 0]), float(share.replicas[0, 0])
        self.partitions, self.skew = float(share.partitions[0, 0]), float(share.disk_skew[0, 0])
        self.held = float(limits.held_bytes(demand, share)[0, 0])
        self.led, self.led_after = float(share.led[0, 0]), float(share.led_after[0, 0])
        healthy = (demand.byte_copies - 1) * float(share.copied[0, 0])
        after = float(np.asarray(limits.copied_after(demand, share))[0, 0])
        self.healthy, self.after = (self.led, float(healthy)), (self.led_after, after)

    def of(self, value: Any, name: str, unit: str = "", source: str = "docs/planner.md") -> Factor:  # noqa: ANN401
        return Factor(name, float(value), unit, source)

    def figure(self, one: figures.Figure, name: str = "", unit: str = "") -> Factor:
        return Factor(name or one.name, one.value, unit, one.source)

    @property
    def produced(self) -> Factor:
        words = "produced at the peak, at the horizon's end"
        if self.demand.arriving != 1:
            words = "logged, as topics compress it, at the peak, at the horizon's end"
        return self.of(self.demand.produced, words, "B/s", "asked")

    @property
    def fetched(self) -> Factor:
        return self.of(self.demand.fetched, "fetched at the peak: produced × fan-out", "B/s", "asked")

    @property
    def imbalance(self) -> Factor:
        return self.of(self.demand.imbalance, "imbalance between brokers", "", figures.IMBALANCE.source)

    @property
    def share_held(self) -> Factor:
        words = f"share it takes in: {self.replicas:g} replicas of {self.partitions:g} partitions"
        return self.of(self.held, words)

    @property
    def disk_skew(self) -> Factor:
        return self.of(self.skew, "busiest disk over the average disk")

    def wire(self, encrypted: bool) -> list[Factor]:
        tls = [self.figure(figures.TLS_OVERHEAD)] if encrypted else []
        return [self.figure(figures.PROTOCOL_OVERHEAD), *tls]


Parts = Iterator[tuple[str, list[Factor]]]


def _terms(n: _Numbers, limit: str) -> Parts:
    demand = n.demand
    writes = ("disk_write", "disk_throughput", "disk_iops")
    if limit in ("network_in", "network_out"):
        yield from _arriving(n) if limit == "network_in" else _leaving(n)
    elif limit in (*writes, "disk_read"):
        per = [n.of(1 / figures.IO_SIZE.value, "operations per byte: 1 ÷ 128 KiB", "1/B")]
        for name, factors in [
            *(_written(n) if limit in writes else ()),
            *(_read(n) if limit != "disk_write" else ()),
        ]:
            yield name, [*factors, *(per if limit == "disk_iops" else [])]
    elif limit == "disk_space":
        yield from _stored(n)
    elif limit == "memory":
        window = n.figure(figures.HOT_WINDOW, unit="s")
        yield "just written", [n.produced, n.share_held, n.imbalance, window]
    elif limit == "cpu":
        yield from _processor(n)
    elif limit == "single_flow":
        yield "copied from one broker", _pulled(n)
    elif limit in ("cross_region", "far_followers", "mirror_flow"):
        yield _far(n, limit)
    elif limit == "partition_rate":
        busiest = limits.busiest_partition(demand, n.share)
        yield "busiest partition", [n.of(np.ravel(busiest)[0], "its rate at the peak", "B/s"), n.imbalance]
    else:
        yield from _things(n, limit)


def _arriving(n: _Numbers) -> Parts:
    encrypted = n.demand.clients_encrypt or n.demand.nodes_encrypt
    yield "taken in", [n.produced, n.share_held, n.imbalance, *n.wire(encrypted)]
    if n.demand.arriving > 1:
        more = n.of(n.demand.arriving - 1, "more than is logged: the producers' codec against the topics'")
        led = n.of(n.led_after, "share it leads after the failure")
        yield "sent before it is compressed anew", [n.produced, more, led, n.imbalance, *n.wire(encrypted)]


def _pulled(n: _Numbers) -> list[Factor]:
    """Bytes per second that it copies from one other broker."""
    followed = n.of(
        n.held * float(1 - 1 / n.demand.byte_copies), "share it copies from others: held × (1 - 1 ÷ copies)"
    )
    others = n.of(1 / max(n.brokers - 1, 1), "one of the other brokers")
    return [n.produced, followed, others, n.imbalance, *n.wire(n.demand.nodes_encrypt)]


def _far(n: _Numbers, limit: str) -> tuple[str, list[Factor]]:
    """What distance limits: see `kdeploy.planner.far`."""
    demand = n.demand
    buffer = n.of(1 / demand.socket_buffer, "1 ÷ socket buffer", "1/B", figures.SOCKET_BUFFER.source)
    if limit == "far_followers":
        waits = n.of(demand.round_trip, "round trip between racks", "s", figures.ROUND_TRIP.source)
        return "fetchers that wait for one broker", [*_pulled(n), waits, buffer]
    rate = n.of(demand.mirrored_peak, "mirrored out at the peak, at the horizon's end", "B/s", "asked")
    led = n.of(n.led_after, "share it leads after the failure")
    mirrored = [rate, led, n.imbalance, *n.wire(demand.clients_encrypt)]
    if limit == "cross_region":
        leaves = [] if demand.leaves_region else [n.of(0, "no other datacenter is in another region")]
        return "mirrored to another region", [*mirrored, *leaves]
    words = "one of the mirroring consumers" if demand.mirror_consumers else "as many consumers as it takes"
    one = n.of(1 / demand.mirror_consumers if demand.mirror_consumers else 0, words, "", "asked")
    waits = n.of(demand.mirror_round_trip, "round trip to them", "s", figures.MIRROR_ROUND_TRIP.source)
    if waits.value * buffer.value >= 1 / figures.SINGLE_FLOW.value:
        return "share of its connection", [*mirrored, one, waits, buffer]
    flow = n.of(1 / figures.SINGLE_FLOW.value, "1 ÷ 5 Gbit/s", "s/B", figures.SINGLE_FLOW.source)
    return "share of its connection", [*mirrored, one, flow]


def _leaving(n: _Numbers) -> Parts:
    def terms(state: tuple[float, float], when: str) -> list[tuple[str, list[Factor]]]:
        led, copied = n.of(state[0], f"share it leads {when}"), n.of(state[1], f"copies it sends {when}")
        return [
            ("to consumers", [n.fetched, led, n.imbalance, *n.wire(n.demand.clients_encrypt)]),
            ("to other brokers", [n.produced, copied, n.imbalance, *n.wire(n.demand.nodes_encrypt)]),
        ]

    yield from _greater(terms(n.healthy, "while all are up"), terms(n.after, "after the failure"))


def _greater(
    first: list[tuple[str, list[Factor]]], second: list[tuple[str, list[Factor]]]
) -> list[tuple[str, list[Factor]]]:
    def total(terms: list[tuple[str, list[Factor]]]) -> float:
        return math.fsum(math.prod(factor.value for factor in factors) for _, factors in terms)

    return first if total(first) >= total(second) else second


def _cleaned(n: _Numbers, figure: figures.Figure, what: str) -> Parts:
    if np.any(n.demand.compacted):
        rate = n.of(n.demand.compacted, "produced to compacted topics on average", "B/s", "asked")
        yield what, [rate, n.share_held, n.imbalance, n.disk_skew, n.figure(figure)]


def _written(n: _Numbers) -> Parts:
    yield "written", [n.produced, n.share_held, n.imbalance, n.disk_skew]
    yield from _cleaned(n, figures.CLEANER_WRITE, "written by the cleaner")


def _read(n: _Numbers) -> Parts:
    missed = n.of(n.demand.missed, "reads that miss the page cache", "B/s", figures.LAGGING_READS.source)
    led = n.of(n.led_after, "share it leads after the failure")
    yield "read by lagging consumers", [missed, led, n.imbalance]
    yield from _cleaned(n, figures.CLEANER_READ, "read by the cleaner")


def _stored(n: _Numbers) -> Parts:
    around = [n.share_held, n.disk_skew, n.figure(figures.INDEX_SHARE), n.imbalance]
    demand = n.demand
    unrolled = min(
        figures.SEGMENT_BYTES.value * n.partitions, float(demand.average) * figures.SEGMENT_AGE.value
    )
    whole = float(limits.stored(demand, n.share)[0, 0]) / math.prod(one.value for one in around)
    kept = n.of(whole - unrolled, "kept of one copy: rate × retention, or retention_bytes", "B", "asked")
    yield "kept", [kept, *around]
    yield (
        "not rolled yet",
        [n.of(unrolled, "1 GiB or 7 d per partition", "B", figures.SEGMENT_BYTES.source), *around],
    )


def _processor(n: _Numbers) -> Parts:
    def terms(state: tuple[float, float], when: str) -> list[tuple[str, list[Factor]]]:
        demand = n.demand
        led = n.of(state[0], f"share it leads {when}")
        followed = n.of(max(n.held - state[0], 0), f"share it copies from others {when}")
        copied = n.of(state[1], f"copies it sends {when}")
        tls = n.figure(figures.CPU_TLS, unit="vCPU s/B")
        words = "bytes that arrive for each that is logged"
        arriving = [n.of(demand.arriving, words)] if demand.arriving != 1 else []
        at_least = [n.of(demand.arriving, words)] if demand.arriving > 1 else []
        anew = n.of(demand.recompression, "compression", "vCPU s/B", "lzbench in the zstd README 1.5.7")
        found = [
            (
                "take in what is produced",
                [n.produced, *at_least, led, n.figure(figures.CPU_PRODUCE, unit="vCPU s/B")],
            ),
            (
                "take in what is copied",
                [n.produced, followed, n.figure(figures.CPU_REPLICATE, unit="vCPU s/B")],
            ),
            ("send copies", [n.produced, copied, n.figure(figures.CPU_SEND, unit="vCPU s/B")]),
            ("send to consumers", [n.fetched, led, n.figure(figures.CPU_SEND, unit="vCPU s/B")]),
            ("look into batches", [n.produced, led, n.of(demand.decompression, "decompression", "vCPU s/B")]),
            *([("compress them anew", [n.produced, led, anew])] if demand.recompression else []),
            (
                "validate records",
                [
                    n.of(demand.records, "records at the peak", "1/s", "asked"),
                    led,
                    n.figure(figures.CPU_RECORD, unit="vCPU s"),
                ],
            ),
            (
                "serve requests",
                [
                    n.of(demand.requests, "produce requests at the peak", "1/s", "asked"),
                    n.of(state[0] * (1 + float(demand.fan_out)) + state[1], f"requests to it {when}"),
                    n.figure(figures.CPU_REQUEST, unit="vCPU s"),
                ],
            ),
        ]
        if demand.nodes_encrypt:
            both = n.of(followed.value + copied.value, f"bytes to and from brokers {when}")
            found.append(("encrypt among brokers", [n.produced, both, tls]))
        if demand.clients_encrypt:
            found += [
                ("encrypt from producers", [n.produced, *arriving, led, tls]),
                ("encrypt to consumers", [n.fetched, led, tls]),
            ]
        return [(name, [*factors, n.imbalance]) for name, factors in found]

    yield from _greater(terms(n.healthy, "while all are up"), terms(n.after, "after the failure"))


def _things(n: _Numbers, limit: str) -> Parts:
    demand, replicas = n.demand, n.of(n.replicas, "replicas on the busiest broker")
    clients = n.of(demand.clients, "clients", "", "asked")
    if limit == "partitions":
        yield "replicas", [replicas]
    elif limit == "connections":
        yield "clients", [clients]
    elif limit == "heap":
        yield "the broker itself", [n.figure(figures.HEAP_BASE, unit="B")]
        yield "replicas", [replicas, n.figure(figures.HEAP_PER_REPLICA, unit="B")]
        yield "clients", [clients, n.figure(figures.HEAP_PER_CONNECTION, unit="B")]
    else:
        space = limits.stored(demand, n.share)
        files = n.of(
            limits.segments(demand, n.share, space)[0, 0], "segments", "", figures.SEGMENTS_PER_REPLICA.source
        )
        if limit == "open_files":
            yield "segments", [files]
            yield "connections", [clients]
        else:
            allowance = max(figures.MEMORY_MAPS.value, n.replicas * figures.MAPS_PER_REPLICA.value)
            scale = n.of(
                figures.MEMORY_MAPS.value / allowance,
                "262,144 over what is allowed here",
                "",
                figures.MEMORY_MAPS.source,
            )
            yield "segments", [files, n.of(2, "memory maps of each"), scale]


def _rebuild(demand: Demand, share: Shares, planned: DatacenterPlan) -> Term:
    """The time as bytes held over the pace that the slowest of network, disks and sources leaves."""
    n = _Numbers(demand, share)
    held = float(limits.stored(demand, share)[0, 0]) / n.skew
    pace = held / max(planned.brokers.rebuild_time or 0.0, 1e-9)
    return Term(
        "filling the disks again",
        (
            n.of(held, "bytes that the busiest broker held", "B"),
            n.of(1 / pace, f"1 ÷ {pace:,.0f} B/s, what the average load leaves of the slowest part", "s/B"),
        ),
    )
