"""A fleet that is there already: how its brokers are spread, and what each of them can take.

Invariant: pure; capacities come from the same functions that planning uses, with
volumes as they are rather than as they could be bought.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np

from kdeploy.errors import UsageError
from kdeploy.planner import catalogue, declared, limits, storage
from kdeploy.planner.catalogue import GIB, MIB, Catalogue, Floats
from kdeploy.planner.declared import Machine
from kdeploy.planner.figures import IO_SIZE
from kdeploy.planner.limits import COLUMNS
from kdeploy.planner.result import Volumes
from kdeploy.planner.storage import GP3, NVME

if TYPE_CHECKING:
    from kdeploy.planner.result import DatacenterPlan
    from kdeploy.spec.lock import LockedDatacenter, LockedVolumes
    from kdeploy.spec.model import Datacenter

TIB: Final = 2.0**40

VOLUME_TYPES: Final = (GP3, "gp2", "io2", "st1", NVME)
"""Kinds of data volumes that a fleet may have."""


@dataclass(frozen=True)
class AskedVolumes:
    """What a person says of each broker's data volumes; None where nothing is said.

    Attributes:
        type: One of VOLUME_TYPES.
        count: Volumes per broker; one where anything else is said of them, else as many as the planner takes.
        size: Bytes of each.
        iops: Operations per second bought for each.
        throughput: Bytes per second bought for each.
    """

    type: str | None = None
    count: int | None = None
    size: float | None = None
    iops: float | None = None
    throughput: float | None = None


@dataclass(frozen=True, eq=False)
class Given:
    """A fleet of equal brokers.

    Attributes:
        name: Its datacenter.
        region: AWS region; None without a cloud.
        instance_type: EC2 type; None without a cloud.
        cores: Processors of one broker.
        memory: Bytes of memory of one broker.
        per_rack: Brokers in each rack.
        volumes: Data volumes of one broker; empty where nothing is known of them.
        capacity: What one broker can take, by limits.COLUMNS; infinite where a limit does not apply.
        partitions_before: Partitions that are there already; 0 where nothing is decided.
    """

    name: str
    region: str | None
    instance_type: str | None
    cores: int
    memory: float
    per_rack: dict[str, int]
    volumes: tuple[Volumes, ...]
    capacity: Floats
    partitions_before: int = 0

    @property
    def count(self) -> int:
        """Brokers in all."""
        return sum(self.per_rack.values())

    @property
    def disks(self) -> Floats:
        """Data disks per broker, as `limits.loads` wants them."""
        return np.array([float(max(1, sum(one.count for one in self.volumes)))])


def of_type(
    instance_type: str,
    region: str,
    per_rack: dict[str, int],
    asked: AskedVolumes,
    name: str = "dc1",
    partitions_before: int = 0,
) -> Given:
    """A fleet of one EC2 type.

    Args:
        instance_type: In the region's catalogue.
        region: With prices.
        per_rack: Brokers in each rack.
        asked: Data volumes. Nothing said of them means the type's own disks where it has any, else
            gp3 volumes with the most that can be bought.
        name: Its datacenter.
        partitions_before: As `Given.partitions_before`.

    Raises:
        UsageError: An unknown type or region, or volumes that the type cannot have or that are not sold so.
    """
    shape = _shape(instance_type, region)
    own = int(shape.nvme_count[0])
    kind = asked.type or (NVME if own and asked == AskedVolumes() else GP3)
    if kind == NVME:
        _refuse_bought(instance_type, own, asked)
        chosen = storage.candidates(shape, (NVME, own))
    else:
        stated = asked.size or asked.iops or asked.throughput
        count = asked.count or (1 if stated else None)
        chosen = storage.candidates(shape, (GP3, count) if count else None)
    row = int(np.flatnonzero(chosen.local == (kind == NVME))[0])
    own_disks = np.array([kind == NVME])
    capacity = limits.completed(chosen.capacity[[row]], shape.vcpus, shape.memory, own_disks)[0]
    disks = int(chosen.disks[row])
    if kind == NVME:
        volumes = Volumes(NVME, disks, float(shape.nvme_size[0]), None, float(shape.nvme_write[0]))
    else:
        volumes = _bought(kind, disks, asked, shape.gp3)
        _overlay(capacity, volumes, shape)
    return Given(
        name=name,
        region=region,
        instance_type=instance_type,
        cores=int(shape.vcpus[0]),
        memory=float(shape.memory[0]),
        per_rack=per_rack,
        volumes=(volumes,),
        capacity=capacity,
        partitions_before=partitions_before,
    )


def _shape(instance_type: str, region: str) -> Catalogue:
    """The one row of a type."""
    if region not in catalogue.regions():
        raise UsageError(
            f"there are no figures for a region called {region}\n  known: {', '.join(catalogue.regions())}"
        )
    shapes = catalogue.load(region)
    if instance_type not in shapes.names:
        from difflib import get_close_matches

        nearest = get_close_matches(instance_type, shapes.names, n=1, cutoff=0.0)[0]
        raise UsageError(
            f"instance type {instance_type} is not in the catalogue for {region}\n  did you mean {nearest}?"
        )
    return shapes.only(np.array([one == instance_type for one in shapes.names]))


def of_machine(name: str, machine: Machine, per_rack: dict[str, int], whole_machine: bool = True) -> Given:
    """A fleet of machines that somebody declared.

    Args:
        name: Its datacenter.
        machine: What every one of them has at least.
        per_rack: Brokers in each rack.
        whole_machine: Whether a broker has its machine to itself.
    """
    volumes = declared.volumes_of(machine)
    if not volumes and machine.disks:
        volumes = (Volumes("disk", machine.disks, 0.0, None, machine.disk_throughput),)
    capacity = declared.capacity_of(machine, whole_machine)[0]
    return Given(name, None, None, machine.cores, machine.memory, per_rack, volumes, capacity)


def of_datacenter(datacenter: Datacenter, before: LockedDatacenter | None) -> Given:
    """The fleet that an environment declares for provider local or hosts.

    Args:
        datacenter: Of such a provider.
        before: What the lock holds.
    """
    per_rack, machine = declared.brokers_of(datacenter, before)
    fleet = of_machine(datacenter.name, machine, per_rack, datacenter.provider == "hosts")
    return replace(fleet, partitions_before=before.partitions if before else 0)


def of_lock(locked: LockedDatacenter) -> Given:
    """The fleet that a lock says is there, in AWS.

    Raises:
        UsageError: Its type is not in the catalogue any more.
    """
    racks = [node.rack for node in locked.nodes if node.role == "broker"]
    per_rack = {rack: racks.count(rack) for rack in sorted(set(racks))}
    volumes = _asked(locked.brokers.volumes)
    return of_type(
        locked.brokers.instance_type or "",
        locked.region or "",
        per_rack,
        volumes,
        locked.name,
        locked.partitions,
    )


def of_plan(planned: DatacenterPlan) -> Given:
    """The fleet that a plan chose, in AWS."""
    brokers = planned.brokers
    volumes = _asked(brokers.volumes)
    return of_type(brokers.instance_type or "", planned.region or "", brokers.per_rack, volumes, planned.name)


def _asked(volumes: Sequence[Volumes | LockedVolumes]) -> AskedVolumes:
    first = volumes[0]
    if first.type == NVME:
        return AskedVolumes(NVME)
    return AskedVolumes(first.type, first.count, first.size, first.iops, first.throughput)


def _refuse_bought(instance_type: str, own: int, asked: AskedVolumes) -> None:
    if not own:
        raise UsageError(f"{instance_type} has no local disks; name another --volume-type, such as gp3")
    if asked.count not in (None, own) or asked.size or asked.iops or asked.throughput:
        raise UsageError(
            f"the {own} local disks of {instance_type} are what they are; leave the volume's other flags "
            "out, or name --volume-type gp3"
        )


def _overlay(capacity: Floats, volumes: Volumes, shape: Catalogue) -> None:
    """Put what volumes give in place of the most that could be bought; the instance's own limits stay."""
    own = {
        "disk_write": (volumes.throughput, np.inf),
        "disk_throughput": (volumes.throughput, shape.ebs_throughput[0]),
        "disk_iops": (volumes.iops, shape.ebs_iops[0]),
        "disk_space": (volumes.size, np.inf),
    }
    for position, limit in enumerate(COLUMNS):
        each, most = own.get(limit, (None, 0.0))
        if each is not None:
            capacity[position] = min(each * volumes.count, most)


def _bought(kind: str, count: int, asked: AskedVolumes, gp3: catalogue.Gp3) -> Volumes:
    """What each volume gives, by the rules of its kind (Amazon EBS User Guide, volume types; by memory, 2026).

    gp3: as bought; of a stated size without more, 3,000 operations and 125 MiB/s; where nothing is said,
    the most that is sold. Operations that are not stated are enough for the throughput.
    gp2: 3 operations per GiB, 100 to 16,000; 128 MiB/s up to 170 GiB, 250 MiB/s from 334 GiB, in between
    0.75 MiB/s per GiB. io2: 256 KiB per operation, at most 256,000 and 4,000 MiB/s, and 1,000 operations per GiB.
    st1: 40 MiB/s per TiB, at most 500 MiB/s, in operations of 1 MiB.
    """
    if kind == GP3:
        throughput = asked.throughput or (gp3.free_throughput if asked.size else gp3.most_throughput)
        iops = asked.iops or max(gp3.free_iops, throughput / IO_SIZE.value)
        size = asked.size or gp3.most_size
        _refuse_beyond("throughput", throughput / MIB, gp3.most_throughput / MIB, "MiB/s", kind)
        _refuse_beyond("iops", asked.iops or 0, gp3.most_iops, "", kind)
        _refuse_beyond("size", size / GIB, gp3.most_size / GIB, "GiB", kind)
        least = throughput / gp3.throughput_per_iops
        if asked.iops and asked.iops < least:
            raise UsageError(f"a gp3 volume of {throughput / MIB:,.0f} MiB/s needs {least:,.0f} IOPS")
        return Volumes(GP3, count, size, min(iops, gp3.most_iops), throughput)
    if asked.size is None:
        raise UsageError(f"what a {kind} volume gives depends on its size; say --volume-size")
    size = asked.size
    if kind == "io2":
        if asked.iops is None:
            raise UsageError("an io2 volume is sold by its operations; say --volume-iops")
        _refuse_beyond("iops", asked.iops, min(256_000.0, 1000 * size / GIB), "", kind)
        _refuse_beyond("size", size / GIB, 65536.0, "GiB", kind)
        _refuse_stated_throughput(asked, kind)
        return Volumes(kind, count, size, asked.iops, min(asked.iops * 256 * 1024, 4000 * MIB))
    _refuse_stated_throughput(asked, kind)
    if asked.iops is not None:
        raise UsageError(f"operations of a {kind} volume are not sold apart; leave --volume-iops out")
    _refuse_beyond("size", size / GIB, 16384.0, "GiB", kind)
    if kind == "st1":
        return Volumes(kind, count, size, None, min(40 * size / TIB, 500.0) * MIB)
    throughput = min(250.0, max(128.0, 0.75 * size / GIB)) * MIB
    return Volumes(kind, count, size, min(16000.0, max(100.0, 3 * size / GIB)), throughput)


def _refuse_stated_throughput(asked: AskedVolumes, kind: str) -> None:
    if asked.throughput is not None:
        raise UsageError(
            f"the throughput of a {kind} volume is not sold apart; leave --volume-throughput out"
        )


def _refuse_beyond(what: str, value: float, most: float, unit: str, kind: str) -> None:
    if value > most:
        raise UsageError(f"--volume-{what}: a {kind} volume has at most {most:,.0f} {unit}".rstrip())
