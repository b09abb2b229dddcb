"""A second reading of docs/planner.md, in plain Python: no arrays, and nothing of kdeploy's own limits.

It takes what a person asked for and what was planned, both as JSON, works out every load of the
busiest broker by the formulas of the page, and says how full each limit is. Only what EC2 offers is
taken from the catalogue's file. It is what the planner is held against on many workloads.
"""

from __future__ import annotations

import json
import math
from importlib import resources
from typing import Any

TCP, TLS = 1 + 52 / 1448, 1 + 22 / 16384
DECOMPRESSION = {
    "none": 0.0,
    "lz4": 2.101 / 4000e6,
    "snappy": 2.073 / 1660e6,
    "gzip": 2.743 / 400e6,
    "zstd": 2.887 / 1580e6,
}
CEILINGS = {
    **dict.fromkeys(("network_in", "network_out", "disk_write", "disk_read", "disk_throughput"), 0.8),
    **dict.fromkeys(("disk_iops", "disk_space", "partition_rate", "single_flow"), 0.8),
    **dict.fromkeys(("open_files", "memory_maps"), 0.8),
    **dict.fromkeys(("memory", "partitions", "connections", "rebuild"), 1.0),
    **dict.fromkeys(("cpu", "heap"), 0.6),
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
        parts = [(found[f"_rebuild_{part}"], found[f"_{part}"]) for part in ("in", "write", "out")]
        found["rebuild"] = max((both - usual) / max(1 - usual, 1e-9) for both, usual in parts)
    return {limit: ratio for limit, ratio in found.items() if not limit.startswith("_")}


def _alone(environment: dict[str, Any], planned: dict[str, Any], n: int) -> dict[str, float]:
    asked, durability = environment["workload"], environment["durability"]
    brokers, volumes = planned["brokers"], planned["brokers"]["volumes"][0]
    copies, racks = durability["replication_factor"], len(environment["datacenters"][0]["racks"])
    growth = (1 + quantity(asked["growth"])) ** (quantity(asked["horizon"]) / (365 * DAY))
    rate = quantity(asked["throughput"]) * growth
    peak, reads = rate * asked["peak_factor"], asked["fan_out"]
    message, retention = quantity(asked["message_size"]), quantity(asked["retention"])
    records, requests = peak / message, peak / max(quantity(asked["batch_size"]), message)
    missed = min(0.5, reads) * peak
    if asked["lagging_consumers"] is not None:
        missed = quantity(asked["lagging_consumers"]) * reads * peak
    disks = volumes["count"]

    # how load spreads
    zones = min(racks, n)
    smallest, largest = n // zones, -(-n // zones)
    spread = n if copies == 1 else zones * smallest
    least = asked["partitions"] or max(1, math.ceil(peak / 10e6))
    partitions = least
    if asked["partitions"] is None:
        partitions = math.ceil(least / (spread * disks)) * spread * disks
    replicas = min(math.ceil(round(partitions * copies / spread, 9)), partitions)
    held, led = replicas / partitions, math.ceil(partitions / n) / partitions
    failed = {"none": 0, "broker": 1, "zone": largest}[durability["survive"]]
    left = n - failed
    led_after = 1 / left if asked["partitions"] is None else math.ceil(partitions / left) / partitions
    led_after = led if copies == 1 else max(led, led_after)
    skew = math.ceil(replicas / disks) * disks / replicas
    copied, copied_after = (copies - 1) / n, max(copies * left / n - 1, 0) / left

    # loads
    busy = 1.2
    clients_encrypt = environment["security"]["client_listener"] == "SASL_SSL"
    of_clients = TLS if clients_encrypt else 1.0
    arriving = peak * held * busy * TCP * TLS
    leaving = (
        busy
        * TCP
        * max(
            peak * reads * led * of_clients + peak * copied * TLS,
            peak * reads * led_after * of_clients + peak * copied_after * TLS,
        )
    )
    written, read = peak * held * busy * skew, missed * led_after * busy
    kept = rate * retention
    if asked["retention_bytes"] is not None:
        kept = min(kept, quantity(asked["retention_bytes"]) * partitions)
    space = (kept + min(GIB * partitions, rate * 7 * DAY)) * held * skew * 1.005 * busy
    clients = asked["clients"]
    segments = max(space / GIB, replicas * retention / (7 * DAY), replicas * 20) + replicas
    processor = []
    for leads, sends in ((led, copied), (led_after, copied_after)):
        follows = max(held - leads, 0)
        seconds = peak * leads * (4e-9 + DECOMPRESSION[asked["compression"]]) + peak * follows * 2e-9
        seconds += (peak * sends + peak * reads * leads) * 1e-9 + peak * (follows + sends) * 2e-9
        if clients_encrypt:
            seconds += peak * leads * (1 + reads) * 2e-9
        seconds += 0.5e-6 * records * leads + 20e-6 * requests * (leads * (1 + reads) + sends)
        processor.append(seconds * busy)

    # capacities
    ec2 = shape(brokers["instance_type"])
    network, vcpus = ec2["network_baseline_gbps"] * 1e9 / 8, ec2["vcpus"]
    memory = ec2["memory_mib"] * 2**20
    heap = min(memory / 4, 6 * GIB)
    local = volumes["type"] == "local-nvme"
    disk = volumes["throughput"] * disks
    reference = vcpus * (1.5 if ec2["threads_per_core"] == 1 else 1) * ec2["clock_ghz"] / 3.1
    found = {
        "network_in": arriving / network,
        "network_out": leaving / network,
        "disk_write": written / disk,
        "disk_space": space / (volumes["size"] * disks),
        "memory": peak * held * busy * 30 / max(memory - heap - GIB, 1),
        "cpu": max(processor) / reference,
        "partitions": replicas / (4000 if vcpus >= 16 else 2000 if vcpus >= 8 else 1000),
        "partition_rate": peak / least * busy / 190e6,
        "single_flow": peak
        * held
        * (1 - 1 / copies)
        / max(n - 1, 1)
        * busy
        * TCP
        * TLS
        / (625e6 * min(4, max(1, vcpus // 4))),
        "heap": (128 * 2**20 + replicas * 102400 + clients * 102400) / heap,
        "connections": clients / (heap / 5 / 102400),
        "open_files": (segments + clients) / 524288,
        "memory_maps": 2 * segments / max(262144, replicas * 40),
    }
    if not local:
        ebs = ec2["ebs_baseline_mb_s"] * 1e6
        found["disk_throughput"] = (written + read) / min(disk, ebs)
        operations = min(volumes["iops"] * disks, ec2["ebs_baseline_iops"])
        found["disk_iops"] = (written + read) / 131072 / operations
        return found
    found["disk_read"] = read / disk
    usual, pace = rate / peak, space / skew / quantity(environment["planner"]["rebuild_time"])
    if copies == 1 or durability["survive"] == "none":
        pace = 0.0
    moved = pace * TCP * TLS
    found |= {
        "_in": arriving * usual / network,
        "_write": written * usual / disk,
        "_out": leaving * usual / network,
        "_rebuild_in": (arriving * usual + moved) / network,
        "_rebuild_write": (written * usual + pace * skew) / disk,
        "_rebuild_out": (leaving * usual + moved / max(n - 1, 1)) / network,
    }
    return found
