"""`failover`: which datacenter is written to, changed as one command that may be killed at any moment.

    the primary answers:   fence it → wait until all is mirrored → stop the mirror → decide → open the other side
                           → mirror the other way
    it does not:           stop the mirror → decide, with what is known to be mirrored → open the other side
    both were taken over:  fence the one that does not go on → stop mirrors → decide → open the other one

What others do that stand by, of three datacenters and more, is `operations.standbys`. Deciding is one record in each cluster that can be asked (`cluster.direction`); what comes before can be taken back,
what comes after is finished by running the same again. Invariant: at no moment can both sides be written to by those
whom kdeploy let in, and nothing that the primary acknowledged is passed over without a person's word.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from kdeploy.errors import KdeployError, UsageError
from kdeploy.operations import (
    backlog,
    deciding,
    fencing,
    handing,
    mirroring,
    places,
    readiness,
    sides,
    standbys,
    switching,
)
from kdeploy.operations.deciding import Clock
from kdeploy.operations.failover_report import Report, with_groups
from kdeploy.operations.killpoint import kill_point
from kdeploy.operations.lease import lease
from kdeploy.operations.progress import Progress
from kdeploy.operations.sides import Sides
from kdeploy.operations.site import Site
from kdeploy.operations.standing import told

if TYPE_CHECKING:
    from kdeploy.cluster.connectors import Positions
    from kdeploy.cluster.direction import Direction
    from kdeploy.spec.load import Loaded
    from kdeploy.spec.mirroring import Mirroring


def failover(
    loaded: Loaded,
    to: str,
    progress: Progress,
    password_file: Path | None = None,
    *,
    lost: str | None = None,
    accept_loss: bool = False,
    patience: float | None = None,
) -> Report:
    """Have another datacenter written to, or, of three and more that all are, take a lost one's clients.

    Args:
        loaded: The environment.
        to: The datacenter.
        progress: Where to report.
        password_file: File with the vault's password.
        lost: The datacenter that it takes over from; None where that is clear: the other one of two, or the only one
            that does not answer.
        accept_loss: Whether to go on where records of the primary are lost, or nobody can know.
        patience: Seconds in which all has to be mirrored; the environment's `rto` when left out.

    Raises:
        UsageError: Nothing is mirrored, or there is no such datacenter.
        Behind: Records would be lost, and nobody accepted that; the primary is as it was.
        Unhealthy: The target is not fit to take over.
    """
    wanted = sides.refuse_unmirrored(loaded, to, lost)
    name = loaded.environment.name
    with lease(places.state_folder(name), "failover"), told(name, progress):
        clock = Clock(progress)
        within = wanted.rto if patience is None else patience
        with sides.held(loaded, "failover", progress, password_file, settling=to) as both:
            if both.many and wanted.mode == "active-active":
                return handing.hand_over(both, wanted, to, lost, clock)
            sides.refuse_unwritten(both, to, lost)
            if both.settling is not None:
                return _settle(both, wanted, to, clock, accept_loss=accept_loss)
            return switch(both, wanted, to, clock, accept_loss=accept_loss, within=within)


def switch(
    both: Sides, wanted: Mirroring, to: str, clock: Clock, *, accept_loss: bool, within: float
) -> Report:
    """The same, with what answers looked at and held; arguments and errors as `failover`."""
    target, source = both.of(to), both.left_by(to)
    if both.direction.active == to and wanted.mode == "active-passive":
        sides.refuse_silent(target, both)
        report, both = finish(both, wanted, to, clock, accept_loss=accept_loss)
        known = both.direction.planned or both.answers(source)
        return report if known else deciding.told_of_loss(report, both, wanted)
    planned = both.answers(source)
    sides.refuse_unfit(target, both)
    if wanted.mode == "active-active":
        return _send_everybody(both, wanted, to, clock, planned=planned)
    if planned:
        if not both.direction.lets(source.cluster.datacenter, to):
            raise KdeployError(left_before(both, source, target))
        unreadable = _refuse_unplannable(source, target, wanted, accept_loss=accept_loss)
        # While it can still be changed: a fence is no moment to learn that nobody could go on.
        what = f"whether somebody could go on with each group in {to}"
        warned = switching.look_at_groups(source, target, wanted, source, what) is not None
        switching.approach(source, target, wanted, within)
        # Nobody may write meanwhile: whoever does not answer is not waited for longer than all of it may take.
        source, target = (replace(one, patience=min(one.patience, within)) for one in (source, target))
        with _taken_back(both, source, target):
            clock.done(f"{source.cluster.datacenter} is fenced: nobody may write mirrored topics there")
            kill_point("failover-fenced")
            switching.drain(source, target, wanted, within, clock.done, unreadable=unreadable)
            groups = switching.look_at_groups(source, target, wanted, source, silent=warned)
            standbys.level(both, source, target, wanted)
            mirrored, rest = _stop(both, source, target, clock)
            ends = switching.ends(target, wanted)
            parts = standbys.planned(both, source, target, rest, wanted)
    else:
        standbys.refuse_left(both, source, target)
        if not accept_loss:
            raise switching.Behind(unreachable(source, to))
        mirrored, rest = _stop(both, source, target, clock)
        parts = standbys.unplanned(both, source, target, rest, mirrored, wanted)
        ends = {} if parts.gathers else switching.ends(target, wanted)
        groups = switching.look_at_groups(None, target, wanted, source)
    found = _decide(both, source, target, mirrored, ends, parts, planned=planned)
    clock.done(f"{to} is decided on, as number {found.epoch}")
    kill_point("failover-decided")
    both = replace(both, direction=found)
    report, both = finish(both, wanted, to, clock, accept_loss=accept_loss)
    report = with_groups(replace(report, already=False), groups)
    # Looked at when the other side is open: it reads for seconds, and what was written since is left aside.
    return report if planned else deciding.told_of_loss(report, both, wanted)


def _refuse_unplannable(source: Site, target: Site, wanted: Mirroring, *, accept_loss: bool) -> bool:
    """Refuse what a fence or the mirror does not reach, but for a person's word; whether that was needed."""
    here, say = source.cluster.datacenter, source.progress.step
    left = losing(source, wanted) or switching.untranslated(source, target)
    if left and not accept_loss:
        name = source.design.loaded.environment.name
        raise switching.Behind(
            f"{left}; nothing was changed\n"
            f"  to go on all the same: kdeploy failover {name} --to {target.cluster.datacenter} --accept-loss"
        )
    if left:
        say("failover", f"--accept-loss: {left}".splitlines()[0].removesuffix(":"))
    elif accept_loss:
        say("failover", f"{here} answers, so nothing is lost: --accept-loss is not needed, and left aside")
    return bool(left)


def losing(source: Site, wanted: Mirroring) -> str:
    """What a planned failover would pass over; empty where there is nothing."""
    strangers = fencing.strangers(source, wanted)
    if strangers:
        return fencing.said_of(strangers, source)
    leaderless = backlog.ends(source, wanted).leaderless
    if leaderless:
        return (
            f"{backlog.Ends({}, leaderless=leaderless).why(source.cluster.datacenter)}\n"
            "  bring its brokers up, and run this again"
        )
    return ""


@contextmanager
def _taken_back(both: Sides, source: Site, target: Site) -> Iterator[None]:
    """The primary fenced for the block; where that fails everybody may write there again, and then it is mirrored as before.

    In that order: where no worker answers any more, that is waited for with nobody shut out.
    """
    to = target.cluster.datacenter
    again = f"kdeploy failover {source.design.loaded.environment.name} --to {to}"
    try:
        with fencing.fenced(source, again):
            yield
    except KdeployError:
        for one in (target, *standbys.beside(both, source, target)):
            with suppress(KdeployError):  # `up` does it, and why the block failed says more
                mirroring.reconcile(one, mirroring.running(one, both.direction), both.direction)
        raise


def _stop(both: Sides, source: Site, target: Site, clock: Clock) -> tuple[Positions, tuple[Site, ...]]:
    found = standbys.stop(both, source, target)
    clock.done(f"the mirror into {target.cluster.datacenter} is stopped")
    kill_point("failover-mirror-stopped")
    return found


def _settle(both: Sides, wanted: Mirroring, to: str, clock: Clock, *, accept_loss: bool) -> Report:
    """Have one of two go on that were each taken over without the other: the other one counts as lost, and is fenced."""
    target, source = both.of(to), standbys.rival(both, to)
    here = source.cluster.datacenter
    sides.refuse_unfit(target, both)
    if both.many:
        return _settle_of_many(both, wanted, source, target, clock, accept_loss=accept_loss)
    if wanted.mode == "active-active":
        found = replace(both.direction, mirrored={}, ends={})
        deciding.keep_everywhere(both, found, first=to)
        clock.done(f"{to} is decided on, as number {found.epoch}")
        both = replace(both, direction=found, settling=None)
        report = _send_everybody(both, wanted, to, clock, planned=both.answers(source))
        return replace(report, already=False)
    found = switching.settled(both.direction, source, target)
    lost = switching.alone(source, found, wanted) if both.answers(source) else None
    if lost != 0 and not accept_loss:
        raise switching.Behind(disputed(source, to, lost))
    if both.answers(source):
        fencing.fence(source)
        clock.done(f"{here} is fenced: nobody may write mirrored topics there")
        kill_point("failover-fenced")
        switching.stop_mirror(target, source)
    switching.stop_mirror(source, target)
    clock.done("mirrors are stopped")
    found = switching.settled(found, source, target)
    lost = switching.alone(source, found, wanted) if both.answers(source) else None
    deciding.keep_everywhere(both, found, first=to)
    clock.done(f"{to} is decided on, as number {found.epoch}")
    kill_point("failover-decided")
    report, _ = finish(replace(both, direction=found, settling=None), wanted, to, clock)
    return replace(report, lost=lost, counted=lost is not None, already=False)


def _settle_of_many(
    both: Sides, wanted: Mirroring, source: Site, target: Site, clock: Clock, *, accept_loss: bool
) -> Report:
    to, found = target.cluster.datacenter, both.direction
    if to not in both.rivals:
        named = " and ".join(both.rivals)
        raise UsageError(
            f"{named} were each taken over without the other, and {to} was not; nothing was changed\n"
            f"  have one of these go on: kdeploy failover {target.design.loaded.environment.name} --to {'|'.join(both.rivals)}"
        )
    lost = standbys.alone(both, source, wanted)
    if lost != 0 and not accept_loss:
        raise switching.Behind(disputed(source, to, lost))
    for one in both.sites:
        if one is not target and both.answers(one):
            fencing.fence(one)
    clock.done(f"{source.cluster.datacenter} is fenced: nobody may write mirrored topics there")
    kill_point("failover-fenced")
    standbys.rest(target)
    deciding.keep_everywhere(both, found, first=to)
    clock.done(f"{to} is decided on, as number {found.epoch}")
    kill_point("failover-decided")
    report, _ = finish(replace(both, settling=None), wanted, to, clock)
    return replace(report, lost=lost, counted=lost is not None, already=False)


def disputed(source: Site, to: str, alone: int | None) -> str:
    """Why nothing is settled without a person's word: what the datacenter that does not go on alone has."""
    here, name = source.cluster.datacenter, source.design.loaded.environment.name
    count = (
        "nobody can count what"
        if alone is None
        else f"{alone:,} record{' is' if alone == 1 else 's are'} what"
    )
    return (
        f"{here} and {to} were each taken over without the other, and {count} {here} alone has; nothing was changed\n"
        f"  to go on with {to}: kdeploy failover {name} --to {to} --accept-loss\n"
        f"  {here} keeps them, and `kdeploy failback {name}` exports them"
    )


def left_before(both: Sides, source: Site, target: Site) -> str:
    """Why a datacenter that nothing is mirrored to does not take over from one that answers."""
    if both.direction.gathers:
        return standbys.gathering(source)
    return standbys.unmirrored(target) if both.many else unreturned(target)


def unreturned(target: Site) -> str:
    """Why a datacenter that was lost does not take over again before it was given back."""
    here, name = target.cluster.datacenter, target.design.loaded.environment.name
    return (
        f"{here} was lost with records that nobody else has, and nothing is mirrored to it since; nothing was changed\n"
        f"  `kdeploy failback {name}` exports these and mirrors what was written since; then run this again if it is needed"
    )


def unreachable(source: Site, to: str) -> str:
    """Why nothing is decided without a person's word where the primary does not answer."""
    return (
        f"{source.cluster.datacenter} does not answer, so what it acknowledged last cannot be fetched any more\n"
        f"  to go on without it: kdeploy failover {source.design.loaded.environment.name} --to {to} --accept-loss\n"
        "  what it alone has is exported when it is back (`kdeploy failback`)"
    )


def finish(
    both: Sides, wanted: Mirroring, to: str, clock: Clock, *, accept_loss: bool = False
) -> tuple[Report, Sides]:
    """All that follows from a decision: the other side open, the old one fenced where it answers, mirrored back."""
    target, source = both.of(to), both.left_by(to)
    if both.direction.gathers:
        both = standbys.gather(both, wanted, clock, accept_loss=accept_loss)
    fencing.hold(replace(target, written=to))
    clock.done(f"{to} may be written to")
    rto = time.monotonic() - clock.began
    kill_point("failover-opened")
    others = [one for one in both.sites if one is not target and both.answers(one)]
    for one in others:
        fencing.fence(one)
        if both.direction.epoch:  # what was only ever declared is kept nowhere
            with readiness.connected(one) as admin:
                deciding.keep(admin, both.direction)
    both = standbys.join(both, wanted, clock)
    direction = both.direction
    mirrored = [one for one in others if direction.lets(to, one.cluster.datacenter)]
    if mirrored:
        live = [replace(one, written=to) for one in both.sites if both.answers(one)]
        mirroring.bring_up(live, direction, rolling_too=False)
        names = " and ".join(one.cluster.datacenter for one in mirrored)
        clock.done(f"{names} {'is' if len(mirrored) == 1 else 'are'} mirrored from {to}")
    deciding.hand_out(target)
    report = Report(
        environment=target.design.loaded.environment.name,
        source=source.cluster.datacenter,
        target=to,
        planned=direction.planned,
        epoch=direction.epoch,
        rto=rto,
        rpo=0.0 if direction.planned else None,
        lost=0 if direction.planned else None,
        steps=tuple(clock.steps),
        already=True,
    )
    return report, both


def _send_everybody(both: Sides, wanted: Mirroring, to: str, clock: Clock, *, planned: bool) -> Report:
    """Active-active: every client is handed out one datacenter; nobody is fenced, and mirrors run on."""
    target, source = both.of(to), both.other(to)
    already = both.direction.active == to
    seen = None if already else switching.warn_behind(source if planned else None, target, wanted, source)
    found = both.direction
    if not already:
        found = _decide(both, source, target, {}, {}, standbys.Parts(), planned=planned)
    clock.done(f"clients are handed out {to}, as number {found.epoch}")
    rto = time.monotonic() - clock.began
    deciding.hand_out(target)
    name = target.design.loaded.environment.name
    here = source.cluster.datacenter
    report = Report(name, here, to, planned, found.epoch, rto, 0.0, 0, tuple(clock.steps), already=already)
    report = with_groups(report, seen)
    return report if planned else deciding.told_of_loss(report, replace(both, direction=found), wanted)


def _decide(
    both: Sides,
    source: Site,
    target: Site,
    mirrored: Positions,
    ends: Positions,
    parts: standbys.Parts,
    *,
    planned: bool,
) -> Direction:
    """Keep in every cluster that answers that another one is written to from now on."""
    from kdeploy.cluster.direction import Direction

    epoch, since = both.direction.epoch + 1, datetime.now(UTC)
    found = Direction(epoch, target.cluster.datacenter, since, planned, mirrored, ends)
    if parts.apart is not None:
        found = replace(
            found,
            mirrored={},
            before=source.cluster.datacenter,
            apart=parts.apart,
            begins=parts.begins or {},
            gathers=parts.gathers or {},
        )
    deciding.keep_everywhere(both, found, first=target.cluster.datacenter)
    return found
