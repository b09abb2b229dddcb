"""Runs and running clusters: what each carried, asked of the model as the physical ceiling of its fleet.

Invariant: a record becomes a question by its own fields alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from kdeploy.planner import catalogue, figures, given, limits
from kdeploy.planner.capacity import FleetCapacity, Question, capacity
from kdeploy.planner.declared import Machine
from kdeploy.planner.ensemble import spread
from kdeploy.planner.given import AskedVolumes, Given
from kdeploy.spec.model import Environment

from .record import GIB, MB, REGION, NotComparedError, Record, Row, first_words

RECORD_OVERHEAD = 22
"""Bytes that Kafka adds to a record in the log (LinkedIn's figure, in its own records of the data;
today's format adds less)."""

KEPT_UP = 0.95
"""A run in which consumers read less of what was produced did not carry its load."""


def ask(fleet: Given, environment: Environment, encrypted: bool = True) -> FleetCapacity:
    """The physical ceiling of a fleet."""
    question = Question(utilisation=1.0, encrypted=encrypted, space=False)
    return capacity(environment, (fleet,), question).weakest


def asked(fan_out: float, copies: int, racks: int = 1, **values: Any) -> Environment:  # noqa: ANN401
    """What is asked of the model: no peak above the rate, and no failure."""
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


def of_type(name: str, brokers: int, volumes: AskedVolumes | None = None) -> Given:
    """Brokers of an EC2 type in one rack."""
    return given.of_type(name, REGION, spread(brokers, ("r0",)), volumes or AskedVolumes())


def type_in(text: str) -> str:
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
    return of_type(type_in(text), brokers)


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


def benchmark(record: Record) -> Iterator[Row]:
    """A run: what it carried the model must call feasible; what it could not, not."""
    measured, workload = record.get("measured") or {}, record.get("workload") or {}
    records_per_second = measured.get("records_per_s")
    size = float(workload.get("msg_bytes", 1000))
    if records_per_second:
        rate = records_per_second * (size + RECORD_OVERHEAD) / MB
    elif "throughput_mbps" in measured:
        rate = float(measured["throughput_mbps"])
    else:
        raise NotComparedError("no produce rate was measured: " + first_words(record))
    fleet = _fleet(record)
    consumed = measured.get("consume_records_per_s")
    copies = int(workload.get("rf", min(3, fleet.count)))
    partitions = workload.get("partitions")
    environment = asked(
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
    yield row_of(record, f"{_in_words(fleet, copies, workload)}{remark}", kind, rate, found)


def row_of(record: Record, what: str, kind: str, rate: float, found: FleetCapacity) -> Row:
    """A rate that was measured beside the answer."""
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


def running(record: Record) -> Iterator[Row]:
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
    environment = asked(
        workload["read_mbps"] / rate,
        int(workload["rf"]),
        partitions=workload["partitions"],
        message_size=f"{rate * MB / workload['records_per_s']!r}B",
    )
    shown = {"fanout": workload["read_mbps"] / rate, "partitions": workload["partitions"]}
    what = _in_words(fleet, int(workload["rf"]), shown)
    yield row_of(record, what, "carried", float(rate), ask(fleet, environment))
