"""How often what a datacenter's applications write is read out of it, where there are three datacenters and more.

Invariant: pure; of two it is once, as before there were more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kdeploy.spec.mirroring import Mirroring
    from kdeploy.spec.model import Datacenter, Environment


def of_one_link(environment: Environment) -> tuple[float, float]:
    """What each other datacenter reads of all that is mirrored out of one, as shares of that: usually, and with one lost.

    With two there is but one that reads. Of more that are all written to, a lost one's clients come to one of the others,
    which then has the survivor's share of it to mirror as well. Of active-passive each that stands by reads all that is
    written, wherever that is. Rates that the workload states are dealt out evenly.
    """
    others, mirroring = len(environment.datacenters) - 1, environment.mirroring
    if others < 2 or mirroring is None:
        return 1.0, 1.0
    if environment.workload.mirrored_out or mirroring.mode == "active-passive":
        return 1 / others, 1 / others
    times = times_read(others, mirroring)
    return 1 / times, (1 + mirroring.survivor_share) / times


def times_read(others: int, mirroring: Mirroring) -> float:
    """How often what a datacenter's own applications write is read out of it.

    By all others; of active-active also, with one of these lost and its clients here, by the rest.

    Args:
        others: Datacenters besides it.
        mirroring: How they mirror.
    """
    if others < 2 or mirroring.mode == "active-passive":
        return others
    return max(others, (others - 1) * (1 + mirroring.survivor_share))


def usual_shares(environment: Environment, datacenter: Datacenter) -> tuple[float, float] | None:
    """`Demand.usual`: what is priced, without the clients of a lost datacenter."""
    others = [one for one in environment.datacenters if one.name != datacenter.name]
    if len(others) < 2 or environment.mirroring is None:
        return None
    each, abroad = of_one_link(environment)[0], sum(one.region != datacenter.region for one in others)
    return each * abroad, each * (len(others) - abroad)
