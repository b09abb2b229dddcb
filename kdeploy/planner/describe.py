"""From what AWS says of its types to rows of the catalogue, or to the reason why a type is not there.

Invariant: pure, and used alike for the shipped catalogue and for one that a person
refreshes; nothing is dropped silently. Figures keep the units of their source;
`kdeploy.planner.catalogue` turns them into base units.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import lru_cache
from importlib import resources
from typing import Any, Final

COLUMNS: Final = (
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
    "nvme_write_iops",
    "usd_per_hour",
)
"""What a row holds. `nvme_write_iops` is of all local disks together; 0 where AWS's figure is not known."""

_FAMILIES: Final = re.compile(r"(?:m|r|c|i|im|is)\d[a-z]*")
_HARD_DISKS: Final = re.compile(r"(?:d|h)\d[a-z]*")
SMALLEST_MEMORY_MIB: Final = 4096


def exclusion(name: str, answer: Mapping[str, Any], prices: Mapping[str, float]) -> str | None:
    """Why a type is not in the catalogue, or None when it is.

    Args:
        name: The type.
        answer: Its entry of DescribeInstanceTypes.
        prices: US dollars an hour, by type.
    """
    family = name.split(".")[0]
    rules = (
        (answer["BurstablePerformanceSupported"], "burstable: cannot sustain its processor"),
        (family.endswith("-flex"), "flex: cannot sustain its processor"),
        (
            _HARD_DISKS.fullmatch(family) is not None,
            "local hard disks: no write rate is known, and a seek for each of many partitions",
        ),
        (
            not _FAMILIES.fullmatch(family.removesuffix("-flex")),
            "accelerators, huge memory, HPC or Mac: paid for what Kafka does not use",
        ),
        (answer["BareMetal"], "bare metal: minutes to start, no gain for Kafka"),
        (
            not answer["CurrentGeneration"] and answer.get("Hypervisor") != "nitro",
            "previous generation, before Nitro",
        ),
        ("EbsOptimizedInfo" not in answer["EbsInfo"], "no guaranteed EBS bandwidth"),
        ("SustainedClockSpeedInGhz" not in answer["ProcessorInfo"], "no clock speed published"),
        (answer["VCpuInfo"]["DefaultVCpus"] < 2, "one processor: a garbage collection stops everything"),
        (answer["MemoryInfo"]["SizeInMiB"] < SMALLEST_MEMORY_MIB, "less than 4 GiB of memory"),
        (_baseline_gbps(answer) is None, "no network baseline published"),
        (not _plain_disks(answer), "local disks of more than one kind"),
        (name not in prices, "no published price"),
    )
    return next((reason for excluded, reason in rules if excluded), None)


def _baseline_gbps(answer: Mapping[str, Any]) -> float | None:
    cards = answer["NetworkInfo"].get("NetworkCards", [])
    rates = [card.get("BaselineBandwidthInGbps") for card in cards]
    return round(sum(rates), 3) if rates and None not in rates else None


def _disks(answer: Mapping[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = answer.get("InstanceStorageInfo", {}).get("Disks", [])
    return found


def _plain_disks(answer: Mapping[str, Any]) -> bool:
    disks = _disks(answer)
    return len(disks) <= 1 and all(disk["Type"] == "ssd" for disk in disks)


def row(name: str, answer: Mapping[str, Any], usd_per_hour: float) -> list[Any]:
    """A type's figures in the order of COLUMNS; only for a type that has no `exclusion`."""
    ebs = answer["EbsInfo"]["EbsOptimizedInfo"]
    disks = _disks(answer)
    architectures = answer["ProcessorInfo"]["SupportedArchitectures"]
    return [
        int(answer["CurrentGeneration"]),
        architectures[-1],
        answer["VCpuInfo"]["DefaultVCpus"],
        answer["VCpuInfo"]["DefaultThreadsPerCore"],
        answer["ProcessorInfo"]["SustainedClockSpeedInGhz"],
        answer["MemoryInfo"]["SizeInMiB"],
        _baseline_gbps(answer),
        round(ebs["BaselineThroughputInMBps"], 3),
        ebs["BaselineIops"],
        disks[0]["Count"] if disks else 0,
        disks[0]["SizeInGB"] if disks else 0,
        write_iops().get(name, 0) if disks else 0,
        usd_per_hour,
    ]


@lru_cache(maxsize=1)
def _documented() -> dict[str, Any]:
    text = resources.files("kdeploy.planner.data").joinpath("local_disks.json").read_text()
    document: dict[str, Any] = json.loads(text)
    return document


@lru_cache(maxsize=1)
def write_iops() -> dict[str, int]:
    """Write operations per second of all local disks of a type together, where AWS documents them."""
    tables = [part["families"] for part in _documented().values() if isinstance(part, dict)]
    return {
        f"{family}.{size}": iops
        for table in tables
        for family, sizes in table.items()
        for size, iops in sizes.items()
    }


def write_iops_sources() -> dict[str, str]:
    """Where the write rates of local disks come from, by family."""
    found: dict[str, str] = {}
    for part in _documented().values():
        if isinstance(part, dict):
            found |= {family: found.get(family, part["source"]) for family in part["families"]}
    return found
