"""What differs between an environment and what was decided for it before.

Invariant: pure. A change that kdeploy cannot carry out safely is refused as a whole,
before anything happens, with what the lock says, what the environment says and why;
topics, users, ACLs, quotas, policies and how copies are moved never count as a difference.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator
from typing import Any, Final

from kdeploy.errors import UnsupportedChange
from kdeploy.planner.result import DatacenterPlan, Plan
from kdeploy.spec.lock import Lock, LockedDatacenter
from kdeploy.spec.model import Datacenter, Environment
from kdeploy.spec.ports import local_ports
from kdeploy.units import format_bytes, format_duration, format_rate

_NOT_PLANNED: Final[dict[str, Any]] = {
    "topics": True,
    "users": True,
    "acls": True,
    "quotas": True,
    "policies": True,
    "moving": True,
    "accept_risks": True,
    "aws": True,
    "mirroring": {"topics", "exclude_topics", "groups", "exclude_groups", "primary", "rto"},
    "datacenters": {"__all__": {"ssh"}},
}
"""Parts of an environment that neither a plan nor a file depends on."""

LOCAL: Final = "local-nvme"
"""The kind of volume that is a machine's own disk."""

_DEFAULT: Final = "the default"
_QUANTITY: Final = re.compile(r"([0-9.e+-]+)(B/s|B|s)")
_PRINTERS: Final = {"B/s": format_rate, "B": format_bytes, "s": format_duration}


def inputs(environment: Environment) -> str:
    """SHA-256 of all that a plan or a file depends on, defaults included."""
    document = environment.model_dump(mode="json", exclude=_NOT_PLANNED)
    if document["mirroring"] is None:
        del document["mirroring"]  # what is not wanted makes no lock stale
    for one in document["datacenters"]:
        if one["provider"] != "aws":  # said of AWS alone, so that it makes no other lock stale
            del one["network"], one["machine"]
        elif one["network"]["load_balancer"] is None:
            del one["network"]["load_balancer"]
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()


def asked(environment: Environment) -> dict[str, str]:
    """The same as text by path, without defaults: what `stale` explains a difference with."""
    document = environment.model_dump(mode="json", exclude=_NOT_PLANNED, exclude_defaults=True)
    return dict(sorted(_flat("", document)))


def stale(environment: Environment, lock: Lock) -> tuple[str, ...]:
    """Differences between the environment and the one its lock was written for, a sentence each.

    Returns:
        Nothing when the lock is current.
    """
    if lock.inputs == inputs(environment):
        return ()
    old, new = lock.asked, asked(environment)
    differences = [
        f"{path}: the lock was written for {_spoken(old.get(path, _DEFAULT))}, "
        f"the environment says {_spoken(new.get(path, _DEFAULT))}"
        for path in sorted(old.keys() | new.keys())
        if old.get(path) != new.get(path)
    ]
    by_default = f"the lock was written by kdeploy {lock.kdeploy}, whose defaults were different"
    return tuple(differences or [by_default])


def _spoken(text: str) -> str:
    """A quantity in base units as a person reads it; other text as it is."""
    match = _QUANTITY.fullmatch(text)
    return _PRINTERS[match[2]](float(match[1])) if match else text


def refuse_unsupported(environment: Environment, plan: Plan, previous: Lock) -> None:
    """Refuse changes that cannot be carried out yet on what the lock says is there.

    Args:
        environment: What is wanted.
        plan: A feasible plan for it, made with `previous`.
        previous: What was decided before.

    Raises:
        UnsupportedChange: Naming every such change.
    """
    refusals = [*_of_environment(environment, previous)]
    same_kind = previous.kafka_coordination == environment.kafka.coordination
    wanted = {datacenter.name: datacenter for datacenter in environment.datacenters}
    planned = {datacenter.name: datacenter for datacenter in plan.datacenters}
    for locked in previous.datacenters:
        if locked.name in wanted:
            moved = [*_of_datacenter(wanted[locked.name], locked, environment.mirroring is not None)]
            if same_kind and not moved:
                moved += _of_plan(wanted[locked.name], planned[locked.name], locked)
            refusals += moved
        else:
            refusals.append(_gone(f"datacenter {locked.name}", "a cluster is removed with `kdeploy down`"))
    refusals += _of_mirroring(environment, plan, previous)
    if refusals:
        raise UnsupportedChange(
            "the environment asks for a change that kdeploy cannot carry out yet\n"
            + "\n".join(refusals)
            + "\n  put back what the lock says, or make another environment with `kdeploy init`"
        )


def _refusal(what: str, lock: object, environment: object, why: str) -> Iterator[str]:
    """The sentence for one setting; nothing when both say the same."""
    if lock != environment:
        yield f"- {what}: the lock says {_word(lock)}, the environment says {_word(environment)}\n  {why}"


def _of_mirroring(environment: Environment, plan: Plan, previous: Lock) -> Iterator[str]:
    """Workers that would be left running with nobody to stop them."""
    there = {one.name: len(one.mirrors) for one in previous.datacenters if one.mirrors}
    if environment.mirroring is None and there:
        yield _gone("mirroring", "its workers would have to be stopped first")
    planned = {one.name: one.mirror.count for one in plan.datacenters if one.mirror is not None}
    fewer = (name for name, count in there.items() if planned.get(name, count) < count)
    for name in list(fewer)[:1]:  # one setting says it of both
        why = "a worker would have to be stopped and taken from the others' group first"
        yield from _refusal("mirroring.workers.count", there[name], planned[name], why)


def _gone(what: str, why: str) -> str:
    return f"- {what}: it is in the lock and no longer in the environment\n  {why}"


def _word(value: object) -> str:
    return "none" if value is None else str(value)


def _of_environment(environment: Environment, previous: Lock) -> Iterator[str]:
    yield from _refusal(
        "name", previous.environment, environment.name, "the name is in every certificate of the cluster"
    )
    yield from _refusal(
        "kafka.version",
        previous.kafka_version,
        environment.kafka.version,
        "another version needs a rolling upgrade, step by step",
    )
    yield from _refusal(
        "kafka.coordination",
        previous.kafka_coordination,
        environment.kafka.coordination,
        "moving metadata from one to the other needs a migration",
    )


def _of_datacenter(wanted: Datacenter, locked: LockedDatacenter, mirrored: bool) -> Iterator[str]:
    place = f"datacenter {wanted.name}"
    moved = "data would have to move to other machines"
    yield from _refusal(f"{place}: provider", locked.provider, wanted.provider, moved)
    if locked.provider != wanted.provider:
        return
    yield from _refusal(f"{place}: region", locked.region, wanted.region, moved)
    if locked.network is not None:
        yield from _of_network(wanted, locked)
    for rack in sorted({node.rack for node in locked.nodes} - set(wanted.racks)):
        yield _gone(f"{place}: rack {rack}", "its brokers' partitions would have to move first")
    if wanted.provider == "hosts":
        addresses = {host.address for host in wanted.hosts}
        for node in (*locked.nodes, *(locked.mirrors if mirrored else ())):
            if node.host not in addresses:
                yield _gone(f"{place}: host {node.host} of {node.name}", "its data would have to move first")
    if wanted.provider == "local":
        yield from _of_ports(wanted, locked)


def _of_network(wanted: Datacenter, locked: LockedDatacenter) -> Iterator[str]:
    """What the address and the disks of every machine rest on (provider aws)."""
    place = f"datacenter {wanted.name}"
    network = wanted.network.vpc or wanted.network.cidr
    yield from _refusal(f"{place}: network", locked.network, network, "machines cannot move to another")
    for rack, subnet in wanted.network.subnets.items():
        known = (locked.subnets or {}).get(rack, subnet.cidr)
        why = "the addresses of its machines are in it"
        yield from _refusal(f"{place}: subnet of rack {rack}", known, subnet.cidr, why)
    why = "a volume keeps the key that it was made with, so its data would have to be copied"
    yield from _refusal(f"{place}: machine.kms_key", locked.kms_key, wanted.machine.kms_key, why)
    balancer = wanted.network.load_balancer
    if balancer is not None and locked.balancer_port is not None:
        why = (
            "clients know the brokers by their ports; take the load balancer away first, then declare another"
        )
        yield from _refusal(f"{place}: network.load_balancer.port", locked.balancer_port, balancer.port, why)


def _of_ports(wanted: Datacenter, locked: LockedDatacenter) -> Iterator[str]:
    for node in locked.nodes[:1]:
        offset = local_ports(node.role, 0, node.ordinal)
        base = min(node.ports.values()) - min(offset.values())
        why = "clients know the brokers by their ports"
        yield from _refusal(f"datacenter {wanted.name}: base_port", base, wanted.base_port, why)


def _of_plan(wanted: Datacenter, planned: DatacenterPlan, locked: LockedDatacenter) -> Iterator[str]:
    place = f"datacenter {planned.name}"
    brokers = sum(node.role == "broker" for node in locked.nodes)
    coordinators = len(locked.nodes) - brokers
    count = wanted.brokers.count or planned.brokers.count
    if count < brokers:
        why = "the partitions of a broker would have to move before it goes"
        yield from _refusal(f"{place}: brokers", brokers, count, why)
    kind = "ZooKeeper nodes" if planned.coordination.kind == "zookeeper" else "KRaft controllers"
    count = wanted.coordination.count or planned.coordination.nodes
    why = "the members of the quorum would have to change one by one"
    yield from _refusal(f"{place}: {kind}", coordinators, count, why)
    for what, old, new, chosen in (
        ("brokers", locked.brokers, planned.brokers, wanted.brokers.instance_type),
        ("coordination", locked.coordination, planned.coordination, wanted.coordination.instance_type),
    ):
        kinds = {one.type for one in old.volumes} | {one.type for one in new.volumes}
        if what != "brokers" and LOCAL in kinds:
            # Elsewhere machines change one by one: data stays on its volumes, or other brokers have it until it is back.
            why = "the machines' own disks lose their data with them, and nothing waits for it to be back"
            instance_type = chosen or new.instance_type
            yield from _refusal(f"{place}: {what}: instance type", old.instance_type, instance_type, why)
        yield from _of_volumes(
            f"{place}: {what}",
            [(one.type, one.count, one.size) for one in old.volumes],
            [(one.type, one.count, one.size) for one in new.volumes],
        )


def _of_volumes(
    place: str, old: list[tuple[str, int, float]], new: list[tuple[str, int, float]]
) -> Iterator[str]:
    kinds, wanted_kinds = (
        ", ".join(f"{count} × {kind}" for kind, count, _ in volumes) or None for volumes in (old, new)
    )
    yield from _refusal(f"{place}: volumes", kinds, wanted_kinds, "data would have to move from disk to disk")
    if kinds == wanted_kinds:
        for (_, _, size), (_, _, wanted) in zip(old, new, strict=True):
            if wanted < size:
                why = (
                    "what a broker holds may not fit on a smaller disk"
                    if old[0][0] == LOCAL
                    else "a volume cannot shrink in place"
                )
                yield from _refusal(f"{place}: volume", format_bytes(size), format_bytes(wanted), why)


def _flat(prefix: str, value: object) -> Iterable[tuple[str, str]]:
    if isinstance(value, dict):
        for key, one in value.items():
            yield from _flat(f"{prefix}.{key}" if prefix else str(key), one)
    elif isinstance(value, list) and any(isinstance(one, dict) for one in value):
        for index, one in enumerate(value):
            yield from _flat(f"{prefix}[{index}]", one)
    else:
        yield prefix, value if isinstance(value, str) else json.dumps(value, sort_keys=True)
