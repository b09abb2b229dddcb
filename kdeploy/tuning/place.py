"""What of AWS a cluster stands on: its network, who may reach which port, and each node's machine.

Invariant: pure, and complete: whoever makes it decides nothing more. Ports are open by the table that the firewalls
of the hosts are from (`kdeploy.tuning.firewall`), to groups where groups need them and to networks else. A machine
depends on its own node alone, so one node more changes no other's.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import combinations
from typing import Final, Literal

from kdeploy.spec.aws import MOST_SPREAD, Egress, Join, Through, through
from kdeploy.spec.lock import LockedDatacenter, LockedShape, Role
from kdeploy.spec.model import Architecture, Datacenter, Environment
from kdeploy.spec.ports import OUTSIDE
from kdeploy.tuning.disk_use import Watched
from kdeploy.tuning.outside import LISTENER, Balancer, balancer

LOCAL: Final = "local-nvme"
"""The kind of volume that is the machine's own disk."""


@dataclass(frozen=True)
class DataVolume:
    """An EBS volume of a node.

    Attributes:
        type: gp3, gp2, io2 or st1.
        size: Bytes.
        iops: Operations per second that are bought; None where none are sold.
        throughput: Bytes per second that are bought; None where none are sold.
    """

    type: str
    size: float
    iops: float | None = None
    throughput: float | None = None


@dataclass(frozen=True)
class Placement:
    """Which machines share no hardware with it.

    Attributes:
        group: Name of the placement group, without the datacenter's.
        strategy: spread (no two on one rack of AWS), or partition (no two partitions on one).
        partition: Its partition, from 1; None in a spread group.
    """

    group: str
    strategy: Literal["spread", "partition"]
    partition: int | None = None


@dataclass(frozen=True)
class Machine:
    """The instance that a node runs on.

    Attributes:
        instance_type: EC2 type.
        architecture: What its processors speak.
        zone: Availability zone.
        address: Its private address, whatever instance has it.
        volumes: EBS volumes for data, in the order of the node's disks.
        image: Machine image; None until one was chosen: the latest Debian 12 then.
        placement: Its placement group.
        watched: File systems whose use it tells to CloudWatch, each of which has an alarm.
    """

    instance_type: str
    architecture: Architecture
    zone: str
    address: str
    volumes: tuple[DataVolume, ...]
    image: str | None
    placement: Placement
    watched: tuple[Watched, ...] = ()


@dataclass(frozen=True)
class SubnetPlace:
    """A rack's subnet.

    Attributes:
        rack: The rack.
        zone: Its availability zone.
        cidr: Range.
        id: Of one that is there already; None where it is made.
        gateway: Range of the subnet beside it with a NAT gateway; None where it has none of its own.
        public: Range of the same subnet where a load balancer with public addresses stands in it; None where none does.
    """

    rack: str
    zone: str
    cidr: str
    id: str | None = None
    gateway: str | None = None
    public: str | None = None

    @property
    def open_range(self) -> str | None:
        """Range of the subnet beside it that has a route to the internet; None where none is needed."""
        return self.gateway or self.public


@dataclass(frozen=True)
class Rule:
    """A port that a security group lets in, or out.

    Attributes:
        role: Whose group.
        protocol: tcp or udp.
        port: Its number.
        why: What for.
        group: The role whose group may come in; None where a network may.
        network: The network that may; None where a group may.
        outgoing: Whether the role's machines call that port there, rather than are called. What a group may come in
            by, it is let out by too: only what is called in another datacenter needs a rule of its own.
    """

    role: Role
    protocol: str
    port: int
    why: str
    group: Role | None = None
    network: str | None = None
    outgoing: bool = False


@dataclass(frozen=True)
class Place:
    """One datacenter in AWS.

    Attributes:
        region: AWS region.
        cidr: Range of the VPC.
        vpc: Id of one that is there already; None where it is made.
        subnets: One a rack, in their order.
        egress: How machines reach the internet, where the VPC is made.
        domain: The private zone with the nodes' names, and `bootstrap`.
        bootstrap: Names of the brokers that `bootstrap` leads to.
        rules: What security groups let in, and what they let out to the other datacenter.
        through: How SSH gets there.
        user: Who logs in; None is the image's own user.
        kms_key: Key that disks are encrypted with; None is the account's.
        root_size: GiB of the disk with the operating system.
        bucket: Whether there is a bucket for backups.
        alarms: Whether each machine is watched.
        alarm_topic: SNS topic that alarms are sent to.
        alarm_percent: How full a disk may be before its alarm.
        balancer: What clients outside the network connect to; None where there is nothing for them.
    """

    region: str
    cidr: str
    vpc: str | None
    subnets: tuple[SubnetPlace, ...]
    egress: Egress
    domain: str
    bootstrap: tuple[str, ...]
    rules: tuple[Rule, ...]
    through: Through
    user: str | None = None
    kms_key: str | None = None
    root_size: int = 20
    bucket: bool = False
    alarms: bool = False
    alarm_topic: str | None = None
    alarm_percent: int = 85
    balancer: Balancer | None = None


@dataclass(frozen=True)
class Peering:
    """Two datacenters whose networks are joined: the first one asks, the second one accepts.

    Attributes:
        requester, accepter: The two.
        by: What joins them.
    """

    requester: str
    accepter: str
    by: Join = "peering"


@dataclass(frozen=True)
class Account:
    """Where all of it is kept, and what it is known by.

    Attributes:
        name: The environment's name, and the stack's.
        backend: Pulumi's backend; None is a folder of this user's.
        secrets_provider: What encrypts the state's secrets.
        account: The only account that is right; None is any.
        tags: On everything.
        peerings: Datacenters whose networks are joined.
        policy_packs: Folders of a person's own policy packs, from the environment's folder.
        id: What tells it from another environment of its name.
        organization: Whose its state is in Pulumi Cloud; None is the default one of whoever asks.
    """

    name: str
    backend: str | None
    secrets_provider: str
    account: str | None
    tags: dict[str, str] = field(default_factory=dict)
    peerings: tuple[Peering, ...] = ()
    policy_packs: tuple[str, ...] = ()
    id: str | None = None
    organization: str | None = None


def account(environment: Environment, identity: str | None = None) -> Account | None:
    """What an environment of an id has in AWS; None where that is nothing."""
    places = [one for one in environment.datacenters if one.provider == "aws"]
    if not places:
        return None
    wanted = environment.aws
    # What routes there are in a VPC of somebody else's is theirs: they peer it themselves.
    made = [one.name for one in places if one.network.vpc is None]
    peerings = tuple(Peering(one, other, wanted.join) for one, other in combinations(made, 2))
    tags = dict(sorted(wanted.tags.items()))
    return Account(
        environment.name,
        wanted.backend,
        wanted.secrets_provider,
        wanted.account,
        tags,
        peerings,
        wanted.policy_packs,
        identity,
        wanted.organization,
    )


def architecture(instance_type: str) -> Architecture:
    """What an EC2 type's processors speak, by its name.

    A `g` among the letters after the generation is Graviton (Amazon EC2 Instance Types, naming conventions); a1 was
    the first of them. A test holds this for every type of the catalogue.

    Example:
        >>> architecture("m7g.large"), architecture("g6.xlarge")
        ('arm64', 'x86_64')
    """
    family = instance_type.partition(".")[0]
    found = re.match(r"[a-z]+[0-9]+([a-z]*)", family)
    is_graviton = family == "a1" or (found is not None and "g" in found[1])
    return "arm64" if is_graviton else "x86_64"


def zone(region: str, rack: str) -> str:
    """The availability zone that a rack is: its name, or the region's with the rack's letter."""
    return rack if rack.startswith(region) else f"{region}{rack}"


def place(
    environment: Environment, locked: LockedDatacenter, others: Iterable[LockedDatacenter] = ()
) -> Place | None:
    """What a datacenter stands on; None outside AWS.

    Args:
        environment: What is wanted.
        locked: The datacenter.
        others: The environment's other ones, from which its workers of MirrorMaker fetch.
    """
    if locked.provider != "aws" or locked.region is None:
        return None
    wanted = next(one for one in environment.datacenters if one.name == locked.name)
    subnets = tuple(_subnets(wanted, locked))
    return Place(
        region=locked.region,
        cidr=wanted.network.cidr,
        vpc=wanted.network.vpc,
        subnets=subnets,
        egress=wanted.network.egress,
        domain=f"{locked.name}.{environment.name}.kdeploy.internal",
        bootstrap=_bootstrap(locked),
        rules=_rules(environment, wanted, locked, others),
        through=through(wanted),
        user=wanted.ssh.user,
        kms_key=wanted.machine.kms_key,
        root_size=wanted.machine.root_size,
        bucket=wanted.machine.bucket,
        alarms=wanted.machine.alarms,
        alarm_topic=wanted.machine.alarm_topic,
        alarm_percent=wanted.machine.alarm_percent,
        balancer=balancer(environment, locked, tuple(one.public for one in subnets if one.public)),
    )


def _subnets(wanted: Datacenter, locked: LockedDatacenter) -> Iterator[SubnetPlace]:
    from kdeploy.planner.addresses import gateway_subnet

    network, ranges = wanted.network, locked.subnets or {}
    faces = network.load_balancer is not None and network.load_balancer.scheme == "internet-facing"
    for at, rack in enumerate(wanted.racks):
        there = network.subnets.get(rack)
        has_gateway = network.vpc is None and (
            network.egress == "nat-per-zone" or (network.egress == "nat" and at == 0)
        )
        beside = gateway_subnet(network.cidr, ranges[rack]) if has_gateway or faces else None
        yield SubnetPlace(
            rack=rack,
            zone=zone(str(locked.region), rack),
            cidr=ranges[rack],
            id=there.id if there else None,
            gateway=beside if has_gateway else None,
            public=beside if faces else None,
        )


BOOTSTRAP: Final = 9
"""Brokers that the name for bootstrap leads to: enough that some are up, few enough for one packet of DNS."""


def _bootstrap(locked: LockedDatacenter) -> tuple[str, ...]:
    """The first brokers; racks take turns in the lock, so all of them are there."""
    return tuple(node.name for node in locked.nodes if node.role == "broker")[:BOOTSTRAP]


OPERATED: Final = "kdeploy asks it, through the SSH of a machine"
"""Why a port is open to machines that are no peers of it."""


def _rules(
    environment: Environment,
    wanted: Datacenter,
    locked: LockedDatacenter,
    others: Iterable[LockedDatacenter],
) -> tuple[Rule, ...]:
    """What security groups let in, each port from each source once, for the first reason that there is."""
    first: dict[tuple[object, ...], Rule] = {}
    for rule in _every_rule(environment, wanted, locked):
        first.setdefault((rule.role, rule.protocol, rule.port, rule.group, rule.network), rule)
    return (*first.values(), *(_fetching(environment, others) if locked.mirrors else ()))


FETCHES: Final = "workers of MirrorMaker fetch from the other datacenter"


def _fetching(environment: Environment, others: Iterable[LockedDatacenter]) -> Iterator[Rule]:
    """What lets workers out to the brokers of the other datacenter."""
    networks = {one.name: one.network.cidr for one in environment.datacenters if one.provider == "aws"}
    for other in (one for one in others if one.name in networks):
        ports = {node.ports["client"] for node in other.nodes if node.role == "broker"}
        for port in sorted(ports):
            yield Rule("mirror", "tcp", port, FETCHES, network=networks[other.name], outgoing=True)


def _every_rule(environment: Environment, wanted: Datacenter, locked: LockedDatacenter) -> Iterator[Rule]:
    from kdeploy.tuning import firewall

    settings = firewall.in_aws(environment, wanted)
    own = sorted({node.role for node in locked.nodes}, key=lambda role: role == "broker")
    mirrors: tuple[Role, ...] = ("mirror",) if locked.mirrors else ()
    groups: dict[str, tuple[Role, ...]] = {
        firewall.BROKERS: ("broker",),
        firewall.ENSEMBLE: tuple(role for role in own if role != "broker"),
        firewall.MIRRORS: mirrors,
        firewall.OPERATORS: tuple(own),  # kdeploy speaks to each node through the SSH of one of them
    }
    networks = {
        firewall.CLIENTS: settings.clients,
        firewall.OPERATORS: settings.operators,
        firewall.LOGIN: settings.operators,
    }
    for role in (*own, *mirrors):
        ports = dict(next(node.ports for node in (*locked.nodes, *locked.mirrors) if node.role == role))
        if role == "broker" and wanted.network.load_balancer is not None:
            ports[LISTENER] = OUTSIDE  # the balancer's own group is let in where that is made
        for one in firewall.opened(role, ports, settings):
            why = firewall.WHY[one.purpose]
            for who in one.groups:
                for group in groups.get(who, ()):
                    because = OPERATED if who == firewall.OPERATORS else why
                    yield Rule(role, one.protocol, one.port, because, group=group)
            named = (network for who in one.groups for network in networks.get(who, ()))
            for network in (*named, *one.networks):
                yield Rule(role, one.protocol, one.port, why, network=network)


def machine(locked: LockedDatacenter, name: str, watched: tuple[Watched, ...] = ()) -> Machine | None:
    """A node's machine; None outside AWS.

    Args:
        locked: Its datacenter.
        name: The node's name.
        watched: Its file systems whose use is told to CloudWatch.
    """
    nodes = (*locked.nodes, *locked.mirrors)
    node = next(one for one in nodes if one.name == name)
    shape = {"broker": locked.brokers, "mirror": locked.mirror}.get(node.role, locked.coordination)
    if locked.provider != "aws" or shape is None or shape.instance_type is None or node.address is None:
        return None
    beside = [one.name for one in nodes if (one.role, one.rack) == (node.role, node.rack)]
    speaks = architecture(shape.instance_type)
    return Machine(
        instance_type=shape.instance_type,
        architecture=speaks,
        zone=zone(str(locked.region), node.rack),
        address=node.address,
        volumes=tuple(_volumes(shape)),
        image=locked.images.get(speaks),
        placement=_placement(node.role, node.rack, beside.index(name)),
        watched=watched,
    )


def _placement(role: Role, rack: str, at: int) -> Placement:
    """The first seven of a role in a zone share no hardware; those beyond are in partitions that share none.

    By its place among its own, so that one more never moves another: a machine has to stop to change its group.
    """
    if at < MOST_SPREAD:
        return Placement(f"{role}-{rack}", "spread")
    return Placement(f"{role}-{rack}-more", "partition", at % MOST_SPREAD + 1)


def _volumes(shape: LockedShape) -> Iterator[DataVolume]:
    for volumes in shape.volumes:
        if volumes.type != LOCAL:
            one = DataVolume(volumes.type, volumes.size, volumes.iops, volumes.throughput)
            yield from [one] * volumes.count


def devices(shape: LockedShape) -> tuple[str, ...]:
    """Names of a node's data disks, until their paths are known: `volume:0` of EBS, `local:0` the machine's own."""
    kinds = [
        "local" if volumes.type == LOCAL else "volume"
        for volumes in shape.volumes
        for _ in range(volumes.count)
    ]
    return tuple(f"{kind}:{kinds[:at].count(kind)}" for at, kind in enumerate(kinds))
