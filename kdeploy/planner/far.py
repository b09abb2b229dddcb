"""What distance limits: traffic that leaves a region, and connections over a long round trip.

A connection carries at most what may be on its way at once, its socket buffer, in each round trip
(bandwidth-delay product, RFC 7323). Invariant: a load here never rises with the number of brokers by
itself, and all of them are 0 where nothing is far.
"""

from __future__ import annotations

import math

import numpy as np

from kdeploy.planner import figures
from kdeploy.planner.catalogue import Floats
from kdeploy.planner.demand import Demand, quantile
from kdeploy.planner.result import LIMITS


def loads(demand: Demand, pulled: Floats, mirrored: Floats | None) -> dict[str, Floats]:
    """Loads of the busiest broker, by column.

    cross_region: what mirroring to another region fetches from it, bytes/s.
    far_followers: bytes/s copied from one other broker × round trip ÷ socket buffer: replica fetchers that
        are kept busy by waiting, of those it has for that broker.
    mirror_flow: bytes/s that mirroring fetches from it ÷ consumers × (round trip ÷ socket buffer, at least
        1 ÷ 5 Gbit/s): share of the one connection that each of these consumers has to it; 0 where they are
        not stated, and so as many as it takes (`consumers`).

    Args:
        demand: What to carry.
        pulled: Bytes per second on the network that it copies from one other broker (`limits.flow`).
        mirrored: Bytes per second on the network that mirroring fetches from it, after the failure; None
            where nothing is mirrored.
    """
    leaving = connections = np.zeros_like(pulled)
    if mirrored is not None and demand.leaves_region:
        leaving = mirrored
    if mirrored is not None and demand.mirror_consumers is not None:
        connections = mirrored * (_to_mirrors(demand) / demand.mirror_consumers)
    waiting = pulled * (demand.round_trip / demand.socket_buffer)
    return {"cross_region": leaving, "far_followers": waiting, "mirror_flow": connections}


def connection(round_trip: float, buffer: float) -> float:
    """Connections that are kept busy for each byte per second.

    The greater of round trip ÷ socket buffer and 1 ÷ 5 Gbit/s.

    Args:
        round_trip: Seconds between both ends.
        buffer: Most bytes of a connection on their way at once.
    """
    return max(round_trip / buffer, 1 / figures.SINGLE_FLOW.value)


def _to_mirrors(demand: Demand) -> float:
    return connection(demand.mirror_round_trip, demand.socket_buffer)


def consumers(demand: Demand, mirrored: Floats | None, confidence: float) -> int | None:
    """Consumers that mirroring reads with: as stated, or the fewest that are enough; None where nothing is.

    Args:
        demand: What to carry.
        mirrored: Bytes per second on the network that mirroring fetches from the busiest broker, by sample;
            None where nothing is mirrored.
        confidence: Share of the samples in which they have to be enough.
    """
    if mirrored is None:
        return None
    most = quantile(np.ravel(mirrored), confidence) * _to_mirrors(demand)
    if most == 0 or demand.mirror_consumers is not None:
        return demand.mirror_consumers if most else None
    ceiling = demand.ceilings[LIMITS.index("mirror_flow")]
    return max(1, math.ceil(round(most / ceiling, 9)))


def region_capacity(network: Floats, vcpus: Floats) -> Floats:
    """Bytes per second that an EC2 instance sends out of its region, by baseline and processors."""
    few = np.minimum(network, figures.REGION_RATE.value)
    return np.where(vcpus >= figures.REGION_CORES, network * figures.REGION_SHARE.value, few)
