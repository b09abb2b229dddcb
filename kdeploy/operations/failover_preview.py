"""`failover --dry-run` and `failback --dry-run`: step by step what would be done, with what is known now.

Invariant: read-only, of both clusters and of this machine. What would be refused once it is looked at is told with the
rest, in the words of the refusal, so that a person who has to give their word knows what for.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from kdeploy.errors import KdeployError, Unhealthy
from kdeploy.operations import (
    failback,
    failover,
    fencing,
    handing,
    readiness,
    sides,
    standbys,
    switching,
)
from kdeploy.operations.failover_report import Behind, Report, Step, with_groups, with_loss
from kdeploy.operations.progress import Silent
from kdeploy.operations.sides import Sides
from kdeploy.operations.site import Site
from kdeploy.spec.mirrored import written_first

if TYPE_CHECKING:
    from kdeploy.cluster.mirror import LinkStatus
    from kdeploy.spec.load import Loaded
    from kdeploy.spec.mirroring import Mirroring


def of_failover(
    loaded: Loaded,
    to: str,
    password_file: Path | None = None,
    *,
    lost: str | None = None,
    accept_loss: bool = False,
) -> Report:
    """What `failover` would do now; arguments and errors as there."""
    wanted = sides.refuse_unmirrored(loaded, to, lost)
    both = sides.look(loaded, Silent(), password_file, settling=to)
    if both.many and wanted.mode == "active-active":
        return _of_handing_over(both, wanted, to, lost)
    sides.refuse_unwritten(both, to, lost)
    source, target = both.left_by(to), both.of(to)
    sides.refuse_silent(target, both)
    if both.settling is not None:
        return _settling(both, wanted, standbys.rival(both, to), target, accept_loss=accept_loss)
    if both.direction.active == to:
        return _report(both, source, target, already=True, steps=tuple(_again(both, wanted, target)))
    if wanted.mode == "active-active":
        return _everybody(both, wanted, source, target)
    found = _link(both, wanted, source, target)
    planned = both.answers(source)
    refused = tuple(_refusals(both, wanted, source, target, accept_loss=accept_loss))
    report = _report(both, source, target, refused=refused)
    if planned:
        steps = _planned(both, source, target, found)
        report = replace(report, rpo=0.0, lost=0)
    else:
        loss = switching.lost(source, target, wanted, datetime.now(UTC))
        steps = _unplanned(both, source, target, loss.records)
        report = with_loss(report, loss)
    return with_groups(replace(report, steps=tuple(map(Step, steps)), behind=_behind(found)), found)


def of_failback(loaded: Loaded, password_file: Path | None = None, export: Path | None = None) -> Report:
    """What `failback` would do now; arguments and errors as there."""
    wanted = sides.refuse_unmirrored(loaded)
    both = sides.look(loaded, Silent(), password_file)
    if both.many and wanted.mode == "active-active":
        return _of_giving_back(both)
    if sides.is_returned(loaded, both):
        return _returned(both, wanted)
    if both.many:
        failback.refuse_early(loaded, both)
        return _of_taking_back(both, wanted, export)
    source, target = sides.refuse_returned(loaded, both)
    home, away = target.cluster.datacenter, source.cluster.datacenter
    if wanted.mode == "active-active":
        steps: tuple[Step, ...] = (
            Step(f"decide that every datacenter is written to, as number {both.direction.epoch + 1}"),
            Step("hand out each datacenter's clients its own again"),
        )
        return replace(_report(both, source, target, steps=steps), target="")
    left = [failover.losing(one, wanted) for one in (target, source)]
    refused = (*_unfit(both, target), *filter(None, left))
    report = _report(both, source, target, refused=refused)
    if both.direction.planned:
        found = _link(both, wanted, source, target)
        steps = (
            Step(f"wait until {home} has caught up with {away}: {_told(found)}"),
            *map(Step, _planned(both, source, target, found)),
        )
        return with_groups(replace(report, steps=steps, behind=_behind(found)), found)
    folder, count = _tail(both, target, wanted, export)
    written = _written_since(both, source, wanted)
    steps = (
        Step(_fence(target)),
        Step(f"export {count:,} records that {home} alone has to {folder}"),
        Step(f"let {home} take part again, as number {both.direction.epoch + 1}"),
        Step(f"mirror to {home} what was written in {away} since: about {written:,} records"),
    )
    behind = Behind(written, None)
    if away == written_first(loaded.environment):
        return replace(
            report, target=away, steps=steps, exported=(folder, count), behind=behind, returned=home
        )
    epoch = both.direction.epoch + 2
    steps += tuple(map(Step, _planned(both, source, target, None, epoch=epoch)))
    return replace(report, steps=steps, exported=(folder, count), epoch=epoch, behind=behind)


def _of_taking_back(both: Sides, wanted: Mirroring, export: Path | None) -> Report:
    """What would be done where several stand by: each that is apart and answers takes part again, and home has its place."""
    back = failback.returning(both)
    if not back:
        failback.refuse_nothing(both)
    away, epoch = both.direction.active, both.direction.epoch
    source, home = both.of(away), written_first(both.sites[0].design.loaded.environment) or ""
    steps: list[str] = []
    exported: list[tuple[str, int]] = []
    for number, one in enumerate(back, start=1):
        here = one.cluster.datacenter
        folder = (
            export / here
            if export
            else switching.export_folder(one, replace(both.direction, epoch=epoch + number - 1))
        )
        count = standbys.alone(both, one, wanted)
        if count is not None:
            exported.append((str(folder), count))
        steps += [
            _fence(one),
            f"export {'what' if count is None else f'{count:,} records that'} {here} alone has to {folder}",
            f"let {here} take part again, as number {epoch + number}",
            f"mirror to {here} what was written in {away} since",
        ]
    epoch += len(back)
    left = [failover.losing(one, wanted) for one in (*back, source)]
    refused = (*(said for one in back for said in _unfit(both, one)), *filter(None, left))
    taken_back = tuple(one.cluster.datacenter for one in back)
    names = " and ".join(taken_back)
    report = _report(both, source, source, refused=refused)
    report = replace(report, epoch=epoch, exported=failback.exported_in(exported), taken_back=taken_back)
    others = [one for one in both.direction.apart or {} if both.of(one) not in back]
    if home == away or home in others or home not in both.alive:
        return replace(report, planned=True, lost=0, rpo=0.0, steps=tuple(map(Step, steps)), returned=names)
    target = both.of(home)
    steps += list(_planned(both, source, target, None, epoch=epoch + 1))
    return replace(report, target=home, epoch=epoch + 1, steps=tuple(map(Step, steps)))


def _of_handing_over(both: Sides, wanted: Mirroring, to: str, lost: str | None) -> Report:
    """What would be done where a datacenter takes the clients of another one of three and more."""
    target = both.of(to)
    sides.refuse_silent(target, both)
    here = handing.leaving(both, to, lost)
    source, before = both.of(here), handing.elsewhere(both)
    already = before.get(here) == to and both.settling is None
    moved = before if already else handing.after(before, here, to)
    report = replace(_report(both, source, target, already=already), handed=moved)
    if both.settling is not None:
        report = replace(report, epoch=both.direction.epoch)
    hand = Step(f"hand out {to} to the clients of {here}; nobody is fenced, and mirrors run on")
    if already:
        return replace(report, steps=(hand,))
    decide = Step(f"decide that clients of {here} are handed out {to}, as number {report.epoch}")
    found = _link(both, wanted, source, target)
    refused = tuple(_unfit(both, target))
    report = replace(report, steps=(decide, hand), behind=_behind(found), refused=refused)
    report = with_groups(report, found)
    if both.answers(source):
        return report
    return with_loss(report, switching.lost(source, target, wanted, datetime.now(UTC)))


def _of_giving_back(both: Sides) -> Report:
    """What would be done where datacenters of three and more that were left have their clients again."""
    before = handing.elsewhere(both)
    own = Step("hand out each of these datacenters' clients its own again")
    name = both.sites[0].design.loaded.environment.name
    epoch = both.direction.epoch
    if epoch and both.direction.planned and not before:
        report = Report(name, "", "", True, epoch, None, 0.0, 0, (own,), already=True, dry_run=True)
        return replace(report, handed={})
    back, left = handing.returning(both)
    names = " and ".join(one.cluster.datacenter for one in back)
    moved = {one.cluster.datacenter: before[one.cluster.datacenter] for one in left}
    decide = Step(f"decide that clients of {names} have their own datacenter again, as number {epoch + 1}")
    report = Report(name, names, "", True, epoch + 1, None, 0.0, 0, (decide, own), dry_run=True)
    return replace(report, handed=moved)


def _returned(both: Sides, wanted: Mirroring) -> Report:
    """What would be finished where everything is where it was declared to be."""
    home = both.direction.active or both.sites[0].cluster.datacenter
    target, source = both.of(home), both.left_by(home)
    sides.refuse_silent(target, both)
    report = _report(both, source, target, already=True, steps=tuple(_again(both, wanted, target)))
    if wanted.mode == "active-active":
        steps = (Step("hand out each datacenter's clients its own again"),)
        return replace(report, source="", target="", steps=steps)
    return report


def _settling(both: Sides, wanted: Mirroring, source: Site, target: Site, *, accept_loss: bool) -> Report:
    """What would be done where both were taken over, each without the other."""
    here, there = source.cluster.datacenter, target.cluster.datacenter
    epoch = both.direction.epoch
    decide = f"decide on {there}, as number {epoch}"
    report = replace(_report(both, source, target), epoch=epoch)
    if wanted.mode == "active-active":
        return replace(report, steps=(Step(decide), Step(f"hand out {there} to the clients of both")))
    lost = None
    steps = ["stop mirrors", decide, _open(target), f"hand out clients of {there}"]
    if both.answers(source):
        if both.many:
            lost = standbys.alone(both, source, wanted)
        else:
            lost = switching.alone(source, switching.settled(both.direction, source, target), wanted)
        count = "what" if lost is None else f"{lost:,} records that"
        steps = [
            f"leave {count} {here} alone has to `kdeploy failback`",
            _fence(source),
            *steps,
        ]
    refused = [*_unfit(both, target)]
    if lost != 0 and not accept_loss:
        refused.append(failover.disputed(source, there, lost))
    return replace(
        report,
        planned=False,
        lost=lost,
        counted=lost is not None,
        steps=tuple(map(Step, steps)),
        refused=tuple(refused),
    )


def _report(
    both: Sides,
    source: Site,
    target: Site,
    *,
    already: bool = False,
    steps: tuple[Step, ...] = (),
    refused: tuple[str, ...] = (),
) -> Report:
    planned = both.answers(source)
    return Report(
        environment=target.design.loaded.environment.name,
        source=source.cluster.datacenter,
        target=target.cluster.datacenter,
        planned=planned,
        epoch=both.direction.epoch + (not already),
        rto=None,
        rpo=0.0 if planned else None,
        lost=0 if planned else None,
        steps=steps,
        already=already,
        dry_run=True,
        refused=refused,
    )


def _link(both: Sides, wanted: Mirroring, source: Site, target: Site) -> LinkStatus:
    asked = source if both.answers(source) else None
    return switching.look(asked, target, wanted, source.cluster.datacenter)


def _everybody(both: Sides, wanted: Mirroring, source: Site, target: Site) -> Report:
    here, there = source.cluster.datacenter, target.cluster.datacenter
    found = _link(both, wanted, source, target)
    steps = (
        Step(f"decide that clients are handed out {there}, as number {both.direction.epoch + 1}"),
        Step(f"hand out {there} to the clients of both; {here} is fenced from nobody, and mirrors run on"),
    )
    report = replace(_report(both, source, target, steps=steps), behind=_behind(found))
    report = with_groups(report, found)
    if both.answers(source):
        return report
    lost = switching.lost(source, target, wanted, datetime.now(UTC))
    return with_loss(report, lost)


def _again(both: Sides, wanted: Mirroring, target: Site) -> Iterator[Step]:
    """What a run would finish that finds everything decided."""
    there = target.cluster.datacenter
    if wanted.mode == "active-passive":
        for one in both.direction.gathers:
            yield Step(f"mirror to {there} what {one} has and it lacks; nobody may write there before")
        yield Step(_open(target))
        yield from (Step(_fence(one)) for one in both.sites if one is not target and both.answers(one))
    yield Step(f"hand out clients of {there}")


def _planned(
    both: Sides, source: Site, target: Site, found: LinkStatus | None, epoch: int | None = None
) -> Iterator[str]:
    here, there = source.cluster.datacenter, target.cluster.datacenter
    if found is not None:
        yield f"see that the mirror into {there} moves: {_told(found)}"
    yield _fence(source)
    yield f"wait until all that {here} has is mirrored, and groups are translated"
    beside = [one.cluster.datacenter for one in standbys.beside(both, source, target)]
    yield f"stop the mirror into {' and '.join([there, *beside])}"
    yield f"decide on {there}, as number {epoch or both.direction.epoch + 1}"
    yield _open(target)
    yield f"mirror {there} to {' and '.join([here, *beside])}, from where {there} was when it took over"
    yield f"hand out clients of {there}"


def _unplanned(both: Sides, source: Site, target: Site, lost: int | None) -> Iterator[str]:
    here, there = source.cluster.datacenter, target.cluster.datacenter
    count = "an unknown number of" if lost is None else f"about {lost:,}"
    beside = [one.cluster.datacenter for one in standbys.beside(both, source, target)]
    yield f"give up {count} records that {here} acknowledged and that were not mirrored"
    yield f"stop the mirror into {' and '.join([there, *beside])}"
    yield f"decide on {there}, as number {both.direction.epoch + 1}"
    if beside:
        yield f"mirror to {there} what {' and '.join(beside)} may have and it lacks; nobody may write there before"
    yield _open(target)
    if beside:
        yield f"mirror {there} to {' and '.join(beside)}, each from where it was"
    yield f"hand out clients of {there}; {here} is fenced as soon as `kdeploy up` brings it back"


def _fence(here: Site) -> str:
    changes = _changes(replace(here, written=""))
    return f"fence {here.cluster.datacenter}: nobody may write mirrored topics there ({changes})"


def _open(here: Site) -> str:
    changes = _changes(replace(here, written=here.cluster.datacenter))
    return f"open {here.cluster.datacenter}: it may be written to ({changes})"


def _changes(here: Site) -> str:
    with readiness.connected(here) as admin:
        count = len(fencing.rights(here, admin).changes)
    return f"{count:,} change{'' if count == 1 else 's'} of access lists" if count else "it is so already"


def _refusals(
    both: Sides, wanted: Mirroring, source: Site, target: Site, *, accept_loss: bool
) -> Iterator[str]:
    yield from _unfit(both, target)
    there = target.cluster.datacenter
    if not both.answers(source):
        try:
            standbys.refuse_left(both, source, target)
        except KdeployError as error:
            yield str(error)
            return
        if not accept_loss:
            yield failover.unreachable(source, there)
    elif not both.direction.lets(source.cluster.datacenter, there):
        yield failover.left_before(both, source, target)
    elif not accept_loss and (
        left := failover.losing(source, wanted) or switching.untranslated(source, target)
    ):
        yield left


def _unfit(both: Sides, target: Site) -> Iterator[str]:
    try:
        sides.refuse_unfit(target, both)
    except Unhealthy as error:
        yield str(error)


def _behind(found: LinkStatus) -> Behind:
    return Behind(found.records if found.source_answers else None, found.seconds)


def _told(found: LinkStatus) -> str:
    from kdeploy.units import format_duration

    if found.records is None:
        return "how far it is behind is not known"
    if not found.records or found.seconds is None:
        return f"it is {found.records:,} records behind"
    return f"it is {found.records:,} records and {format_duration(max(found.seconds, 0.1))} behind"


def _tail(both: Sides, target: Site, wanted: Mirroring, export: Path | None) -> tuple[str, int]:
    """Where the records would go that the old primary alone has, and how many there are, counted."""
    from kdeploy.cluster import tail

    folder = export or switching.export_folder(target, both.direction)
    with readiness.connected(target) as admin:
        count = tail.count(admin, switching.unmirrored(target, both.direction, wanted)).records
    return str(folder), count


def _written_since(both: Sides, source: Site, wanted: Mirroring) -> int:
    """Offsets that came to be in the datacenter that is written to since it took over."""
    before = both.direction.ends
    now = switching.ends(source, wanted)
    return sum(
        max(0, end - before.get(topic, {}).get(partition, 0))
        for topic, some in now.items()
        for partition, end in some.items()
    )
