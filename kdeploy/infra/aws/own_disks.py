"""A machine's own NVMe disks: which of them is which data disk of its node, and whether they lost what they held.

Invariant: pure. A disk that carries one of the node's file systems is that data disk, wherever else it stands in the
order; the others are dealt out by their serial numbers. What one holds is never judged here: whoever makes file
systems refuses a disk that holds anything.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from kdeploy.blueprint import LOCAL_DISK, Disk
from kdeploy.errors import KdeployError

BY_ID: Final = "/dev/disk/by-id/nvme-Amazon_EC2_NVMe_Instance_Storage_"
"""Where a disk of the instance's own is found, followed by its serial number: udev calls NVMe disks by model and serial
number (systemd 252, rules.d/60-persistent-storage.rules), and the model is `Amazon EC2 NVMe Instance Storage`. Their
content ends with a stop, hibernation or termination, whose keys are destroyed, and outlives a reboot (Amazon EC2
User Guide, "SSD instance store volumes" and "Data persistence for Amazon EC2 instance store volumes", read 2026-11)."""


@dataclass(frozen=True)
class OwnDisk:
    """One disk of a machine's own, as its host tells of it.

    Attributes:
        path: Its stable path.
        file_system: UUID of what is on it; empty where it has none.
        empty: Whether nothing at all is recognised on it.
    """

    path: str
    file_system: str
    empty: bool


def read(answer: Sequence[Mapping[str, Any]]) -> tuple[OwnDisk, ...]:
    """Disks as `hosts.remote.own_disks` answers."""
    return tuple(OwnDisk(one["path"], one["file_system"], one["empty"]) for one in answer)


def paths(disks: Sequence[Disk], found: Sequence[OwnDisk]) -> dict[str, str]:
    """Paths of a node's data disks on its machine, by their names in the Blueprint (`local:0`).

    Args:
        disks: The node's data disks; those that are no disk of the machine's own are left out.
        found: The machine's own disks.

    Raises:
        KdeployError: The machine has fewer than the node needs.
    """
    wanted = [one for one in disks if one.device.startswith(LOCAL_DISK)]
    if len(found) < len(wanted):
        have = f"{len(found)} disks" if len(found) != 1 else "one disk"
        raise KdeployError(
            f"the machine has {have} of its own, and {len(wanted)} are wanted\n"
            f"  look there at {BY_ID}*; a machine whose disk fails is to be terminated, and `kdeploy up` makes another"
        )
    ours = {one.file_system: one.path for one in found if one.file_system}
    there = {one.device: ours[one.file_system] for one in wanted if one.file_system in ours}
    left = iter(sorted(one.path for one in found if one.path not in there.values()))
    return {one.device: there.get(one.device) or next(left) for one in wanted}


def are_emptied(disks: Sequence[Disk], found: Sequence[OwnDisk]) -> bool:
    """Whether a machine's own disks came back with nothing on them, as after a stop; False where it has none."""
    return any(one.device.startswith(LOCAL_DISK) for one in disks) and all(one.empty for one in found)
