"""What the machines and volumes that a lock says are there cost a month, at the catalogue's prices.

Invariant: for a lock that was just decided it is what the plan has for brokers, volumes and coordination. Traffic
is left out: it follows the workload, not what is there.
"""

from __future__ import annotations

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
    if locked.region is None:
        return None
    brokers = sum(node.role == "broker" for node in locked.nodes)
    shapes = catalogue.load(locked.region)
    each = [_of_shape(shape, shapes) for shape in (locked.brokers, locked.coordination)]
    if each[0] is None or each[1] is None:
        return None
    together = each[0] * brokers + each[1] * (len(locked.nodes) - brokers)
    return round(together * (1 - discount), 2)


def _of_shape(shape: LockedShape, shapes: catalogue.Catalogue) -> float | None:
    """One node's machine and volumes."""
    if shape.instance_type not in shapes.names:
        return None
    price = float(shapes.usd_per_hour[shapes.names.index(shape.instance_type)]) * HOURS_PER_MONTH
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
        price += one.count * float(kind.monthly_usd(bought)[0])
    return price
