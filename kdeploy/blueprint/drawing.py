"""Drawing a Blueprint: each node of the lock with what tuning decides for it.

Invariant: pure; the lock and the environment alone decide, so the same two give the same Blueprint.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kdeploy.blueprint import (
    LOOPBACK,
    Blueprint,
    ClusterBlueprint,
    Disk,
    HostFirewall,
    Mirror,
    Node,
    RenderedFile,
    SecretFile,
)
from kdeploy.errors import InvalidSetting
from kdeploy.spec.identity import host_name
from kdeploy.spec.lock import Lock, LockedDatacenter, LockedNode, LockedShape, Role
from kdeploy.spec.model import Datacenter, Environment, Hardware

if TYPE_CHECKING:
    from kdeploy.planner.result import DatacenterPlan, Plan
    from kdeploy.tuning import mirror
    from kdeploy.tuning.situation import Cluster, Member


def draw(environment: Environment, plan: Plan, lock: Lock) -> Blueprint:
    """Every node with its files, as the lock decided them.

    Args:
        environment: What is wanted.
        plan: A feasible plan for it.
        lock: What was decided: ids, names, ports, shapes.

    Raises:
        InvalidSetting: Overrides, or settings of topics, are unknown, invalid, or kdeploy's own to set: all of them.
    """
    from kdeploy.tuning import place

    _refuse_mistakes(environment, lock.kafka_version)
    planned = {datacenter.name: datacenter for datacenter in plan.datacenters}
    clusters = tuple(
        _cluster(environment, planned[datacenter.name], lock, datacenter) for datacenter in lock.datacenters
    )
    return Blueprint(lock.environment, clusters, place.account(environment, lock.id))


def _refuse_mistakes(environment: Environment, version: str) -> None:
    from kdeploy.tuning.definitions import definitions
    from kdeploy.tuning.mistakes import mistakes

    found = list(mistakes(environment, definitions(version)))
    if found:
        raise InvalidSetting(found[0].path, found[0].wrong, found[0].right, found[1:])


def _cluster(
    environment: Environment, planned: DatacenterPlan, lock: Lock, locked: LockedDatacenter
) -> ClusterBlueprint:
    from kdeploy.tuning import place
    from kdeploy.tuning.situation import Cluster

    stands_on = place.place(environment, locked, [one for one in lock.datacenters if one is not locked])
    cluster = Cluster(
        environment=environment,
        datacenter=locked.name,
        provider=locked.provider,
        version=lock.kafka_version,
        coordination=lock.kafka_coordination,
        cluster_id=locked.cluster_id,
        partitions=planned.partitions,
        members=tuple(_member(environment, locked, node) for node in (*locked.nodes, *locked.mirrors)),
        far_mirrors=tuple(
            far.address or far.host
            for other in lock.datacenters
            if other is not locked
            for far in (_member(environment, other, node) for node in other.mirrors)
        ),
        balancer=stands_on.balancer if stands_on else None,
    )
    ordered = sorted(cluster.members, key=lambda member: (member.role == "broker", member.id))
    return ClusterBlueprint(
        datacenter=locked.name,
        provider=locked.provider,
        coordination=lock.kafka_coordination,
        kafka_version=lock.kafka_version,
        cluster_id=locked.cluster_id,
        nodes=tuple(_node(cluster, locked, member) for member in ordered if member.role != "mirror"),
        mirror=_mirror(cluster, lock, locked),
        keep_time=locked.provider != "local" and _datacenter(environment, locked).time_service != "none",
        place=stands_on,
    )


def _mirror(cluster: Cluster, lock: Lock, locked: LockedDatacenter) -> Mirror | None:
    from kdeploy.tuning import mirror
    from kdeploy.tuning.situation import layout

    wanted = cluster.environment.mirroring
    workers = cluster.of("mirror")
    if wanted is None or not workers:
        return None
    sides = {one.name: _side(cluster.environment, one) for one in lock.datacenters}
    target = sides.pop(cluster.datacenter)
    directions = wanted.read_at_once(len(sides))
    tasks = wanted.workers.tasks_of(len(workers), directions, mirror.TASKS_PER_WORKER)
    folder = layout(cluster.provider, "mirror", 0).secrets
    return Mirror(
        nodes=tuple(_node(cluster, locked, member) for member in workers),
        connectors=mirror.connectors(cluster.environment, target, sides.values(), tasks, folder),
    )


def _side(environment: Environment, locked: LockedDatacenter) -> mirror.Side:
    from kdeploy.tuning import mirror

    members = (_member(environment, locked, node) for node in locked.nodes if node.role == "broker")
    return mirror.Side(locked.name, ",".join(member.at("client") for member in members))


def _member(environment: Environment, locked: LockedDatacenter, node: LockedNode) -> Member:
    from kdeploy.spec.ports import OUTSIDE
    from kdeploy.tuning.outside import LISTENER, advertised
    from kdeploy.tuning.situation import Member

    host = host_name(environment.name, locked.name, locked.provider, node.name, node.host)
    outside = advertised(environment, locked.name, node.id) if node.role == "broker" else None
    everywhere = "::" if ":" in host else "0.0.0.0"  # noqa: S104 - every port is guarded by TLS
    return Member(
        id=node.id,
        name=node.name,
        role=node.role,
        rack=node.rack,
        host=host,
        bind="127.0.0.1" if locked.provider == "local" else everywhere,
        ports=node.ports | ({LISTENER: OUTSIDE} if outside else {}),
        directory_id=node.directory_id,
        address=node.address,
        outside=outside,
    )


def _node(cluster: Cluster, locked: LockedDatacenter, member: Member) -> Node:
    from kdeploy.tuning import disk_use, place
    from kdeploy.tuning.disks import QUEUES
    from kdeploy.tuning.node import tune
    from kdeploy.tuning.situation import Situation, layout

    cores, memory, disks = _machine(cluster.environment, locked, member)
    places = layout(cluster.provider, member.role, disks)
    situation = Situation(
        cluster, member, cores, memory, places, _devices(cluster.environment, locked, member)
    )
    tuned = tune(situation)
    return Node(
        datacenter=cluster.datacenter,
        name=member.name,
        role=member.role,
        id=member.id,
        rack=member.rack,
        host=member.host,
        bind=member.bind,
        ports=member.ports,
        cores=cores,
        memory=memory,
        data_directories=situation.layout.data,
        format_arguments=tuned.format_arguments,
        java_options=tuned.java_options,
        main_class=tuned.main_class,
        arguments=tuned.arguments,
        files=tuple(RenderedFile(file.path, file.text, file.restart, file.live) for file in tuned.files),
        secrets=tuple(SecretFile(path, kind) for path, kind in tuned.secrets),
        disks=tuple(
            Disk(volume.device, volume.file_system, volume.mount, QUEUES) for volume in tuned.volumes
        ),
        firewall=_firewall(cluster.environment, locked, tuned.firewall),
        machine=place.machine(locked, member.name, disk_use.watched(situation)),
    )


def _firewall(environment: Environment, locked: LockedDatacenter, digest: str | None) -> HostFirewall | None:
    if digest is None:
        return None
    datacenter = _datacenter(environment, locked)
    operators = datacenter.firewall.operators
    if locked.provider == "aws":
        # Through Systems Manager, SSH comes from the machine itself.
        operators = (*datacenter.network.operators, *LOOPBACK)
    return HostFirewall(digest, operators, datacenter.firewall.ssh_ports)


def _machine(environment: Environment, locked: LockedDatacenter, member: Member) -> tuple[int, float, int]:
    """Cores, memory and data disks of a node: as its own host was declared, else as the lock has it."""
    hardware = _declared(environment, locked, member)
    if hardware is not None:
        return hardware.cores, hardware.memory, len(hardware.disks)
    shape = _shape(locked, member.role)
    return shape.cores, shape.memory, sum(volumes.count for volumes in shape.volumes)


def _shape(locked: LockedDatacenter, role: Role) -> LockedShape:
    if role == "mirror" and locked.mirror is not None:
        return locked.mirror
    return locked.brokers if role == "broker" else locked.coordination


def _devices(environment: Environment, locked: LockedDatacenter, member: Member) -> tuple[str, ...]:
    """Its data disks, as far as they are named: as its own host was declared, or as the lock has its volumes."""
    from kdeploy.tuning import place

    hardware = _declared(environment, locked, member)
    if hardware is not None:
        return hardware.disks
    shape = _shape(locked, member.role)
    return place.devices(shape) if locked.provider == "aws" else ()


def _declared(environment: Environment, locked: LockedDatacenter, member: Member) -> Hardware | None:
    if locked.provider != "hosts":
        return None
    datacenter = _datacenter(environment, locked)
    return next((host.hardware for host in datacenter.hosts if host.address == member.host), None)


def _datacenter(environment: Environment, locked: LockedDatacenter) -> Datacenter:
    return next(one for one in environment.datacenters if one.name == locked.name)
