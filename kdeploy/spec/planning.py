"""How a person wants the planner to decide: ceilings, imbalance, terms of purchase, confidence.

Invariant: only what is wanted; what a limit is, and its default ceiling, the planner knows.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from kdeploy.spec.frozen import Frozen
from kdeploy.units import Bytes, Seconds, Share

LimitName = Literal[
    "network_in",
    "network_out",
    "disk_write",
    "disk_throughput",
    "disk_iops",
    "disk_space",
    "memory",
    "cpu",
    "partitions",
    "disk_read",
    "partition_rate",
    "single_flow",
    "heap",
    "connections",
    "open_files",
    "memory_maps",
    "cross_region",
    "far_followers",
    "mirror_flow",
    "rebuild",
]
"""The planner's limits, a closed list: a later model may add to it, never rename."""


class Planner(Frozen):
    """How the planner decides: what may be used up, what counts as enough, and on what terms."""

    ceilings: dict[LimitName, Annotated[Share, Field(gt=0, le=1)]] = {}
    """The most of a limit that a plan uses, for limits that are named; docs/planner.md has the defaults."""

    utilisation: Annotated[Share, Field(gt=0, le=1)] | None = None
    """The same for every limit that is not named under ceilings."""

    imbalance: Annotated[float, Field(ge=1, le=10)] = 1.2
    """Load of the busiest broker over the average broker."""

    tls: bool | None = None
    """Whether clients encrypt; left out, as security.client_listener says."""

    rebuild_time: Annotated[Seconds, Field(gt=0, le=3.2e9)] = 4 * 3600.0
    """Within which a lost broker's local disks have to be filled again; EBS volumes are reattached."""

    round_trip: Annotated[Seconds, Field(gt=0, le=60)] = 0.001
    """Between the racks that are farthest apart; more where one cluster stretches over distant places."""

    socket_buffer: Annotated[Bytes, Field(ge=1024, le=2**32)] = 16 * 2.0**20
    """Most bytes of a connection on their way at once; 64KiB where something sets Kafka's own socket buffers."""

    follower_fetching: bool = False
    """Whether consumers read from the nearest copy (KIP-392), so that reads do not cross zones."""

    price_discount: Annotated[Share, Field(ge=0, lt=1)] = 0.0
    """What is paid less for instances and volumes than the list says."""

    max_brokers: Annotated[int, Field(ge=1, le=2000)] | None = None
    """Most brokers of a datacenter; left out, 1,000."""

    confidence: Annotated[Share, Field(gt=0, le=1)] = 0.95
    """Probability with which a plan has to hold, where quantities are ranges."""

    samples: Annotated[int, Field(ge=100, le=1_000_000)] = 10_000
    """Samples drawn, where quantities are ranges."""

    seed: Annotated[int, Field(ge=0, le=2**32 - 1)] = 1
    """Seed of the samples; the same seed gives the same plan."""
