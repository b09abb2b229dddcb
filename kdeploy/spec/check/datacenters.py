"""Whether a datacenter's provider, racks, hosts, ensemble and ports fit each other.

Invariant: pure, as all of `kdeploy.spec.check`. A setting that its provider would
ignore is refused: silence would look like consent.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from ipaddress import ip_network
from itertools import product
from typing import TYPE_CHECKING, Final

from kdeploy.spec.check.finding import KEEP_ONE, Finding, duplicates
from kdeploy.spec.firewall import EVERYONE, Firewall
from kdeploy.spec.model import Datacenter, Environment
from kdeploy.spec.plain import Path_
from kdeploy.spec.ports import BLOCK, FIRST_LENT, MOST_LOCAL_NODES, OFFSETS, local_blocks, touch
from kdeploy.spec.regions import AWS_REGIONS
from kdeploy.spec.wording import did_you_mean, either

if TYPE_CHECKING:
    from kdeploy.spec.lock import Role

MOST_STEPS: Final = max(OFFSETS.values()) // BLOCK + 1
"""Blocks of ports from one base port to another with which nothing is shared, whatever the roles."""

_OF_AWS: Final = {
    "instance_type": "an instance type",
    "instance_family": "a family of instance types",
    "architecture": "an architecture to choose types by",
    "storage": "a choice between EBS and local disks",
    "volume_type": "a kind of EBS volume",
}
"""Settings that only EC2 has, with the words for each."""


def check(environment: Environment) -> Iterator[Finding]:
    """Findings about each datacenter, and about two of them together."""
    datacenters = environment.datacenters
    yield from duplicates(
        "datacenter", ((("datacenters", index, "name"), one.name) for index, one in enumerate(datacenters))
    )
    for index, datacenter in enumerate(datacenters):
        place: Path_ = ("datacenters", index)
        yield from _racks(place, datacenter)
        yield from _region(place, datacenter)
        yield from _ensemble(place, datacenter)
        yield from _hosts(place, datacenter, _roles(environment))
        yield from _only_for_aws(place, datacenter)
        if datacenter.provider == "local":
            yield from _local_ports(place, datacenter)
    yield from _here_and_elsewhere(datacenters)
    yield from _ports_apart(environment)


def _here_and_elsewhere(datacenters: tuple[Datacenter, ...]) -> Iterator[Finding]:
    """One datacenter on this machine and one elsewhere, which could not reach the other's brokers on localhost."""
    if len({one.provider == "local" for one in datacenters}) > 1:
        index = next(at for at, one in enumerate(datacenters) if one.provider == "local")
        place: Path_ = ("datacenters", index)
        wrong = "a datacenter on this machine stands beside one elsewhere, and neither reaches the other"
        yield Finding((*place, "provider"), wrong, "write local for both, or for neither", (place,))


def _ports_apart(environment: Environment) -> Iterator[Finding]:
    """Two datacenters on this machine whose nodes would want the same ports."""
    datacenters = environment.datacenters
    if any(one.provider != "local" for one in datacenters):
        return
    for at, one in enumerate(datacenters):
        before = datacenters[:at]
        touching = (
            index
            for index, other in enumerate(before)
            if _shared(environment, other.base_port, one.base_port)
        )
        first = next(touching, None)
        if first is not None:
            yield _apart(environment, first, at)


def _apart(environment: Environment, at: int, after: int) -> Finding:
    """Two datacenters that share ports, and the nearest base port that shares none with those before the second one."""
    datacenters = environment.datacenters
    first, second = datacenters[at].base_port, datacenters[after].base_port
    taken = [one.base_port for one in datacenters[:after]]
    shared = _shared(environment, first, second)
    most = MOST_STEPS if len(taken) == 1 else 2 * MOST_STEPS * len(taken)
    steps = sorted(
        range(-most, most + 1),
        key=lambda step: (first + step * BLOCK >= FIRST_LENT, abs(step), -step),
    )
    bases = (first + step * BLOCK for step in steps)
    free = (
        base
        for base in bases
        if _is_base(base) and all(_shared(environment, one, base) is None for one in taken)
    )
    fits = next(free, None)
    wrong = f"{datacenters[at].name} and {datacenters[after].name} would both have the ports from {shared} on"
    related: tuple[Path_, ...] = (("datacenters", at, "base_port"), ("datacenters", after))
    return Finding(
        ("datacenters", after, "base_port"),
        wrong,
        f"write {fits}" if fits else "move those before it",
        related,
    )


def _shared(environment: Environment, first: int, second: int) -> int | None:
    """The first port that is kept for nodes of both; None where each has its own."""
    pairs = product(local_blocks(environment, first), local_blocks(environment, second))
    return min((max(one.start, other.start) for one, other in pairs if touch(one, other)), default=None)


def _is_base(port: int) -> bool:
    """Whether a base port is within its bounds (`Datacenter.base_port`)."""
    return 1024 <= port <= 60_000


def _racks(place: Path_, datacenter: Datacenter) -> Iterator[Finding]:
    racks = (((*place, "racks", index), rack) for index, rack in enumerate(datacenter.racks))
    yield from duplicates("rack", racks, KEEP_ONE)
    region = datacenter.region
    if datacenter.provider != "aws" or region not in AWS_REGIONS:
        return
    for index, rack in enumerate(datacenter.racks):
        path = (*place, "racks", index)
        letter = rack.removeprefix(region)
        if len(letter) != 1 or not letter.isalpha():
            wrong = f"{rack!r} is not an availability zone of {region}"
            yield Finding(path, wrong, f"write a zone's letter, for example a for {region}a")
        elif letter != rack and letter in datacenter.racks:
            wrong = f"{letter} and {rack} are the same zone"
            yield Finding(path, wrong, "write all zones one way: by letter or by name")


def _region(place: Path_, datacenter: Datacenter) -> Iterator[Finding]:
    path = (*place, "region")
    region = datacenter.region
    if datacenter.provider != "aws":
        if region is not None:
            wrong = f"a region means nothing to provider {datacenter.provider}"
            yield Finding(path, wrong, "remove it, or write provider: aws")
    elif region is None:
        yield Finding(
            path,
            "provider aws needs a region",
            "add one, for example eu-west-1",
            ((*place, "provider"), place),
        )
    elif region not in AWS_REGIONS:
        yield Finding(path, f"{region!r} is not a region of AWS", did_you_mean(region, AWS_REGIONS))


def _only_for_aws(place: Path_, datacenter: Datacenter) -> Iterator[Finding]:
    brokers = datacenter.brokers
    if datacenter.provider == "aws":
        if brokers.storage == "local" and brokers.volume_type is not None:
            wrong = f"{brokers.volume_type} is a kind of EBS volume, and storage is local"
            path = (*place, "brokers", "volume_type")
            yield Finding(path, wrong, "remove it, or write storage: ebs", ((*place, "brokers", "storage"),))
        return
    for part, chosen in (("brokers", brokers), ("coordination", datacenter.coordination)):
        for name, what in _OF_AWS.items():
            if getattr(chosen, name, None) is not None:
                wrong = f"{what} means nothing to provider {datacenter.provider}"
                yield Finding((*place, part, name), wrong, "remove it, or write provider: aws")


def _ensemble(place: Path_, datacenter: Datacenter) -> Iterator[Finding]:
    count = datacenter.coordination.count
    if count is not None and count % 2 == 0:
        wrong = f"{count} nodes survive no more failures than {count - 1}, and one more can fail"
        right = f"write {count - 1} or {count + 1}"
        yield Finding((*place, "coordination", "count"), wrong, right)


def _roles(environment: Environment) -> Mapping[Role, str]:
    """What nodes there are, with the part of a datacenter that says how many."""
    coordinator: Role = "zookeeper" if environment.kafka.coordination == "zookeeper" else "controller"
    roles: dict[Role, str] = {"broker": "brokers", coordinator: "coordination"}
    return roles if environment.mirroring is None else {**roles, "mirror": ""}


def _hosts(place: Path_, datacenter: Datacenter, roles: Mapping[Role, str]) -> Iterator[Finding]:
    path = (*place, "hosts")
    yield from _only_for_hosts(place, datacenter)
    yield from _networks((*place, "firewall"), datacenter.firewall)
    if datacenter.provider != "hosts":
        if datacenter.hosts:
            wrong = f"hosts mean nothing to provider {datacenter.provider}"
            yield Finding(path, wrong, "remove them, or write provider: hosts")
        return
    if not datacenter.hosts:
        right = "list each with address, rack and role"
        yield Finding(path, "provider hosts needs the hosts", right, ((*place, "provider"), place))
        return
    yield from _idle((*place, "firewall"), datacenter.firewall)
    addresses = (((*path, index, "address"), host.address) for index, host in enumerate(datacenter.hosts))
    yield from duplicates("host", addresses, "let each machine run one node")
    for index, host in enumerate(datacenter.hosts):
        if host.rack not in datacenter.racks:
            wrong = f"there is no rack called {host.rack!r} in this datacenter"
            yield Finding((*path, index, "rack"), wrong, did_you_mean(host.rack, datacenter.racks))
        if host.role not in roles:
            otherwise = "in a cluster that is coordinated otherwise"
            why = "where nothing is mirrored" if host.role == "mirror" else otherwise
            wrong = f"a {host.role} has nothing to do {why}"
            yield Finding((*path, index, "role"), wrong, f"write {either(roles)}")
        place_of_disks = (*path, index, "hardware", "disks")
        disks = (((*place_of_disks, at), disk) for at, disk in enumerate(host.hardware.disks))
        yield from duplicates("disk", disks, KEEP_ONE)
    yield from _hosts_by_role(place, datacenter, roles)


def _only_for_hosts(place: Path_, datacenter: Datacenter) -> Iterator[Finding]:
    if datacenter.provider in ("hosts", "aws"):
        return
    for name in ("ssh", "firewall", "time_service"):
        if getattr(datacenter, name) != type(datacenter).model_fields[name].get_default():
            wrong = f"{name} means nothing to provider {datacenter.provider}"
            yield Finding((*place, name), wrong, "remove it, or write provider: hosts")


def _networks(place: Path_, firewall: Firewall) -> Iterator[Finding]:
    lists: list[tuple[Path_, tuple[str, ...]]] = [
        ((*place, "clients"), firewall.clients),
        ((*place, "operators"), firewall.operators),
        *(((*place, "also", at, "sources"), one.sources) for at, one in enumerate(firewall.also)),
    ]
    for path, networks in lists:
        for index, network in enumerate(networks):
            try:
                ip_network(network)
            except ValueError as error:
                wrong = f"{network!r} is not a network"
                right = "write an address or a network, like 10.1.2.3 or 10.0.0.0/8"
                if "host bits" in str(error):
                    wrong = f"{network!r} has bits set beyond its length"
                    right = f"write {ip_network(network, strict=False)}"
                yield Finding((*path, index), wrong, right)


def _idle(place: Path_, firewall: Firewall) -> Iterator[Finding]:
    """What a firewall says and nothing would come of."""
    default = Firewall.default()
    if not firewall.enabled:
        for name in ("clients", "operators", "ssh_ports", "also"):
            if getattr(firewall, name) != getattr(default, name):
                wrong = "it means nothing while the firewall is switched off"
                yield Finding((*place, name), wrong, "remove it, or enabled: false")
    elif firewall.clients != default.clients and not set(EVERYONE).isdisjoint(firewall.operators):
        wrong = "clients from elsewhere get in all the same, since operators come from everywhere and may use that port too"
        yield Finding(
            (*place, "clients"), wrong, "write operators: the networks that people and kdeploy log in from"
        )


def _hosts_by_role(place: Path_, datacenter: Datacenter, roles: Mapping[Role, str]) -> Iterator[Finding]:
    path = (*place, "hosts")
    for role, part in roles.items():
        wanted = getattr(datacenter, part).count if part else None
        have = sum(host.role == role for host in datacenter.hosts)
        if not have:
            yield Finding(path, f"no host has the role {role}", f"add at least one with role: {role}")
        elif part == "coordination" and have % 2 == 0:
            wrong = f"{have} hosts with role {role} survive no more failures than {have - 1}"
            yield Finding(path, wrong, f"have {have - 1} or {have + 1} of them")
        elif wanted is not None and wanted != have:
            wrong = f"{wanted} are asked for, and {have} hosts have the role {role}"
            yield Finding((*place, part, "count"), wrong, "leave the count out, or add or remove hosts")


def _local_ports(place: Path_, datacenter: Datacenter) -> Iterator[Finding]:
    count = datacenter.brokers.count or 0
    if count > MOST_LOCAL_NODES:
        wrong = f"{count} brokers have no ports of their own on one machine"
        yield Finding((*place, "brokers", "count"), wrong, f"write {MOST_LOCAL_NODES} or less")
