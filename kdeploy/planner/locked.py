"""What the machines and volumes that a lock says are there cost a month, at the catalogue's prices.

Invariant: for a lock that was just decided it is what the plan has for brokers, volumes and coordination. Traffic
is left out: it follows the workload, not what is there.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from kdeploy.planner import catalogue
from kdeploy.planner.ebs import Bought
from kdeploy.spec.lock import LockedDatacenter, LockedShape
from kdeploy.units import HOURS_PER_MONTH


def monthly_usd(locked: LockedDatacenter, discount: float = 0.0) -> float | None:
    """US dollars a month of a locked datacenter's machines and volumes.

    Args:
        locked: One datacenter of a lock.
        discount: What is paid less than the list, 0 to 1.

    Returns:
        The price; None outside AWS, or where a type or a kind of volume has no price (any more).
    """
    found = parts(locked, discount)
    return None if found is None else round(sum(found.values()), 2)


def parts(
    locked: LockedDatacenter, discount: float = 0.0, types: Mapping[str, str] | None = None
) -> dict[str, float] | None:
    """The same by part, as the plan names them: brokers, volumes, coordination (with its own volumes), and workers
    where something is mirrored.

    Args:
        locked: As `monthly_usd`.
        discount: As `monthly_usd`.
        types: The EC2 type that each node has now, by its name: it is priced in place of the lock's, and nodes
            that are not in it are not there.
    """
    if locked.region is None:
        return None
    shapes = catalogue.load(locked.region)
    found = dict.fromkeys(("brokers", "volumes", "coordination"), 0.0)
    for role, shape in ((True, locked.brokers), (False, locked.coordination)):
        names = [node.name for node in locked.nodes if (node.role == "broker") is role]
        kinds = [shape.instance_type if types is None else types.get(name) for name in names]
        there = [kind for kind in kinds if types is None or kind is not None]
        machines = [_of_machine(kind, shapes) for kind in there]
        volumes = _of_volumes(shape, shapes) if there else 0.0
        if volumes is None or None in machines:
            return None
        price = sum(one for one in machines if one is not None)
        found["brokers" if role else "coordination"] += price
        found["volumes" if role else "coordination"] += volumes * len(there)
    if locked.mirror is not None:
        workers = [
            locked.mirror.instance_type if types is None else types.get(one.name) for one in locked.mirrors
        ]
        priced = [_of_machine(kind, shapes) for kind in workers if types is None or kind is not None]
        if None in priced:
            return None
        found["workers"] = sum(one for one in priced if one is not None)
    return {name: round(usd * (1 - discount), 2) for name, usd in found.items()}


def _of_machine(kind: str | None, shapes: catalogue.Catalogue) -> float | None:
    if kind not in shapes.names:
        return None
    return float(shapes.usd_per_hour[shapes.names.index(kind)]) * HOURS_PER_MONTH


def _of_volumes(shape: LockedShape, shapes: catalogue.Catalogue) -> float | None:
    """One node's volumes."""
    volumes = 0.0
    for one in shape.volumes:
        if one.type == "local-nvme":  # comes with the machine
            continue
        if one.type not in shapes.volumes:
            return None
        kind = shapes.volumes[one.type]
        bought = Bought(
            np.array([one.size]),
            np.array([kind.free_iops if one.iops is None else one.iops]),
            np.array([kind.free_throughput if one.throughput is None else one.throughput]),
        )
        volumes += one.count * float(kind.monthly_usd(bought)[0])
    return volumes
