"""Whether what is wanted of AWS fits together: networks, subnets, who may come in, images.

Invariant: pure, as all of `kdeploy.spec.check`. What only AWS knows (whether a subnet is there, a type offered, a
quota enough) is said by AWS when it is asked; what can be seen before is said here. Nothing is ever opened to
every address there is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from ipaddress import IPv4Network, ip_network
from itertools import combinations
from typing import Final

from kdeploy.spec.aws import Network, Subnet, cut
from kdeploy.spec.check.finding import Finding, duplicates
from kdeploy.spec.check.networks import LARGEST, SMALLEST, unsound
from kdeploy.spec.firewall import Firewall
from kdeploy.spec.model import Datacenter, Environment
from kdeploy.spec.plain import Path_
from kdeploy.spec.wording import did_you_mean

KEPT: Final = 1
"""Addresses at a subnet's end that AWS keeps for itself: the last one (ibid.); the first four are below `first`."""

TAG: Final = r"[A-Za-z0-9 _.:/=+@-]{1,128}"
"""Names of tags (Amazon EC2 User Guide, Tag your resources, tag restrictions: what all services take)."""

_REMOVE: Final = "remove it, or write provider: aws"


def check(environment: Environment) -> Iterator[Finding]:
    """Findings about AWS in every datacenter, and about two networks together."""
    datacenters = environment.datacenters
    said = environment.aws != type(environment).model_fields["aws"].get_default()
    if said and all(one.provider != "aws" for one in datacenters):
        yield Finding(("aws",), "no datacenter is of provider aws", _REMOVE)
    yield from _backend(environment)
    yield from _tags(environment)
    yield from _join(environment)
    for index, datacenter in enumerate(datacenters):
        place: Path_ = ("datacenters", index)
        if datacenter.provider == "aws":
            yield from _network((*place, "network"), datacenter)
            yield from _login(place, datacenter)
            yield from _firewall((*place, "firewall"), datacenter.firewall)
            yield from _machine((*place, "machine"), datacenter)
        else:
            yield from _only_for_aws(place, datacenter)
    yield from _apart(datacenters)


def _backend(environment: Environment) -> Iterator[Finding]:
    """A folder for the state that depends on where a command is typed, of which there would be one for each place; an
    organization where there are none.
    """
    backend = environment.aws.backend or ""
    folder = backend.removeprefix("file://")
    if folder != backend and not folder.startswith(("/", "~/")):
        yield Finding(
            ("aws", "backend"),
            f"{backend} is another folder wherever kdeploy is started",
            f"write the whole path, file:///srv/{folder.lstrip('./') or 'state'} for example, or file://~/…",
        )
    if environment.aws.organization is not None and not backend.startswith("https://"):
        yield Finding(
            ("aws", "organization"),
            "only Pulumi Cloud has organizations, and `backend` is another place",
            "remove it, or write `backend: https://api.pulumi.com`",
        )


def _tags(environment: Environment) -> Iterator[Finding]:
    for key in environment.aws.tags:
        path: Path_ = ("aws", "tags", key)
        if key.lower().startswith(("aws:", "kdeploy:")) or key == "Name":
            yield Finding(path, f"the tag {key} is not yours to give", "give it another name")
        elif not re.fullmatch(TAG, key):
            right = "write letters, digits, blanks and _.:/=+@-, at most 128 (AWS's own rule)"
            yield Finding(path, f"{key!r} is not a tag's name", right)


def _join(environment: Environment) -> Iterator[Finding]:
    """A way of joining networks where there are no two that kdeploy makes."""
    if environment.aws.join == type(environment.aws).model_fields["join"].default:
        return
    made = [one for one in environment.datacenters if one.provider == "aws" and one.network.vpc is None]
    if len(made) < 2:
        wrong = f"{environment.aws.join} joins two networks that are made, and there are no two"
        yield Finding(
            ("aws", "join"), wrong, "remove it, or let kdeploy make the networks of two datacenters"
        )
    elif len(made) > 2:
        wrong = f"{environment.aws.join} joins two networks, and there are {len(made)}"
        yield Finding(("aws", "join"), wrong, "write peering, which joins each two of them, or leave it out")


def _only_for_aws(place: Path_, datacenter: Datacenter) -> Iterator[Finding]:
    for name in ("network", "machine"):
        if getattr(datacenter, name) != type(datacenter).model_fields[name].get_default():
            wrong = f"{name} means nothing to provider {datacenter.provider}"
            yield Finding((*place, name), wrong, _REMOVE)
    if datacenter.ssh.through == "ssm":
        wrong = f"machines of provider {datacenter.provider} are not in AWS Systems Manager"
        yield Finding((*place, "ssh", "through"), wrong, "write direct, or leave it out")


def _network(place: Path_, datacenter: Datacenter) -> Iterator[Finding]:
    network = datacenter.network
    sound = [*_ranges(place, network)]
    yield from sound
    if sound:
        return
    whole = IPv4Network(network.cidr)
    if not LARGEST <= whole.prefixlen <= SMALLEST:
        wrong = f"a VPC of AWS has a range of /{LARGEST} to /{SMALLEST}, and this is a /{whole.prefixlen}"
        right = f"write one like {whole.network_address}/{min(max(whole.prefixlen, LARGEST), SMALLEST)}"
        yield Finding((*place, "cidr"), wrong, right)
    elif network.vpc is None:
        yield from _made(place, datacenter)
    else:
        yield from _there(place, datacenter)


def _ranges(place: Path_, network: Network) -> Iterator[Finding]:
    """What is no network, or is every address."""
    named: list[tuple[Path_, str]] = [((*place, "cidr"), network.cidr)]
    named += [((*place, "subnets", rack, "cidr"), one.cidr) for rack, one in network.subnets.items()]
    named += [((*place, "clients", at), one) for at, one in enumerate(network.clients)]
    named += [((*place, "operators", at), one) for at, one in enumerate(network.operators)]
    for path, text in named:
        found = tuple(unsound(path, text))
        yield from found
        if not found and IPv4Network(text).prefixlen == 0:
            yield Finding(path, "that is every address there is", "write the networks that they come from")


def _made(place: Path_, datacenter: Datacenter) -> Iterator[Finding]:
    """A VPC of kdeploy's own: no subnets in it, and room for the racks and their nodes."""
    network, racks = datacenter.network, datacenter.racks
    if network.subnets:
        right = "write the vpc that they are in, or leave them out"
        yield Finding((*place, "subnets"), "subnets are named, and no VPC that they are in", right)
        return
    prefix, _ = cut(network.cidr, len(racks))
    if prefix > SMALLEST:
        wrong = f"{network.cidr} is too small for a subnet in each of {len(racks)} racks"
        right = f"write a larger range, for example a /{SMALLEST - 2 - len(racks).bit_length()}"
        yield Finding((*place, "cidr"), wrong, right, (place[:-1],))
        return
    if network.egress == "nat-per-zone" and len(racks) > 2 ** (SMALLEST - prefix):
        wrong = f"{network.cidr} has no room for a gateway in each of {len(racks)} zones"
        yield Finding((*place, "egress"), wrong, "write egress: nat, or a larger range as cidr")
    room = 2 ** (32 - prefix) - Subnet.model_fields["first"].default - KEPT
    yield from _room((*place, "cidr"), datacenter, room, f"{network.cidr}, cut into subnets of /{prefix},")


def _there(place: Path_, datacenter: Datacenter) -> Iterator[Finding]:
    """A VPC that is there: a subnet for each rack, all inside it and apart from each other."""
    network = datacenter.network
    whole = IPv4Network(network.cidr)
    if network.egress == "nat-per-zone":
        wrong = f"gateways are not made in {network.vpc}, which is there already"
        right = "remove it, or write none where machines are to reach AWS's endpoints alone"
        yield Finding((*place, "egress"), wrong, right)
    for rack in datacenter.racks:
        if rack not in network.subnets:
            right = f"add `{rack}: {{id: subnet-…, cidr: …}}` under subnets"
            wrong = f"rack {rack} has no subnet of {network.vpc}"
            yield Finding((*place, "subnets"), wrong, right, ((*place, "vpc"),))
    for rack, subnet in network.subnets.items():
        path: Path_ = (*place, "subnets", rack)
        found = IPv4Network(subnet.cidr)
        if rack not in datacenter.racks:
            yield Finding(path, f"there is no rack called {rack!r}", did_you_mean(rack, datacenter.racks))
        elif not found.subnet_of(whole):
            wrong = f"{subnet.cidr} is not in {network.cidr}, the range of the VPC"
            yield Finding(
                (*path, "cidr"), wrong, "write the VPC's own range as network.cidr, or correct this one"
            )
        else:
            room = found.num_addresses - subnet.first - KEPT
            yield from _room((*path, "cidr"), datacenter, room, subnet.cidr)
    for (rack, one), (other, two) in combinations(network.subnets.items(), 2):
        if IPv4Network(one.cidr).overlaps(IPv4Network(two.cidr)):
            wrong = f"{two.cidr} overlaps {one.cidr} of rack {rack}"
            yield Finding((*place, "subnets", other, "cidr"), wrong, "write the ranges as AWS has them")
    ids = (((*place, "subnets", rack, "id"), subnet.id) for rack, subnet in network.subnets.items())
    yield from duplicates("subnet", ids, "let each rack have its own")


def _room(path: Path_, datacenter: Datacenter, room: int, what: str) -> Iterator[Finding]:
    """What cannot hold the nodes of one rack, as far as they are counted."""
    racks = len(datacenter.racks)
    counted = [datacenter.brokers.count or racks, datacenter.coordination.count or min(3, racks)]
    needed = sum(-(-one // racks) for one in counted)
    if room < needed:
        have = f"{room} nodes" if room > 1 else "one node" if room == 1 else "no node"
        wrong = f"{what} has room for {have} a rack, and {needed} are needed"
        yield Finding(path, wrong, "write a larger range", ((*path[:2], "brokers", "count"), path[:2]))


def _login(place: Path_, datacenter: Datacenter) -> Iterator[Finding]:
    ssh, operators = datacenter.ssh, (*place, "network", "operators")
    if ssh.through == "direct" or ssh.jump is not None:
        if ssh.through == "ssm":
            wrong = "SSH goes through Systems Manager, and a jump host has no part in that"
            yield Finding((*place, "ssh", "jump"), wrong, "remove it, or write through: direct")
        elif not datacenter.network.operators:
            wrong = "nobody may log in: SSH does not go through Systems Manager, and no network is let in"
            right = (
                "write the network that you or the jump host come from, or through: ssm"
                if ssh.jump
                else "write the network that you come from, or through: ssm"
            )
            related: tuple[Path_, ...] = ((*place, "ssh", "through"), (*place, "ssh", "jump"))
            yield Finding(operators, wrong, right, related)
    elif datacenter.network.operators:
        wrong = "nobody needs to be let in: SSH goes through Systems Manager, with no port open"
        yield Finding(operators, wrong, "remove them, or write ssh: {through: direct}")


def _firewall(place: Path_, firewall: Firewall) -> Iterator[Finding]:
    default = Firewall.default()
    for name in ("clients", "operators"):
        if getattr(firewall, name) != getattr(default, name):
            wrong = f"in AWS, who {name} are is said once, for security groups and machines both"
            yield Finding((*place, name), wrong, f"write it as network.{name}")
    for at, opening in enumerate(firewall.also):
        for index, source in enumerate(opening.sources):
            path: Path_ = (*place, "also", at, "sources", index)
            try:
                found = ip_network(source)
            except ValueError:
                continue  # said by the check of networks
            if found.prefixlen == 0 or found.version == 6:
                wrong = f"port {opening.port} would be open to every address there is"
                if found.version == 6 and found.prefixlen:
                    wrong = f"{source} is a network of IPv6, and the VPC has none"
                related: tuple[Path_, ...] = ((*place, "also", at),)
                yield Finding(path, wrong, "write sources: the IPv4 networks that it is for", related)
                break


OF_ALARMS: Final = {
    "alarm_topic": "alarms are to be sent somewhere, and there are none",
    "alarm_percent": "it is said when a disk is nearly full, and there are no alarms",
    "metrics_endpoint": "it is said where machines tell how full disks are, and without alarms they tell nobody",
}
"""Settings that mean nothing without alarms, and what is wrong with them then."""


def _machine(place: Path_, datacenter: Datacenter) -> Iterator[Finding]:
    machine = datacenter.machine
    for name, wrong in OF_ALARMS.items():
        is_said = getattr(machine, name) != type(machine).model_fields[name].default
        if is_said and not machine.alarms:
            yield Finding((*place, name), wrong, "write alarms: true beside it, or remove it")


def _apart(datacenters: tuple[Datacenter, ...]) -> Iterator[Finding]:
    """Two datacenters in AWS are peered, which takes ranges that do not overlap (Amazon VPC Peering Guide)."""
    networks = []
    for index, one in enumerate(datacenters):
        if one.provider == "aws":
            try:
                networks.append((index, one, IPv4Network(one.network.cidr)))
            except ValueError:
                return  # said above
    for (_, first, whole), (index, second, other) in combinations(networks, 2):
        if whole.overlaps(other):
            wrong = f"the networks of {first.name} and {second.name} overlap: {whole} and {other}"
            path: Path_ = ("datacenters", index, "network", "cidr")
            yield Finding(
                path, wrong, f"write another range, for example {_another(whole)}", (path[:-1], path[:2])
            )


def _another(taken: IPv4Network) -> str:
    """The next range of the same size among private ones."""
    following = int(taken.broadcast_address) + 1
    found = IPv4Network((following, taken.prefixlen))
    return str(found if found.is_private else IPv4Network(f"10.64.0.0/{taken.prefixlen}"))
