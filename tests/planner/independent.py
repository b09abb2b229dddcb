"""A second reading of docs/planner.md, in plain Python: no arrays, and nothing of kdeploy's own limits.

It takes what a person asked for and what was planned, both as JSON, works out every load of the
busiest broker by the formulas of the page, and says how full each limit is. Only what EC2 offers is
taken from the catalogue's file. It is what the planner is held against on many workloads.
"""

from __future__ import annotations

import json
import math
from importlib import resources
from types import SimpleNamespace
from typing import Any

TCP, TLS = 1 + 52 / 1448, 1 + 22 / 16384
DECOMPRESSION = {
    "none": 0.0,
    "lz4": 2.101 / 4000e6,
    "snappy": 2.073 / 1660e6,
    "gzip": 2.743 / 400e6,
    "zstd": 2.887 / 1580e6,
}
RATIO = {"none": 1.0, "lz4": 2.101, "snappy": 2.073, "gzip": 2.743, "zstd": 2.887}
SPEED = {"lz4": 700e6, "snappy": 530e6, "gzip": 95e6, "zstd": 510e6}
CEILINGS = {
    **dict.fromkeys(("network_in", "network_out", "disk_write", "disk_read", "disk_throughput"), 0.8),
    **dict.fromkeys(("disk_iops", "disk_space", "partition_rate", "single_flow", "cross_region"), 0.8),
    **dict.fromkeys(("open_files", "memory_maps"), 0.8),
    **dict.fromkeys(("memory", "partitions", "connections", "rebuild"), 1.0),
    **dict.fromkeys(("cpu", "heap"), 0.6),
    **dict.fromkeys(("far_followers", "mirror_flow"), 0.5),
}
DAY, GIB = 86400.0, 2.0**30
CATALOGUE: dict[str, Any] = json.loads(
    resources.files("kdeploy.planner.data").joinpath("catalogue.json").read_text("utf-8")
)


def quantity(text: str) -> float:
    """A quantity in its base unit, as the environment's JSON has it: 1000.0B/s, 60s, 30%."""
    if text.endswith("%"):
        return float(text[:-1]) / 100
    return float(text.removesuffix("/s").removesuffix("B").removesuffix("s"))


def shape(name: str) -> dict[str, float]:
    """One EC2 type as the file has it."""
    return dict(zip(CATALOGUE["columns"], CATALOGUE["shapes"][name], strict=True))


def utilisation(environment: dict[str, Any], planned: dict[str, Any]) -> dict[str, float]:
    """How full each limit is, by the documentation, for one workload without a list of topics.

    Args:
        environment: As `Environment.to_json` has it.
        planned: A datacenter of `Plan.to_json`, in EC2.
    """
    count = planned["brokers"]["count"]
    racks = len(environment["datacenters"][0]["racks"])
    even = -(-count // racks) * racks
    every = [_alone(environment, planned, brokers) for brokers in range(count, even + 1)]
    found = {limit: max(one[limit] for one in every) for limit in every[0]}
    if "_in" in found:  # what has to be moved within the objective, over what the average load leaves
        parts = [(found[f"_rebuild_{part}"], found[f"_{part}"]) for part in ("in", "write", "out", "flow")]
        found["rebuild"] = max((both - usual) / max(1 - usual, 1e-9) for both, usual in parts)
    return {limit: ratio for limit, ratio in found.items() if not limit.startswith("_")}


def _alone(environment: dict[str, Any], planned: dict[str, Any], n: int) -> dict[str, float]:
    asked, spread = _asked(environment), SimpleNamespace()
    volumes = planned["brokers"]["volumes"][0]
    _spread(asked, spread, n, volumes["count"])
    load = _loads(asked, spread)
    ec2 = shape(planned["brokers"]["instance_type"])
    found = _ratios(asked, spread, load, ec2)
    disk = volumes["throughput"] * volumes["count"]
    found |= {
        "disk_write": load.written / disk,
        "disk_space": load.space / (volumes["size"] * volumes["count"]),
    }
    if volumes["type"] != "local-nvme":
        both = load.written + load.read
        operations = min(volumes["iops"] * volumes["count"], ec2["ebs_baseline_iops"])
        found["disk_throughput"] = both / min(disk, ec2["ebs_baseline_mb_s"] * 1e6)
        found["disk_iops"] = both / 131072 / operations
        return found
    return found | {"disk_read": load.read / disk} | _rebuilt(asked, spread, load, disk, ec2)


def _asked(environment: dict[str, Any]) -> SimpleNamespace:
    """What is asked for, in base units, at the end of the horizon."""
    asked, durability, place = environment["workload"], environment["durability"], environment["datacenters"]
    settings = environment["planner"]
    growth = (1 + quantity(asked["growth"])) ** (quantity(asked["horizon"]) / (365 * DAY))
    codec, kept = asked["compression"], asked["topic_compression"] or asked["compression"]
    arriving = RATIO[kept] / RATIO[codec]
    rate = (quantity(asked["throughput"]) + quantity(asked["mirrored_in"])) * growth / arriving
    peak, reads = rate * asked["peak_factor"], asked["fan_out"]
    message = quantity(asked["message_size"])
    missed = min(0.5, reads) * peak
    if asked["lagging_consumers"] is not None:
        missed = quantity(asked["lagging_consumers"]) * reads * peak
    return SimpleNamespace(
        rate=rate,
        peak=peak,
        reads=reads,
        arriving=arriving,
        looking=DECOMPRESSION[codec] * arriving,
        making=0.0 if kept == codec or kept == "none" else RATIO[kept] / SPEED[kept],
        records=peak / message,
        requests=peak * arriving / max(quantity(asked["batch_size"]), message * arriving),
        missed=missed,
        mirrored=quantity(asked["mirrored_out"]) * growth * asked["peak_factor"],
        abroad=len(place) == 1 or any(one["region"] != place[0]["region"] for one in place[1:]),
        mirrors=asked["mirror_consumers"],
        mirror_trip=quantity(asked["mirror_round_trip"]),
        trip=quantity(settings["round_trip"]),
        buffer=quantity(settings["socket_buffer"]),
        retention=quantity(asked["retention"]),
        retention_bytes=asked["retention_bytes"] and quantity(asked["retention_bytes"]),
        stated=asked["partitions"],
        least=asked["partitions"] or max(1, math.ceil(peak / 10e6)),
        clients=asked["clients"],
        copies=durability["replication_factor"],
        survive=durability["survive"],
        racks=len(place[0]["racks"]),
        within=quantity(settings["rebuild_time"]),
        of_clients=TLS if environment["security"]["client_listener"] == "SASL_SSL" else 1.0,
        busy=1.2,
    )


def _spread(asked: SimpleNamespace, spread: SimpleNamespace, n: int, disks: int) -> None:
    """How load spreads over so many brokers."""
    zones = min(asked.racks, n)
    smallest, largest = n // zones, -(-n // zones)
    even = n if asked.copies == 1 else zones * smallest
    partitions = asked.least
    if asked.stated is None:
        partitions = math.ceil(asked.least / (even * disks)) * even * disks
    replicas = min(math.ceil(round(partitions * asked.copies / even, 9)), partitions)
    left = n - {"none": 0, "broker": 1, "zone": largest}[asked.survive]
    led = math.ceil(partitions / n) / partitions
    led_after = 1 / left if asked.stated is None else math.ceil(partitions / left) / partitions
    spread.n, spread.partitions, spread.replicas = n, partitions, replicas
    spread.held, spread.led = replicas / partitions, led
    spread.led_after = led if asked.copies == 1 else max(led, led_after)
    spread.skew = math.ceil(replicas / disks) * disks / replicas
    spread.copied, spread.copied_after = (asked.copies - 1) / n, max(asked.copies * left / n - 1, 0) / left


def _loads(asked: SimpleNamespace, spread: SimpleNamespace) -> SimpleNamespace:
    """What the busiest broker is loaded with."""
    peak, busy, held = asked.peak, asked.busy, spread.held
    more = max(asked.arriving - 1, 0) * spread.led_after
    leaving = [
        (peak * asked.reads + asked.mirrored) * leads * asked.of_clients + peak * sends * TLS
        for leads, sends in ((spread.led, spread.copied), (spread.led_after, spread.copied_after))
    ]
    kept = asked.rate * asked.retention
    if asked.retention_bytes is not None:
        kept = min(kept, asked.retention_bytes * spread.partitions)
    unrolled = min(GIB * spread.partitions, asked.rate * 7 * DAY)
    space = (kept + unrolled) * held * spread.skew * 1.005 * busy
    by_age = spread.replicas * asked.retention / (7 * DAY)
    pulled = peak * held * (1 - 1 / asked.copies) / max(spread.n - 1, 1) * busy * TCP * TLS
    return SimpleNamespace(
        arriving=peak * (held + more) * busy * TCP * TLS,
        leaving=max(leaving) * busy * TCP,
        written=peak * held * busy * spread.skew,
        read=asked.missed * spread.led_after * busy,
        space=space,
        segments=max(space / GIB, by_age, spread.replicas * 20) + spread.replicas,
        processor=max(
            _processor(asked, spread.held, leads, sends)
            for leads, sends in ((spread.led, spread.copied), (spread.led_after, spread.copied_after))
        ),
        pulled=pulled,
        mirrored=asked.mirrored * spread.led_after * busy * TCP * asked.of_clients,
    )


def _processor(asked: SimpleNamespace, held: float, leads: float, sends: float) -> float:
    """Reference vCPU seconds per second."""
    peak, follows = asked.peak, max(held - leads, 0)
    fetched = peak * asked.reads + asked.mirrored
    seconds = (
        peak * leads * (4e-9 * max(asked.arriving, 1) + asked.looking + asked.making) + peak * follows * 2e-9
    )
    seconds += (peak * sends + fetched * leads) * 1e-9 + peak * (follows + sends) * 2e-9
    if asked.of_clients > 1:
        seconds += (peak * asked.arriving + fetched) * leads * 2e-9
    seconds += 0.5e-6 * asked.records * leads
    seconds += 20e-6 * asked.requests * (leads * (1 + asked.reads) + sends)
    return float(seconds * asked.busy)


def _ratios(
    asked: SimpleNamespace, spread: SimpleNamespace, load: SimpleNamespace, ec2: dict[str, float]
) -> dict[str, float]:
    """Load over capacity for all that does not depend on disks."""
    network, vcpus = ec2["network_baseline_gbps"] * 1e9 / 8, ec2["vcpus"]
    memory = ec2["memory_mib"] * 2**20
    heap = min(memory / 4, 6 * GIB)
    reference = vcpus * (1.5 if ec2["threads_per_core"] == 1 else 1) * ec2["clock_ghz"] / 3.1
    fetchers = min(4, max(1, vcpus // 4))
    busy = load.mirrored * max(asked.mirror_trip / asked.buffer, 1 / 625e6)
    abroad = network / 2 if vcpus >= 32 else min(network, 5e9 / 8)
    return {
        "network_in": load.arriving / network,
        "network_out": load.leaving / network,
        "memory": asked.peak * spread.held * asked.busy * 30 / max(memory - heap - GIB, 1),
        "cpu": load.processor / reference,
        "partitions": spread.replicas / (4000 if vcpus >= 16 else 2000 if vcpus >= 8 else 1000),
        "partition_rate": asked.peak / asked.least * asked.busy / 190e6,
        "single_flow": load.pulled / (625e6 * fetchers),
        "heap": (128 * 2**20 + spread.replicas * 102400 + asked.clients * 102400) / heap,
        "connections": asked.clients / (heap / 5 / 102400),
        "open_files": (load.segments + asked.clients) / 524288,
        "memory_maps": 2 * load.segments / max(262144, spread.replicas * 40),
        "cross_region": (load.mirrored if asked.abroad else 0) / abroad,
        "far_followers": load.pulled * asked.trip / asked.buffer / fetchers,
        "mirror_flow": busy / asked.mirrors if asked.mirrors else 0,
    }


def _rebuilt(
    asked: SimpleNamespace,
    spread: SimpleNamespace,
    load: SimpleNamespace,
    disk: float,
    ec2: dict[str, float],
) -> dict[str, float]:
    """What filling a lost broker's own disks again needs, beside the average load."""
    network = ec2["network_baseline_gbps"] * 1e9 / 8
    usual, pace = asked.rate / asked.peak, load.space / spread.skew / asked.within
    if asked.copies == 1 or asked.survive == "none":
        pace = 0.0
    moved = pace * TCP * TLS
    sent = moved / max(spread.n - 1, 1)
    fetchers = min(4, max(1, ec2["vcpus"] // 4)) * min(625e6, asked.buffer / asked.trip)
    return {
        "_in": load.arriving * usual / network,
        "_write": load.written * usual / disk,
        "_out": load.leaving * usual / network,
        "_flow": load.pulled * usual / fetchers,
        "_rebuild_in": (load.arriving * usual + moved) / network,
        "_rebuild_write": (load.written * usual + pace * spread.skew) / disk,
        "_rebuild_out": (load.leaving * usual + sent) / network,
        "_rebuild_flow": (load.pulled * usual + sent) / fetchers,
    }
