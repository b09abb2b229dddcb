"""What a drill would do now, step by step: `drill --dry-run`.

Invariant: read-only: nothing is written to either cluster or to MirrorMaker, and no lease is taken.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from kdeploy.errors import KdeployError
from kdeploy.operations import drill, drill_ways, fencing, mirroring, readiness, sides
from kdeploy.operations.progress import Silent
from kdeploy.operations.sides import Sides
from kdeploy.operations.site import Site
from kdeploy.tuning import mirror as named

if TYPE_CHECKING:
    from kdeploy.spec.load import Loaded
    from kdeploy.spec.mirroring import Mirroring

DRILL_PREVIEW_SCHEMA: Final = "kdeploy.drill-preview/v1"


@dataclass(frozen=True)
class Foreseen:
    """What a drill would do.

    Attributes:
        environment: The environment.
        mode: active-passive or active-active.
        active: The datacenter that is written to; None where all are.
        steps: What would be done, in its order.
        removes: What drills left that were killed, which would go first.
        refused: Why it would be refused, a message each with its remedy; empty where it would not.
    """

    environment: str
    mode: str
    active: str | None
    steps: tuple[str, ...] = ()
    removes: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The contract `kdeploy.drill-preview/v1`."""
        return {
            "schema": DRILL_PREVIEW_SCHEMA,
            "environment": self.environment,
            "mode": self.mode,
            "active": self.active,
            "steps": list(self.steps),
            "removes": list(self.removes),
            "refused": list(self.refused),
        }


def of_drill(loaded: Loaded, password_file: Path | None = None) -> Foreseen:
    """What `drill` would do now.

    Raises:
        UsageError: Nothing is mirrored.
        Unhealthy: Neither datacenter answers.
    """
    wanted = sides.refuse_unmirrored(loaded)
    both = sides.look(loaded, Silent(), password_file)
    found = Foreseen(loaded.environment.name, wanted.mode, both.direction.active or None)
    try:
        drill_ways.refuse_early(both, wanted)
    except KdeployError as error:
        return replace(found, refused=(str(error),))
    return replace(found, steps=tuple(_steps(both, wanted)), removes=tuple(sorted(set(_left(both)))))


def _steps(both: Sides, wanted: Mirroring) -> Iterator[str]:
    if both.many:
        yield from _steps_among(both, wanted)
        return
    source, target = drill_ways.way(both)
    here, there = source.cluster.datacenter, target.cluster.datacenter
    passive = wanted.mode == "active-passive"
    yield _canary(here, there, drill.WRITES_FOR, "the mirror that carries everybody's")
    if passive:
        yield f"take the canary's own right in {here}, and look at the {_changes(source, '')} that fence it"
        yield f"wait until all of the canary is in {there}"
    yield f"commit an offset for the canary's group in {here}, and see where it goes on in {there}"
    if passive:
        connector = named.drill(there, here)
        half = drill.WRITES_FOR / 2
        yield _canary(there, here, half, f"connector {connector}, which carries nothing else")
        yield f"stop connector {connector}"
        yield "write a decision's worth of records to the canary of each side"
        yield f"give the canary's own right in {there}, and look at the {_changes(target, there)} that open it"
    else:
        yield _canary(there, here, drill.WRITES_FOR, "the mirror that carries everybody's")
        yield "write a decision's worth of records to the canary of each side"
    yield "remove all of it, on both sides"


def _steps_among(both: Sides, wanted: Mirroring) -> Iterator[str]:
    passive = wanted.mode == "active-passive"
    for one, others in drill_ways.ways(both, wanted):
        here, there = one.cluster.datacenter, " and ".join(other.cluster.datacenter for other in others)
        yield _canary(here, there, drill.WRITES_FOR, "the mirrors that carry everybody's")
        if passive:
            yield f"take the canary's own right in {here}, and look at the {_changes(one, '')} that fence it"
            yield f"wait until all of the canary is in {there}"
        yield f"commit an offset for the canary's group in {here}, and see where it goes on in {there}"
    back = drill_ways.ways_back(both) if passive else ()
    for one, active in back:
        here, there = one.cluster.datacenter, active.cluster.datacenter
        connector = named.drill(here, there)
        yield _canary(here, there, drill.WRITES_FOR / 2, f"connector {connector}, which carries nothing else")
        yield f"stop connector {connector}"
    yield "write a decision's worth of records to the canary of each datacenter"
    for one, _ in back:
        there = one.cluster.datacenter
        yield f"give the canary's own right in {there}, and look at the {_changes(one, there)} that open it"
    yield "remove all of it, in every datacenter"


def _canary(here: str, there: str, seconds: float, by: str) -> str:
    return f"make a canary topic in {here}, write to it for {seconds:g} s, and follow it to {there} by {by}"


def _changes(here: Site, written: str) -> str:
    with readiness.connected(here) as admin:
        count = len(fencing.rights(replace(here, written=written), admin).changes)
    return f"{count:,} change{'' if count == 1 else 's'} of access lists"


def _left(both: Sides) -> Iterator[str]:
    """Names of what drills left that do not run any more."""
    from kdeploy.cluster import canary

    with ExitStack() as stack:
        for one in both.sites:
            admin = stack.enter_context(readiness.connected(one))
            yield from filter(canary.abandoned, canary.there(admin))
            here, known = one.cluster.datacenter, mirroring.connect(one).connectors()
            others = (other.cluster.datacenter for other in both.sites if other is not one)
            yield from (name for other in others if (name := named.drill(other, here)) in known)
