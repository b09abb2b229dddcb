"""The parts of a failover, each of which looks at what is and may be done again.

Invariant: nothing here opens or closes a datacenter (`fencing`); a mirror is stopped, and never forgotten.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from kdeploy.errors import GateClosed, KdeployError
from kdeploy.operations import backlog, group_rights, mirroring, places, readiness, set_out
from kdeploy.operations.backlog import Backlog
from kdeploy.operations.killpoint import kill_point
from kdeploy.operations.progress import lasting
from kdeploy.operations.site import Site
from kdeploy.tuning import mirror as named

if TYPE_CHECKING:
    from kdeploy.cluster.connectors import Positions
    from kdeploy.cluster.direction import Direction
    from kdeploy.cluster.loss import Loss
    from kdeploy.cluster.mirror import LinkStatus
    from kdeploy.spec.mirroring import Mirroring

LOOK: Final = 0.5
"""Seconds between two looks at how far the mirror is."""


NAMED: Final = 10
"""Groups that are named; there may be thousands."""

TRANSACTION: Final = 900.0
"""Seconds after which Kafka ends by itself whatever transaction a producer left open (transaction.max.timeout.ms, its
default, Kafka 3.9 to 4.3)."""


class Behind(KdeployError):
    """Records would be lost, or it cannot be known whether; nothing was decided."""


def untranslated(source: Site, target: Site) -> str:
    """Why groups would not be translated to the target; empty where nothing keeps them from it."""
    name = named.groups(source.cluster.datacenter, target.cluster.datacenter)
    found = mirroring.connect(target).connectors().get(name)
    if found is not None and not found.failed:
        return ""
    trace = next((one.trace for one in found.tasks if one.trace), found.trace) if found else ""
    state = f"failed{f': {trace}' if trace else ''}" if found else "is not there"
    return (
        f"connector {name} {state}, so groups would go on where they were translated last, or by their auto.offset.reset\n"
        f"  `kdeploy up {source.design.loaded.environment.name}` makes it run"
    )


def translate(source: Site, target: Site, wanted: Mirroring) -> None:
    """Wait until groups are where they were, or were translated once more with nothing left to be mirrored.

    Groups that have no offset at the target then are named: there they begin where their own auto.offset.reset has it.
    """
    deadline = time.monotonic() + 2 * named.SYNC + 1
    with lasting(source.progress, "waits for", "groups to be translated"):
        while (found := _apart(source, target, wanted)) and time.monotonic() < deadline:
            time.sleep(LOOK)
    there = target.cluster.datacenter
    for group in [group for group, known in sorted(found.items()) if not known][:NAMED]:
        said = f"group {group} has no offset in {there} for some of its partitions: there it begins by its auto.offset.reset"
        source.progress.step("failover", said)


def _apart(source: Site, target: Site, wanted: Mirroring) -> dict[str, bool]:
    """Groups that have more left to read at the target than at the source, and whether each has all offsets there."""
    from kdeploy.cluster.route import Route

    route = Route.of(wanted, source.cluster.datacenter, target.cluster.datacenter, target.datacenters)
    with readiness.connected(source) as here, readiness.connected(target) as there:
        committed = {name: some for name, some in here.group_offsets().items() if route.translates(name)}
        translated = there.group_offsets(sorted(committed)) if committed else {}
        places = sorted({place for one in committed.values() for place in one if route.carries(place[0])})
        mine, theirs = here.spans(places), there.spans(places)
    found: dict[str, bool] = {}
    for group, offsets in committed.items():
        for place, offset in offsets.items():
            if place not in mine or place not in theirs:
                continue
            goes_on, (start, end) = translated.get(group, {}).get(place), theirs[place]
            left = end - (start if goes_on is None else goes_on)
            if left > (mine[place][1] - offset if goes_on is not None else 0):
                found[group] = found.get(group, True) and goes_on is not None
    return found


def stop_mirror(source: Site, target: Site, within: float | None = None) -> Positions:
    """Stop what carries records and groups, both at once, and say how far it came.

    Both, since each is a rebalance of the workers that the other one would wait for, and each may hold a question to a
    source that is dead. When it returns, nothing that comes from the source writes at the target any more, whatever
    became of its tasks, which is why nobody is let in there before: a connector `rests` once none of its tasks is left
    in Connect's status, and a task leaves it when it has ended, or when its worker gave it up after
    task.graceful.shutdown.timeout.ms and closed its producer (AbstractWorkerSourceTask.cancel of connect-runtime, Kafka
    3.9 to 4.3, read 2026-11-27); a transaction that was open then is never committed. What the task that carries groups
    does beside its producer, offsets of groups that nobody is a member of, ends with it.

    Args:
        source: The datacenter that is read from.
        target: The one that is mirrored to.
        within: Seconds for it to rest; as for whatever workers are to do when left out.
    """
    here, there = source.cluster.datacenter, target.cluster.datacenter
    client = mirroring.connect(target)
    names = [
        name
        for name in (named.records(here, there), named.groups(here, there))
        if name in client.connectors()
    ]
    if names:
        with ThreadPoolExecutor(len(names), "kdeploy-stopping") as pool:
            # A client each: one remembers which worker answered it last.
            list(pool.map(lambda name: mirroring.connect(target).stop(name), names))
    client.wait(
        "the mirror rests",
        lambda found: all(found[name].rests for name in names if name in found),
        set_out.STARTS_WITHIN if within is None else within,
    )
    return backlog.reached(source, target)


def ends(here: Site, wanted: Mirroring) -> Positions:
    """The end of each partition of each mirrored topic."""
    return backlog.ends(here, wanted).offsets


def lost(
    source: Site,
    target: Site,
    wanted: Mirroring,
    since: datetime,
    before: Mapping[str, Mapping[int, int]] | None = None,
) -> Loss:
    """About what is lost with a datacenter that does not answer any more, by what its mirror shows.

    Args:
        source: The datacenter.
        target: The one that its records were mirrored to.
        wanted: What is mirrored.
        since: When it was decided to go on without it.
        before: By topic and partition of the target, offsets from which on it was written to by others than its mirror.
    """
    from kdeploy.cluster import loss
    from kdeploy.cluster.route import Route

    route = Route.of(wanted, source.cluster.datacenter, target.cluster.datacenter, target.datacenters)
    declared = target.cluster.mirror.connectors if target.cluster.mirror else ()
    tasks = next((int(one.config["tasks.max"]) for one in declared if one.name == route.records), 1)
    with readiness.connected(target) as admin:
        return loss.look(route, admin, since.timestamp(), wanted.rpo, tasks, before)


def export(
    target: Site, direction: Direction, wanted: Mirroring, folder: Path | None, done: Callable[[str], None]
) -> tuple[str, int]:
    """Records that the old primary alone has, counted and written to files."""
    from kdeploy.cluster import tail

    here, place = target.cluster.datacenter, folder or export_folder(target, direction)
    mirrored = unmirrored(target, direction, wanted)
    with readiness.connected(target) as admin:
        found = tail.export(admin, mirrored, place)
    done(f"{found.records:,} records that {here} alone has are in {place}")
    if found.expired:
        done(
            f"{found.expired:,} offsets more were deleted in {here} by its own retention before they were read"
        )
    return str(place), found.records


def export_folder(target: Site, direction: Direction) -> Path:
    """Where the records of an old primary go that it alone has, unless a person says otherwise."""
    name = target.design.loaded.environment.name
    return places.state_folder(name) / "unmirrored" / f"{target.cluster.datacenter}-{direction.epoch}"


def unmirrored(target: Site, direction: Direction, wanted: Mirroring) -> Positions:
    """By topic and partition of the old primary, the first offset that was not mirrored when it was lost."""
    return {
        topic: {partition: direction.mirrored.get(topic, {}).get(partition, 0) for partition in partitions}
        for topic, partitions in ends(target, wanted).items()
    }


def alone(source: Site, direction: Direction, wanted: Mirroring) -> int:
    """How many records a datacenter alone has, counted, by where it was when the other one took over."""
    from kdeploy.cluster import tail

    with readiness.connected(source) as admin:
        return tail.count(admin, unmirrored(source, direction, wanted)).records


def settled(direction: Direction, source: Site, target: Site) -> Direction:
    """A decision on the target with what is known to be mirrored to it of the source by now."""
    from kdeploy.cluster.direction import furthest

    return replace(direction, mirrored=furthest(direction.mirrored, backlog.reached(source, target)))


def approach(source: Site, target: Site, wanted: Mirroring, within: float) -> None:
    """Before anybody is fenced, see that the mirror moves: wait until it is where the source is now.

    It is timed by this machine's clock and not by what records say of theirs, which may be years old. A mirror that
    takes longer than the environment's rpo is said to be behind; it is waited for while everybody writes on.

    Raises:
        Behind: It is not there in time; nobody was fenced.
    """
    here, there = source.cluster.datacenter, target.cluster.datacenter
    known, upto = backlog.reached(source, target), ends(source, wanted)
    behind, began, told = Backlog(source, target, backlog.stale(known, upto)), time.monotonic(), False
    with lasting(source.progress, "waits for", f"the mirror into {there}"):
        while left := behind.left(upto):
            late = time.monotonic() - began
            if late > within:
                raise Behind(
                    f"the mirror into {there} is {left:,} records behind, and did not fetch them within {within:.0f} s\n"
                    f"  nothing was changed, and {here} is written to as before; "
                    f"`kdeploy mirror status {source.design.loaded.environment.name}` says what holds it up"
                )
            if late > wanted.rpo and not told:
                source.progress.step(
                    "failover",
                    f"the mirror into {there} is {left:,} records and more than {wanted.rpo:g} s behind, which is the "
                    f"environment's rpo: {here} stays open until it has caught up",
                )
                told = True
            source.progress.now("waits for", f"{left:,} records of {here} to be mirrored")
            time.sleep(LOOK)


def look(source: Site | None, target: Site, wanted: Mirroring, here: str) -> LinkStatus:
    """How one direction is (`cluster.mirror`), with what access lists keep from its groups (`group_rights`).

    Args:
        source: The datacenter that is read from; None where it does not answer.
        target: The one that is mirrored to.
        wanted: What is mirrored.
        here: Name of the source.
    """
    from kdeploy.cluster import mirror
    from kdeploy.cluster.route import Route

    route = Route.of(wanted, here, target.cluster.datacenter, target.datacenters)
    with ExitStack() as stack:
        there = stack.enter_context(readiness.connected(target))
        asked = None if source is None else (source, stack.enter_context(readiness.connected(source)))
        found = mirror.look(route, asked and asked[1], there, mirroring.connect(target), time.time())
        return group_rights.told(found, route, asked, (target, there))


def look_at_groups(
    answering: Site | None,
    target: Site,
    wanted: Mirroring,
    source: Site,
    what: str = "what groups will read again",
    *,
    silent: bool = False,
) -> LinkStatus | None:
    """How groups will go on, looked at before anybody is let in; None, with a word, where it cannot be known.

    Args:
        answering: The datacenter that is read from, where it answers.
        target: The one that takes over; said is what keeps groups from going on there.
        wanted: What is mirrored.
        source: The datacenter that is read from.
        what: What cannot be known then, in words.
        silent: Whether its warnings were said before.
    """
    from kdeploy.cluster.failure import ClusterError

    say = target.progress.step
    try:
        found = look(answering, target, wanted, source.cluster.datacenter)
    except ClusterError as error:  # holds nothing up
        say("failover", f"{what} is not known: {str(error).splitlines()[0]}")
        return None
    for warning in () if silent else found.warnings:
        say("failover", f"warning: {warning}")
    return found


def warn_behind(answering: Site | None, target: Site, wanted: Mirroring, source: Site) -> LinkStatus | None:
    """Active-active: say where clients that move would find less than they left, for longer than is the objective.

    Arguments and result as `look_at_groups`, which it does too.
    """
    from kdeploy.units import format_duration

    here, there = source.cluster.datacenter, target.cluster.datacenter
    what = f"what groups will read again and how far the mirror into {there} is behind"
    found = look_at_groups(answering, target, wanted, source, what)
    if answering is None or found is None or found.records == 0:
        return found
    if found.records is None or found.seconds is None or found.seconds > wanted.rpo:
        count = "an unknown number of" if found.records is None else f"{found.records:,}"
        since = "" if found.seconds is None else f", {format_duration(found.seconds)} behind"
        said = (
            f"the mirror into {there} lacks {count} records of {here}{since}; the environment's rpo is "
            f"{format_duration(wanted.rpo)}. None is lost: clients find them in {there} when they have come"
        )
        source.progress.step("failover", said)
    return found


def catch_up(source: Site, target: Site, wanted: Mirroring, within: float) -> None:
    """Wait until so little is left to be mirrored that it takes no time worth mentioning to fetch it."""
    deadline, mirrored = time.monotonic() + within, Backlog(source, target)
    with lasting(source.progress, "waits for", f"{target.cluster.datacenter} to catch up"):
        while (behind := mirrored.left(ends(source, wanted))) > backlog.CLOSE:
            if time.monotonic() > deadline:
                raise GateClosed(
                    f"{target.cluster.datacenter} is still about {behind:,} records behind after {within:.0f} s\n"
                    f"  {source.cluster.datacenter} is written to and serves; run this again to go on"
                )
            source.progress.now("waits for", f"about {behind:,} records to be mirrored")
            time.sleep(LOOK)


def drain(
    source: Site,
    target: Site,
    wanted: Mirroring,
    within: float,
    done: Callable[[str], None],
    *,
    unreadable: bool = False,
) -> None:
    """Wait until everything that the fenced primary has is mirrored, groups too.

    Looked at anew each time, and once more when groups are translated: a broker may hear of the fence late, and a
    transaction that was open then may be committed after it, by rights that no fence of topics takes.

    Args:
        source: The datacenter that is fenced.
        target: The one that takes over.
        wanted: What is mirrored.
        within: Seconds for it.
        done: Hears of each part.
        unreadable: Whether partitions that nobody leads are given up.

    Raises:
        Behind: It is not mirrored in time; nothing was decided.
    """
    here = source.cluster.datacenter
    behind, deadline = Backlog(source, target), time.monotonic() + within
    _mirror_all(behind, wanted, within, deadline, unreadable=unreadable)
    done(f"all that {here} has is mirrored")
    kill_point("failover-drained")
    translate(source, target, wanted)
    done("groups are translated")
    kill_point("failover-translated")
    _mirror_all(behind, wanted, within, deadline, unreadable=unreadable)


def _mirror_all(
    behind: Backlog, wanted: Mirroring, within: float, deadline: float, *, unreadable: bool
) -> None:
    source, told = behind.source, ""
    here = source.cluster.datacenter
    with lasting(source.progress, "waits for", f"what {here} has to be mirrored"):
        while True:
            found = backlog.ends(source, wanted)
            if unreadable:
                found = replace(found, leaderless=())
            left = behind.left(found.offsets)
            if not left and not found.waits:
                return
            said = f"{left:,} records of {here} were not mirrored" if left else found.why(here)
            if time.monotonic() > deadline:
                raise Behind(
                    f"{said} within {within:.0f} s, so nothing was decided\n"
                    f"  look at `kdeploy mirror status {source.design.loaded.environment.name}`, and run this again"
                    if left
                    else f"{said}, for {within:.0f} s by now, so nothing was decided\n"
                    "  see that its producer ends it, or its brokers are up, and run this again"
                )
            source.progress.now("waits for", f"{left:,} records of {here} to be mirrored" if left else said)
            if not left and said != told:
                # A line of its own: what holds it up is not kdeploy's to end, and writers are refused meanwhile.
                source.progress.step("failover", f"{said}: it is waited for, {within:.0f} s at most")
                told = said
            time.sleep(LOOK)


def finish_transactions(here: Site, wanted: Mirroring, within: float) -> None:
    """Wait until no transaction is open on mirrored topics of a datacenter that is fenced.

    Raises:
        GateClosed: One stays open for longer than Kafka lets any.
    """
    name, deadline = here.cluster.datacenter, time.monotonic() + min(within, TRANSACTION)
    with lasting(here.progress, "waits for", f"transactions of {name} to end"):
        while (found := backlog.ends(here, wanted)).waits:
            if time.monotonic() > deadline:
                raise GateClosed(
                    f"{found.why(name)}, so what {name} alone has cannot be told yet; it stays fenced\n"
                    "  see that its brokers are up, or abort it with Kafka's own kafka-transactions.sh, and run this again"
                )
            here.progress.now("waits for", found.why(name))
            time.sleep(LOOK)
