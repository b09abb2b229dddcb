"""What one cluster has to carry, as plain numbers in base units.

Invariant: everything the limits depend on that is not hardware is here, and
nothing else; two environments with equal demands get equal sizes. A quantity is
one number, or an array of samples (samples, 1, 1) that the limits carry along as
more rows of the same matrix.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from kdeploy.planner.exchange import times_read, usual_shares
from kdeploy.planner.figures import (
    CEILINGS,
    COMPRESSION,
    DECOMPRESSION,
    IMBALANCE,
    LAGGING_READS,
    MIRROR_ROUND_TRIP,
    PARTITION_RATE,
    RATIOS,
    ROUND_TRIP,
    SOCKET_BUFFER,
)
from kdeploy.spec.model import Coordination, Datacenter, Environment, Survive, Workload
from kdeploy.units import Range

Amount = float | NDArray[np.float64]
"""A quantity: one number, or one for each sample."""

Place = tuple[str | int, ...]
"""Where in the workload a quantity stands: a field, or topics, an index and a field."""

YEAR: Final = 365 * 86400.0


@dataclass(frozen=True)
class Demand:
    """The demand on one datacenter's cluster, at the end of the horizon.

    Attributes:
        rate: Average rate that the log grows by, one copy, bytes per second: what is produced (Kafka's
            BytesInPerSec) and mirrored in, as the topics' codec makes it.
        peak: The same in the busiest minutes.
        fan_out: Bytes read by consumers per byte produced.
        records: Records per second at the peak.
        retention: Seconds that records are kept, of the topic that keeps them longest.
        retention_bytes: Most bytes kept per partition, None without such a limit.
        copies: Replication factor, of the topic that has the most.
        racks: Failure domains that the copies are spread over.
        survive: The failure that every limit has to hold with.
        partitions: Partitions of all topics, before replication: what a person stated, or
            the least that the peak needs.
        stated: Whether a person stated the partitions.
        decompression: vCPU seconds per logged byte to look into compressed batches.
        recompression: vCPU seconds per logged byte to compress it anew; 0 where the producers' codec stays.
        arriving: Bytes that producers send for each that is logged; 1 where the producers' codec stays.
        clients_encrypt: Whether clients speak TLS; the nodes among themselves always do.
        coordination: ZooKeeper or KRaft.
        requests: Produce requests per second at the peak.
        lagging: Bytes per second read from disk at the peak; None for half the produce rate.
        copies_of_bytes: Average copies of a byte; None where all topics have equal copies.
        copies_of_partitions: Average copies of a partition; None likewise.
        kept: Bytes of all copies that are kept; None for rate × retention × copies.
        compacted: Bytes per second produced to compacted topics on average, in whole streams: a byte
            with more copies than the average counts for more.
        busiest_partition: Bytes per second of the busiest partition at the peak; None for an even share.
        mirrored_out: Bytes per second that mirroring to another cluster reads here on average.
        mirrored_peak: The same in the busiest minutes.
        leaves_region: Whether mirrored bytes go to another region than this datacenter's.
        usual: Shares of `mirrored_out` that usually go to other regions and to other datacenters of this one, of three and
            more; None where all of it goes one way.
        sends: Whether they go now; not from a datacenter that stands by, which has to be able to.
        mirror_consumers: Consumers that mirroring reads with, each with one connection to a broker; None for
            as many as it takes.
        mirror_round_trip: Seconds between them and the brokers.
        round_trip: Seconds between brokers that are farthest apart.
        socket_buffer: Most bytes of a connection on their way at once.
        clients: Clients that are connected.
        follower_fetching: Whether consumers read from the nearest copy.
        imbalance: Load of the busiest broker over the average broker.
        ceilings: The most of each limit that is used, by limit.
        rebuild_time: Seconds within which local disks have to be filled again.
        nodes_encrypt: Whether the nodes speak TLS among themselves.
    """

    rate: Amount
    peak: Amount
    fan_out: Amount
    records: Amount
    retention: Amount
    retention_bytes: float | None
    copies: int
    racks: int
    survive: Survive
    partitions: int
    stated: bool
    decompression: float
    clients_encrypt: bool
    coordination: Coordination
    requests: Amount = 0.0
    lagging: Amount | None = None
    copies_of_bytes: Amount | None = None
    copies_of_partitions: float | None = None
    kept: Amount | None = None
    compacted: Amount = 0.0
    busiest_partition: Amount | None = None
    recompression: float = 0.0
    arriving: float = 1.0
    mirrored_out: Amount = 0.0
    mirrored_peak: Amount = 0.0
    leaves_region: bool = False
    usual: tuple[float, float] | None = None
    sends: bool = True
    mirror_consumers: int | None = None
    mirror_round_trip: float = MIRROR_ROUND_TRIP.value
    round_trip: float = ROUND_TRIP.value
    socket_buffer: float = SOCKET_BUFFER.value
    clients: float = 0.0
    follower_fetching: bool = False
    imbalance: float = IMBALANCE.value
    ceilings: tuple[float, ...] = tuple(CEILINGS.values())
    rebuild_time: float = 4 * 3600.0
    nodes_encrypt: bool = True

    @property
    def fewest_brokers(self) -> int:
        """The structural least: a broker per copy and per rack, and one left after the failure."""
        return max(self.copies, self.racks, 1 if self.survive == "none" else 2)

    @property
    def produced(self) -> Amount:
        """Bytes per second that one copy of the log grows by at the peak."""
        return self.peak

    @property
    def average(self) -> Amount:
        """The same on average."""
        return self.rate

    @property
    def fetched(self) -> Amount:
        """Bytes per second sent to consumers and mirrors at the peak."""
        return self.peak * self.fan_out + self.mirrored_peak

    @property
    def missed(self) -> Amount:
        """Bytes per second that consumers read from disk at the peak."""
        if self.lagging is not None:
            return self.lagging
        least: Amount = np.minimum(LAGGING_READS.value, self.fan_out) * self.peak
        return least

    @property
    def byte_copies(self) -> Amount:
        """Average copies of a byte."""
        return self.copies if self.copies_of_bytes is None else self.copies_of_bytes

    @property
    def partition_copies(self) -> float:
        """Average copies of a partition."""
        return self.copies if self.copies_of_partitions is None else self.copies_of_partitions


def ranges(workload: Workload) -> dict[Place, Range]:
    """Every quantity of a workload that is a range, by its place, in the order of the fields."""
    found: dict[Place, Range] = {}
    for name in type(workload).model_fields:
        value = getattr(workload, name)
        if isinstance(value, Range):
            found[(name,)] = value
    for index, topic in enumerate(workload.topics):
        for name in type(topic).model_fields:
            value = getattr(topic, name)
            if isinstance(value, Range):
                found["topics", index, name] = value
    return found


def demand_of(
    environment: Environment,
    datacenter: Datacenter,
    partitions_before: int = 0,
    drawn: Mapping[Place, NDArray[np.float64]] | None = None,
) -> Demand:
    """The demand on one datacenter: it carries the whole workload.

    So a survivor already carries what the other datacenter did: each has all of it.

    Args:
        environment: What is wanted.
        datacenter: One of its datacenters.
        partitions_before: Partitions that the lock holds; they are never fewer.
        drawn: Samples (samples, 1, 1) of quantities that are ranges; without them a range is its middle.
    """
    workload, settings = environment.workload, environment.planner
    parts = tuple(_parts(environment, drawn or {}))
    more = (1 + _amount(drawn or {}, ("growth",), workload.growth)) ** (workload.horizon / YEAR)
    peak_factor = _amount(drawn or {}, ("peak_factor",), workload.peak_factor)
    peaks = [part.rate * more * peak_factor for part in parts]
    arriving, recompression = _recompressed(workload)
    mirrored_out = exchanged(environment, drawn or {})[1] * more
    rate, peak = _sum(part.rate * more for part in parts), _sum(peaks)
    batch = _amount(drawn or {}, ("batch_size",), workload.batch_size)
    needed = [_least_partitions(one, settings.confidence) for one in peaks]
    stated = workload.partitions is not None or any(part.partitions for part in parts)
    each = [part.partitions or need for part, need in zip(parts, needed, strict=True)]
    partitions = (
        max(workload.partitions or 0, sum(each)) if workload.topics else workload.partitions or each[0]
    )
    mixed: dict[str, Any] = {}
    if workload.topics:
        mixed = _mixed(parts, peaks, each, more, rate, peak)
    fan_out = mixed.pop("fan_out", parts[0].fan_out)
    lagging = None
    if workload.lagging_consumers is not None:
        share = _amount(drawn or {}, ("lagging_consumers",), workload.lagging_consumers)
        lagging = share * fan_out * peak
    return Demand(
        rate=rate,
        peak=peak,
        fan_out=fan_out,
        records=_sum(one / part.message_size for one, part in zip(peaks, parts, strict=True)),
        retention=mixed.pop("retention", parts[0].retention),
        retention_bytes=None if workload.topics else workload.retention_bytes,
        copies=max(part.copies for part in parts),
        racks=len(datacenter.racks),
        survive=environment.durability.survive,
        partitions=max(partitions, partitions_before),
        stated=stated,
        decompression=DECOMPRESSION[workload.compression] * arriving,
        recompression=recompression,
        arriving=arriving,
        clients_encrypt=environment.security.client_listener == "SASL_SSL"
        if settings.tls is None
        else settings.tls,
        nodes_encrypt=settings.tls is not False,
        coordination=environment.kafka.coordination,
        requests=_sum(
            one * arriving / np.maximum(batch, part.message_size * arriving)
            for one, part in zip(peaks, parts, strict=True)
        ),
        mirrored_out=mirrored_out,
        mirrored_peak=mirrored_out * peak_factor,
        leaves_region=_leaves_region(environment, datacenter),
        usual=usual_shares(environment, datacenter),
        sends=not _stands_by(environment, datacenter),
        mirror_consumers=workload.mirror_consumers,
        mirror_round_trip=_to_mirrors(environment, datacenter),
        round_trip=settings.round_trip,
        socket_buffer=settings.socket_buffer,
        lagging=lagging,
        clients=float(workload.clients),
        follower_fetching=settings.follower_fetching,
        imbalance=settings.imbalance,
        ceilings=ceilings_of(environment),
        rebuild_time=settings.rebuild_time,
        **mixed,
    )


def _recompressed(workload: Workload) -> tuple[float, float]:
    """Bytes that producers send for each logged one, and vCPU seconds to compress that one anew.

    Both by the codecs' usual ratios: a byte that arrives holds ratio(producers') bytes of payload, a
    byte in the log ratio(topics'). Kafka leaves batches as they are where both are the same.
    """
    wanted = workload.topic_compression
    if wanted is None or wanted == workload.compression:
        return 1.0, 0.0
    return RATIOS[wanted] / RATIOS[workload.compression], COMPRESSION[wanted]


def _leaves_region(environment: Environment, datacenter: Datacenter) -> bool:
    """Whether what is mirrored goes to another region: yes, unless every other datacenter is in this one."""
    others = [one for one in environment.datacenters if one.name != datacenter.name]
    return not others or any(one.region != datacenter.region for one in others)


def _stands_by(environment: Environment, datacenter: Datacenter) -> bool:
    """Whether a datacenter is one that is not written to at first (active-passive)."""
    mirroring = environment.mirroring
    if mirroring is None or mirroring.mode == "active-active":
        return False
    return datacenter.name != (mirroring.primary or environment.datacenters[0].name)


def _to_mirrors(environment: Environment, datacenter: Datacenter) -> float:
    """Seconds between the brokers and the workers that read from them: beside the brokers of the farthest datacenter."""
    mirroring, stated = environment.mirroring, environment.workload.mirror_round_trip
    if mirroring is None or stated != Workload.model_fields["mirror_round_trip"].get_default():
        return stated
    others = (one.name for one in environment.datacenters if one.name != datacenter.name)
    trips = (mirroring.link(datacenter.name, other).round_trip for other in others)
    return max(trips, default=stated)


def exchanged(environment: Environment, drawn: Mapping[Place, NDArray[np.float64]]) -> tuple[Amount, Amount]:
    """Average rates today that are mirrored into a datacenter and out of it, as its producers send them.

    As the workload states them; where it does not and `mirroring` is declared, as follows from that. Of
    active-passive, any datacenter may be the one that is written to and read once more by every other one: what one that
    stands by writes is no more than what it would have been sent itself. Of active-active each has what the others'
    applications write to mirrored topics; once one of them is lost it has the survivor's share of all that they write in
    its place. It is sized for the greater of the two, which is enough for both.

    Args:
        environment: What is wanted.
        drawn: As `demand_of`.
    """
    workload, mirroring = environment.workload, environment.mirroring
    into, out = (_amount(drawn, (name,), getattr(workload, name)) for name in ("mirrored_in", "mirrored_out"))
    if mirroring is None:
        return into, out
    carried, every = _produced(environment, drawn)
    others, share = max(len(environment.datacenters) - 1, 1), mirroring.survivor_share
    if not workload.mirrored_out:
        out = carried if others == 1 else carried * times_read(others, mirroring)
    if not workload.mirrored_in and mirroring.mode == "active-active":
        into = np.maximum(others * carried, (others - 1) * carried + share * every)
    return into, out


def _produced(environment: Environment, drawn: Mapping[Place, NDArray[np.float64]]) -> tuple[Amount, Amount]:
    """Average rates that producers send today: to topics that are mirrored, and to all."""
    workload, mirroring = environment.workload, environment.mirroring
    if not workload.topics:  # nobody says what of it goes to which topic, so it may be all of it
        every = _amount(drawn, ("throughput",), workload.throughput)
        return every, every
    rates = [
        (_amount(drawn, ("topics", index, "throughput"), topic.throughput), topic.name)
        for index, topic in enumerate(workload.topics)
    ]
    carried = _sum(rate for rate, name in rates if mirroring is not None and mirroring.mirrors(name))
    return carried, _sum(rate for rate, _ in rates)


def ceilings_of(environment: Environment) -> tuple[float, ...]:
    """The most of each limit that is used: as named, else the one for all, else kdeploy's own."""
    settings = environment.planner
    return tuple(
        settings.ceilings.get(limit, settings.utilisation or usual) for limit, usual in CEILINGS.items()
    )


@dataclass(frozen=True)
class _Part:
    """A topic with all that it inherits, or the whole workload."""

    rate: Amount
    fan_out: Amount
    retention: Amount
    retention_bytes: float | None
    copies: int
    compaction: bool
    partitions: int | None
    message_size: Amount


def _parts(environment: Environment, drawn: Mapping[Place, NDArray[np.float64]]) -> Iterator[_Part]:
    workload, copies = environment.workload, environment.durability.replication_factor
    usual = {
        name: _amount(drawn, (name,), getattr(workload, name))
        for name in ("fan_out", "retention", "message_size")
    }
    logged = 1 / _recompressed(workload)[0]
    mirrored = exchanged(environment, drawn)[0] * logged
    if not workload.topics:
        yield _Part(
            rate=_amount(drawn, ("throughput",), workload.throughput) * logged + mirrored,
            retention_bytes=workload.retention_bytes,
            copies=copies,
            compaction=False,
            partitions=workload.partitions,
            **usual,
        )
    for index, topic in enumerate(workload.topics):
        own = {
            name: _amount(drawn, ("topics", index, name), getattr(topic, name))
            for name in usual
            if getattr(topic, name) is not None
        }
        yield _Part(
            rate=_amount(drawn, ("topics", index, "throughput"), topic.throughput) * logged,
            retention_bytes=topic.retention_bytes or workload.retention_bytes,
            copies=topic.replication_factor or copies,
            compaction=topic.compaction,
            partitions=topic.partitions,
            **(usual | own),
        )
    if workload.topics and np.any(mirrored):
        yield _Part(
            rate=mirrored,
            retention_bytes=workload.retention_bytes,
            copies=copies,
            compaction=False,
            partitions=None,
            **usual,
        )


def _mixed(
    parts: tuple[_Part, ...],
    peaks: list[Amount],
    partitions: list[int],
    more: Amount,
    rate: Amount,
    peak: Amount,
) -> dict[str, Any]:
    """What a list of topics has of its own: weighted averages, sums, and the busiest partition."""
    bytes_copied = _sum(part.rate * part.copies for part in parts) * more / rate
    kept: list[Amount] = []
    for part, count in zip(parts, partitions, strict=True):
        by_time = part.rate * more * part.retention
        most = math.inf if part.retention_bytes is None else part.retention_bytes * count
        kept.append(np.minimum(by_time, most) * part.copies)
    compacted = _sum(part.rate * more * part.copies for part in parts if part.compaction) / bytes_copied
    fetched = _sum(one * part.fan_out for one, part in zip(peaks, parts, strict=True))
    copies = sum(part.copies * count for part, count in zip(parts, partitions, strict=True))
    busiest: Amount = peaks[0] / partitions[0]
    longest: Amount = parts[0].retention
    for one, count, part in zip(peaks, partitions, parts, strict=True):
        busiest, longest = np.maximum(busiest, one / count), np.maximum(longest, part.retention)
    return {
        "fan_out": fetched / peak,
        "retention": longest,
        "copies_of_bytes": bytes_copied,
        "copies_of_partitions": copies / sum(partitions),
        "kept": _sum(kept),
        "compacted": compacted,
        "busiest_partition": busiest,
    }


def _amount(drawn: Mapping[Place, NDArray[np.float64]], place: Place, value: float) -> Amount:
    return drawn[place] if place in drawn else float(value)


def _sum(amounts: Any) -> Amount:  # noqa: ANN401
    total: Amount = sum(amounts, 0.0)
    return total


def _least_partitions(peak: Amount, confidence: float) -> int:
    """Partitions that the peak needs; with samples the peak that is not exceeded with that confidence."""
    if not isinstance(peak, float):
        peak = float(quantile(np.ravel(peak), confidence))
    return max(1, math.ceil(peak / PARTITION_RATE.value))


def rank(confidence: float, samples: int) -> int:
    """How many of the samples have to hold, at least: the least number that is no smaller share."""
    return max(1, math.ceil(round(confidence * samples, 6)))


def quantile(values: NDArray[np.float64], confidence: float) -> float:
    """The least of the values that is not exceeded by at least that share of them."""
    position = rank(confidence, len(values)) - 1
    return float(np.partition(values, position)[position])
