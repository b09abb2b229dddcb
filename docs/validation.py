"""The model against the world: every published figure that it can be asked for, predicted beside measured.

Each record of docs/benchmarks.yaml becomes questions by its own fields alone: its hardware, the
number of brokers, copies, fan-out, encryption, record size and partitions; or it says in a line
why there is nothing to ask. Invariant: no record has a rule of its own, so that a figure which
nobody had when this was written is compared the same way.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from ruamel.yaml import YAML

from kdeploy.planner import catalogue, figures, given, limits
from kdeploy.planner.capacity import FleetCapacity, Question, capacity
from kdeploy.planner.declared import Machine
from kdeploy.planner.ensemble import spread
from kdeploy.planner.given import AskedVolumes, Given
from kdeploy.spec.model import Environment

DATA = Path(__file__).with_name("benchmarks.yaml")
MB, MIB, GIB = 1e6, 2.0**20, 2.0**30
REGION = "us-east-1"

RECORD_OVERHEAD = 22
"""Bytes that Kafka adds to a record in the log (LinkedIn's figure, in its own records of the data;
today's format adds less)."""

KEPT_UP = 0.95
"""A run in which consumers read less of what was produced did not carry its load."""

CLOSE = 0.10
"""How far a predicted ceiling may be from the measured one."""

Record = dict[str, Any]


@dataclass(frozen=True)
class Row:
    """One figure.

    Attributes:
        record: The record's id.
        what: What was measured, in words.
        kind: ceiling (the model should say the same), carried (it should say at least as much), bound
            (at most as much), overload (a load that was not carried: less), figure (an input of the model).
        measured: In `unit`.
        predicted: In `unit`; 0 where the model says that nothing fits.
        unit: Printed after both.
        limit: The limit that sets the prediction, in words.
    """

    record: Record
    what: str
    kind: str
    measured: float
    predicted: float
    unit: str = "MB/s"
    limit: str = ""

    @property
    def error(self) -> float:
        """Predicted over measured, less one."""
        return self.predicted / self.measured - 1

    @property
    def holds(self) -> bool:
        """Whether the model says what it should."""
        if self.kind in ("ceiling", "figure"):
            return abs(self.error) <= CLOSE
        return self.error >= -1e-9 if self.kind == "carried" else self.error <= 1e-9

    @property
    def calibration(self) -> bool:
        """Whether the model may have been fitted to it."""
        return str(self.record.get("check", "")).startswith("calibration")


class NotComparedError(Exception):
    """There is nothing in a record to ask the model for; the message says why."""


def records() -> list[Record]:
    """Every published figure."""
    found: list[Record] = YAML(typ="safe").load(DATA.read_text())
    return found


def compared(record: Record) -> list[Row]:
    """What a record measured, beside what the model says.

    Raises:
        NotComparedError: It measured nothing that the model says.
    """
    if record.get("confidence") == "recalled":
        raise NotComparedError("from memory only: it checks nothing")
    measured = record.get("measured") or {}
    rows = [row for has, ask in TABLES if any(key in measured for key in has) for row in ask(record)]
    if rows:
        return rows
    if record["kind"] == "setting":
        raise NotComparedError("a setting, not a rate; the rendered files hold it")
    if record["kind"] == "benchmark":
        return list(_benchmark(record))
    if record["kind"] == "fleet":
        return list(_running(record))
    if record.get("quote") and not measured:
        raise NotComparedError("a rule in words, without a measured figure")
    raise NotComparedError("nothing that the model says: " + _first_words(record))


def _first_words(record: Record) -> str:
    known = ", ".join((record.get("measured") or {"a rule in words": None}).keys())
    return known if len(known) <= 70 else known[:67] + "..."


# --- questions


def ask(fleet: Given, environment: Environment, encrypted: bool = True) -> FleetCapacity:
    """The physical ceiling of a fleet."""
    question = Question(utilisation=1.0, encrypted=encrypted, space=False)
    return capacity(environment, (fleet,), question).weakest


def _workload(fan_out: float, copies: int, racks: int = 1, **values: Any) -> Environment:  # noqa: ANN401
    place = {"provider": "aws", "region": REGION, "racks": [f"r{n}" for n in range(racks)]}
    return Environment.model_validate(
        {
            "name": "benchmark",
            "workload": {"peak_factor": 1.0, "fan_out": fan_out, **values},
            "durability": {
                "replication_factor": copies,
                "min_insync_replicas": max(1, copies - 1),
                "survive": "none",
            },
            "datacenters": [place],
        }
    )


def _of_type(name: str, brokers: int, volumes: AskedVolumes | None = None) -> Given:
    return given.of_type(name, REGION, spread(brokers, ("r0",)), volumes or AskedVolumes())


def _type_in(text: str) -> str:
    """The EC2 type that a text names."""
    found = re.search(r"(?:kafka\.|express\.)?\b([a-z]+\d+[a-z-]*\.(?:\d*x?large|small|medium|metal))", text)
    if found is None:
        raise NotComparedError("the hardware is not told")
    if "express." in text:
        raise NotComparedError("an Express broker keeps its log in a store of AWS's own, not on its disks")
    if found[1] not in catalogue.load(REGION).names:
        raise NotComparedError(
            f"{found[1]} is not in the catalogue (former generation, or cannot sustain its rate)"
        )
    return found[1]


def _fleet(record: Record) -> Given:
    """The brokers of a record: an EC2 type, or a machine as far as it is described."""
    hardware = record.get("hardware") or {}
    brokers = int(hardware.get("brokers", 0))
    if not brokers or not ({"instance", "container"} & hardware.keys()):
        raise NotComparedError("the hardware is not told")
    text = str(hardware.get("container") or hardware["instance"])
    described = _machine(text, str(hardware.get("network", "")))
    if described is not None:
        return given.of_machine("dc1", described, spread(brokers, ("r0",)))
    return _of_type(_type_in(text), brokers)


def _machine(text: str, network: str) -> Machine | None:
    """A machine that is described by cores and memory; its disks' rate is not told, so they are no limit."""
    text = text.replace("dual quad-core", "8 cores")
    cores, memory = re.search(r"(\d+) (?:cores|CPU\b)", text), re.search(r"(\d+) GB RAM", text)
    if cores is None or memory is None:
        return None
    link = re.search(r"(\d+) Gb Ethernet", network)
    return Machine(
        cores=int(cores[1]), memory=float(memory[1]) * GIB, network=float(link[1]) * 1e9 / 8 if link else None
    )


# --- runs


def _benchmark(record: Record) -> Iterator[Row]:
    """A run: what it carried the model must call feasible; what it could not, not."""
    measured, workload = record.get("measured") or {}, record.get("workload") or {}
    records_per_second = measured.get("records_per_s")
    size = float(workload.get("msg_bytes", 1000))
    if records_per_second:
        rate = records_per_second * (size + RECORD_OVERHEAD) / MB
    elif "throughput_mbps" in measured:
        rate = float(measured["throughput_mbps"])
    else:
        raise NotComparedError("no produce rate was measured: " + _first_words(record))
    fleet = _fleet(record)
    consumed = measured.get("consume_records_per_s")
    copies = int(workload.get("rf", min(3, fleet.count)))
    partitions = workload.get("partitions")
    environment = _workload(
        float(workload.get("fanout", 0)),
        copies,
        message_size=f"{size + RECORD_OVERHEAD}B",
        **({"partitions": partitions} if partitions else {}),
    )
    found = ask(fleet, environment, encrypted=workload.get("tls") is not False)
    check = str(record.get("check", ""))
    kind, remark = "carried", ""
    if "ceiling" in check or "per-partition cap" in check:
        kind = "ceiling"
    elif consumed and consumed < KEPT_UP * records_per_second:
        kind, remark = "overload", f"; consumers read {consumed / records_per_second:.0%} of it"
    elif "exceeds" in check:
        kind, remark = "overload", "; followers lagged"
    yield _row(record, f"{_in_words(fleet, copies, workload)}{remark}", kind, rate, found)


def _row(record: Record, what: str, kind: str, rate: float, found: FleetCapacity) -> Row:
    predicted = (found.throughput or 0.0) / MB if found.feasible else 0.0
    return Row(record, what, kind, rate, predicted, limit=limits.in_words(found.bottleneck or ""))


def _in_words(fleet: Given, copies: int, workload: Record) -> str:
    name = fleet.instance_type or f"{fleet.cores} cores"
    words = [f"{fleet.count} × {name}", f"{copies} {'copy' if copies == 1 else 'copies'}"]
    words.append(f"fan-out {workload.get('fanout', 0):g}")
    if workload.get("partitions"):
        words.append(f"{workload['partitions']:,} partitions")
    if workload.get("msg_bytes"):
        words.append(f"{workload['msg_bytes']:,} B")
    return ", ".join(words)


def _running(record: Record) -> Iterator[Row]:
    """A cluster that runs: the model must not call it too small, with planning's own caution left out."""
    workload, measured = record.get("workload") or {}, record.get("measured") or {}
    if "partitions_per_broker" in measured:
        most = max(replicas for _, replicas in figures.REPLICAS_PER_BROKER)
        yield Row(record, "replicas per broker", "carried", measured["partitions_per_broker"], most, "")
        return
    rate = workload.get("write_mbps")
    if rate is None:
        raise NotComparedError("the load of one cluster is not told")
    fleet = _fleet(record)
    environment = _workload(
        workload["read_mbps"] / rate,
        int(workload["rf"]),
        partitions=workload["partitions"],
        message_size=f"{rate * MB / workload['records_per_s']!r}B",
    )
    shown = {"fanout": workload["read_mbps"] / rate, "partitions": workload["partitions"]}
    what = _in_words(fleet, int(workload["rf"]), shown)
    yield _row(record, what, "carried", float(rate), ask(fleet, environment))


# --- tables and rules


def _guidance(record: Record) -> Iterator[Row]:
    """What a managed service allows a broker: a floor under the ceiling, and its partitions.

    The volume is as fast as that service sells it for the type: 250 MiB/s, or what another record says.
    """
    measured, name = record["measured"], _type_in(record["hardware"]["instance"])
    brokers, ingress = 3, measured["ingress_max_mbps"]
    fan_out = measured["egress_max_mbps"] / ingress
    throughput = _sold().get(record["hardware"]["instance"], 250.0)
    found = ask(
        _of_type(name, brokers, AskedVolumes("gp3", throughput=throughput * MIB)), _workload(fan_out, 3)
    )
    what = f"{brokers} × {name}, 3 copies, fan-out {fan_out:.3g}, 1 × gp3 {throughput:,.0f} MiB/s"
    yield _row(record, what, "carried", ingress * brokers, found)
    yield _replicas(record, name, measured["partitions_max"])


@cache
def _sold() -> dict[str, float]:
    """MiB/s of the fastest volume that a managed broker of a type may have."""
    tables = [(one.get("measured") or {}).get("max_mib_s", {}) for one in records()]
    return {name: rate for table in tables for name, rate in table.items()}


def _replicas(record: Record, name: str, most: float) -> Row:
    vcpus = _of_type(name, 1).cores
    predicted = float(limits.replicas_capacity(np.array([float(vcpus)]))[0])
    return Row(record, f"replicas on a {name}", "bound", most, predicted, "")


def _replicas_by_type(record: Record) -> Iterator[Row]:
    for text, (_, most) in record["measured"]["table"].items():
        smallest = re.match(r"[a-z0-9-]+\.[a-z0-9]+", text)
        if smallest and smallest[0] in catalogue.load(REGION).names:
            yield _replicas(record, smallest[0], most)


def _disk_bound(record: Record, name: str, rate: float, volume: float) -> Row:
    """What one broker writes with one copy and no reader, through one volume."""
    fleet = _of_type(name, 1, AskedVolumes("gp3", 1, None, None, volume))
    found = ask(fleet, _workload(0, 1))
    return _row(
        record, f"1 × {name}, 1 × gp3 {volume / MIB:,.0f} MiB/s, writing", "ceiling", rate / MB, found
    )


def _provisioned(record: Record) -> Iterator[Row]:
    for name, rate in record["measured"]["max_mib_s"].items():
        yield _disk_bound(record, _type_in(name), rate * MIB, 1000 * MIB)


def _local_disks(record: Record) -> Iterator[Row]:
    fleet = _of_type(_type_in(record["hardware"]["instance"]), 1)
    found = ask(fleet, _workload(0, 1), encrypted=False)
    measured = record["measured"]["disk_write_mbps_total"]
    yield _row(
        record,
        f"1 × {fleet.instance_type}, writing to {fleet.volumes[0].count} disks",
        "ceiling",
        measured,
        found,
    )


def _hitting(record: Record) -> Iterator[Row]:
    rate = record["measured"]["rf3_ingress_hitting_250_mib_s"] * 3 * MIB
    found = ask(_of_type("m5.2xlarge", 3, AskedVolumes("gp3", 1, None, None, 250 * MIB)), _workload(0, 3))
    yield _row(record, "3 × m5.2xlarge, 3 copies, 1 × gp3 250 MiB/s", "ceiling", rate / MB, found)


def _written(record: Record) -> Iterator[Row]:
    for row in record["measured"]["table_rows"]:
        each = row["write_mbps"] * MIB / row["brokers"]
        machine = Machine(64, 2.0**38, disks=1, disk_throughput=each)
        fleet = given.of_machine("dc1", machine, spread(row["brokers"], ("r0",)))
        found = ask(fleet, _workload(row["consumers"], row["rf"], message_size=f"{row['msg_bytes']}B"))
        rate = row["msg_bytes"] * row["rate"] * row["topics"]
        what = f"{row['brokers']} brokers whose disks write {each / MB:.0f} MB/s, {row['rf']} copies"
        yield _row(record, what, "ceiling", rate / MB, found)


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
    }
    for key, (limit, unit) in known.items():
        if key in record["measured"]:
            ceiling = {str(name): most for name, most in figures.CEILINGS.items()}[limit]
            measured = record["measured"][key] * unit * 100
            yield Row(record, f"ceiling of {limits.in_words(limit)}", "bound", measured, ceiling * 100, "%")


def _encryption(record: Record) -> Iterator[Row]:
    """What encryption takes of a processor, by the same question asked twice."""
    fleet = _of_type("m5.2xlarge", 3)
    plain, encrypted = (ask(fleet, _workload(1, 3), encrypted=how).limits["cpu"] for how in (False, True))
    if plain and encrypted:
        measured = record["measured"]["plaintext_over_ssl"]
        yield Row(
            record, "rate of plaintext over TLS, by the processor", "bound", measured, plain / encrypted, "×"
        )


def _codecs(record: Record) -> Iterator[Row]:
    """Processor time to look into a compressed byte: ratio over speed of decompression."""
    measured = record["measured"]
    share = measured.get("ratio_pct_of_original")
    for name, speed in measured["decompress_mb_s"].items():
        codec = {"zstd -1": "zstd", "zlib -1": "gzip", "snappy 1.1.9": "snappy"}.get(name)
        codec = "lz4" if name.startswith("lz4") else codec
        if codec:
            ratio = 100 / share[name] if share else measured["ratio"][name]
            own = figures.DECOMPRESSION[codec] * 1e9
            yield Row(record, f"looking into {codec}", "figure", ratio / speed * 1e3, own, "vCPU s/GB")


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
    (("cpu.capacity.threshold", "cpu_target_pct"), _thresholds),
    (("plaintext_over_ssl",), _encryption),
    (("decompress_mb_s",), _codecs),
    (("usd_per_gb_total",), _crossing),
)
"""Keys of what was measured, and how the model is asked for it."""


# --- the page

HEAD = """# The model against the world

Every published figure of [benchmarks.yaml](benchmarks.yaml) that the model can be asked for, as
`kdeploy capacity --utilisation 100% --survive none` answers it, beside what was measured. A record becomes a
question by its own fields (hardware, brokers, copies, fan-out, encryption, record size, partitions), and
no record has a rule of its own. The model was fitted to the records marked *calibration* only, where it was
fitted at all. This page is generated (`make docs`), and a test compares it.

- A **ceiling** is the most that something carried: the model should say the same, within 10 %.
- A load that was **carried** says nothing of the most: the model must say at least as much. Many runs are
  bound by their clients, and what a managed service recommends has headroom in it.
- An **overload** was tried and not carried (consumers or followers fell behind): the model must say less.
- A **bound** is a rule's most: the model must not go beyond it.
- A **figure** is an input of the model: it should be the same, within 10 %.
"""

TITLES = {
    "ceiling": "Ceilings",
    "carried": "Loads that were carried",
    "overload": "Overloads",
    "bound": "Bounds",
    "figure": "Figures the model takes in",
}

PHYSICS = """## What the figures mean

- *Baselines, not bursts.* A type's network and EBS rates are what it sustains. A short test of a small type can
  run at its burst (an m5.large at 10 Gbit/s of network, 4,750 Mbit/s of EBS), several times what it sustains;
  the model calls that more than it can take, on purpose.
- *MB and MiB.* AWS counts volumes in MiB/s and instances in Mbit/s; several of its own tables print an
  instance's MB/s as MiB/s. That is the 4.5 to 7 % by which the model is below them.
- *Disks.* What a benchmark reaches is 92 % of what its disks wrote when nothing else ran (605 and 655 MB/s):
  file system, indexes and the unevenness of partitions. The model's ceiling leaves that out; its
  planning ceiling of 80 % does not.
- *Records.* Rates are bytes in the log: 22 B for each record are added to a benchmark's payload.
- *What is not told.* Disks and networks that a record does not describe are no limit in its question, so such
  a row can only show that the other limits do not refuse what ran.
"""


def page() -> str:
    """docs/validation.md, whole."""
    rows: list[Row] = []
    skipped: dict[str, list[str]] = {}
    for record in records():
        try:
            rows += compared(record)
        except NotComparedError as why:
            skipped.setdefault(str(why), []).append(record["id"])
    parts = [
        HEAD,
        _summary(rows, skipped),
        *(_group(kind, rows) for kind in TITLES),
        PHYSICS,
        _skipped(skipped),
    ]
    return "\n".join(parts)


def _summary(rows: list[Row], skipped: dict[str, list[str]]) -> str:
    def held(kind: str, calibration: bool) -> str:
        of = [row for row in rows if row.kind == kind and row.calibration == calibration]
        return f"{sum(row.holds for row in of)} of {len(of)}" if of else "none"

    names = {
        "ceiling": "ceilings within 10 %",
        "carried": "carried loads called feasible",
        "overload": "overloads not called feasible",
        "bound": "bounds respected",
        "figure": "figures within 10 %",
    }
    lines = ["| | not fitted to | calibration |", "|---|---|---|"]
    lines += [f"| {name} | {held(kind, False)} | {held(kind, True)} |" for kind, name in names.items()]
    known = len({row.record["id"] for row in rows})
    left = sum(map(len, skipped.values()))
    return "\n".join(
        [
            "## Summary",
            "",
            f"{known} records gave {len(rows)} comparisons; {left} records could not be compared.",
            "",
            *lines,
            "",
        ]
    )


def _group(kind: str, rows: list[Row]) -> str:
    lines = [f"## {TITLES[kind]}", "", "| record | what | measured | predicted | set by | error | |"]
    lines.append("|---|---|---:|---:|---|---:|---|")
    for row in rows:
        if row.kind != kind:
            continue
        name = f"[{row.record['id']}]" + (" *calibration*" if row.calibration else "")
        predicted = _number(row.predicted, row.unit) if row.predicted else "nothing fits"
        mark = "" if row.holds else " ✗"
        lines.append(
            f"| {name} | {row.what} | {_number(row.measured, row.unit)} | {predicted} | {row.limit} "
            f"| {round(row.error, 3) + 0.0:+.1%}{mark} | `{_chart(row.error)}` |"
        )
    return "\n".join([*lines, ""])


def _number(value: float, unit: str) -> str:
    shown = f"{value:,.0f}" if value >= 1000 or value == round(value) else f"{value:.3g}"
    return f"{shown} {unit}".rstrip()


HALF = 10
"""Cells of the chart on each side; each is two per cent."""


def _chart(error: float) -> str:
    """The error as a bar left or right of the middle, with an arrow where it goes on."""
    cells = min(HALF, round(abs(error) * 100 / 2))
    beyond = abs(error) * 100 / 2 > HALF
    bar = "█" * (cells - beyond)
    left = ("◀" if beyond else "") + bar if error < 0 else ""
    right = bar + ("▶" if beyond else "") if error > 0 else ""
    return f"{left:·>{HALF}}│{right:·<{HALF}}"


def _skipped(skipped: dict[str, list[str]]) -> str:
    lines = ["## What could not be compared", "", "| why | records |", "|---|---|"]
    lines += [f"| {why} | {', '.join(names)} |" for why, names in skipped.items()]
    return "\n".join([*lines, ""])


def _sources(rows: list[Row]) -> str:
    """Where each record's name leads: its source, or the record itself where that has no address."""
    found = {}
    for row in rows:
        address = str((row.record.get("source") or {}).get("address", ""))
        is_link = address.startswith("http") and " " not in address
        found[row.record["id"]] = address if is_link else "benchmarks.yaml"
    return "\n".join(f"[{name}]: {address}" for name, address in found.items()) + "\n"
