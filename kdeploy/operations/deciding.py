"""What follows a decision whichever it is: it is kept wherever it can be, and clients' files follow it; and what was done, timed.

Invariant: a decision is kept in the clusters that answer alone; one that was away learns it from any other.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from kdeploy.errors import KdeployError
from kdeploy.operations import mirroring, places, readiness, switching
from kdeploy.operations.failover_report import Report, Step, with_loss
from kdeploy.operations.progress import Progress
from kdeploy.operations.sides import Sides
from kdeploy.operations.site import Site

if TYPE_CHECKING:
    from kdeploy.cluster.direction import Direction
    from kdeploy.spec.mirroring import Mirroring


@dataclass
class Clock:
    """Times what is done, a step after the other."""

    progress: Progress
    began: float = field(default_factory=time.monotonic)
    steps: list[Step] = field(default_factory=list)

    def done(self, what: str) -> None:
        """Note that a step is done."""
        before = self.began + sum(step.seconds or 0.0 for step in self.steps)
        self.steps.append(Step(what, time.monotonic() - before))
        self.progress.step("failover", what)


def keep_everywhere(both: Sides, found: Direction, first: str | None = None) -> None:
    """Keep a decision in every cluster that answers, in that of one datacenter first."""
    ordered = sorted(both.sites, key=lambda one: one.cluster.datacenter != (first or found.active))
    for one in ordered:
        if one.cluster.datacenter in both.alive:
            with readiness.connected(one) as admin:
                keep(admin, found)
    mirroring.hear(ordered[0].design.loaded.environment.name, found)


def keep(admin: Any, found: Direction) -> None:  # noqa: ANN401 - Admin
    """Keep a decision in a cluster."""
    from kdeploy.cluster import direction

    direction.keep(admin, found)


def told_of_loss(report: Report, both: Sides, wanted: Mirroring) -> Report:
    """A report with what is lost by the decision, as far as can be told; what was done is not undone by not knowing."""
    from kdeploy.cluster.failure import ClusterError

    direction, source, target = both.direction, both.of(report.source), both.of(report.target)
    since = direction.since or datetime.now(UTC)
    try:
        return with_loss(report, switching.lost(source, target, wanted, since, direction.ends))
    except ClusterError as error:
        target.progress.step("failover", f"how much is lost is not known: {str(error).splitlines()[0]}")
        return report


def hand_out(here: Site) -> None:
    """On this machine clients' files are there already, and follow who is written to."""
    loaded = here.design.loaded
    if places.is_local(loaded):
        from kdeploy.operations.clients import hand_out as write

        try:
            write(loaded)
        except KdeployError as error:  # who is written to is decided all the same
            said = f"clients' files are as they were: {str(error).splitlines()[0]}"
            here.progress.step("failover", f"{said}; `kdeploy clients {loaded.environment.name}` writes them")
