"""Data disks of a host: which file system each gets, the unit that mounts it, and its queue in the kernel.

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


READ_AHEAD_SOLID: Final = 128
READ_AHEAD_ROTATING: Final = 1024
"""KiB that the kernel reads ahead. 128 is its own default (Linux 6.1, VM_READAHEAD_PAGES), and a solid disk gains
nothing by more. Where each move of a head costs some 10 ms, one fetch of a consumer that lags
(max.partition.fetch.bytes, 1 MiB in Kafka 3.9) is read in one go."""

Queue = dict[str, str]
"""Settings of a disk's queue by their names in /sys/block/DISK/queue (Linux Documentation/ABI/stable/sysfs-block)."""

QUEUES: Final[dict[str, Queue]] = {
    "0": {"scheduler": "none", "read_ahead_kb": str(READ_AHEAD_SOLID)},
    "1": {"scheduler": "mq-deadline", "read_ahead_kb": str(READ_AHEAD_ROTATING)},
}
"""A queue's settings by whether its disk rotates (the kernel's `rotational`): requests to a solid disk are handed on
as they come, to a rotating one sorted, with an end to waiting (Oracle Database 23ai Installation Guide for Linux,
disk I/O scheduler; Red Hat Enterprise Linux 9, Setting the disk scheduler, where none is NVMe's default too)."""


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


def udev_rules(volumes: tuple[Volume, ...]) -> tuple[str, ...]:
    """Rules that set the queues whenever a disk appears (udev(7)): ours are known by their file systems' ids."""
    return tuple(
        f'ACTION=="add|change", SUBSYSTEM=="block", ENV{{DEVTYPE}}=="disk", '
        f'ENV{{ID_FS_UUID}}=="{volume.file_system}", ATTR{{queue/rotational}}=="{rotates}", '
        f'ATTR{{queue/{name}}}="{value}"'
        for volume in volumes
        for rotates, queue in QUEUES.items()
        for name, value in queue.items()
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
