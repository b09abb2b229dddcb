"""What distance limits: traffic that leaves a region, and connections over a long round trip.

A connection carries at most what may be on its way at once, its socket buffer, in each round trip
(bandwidth-delay product, RFC 7323). Invariant: a load here never rises with the number of brokers by
itself, and all of them are 0 where nothing is far.
"""

from __future__ import annotations

import numpy as np

from kdeploy.planner import figures
from kdeploy.planner.catalogue import Floats
from kdeploy.planner.demand import Demand


def loads(demand: Demand, pulled: Floats, mirrored: Floats) -> dict[str, Floats]:
    """Loads of the busiest broker, by column.

    cross_region: what mirroring to another region fetches from it, bytes/s.
    far_followers: bytes/s copied from one other broker × round trip ÷ socket buffer: replica fetchers that
        are kept busy by waiting, of those it has for that broker.
    mirror_flow: bytes/s that mirroring fetches from it ÷ consumers × (round trip ÷ socket buffer, at least
        1 ÷ 5 Gbit/s): share of the one connection that each of these consumers has to it.

    Args:
        demand: What to carry.
        pulled: Bytes per second on the network that it copies from one other broker (`limits.flow`).
        mirrored: Bytes per second on the network that mirroring fetches from it, after the failure.
    """
    each = max(demand.mirror_round_trip / demand.socket_buffer, 1 / figures.SINGLE_FLOW.value)
    return {
        "cross_region": mirrored if demand.leaves_region else 0.0 * mirrored,
        "far_followers": pulled * (demand.round_trip / demand.socket_buffer),
        "mirror_flow": mirrored / demand.mirror_consumers * each,
    }


def region_capacity(network: Floats, vcpus: Floats) -> Floats:
    """Bytes per second that an EC2 instance sends out of its region, by baseline and processors."""
    few = np.minimum(network, figures.REGION_RATE.value)
    return np.where(vcpus >= figures.REGION_CORES, network * figures.REGION_SHARE.value, few)
