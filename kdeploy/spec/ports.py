"""Which ports nodes listen on.

Invariant: two local nodes of a datacenter never share a port, as long as there are at
most `MOST_LOCAL_NODES` of a role; elsewhere each node has an address of its own, and
the same ports as every other of its role.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from kdeploy.spec.lock import Role
    from kdeploy.spec.model import Environment


PURPOSES: Final[Mapping[Role, tuple[str, ...]]] = {
    "broker": ("client", "internal", "admin"),
    "zookeeper": ("secure", "quorum", "election"),
    "controller": ("controller",),
    "mirror": ("rest",),
}
"""What a role's ports are for, in the order of their numbers."""

OFFSETS: Final[Mapping[Role, int]] = {"broker": 0, "zookeeper": 2000, "controller": 3000, "mirror": 4000}
"""Where a role's ports begin above the datacenter's base port (provider local)."""

PER_NODE: Final = 10
"""Distance between the ports of two local nodes of a role."""

BLOCK: Final = 1000
"""Ports that the local nodes of one role are given room for."""

MOST_LOCAL_NODES: Final = 99
"""Nodes of a role whose ports stay below those of the next role and within 1,000 above their own offset."""

FIRST_LENT: Final = 32768
"""First port that Linux lends to outgoing connections unless told otherwise (net.ipv4.ip_local_port_range,
Linux kernel documentation, ip-sysctl)."""

HIGHEST: Final = 65535
"""The highest port of TCP (RFC 9293, section 3.1)."""

STANDARD: Final[Mapping[Role, Mapping[str, int]]] = {
    "broker": {"client": 9092, "internal": 9094, "admin": 9095},
    "zookeeper": {"secure": 2182, "quorum": 2888, "election": 3888},
    "controller": {"controller": 9093},
    "mirror": {"rest": 8083},
}
"""Ports where each node has an address of its own: Kafka's 9092 and 9093 (Kafka 3.9 quick start,
KRaft configuration), ZooKeeper's 2888 and 3888 (ZooKeeper 3.8 Administrator's Guide, cluster
options) and 2182 for TLS (Cloudera Runtime, "Configure ZooKeeper TLS"); 9094 and 9095 follow on;
8083 is Kafka Connect's own for its REST interface (Kafka 3.9 documentation, 8.2 User Guide, REST API)."""


OUTSIDE: Final = 9096
"""Port of a broker that a load balancer leads clients outside the network to; it follows on 9095. Only where there is
one: the lock holds it for no node, since it is the same for all."""


def outside_port(first: int, broker: int) -> int:
    """The port of a broker at the load balancer: its own for good, as its id is.

    Args:
        first: The load balancer's port for bootstrap.
        broker: The broker's id.
    """
    return first + broker


def local_ports(role: Role, base: int, ordinal: int) -> dict[str, int]:
    """Ports of a local node by purpose.

    Args:
        role: What the node is.
        base: The datacenter's base port.
        ordinal: The node's place among those of its role, from 1.
    """
    first = base + OFFSETS[role] + PER_NODE * ordinal
    return {purpose: first + index for index, purpose in enumerate(PURPOSES[role])}


def local_blocks(environment: Environment, base: int) -> tuple[range, ...]:
    """The ports that are kept for the nodes of a datacenter on this machine, a range for each of its roles.

    Args:
        environment: Says which roles there are.
        base: The datacenter's base port.
    """
    roles: list[Role] = ["broker"]
    roles.append("zookeeper" if environment.kafka.coordination == "zookeeper" else "controller")
    if environment.mirroring is not None:
        roles.append("mirror")
    return tuple(range(base + OFFSETS[role], base + OFFSETS[role] + BLOCK) for role in roles)


def touch(one: range, other: range) -> bool:
    """Whether two ranges have a port in common."""
    return one.start < other.stop and other.start < one.stop
