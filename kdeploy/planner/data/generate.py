"""Write catalogue.json from AWS's own answers and published prices. Not used while planning.

Run it where the sources are, with moto installed and its `ec2/resources` folder as RESOURCES:

    python -m kdeploy.planner.data.generate --resources RESOURCES --prices ec2_prices.json

Invariant: every type of the source is either in the catalogue or counted under
the reason why it is not, and every region of the price file is there. What the
catalogue was made from is named in it.
"""

from __future__ import annotations

import argparse
import gzip
import json
from collections import Counter
from pathlib import Path
from typing import Any

from kdeploy.planner.describe import COLUMNS, exclusion, row

MOTO = "5.2.5"
"""The version of moto whose answers the shipped catalogue holds."""

SOURCES = {
    "shapes": f"AWS DescribeInstanceTypes answers as shipped by moto {MOTO} (Apache-2.0), 2026-10-27",
    "prices": "us-east-1 on demand, Linux: Karpenter AWS provider's price table (Apache-2.0), 2026-07-20",
    "ratios": "other regions: modal price ratio by instance class, apache-libcloud 3.9.1 (Apache-2.0), 2025-03-02",
    "storage": (
        "EBS and traffic prices, us-east-1: Netflix service-capacity-modeling (Apache-2.0), 2026-08, where "
        "quoted; rules: Amazon EBS User Guide, volume types (awsdocs/amazon-ec2-user-guide), 2023-05-11"
    ),
    "local_disks": (
        "AWS's documented write operations of each type times what one was measured to carry: 655 MB/s on "
        "i3en.2xlarge, documented for 130,000; where none is known, 131 MB/s per TB"
    ),
}
QUOTED = "quoted"
RECALLED = "recalled"
LIMITS_QUOTED = {"most_size": QUOTED, "most_iops": QUOTED, "most_throughput": QUOTED}

# Rules: Amazon EBS User Guide, "General Purpose SSD", "Provisioned IOPS SSD" and "HDD volumes" (2023-05-11).
# gp2 without bursts: 3 operations of 256 KiB per GiB and second, at least 100, at most 16,000 and 250 MiB/s.
# gp3's greater limits are of 2025: 80,000 IOPS (quoted), 2,000 MiB/s and 64 TiB (recalled).
VOLUMES = {
    "gp3": {
        "usd_per_gib_month": 0.08,
        "usd_per_iops_month": [[3000, 0.005]],
        "usd_per_mib_s_month": 0.04,
        "least_gib": 1,
        "most_gib": 65536,
        "free_iops": 3000,
        "most_iops": 80000,
        "free_mib_s": 125,
        "most_mib_s": 2000,
        "iops_per_gib": 500,
        "mib_s_per_iops": 0.25,
        "mib_s_per_gib": None,
        "follows": "nothing",
        "sequential": False,
        "confidence": {
            "size": QUOTED,
            "iops": QUOTED,
            "throughput": RECALLED,
            "most_size": RECALLED,
            "most_iops": QUOTED,
            "most_throughput": RECALLED,
        },
    },
    "gp2": {
        "usd_per_gib_month": 0.10,
        "usd_per_iops_month": [],
        "usd_per_mib_s_month": 0,
        "least_gib": 1,
        "most_gib": 16384,
        "free_iops": 100,
        "most_iops": 16000,
        "free_mib_s": 25,
        "most_mib_s": 250,
        "iops_per_gib": 3,
        "mib_s_per_iops": 0.25,
        "mib_s_per_gib": None,
        "follows": "size",
        "sequential": False,
        "confidence": {"size": QUOTED, **LIMITS_QUOTED},
    },
    "io2": {
        "usd_per_gib_month": 0.125,
        "usd_per_iops_month": [[0, 0.065], [32000, 0.046], [64000, 0.032]],
        "usd_per_mib_s_month": 0,
        "least_gib": 4,
        "most_gib": 65536,
        "free_iops": 100,
        "most_iops": 256000,
        "free_mib_s": 25.6,
        "most_mib_s": 4000,
        "iops_per_gib": 1000,
        "mib_s_per_iops": 0.256,
        "mib_s_per_gib": None,
        "follows": "iops",
        "sequential": False,
        "confidence": {"size": QUOTED, "iops": QUOTED, **LIMITS_QUOTED},
    },
    "st1": {
        "usd_per_gib_month": 0.045,
        "usd_per_iops_month": [],
        "usd_per_mib_s_month": 0,
        "least_gib": 125,
        "most_gib": 16384,
        "free_iops": 0,
        "most_iops": 500,
        "free_mib_s": 0,
        "most_mib_s": 500,
        "iops_per_gib": None,
        "mib_s_per_iops": 1,
        "mib_s_per_gib": 40 / 1024,
        "follows": "size",
        "sequential": True,
        "confidence": {"size": RECALLED, **LIMITS_QUOTED},
    },
}
TRAFFIC = {
    "cross_zone_usd_per_gib": 0.02,
    "cross_region_usd_per_gib": 0.02,
    "confidence": {"cross_zone": QUOTED, "cross_region": QUOTED},
    "note": "0.01 on each side between zones; between most regions of the US and EU, others cost more",
}
LOCAL_NVME = {"mb_s": 655, "write_iops": 130000, "mb_s_per_tb": 131, "confidence": QUOTED}


def missing(names: list[str], offered: set[str]) -> list[str]:
    """Types a region lacks; a family that it lacks whole is named once."""
    families = {name.split(".")[0] for name in names}
    absent = {family for family in families if not any(name.split(".")[0] == family for name in offered)}
    lacking = [name for name in names if name not in offered and name.split(".")[0] not in absent]
    return sorted(absent) + sorted(lacking)


def catalogue(resources: Path, published: dict[str, Any]) -> dict[str, Any]:
    """The whole document.

    Args:
        resources: moto's folder `ec2/resources`.
        published: `us_east_1`, US dollars an hour by type, and `region_ratio`, by region and class.
    """
    answers = json.loads(gzip.decompress((resources / "instance_types.json.gz").read_bytes()))
    prices = published["us_east_1"]
    excluded: Counter[str] = Counter()
    shapes: dict[str, list[Any]] = {}
    for name in sorted(answers):
        reason = exclusion(name, answers[name], prices)
        if reason:
            excluded[reason] += 1
        else:
            shapes[name] = row(name, answers[name], prices[name])
    return {
        "sources": SOURCES,
        "date": "2026-07-20",
        "columns": list(COLUMNS),
        "excluded": dict(sorted(excluded.items())),
        "volumes": VOLUMES,
        "traffic": TRAFFIC,
        "local_nvme": LOCAL_NVME,
        "regions": {
            region: _region(resources, region, ratios, list(shapes))
            for region, ratios in sorted(published["region_ratio"].items())
        },
        "shapes": shapes,
    }


def _region(resources: Path, region: str, ratios: dict[str, Any], names: list[str]) -> dict[str, Any]:
    file = resources / "instance_type_offerings" / "region" / f"{region}.json.gz"
    found = json.loads(gzip.decompress(file.read_bytes())) if file.exists() else []
    offered = {entry["InstanceType"] for entry in found} or set(names)
    return {
        "price_ratio": {kind: ratios[kind]["ratio"] for kind in "cimr" if kind in ratios},
        "offering": "known" if found else "assumed",
        "missing": missing(names, offered),
    }


def text(document: dict[str, Any]) -> str:
    """JSON with one line for each part, region and shape, so that a difference can be read."""
    lines = []
    for key, value in document.items():
        if key in ("volumes", "regions", "shapes"):
            rows = ",\n".join(f"{json.dumps(name)}: {json.dumps(entry)}" for name, entry in value.items())
            lines.append(f"{json.dumps(key)}: {{\n{rows}\n}}")
        else:
            lines.append(f"{json.dumps(key)}: {json.dumps(value)}")
    return "{\n" + ",\n".join(lines) + "\n}\n"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--resources", type=Path, required=True, help="moto's folder ec2/resources")
    parser.add_argument("--prices", type=Path, required=True)
    chosen = parser.parse_args()
    whole = catalogue(chosen.resources, json.loads(chosen.prices.read_text()))
    Path(__file__).with_name("catalogue.json").write_text(text(whole))
