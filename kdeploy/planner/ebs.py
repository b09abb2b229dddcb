"""What each kind of EBS volume can be and costs, and what has to be bought of it for a load.

Invariant: a greater need never buys less, and what is bought holds the need as far
as one volume of the kind can. What a volume gives is what it gives always: the
bursts of gp2 and st1 are not counted on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

MIB: Final = 2.0**20
GIB: Final = 2.0**30

GP3: Final = "gp3"
KINDS: Final = (GP3, "gp2", "io2", "st1")
"""Kinds of EBS volume that data can lie on (sc1 and magnetic volumes are too slow for a log)."""


@dataclass(frozen=True)
class Bought:
    """What each volume is bought with: bytes, operations per second, bytes per second."""

    size: Floats
    iops: Floats
    throughput: Floats


NOTHING: Final = Bought(np.zeros(1), np.zeros(1), np.zeros(1))


@dataclass(frozen=True)
class Kind:
    """A kind of volume: its rules (Amazon EBS User Guide, volume types) and its prices in a region.

    Attributes:
        name: gp3, gp2, io2 or st1.
        usd_per_gib: US dollars a month for a GiB.
        usd_per_iops: What an operation per second costs a month beyond a number of them,
            as (that number, price), rising; empty where they come with the size.
        usd_per_mib_s: What a MiB/s costs a month beyond `free_throughput`; 0 where it comes with the rest.
        least_size, most_size: Bytes of one volume.
        free_iops, most_iops: Operations per second that any volume has, and that one can have.
        free_throughput, most_throughput: The same in bytes per second.
        iops_per_gib: Operations per second that a GiB allows (gp3, io2) or brings (gp2).
        throughput_per_iops: Bytes per second that an operation per second allows (gp3) or brings.
        throughput_per_gib: Bytes per second that a GiB brings (st1); infinite where it sets no limit.
        follows: What comes with the size by itself and cannot be bought: nothing (gp3), throughput
            with operations (io2), or both with the size (gp2, st1).
        sequential: Whether its operations are counted in merged MiB, so that only throughput limits it.
        confidence: How sure each price (size, iops, throughput) and limit (most_...) is: quoted from its
            source, recalled, or derived from another region's.
    """

    name: str
    usd_per_gib: float
    usd_per_iops: tuple[tuple[float, float], ...]
    usd_per_mib_s: float
    least_size: float
    most_size: float
    free_iops: float
    most_iops: float
    free_throughput: float
    most_throughput: float
    iops_per_gib: float
    throughput_per_iops: float
    throughput_per_gib: float
    follows: Literal["nothing", "iops", "size"]
    sequential: bool
    confidence: dict[str, str]

    def buy(self, size: Floats, iops: Floats, throughput: Floats, before: Bought = NOTHING) -> Bought:
        """The least volume that holds a need, in whole GiB, operations per second and MiB/s.

        operations ≥ throughput ÷ what one allows; size ≥ operations ÷ what a GiB allows, and
        ≥ throughput ÷ what a GiB brings. What follows the size or the operations is then as much
        as they bring, which can be more than the need.

        Args:
            size: Bytes.
            iops: Operations per second; without effect on a sequential kind.
            throughput: Bytes per second.
            before: What the volume is already; it never shrinks.
        """
        speed = np.maximum(_whole(throughput, MIB), self.free_throughput)
        if self.follows == "nothing":
            speed = np.maximum(speed, before.throughput)
        speed = np.minimum(speed, self.most_throughput)
        needed = np.where(speed > self.free_throughput, speed / self.throughput_per_iops, 0.0)
        if not self.sequential:
            needed = np.maximum(needed, iops)
        operations = np.maximum(np.maximum(_whole(needed, 1.0), self.free_iops), before.iops)
        operations = np.minimum(operations, self.most_iops)
        space = np.maximum(np.maximum(_whole(size, GIB), self.least_size), before.size)
        counted = operations if self.follows != "size" else operations * (operations > self.free_iops)
        space = np.maximum(space, _whole(counted / self.iops_per_gib * GIB, GIB))
        if self.throughput_per_gib < np.inf:
            space = np.maximum(space, _whole(speed / self.throughput_per_gib * GIB, GIB))
        space = np.minimum(space, self.most_size)
        return self.given(space, operations, speed)

    def given(self, size: Floats, iops: Floats, throughput: Floats) -> Bought:
        """What a volume gives: what is bought, and in its place what follows the size or the operations."""
        if self.follows == "nothing":
            return Bought(size, iops, throughput)
        if self.follows == "size" and self.sequential:
            throughput = np.minimum(size / GIB * self.throughput_per_gib, self.most_throughput)
            return Bought(size, np.floor(throughput / self.throughput_per_iops), throughput)
        if self.follows == "size":
            iops = np.clip(np.floor(size / GIB * self.iops_per_gib), self.free_iops, self.most_iops)
        throughput = np.minimum(iops * self.throughput_per_iops, self.most_throughput)
        return Bought(size, iops, throughput)

    def monthly_usd(self, bought: Bought) -> Floats:
        """US dollars a month for one volume: its size, and what is bought beyond what comes with it."""
        price = self.space_usd(bought.size)
        if self.usd_per_mib_s:
            extra = np.maximum(bought.throughput - self.free_throughput, 0)
            price = price + extra / MIB * self.usd_per_mib_s
        ends = [beyond for beyond, _ in self.usd_per_iops[1:]] + [np.inf]
        for (beyond, usd), upto in zip(self.usd_per_iops, ends, strict=False):
            price = price + np.minimum(np.maximum(bought.iops - beyond, 0), upto - beyond) * usd
        return np.asarray(price)

    def space_usd(self, size: Floats) -> Floats:
        """US dollars a month for a volume that has no more than what comes with its size."""
        return size / GIB * self.usd_per_gib


def _whole(amount: Floats, unit: float) -> Floats:
    """Rounded up to whole units, with room for the error of a division."""
    return np.asarray(np.ceil(amount / unit - 1e-9) * unit)


def kind_of(name: str, figures: dict[str, Any], ratio: float) -> Kind:
    """A kind as the data has it, in base units.

    Args:
        name: The kind.
        figures: Its entry in the catalogue.
        ratio: What prices are multiplied by; 1 where they are the region's own.
    """
    return Kind(
        name=name,
        usd_per_gib=figures["usd_per_gib_month"] * ratio,
        usd_per_iops=tuple((beyond, usd * ratio) for beyond, usd in figures["usd_per_iops_month"]),
        usd_per_mib_s=figures["usd_per_mib_s_month"] * ratio,
        least_size=figures["least_gib"] * GIB,
        most_size=figures["most_gib"] * GIB,
        free_iops=figures["free_iops"],
        most_iops=figures["most_iops"],
        free_throughput=figures["free_mib_s"] * MIB,
        most_throughput=figures["most_mib_s"] * MIB,
        iops_per_gib=figures["iops_per_gib"] or np.inf,
        throughput_per_iops=figures["mib_s_per_iops"] * MIB,
        throughput_per_gib=figures["mib_s_per_gib"] * MIB if figures["mib_s_per_gib"] else np.inf,
        follows=figures["follows"],
        sequential=figures["sequential"],
        confidence=figures["confidence"],
    )
