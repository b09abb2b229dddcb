"""Active-active among three datacenters and more: whose clients are handed which one, when one of them is lost and given back.

    failover:   the one that is lost, by name or as the only one that does not answer → decide where its clients go → hand out
    failback:   every one that was left and answers → decide that its clients have it again → hand out

All are written to and each mirrors every other one, so nobody is fenced and no mirror is stopped: what was acknowledged in
a datacenter that is lost is mirrored when it is back, and what old clients still write there is mirrored like the rest.
With two, `kdeploy.operations.failover` sends everybody to one of them, in the same way.

Invariant: clients of a datacenter that nobody named or lost stay where they are; where it is in doubt whose are meant,
nothing is decided.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from kdeploy.errors import KdeployError, Unhealthy, UsageError
from kdeploy.operations import deciding, mirroring, sides, switching
from kdeploy.operations.deciding import Clock
from kdeploy.operations.failover_report import Report, with_groups
from kdeploy.operations.killpoint import kill_point
from kdeploy.operations.sides import Sides
from kdeploy.operations.site import Site

if TYPE_CHECKING:
    from kdeploy.cluster.direction import Direction
    from kdeploy.spec.mirroring import Mirroring


def elsewhere(both: Sides) -> dict[str, str]:
    """By datacenter whose clients are sent elsewhere, where to."""
    where = mirroring.clients_of(both.direction, both.sites[0].datacenters)
    return {one: other for one, other in where.items() if one != other}


def after(moved: Mapping[str, str], lost: str, to: str) -> dict[str, str]:
    """Where clients are sent once those of one datacenter, and those it had taken, go to another, which has its own again.

    Example:
        >>> after({"east": "north"}, "north", "west")
        {'east': 'west', 'north': 'west'}
    """
    found = {one: to if other == lost else other for one, other in moved.items()} | {lost: to}
    found.pop(to, None)
    return found


def leaving(both: Sides, to: str, lost: str | None) -> str:
    """The datacenter whose clients are to go elsewhere: the one that is named, or else the only one that does not answer.

    Raises:
        UsageError: It is in doubt which one that is.
    """
    if lost is not None:
        return lost
    names = both.sites[0].datacenters
    silent = [one for one in names if one not in both.alive and one != to]
    if len(silent) == 1:
        return silent[0]
    there = [one for one, other in elsewhere(both).items() if other == to]
    if not silent and len(there) == 1 and both.settling is None:
        return there[0]  # as it was decided before: the same again finishes it
    environment = both.sites[0].design.loaded.environment.name
    why = f"{' and '.join(silent)} do not answer" if silent else "every other datacenter answers"
    which = silent or [one for one in names if one != to]
    raise UsageError(
        f"{why}, so it has to be said whose clients {to} is to take\n"
        f"  name it: kdeploy failover {environment} --from {'|'.join(which)} --to {to}"
        + (", once for each" if silent else "")
    )


def hand_over(both: Sides, wanted: Mirroring, to: str, lost: str | None, clock: Clock) -> Report:
    """Have a datacenter take the clients of one that is lost, or left; the others' stay where they are.

    Raises:
        UsageError: It is in doubt whose clients are meant.
        Unhealthy: The target is not fit to take them.
    """
    sides.refuse_silent(both.of(to), both)
    here = leaving(both, to, lost)
    target, source = both.of(to), both.of(here)
    sides.refuse_unfit(target, both)
    planned = both.answers(source)
    before = elsewhere(both)
    already = before.get(here) == to and both.settling is None
    seen = None if already else switching.warn_behind(source if planned else None, target, wanted, source)
    found = both.direction
    if not already:
        found = _decide(both, after(before, here, to), first=to, planned=planned)
        kill_point("failover-decided")
    clock.done(f"clients of {here} are handed out {to}, as number {found.epoch}")
    rto = time.monotonic() - clock.began
    deciding.hand_out(target)
    both = replace(both, direction=found, settling=None)
    report = Report(
        environment=target.design.loaded.environment.name,
        source=here,
        target=to,
        planned=planned,
        epoch=found.epoch,
        rto=rto,
        rpo=0.0,
        lost=0,
        steps=tuple(clock.steps),
        already=already,
        handed=elsewhere(both),
    )
    report = with_groups(report, seen)
    return report if planned else deciding.told_of_loss(report, both, wanted)


def _decide(both: Sides, moved: Mapping[str, str], first: str | None, *, planned: bool) -> Direction:
    """Keep in every cluster that answers whose clients are sent elsewhere."""
    from kdeploy.cluster.direction import Direction

    # What settles a disagreement has its number already.
    epoch = both.direction.epoch + (both.settling is None)
    found = Direction(epoch, mirroring.EVERYWHERE, datetime.now(UTC), planned, moved=moved)
    deciding.keep_everywhere(both, found, first=first)
    return found


def returning(both: Sides) -> tuple[tuple[Site, ...], tuple[Site, ...]]:
    """Datacenters that were left and answer, whose clients have them again; and those that do not answer yet.

    Raises:
        KdeployError: None was left.
        Unhealthy: None of those that were answers, or one that does is not well.
    """
    environment = both.sites[0].design.loaded.environment.name
    left = [both.of(one) for one in elsewhere(both)]
    if not left:
        raise KdeployError(
            f"{environment} is where it was declared to be: every datacenter is written to\n"
            "  there is nothing to give back; `kdeploy failover --to` moves clients"
        )
    back = tuple(one for one in left if both.answers(one))
    if not back:
        names = [one.cluster.datacenter for one in left]
        raise Unhealthy(
            f"{' and '.join(names)} {'does' if len(names) == 1 else 'do'} not answer, so nothing can be given back\n"
            f"  bring up what can be with `kdeploy up {environment}`; then run this again"
        )
    for one in back:
        sides.refuse_unfit(one, both)
    return back, tuple(one for one in left if one not in back)


def give_back(both: Sides, clock: Clock) -> Report:
    """Give every datacenter that was left and answers its clients back.

    Raises:
        KdeployError: None was left.
        Unhealthy: None of those answers, or one is not well.
    """
    already = both.direction.epoch > 0 and both.direction.planned and not elsewhere(both)
    found, names = both.direction, ""
    if not already:
        back, left = returning(both)
        before, names = elsewhere(both), " and ".join(one.cluster.datacenter for one in back)
        moved = {one.cluster.datacenter: before[one.cluster.datacenter] for one in left}
        found = _decide(both, moved, first=None, planned=True)
        kill_point("failback-decided")
        for one in left:
            here = one.cluster.datacenter
            clock.progress.step("failover", f"{here} does not answer, and its clients stay in {before[here]}")
        clock.done(f"clients of {names} are handed out their own again, as number {found.epoch}")
    else:
        clock.done(f"every datacenter is handed out, as number {found.epoch}")
    deciding.hand_out(both.sites[0])
    both = replace(both, direction=found)
    name = both.sites[0].design.loaded.environment.name
    rto = None if already else time.monotonic() - clock.began
    steps = tuple(clock.steps)
    return Report(
        name, names, "", True, found.epoch, rto, 0.0, 0, steps, already=already, handed=elsewhere(both)
    )
