"""The datacenters of a mirrored environment at one moment: which of them answer, and what was decided about them.

Invariant: only looks. Whoever is asked for what cannot be is told why and what to do, before anything is changed.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from kdeploy.errors import KdeployError, Unhealthy, UsageError
from kdeploy.operations import asking, expiry, hosts, mirroring, prepare, readiness, site, vaults
from kdeploy.operations.progress import Progress
from kdeploy.operations.site import Site
from kdeploy.spec.mirrored import written_first

if TYPE_CHECKING:
    from kdeploy.cluster.direction import Direction, Offsets
    from kdeploy.spec.load import Loaded
    from kdeploy.spec.mirroring import Mirroring

ALIVE_WITHIN: Final = 10.0
"""Seconds in which a datacenter has to answer; one that does not is taken for lost, which the report says."""


@dataclass(frozen=True)
class Sides:
    """The clusters of a mirrored environment, and what was decided about them.

    Attributes:
        sites: All of them.
        direction: Who is written to, as the clusters that answer have it.
        alive: Names of the datacenters that answer.
        settling: The decision that would settle that both were taken over, each without the other; None where they agree.
        rivals: Those that were taken over so.
    """

    sites: tuple[Site, ...]
    direction: Direction
    alive: frozenset[str]
    settling: Direction | None = None
    rivals: tuple[str, ...] = ()

    def of(self, datacenter: str) -> Site:
        """One of them."""
        return next(one for one in self.sites if one.cluster.datacenter == datacenter)

    @property
    def many(self) -> bool:
        """Whether there are more than two, so that no one of them is the other one."""
        return len(self.sites) > 2

    def other(self, datacenter: str) -> Site:
        """Of two, the one that is not of this name."""
        (found,) = (one for one in self.sites if one.cluster.datacenter != datacenter)
        return found

    def left_by(self, to: str) -> Site:
        """The one whose place a datacenter takes, or took: the one that is written to, of two the other one."""
        if not self.many:
            return self.other(to)
        names = [self.direction.active, self.direction.before, *self.sites[0].datacenters]
        return self.of(next(one for one in names if one and one != to))

    def answers(self, here: Site) -> bool:
        """Whether a datacenter answers."""
        return here.cluster.datacenter in self.alive


def look(
    loaded: Loaded, progress: Progress, password_file: Path | None, settling: str | None = None
) -> Sides:
    """Both clusters, and which of them answers.

    Args:
        loaded: The environment.
        progress: Where to report.
        password_file: File with the vault's password.
        settling: The datacenter that is to go on where each was taken over without the other.

    Raises:
        KdeployError: Nothing was ever brought up.
        Unhealthy: Neither answers.
        Disagreement: Each was taken over without the other, and nobody said which one is to go on.
    """
    return _look(loaded, _sites(loaded, progress, password_file), settling)


@contextmanager
def held(
    loaded: Loaded,
    command: str,
    progress: Progress,
    password_file: Path | None,
    settling: str | None = None,
) -> Iterator[Sides]:
    """The same, while the lease is held of the hosts of those that answer; errors as `look`, and as leases have them.

    What was decided is read under the lease: somebody else may just have done so. Hosts of a datacenter that does
    not answer are not waited for.
    """
    sites = _sites(loaded, progress, password_file)
    seen = _look(loaded, sites, settling)
    with hosts.held(sites[0].design, command, sites[0].vault, datacenters=seen.alive):
        yield _look(loaded, sites, settling, seen.alive)


def _sites(loaded: Loaded, progress: Progress, password_file: Path | None) -> tuple[Site, ...]:
    design = prepare.design(loaded, freeze=True)
    if design.previous is None:
        raise KdeployError(vaults.undecided(loaded))
    vault = vaults.open_existing(loaded, password_file)
    expiry.refuse_ended(design, vault)
    return site.sites(design, vault, progress)


def _look(
    loaded: Loaded, sites: tuple[Site, ...], settling: str | None, among: frozenset[str] | None = None
) -> Sides:
    """Which of some clusters answer; those that are not `among` others are not asked."""
    from kdeploy.cluster import direction

    asked = [one for one in sites if among is None or one.cluster.datacenter in among]
    with asking.asked(asked, ALIVE_WITHIN) as answers:
        found = {name: one.direction for name, one in answers.items() if isinstance(one, asking.Answer)}
    if not found:
        raise Unhealthy(
            f"no datacenter of {loaded.environment.name} answers, so none can take over\n"
            f"  bring up what can be with `kdeploy up {loaded.environment.name}`, and run this again"
        )
    first = written_first(loaded.environment) or mirroring.EVERYWHERE
    kept = [mirroring.heard(loaded.environment.name), *found.values()]
    try:
        latest = direction.latest(kept, first)
        latest = latest.among(sites[0].datacenters) if first else latest
        return Sides(sites, latest, frozenset(found))
    except direction.Disagreement as error:
        if settling is None:
            raise
        decision = error.settled(settling)
        rivals = tuple(dict.fromkeys(one.active for one in error.kept))
        if decision.apart is not None:  # whoever is not known to have kept it may have followed another one
            apart: dict[str, Offsets] = {
                one: {}
                for one in sites[0].datacenters
                if one != settling and ((its := found.get(one)) is None or its.active != settling)
            }
            decision = replace(decision, apart={**apart, **decision.apart})
        return Sides(sites, decision, frozenset(found), settling=decision, rivals=rivals)


def refuse_unmirrored(loaded: Loaded, to: str | None = None, lost: str | None = None) -> Mirroring:
    """What is mirrored in an environment.

    Args:
        loaded: The environment.
        to: A datacenter that it has to have.
        lost: Another one, that is taken over from.

    Raises:
        UsageError: Nothing is, or there is no such datacenter, or both are one.
    """
    environment = loaded.environment
    if environment.mirroring is None:
        raise UsageError(
            f"nothing is mirrored in {environment.name}, so there is nowhere to go\n"
            "  say what is under `mirroring`, with two datacenters, and run `kdeploy up`"
        )
    there = [one.name for one in environment.datacenters]
    for one in (to, lost):
        if one is not None and one not in there:
            raise UsageError(f"{environment.name} has no datacenter {one!r}\n  there are: {', '.join(there)}")
    if lost is not None and lost == to:
        raise UsageError(f"{to} cannot take over from itself\n  name another one with --to, or with --from")
    return environment.mirroring


def refuse_unwritten(sides: Sides, to: str, lost: str | None) -> None:
    """Refuse to take over from a datacenter that is not written to, where one of them is.

    Raises:
        UsageError: It is so; says which one is.
    """
    active = sides.direction.active
    if not active or lost is None or lost == active or active == to:
        return
    name = sides.sites[0].design.loaded.environment.name
    raise UsageError(
        f"{lost} is not written to, so nothing can be taken over from it: {active} is\n"
        f"  leave --from out: kdeploy failover {name} --to {to}"
    )


def refuse_silent(target: Site, sides: Sides) -> None:
    """Refuse a datacenter that does not answer where it is to be written to.

    Raises:
        Unhealthy: It does not; says what may be done instead.
    """
    if sides.answers(target):
        return
    here, name = target.cluster.datacenter, target.design.loaded.environment.name
    if sides.direction.active != here:
        raise Unhealthy(
            f"{here} does not answer, so it cannot take over\n"
            f"  look at `kdeploy status {name}`; nothing was changed"
        )
    others = "|".join(one for one in target.datacenters if one != here)
    raise Unhealthy(
        f"{here} is the one that is written to, and it does not answer\n"
        f"  bring it up with `kdeploy up {name}`, or have {'another' if sides.many else 'the other'} one take over: "
        f"`kdeploy failover {name} --to {others}`; nothing was changed"
    )


def refuse_unfit(target: Site, sides: Sides) -> None:
    """Refuse a target that does not answer or is not well.

    Raises:
        Unhealthy: It is so; names each check that fails.
    """
    refuse_silent(target, sides)
    wrong = [f"  - {one.name}: {one.detail}" for one in readiness.check(target).checks if not one.ok]
    if wrong:
        listed, here = "\n".join(wrong), target.cluster.datacenter
        raise Unhealthy(
            f"{here} is not fit to take over, and nothing was changed:\n{listed}\n"
            f"  `kdeploy up {target.design.loaded.environment.name}` mends what it can; then run this again"
        )


def is_returned(loaded: Loaded, sides: Sides) -> bool:
    """Whether it was decided that all is where it was declared to be, so that only what follows from it may be left."""
    home = written_first(loaded.environment) or mirroring.EVERYWHERE
    found = sides.direction
    return found.epoch > 0 and found.planned and found.active == home and not found.apart


def refuse_at_home(loaded: Loaded, sides: Sides) -> None:
    """Refuse a failback where nobody ever failed over.

    Raises:
        KdeployError: It is so.
    """
    home, name = written_first(loaded.environment), loaded.environment.name
    if sides.direction.epoch == 0:
        raise KdeployError(
            f"{name} is where it was declared to be: {f'{home} is' if home else 'every datacenter is'} "
            "written to\n  there is nothing to give back; `kdeploy failover --to` moves it"
        )


def refuse_returned(loaded: Loaded, sides: Sides) -> tuple[Site, Site]:
    """For a failback: who is written to, and who was before.

    Raises:
        KdeployError: It is where it was declared to be, and nobody has to be taken back.
        Unhealthy: The one that was written to before does not answer.
    """
    environment = loaded.environment
    away = sides.direction.active
    home = written_first(environment) or mirroring.EVERYWHERE
    refuse_at_home(loaded, sides)
    source, target = sides.of(away), sides.of(home) if home and home != away else sides.left_by(away)
    refuse_silent(source, sides)
    if not sides.answers(target):
        raise Unhealthy(
            f"{target.cluster.datacenter} does not answer, so nothing can be given back to it\n"
            f"  bring it up with `kdeploy up {environment.name}`: it stays fenced; then run this again"
        )
    return source, target
