"""Whether hosts will do for their nodes, judged from what was seen on all of them before anything changes.

Invariant: pure. Every problem of every host is in the answer, each as one line with its remedy.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Any, Final

from kdeploy.blueprint import Node
from kdeploy.infra.hosts.systems import SYSTEMS
from kdeploy.units import format_bytes

SKEW: Final = 60.0
"""Seconds that a host's clock may differ from this machine's. Kafka keeps records by their times, and logs of
nodes are read side by side; looking itself takes some seconds with many hosts at once."""

MEMORY_SHARE: Final = 0.9
"""Part of the declared memory that a host must show: firmware and kernel keep some of it for themselves."""

DISK_SHARE: Final = 0.95
"""The same of a disk's size: makers and resellers round."""

OR_WITHOUT: Final = "\n  or change the others alone, with `--without NODE` for each node that is down"
"""What can be done on the day when a host cannot be mended."""

JAVA: Final = {"3": 11, "4": 17}
"""Lowest Java by Kafka's major version (as `infra.artefacts.java.MINIMUM`)."""

Facts = Mapping[str, Any]
"""What roles/preflight/files/facts.py prints."""


def java_package(facts: Facts) -> str:
    """The package that has Java on a host."""
    return SYSTEMS[str(facts["os"])].java


def host_needs(node: Node, facts: Facts, *, keep_time: bool) -> dict[str, Any]:
    """Packages that a host lacks for time and its firewall, and the service that is to keep its clock right.

    Args:
        node: The node.
        facts: What was seen on its host.
        keep_time: Whether it is to have a time service where it has none.
    """
    system = SYSTEMS[str(facts["os"])]
    lacks_time = keep_time and not facts["synchronised"] and not facts["time_units"]
    packages = [system.firewall] if node.firewall and not facts["nft"] else []
    packages += [system.time] if lacks_time else []
    return {"host_packages": packages, "host_time_unit": system.time_unit if lacks_time else ""}


def problems(
    nodes: Sequence[Node],
    facts: Mapping[str, Facts],
    clocks: Mapping[str, float],
    sizes: Mapping[str, float | None],
    version: str,
) -> tuple[str, ...]:
    """All that stands in the way.

    Args:
        nodes: Nodes that were looked at.
        facts: What was seen on each one's host, by `Node.key`.
        clocks: Seconds that each host's clock is ahead of this machine's.
        sizes: Bytes that each data disk of a node was declared with, where it was.
        version: Kafka's version.
    """
    found = [
        f"{node.host} ({node.name}): {problem}"
        for node in nodes
        for problem in _of_host(node, facts[node.key], clocks[node.key], sizes.get(node.key), version)
    ]
    return (*found, *_twice(nodes, facts))


def or_without(nodes: Sequence[Node], unseen: Collection[Node]) -> str:
    """How the others are changed alone, where there are others: a datacenter of which nothing is seen by its name.

    Args:
        nodes: Every node that was to be looked at.
        unseen: Those whose hosts could not be.
    """
    if not unseen or len(unseen) == len(nodes):
        return ""
    seen = {node.datacenter for node in nodes if node not in unseen}
    gone = sorted({node.datacenter for node in unseen} - seen)
    whole = "".join(
        f"\n  or change the others alone, with `--without {name}`, as long as all of {name} is down"
        for name in gone
    )
    return whole + (OR_WITHOUT if any(node.datacenter in seen for node in unseen) else "")


def _of_host(node: Node, facts: Facts, clock: float, size: float | None, version: str) -> Iterator[str]:
    yield from _system(facts, version)
    if not facts["root"]:
        yield "there is no way to root; log in as root, or as somebody whom sudo lets"
    if facts["cores"] < node.cores:
        yield f"it has {facts['cores']} cores, and {node.cores} are declared; declare what it has"
    if facts["memory"] < node.memory * MEMORY_SHARE:
        has, declared = format_bytes(facts["memory"]), format_bytes(node.memory)
        yield f"it has {has} of memory, and {declared} are declared; declare what it has"
    if abs(clock) > SKEW:
        direction = "ahead of" if clock > 0 else "behind"
        yield f"its clock is {abs(clock):.0f} s {direction} this machine's; synchronise it, with chrony for example"
    if facts["ports"] and not facts["serves"]:
        listed = ", ".join(map(str, facts["ports"]))
        yield f"port {listed} is taken by another program; end it"
    yield from _disks(node, facts, size)
    yield from _firewall(node, facts)
    yield from _names(node, facts)


def _system(facts: Facts, version: str) -> Iterator[str]:
    known = SYSTEMS.get(str(facts["os"]))
    major = str(facts["version"]).partition(".")[0]
    if known is None or not major.isdigit() or int(major) < known.lowest:
        name = facts["os_name"] or facts["os"] or "something without a name"
        yield f"it runs {name}, which kdeploy does not know; Debian 12 is proven"
    if not facts["systemd"]:
        yield "its services are not kept by systemd, which kdeploy needs"
    needed = JAVA[version.partition(".")[0]]
    if facts["java"] and facts["java"] < needed:
        yield f"its Java is {facts['java']}, and Kafka {version} needs {needed}; install a newer one"


def _disks(node: Node, facts: Facts, size: float | None) -> Iterator[str]:
    if node.disks and not facts["mkfs"]:
        system = SYSTEMS.get(str(facts["os"]))
        yield f"it has no mkfs.xfs; install {system.file_systems if system else 'it'}"
    for disk in node.disks:
        found = facts["disks"][disk.device]
        if not found["exists"] or not found.get("block"):
            yield f"there is no disk {disk.device}"
            continue
        if found["uuid"] == disk.file_system:
            if found["mounted"] not in ("", disk.mount):
                yield f"{disk.device} is mounted at {found['mounted']}, and belongs at {disk.mount}; unmount it"
            continue
        if found["type"] or found["parts"] or found["held"] or found["mounted"]:
            what = found["type"] or ("partitions" if found["parts"] else "another device's data")
            where = f", mounted at {found['mounted']}" if found["mounted"] else ""
            yield (
                f"{disk.device} is not empty: it holds {what}{where}; "
                f"if nobody needs that, `wipefs --all {disk.device}` empties it"
            )
        elif facts["known"]:
            yield f"{disk.device} is empty, and this node had its data on it; put the right disk back"
        if size is not None and found["size"] < size * DISK_SHARE:
            has, declared = format_bytes(found["size"]), format_bytes(size)
            yield f"{disk.device} has {has}, and {declared} are declared; declare what it has"


def _firewall(node: Node, facts: Facts) -> Iterator[str]:
    """What would shut kdeploy out, or keep closed what is to be open."""
    if node.firewall is None:
        return
    for name in facts["firewalls"]:
        yield (
            f"its firewall is kept by {name}, which would go on closing Kafka's ports; stop and disable {name}, "
            "or write `firewall: {enabled: false}` and open them there"
        )
    if not facts["login"]:
        return
    address, port = facts["login"]
    source = ip_address(address)
    mapped = source.ipv4_mapped if isinstance(source, IPv6Address) else None
    if not any((mapped or source) in ip_network(one) for one in node.firewall.operators):
        yield f"kdeploy comes from {mapped or source}, which firewall.operators would shut out; add it there"
    if port not in node.firewall.ssh_ports:
        yield f"its SSH server listens on port {port}, which is not among firewall.ssh_ports; add it there"


def _names(node: Node, facts: Facts) -> Iterator[str]:
    """ZooKeeper nodes check who calls them by address, so a name must lead to it and back.

    Not back where addresses are decided beforehand (provider aws): they are in the certificates. Nor for a worker of
    MirrorMaker, which speaks to no ZooKeeper node.
    """
    for name, found in sorted(facts["names"].items()):
        if _is_address(name):
            continue
        if not found["addresses"]:
            yield f"it does not know the name {name}; add it to DNS, or to /etc/hosts"
        elif node.machine is None and node.role != "mirror" and name not in found["back"]:
            listed = ", ".join(found["addresses"])
            yield f"{name} leads to {listed}, and that does not lead back to {name}; add it to DNS, or to /etc/hosts"


def _twice(nodes: Sequence[Node], facts: Mapping[str, Facts]) -> Iterator[str]:
    first: dict[str, Node] = {}
    for node in nodes:
        other = first.setdefault(str(facts[node.key]["boot"]), node)
        if other is not node:
            yield (
                f"{node.host} ({node.name}): it is the same machine as {other.host} ({other.name}); "
                "let each machine run one node"
            )


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True
