"""What one broker can take, limit by limit, by its processors, memory, network and disks.

Invariant: a capacity depends on the hardware alone, never on the demand; a limit that does not apply
to a shape is unlimited.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from kdeploy.planner import far, figures
from kdeploy.planner.catalogue import Floats
from kdeploy.planner.limits import COLUMNS, REBUILD

UNLIMITED: Final = np.inf
"""Capacity of a limit that does not apply to a shape."""


def replicas_capacity(vcpus: Floats) -> Floats:
    """Replicas a broker may hold, by its processors (figures.REPLICAS_PER_BROKER)."""
    cores, most = zip(*figures.REPLICAS_PER_BROKER, strict=True)
    return np.array(most, dtype=float)[np.searchsorted(np.array(cores), vcpus, side="right") - 1]


def heap(memory: Floats) -> Floats:
    """Bytes of heap: 6 GiB, at most a quarter of memory."""
    return np.minimum(figures.HEAP_LARGEST.value, memory / 4)


def page_cache(memory: Floats) -> Floats:
    """Bytes that heap and system (1 GiB) leave for the page cache."""
    return np.maximum(memory - heap(memory) - figures.SYSTEM_MEMORY.value, 1.0)


def capacities(**columns: Floats) -> Floats:
    """Stack capacity columns, (candidates, columns); a limit that is left out does not apply.

    Args:
        columns: By the name of a column, in the unit of its load.
    """
    size = max(np.size(column) for column in columns.values())
    result = np.full((size, len(COLUMNS)), UNLIMITED)
    for name, values in columns.items():
        result[:, COLUMNS.index(name)] = values
    return result


def completed(
    capacity: Floats, vcpus: Floats, memory: Floats, local: NDArray[np.bool_], in_ec2: bool = True
) -> Floats:
    """Capacities with those that follow from processors, memory and what kdeploy's tuning sets.

    Local disks read at least as fast as they write; what EBS reads and writes together is
    `disk_throughput`. Only local disks have to be filled again after a failure.

    Args:
        capacity: (candidates, columns), as a layout of disks has them.
        vcpus: Processors, by candidate.
        memory: Bytes of memory, by candidate.
        local: Whether data lies on the instance's own disks, by candidate.
        in_ec2: Whether traffic to another region is limited as EC2 limits it.
    """
    result = capacity.copy()

    def put(name: str, values: Floats | float) -> None:
        result[:, COLUMNS.index(name)] = values

    fetchers = np.clip(vcpus // 4, 1, figures.REPLICA_FETCHERS.value)
    put("partition_rate", figures.PARTITION_CEILING.value)
    put("single_flow", figures.SINGLE_FLOW.value * fetchers)
    put("far_followers", fetchers)
    put("mirror_flow", 1.0)
    if in_ec2:
        put("cross_region", far.region_capacity(capacity[:, COLUMNS.index("network_out")], vcpus))
    put("heap", heap(memory))
    put("connections", heap(memory) * figures.CONNECTIONS_SHARE.value / figures.HEAP_PER_CONNECTION.value)
    put("open_files", figures.OPEN_FILES.value)
    put("memory_maps", figures.MEMORY_MAPS.value)
    same = ("disk_write", "network_in", "disk_write", "network_out", "far_followers")
    for name, one in zip(("disk_read", *REBUILD), same, strict=True):
        put(name, np.where(local, result[:, COLUMNS.index(one)], UNLIMITED))
    return result
