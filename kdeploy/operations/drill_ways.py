"""Which ways a drill goes between datacenters, and what keeps it from going any.

Invariant: only looks at what is known of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kdeploy.errors import KdeployError, Unhealthy
from kdeploy.operations.sides import Sides
from kdeploy.operations.site import Site

if TYPE_CHECKING:
    from kdeploy.spec.mirroring import Mirroring


def refuse_early(both: Sides, wanted: Mirroring) -> None:
    """Refuse what a drill could not do, before anything is written.

    Raises:
        Unhealthy: A datacenter does not answer.
        KdeployError: One was lost and has not been given back.
    """
    name = both.sites[0].design.loaded.environment.name
    silent = [one.cluster.datacenter for one in both.sites if not both.answers(one)]
    if silent and both.many:
        lost = "" if wanted.mode == "active-passive" else f"--from {silent[0]} "
        raise Unhealthy(
            f"{silent[0]} does not answer, and a drill needs every datacenter\n"
            f"  bring it up with `kdeploy up {name}`; where this is no drill, "
            f"`kdeploy failover {name} {lost}--to DATACENTER`"
        )
    if silent:
        raise Unhealthy(
            f"{silent[0]} does not answer, and a drill needs both datacenters\n"
            f"  bring it up with `kdeploy up {name}`; where this is no drill, "
            f"`kdeploy failover {name} --to {both.other(silent[0]).cluster.datacenter}`"
        )
    if wanted.mode == "active-passive" and (left := _left(both)):
        raise KdeployError(
            f"{left} and is not mirrored to since, so there is nothing to drill\n"
            f"  give it back first: `kdeploy failback {name}`"
        )


def _left(both: Sides) -> str:
    """Of one that nothing is mirrored to, that it was lost or left; empty where there is none."""
    if not both.many:
        lost = both.other(both.direction.active).cluster.datacenter
        return "" if both.direction.planned else f"{lost} was lost"
    return next((f"{one} was left" for one in both.direction.apart or {}), "")


def ways(both: Sides, wanted: Mirroring) -> tuple[tuple[Site, tuple[Site, ...]], ...]:
    """Each datacenter that is written to, or the one that is, with those that its canary is followed to."""
    if both.many:
        every = tuple((one, tuple(other for other in both.sites if other is not one)) for one in both.sites)
        return tuple(one for one in every if both.direction.active in ("", one[0].cluster.datacenter))
    source, target = way(both)
    forth, back = (source, (target,)), (target, (source,))
    return (forth, back) if wanted.mode == "active-active" else (forth,)


def way(both: Sides) -> tuple[Site, Site]:
    """Of two, the datacenter that is written to, or the first one, and the other one."""
    first = both.direction.active or both.sites[0].cluster.datacenter
    return both.of(first), both.other(first)


def ways_back(both: Sides) -> tuple[tuple[Site, Site], ...]:
    """Each that stands by, with the one that is written to (active-passive)."""
    active = both.of(both.direction.active)
    return tuple((one, active) for one in both.sites if one is not active)
