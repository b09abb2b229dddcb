"""What the answers of AWS's Price List API say types and EBS volumes cost.

Invariant: pure; an item is what `pricing:GetProducts` returns in `PriceList`, JSON in a text.
Names of usage, and throughput being priced by the GiB/s, are as the API answers (AmazonEC2, 2026).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

INSTANCES: Final = {
    "productFamily": "Compute Instance",
    "operatingSystem": "Linux",
    "tenancy": "Shared",
    "preInstalledSw": "NA",
    "capacitystatus": "Used",
    "marketoption": "OnDemand",
}
"""What products are asked for by, beside the region, to get one price for each type."""

VOLUMES: Final = (
    {"productFamily": "Storage"},
    {"productFamily": "System Operation", "group": "EBS IOPS"},
    {"productFamily": "Provisioned Throughput"},
)
"""The same for volumes: what is asked for one after the other."""

_TIERS: Final = {
    "gp3": (("EBS:VolumeP-IOPS.gp3", 3000),),
    "io2": (
        ("EBS:VolumeP-IOPS.io2", 0),
        ("EBS:VolumeP-IOPS.io2.tier2", 32000),
        ("EBS:VolumeP-IOPS.io2.tier3", 64000),
    ),
}
"""The usage that an operation per second is charged under, and beyond how many of them."""

_MIB_S_IN: Final = {"gibps-mo": 1024.0, "mibps-mo": 1.0, "mbps-mo": 1.0}


@dataclass(frozen=True)
class Price:
    """One on-demand price: of what, in which unit, in US dollars."""

    attributes: dict[str, str]
    unit: str
    usd: float


def _prices(items: Iterable[str]) -> Iterator[Price]:
    for item in items:
        product: dict[str, Any] = json.loads(item)
        attributes = product["product"]["attributes"]
        for term in product.get("terms", {}).get("OnDemand", {}).values():
            for dimension in term["priceDimensions"].values():
                usd = float(dimension["pricePerUnit"].get("USD", 0))
                if usd > 0:
                    yield Price(attributes, dimension["unit"], usd)


def of_types(items: Iterable[str]) -> dict[str, float]:
    """US dollars an hour by type; where the answers hold several, the least."""
    found: dict[str, float] = {}
    for price in _prices(items):
        name = price.attributes.get("instanceType")
        if name and price.unit.lower() in ("hrs", "hours"):
            found[name] = min(price.usd, found.get(name, price.usd))
    return found


def of_volumes(items: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Prices of each kind of volume, by the names that the catalogue has for them.

    Returns:
        By kind what the answers hold of `usd_per_gib_month`, `usd_per_iops_month` and
        `usd_per_mib_s_month`; a kind whose tiers are not all there has none of them.
    """
    size: dict[str, float] = {}
    usage: dict[str, float] = {}
    speed: dict[str, float] = {}
    for price in _prices(items):
        name = price.attributes.get("usagetype", "")
        usage["EBS:" + name.partition("EBS:")[2]] = price.usd
        kind = name.rpartition(".")[2]
        if "EBS:VolumeUsage." in name:
            size[kind] = price.usd
        elif "EBS:VolumeP-Throughput." in name and price.unit.lower() in _MIB_S_IN:
            speed[kind] = price.usd / _MIB_S_IN[price.unit.lower()]
    found: dict[str, dict[str, Any]] = {kind: {"usd_per_gib_month": usd} for kind, usd in size.items()}
    for kind, tiers in _TIERS.items():
        if all(name in usage for name, _ in tiers):
            found.setdefault(kind, {})["usd_per_iops_month"] = [
                [beyond, usage[name]] for name, beyond in tiers
            ]
    for kind, usd in speed.items():
        found.setdefault(kind, {})["usd_per_mib_s_month"] = usd
    return found
