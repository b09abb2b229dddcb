"""The catalogue as a person or a program reads it: every figure that the model uses.

Invariant: pure; text, markdown and JSON are made from the same rows, JSON in base units.
Text stays within 80 columns.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from kdeploy.planner.catalogue import GIB, MIB, Catalogue
from kdeploy.planner.ebs import Kind

SCHEMA: Final = "kdeploy.catalogue/v1"

_HEAD: Final = ("type", "arch", "vCPU", "GiB", "net", "EBS", "disks", "write", "USD/h")
_LEFT: Final = (0, 1)


def chosen(
    shapes: Catalogue,
    family: str | None = None,
    architecture: str | None = None,
    local_disks: bool = False,
    min_vcpus: int = 0,
    min_memory: float = 0.0,
) -> Catalogue:
    """The types that a person asks to see; those of a former generation only by their family's name."""
    kept = shapes.offered
    if family is not None:
        kept = np.array([one == family for one in shapes.families])
    if architecture is not None:
        kept = kept & (shapes.architecture == architecture)
    if local_disks:
        kept = kept & (shapes.nvme_count > 0)
    return shapes.only(kept & (shapes.vcpus >= min_vcpus) & (shapes.memory >= min_memory))


def to_json(shapes: Catalogue) -> dict[str, Any]:
    """The catalogue as JSON values under the contract `kdeploy.catalogue/v1`."""
    return {
        "schema": SCHEMA,
        "region": shapes.region,
        "date": shapes.date,
        "exact": shapes.exact,
        "catalogue": shapes.origin,
        "offering_known": shapes.offering_known,
        "sources": shapes.sources,
        "cross_zone_usd_per_gib": shapes.cross_zone_usd_per_gib,
        "cross_region_usd_per_gib": shapes.cross_region_usd_per_gib,
        "volumes": {name: _volume(kind) for name, kind in shapes.volumes.items()},
        "types": [_type(shapes, row) for row in range(len(shapes.names))],
    }


def _type(shapes: Catalogue, row: int) -> dict[str, Any]:
    disks = int(shapes.nvme_count[row])
    local = {
        "count": disks,
        "size": float(shapes.nvme_size[row]),
        "write_throughput": float(shapes.nvme_write[row]),
        "documented": bool(shapes.nvme_documented[row]),
    }
    return {
        "name": shapes.names[row],
        "family": shapes.families[row],
        "architecture": str(shapes.architecture[row]),
        "current_generation": bool(shapes.offered[row]),
        "vcpus": int(shapes.vcpus[row]),
        "reference_processors": round(float(shapes.compute[row]), 3),
        "memory": float(shapes.memory[row]),
        "network": float(shapes.network[row]),
        "ebs_throughput": float(shapes.ebs_throughput[row]),
        "ebs_iops": float(shapes.ebs_iops[row]),
        "local_disks": local if disks else None,
        "usd_per_hour": round(float(shapes.usd_per_hour[row]), 6),
    }


def _volume(kind: Kind) -> dict[str, Any]:
    return {
        "usd_per_gib_month": round(kind.usd_per_gib, 6),
        "usd_per_iops_month": [{"beyond": beyond, "usd": round(usd, 6)} for beyond, usd in kind.usd_per_iops],
        "usd_per_mib_s_month": round(kind.usd_per_mib_s, 6),
        "least_size": kind.least_size,
        "most_size": kind.most_size,
        "most_iops": kind.most_iops,
        "most_throughput": kind.most_throughput,
        "confidence": kind.confidence,
    }


def text(shapes: Catalogue) -> str:
    """The catalogue for a terminal."""
    import textwrap

    lines = [*textwrap.wrap(about(shapes), 80), ""]
    lines += _aligned([_HEAD, *_rows(shapes)], _LEFT)
    lines += ["", *textwrap.wrap(LEGEND, 80), "", *textwrap.wrap(VOLUMES, 80), ""]
    return "\n".join([*lines, *_aligned(_volume_rows(shapes), (0,))])


def markdown(shapes: Catalogue) -> str:
    """The catalogue for a page."""
    lines = [about(shapes), "", *_marked([_HEAD, *_rows(shapes)], _LEFT), "", LEGEND, ""]
    return "\n".join([*lines, VOLUMES, "", *_marked(_volume_rows(shapes), (0,))])


LEGEND: Final = (
    "net, EBS and write in MB/s: baselines of the type each way, and what each local disk writes; "
    "~: by the size of the disk alone, since AWS's figure for the type is not known. disks in GB."
)


VOLUMES: Final = (
    "EBS volumes, US dollars a month beyond what comes with the volume, and the most one can be; "
    "?: recalled or derived, not quoted from a source."
)


def about(shapes: Catalogue) -> str:
    """Which catalogue it is, how old its prices are and how sure, in two sentences."""
    prices = (
        "published" if shapes.exact else "derived from us-east-1's by the region's usual ratio: an estimate"
    )
    offered = (
        ""
        if shapes.offering_known
        else " Which types the region has is not known: all are taken to be there."
    )
    types = "1 type" if len(shapes.names) == 1 else f"{len(shapes.names)} types"
    return (
        f"{types} in {shapes.region}, on demand, prices of {shapes.date}, {prices}. "
        f"Catalogue: {shapes.origin}.{offered}"
    )


def _rows(shapes: Catalogue) -> list[tuple[str, ...]]:
    return [
        (
            name,
            str(shapes.architecture[row]),
            f"{shapes.vcpus[row]:.0f}",
            f"{shapes.memory[row] / GIB:g}",
            f"{shapes.network[row] / 1e6:.0f}",
            f"{shapes.ebs_throughput[row] / 1e6:.0f}",
            f"{shapes.nvme_count[row]:.0f}x{shapes.nvme_size[row] / 1e9:.0f}"
            if shapes.nvme_count[row]
            else "-",
            _write(shapes, row) if shapes.nvme_count[row] else "-",
            f"{shapes.usd_per_hour[row]:.4f}",
        )
        for row, name in enumerate(shapes.names)
    ]


def _write(shapes: Catalogue, row: int) -> str:
    return f"{'' if shapes.nvme_documented[row] else '~'}{shapes.nvme_write[row] / 1e6:.0f}"


def _volume_rows(shapes: Catalogue) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = [("kind", "a GiB", "an IOPS", "a MiB/s", "most TiB", "IOPS", "MiB/s")]
    for kind in shapes.volumes.values():
        cells = {
            "size": f"{kind.usd_per_gib:.4f}",
            "iops": " to ".join(f"{usd:.4f}" for usd in _extremes(kind)),
            "throughput": f"{kind.usd_per_mib_s:.4f}" if kind.usd_per_mib_s else "",
            "most_size": f"{kind.most_size / GIB / 1024:g}",
            "most_iops": f"{kind.most_iops:,.0f}",
            "most_throughput": f"{kind.most_throughput / MIB:,.0f}",
        }
        unsure = {part for part, word in kind.confidence.items() if word != "quoted"}
        shown = [f"{cell}{'?' if part in unsure else ''}" if cell else "-" for part, cell in cells.items()]
        rows.append((kind.name, *shown))
    return rows


def _extremes(kind: Kind) -> list[float]:
    """What the first and the last operations per second cost."""
    prices = [usd for _, usd in kind.usd_per_iops]
    return prices if len(prices) < 2 else [prices[0], prices[-1]]


def _aligned(rows: list[tuple[str, ...]], left: tuple[int, ...]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  ".join(
            cell.ljust(width) if column in left else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def _marked(rows: list[tuple[str, ...]], left: tuple[int, ...]) -> list[str]:
    marks = tuple("---" if column in left else "---:" for column in range(len(rows[0])))
    return [f"| {' | '.join(row)} |" for row in (rows[0], marks, *rows[1:])]
