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
from kdeploy.planner import catalogue, declared, hardware, storage
from kdeploy.planner.catalogue import GIB, MIB, Catalogue, Floats
from kdeploy.planner.declared import Machine
from kdeploy.planner.ebs import GP3, KINDS, Kind
from kdeploy.planner.figures import IO_SIZE
from kdeploy.planner.limits import COLUMNS
from kdeploy.planner.result import Volumes
from kdeploy.planner.storage import NVME

if TYPE_CHECKING:
    from kdeploy.planner.result import DatacenterPlan
    from kdeploy.spec.lock import LockedDatacenter, LockedVolumes
    from kdeploy.spec.model import Datacenter

SAME: Final = 1e-6
"""How near what is stated has to be to what a volume gives by itself."""

VOLUME_TYPES: Final = (*KINDS, NVME)
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
        stated = asked.size or asked.throughput or asked.iops
        count = asked.count or (1 if stated else None)
        layout = (kind, count) if count else None
        chosen = storage.candidates(shape, layout, "ebs", kind)
    capacity = hardware.completed(chosen.capacity, shape.vcpus, shape.memory, chosen.local)[0]
    disks = int(chosen.disks[0])
    if kind == NVME:
        volumes = Volumes(NVME, disks, float(shape.nvme_size[0]), None, float(shape.nvme_write[0]))
    else:
        volumes = _bought(chosen.kind, disks, asked)
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


def _bought(kind: Kind, count: int, asked: AskedVolumes) -> Volumes:
    """What each volume gives, by the rules of its kind.

    gp3: as bought; of a stated size without more, what is free; where nothing is said, the most that
    is sold. Operations that are not stated are enough for the throughput. The others: what follows
    the size (gp2, st1) or the operations (io2), which have to be stated.
    """
    if kind.follows == "nothing":
        throughput = asked.throughput or (kind.free_throughput if asked.size else kind.most_throughput)
        size = asked.size or kind.most_size
        enough = max(kind.free_iops, throughput / IO_SIZE.value, throughput / kind.throughput_per_iops)
        iops = asked.iops or min(enough, kind.most_iops, size / GIB * kind.iops_per_gib)
    elif asked.size is None:
        raise UsageError(f"what a {kind.name} volume gives depends on its size; say --volume-size")
    elif kind.follows == "iops" and asked.iops is None:
        raise UsageError(f"an {kind.name} volume is sold by its operations; say --volume-iops")
    else:
        size, iops, throughput = asked.size, asked.iops or 0.0, 0.0
    _refuse_beyond("throughput", throughput / MIB, kind.most_throughput / MIB, "MiB/s", kind.name)
    _refuse_beyond("size", size / GIB, kind.most_size / GIB, "GiB", kind.name)
    if size < kind.least_size:
        least = kind.least_size / GIB
        raise UsageError(f"--volume-size: {_named(kind.name)} volume has at least {least:,.0f} GiB")
    if kind.follows != "size":
        most = min(kind.most_iops, max(kind.free_iops, size / GIB * kind.iops_per_gib))
        _refuse_beyond("iops", iops, most, "", kind.name)
    if kind.follows == "nothing" and throughput > kind.free_throughput:
        least = throughput / kind.throughput_per_iops
        if iops < least * (1 - SAME):
            raise UsageError(f"a gp3 volume of {throughput / MIB:,.0f} MiB/s needs {least:,.0f} IOPS")
    found = kind.given(*(np.array([part]) for part in (size, iops, throughput)))
    gives = Volumes(
        kind.name,
        count,
        size,
        None if kind.sequential else float(found.iops[0]),
        float(found.throughput[0]),
    )
    _refuse_stated("iops", asked.iops, gives.iops, kind.name)
    _refuse_stated("throughput", asked.throughput, gives.throughput, kind.name)
    return gives


def _named(kind: str) -> str:
    return f"an {kind}" if kind[0] == "i" else f"a {kind}"


def _refuse_stated(what: str, stated: float | None, given: float | None, kind: str) -> None:
    """Refuse what is not sold apart, unless it is what the volume gives by itself."""
    if stated is not None and (given is None or abs(stated - given) > SAME * given):
        raise UsageError(f"the {what} of {_named(kind)} volume is not sold apart; leave --volume-{what} out")


def _refuse_beyond(what: str, value: float, most: float, unit: str, kind: str) -> None:
    if value > most * (1 + SAME):
        raise UsageError(f"--volume-{what}: {_named(kind)} volume has at most {most:,.0f} {unit}".rstrip())
