"""Which subnet a rack of AWS has, and which address a node has in it, for good.

Invariant: pure. What was decided before stays: a rack keeps its subnet, a node its address, because its network
interface keeps it through every replacement of the machine. So addresses are known before anything is made, and
firewalls, certificates and the inventory can name them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from ipaddress import IPv4Address, IPv4Network
from typing import Final

from kdeploy.errors import KdeployError
from kdeploy.spec.aws import FIRST_ADDRESS, cut
from kdeploy.spec.lock import LockedDatacenter, LockedNode
from kdeploy.spec.model import Datacenter

GATEWAY: Final = 28
"""Prefix of a gateway's subnet: the smallest there is (Amazon VPC User Guide, Subnet CIDR blocks)."""


def network(wanted: Datacenter) -> str | None:
    """What a datacenter's network is known by: the VPC that is there, or the range of the one that is made."""
    return (wanted.network.vpc or wanted.network.cidr) if wanted.provider == "aws" else None


def subnets(wanted: Datacenter, before: LockedDatacenter | None) -> dict[str, str] | None:
    """The range of each rack's subnet.

    Args:
        wanted: The datacenter.
        before: What was decided for it.

    Returns:
        Ranges by rack; None outside AWS.

    Raises:
        KdeployError: A rack more has no room in the VPC.
    """
    if wanted.provider != "aws":
        return None
    if wanted.network.vpc is not None:
        return {rack: wanted.network.subnets[rack].cidr for rack in wanted.racks}
    known = dict(before.subnets or {}) if before else {}
    whole = IPv4Network(wanted.network.cidr)
    prefix, parts = cut(wanted.network.cidr, len(wanted.racks))
    if known:
        prefix = IPv4Network(next(iter(known.values()))).prefixlen
        parts = 2 ** (prefix - whole.prefixlen) - 1
    every = [str(one) for one in whole.subnets(new_prefix=prefix)][:parts]
    free = [one for one in every if one not in known.values()]
    for rack in wanted.racks:
        if rack not in known:
            if not free:
                raise KdeployError(
                    f"datacenter {wanted.name} has no room for rack {rack}: {whole} was cut into {parts} subnets "
                    "of racks, and each has one\n  leave the rack out, or make another environment"
                )
            known[rack] = free.pop(0)
    return known


def gateway_subnet(cidr: str, subnet: str) -> str:
    """Where the gateway of a rack stands: a /28 of the VPC's last part, by the place of the rack's own subnet.

    Args:
        cidr: Range of the VPC.
        subnet: Range of the rack's subnet in it.
    """
    whole, own = IPv4Network(cidr), IPv4Network(subnet)
    place = (int(own.network_address) - int(whole.network_address)) // own.num_addresses
    last = int(whole.broadcast_address) + 1 - own.num_addresses
    return str(IPv4Network((last + place * 2 ** (32 - GATEWAY), GATEWAY)))


def addressed(
    wanted: Datacenter, nodes: Iterable[LockedNode], ranges: Mapping[str, str] | None
) -> tuple[LockedNode, ...]:
    """Nodes, each with its address: the one it had, else the next above all that its rack ever gave.

    Raises:
        KdeployError: A subnet is full.
    """
    nodes = tuple(nodes)
    if ranges is None:
        return nodes
    last = {rack: _before_first(wanted, rack, cidr) for rack, cidr in ranges.items()}
    for node in nodes:
        if node.address is not None:
            last[node.rack] = max(last[node.rack], int(IPv4Address(node.address)))
    given = []
    for node in nodes:
        if node.address is None:
            last[node.rack] += 1
            whole = IPv4Network(ranges[node.rack])
            if last[node.rack] >= int(whole.broadcast_address):
                raise KdeployError(
                    f"datacenter {wanted.name}: {whole}, the subnet of rack {node.rack}, has no address left for "
                    f"{node.name}\n  ask for fewer nodes, or make an environment with a larger network.cidr"
                )
            node = node.model_copy(update={"address": str(IPv4Address(last[node.rack]))})
        given.append(node)
    return tuple(given)


def _before_first(wanted: Datacenter, rack: str, cidr: str) -> int:
    named = wanted.network.subnets.get(rack)
    first = named.first if named else FIRST_ADDRESS
    return int(IPv4Network(cidr).network_address) + first - 1
