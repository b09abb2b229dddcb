"""From a plan to a lock: which node is which, for good.

Invariant: pure. An identity belongs to (datacenter, role, rack, ordinal): growth
adds nodes and changes none, an id once given is never given again, volumes never
shrink, and ports stay where they were. What was decided before is kept; only what
is missing is decided here.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final

from kdeploy import __version__
from kdeploy.errors import KdeployError
from kdeploy.planner import addresses
from kdeploy.planner.changes import asked, inputs, refuse_unsupported, stale
from kdeploy.planner.result import BrokerPlan, CoordinationPlan, DatacenterPlan, MirrorPlan, Plan, Volumes
from kdeploy.spec.aws import MOST_LISTENERS
from kdeploy.spec.lock import Lock, LockedDatacenter, LockedNode, LockedShape, LockedVolumes, Role
from kdeploy.spec.model import Datacenter, Environment
from kdeploy.spec.ports import STANDARD, local_ports

__all__ = ["decide", "refuse_unsupported", "stale"]

CONTROLLER_IDS: Final = range(1001, 2000)
"""Ids of KRaft controllers. Brokers leave them out: in KRaft both are node.id of one cluster."""

ZOOKEEPER_IDS: Final = range(1, 256)
"""Ids of ZooKeeper nodes (myid: 1 to 255, ZooKeeper 3.8 Administrator's Guide, cluster options)."""


def decide(environment: Environment, plan: Plan, previous: Lock | None, new_id: Callable[[], str]) -> Lock:
    """Decide what the plan leaves open and the lock does not say yet.

    Args:
        environment: What is wanted.
        plan: A feasible plan for it.
        previous: What was decided before; None at first.
        new_id: Gives a new Kafka UUID (22 characters of base64) at each call.

    Returns:
        The lock, without the hashes of rendered files: those are not known yet.

    Raises:
        KdeployError: ZooKeeper's 255 ids are used up.
    """
    before = {locked.name: locked for locked in previous.datacenters} if previous else {}
    wanted = {datacenter.name: datacenter for datacenter in environment.datacenters}
    datacenters = tuple(
        _datacenter(wanted[planned.name], planned, before.get(planned.name), new_id)
        for planned in plan.datacenters
    )
    known = previous.id if previous else None
    in_aws = any(one.provider == "aws" for one in environment.datacenters)
    return Lock(
        kdeploy=__version__,
        environment=environment.name,
        id=known or (new_id() if in_aws else None),
        kafka_version=environment.kafka.version,
        kafka_coordination=environment.kafka.coordination,
        catalogue_date=max((one.cost.date for one in plan.datacenters if one.cost.date), default=None),
        inputs=inputs(environment),
        asked=asked(environment),
        datacenters=datacenters,
    )


def _datacenter(
    wanted: Datacenter, planned: DatacenterPlan, before: LockedDatacenter | None, new_id: Callable[[], str]
) -> LockedDatacenter:
    is_kraft = planned.coordination.kind == "kraft"
    known = before.nodes if before else ()
    taken = {node.id for node in known if is_kraft} | set(before.retired_ids if before else ())
    coordination: Role = "controller" if is_kraft else "zookeeper"
    coordinators = _grow(coordination, planned.coordination, wanted, known, taken, new_id)
    brokers = _grow("broker", planned.brokers, wanted, known, taken, new_id)
    mirrors = _mirrors(wanted, planned.mirror, before, new_id)
    subnets = addresses.subnets(wanted, before)
    nodes = addresses.addressed(wanted, (*coordinators, *brokers, *mirrors), subnets)
    return LockedDatacenter(
        name=wanted.name,
        provider=wanted.provider,
        region=wanted.region,
        # ZooKeeper mode chooses its id at first start; `up` notes it then.
        cluster_id=(before.cluster_id if before else None) or (new_id() if is_kraft else None),
        brokers=_shape(planned.brokers, before.brokers if before else None),
        coordination=_shape(planned.coordination, before.coordination if before else None),
        partitions=max(planned.partitions, before.partitions if before else 0),
        nodes=tuple(node for node in nodes if node.role != "mirror"),
        retired_ids=before.retired_ids if before else (),
        network=addresses.network(wanted),
        subnets=subnets,
        images={**(before.images if before else {}), **wanted.machine.images},
        kms_key=wanted.machine.kms_key,
        balancer_port=_balanced(wanted, nodes),
        mirror=_mirror_shape(planned.mirror),
        mirrors=tuple(node for node in nodes if node.role == "mirror"),
    )


def _balanced(wanted: Datacenter, nodes: Iterable[LockedNode]) -> int | None:
    """The load balancer's port for bootstrap; None where there is no balancer.

    Raises:
        KdeployError: There are more brokers than it has listeners for.
    """
    asked = wanted.network.load_balancer
    if asked is None:
        return None
    brokers = sum(node.role == "broker" for node in nodes)
    if brokers >= MOST_LISTENERS:
        raise KdeployError(
            f"datacenter {wanted.name}: the plan has {brokers} brokers, and a load balancer leads to "
            f"{MOST_LISTENERS - 1}: AWS gives it {MOST_LISTENERS} listeners, of which one is for bootstrap\n"
            "  ask for fewer brokers of a larger type, or leave network.load_balancer out"
        )
    return asked.port


def _mirrors(
    wanted: Datacenter,
    planned: MirrorPlan | None,
    before: LockedDatacenter | None,
    new_id: Callable[[], str],
) -> tuple[LockedNode, ...]:
    """The workers that mirror, which have ids of their own: they are no members of the cluster."""
    if planned is None:
        return ()
    return _grow("mirror", planned, wanted, before.mirrors if before else (), set(), new_id)


def _mirror_shape(planned: MirrorPlan | None) -> LockedShape | None:
    if planned is None:
        return None
    return LockedShape(instance_type=planned.instance_type, cores=planned.cores, memory=planned.memory)


def _grow(
    role: Role,
    planned: BrokerPlan | CoordinationPlan | MirrorPlan,
    wanted: Datacenter,
    known: Sequence[LockedNode],
    taken: set[int],
    new_id: Callable[[], str],
) -> tuple[LockedNode, ...]:
    """The nodes of a role: all that were there, then as many new ones as the plan asks for."""
    nodes = [node for node in known if node.role == role]
    count = planned.nodes if isinstance(planned, CoordinationPlan) else planned.count
    identifiers = _identifiers(role, taken | {node.id for node in nodes})
    hosts = _Hosts(wanted, role, nodes)
    while len(nodes) < count:
        identifier = next(identifiers, None)
        if identifier is None:
            raise KdeployError(
                f"datacenter {wanted.name} has no {role} id left\n"
                "  ids are never used again; ZooKeeper allows 1 to 255, so a new datacenter is needed"
            )
        ordinal = max((node.ordinal for node in nodes), default=0) + 1
        rack = _next_rack(wanted, planned.per_rack, nodes)
        nodes.append(
            LockedNode(
                id=identifier,
                name=f"{role}-{identifier}",
                role=role,
                rack=rack,
                ordinal=ordinal,
                ports=_ports(wanted, role, ordinal),
                directory_id=new_id() if role == "controller" else None,
                host=hosts.take(rack),
            )
        )
    return tuple(nodes)


def _ports(wanted: Datacenter, role: Role, ordinal: int) -> dict[str, int]:
    """Local nodes share one address, so each has its own ports; elsewhere every node has the first ones."""
    if wanted.provider == "local":
        return local_ports(role, wanted.base_port, ordinal)
    return dict(STANDARD[role])


def _identifiers(role: Role, taken: set[int]) -> Iterator[int]:
    """Free ids of a role above every one of its own that is taken, in order."""
    span: Iterable[int]
    if role == "mirror":
        span = itertools.count(1)
    elif role == "broker":
        span = (number for number in range(1, 2**31) if number not in CONTROLLER_IDS)
    else:
        span = ZOOKEEPER_IDS if role == "zookeeper" else CONTROLLER_IDS
    return iter(number for number in span if number not in taken)


def _next_rack(wanted: Datacenter, per_rack: Mapping[str, int], nodes: Sequence[LockedNode]) -> str:
    """The emptiest of the racks that still lack a node by the plan; the first of them at a draw."""
    have = {rack: sum(node.rack == rack for node in nodes) for rack in wanted.racks}
    lacking = [rack for rack in wanted.racks if have[rack] < per_rack.get(rack, 0)]
    return min(lacking or wanted.racks, key=lambda rack: have[rack])


class _Hosts:
    """The declared machines of a role that no node has yet (provider hosts)."""

    def __init__(self, wanted: Datacenter, role: Role, nodes: Sequence[LockedNode]) -> None:
        self._datacenter = wanted
        self._role = role
        used = {node.host for node in nodes}
        self._free = [host for host in wanted.hosts if host.role == role and host.address not in used]

    def take(self, rack: str) -> str | None:
        """The next free machine of a rack; None where machines are not declared."""
        if self._datacenter.provider != "hosts":
            return None
        for host in self._free:
            if host.rack == rack:
                self._free.remove(host)
                return host.address
        raise KdeployError(
            f"datacenter {self._datacenter.name} has no host left for another {self._role} in rack {rack}\n"
            "  add one under hosts"
        )


def _shape(planned: BrokerPlan | CoordinationPlan, before: LockedShape | None) -> LockedShape:
    wanted = tuple(_volumes(volumes) for volumes in planned.volumes)
    return LockedShape(
        instance_type=planned.instance_type,
        cores=planned.cores,
        memory=planned.memory,
        volumes=_at_least(wanted, before.volumes if before else ()),
    )


def _volumes(volumes: Volumes) -> LockedVolumes:
    return LockedVolumes(
        type=volumes.type,
        count=volumes.count,
        size=volumes.size,
        iops=volumes.iops,
        throughput=volumes.throughput,
    )


def _at_least(
    wanted: tuple[LockedVolumes, ...], before: tuple[LockedVolumes, ...]
) -> tuple[LockedVolumes, ...]:
    """The wanted volumes, each at least as large as the one it was: a volume cannot shrink in place."""
    if [(one.type, one.count) for one in wanted] != [(one.type, one.count) for one in before]:
        return wanted
    pairs = zip(wanted, before, strict=True)
    return tuple(new.model_copy(update={"size": max(new.size, old.size)}) for new, old in pairs)
