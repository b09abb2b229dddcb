"""Whether a datacenter's provider, racks, hosts, ensemble and ports fit each other.

Invariant: pure, as all of `kdeploy.spec.check`. A setting that its provider would
ignore is refused: silence would look like consent.
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_network
from typing import TYPE_CHECKING, Final

from kdeploy.spec.check.finding import KEEP_ONE, Finding, duplicates
from kdeploy.spec.firewall import Firewall
from kdeploy.spec.model import Datacenter, Environment
from kdeploy.spec.plain import Path_
from kdeploy.spec.ports import MOST_LOCAL_NODES
from kdeploy.spec.regions import AWS_REGIONS
from kdeploy.spec.wording import did_you_mean

if TYPE_CHECKING:
    from kdeploy.spec.lock import Role

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
    role: Role = "zookeeper" if environment.kafka.coordination == "zookeeper" else "controller"
    yield from duplicates(
        "datacenter", ((("datacenters", index, "name"), one.name) for index, one in enumerate(datacenters))
    )
    for index, datacenter in enumerate(datacenters):
        place: Path_ = ("datacenters", index)
        if len(datacenters) > 1 and datacenter.provider == "local":
            wrong = "two datacenters on this machine are not supported yet"
            yield Finding((*place, "provider"), wrong, "keep one datacenter for provider local", (place,))
        yield from _racks(place, datacenter)
        yield from _region(place, datacenter)
        yield from _ensemble(place, datacenter)
        yield from _hosts(place, datacenter, role)
        yield from _only_for_aws(place, datacenter)
        if datacenter.provider == "local":
            yield from _local_ports(place, datacenter)


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


def _hosts(place: Path_, datacenter: Datacenter, role: Role) -> Iterator[Finding]:
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
    addresses = (((*path, index, "address"), host.address) for index, host in enumerate(datacenter.hosts))
    yield from duplicates("host", addresses, "let each machine run one node")
    for index, host in enumerate(datacenter.hosts):
        if host.rack not in datacenter.racks:
            wrong = f"there is no rack called {host.rack!r} in this datacenter"
            yield Finding((*path, index, "rack"), wrong, did_you_mean(host.rack, datacenter.racks))
        if host.role not in ("broker", role):
            wrong = f"a {host.role} has nothing to do in a cluster that is coordinated otherwise"
            yield Finding((*path, index, "role"), wrong, f"write broker or {role}")
        place_of_disks = (*path, index, "hardware", "disks")
        disks = (((*place_of_disks, at), disk) for at, disk in enumerate(host.hardware.disks))
        yield from duplicates("disk", disks, KEEP_ONE)
    yield from _hosts_by_role(place, datacenter, role)


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


def _hosts_by_role(place: Path_, datacenter: Datacenter, coordinator: Role) -> Iterator[Finding]:
    path = (*place, "hosts")
    for role, part, wanted in (
        ("broker", "brokers", datacenter.brokers.count),
        (coordinator, "coordination", datacenter.coordination.count),
    ):
        have = sum(host.role == role for host in datacenter.hosts)
        if not have:
            yield Finding(path, f"no host has the role {role}", f"add at least one with role: {role}")
        elif role == coordinator and have % 2 == 0:
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
