"""`failback`: the datacenter that was written to before has its place again, and every one that was left takes part again.

    fence the one that is taken back → export what it alone has → mirror to it what was written since → as planned, back

Invariant: as of `operations.failover`; nothing that one alone has is passed over: it is counted, and written to files,
before anything is mirrored to it.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from kdeploy.errors import KdeployError, Unhealthy
from kdeploy.operations import (
    deciding,
    failover,
    fencing,
    handing,
    mirroring,
    places,
    sides,
    standbys,
    switching,
)
from kdeploy.operations.deciding import Clock
from kdeploy.operations.failover_report import Report
from kdeploy.operations.killpoint import kill_point
from kdeploy.operations.lease import lease
from kdeploy.operations.progress import Progress
from kdeploy.operations.sides import Sides
from kdeploy.operations.site import Site
from kdeploy.operations.standing import told
from kdeploy.spec.mirrored import written_first

if TYPE_CHECKING:
    from kdeploy.spec.load import Loaded
    from kdeploy.spec.mirroring import Mirroring


def failback(
    loaded: Loaded,
    progress: Progress,
    password_file: Path | None = None,
    *,
    export: Path | None = None,
    patience: float | None = None,
) -> Report:
    """Give the datacenter that was written to before its place back.

    Args:
        loaded: The environment.
        progress: Where to report.
        password_file: File with the vault's password.
        export: Folder for the records that it alone has; in the state folder when left out.
        patience: Seconds in which it has to catch up; a day when left out.

    Raises:
        UsageError: Nothing is mirrored.
        KdeployError: It is where it was, or the old primary cannot be read.
    """
    environment = loaded.environment
    wanted = sides.refuse_unmirrored(loaded)
    within = 86400.0 if patience is None else patience
    with lease(places.state_folder(environment.name), "failback"), told(environment.name, progress):
        clock = Clock(progress)
        with sides.held(loaded, "failback", progress, password_file) as both:
            if both.many and wanted.mode == "active-active":
                return handing.give_back(both, clock)
            if sides.is_returned(loaded, both):
                return _finish_return(both, wanted, clock)
            if both.many:
                refuse_early(loaded, both)
                return _failback_of_many(both, wanted, clock, export, within)
            source, target = sides.refuse_returned(loaded, both)
            if wanted.mode == "active-active":
                return _back_to_all(both, clock, source, target)
            return _failback(both, wanted, source, target, clock, export, within)


def _failback(
    both: Sides,
    wanted: Mirroring,
    source: Site,
    target: Site,
    clock: Clock,
    export: Path | None,
    within: float,
) -> Report:
    """From `source`, that is written to, to `target`, that was before; one that was lost away from home is taken back."""
    away, home = source.cluster.datacenter, target.cluster.datacenter
    direction, exported = both.direction, None
    _refuse_unreturnable(both, source, target, wanted)
    fencing.fence(target)
    clock.done(f"{home} is fenced: nobody may write mirrored topics there")
    kill_point("failback-fenced")
    if not direction.planned:
        switching.finish_transactions(target, wanted, within)
        exported = switching.export(target, direction, wanted, export, clock.done)
        kill_point("failback-exported")
        direction = replace(direction, epoch=direction.epoch + 1, planned=True, since=datetime.now(UTC))
        deciding.keep_everywhere(both, direction)
        clock.done(f"{home} takes part again, as number {direction.epoch}")
        kill_point("failback-readmitted")
    both = replace(both, direction=direction)
    mirroring.bring_up([replace(one, written=away) for one in both.sites], direction, rolling_too=False)
    clock.done(f"{home} is mirrored from {away}")
    kill_point("failback-mirrored")
    switching.catch_up(source, target, wanted, within)
    clock.done(f"{home} has caught up")
    if away == written_first(source.design.loaded.environment):
        deciding.hand_out(source)
        name, steps = source.design.loaded.environment.name, tuple(clock.steps)
        report = Report(name, away, away, True, direction.epoch, None, 0.0, 0, steps, returned=home)
    else:
        report = failover.switch(both, wanted, home, clock, accept_loss=False, within=wanted.rto)
    return replace(report, exported=exported)


def _failback_of_many(
    both: Sides, wanted: Mirroring, clock: Clock, export: Path | None, within: float
) -> Report:
    """Take back those that are apart and answer, and give the one that was written to first its place, where it is well."""
    back = returning(both)
    away, home = both.direction.active, written_first(both.sites[0].design.loaded.environment)
    source = both.of(away)
    for one in back:
        _refuse_unreturnable(both, source, one, wanted)
    if not back:  # one that was killed may have let somebody take part whom nothing is mirrored to yet
        live = [replace(one, written=away) for one in both.sites if both.answers(one)]
        mirroring.bring_up(live, both.direction, rolling_too=False)
        refuse_nothing(both)
    both, returned = _take_back_all(both, back, wanted, clock, export, within)
    taken_back = tuple(one.name for one in returned)
    exported = exported_in([one.exported for one in returned])
    if home and home != away and both.direction.lets(away, home) and both.answers(both.of(home)):
        switching.catch_up(source, both.of(home), wanted, within)
        report = failover.switch(both, wanted, home, clock, accept_loss=False, within=wanted.rto)
        return replace(report, exported=exported, taken_back=taken_back)
    deciding.hand_out(source)
    name, steps = source.design.loaded.environment.name, tuple(clock.steps)
    report = Report(name, away, away, True, both.direction.epoch, None, 0.0, 0, steps)
    returned_names = " and ".join(taken_back)
    return replace(report, exported=exported, returned=returned_names, taken_back=taken_back)


def _finish_return(both: Sides, wanted: Mirroring, clock: Clock) -> Report:
    """All that follows from a failback that was decided before, as where it was killed since."""
    home = both.direction.active
    if wanted.mode == "active-passive":
        sides.refuse_silent(both.of(home), both)
        return failover.finish(both, wanted, home, clock)[0]
    for one in both.sites:
        deciding.hand_out(one)
    clock.done(f"every datacenter is handed out, as number {both.direction.epoch}")
    name = both.sites[0].design.loaded.environment.name
    steps = tuple(clock.steps)
    return Report(name, "", "", True, both.direction.epoch, None, 0.0, 0, steps, already=True)


def _refuse_unreturnable(both: Sides, source: Site, target: Site, wanted: Mirroring) -> None:
    """Refuse, before anything is changed, what a failback would stop at half-way, or not take along."""
    sides.refuse_unfit(target, both)
    for one in (target, source):
        if left := failover.losing(one, wanted):
            raise switching.Behind(f"{left}; nothing was changed")


def _back_to_all(both: Sides, clock: Clock, source: Site, target: Site) -> Report:
    from kdeploy.cluster.direction import Direction

    found = Direction(both.direction.epoch + 1, mirroring.EVERYWHERE, datetime.now(UTC), planned=True)
    deciding.keep_everywhere(both, found)
    clock.done(f"every datacenter is handed out again, as number {found.epoch}")
    for one in (source, target):
        deciding.hand_out(one)
    name, here = source.design.loaded.environment.name, source.cluster.datacenter
    rto = time.monotonic() - clock.began
    return Report(name, here, "", True, found.epoch, rto, 0.0, 0, tuple(clock.steps))


def refuse_early(loaded: Loaded, both: Sides) -> None:
    """Refuse, of three and more, a failback of what never moved, or while the one that takes over gathers what others have.

    Raises:
        KdeployError: It is so.
        Unhealthy: The one that is written to does not answer.
    """
    sides.refuse_at_home(loaded, both)
    source = both.of(both.direction.active)
    sides.refuse_silent(source, both)
    if both.direction.gathers:
        raise KdeployError(standbys.gathering(source))


def returning(both: Sides) -> tuple[Site, ...]:
    """Those that are apart and answer."""
    return tuple(both.of(one) for one in both.direction.apart or {} if one in both.alive)


def refuse_nothing(both: Sides) -> None:
    """Refuse where nobody that is apart answers, and the one that was written to first cannot have its place either.

    Raises:
        Unhealthy: It is so; names those that do not answer.
    """
    direction = both.direction
    home = written_first(both.sites[0].design.loaded.environment) or direction.active
    if home != direction.active and direction.lets(direction.active, home) and home in both.alive:
        return
    silent = [one for one in both.sites[0].datacenters if one not in both.alive]
    listed, name = " and ".join(silent), both.sites[0].design.loaded.environment.name
    raise Unhealthy(
        f"{listed} {'does' if len(silent) == 1 else 'do'} not answer, so nothing can be given back\n"
        f"  bring up what can be with `kdeploy up {name}`; then run this again"
    )


@dataclass(frozen=True)
class _Returned:
    """One that takes part again.

    Attributes:
        name: The datacenter.
        exported: Folder with what it alone had, and how many records that is.
    """

    name: str
    exported: tuple[str, int]


def _take_back_all(
    both: Sides,
    back: tuple[Site, ...],
    wanted: Mirroring,
    clock: Clock,
    export: Path | None,
    within: float,
) -> tuple[Sides, tuple[_Returned, ...]]:
    """Fence those that are apart, export what each alone has, and mirror to them what was written since.

    Args:
        both: All of them.
        back: Those that are taken back.
        wanted: What is mirrored.
        clock: Hears of each part.
        export: Folder for what they alone have, in which each has its own; in the state folder when left out.
        within: Seconds in which each has to catch up.
    """
    done: list[_Returned] = []
    for here in back:
        both, one = _take_back(both, here, wanted, clock, export, within)
        done.append(one)
    return both, tuple(done)


def _take_back(
    both: Sides, here: Site, wanted: Mirroring, clock: Clock, export: Path | None, within: float
) -> tuple[Sides, _Returned]:
    direction, name = both.direction, here.cluster.datacenter
    active = both.of(direction.active)
    fencing.fence(here)
    clock.done(f"{name} is fenced: nobody may write mirrored topics there")
    kill_point("failback-fenced")
    switching.finish_transactions(here, wanted, within)
    looked, alone = standbys.apart_from(both, here, wanted, rests=True)
    folder = export / name if export else None
    exported = switching.export(here, replace(direction, mirrored=alone), wanted, folder, clock.done)
    kill_point("failback-exported")
    # What the one before it lost stays lost until that one is taken back.
    planned = direction.planned or name == direction.before
    direction = standbys.taking_part(direction, looked)
    direction = replace(direction, epoch=direction.epoch + 1, planned=planned, since=datetime.now(UTC))
    both = replace(both, direction=direction)
    deciding.keep_everywhere(both, direction)
    clock.done(f"{name} takes part again, as number {direction.epoch}")
    kill_point("failback-readmitted")
    live = [replace(one, written=direction.active) for one in both.sites if both.answers(one)]
    mirroring.bring_up(live, direction, rolling_too=False)
    clock.done(f"{name} is mirrored from {active.cluster.datacenter}")
    kill_point("failback-mirrored")
    switching.catch_up(active, here, wanted, within)
    clock.done(f"{name} has caught up")
    return both, _Returned(name, exported)


def exported_in(each: Sequence[tuple[str, int]]) -> tuple[str, int] | None:
    """Folder with all that some alone had, and how many records that is, by the folder and count of each; None without any."""
    if not each:
        return None
    folders = [Path(folder) for folder, _ in each]
    folder = folders[0] if len(folders) == 1 else folders[0].parent
    return str(folder), sum(count for _, count in each)
