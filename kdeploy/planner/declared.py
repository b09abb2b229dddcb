"""Sizing what is declared: processes on this machine, and hosts a person already has.

Nothing is chosen here. The same loads and limits as for EC2 say whether the
declared machines hold, for every limit whose capacity is declared. Invariant:
provider local is always feasible (it is for trying things out, its limits are
shown all the same); hosts are feasible only when every known limit holds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from kdeploy.planner import ensemble, figures, hardware, limits, spread
from kdeploy.planner.catalogue import Floats
from kdeploy.planner.choice import needs
from kdeploy.planner.cloud import Shortfall, Sized, Wanted
from kdeploy.planner.demand import Demand, quantile, rank
from kdeploy.planner.result import (
    LIMITS,
    BrokerPlan,
    Confidence,
    CoordinationPlan,
    Cost,
    DatacenterPlan,
    Volumes,
)
from kdeploy.planner.spread import Fleet
from kdeploy.spec.model import Datacenter, Host
from kdeploy.spec.planning import Planner

if TYPE_CHECKING:
    from kdeploy.spec.lock import LockedDatacenter


@dataclass(frozen=True)
class Machine:
    """What one node has; None where it is not declared. Units as in `spec.model.Hardware`."""

    cores: int
    memory: float
    disks: int = 0
    disk_size: float | None = None
    disk_throughput: float | None = None
    network: float | None = None


def size(
    wanted: Wanted, settings: Planner, datacenter: Datacenter, position: int, before: LockedDatacenter | None
) -> Sized:
    """Describe declared brokers and coordination nodes, and check them against the limits.

    Args:
        wanted: What to carry; where it is unsure, what enough samples do not exceed.
        settings: How to decide.
        datacenter: Where; provider local or hosts.
        position: Its position in the environment, for messages.
        before: What the lock holds.

    Raises:
        InvalidSetting: The declared failure would leave the ensemble without a majority.
    """
    demand = wanted.demand
    per_rack, machine = brokers_of(datacenter, before)
    nodes, coordinator = _coordinators_of(datacenter)
    stated = datacenter.coordination.count is not None
    ensemble.refuse_lost_majority(nodes, demand.survive, position, stated)
    disks = max(1, machine.disks)
    capacity = capacity_of(machine, datacenter.provider == "hosts")
    load = _load(wanted.sampled or demand, per_rack, disks)
    used = _utilisation(_enough(load, settings.confidence), capacity)
    ceilings: dict[str, float] = dict(zip(LIMITS, demand.ceilings, strict=True))
    excess = {limit: ratio / ceilings[limit] for limit, ratio in used.items()}
    worst = max(excess, key=lambda limit: excess[limit])
    usable = capacity[0] * limits.by_column(demand.ceilings) * (1 + 1e-12)
    holds = (load <= usable[:, None]).all(axis=0)
    too_rare = np.count_nonzero(holds) < rank(settings.confidence, len(holds))
    if datacenter.provider == "hosts" and too_rare:
        return Sized(None, shortfall=Shortfall(worst, max(excess[worst], 1 + 1e-9)))
    needed = _required(demand, disks, capacity)
    return Sized(
        DatacenterPlan(
            name=datacenter.name,
            provider=datacenter.provider,
            region=None,
            partitions=_partitions(demand, per_rack, disks),
            brokers=BrokerPlan(
                count=sum(per_rack.values()),
                per_rack=per_rack,
                instance_type=None,
                cores=machine.cores,
                memory=machine.memory,
                volumes=volumes_of(machine),
                utilisation=used,
                bottleneck=max(needed, key=lambda limit: (needed[limit], excess[limit]), default=None),
                required=needed,
                ceilings=ceilings,
            ),
            coordination=CoordinationPlan(
                kind=demand.coordination,
                nodes=sum(nodes.values()),
                per_rack=nodes,
                instance_type=None,
                cores=coordinator.cores,
                memory=coordinator.memory,
                volumes=volumes_of(coordinator),
            ),
            cost=Cost(None, {}),
            confidence=_confidence(wanted, settings, float(holds.mean())),
        )
    )


def brokers_of(datacenter: Datacenter, before: LockedDatacenter | None) -> tuple[dict[str, int], Machine]:
    """Brokers in each rack, and what every one of them has at least.

    Args:
        datacenter: Provider local or hosts.
        before: What the lock holds.
    """
    if datacenter.provider == "hosts":
        brokers = tuple(host for host in datacenter.hosts if host.role == "broker")
        return by_rack(brokers, datacenter.racks), least_of(brokers)
    per_rack = ensemble.spread(_local_brokers(datacenter, before), datacenter.racks)
    return per_rack, Machine(int(figures.LOCAL_CORES.value), datacenter.brokers.memory)


def _coordinators_of(datacenter: Datacenter) -> tuple[dict[str, int], Machine]:
    if datacenter.provider == "hosts":
        coordinators = tuple(host for host in datacenter.hosts if host.role in ("zookeeper", "controller"))
        return by_rack(coordinators, datacenter.racks), least_of(coordinators)
    nodes = ensemble.spread(datacenter.coordination.count or 3, datacenter.racks)
    return nodes, Machine(int(figures.LOCAL_CORES.value), datacenter.coordination.memory)


def _confidence(wanted: Wanted, settings: Planner, fits: float) -> Confidence | None:
    if wanted.sampled is None:
        return None
    ends = {place: (one.low, one.high) for place, one in wanted.ranges.items()}
    return Confidence(settings.confidence, fits, settings.samples, settings.seed, 0.0, ends)


def _local_brokers(datacenter: Datacenter, before: LockedDatacenter | None) -> int:
    """What is stated, or one broker per rack; never fewer than the lock has unless it is stated."""
    if datacenter.brokers.count is not None:
        return datacenter.brokers.count
    running = sum(node.role == "broker" for node in before.nodes) if before else 0
    return max(len(datacenter.racks), running)


def by_rack(hosts: tuple[Host, ...], racks: tuple[str, ...]) -> dict[str, int]:
    """Hosts in each rack."""
    return {rack: sum(host.rack == rack for host in hosts) for rack in racks}


def least_of(hosts: tuple[Host, ...]) -> Machine:
    """What every one of the hosts has: the least of each, and nothing that one of them does not say."""
    machines = [host.hardware for host in hosts]

    def least(values: list[float | None]) -> float | None:
        known = [value for value in values if value is not None]
        return min(known) if known and len(known) == len(values) else None

    return Machine(
        cores=min((machine.cores for machine in machines), default=1),
        memory=min((machine.memory for machine in machines), default=0.0),
        disks=min((len(machine.disks) for machine in machines), default=0),
        disk_size=least([machine.disk_size for machine in machines]),
        disk_throughput=least([machine.disk_throughput for machine in machines]),
        network=least([machine.network for machine in machines]),
    )


def capacity_of(machine: Machine, whole_machine: bool) -> Floats:
    """Capacity of each limit that is declared; without a machine of its own only partitions count."""
    columns = {"partitions": hardware.replicas_capacity(np.array([float(machine.cores)]))}
    if whole_machine:
        disks = max(1, machine.disks)
        columns["cpu"] = np.array([float(machine.cores)])
        columns["memory"] = hardware.page_cache(np.array([machine.memory]))
        if machine.network is not None:
            columns["network_in"] = columns["network_out"] = np.array([machine.network])
        if machine.disk_throughput is not None:
            columns["disk_write"] = np.array([machine.disk_throughput * disks])
        if machine.disk_size is not None:
            columns["disk_space"] = np.array([machine.disk_size * disks])
    capacity = hardware.capacities(**columns)
    if not whole_machine:
        return capacity
    own = np.array([False])  # disks that a machine keeps when it fails are not filled again
    return hardware.completed(
        capacity, np.array([float(machine.cores)]), np.array([machine.memory]), own, in_ec2=False
    )


def fleet_of(per_rack: dict[str, int]) -> Fleet:
    """The one number of brokers, spread as it is; racks without any do not count."""
    used = [count for count in per_rack.values() if count] or [1]
    return Fleet(*(np.array([float(part)]) for part in (sum(used), min(used), max(used), len(used))))


def _load(demand: Demand, per_rack: dict[str, int], disks: int) -> Floats:
    """Load of the busiest broker, (columns, samples)."""
    return (
        limits.loads(demand, fleet_of(per_rack), np.array([float(disks)]))[..., 0, :, 0]
        .reshape(-1, len(limits.COLUMNS))
        .T
    )


def _enough(load: Floats, confidence: float) -> Floats:
    """By column what enough samples do not exceed."""
    return np.array([quantile(column, confidence) for column in load])


def _utilisation(load: Floats, capacity: Floats) -> dict[str, float]:
    largest = float(np.finfo(float).max)  # one broker, and it is the one that fails: nothing is left
    ratios: list[float] = np.nan_to_num(load / capacity[0], posinf=largest).tolist()
    return {limit: ratios[i] for i, limit in enumerate(LIMITS[:-1]) if np.isfinite(capacity[0, i])}


def _required(demand: Demand, disks: int, capacity: Floats) -> dict[str, int]:
    counts = np.arange(1.0, limits.MOST_BROKERS + 1)
    load = limits.loads(demand, Fleet.even(counts, demand.racks), np.array([float(disks)]))[0]
    return needs(load, capacity, limits.by_column(demand.ceilings))


def _partitions(demand: Demand, per_rack: dict[str, int], disks: int) -> int:
    partitions = spread.shares(demand, fleet_of(per_rack), np.array([float(disks)])).partitions
    return round(float(partitions[0, 0]))


def volumes_of(machine: Machine) -> tuple[Volumes, ...]:
    """The declared data disks; none where their size is not declared."""
    if not machine.disks or machine.disk_size is None:
        return ()
    return (Volumes("disk", machine.disks, machine.disk_size, None, machine.disk_throughput),)
