"""Active-passive among three datacenters and more: those that neither give nor take over, and stand by all the same.

    planned:     their mirrors are stopped with the target's → who has all goes on from the target's end
    unplanned:   mirrors are stopped → what each has and the target lacks is found by its records (`cluster.forks`)
                 → decide → the target gathers it → open
    afterwards:  who has less goes on in the target from where it was, found by its records
    failback:    each that was left is fenced → what it alone has is exported → it is mirrored to again

One that takes over has then all that any other one has that answers: only what nobody has is lost. One that did not answer,
or wrote by itself, is apart: nothing is mirrored to it until `failback` has exported what it alone has.

Invariant: before the target is open it holds, of each partition, what the furthest of those has that answer; and a mirror
to one that stands by never begins after what that one has.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from kdeploy.errors import KdeployError, Unhealthy
from kdeploy.operations import backlog, deciding, mirroring, readiness, switching
from kdeploy.operations.backlog import Backlog
from kdeploy.operations.deciding import Clock
from kdeploy.operations.killpoint import kill_point
from kdeploy.operations.progress import lasting
from kdeploy.operations.sides import Sides
from kdeploy.operations.site import Site

if TYPE_CHECKING:
    from kdeploy.cluster.connectors import Positions
    from kdeploy.cluster.direction import Direction, Offsets
    from kdeploy.cluster.forks import Fork
    from kdeploy.cluster.state import Place
    from kdeploy.spec.mirroring import Mirroring

LEVEL_WITHIN: Final = 5.0
"""Seconds that others have, with nobody let in, to be where the target is: who is not goes on later from where it was."""

ANSWERS_WITHIN: Final = 30.0
"""Seconds for one to answer that the target gathers from: nobody can write meanwhile."""


@dataclass(frozen=True)
class Parts:
    """What a decision says of others than the two that it is about.

    Attributes:
        apart: As `Direction.apart`; None of two datacenters.
        begins: As `Direction.begins`.
        gathers: As `Direction.gathers`.
    """

    apart: Mapping[str, Offsets] | None = None
    begins: Mapping[str, Offsets] | None = None
    gathers: Mapping[str, Offsets] | None = None


def beside(both: Sides, source: Site, target: Site) -> tuple[Site, ...]:
    """Those that answer and are mirrored to like the target."""
    here = source.cluster.datacenter
    return tuple(
        one
        for one in both.sites
        if one.cluster.datacenter not in (here, target.cluster.datacenter)
        and both.answers(one)
        and both.direction.lets(here, one.cluster.datacenter)
    )


def level(both: Sides, source: Site, target: Site, wanted: Mirroring) -> None:
    """Wait a moment until others have all of a primary that is fenced and drained."""
    left = [Backlog(source, replace(one, patience=LEVEL_WITHIN)) for one in beside(both, source, target)]
    deadline = time.monotonic() + LEVEL_WITHIN
    with lasting(source.progress, "waits for", "the others that stand by"):
        while left and time.monotonic() < deadline:
            upto = switching.ends(source, wanted)
            left = [one for one in left if _is_behind(one, upto)]
            time.sleep(switching.LOOK if left else 0)


def _is_behind(one: Backlog, upto: Positions) -> bool:
    from kdeploy.cluster.failure import ClusterError

    try:
        return one.left(upto) > 0
    except ClusterError:  # it is not waited for
        return False


def _has_all(one: Backlog, upto: Positions) -> bool:
    from kdeploy.cluster.failure import ClusterError

    try:
        return not one.left(upto)
    except ClusterError:  # one that cannot be asked is left apart
        return False


def stop(both: Sides, source: Site, target: Site) -> tuple[Positions, tuple[Site, ...]]:
    """Stop what the source is mirrored by to the target and to others.

    Returns:
        How far the target's came; and the others whose mirror rests.
    """
    others = beside(both, source, target)
    with ThreadPoolExecutor(len(others) + 1, "kdeploy-stopping-mirrors") as pool:
        found = [pool.submit(_stopped, source, one) for one in others]
        mirrored = switching.stop_mirror(source, target)
        if both.many:
            rest(target)
        return mirrored, tuple(one for one, stopped in zip(others, found, strict=True) if stopped.result())


def rest(here: Site) -> None:
    """Stop whatever is mirrored to a datacenter, from wherever: one that was away may follow whom it knew.

    Raises:
        Unhealthy: Not all of it rests in time.
    """
    mirror = here.cluster.mirror
    runs = {one.name: one.source is None for one in mirror.connectors} if mirror else {}
    mirroring.reconcile(here, runs)
    mirroring.settle(here, {name: run for name, run in runs.items() if not run})


def _stopped(source: Site, here: Site) -> bool:
    from kdeploy.cluster.failure import ClusterError

    try:
        # Nobody may write meanwhile.
        switching.stop_mirror(source, replace(here, patience=ANSWERS_WITHIN), ANSWERS_WITHIN)
    except ClusterError as error:
        _left(here, f"its mirror could not be stopped: {str(error).splitlines()[0]}")
        return False
    return True


def _left(here: Site, why: str) -> None:
    name = here.design.loaded.environment.name
    said = f"{here.cluster.datacenter} is not mirrored to: {why}; `kdeploy failback {name}` has it take part again"
    here.progress.step("failover", said)


def planned(both: Sides, source: Site, target: Site, rests: tuple[Site, ...], wanted: Mirroring) -> Parts:
    """What is decided of the others where the primary was drained: who has all of it goes on like the primary."""
    if not both.many:
        return Parts()
    upto = switching.ends(source, wanted)
    asked = [replace(one, patience=LEVEL_WITHIN) for one in rests]
    has_all = {one.cluster.datacenter for one in asked if _has_all(Backlog(source, one), upto)}
    taking = {source.cluster.datacenter, target.cluster.datacenter, *has_all}
    return Parts({one: known for one, known in _others(both, target).items() if one not in taking})


def _others(both: Sides, target: Site) -> dict[str, Offsets]:
    """Every other datacenter, with what is known of those that are apart."""
    known = both.direction.apart or {}
    names = (one for one in target.datacenters if one != target.cluster.datacenter)
    return {one: known.get(one, {}) for one in names}


def unplanned(
    both: Sides, source: Site, target: Site, rests: tuple[Site, ...], mirrored: Positions, wanted: Mirroring
) -> Parts:
    """What is decided of the others where the primary does not answer: what they have and the target lacks is gathered."""
    from kdeploy.cluster.direction import furthest

    if not both.many:
        return Parts()
    here, apart = source.cluster.datacenter, _others(both, target)
    looked = [found for one in rests if (found := _look(one, target, wanted)) is not None]
    reached = {one.name: backlog.reached(source, one.here) for one in looked}
    gathers = {one: found for one, found in _gathers(looked, reached).items() if found}
    # Of one that was apart itself, nobody knows by offsets how far it goes together with the other.
    takes_part = both.direction.lets(here, target.cluster.datacenter)
    apart[here] = furthest(mirrored, *reached.values()) if takes_part else {}
    if gathers:
        return Parts(apart, gathers=gathers)
    begins = {one.name: one.begins(switching.ends(target, wanted)) for one in looked}
    return Parts({one: known for one, known in apart.items() if one not in begins}, begins)


@dataclass(frozen=True)
class Looked:
    """One that stands by, beside the one that takes over.

    Attributes:
        here: The one.
        ends: Where each of its partitions ends.
        forks: How far it goes together with the other one.
    """

    here: Site
    ends: Positions
    forks: Mapping[Place, Fork]

    @property
    def name(self) -> str:
        """Its name."""
        return self.here.cluster.datacenter

    @property
    def alone(self) -> dict[Place, int]:
        """Partitions of which it has what the other one lacks, with where that begins."""
        found = {}
        for topic, some in self.ends.items():
            for partition, end in some.items():
                fork = self.forks.get((topic, partition))
                begin = 0 if fork is None else fork.alone  # the other one has no such partition
                if begin < end:
                    found[topic, partition] = begin
        return found

    @property
    def own(self) -> Positions:
        """The same by topic and partition, of all partitions: the end where the other one lacks nothing."""
        return {
            topic: {partition: self.alone.get((topic, partition), end) for partition, end in some.items()}
            for topic, some in self.ends.items()
        }

    def begins(self, ends: Positions) -> Positions:
        """Where its mirror begins in the other one, where that is not at these ends of it."""
        found: Positions = {}
        for (topic, partition), fork in self.forks.items():
            if fork.there != ends.get(topic, {}).get(partition, 0):
                found.setdefault(topic, {})[partition] = fork.there
        return found


def _look(here: Site, other: Site, wanted: Mirroring) -> Looked | None:
    """How far one goes together with another one; None, with a word, where that cannot be known now.

    Args:
        here: Nothing is mirrored to it now, and nobody writes there.
        other: The one that takes over, or took.
        wanted: What is mirrored.
    """
    from kdeploy.cluster import forks
    from kdeploy.cluster.failure import ClusterError

    try:
        found = backlog.ends(here, wanted)
        if found.waits:
            _left(here, found.why(here.cluster.datacenter))
            return None
        places = [(topic, one) for topic, some in found.offsets.items() for one in some]
        with readiness.connected(here) as mine, readiness.connected(other) as theirs:
            forked = forks.find(mine, theirs, places)
            there = {(one.topic, one.index) for one in theirs.metadata().partitions}
        if unled := sorted(there.intersection(places) - forked.keys()):
            topic, partition = unled[0]
            _left(here, f"nobody leads {topic}-{partition} of {other.cluster.datacenter}, or of it")
            return None
    except ClusterError as error:
        _left(here, str(error).splitlines()[0])
        return None
    return Looked(here, found.offsets, forked)


def _gathers(looked: list[Looked], reached: Mapping[str, Positions]) -> dict[str, Positions]:
    """By datacenter where the target goes on reading in it; of each partition in the one that came furthest.

    All of a datacenter's partitions are named, those of which nothing is to be read with their ends: what is not named would
    be read from its beginning.
    """
    furthest: dict[Place, tuple[int, str]] = {}
    for one in looked:
        for topic, partition in one.alone:
            came = reached[one.name].get(topic, {}).get(partition, 0)
            furthest[topic, partition] = max(furthest.get((topic, partition), (-1, "")), (came, one.name))
    found: dict[str, Positions] = {}
    for one in looked:
        chosen = {place: at for place, at in one.alone.items() if furthest[place][1] == one.name}
        if chosen:
            found[one.name] = {
                topic: {partition: chosen.get((topic, partition), end) for partition, end in some.items()}
                for topic, some in one.ends.items()
            }
    return found


def gather(both: Sides, wanted: Mirroring, clock: Clock, *, accept_loss: bool) -> Sides:
    """Have the one that takes over mirror what others have and it lacks; nobody is let in before.

    Raises:
        Behind: One of these does not answer any more, and nobody accepted to go on without what it has.
    """
    from kdeploy.cluster.direction import furthest

    direction = both.direction
    target, source = both.of(direction.active), both.left_by(direction.active)
    silent = [one for one in direction.gathers if one not in both.alive]
    if silent and not accept_loss:
        raise switching.Behind(_ungathered(target, silent))
    apart = dict(direction.apart or {})
    if silent:
        # What they alone have `failback` exports, of them and of the primary; others may have some of it.
        rest(target)
        looked = _that_stood_by(both, wanted)
        reached = {one.name: backlog.reached(source, one.here) for one in looked}
        direction = replace(direction, gathers={k: v for k, v in _gathers(looked, reached).items() if v})
        apart[direction.before] = furthest(backlog.reached(source, target), *reached.values())
    givers = [replace(both.of(one), patience=ANSWERS_WITHIN) for one in direction.gathers]
    for one in givers:
        _gather_from(one, target, direction, wanted)
    rest(target)
    if givers:
        names = " and ".join(one.cluster.datacenter for one in givers)
        clock.done(f"{target.cluster.datacenter} has what {names} had and it lacked")
    kill_point("failover-gathered")
    found = replace(direction, apart=apart, gathers={}, ends=switching.ends(target, wanted))
    deciding.keep_everywhere(both, found)
    return replace(both, direction=found)


def _that_stood_by(both: Sides, wanted: Mirroring) -> list[Looked]:
    """Those that answer and stood by as the one took over that is decided on, each beside it."""
    direction = both.direction
    target = both.of(direction.active)
    names = [one for one, known in (direction.apart or {}).items() if not known and one != direction.before]
    asked = [replace(both.of(one), patience=ANSWERS_WITHIN) for one in names if one in both.alive]
    return [found for one in asked if (found := _rested(one, target, wanted)) is not None]


def _ungathered(target: Site, silent: list[str]) -> str:
    there, name = target.cluster.datacenter, target.design.loaded.environment.name
    listed = " and ".join(silent)
    return (
        f"{listed} {'has' if len(silent) == 1 else 'have'} records that {there} lacks, and "
        f"{'does' if len(silent) == 1 else 'do'} not answer any more; nobody can write in {there} yet\n"
        f"  bring up what can be and run this again, or go on without them: "
        f"kdeploy failover {name} --to {there} --accept-loss"
    )


def _gather_from(giver: Site, target: Site, direction: Direction, wanted: Mirroring) -> None:
    here, there = giver.cluster.datacenter, target.cluster.datacenter
    # Each by itself: what one copies another one would copy once more.
    alone = replace(direction, gathers={here: direction.gathers[here]})
    runs = mirroring.running(target, alone)
    mirroring.reconcile(target, runs, alone)
    mirroring.settle(target, runs)
    kill_point("failover-gathering")
    behind = Backlog(giver, target)
    with lasting(target.progress, "waits for", f"what {here} has and {there} lacks"):
        while left := behind.left(switching.ends(giver, wanted)):
            target.progress.now("waits for", f"{left:,} records of {here} that {there} lacks")
            time.sleep(switching.LOOK)
    switching.stop_mirror(giver, target)


def join(both: Sides, wanted: Mirroring, clock: Clock) -> Sides:
    """Have those that stand by, answer and have nothing alone be mirrored to again, each from where it is."""
    direction = both.direction
    active = both.of(direction.active)
    for name, known in (direction.apart or {}).items():
        here = both.of(name)
        was_lost = name == direction.before and not direction.planned
        if known or was_lost or not both.answers(here):
            continue
        looked = _rested(here, active, wanted)
        if looked is None:
            continue
        if looked.alone:
            _left(here, f"it has records that {active.cluster.datacenter} lacks")
            continue
        direction = taking_part(direction, looked)
        deciding.keep_everywhere(both, direction)
        clock.done(f"{name} goes on in {active.cluster.datacenter} from where it was")
        kill_point("failover-joined")
    return replace(both, direction=direction)


def _rested(here: Site, active: Site, wanted: Mirroring) -> Looked | None:
    """As `_look`, once nothing is mirrored to it from anywhere."""
    from kdeploy.cluster.failure import ClusterError

    try:
        rest(here)
    except (ClusterError, Unhealthy) as error:
        _left(here, str(error).splitlines()[0])
        return None
    return _look(here, active, wanted)


def taking_part(direction: Direction, looked: Looked) -> Direction:
    """A decision by which one more is mirrored to, from where it is."""
    apart = {one: known for one, known in (direction.apart or {}).items() if one != looked.name}
    ends = {topic: dict(some) for topic, some in direction.ends.items()}
    return replace(direction, apart=apart, begins={**direction.begins, looked.name: looked.begins(ends)})


def left_out(direction: Direction, name: str) -> tuple[str, ...]:
    """What is said of those that nothing is mirrored to, and of one that nobody is let in yet, a sentence each.

    Args:
        direction: What was decided.
        name: The environment.
    """
    if direction.gathers:
        others = " and ".join(direction.gathers)
        return (
            f"{direction.active} was decided on, and nobody can write there before it has what {others} had: "
            f"`kdeploy failover {name} --to {direction.active}` goes on",
        )
    return tuple(
        f"nothing is mirrored to {one} since it was left: `kdeploy failback {name}` has it take part again"
        for one in direction.apart or {}
    )


def gathering(target: Site) -> str:
    """Why another one does not take over while one gathers what others have."""
    here, name = target.cluster.datacenter, target.design.loaded.environment.name
    return (
        f"{here} was decided on, and mirrors what others have before anybody may write there; nothing was changed\n"
        f"  finish that first: kdeploy failover {name} --to {here}"
    )


def unmirrored(target: Site) -> str:
    """Why one that is apart does not take over while the one that is written to answers."""
    here, name = target.cluster.datacenter, target.design.loaded.environment.name
    return (
        f"nothing is mirrored to {here} since it was left, so it lacks what was written meanwhile; nothing was changed\n"
        f"  `kdeploy failback {name}` has it take part again, and exports what it alone has; then run this again"
    )


def refuse_left(both: Sides, source: Site, target: Site) -> None:
    """Refuse one that is apart where another one is not, as the one that is written to does not answer.

    Raises:
        KdeployError: Names those that may take over.
    """
    here, to = source.cluster.datacenter, target.cluster.datacenter
    others = [one.cluster.datacenter for one in beside(both, source, target)]
    if not both.many or both.direction.lets(here, to) or not others:
        return
    name = target.design.loaded.environment.name
    raise KdeployError(
        f"{to} was left and nothing is mirrored to it since, and {' and '.join(others)} "
        f"{'has' if len(others) == 1 else 'have'} what {here} wrote; nothing was changed\n"
        f"  have one of these take over: kdeploy failover {name} --to {'|'.join(others)} --accept-loss"
    )


def rival(both: Sides, to: str) -> Site:
    """Where each of two was taken over without the other: the one that is not to go on."""
    if not both.many:
        return both.other(to)
    return both.of(next(one for one in both.rivals if one != to))


def alone(both: Sides, here: Site, wanted: Mirroring) -> int | None:
    """How many records one that is apart alone has, counted; None where it does not answer, or they cannot be told."""
    from kdeploy.cluster import tail

    if not both.answers(here):
        return None
    try:
        _, own = apart_from(both, here, wanted)
    except KdeployError:
        return None
    with readiness.connected(here) as admin:
        return tail.count(admin, own).records


def apart_from(
    both: Sides, here: Site, wanted: Mirroring, *, rests: bool = False
) -> tuple[Looked, Positions]:
    """Where the mirror to one that is apart begins, and from where on it has records alone; only looks.

    Args:
        both: All of them.
        here: The one that is apart.
        wanted: What is mirrored.
        rests: Whether what is mirrored to it is to be stopped first, which may write there still.

    Raises:
        KdeployError: That cannot be known now; it was said why.
    """
    direction, name = both.direction, here.cluster.datacenter
    active, known = both.of(direction.active), (direction.apart or {}).get(name, {})
    if known and name == direction.before:
        # Written to until the active one took over, whose end was where its own mirrored records end. Of any other one that
        # may be otherwise by now: somebody may have followed it.
        return Looked(here, {}, {}), {topic: dict(some) for topic, some in known.items()}
    looked = _rested(here, active, wanted) if rests else _look(here, active, wanted)
    if looked is None:
        raise KdeployError(
            f"what {name} alone has cannot be told yet, and nothing was exported\n"
            f"  look at `kdeploy status {here.design.loaded.environment.name}`, and run this again"
        )
    return looked, looked.own
