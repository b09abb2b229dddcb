"""What EC2 offers and what it costs: the shipped data, or the user's own, in base units, as columns.

Invariant: read once, in milliseconds; a figure keeps its meaning from AWS:
network and EBS rates are baselines (not bursts), EBS volumes count in MiB/s and
instances in MB/s, and both are bytes per second here. A region that the user's
own file has comes from there whole, and a catalogue says which of the two it is.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from pkgutil import get_data
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from kdeploy.errors import InvalidEnvironment, Problem
from kdeploy.planner.ebs import GIB as GIB
from kdeploy.planner.ebs import GP3, Kind, kind_of
from kdeploy.planner.ebs import MIB as MIB
from kdeploy.planner.ebs import Floats as Floats
from kdeploy.planner.figures import CPU_REFERENCE, WHOLE_CORE

EXACT_REGION: Final = "us-east-1"
"""The shipped region whose prices are the published ones; every other's are derived from it."""

OWN_SCHEMA: Final = "kdeploy.own-catalogue/v1"
SHIPPED: Final = "shipped with kdeploy"
OWN: Final = "your own"


@dataclass(frozen=True, eq=False)
class Catalogue:
    """EC2 types of one region: each field that is an array is a column.

    Attributes:
        names: Instance types, sorted.
        offered: Whether the planner proposes it; types of a former generation can only be named.
        architecture: x86_64 or arm64.
        vcpus: Processors.
        compute: The same in reference processors (see figures.CPU_REFERENCE).
        memory: Bytes.
        network: Baseline bytes per second, each way.
        ebs_throughput: Baseline bytes per second to all EBS volumes together.
        ebs_iops: Baseline operations per second to all EBS volumes together.
        nvme_count, nvme_size: Local disks, and bytes of each.
        nvme_write: Bytes per second each local disk writes, sustained.
        nvme_documented: Whether that rests on AWS's figure for the type, or on the size of the disks alone.
        usd_per_hour: On-demand price in the region.
        volumes: Kinds of EBS volume with their prices in the region, by name.
        cross_zone_usd_per_gib: Traffic between zones, both sides together.
        cross_region_usd_per_gib: Traffic to another region.
        region: The region.
        date: Day of the prices.
        exact: Whether the types' prices are the region's published ones.
        origin: Which catalogue it is: SHIPPED or OWN.
        offering_known: Whether AWS's list of the region's types was at hand; else all are assumed to be there.
        sources: Where the data comes from, by part.
    """

    names: tuple[str, ...]
    offered: NDArray[np.bool_]
    architecture: NDArray[np.str_]
    vcpus: Floats
    compute: Floats
    memory: Floats
    network: Floats
    ebs_throughput: Floats
    ebs_iops: Floats
    nvme_count: Floats
    nvme_size: Floats
    nvme_write: Floats
    nvme_documented: NDArray[np.bool_]
    usd_per_hour: Floats
    volumes: dict[str, Kind]
    cross_zone_usd_per_gib: float
    cross_region_usd_per_gib: float
    region: str
    date: str
    exact: bool
    origin: str
    offering_known: bool
    sources: dict[str, str]

    @property
    def gp3(self) -> Kind:
        """The kind of volume that is bought unless another is asked for."""
        return self.volumes[GP3]

    @property
    def families(self) -> tuple[str, ...]:
        """The part of each name before the dot."""
        return tuple(name.partition(".")[0] for name in self.names)

    def only(self, mask: NDArray[np.bool_]) -> Catalogue:
        """The rows for which the mask holds."""
        columns: dict[str, Any] = {
            key: value[mask] for key, value in vars(self).items() if isinstance(value, np.ndarray)
        }
        names = tuple(name for name, kept in zip(self.names, mask.tolist(), strict=True) if kept)
        return replace(self, names=names, **columns)


@lru_cache(maxsize=1)
def _document() -> dict[str, Any]:
    # Not importlib.resources, which imports what takes longer than reading it.
    text = get_data("kdeploy.planner.data", "catalogue.json")
    assert text is not None  # noqa: S101
    document: dict[str, Any] = json.loads(text)
    return document


def own_file() -> Path:
    """The user's own catalogue: what KDEPLOY_CATALOGUE names, else a file among the user's data."""
    named = os.environ.get("KDEPLOY_CATALOGUE")
    return Path(named) if named else _usual_file(os.environ.get("XDG_DATA_HOME"), os.environ.get("HOME"))


@lru_cache(maxsize=2)
def _usual_file(_data: str | None, _home: str | None) -> Path:
    """Worked out once for each pair of the variables that the place depends on."""
    from platformdirs import user_data_path

    return user_data_path("kdeploy") / "catalogue.json"


def own_regions() -> dict[str, Any]:
    """What the user's own file holds, by region; nothing where there is no such file.

    Raises:
        InvalidEnvironment: The file is not one that `kdeploy catalogue refresh` writes.
    """
    file = own_file()
    try:
        state = file.stat()
    except (FileNotFoundError, NotADirectoryError):
        return {}
    return _own(file, state.st_mtime_ns, state.st_size)


@lru_cache(maxsize=2)
def _own(file: Path, _modified: int, _size: int) -> dict[str, Any]:
    """Read anew whenever the file was written anew."""
    right = "run `kdeploy catalogue refresh --region REGION` again, or remove the file"
    try:
        document = json.loads(file.read_text())
    except (OSError, ValueError) as error:
        raise InvalidEnvironment([Problem(str(file), 0, "", f"it cannot be read: {error}", right)]) from None
    if not isinstance(document, dict) or document.get("schema") != OWN_SCHEMA:
        wrong = f"its schema is not {OWN_SCHEMA}"
        raise InvalidEnvironment([Problem(str(file), 0, "schema", wrong, right)])
    found = document.get("regions")
    if not isinstance(found, dict):
        raise InvalidEnvironment([Problem(str(file), 0, "regions", "it has no regions", right)])
    return found


def regions() -> tuple[str, ...]:
    """Regions with prices, sorted."""
    return tuple(sorted({*_document()["regions"], *own_regions()}))


def excluded() -> dict[str, int]:
    """Why types of the shipped source are not in the catalogue, and how many for each reason."""
    return dict(_document()["excluded"])


def load(region: str) -> Catalogue:
    """The types that a region has, with its prices; the user's own where they have that region.

    Raises:
        KeyError: No such region in the data.
        InvalidEnvironment: The user's own file cannot be used.
    """
    own = own_regions()
    if region not in own:
        return _shipped(region)
    state = own_file().stat()
    return _refreshed(region, own_file(), state.st_mtime_ns, state.st_size)


def shipped_volumes(region: str) -> dict[str, Kind]:
    """Kinds of volume with the shipped prices; us-east-1's where the region is not in the data.

    Volumes have no ratio of their own in the data: class m's stands in for it outside us-east-1.
    """
    ratio = usual_ratio(region)
    return {name: kind_of(name, one, ratio) for name, one in _document()["volumes"].items()}


def usual_ratio(region: str) -> float:
    """What a region's prices usually are of us-east-1's, for what has no ratio of its own; 1 where it is not known."""
    ratio: float = _document()["regions"].get(region, {}).get("price_ratio", {}).get("m", 1.0)
    return ratio


@lru_cache(maxsize=8)
def _shipped(region: str) -> Catalogue:
    document = _document()
    place = document["regions"][region]
    ratios = place["price_ratio"]
    everywhere = _catalogue(
        document,
        document["shapes"],
        ratios={name: ratios[name[0]] for name in document["shapes"]},
        volumes=shipped_volumes(region),
        region=region,
        exact=region == EXACT_REGION,
        origin=SHIPPED,
        offering_known=place["offering"] == "known",
    )
    missing = set(place["missing"])
    present = [name not in missing and name.partition(".")[0] not in missing for name in everywhere.names]
    return everywhere.only(np.array(present))


@lru_cache(maxsize=8)
def _refreshed(region: str, file: Path, modified: int, size: int) -> Catalogue:
    """A region of the user's own: its types and prices, with the rules of volumes as they are shipped."""
    place = _own(file, modified, size)[region]
    try:
        volumes = _document()["volumes"]
        kinds = {name: {**one, **place["volumes"][name]} for name, one in volumes.items()}
        return _catalogue(
            place,
            place["shapes"],
            ratios=dict.fromkeys(place["shapes"], 1.0),
            volumes={name: kind_of(name, one, 1.0) for name, one in kinds.items()},
            region=region,
            exact=True,
            origin=OWN,
            offering_known=True,
        )
    except (AttributeError, KeyError, TypeError, ValueError):
        wrong = "it does not hold what a catalogue holds"
        right = f"run `kdeploy catalogue refresh --region {region}` again, or remove the file"
        raise InvalidEnvironment([Problem(str(file), 0, f"regions.{region}", wrong, right)]) from None


def _catalogue(
    document: dict[str, Any],
    shapes: dict[str, list[Any]],
    ratios: dict[str, float],
    **fields: Any,  # noqa: ANN401
) -> Catalogue:
    numbers = [entry[2:] for entry in shapes.values()]
    names = tuple(shapes)
    table = np.array(numbers, dtype=np.float64).T
    column = dict(zip(document["columns"][2:], table, strict=True))
    whole = np.where(column["threads_per_core"] == 1, WHOLE_CORE.value, 1.0)
    shipped = _document()
    return Catalogue(
        names=names,
        offered=np.array([bool(entry[0]) for entry in shapes.values()]),
        architecture=np.array([entry[1] for entry in shapes.values()]),
        vcpus=column["vcpus"],
        compute=column["vcpus"] * whole * column["clock_ghz"] / CPU_REFERENCE.value,
        memory=column["memory_mib"] * MIB,
        network=column["network_baseline_gbps"] * 1e9 / 8,
        ebs_throughput=column["ebs_baseline_mb_s"] * 1e6,
        ebs_iops=column["ebs_baseline_iops"],
        nvme_count=column["nvme_count"],
        nvme_size=column["nvme_gb"] * 1e9,
        nvme_write=_nvme_write(column, shipped["local_nvme"]),
        nvme_documented=column["nvme_write_iops"] > 0,
        usd_per_hour=column["usd_per_hour"] * np.array([ratios[name] for name in names]),
        cross_zone_usd_per_gib=shipped["traffic"]["cross_zone_usd_per_gib"],
        cross_region_usd_per_gib=shipped["traffic"]["cross_region_usd_per_gib"],
        date=document["date"],
        sources=document["sources"],
        **fields,
    )


def _nvme_write(column: dict[str, Floats], anchor: dict[str, float]) -> Floats:
    """Bytes per second that one local disk writes.

    AWS documents write operations of 4 KiB for all disks of a type together; what was measured on
    i3en.2xlarge, 655 MB/s documented for 130,000, says how many bytes a second go with each. Where
    AWS's figure is not known it is the anchor's 131 MB/s per TB.
    """
    per_operation = anchor["mb_s"] * 1e6 / anchor["write_iops"]
    disks = np.maximum(column["nvme_count"], 1.0)
    by_operations = column["nvme_write_iops"] * per_operation / disks
    by_size = column["nvme_gb"] * anchor["mb_s_per_tb"] * 1e3
    return np.where(column["nvme_write_iops"] > 0, by_operations, by_size)
