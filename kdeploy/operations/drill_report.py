"""What a drill came to: a value, its judgement against the objectives, and its JSON contract.

Invariant: pure; what was not measured is None, and an objective that nothing was measured for is not met.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from kdeploy.operations.failover_report import Behind, Step

DRILL_SCHEMA: Final = "kdeploy.drill/v1"


@dataclass(frozen=True)
class GroupDrilled:
    """The canary's consumer group.

    Attributes:
        committed: What it committed at the source: records that it has read.
        goes_on: Records before where it goes on at the target; None where it was not translated in time.
        seconds: From the commit until it was there; None where it was not.
    """

    committed: int
    goes_on: int | None
    seconds: float | None


@dataclass(frozen=True)
class DirectionDrilled:
    """One direction.

    Attributes:
        source: The datacenter that canary records were written in.
        target: The one in which they were waited for.
        mirrored_now: Whether applications' topics are mirrored this way, and the same connector carried the canary.
        written: Canary records that the source acknowledged.
        arrived: Different ones of them that came.
        doubled: Records that came more than once.
        delays: Seconds of each from acknowledged to readable on the other side, in ascending order.
        unmirrored: Most canary records that at any moment were acknowledged and not on the other side.
        behind: How far topics of applications are behind; None where none are mirrored this way.
        group: The canary's group; None where it was not drilled.
    """

    source: str
    target: str
    mirrored_now: bool
    written: int
    arrived: int
    doubled: int
    delays: tuple[float, ...]
    unmirrored: int
    behind: Behind | None = None
    group: GroupDrilled | None = None

    def delay(self, share: float) -> float | None:
        """The delay that this share of records did not exceed; None where none came."""
        return quantile(self.delays, share)

    def to_json(self) -> dict[str, Any]:
        """JSON values."""
        return {
            "source": self.source,
            "target": self.target,
            "mirrored_now": self.mirrored_now,
            "written": self.written,
            "arrived": self.arrived,
            "doubled": self.doubled,
            "p50_seconds": _rounded(self.delay(0.5)),
            "p99_seconds": _rounded(self.delay(0.99)),
            "max_seconds": _rounded(self.delay(1.0)),
            "unmirrored_records": self.unmirrored,
            "behind": self.behind
            and {"records": self.behind.records, "seconds": _rounded(self.behind.seconds)},
            "group": self.group
            and {
                "committed": self.group.committed,
                "goes_on": self.group.goes_on,
                "seconds": _rounded(self.group.seconds),
            },
        }


@dataclass(frozen=True)
class Drilled:
    """A whole drill.

    Attributes:
        environment: The environment.
        mode: active-passive or active-active.
        active: The datacenter that is written to; None where all are.
        rpo: The objective in seconds.
        rto: The same of time.
        directions: Each direction; first the one that is mirrored now.
        steps: The steps of a failover, each with how long it took.
        problems: What did not go as it should, a sentence each.
        removed: Names of what a drill that was killed had left.
    """

    environment: str
    mode: str
    active: str | None
    rpo: float
    rto: float
    directions: tuple[DirectionDrilled, ...]
    steps: tuple[Step, ...]
    problems: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()

    @property
    def recovery_point(self) -> float | None:
        """Seconds of records that would be lost at worst: of canaries the longest delay, of real topics the lag."""
        of_now = [one for one in self.directions if one.mirrored_now]
        worst = [one.delay(1.0) for one in of_now]
        if not worst or None in worst or any(one.arrived < one.written for one in of_now):
            return None
        lags = [one.behind.seconds for one in of_now if one.behind and one.behind.records]
        return max(one for one in (*worst, *lags) if one is not None)

    @property
    def recovery_time(self) -> float | None:
        """Seconds that a failover would take; None where a step could not be timed."""
        times = [one.seconds for one in self.steps]
        return None if not times or None in times else sum(one for one in times if one is not None)

    @property
    def keeps_rpo(self) -> bool:
        """Whether the recovery point objective is met."""
        return self.recovery_point is not None and self.recovery_point <= self.rpo

    @property
    def keeps_rto(self) -> bool:
        """Whether the recovery time objective is met."""
        return self.recovery_time is not None and self.recovery_time <= self.rto

    @property
    def ok(self) -> bool:
        """Whether both objectives are met and nothing else was wrong."""
        return self.keeps_rpo and self.keeps_rto and not self.problems

    def to_json(self) -> dict[str, Any]:
        """The contract `kdeploy.drill/v1`."""
        return {
            "schema": DRILL_SCHEMA,
            "environment": self.environment,
            "mode": self.mode,
            "active": self.active,
            "ok": self.ok,
            "rpo": _objective(self.rpo, self.recovery_point, met=self.keeps_rpo),
            "rto": _objective(self.rto, self.recovery_time, met=self.keeps_rto),
            "directions": [one.to_json() for one in self.directions],
            "steps": [{"what": one.what, "seconds": _rounded(one.seconds)} for one in self.steps],
            "problems": list(self.problems),
            "removed": list(self.removed),
        }


def quantile(ordered: Sequence[float], share: float) -> float | None:
    """The least of ordered values that at least this share of them does not exceed; None of none.

    Example:
        >>> quantile([1.0, 2.0, 3.0, 4.0], 0.5)
        2.0
    """
    if not ordered:
        return None
    return ordered[max(0, -int(-share * len(ordered) // 1) - 1)]


def _objective(objective: float, seconds: float | None, *, met: bool) -> dict[str, Any]:
    return {"objective_seconds": objective, "seconds": _rounded(seconds), "met": met}


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 3)
