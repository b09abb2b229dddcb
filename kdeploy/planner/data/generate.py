"""Write catalogue.json from AWS's own answers and published prices. Not used while planning.

Run it where the sources are, for example with moto installed:

    python -m kdeploy.planner.data.generate \
        --instance-types moto/ec2/resources/instance_types.json.gz --offerings moto/ec2/resources/... \
        --prices ec2_prices.json

Invariant: every type of the source is either in the catalogue or counted under
the reason why it is not; nothing is dropped silently. Figures keep the units of
their source; `kdeploy.planner.catalogue` turns them into base units.
"""

from __future__ import annotations

import argparse
import gzip
import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

COLUMNS = (
    "offered",
    "architecture",
    "vcpus",
    "threads_per_core",
    "clock_ghz",
    "memory_mib",
    "network_baseline_gbps",
    "ebs_baseline_mb_s",
    "ebs_baseline_iops",
    "nvme_count",
    "nvme_gb",
    "usd_per_hour",
)
FAMILIES = re.compile(r"(?:m|r|c|i|im|is)\d[a-z]*")
SMALLEST_MEMORY_MIB = 4096

SOURCES = {
    "shapes": "AWS DescribeInstanceTypes answers as shipped by moto 5.2.5 (Apache-2.0), 2026-10-27",
    "prices": "us-east-1 on demand, Linux: Karpenter AWS provider's price table (Apache-2.0), 2026-07-20",
    "ratios": "other regions: modal price ratio by instance class, apache-libcloud 3.9.1 (Apache-2.0), 2025-03-02",
    "storage": (
        "EBS and traffic, us-east-1: Netflix service-capacity-modeling (Apache-2.0), 2026-08; "
        "gp3 throughput price and the limits of 2,000 MiB/s and 64 TiB from AWS's documentation, by memory"
    ),
}
STORAGE = {
    "gp3": {
        "usd_per_gib_month": 0.08,
        "usd_per_iops_month": 0.005,
        "usd_per_mib_s_month": 0.04,
        "free_iops": 3000,
        "free_mib_s": 125,
        "most_iops": 80000,
        "most_mib_s": 2000,
        "most_gib": 65536,
        "iops_per_gib": 500,
        "mib_s_per_iops": 0.25,
    },
    "cross_zone_usd_per_gib": 0.02,
    "nvme_write_mb_s_per_tb": 131,
}


def exclusion(name: str, answer: dict[str, Any], prices: dict[str, float]) -> str | None:
    """Why a type is not in the catalogue, or None when it is."""
    family = name.split(".")[0]
    rules = (
        (
            not FAMILIES.fullmatch(family.removesuffix("-flex")),
            "not general purpose, compute, memory or storage",
        ),
        (answer["BareMetal"], "bare metal: minutes to start, no gain for Kafka"),
        (answer["BurstablePerformanceSupported"], "burstable: cannot sustain its processor"),
        (family.endswith("-flex"), "flex: cannot sustain its processor"),
        (
            not answer["CurrentGeneration"] and answer.get("Hypervisor") != "nitro",
            "previous generation, before Nitro",
        ),
        ("EbsOptimizedInfo" not in answer["EbsInfo"], "no guaranteed EBS bandwidth"),
        ("SustainedClockSpeedInGhz" not in answer["ProcessorInfo"], "no clock speed published"),
        (answer["VCpuInfo"]["DefaultVCpus"] < 2, "one processor: a garbage collection stops everything"),
        (answer["MemoryInfo"]["SizeInMiB"] < SMALLEST_MEMORY_MIB, "less than 4 GiB of memory"),
        (name not in prices, "no published price"),
        (_baseline_gbps(answer) is None, "no network baseline published"),
    )
    return next((reason for excluded, reason in rules if excluded), None)


def _baseline_gbps(answer: dict[str, Any]) -> float | None:
    cards = answer["NetworkInfo"].get("NetworkCards", [])
    rates = [card.get("BaselineBandwidthInGbps") for card in cards]
    return round(sum(rates), 3) if rates and None not in rates else None


def row(name: str, answer: dict[str, Any], prices: dict[str, float]) -> list[Any]:
    """A type's figures in the order of COLUMNS."""
    disks = answer.get("InstanceStorageInfo", {}).get("Disks", [])
    if len(disks) > 1 or (disks and disks[0]["Type"] != "ssd"):
        raise ValueError(f"{name} has disks of more than one kind: {disks}")
    ebs = answer["EbsInfo"]["EbsOptimizedInfo"]
    return [
        int(answer["CurrentGeneration"]),
        answer["ProcessorInfo"]["SupportedArchitectures"][-1],
        answer["VCpuInfo"]["DefaultVCpus"],
        answer["VCpuInfo"]["DefaultThreadsPerCore"],
        answer["ProcessorInfo"]["SustainedClockSpeedInGhz"],
        answer["MemoryInfo"]["SizeInMiB"],
        _baseline_gbps(answer),
        round(ebs["BaselineThroughputInMBps"], 3),
        ebs["BaselineIops"],
        disks[0]["Count"] if disks else 0,
        disks[0]["SizeInGB"] if disks else 0,
        prices[name],
    ]


def missing(names: list[str], offered: set[str]) -> list[str]:
    """Types a region lacks; a family that it lacks whole is named once."""
    families = {name.split(".")[0] for name in names}
    absent = {family for family in families if not any(name.split(".")[0] == family for name in offered)}
    lacking = [name for name in names if name not in offered and name.split(".")[0] not in absent]
    return sorted(absent) + sorted(lacking)


def catalogue(instance_types: Path, offerings: Path, prices_file: Path) -> dict[str, Any]:
    """The whole document."""
    answers = json.loads(gzip.decompress(instance_types.read_bytes()))
    published = json.loads(prices_file.read_text())
    prices = published["us_east_1"]
    excluded: Counter[str] = Counter()
    shapes: dict[str, list[Any]] = {}
    for name in sorted(answers):
        reason = exclusion(name, answers[name], prices)
        if reason:
            excluded[reason] += 1
        else:
            shapes[name] = row(name, answers[name], prices)
    regions = {}
    for region, ratios in sorted(published["region_ratio"].items()):
        file = offerings / f"{region}.json.gz"
        found = json.loads(gzip.decompress(file.read_bytes())) if file.exists() else []
        offered = {entry["InstanceType"] for entry in found} or set(shapes)
        regions[region] = {
            "price_ratio": {kind: ratios[kind]["ratio"] for kind in "cimr" if kind in ratios},
            "missing": missing(list(shapes), offered),
        }
    return {
        "sources": SOURCES,
        "date": "2026-07-20",
        "columns": list(COLUMNS),
        "excluded": dict(sorted(excluded.items())),
        "storage": STORAGE,
        "regions": regions,
        "shapes": shapes,
    }


def write(document: dict[str, Any], file: Path) -> None:
    """Write JSON with one line for each part, region and shape, so that a difference can be read."""
    lines = []
    for key, value in document.items():
        if key in ("regions", "shapes"):
            rows = ",\n".join(f"{json.dumps(name)}: {json.dumps(entry)}" for name, entry in value.items())
            lines.append(f"{json.dumps(key)}: {{\n{rows}\n}}")
        else:
            lines.append(f"{json.dumps(key)}: {json.dumps(value)}")
    file.write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--instance-types", type=Path, required=True)
    parser.add_argument("--offerings", type=Path, required=True, help="a folder with REGION.json.gz")
    parser.add_argument("--prices", type=Path, required=True)
    chosen = parser.parse_args()
    write(
        catalogue(chosen.instance_types, chosen.offerings, chosen.prices),
        Path(__file__).with_name("catalogue.json"),
    )
