"""Data disks of a host: which file system each gets, and the unit that mounts it.

Invariant: pure; a disk's file system has an id that is derived from who it belongs to, so it is
known before the disk is formatted, and a disk with another id is never taken for ours.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Final

from kdeploy.tuning.situation import Situation

NAMESPACE: Final = uuid.UUID("8f0e4f3c-6a53-4d0b-9f0a-3d0d4c1c7a55")
"""Of the ids below (RFC 9562, version 5); any fixed value does."""

FILE_SYSTEM: Final = "xfs"
"""Kafka 3.9 documentation, 6.7, Filesystem Selection: XFS needs no tuning, and stalls less than ext4."""

OPTIONS: Final = "noatime"
"""Nothing reads the time of the last access, and keeping it costs writes (ibid., General Filesystem Notes)."""


@dataclass(frozen=True)
class Volume:
    """A data disk; as `kdeploy.blueprint.Disk`."""

    device: str
    file_system: str
    mount: str


def volumes(situation: Situation) -> tuple[Volume, ...]:
    """The node's data disks, each for one data directory."""
    cluster, member = situation.cluster, situation.member
    owner = f"{cluster.environment.name}/{cluster.datacenter}/{member.name}"
    return tuple(
        Volume(device, str(uuid.uuid5(NAMESPACE, f"{owner}/{number}")), mount)
        for number, (device, mount) in enumerate(zip(situation.devices, situation.layout.data, strict=False))
    )


def unit_name(volume: Volume) -> str:
    """Name of the unit that mounts it: systemd derives it from the path (systemd.unit(5), escaping)."""
    return volume.mount.strip("/").replace("-", "\\x2d").replace("/", "-") + ".mount"


def unit(volume: Volume) -> dict[str, dict[str, str]]:
    """The unit's sections (systemd.mount(5), version 252).

    Wanted by multi-user.target: a disk that is gone keeps Kafka down, and leaves the host reachable.
    """
    return {
        "Unit": {"Description": f"Data of Kafka at {volume.mount}"},
        "Mount": {
            "What": f"/dev/disk/by-uuid/{volume.file_system}",
            "Where": volume.mount,
            "Type": FILE_SYSTEM,
            "Options": OPTIONS,
        },
        "Install": {"WantedBy": "multi-user.target"},
    }
