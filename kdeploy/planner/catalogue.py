"""What EC2 offers and what it costs: the shipped data, in base units, as columns.

Invariant: read once, in milliseconds; a figure keeps its meaning from AWS:
network and EBS rates are baselines (not bursts), EBS volumes count in MiB/s and
instances in MB/s, and both are bytes per second here.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib import resources
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from kdeploy.planner.figures import CPU_REFERENCE, WHOLE_CORE

Floats = NDArray[np.float64]

MIB: Final = 2.0**20
GIB: Final = 2.0**30
EXACT_REGION: Final = "us-east-1"
"""The region whose prices are the published ones; every other region's are derived from it."""


@dataclass(frozen=True)
class Gp3:
    """What gp3 volumes can be and cost, in base units and US dollars a month.

    Attributes:
        usd_per_gib, usd_per_iops, usd_per_mib_s: Prices; the last two beyond what is free.
        free_iops, free_throughput: What every volume has.
        most_iops, most_throughput, most_size: Limits of one volume.
        iops_per_gib: Operations per second that may be bought per GiB.
        throughput_per_iops: Bytes per second that may be bought per operation per second.
    """

    usd_per_gib: float
    usd_per_iops: float
    usd_per_mib_s: float
    free_iops: float
    free_throughput: float
    most_iops: float
    most_throughput: float
    most_size: float
    iops_per_gib: float
    throughput_per_iops: float


@dataclass(frozen=True, eq=False)
class Catalogue:
    """EC2 types of one region: each field but the last five is a column.

    Attributes:
        names: Instance types, sorted.
        offered: Whether the planner proposes it; types of a former generation can only be named.
        vcpus: Processors.
        compute: The same in reference processors (see figures.CPU_REFERENCE).
        memory: Bytes.
        network: Baseline bytes per second, each way.
        ebs_throughput: Baseline bytes per second to all EBS volumes together.
        ebs_iops: Baseline operations per second to all EBS volumes together.
        nvme_count, nvme_size: Local disks, and bytes of each.
        nvme_write: Bytes per second each local disk writes, sustained.
        usd_per_hour: On-demand price in the region.
        gp3: Volumes and their prices in the region.
        cross_zone_usd_per_gib: Traffic between zones, both sides together.
        region: The region.
        date: Day of the prices.
        sources: Where the data comes from, by part.
    """

    names: tuple[str, ...]
    offered: NDArray[np.bool_]
    vcpus: Floats
    compute: Floats
    memory: Floats
    network: Floats
    ebs_throughput: Floats
    ebs_iops: Floats
    nvme_count: Floats
    nvme_size: Floats
    nvme_write: Floats
    usd_per_hour: Floats
    gp3: Gp3
    cross_zone_usd_per_gib: float
    region: str
    date: str
    sources: dict[str, str]

    @property
    def exact(self) -> bool:
        """Whether prices are the region's published ones."""
        return self.region == EXACT_REGION

    def only(self, mask: NDArray[np.bool_]) -> Catalogue:
        """The rows for which the mask holds."""
        columns: dict[str, Any] = {
            key: value[mask] for key, value in vars(self).items() if isinstance(value, np.ndarray)
        }
        names = tuple(name for name, kept in zip(self.names, mask.tolist(), strict=True) if kept)
        return replace(self, names=names, **columns)


@lru_cache(maxsize=1)
def _document() -> dict[str, Any]:
    text = resources.files("kdeploy.planner.data").joinpath("catalogue.json").read_text()
    document: dict[str, Any] = json.loads(text)
    return document


def regions() -> tuple[str, ...]:
    """Regions with prices, sorted."""
    return tuple(sorted(_document()["regions"]))


def excluded() -> dict[str, int]:
    """Why types of the source are not in the catalogue, and how many for each reason."""
    return dict(_document()["excluded"])


@lru_cache(maxsize=8)
def load(region: str) -> Catalogue:
    """The types that a region has, with its prices.

    Raises:
        KeyError: No such region in the data.
    """
    document = _document()
    place = document["regions"][region]
    table = np.array([entry[2:] for entry in document["shapes"].values()], dtype=np.float64).T
    column = dict(zip(document["columns"][2:], table, strict=True))
    names = tuple(document["shapes"])
    storage = document["storage"]
    whole = np.where(column["threads_per_core"] == 1, WHOLE_CORE.value, 1.0)
    ratios = place["price_ratio"]
    everywhere = Catalogue(
        names=names,
        offered=np.array([bool(entry[0]) for entry in document["shapes"].values()]),
        vcpus=column["vcpus"],
        compute=column["vcpus"] * whole * column["clock_ghz"] / CPU_REFERENCE.value,
        memory=column["memory_mib"] * MIB,
        network=column["network_baseline_gbps"] * 1e9 / 8,
        ebs_throughput=column["ebs_baseline_mb_s"] * 1e6,
        ebs_iops=column["ebs_baseline_iops"],
        nvme_count=column["nvme_count"],
        nvme_size=column["nvme_gb"] * 1e9,
        nvme_write=column["nvme_gb"] * storage["nvme_write_mb_s_per_tb"] * 1e3,
        usd_per_hour=column["usd_per_hour"] * np.array([ratios[name[0]] for name in names]),
        gp3=_gp3(storage["gp3"], ratios["m"]),
        cross_zone_usd_per_gib=storage["cross_zone_usd_per_gib"],
        region=region,
        date=document["date"],
        sources=document["sources"],
    )
    missing = set(place["missing"])
    present = [name not in missing and name.partition(".")[0] not in missing for name in names]
    return everywhere.only(np.array(present))


def _gp3(figures: dict[str, float], ratio: float) -> Gp3:
    """Volumes have no ratio of their own in the data: class m's stands in for it outside us-east-1."""
    return Gp3(
        usd_per_gib=figures["usd_per_gib_month"] * ratio,
        usd_per_iops=figures["usd_per_iops_month"] * ratio,
        usd_per_mib_s=figures["usd_per_mib_s_month"] * ratio,
        free_iops=figures["free_iops"],
        free_throughput=figures["free_mib_s"] * MIB,
        most_iops=figures["most_iops"],
        most_throughput=figures["most_mib_s"] * MIB,
        most_size=figures["most_gib"] * GIB,
        iops_per_gib=figures["iops_per_gib"],
        throughput_per_iops=figures["mib_s_per_iops"] * MIB,
    )
