"""Whether copies, brokers and racks are enough for the failure that is to be survived.

Invariant: pure, as all of `kdeploy.spec.check`. Surviving means: with that failure,
a producer with acks=all is still served, and the coordination keeps its majority.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import ceil

from kdeploy.spec.check.finding import Finding
from kdeploy.spec.model import Datacenter, Environment
from kdeploy.spec.plain import Path_

_REPLICATION: Path_ = ("durability", "replication_factor")
_IN_SYNC: Path_ = ("durability", "min_insync_replicas")
_SURVIVE: Path_ = ("durability", "survive")


def known_brokers(datacenter: Datacenter) -> int | None:
    """How many brokers a datacenter will have; None where the planner decides."""
    if datacenter.provider == "hosts":
        return sum(host.role == "broker" for host in datacenter.hosts) or None
    if datacenter.brokers.count is None and datacenter.provider == "local":
        return len(datacenter.racks)
    return datacenter.brokers.count


def check(environment: Environment) -> Iterator[Finding]:
    """Findings about replication, in-sync replicas and the failure to survive."""
    durability = environment.durability
    copies, needed = durability.replication_factor, durability.min_insync_replicas
    if needed > copies:
        wrong = f"min.insync.replicas of {needed} can never be met by {copies} {_copies(copies)}"
        right = f"write {max(1, copies - 1)}, or raise replication_factor to {needed + 1}"
        yield Finding(_IN_SYNC, wrong, right, (_REPLICATION,))
    elif durability.survive != "none" and copies - 1 < needed:
        wrong = f"with one broker down, {copies - 1} of {copies} {_copies(copies)} are left and writing needs {needed}"
        right = f"raise replication_factor to {needed + 1}, or write survive: none"
        yield Finding(_REPLICATION, wrong, right, (_IN_SYNC, _SURVIVE))
    elif durability.survive == "zone":
        for index, datacenter in enumerate(environment.datacenters):
            yield from _zone(environment, index, datacenter)
    if durability.survive != "none":
        yield from _lonely(environment)
    for index, datacenter in enumerate(environment.datacenters):
        yield from _brokers(environment, index, datacenter)


def _copies(count: int) -> str:
    return "copy" if count == 1 else "copies"


def _brokers(environment: Environment, index: int, datacenter: Datacenter) -> Iterator[Finding]:
    brokers = known_brokers(datacenter)
    copies = environment.durability.replication_factor
    place: Path_ = ("datacenters", index)
    if brokers is not None and copies > brokers:
        wrong = f"{copies} copies need {copies} brokers, and datacenter {datacenter.name} has {brokers}"
        related: tuple[Path_, ...] = ((*place, "brokers", "count"), (*place, "racks"), place)
        right = f"write {brokers} or less, or have more brokers"
        yield Finding(_REPLICATION, wrong, right, related)


def _zone(environment: Environment, index: int, datacenter: Datacenter) -> Iterator[Finding]:
    """Findings about a datacenter that is to survive the loss of a whole rack."""
    place: Path_ = ("datacenters", index)
    racks: Path_ = (*place, "racks")
    coordination = environment.kafka.coordination
    nodes, largest = _quorum(datacenter, coordination)
    if len(datacenter.racks) < 3:
        wrong = f"surviving a zone needs 3 racks, so that a majority of {coordination} nodes is always left"
        found = f"; {datacenter.name} has {len(datacenter.racks)}"
        yield Finding(racks, wrong + found, "name 3 racks, or write survive: broker", (_SURVIVE,))
        return
    if nodes > 1 and nodes % 2 and nodes - largest <= nodes // 2:
        wrong = f"{largest} of {nodes} {coordination} nodes stand in one rack: losing it stops the majority"
        right = "spread them over 3 racks, or have more of them"
        yield Finding((*place, "coordination", "count"), wrong, right, ((*place, "hosts"), _SURVIVE))
    yield from _copies_left(environment, index, datacenter)


def _lonely(environment: Environment) -> Iterator[Finding]:
    """Findings about datacenters where any one machine's loss stops the coordination."""
    for index, datacenter in enumerate(environment.datacenters):
        nodes, _ = _quorum(datacenter, environment.kafka.coordination)
        if nodes == 1:
            wrong = f"one {environment.kafka.coordination} node has no majority left when its machine fails"
            place: Path_ = ("datacenters", index, "coordination", "count")
            yield Finding(place, wrong, "write 3, or write survive: none", (_SURVIVE,))


def _quorum(datacenter: Datacenter, coordination: str) -> tuple[int, int]:
    """Coordination nodes in all (0 for the planner's choice), and those in the fullest rack."""
    if datacenter.provider == "hosts":
        role = "zookeeper" if coordination == "zookeeper" else "controller"
        racks = [host.rack for host in datacenter.hosts if host.role == role]
        return len(racks), max((racks.count(rack) for rack in racks), default=0)
    nodes = datacenter.coordination.count or 0
    return nodes, ceil(nodes / len(datacenter.racks))


def _copies_left(environment: Environment, index: int, datacenter: Datacenter) -> Iterator[Finding]:
    durability = environment.durability
    brokers = known_brokers(datacenter)
    spread = min(len(datacenter.racks), brokers or len(datacenter.racks))
    if durability.replication_factor > (brokers or durability.replication_factor):
        return
    left = durability.replication_factor - ceil(durability.replication_factor / spread)
    if left < durability.min_insync_replicas:
        wrong = (
            f"with one of {spread} racks down, {left} of {durability.replication_factor} copies are left "
            f"and writing needs {durability.min_insync_replicas}"
        )
        right = f"write {left}, or spread the copies over more racks" if left else "have more racks or copies"
        yield Finding(_IN_SYNC, wrong, right, (_REPLICATION, ("datacenters", index, "racks")))
