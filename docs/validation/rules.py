"""Tables and rules: what was measured or is told by key, and how the model is asked for each key.

Invariant: keys decide, never a record's name, so that a record which nobody had is compared the same way.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from functools import cache

import numpy as np

from kdeploy.planner import catalogue, figures, given, hardware, limits
from kdeploy.planner.declared import Machine
from kdeploy.planner.ensemble import spread
from kdeploy.planner.given import AskedVolumes

from .record import GIB, MB, MIB, REGION, Record, Row, records
from .runs import ask, asked, of_type, row_of, type_in


def _guidance(record: Record) -> Iterator[Row]:
    """What a managed service allows a broker: a floor under the ceiling, and its partitions.

    The volume is as fast as that service sells it for the type: 250 MiB/s, or what another record says.
    """
    measured, name = record["measured"], type_in(record["hardware"]["instance"])
    brokers, ingress = 3, measured["ingress_max_mbps"]
    fan_out = measured["egress_max_mbps"] / ingress
    throughput = _sold().get(record["hardware"]["instance"], 250.0)
    found = ask(of_type(name, brokers, AskedVolumes("gp3", throughput=throughput * MIB)), asked(fan_out, 3))
    what = f"{brokers} × {name}, 3 copies, fan-out {fan_out:.3g}, 1 × gp3 {throughput:,.0f} MiB/s"
    yield row_of(record, what, "carried", ingress * brokers, found)
    yield _replicas(record, name, measured["partitions_max"])


@cache
def _sold() -> dict[str, float]:
    """MiB/s of the fastest volume that a managed broker of a type may have."""
    tables = [(one.get("measured") or {}).get("max_mib_s", {}) for one in records()]
    return {name: rate for table in tables for name, rate in table.items()}


def _replicas(record: Record, name: str, most: float) -> Row:
    vcpus = of_type(name, 1).cores
    predicted = float(hardware.replicas_capacity(np.array([float(vcpus)]))[0])
    return Row(record, f"replicas on a {name}", "bound", most, predicted, "")


def _replicas_by_type(record: Record) -> Iterator[Row]:
    for text, (_, most) in record["measured"]["table"].items():
        smallest = re.match(r"[a-z0-9-]+\.[a-z0-9]+", text)
        if smallest and smallest[0] in catalogue.load(REGION).names:
            yield _replicas(record, smallest[0], most)


def _disk_bound(record: Record, name: str, rate: float, volume: float) -> Row:
    """What one broker writes with one copy and no reader, through one volume."""
    fleet = of_type(name, 1, AskedVolumes("gp3", 1, None, None, volume))
    found = ask(fleet, asked(0, 1))
    return row_of(
        record, f"1 × {name}, 1 × gp3 {volume / MIB:,.0f} MiB/s, writing", "ceiling", rate / MB, found
    )


def _provisioned(record: Record) -> Iterator[Row]:
    for name, rate in record["measured"]["max_mib_s"].items():
        yield _disk_bound(record, type_in(name), rate * MIB, 1000 * MIB)


def _local_disks(record: Record) -> Iterator[Row]:
    fleet = of_type(type_in(record["hardware"]["instance"]), 1)
    found = ask(fleet, asked(0, 1), encrypted=False)
    measured = record["measured"]["disk_write_mbps_total"]
    yield row_of(
        record,
        f"1 × {fleet.instance_type}, writing to {fleet.volumes[0].count} disks",
        "ceiling",
        measured,
        found,
    )


def _hitting(record: Record) -> Iterator[Row]:
    rate = record["measured"]["rf3_ingress_hitting_250_mib_s"] * 3 * MIB
    found = ask(of_type("m5.2xlarge", 3, AskedVolumes("gp3", 1, None, None, 250 * MIB)), asked(0, 3))
    yield row_of(record, "3 × m5.2xlarge, 3 copies, 1 × gp3 250 MiB/s", "ceiling", rate / MB, found)


def _written(record: Record) -> Iterator[Row]:
    for row in record["measured"]["table_rows"]:
        each = row["write_mbps"] * MIB / row["brokers"]
        machine = Machine(64, 2.0**38, disks=1, disk_throughput=each)
        fleet = given.of_machine("dc1", machine, spread(row["brokers"], ("r0",)))
        found = ask(fleet, asked(row["consumers"], row["rf"], message_size=f"{row['msg_bytes']}B"))
        rate = row["msg_bytes"] * row["rate"] * row["topics"]
        what = f"{row['brokers']} brokers whose disks write {each / MB:.0f} MB/s, {row['rf']} copies"
        yield row_of(record, what, "ceiling", rate / MB, found)
        if "read_mbps" in row:
            yield _sent(record, row, rate)


def _sent(record: Record, row: dict[str, float], rate: float) -> Row:
    """The rate at which brokers send what they are told to read: copies to followers, and all to consumers."""
    brokers = int(row["brokers"])
    each = row["read_mbps"] * MIB / brokers
    fleet = given.of_machine("dc1", Machine(64, 2.0**38, network=each), spread(brokers, ("r0",)))
    wanted = asked(row["consumers"], int(row["rf"]), message_size=f"{row['msg_bytes']}B")
    found = ask(fleet, wanted, encrypted=False)
    what = f"{brokers} brokers whose network sends {each / MB:.0f} MB/s, {row['rf']} copies, fan-out {row['consumers']}"
    return row_of(record, what, "ceiling", rate / MB, found)


def _column(record: Record, table: dict[str, float], column: str, unit: float, what: str) -> Iterator[Row]:
    shapes = catalogue.load(REGION)
    for name, value in table.items():
        if name in shapes.names:
            own = float(getattr(shapes, column)[shapes.names.index(name)])
            yield Row(record, f"{what} of {name}", "figure", value * unit / MB, own / MB)


def _baselines(record: Record) -> Iterator[Row]:
    measured = record["measured"]
    yield from _column(record, measured.get("baseline_mbit_s", {}), "network", 1e6 / 8, "network")
    yield from _column(record, measured.get("ebs_mb_s", {}), "ebs_throughput", MB, "EBS throughput")
    yield from _column(record, measured.get("standard_net_mib_s", {}), "network", MIB, "network")
    for name, rate in measured.get("standard_ebs_mib_s", {}).items():
        yield _disk_bound(record, name, rate * MIB, 1000 * MIB if rate > 250 else 250 * MIB)


def _volume(record: Record) -> Iterator[Row]:
    """AWS raises what a volume may have: an older figure is a floor."""
    gp3, measured = catalogue.load(REGION).gp3, record["measured"]
    if "gp3_iops" in measured:
        yield Row(
            record, "operations of a gp3 volume", "carried", measured["gp3_iops"][1], gp3.most_iops, "/s"
        )
    if "gp3_mib_s" in measured:
        most = gp3.most_throughput / MIB
        yield Row(record, "throughput of a gp3 volume", "carried", measured["gp3_mib_s"][1], most, "MiB/s")


def _replica_rules(record: Record) -> Iterator[Row]:
    measured = record["measured"]
    each = max(replicas for _, replicas in figures.REPLICAS_PER_BROKER)
    cluster = figures.REPLICAS_PER_CLUSTER
    known = {
        "partitions_per_broker": ("replicas per broker", each),
        "max.replicas.per.broker": ("replicas per broker", each),
        "partitions_per_cluster": ("replicas per cluster, ZooKeeper", cluster["zookeeper"]),
        "zk_max_partitions": ("replicas per cluster, ZooKeeper", cluster["zookeeper"]),
        "partitions_tested": ("replicas per cluster, KRaft", cluster["kraft"]),
    }
    for key, (what, own) in known.items():
        if key in measured:
            yield Row(record, what, "bound", measured[key], own, "")


def _thresholds(record: Record) -> Iterator[Row]:
    known = {
        "cpu.capacity.threshold": ("cpu", 1.0),
        "disk.capacity.threshold": ("disk_space", 1.0),
        "network.inbound.capacity.threshold": ("network_in", 1.0),
        "network.outbound.capacity.threshold": ("network_out", 1.0),
        "cpu_target_pct": ("cpu", 0.01),
        "disk_warn_pct": ("disk_space", 0.01),
        "heap_after_gc_alarm_pct": ("heap", 0.01),
    }
    for key, (limit, unit) in known.items():
        if key in record["measured"]:
            ceiling = {str(name): most for name, most in figures.CEILINGS.items()}[limit]
            measured = record["measured"][key] * unit * 100
            yield Row(record, f"ceiling of {limits.in_words(limit)}", "bound", measured, ceiling * 100, "%")


def _encryption(record: Record) -> Iterator[Row]:
    """What encryption takes of a processor, by the same question asked twice."""
    fleet = of_type("m5.2xlarge", 3)
    plain, encrypted = (ask(fleet, asked(1, 3), encrypted=how).limits["cpu"] for how in (False, True))
    if plain and encrypted:
        measured = record["measured"]["plaintext_over_ssl"]
        yield Row(
            record, "rate of plaintext over TLS, by the processor", "bound", measured, plain / encrypted, "×"
        )


def _codecs(record: Record) -> Iterator[Row]:
    """Processor time to look into a compressed byte: ratio over speed of decompression."""
    return _of_codecs(record, "decompress_mb_s", "looking into", figures.DECOMPRESSION)


def _making(record: Record) -> Iterator[Row]:
    """Processor time to compress a byte anew, as it is then: ratio over speed of compression."""
    return _of_codecs(record, "compress_mb_s", "making", figures.COMPRESSION)


def _of_codecs(record: Record, speeds: str, doing: str, seconds: Mapping[str, float]) -> Iterator[Row]:
    """A row for each codec that Kafka has; `seconds` are the planner's for a byte."""
    measured = record["measured"]
    share = measured.get("ratio_pct_of_original")
    for name, speed in measured[speeds].items():
        codec = {"zstd -1": "zstd", "zlib -1": "gzip", "snappy 1.1.9": "snappy"}.get(name)
        codec = "lz4" if name.startswith("lz4") else codec
        if codec:
            ratio = 100 / share[name] if share else measured["ratio"][name]
            own = seconds[codec] * 1e9
            yield Row(record, f"{doing} {codec}", "figure", ratio / speed * 1e3, own, "vCPU s/GB")


def _page_cache(record: Record) -> Iterator[Row]:
    seconds = re.fullmatch(r"write_throughput\*(\d+)", str(record["measured"]["memory_bytes"]))
    if seconds:
        own = figures.HOT_WINDOW.value
        yield Row(record, "page cache, by the write rate", "figure", float(seconds[1]), own, "s")


def _allowed(record: Record) -> Iterator[Row]:
    """What a service or a company has: the model must not call less the most."""
    measured = record["measured"]
    for key in ("max_brokers_per_cluster", "brokers_per_cluster_zk", "brokers_per_cluster_kraft"):
        if key in measured:
            yield Row(record, "brokers of a cluster", "carried", measured[key], limits.MOST_BROKERS, "")
    if "storage_gib_max" in measured:
        most = catalogue.load(REGION).gp3.most_size / GIB
        yield Row(record, "size of a gp3 volume", "carried", measured["storage_gib_max"], most, "GiB")
    if "tcp_connections_iam" in measured:
        shapes = catalogue.load(REGION)
        memory = shapes.memory[[shapes.names.index("m5.large")]]
        share = figures.CONNECTIONS_SHARE.value / figures.HEAP_PER_CONNECTION.value
        most = float(hardware.heap(memory)[0]) * share
        yield Row(record, "clients of a m5.large", "carried", measured["tcp_connections_iam"], most, "")


def _crossing(record: Record) -> Iterator[Row]:
    own = catalogue.load(REGION).cross_zone_usd_per_gib
    yield Row(
        record,
        "1,000 GB between zones",
        "figure",
        record["measured"]["usd_per_gb_total"] * 1e3,
        own * 1e3,
        "USD",
    )


TABLES: tuple[tuple[tuple[str, ...], Callable[[Record], Iterator[Row]]], ...] = (
    (("ingress_max_mbps",), _guidance),
    (("table",), _replicas_by_type),
    (("max_mib_s",), _provisioned),
    (("disk_write_mbps_total",), _local_disks),
    (("rf3_ingress_hitting_250_mib_s",), _hitting),
    (("table_rows",), _written),
    (("baseline_mbit_s", "ebs_mb_s", "standard_ebs_mib_s"), _baselines),
    (("gp3_iops", "gp3_mib_s"), _volume),
    (("partitions_per_cluster", "zk_max_partitions", "max.replicas.per.broker"), _replica_rules),
    (("cpu.capacity.threshold", "cpu_target_pct", "heap_after_gc_alarm_pct"), _thresholds),
    (("plaintext_over_ssl",), _encryption),
    (("decompress_mb_s",), _codecs),
    (("compress_mb_s",), _making),
    (("memory_bytes",), _page_cache),
    (("max_brokers_per_cluster", "storage_gib_max", "tcp_connections_iam"), _allowed),
    (("usd_per_gb_total",), _crossing),
)
"""Keys of what was measured, and how the model is asked for it."""
