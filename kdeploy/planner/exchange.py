"""How often what a datacenter's applications write is read out of it, where three and more mirror each other.

Invariant: pure; of two it is once, as before there were more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kdeploy.spec.model import Datacenter, Environment


def of_one_link(environment: Environment) -> tuple[float, float]:
    """What each other datacenter reads of all that is mirrored out of one, as shares of that: usually, and with one lost.

    With two there is but one that reads. Of more, a lost one's clients come to one of the others, which then has the
    survivor's share of it to mirror as well. Rates that the workload states are dealt out evenly.
    """
    others = len(environment.datacenters) - 1
    if others < 2 or environment.mirroring is None:
        return 1.0, 1.0
    if environment.workload.mirrored_out:
        return 1 / others, 1 / others
    share = environment.mirroring.survivor_share
    return 1 / times_read(others, share), (1 + share) / times_read(others, share)


def times_read(others: int, share: float) -> float:
    """How often what a datacenter's own applications write is read out of it: by all others, or, with one of these lost and
    its clients here, by the rest.
    """
    return max(others, (others - 1) * (1 + share))


def usual_shares(environment: Environment, datacenter: Datacenter) -> tuple[float, float] | None:
    """`Demand.usual`: what is priced, without the clients of a lost datacenter."""
    others = [one for one in environment.datacenters if one.name != datacenter.name]
    if len(others) < 2 or environment.mirroring is None:
        return None
    each, abroad = of_one_link(environment)[0], sum(one.region != datacenter.region for one in others)
    return each * abroad, each * (len(others) - abroad)
