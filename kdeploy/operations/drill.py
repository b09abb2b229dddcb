"""`drill`: a failover and a failback with canary topics alone, measured against the environment's objectives.

    the ways that are mirrored now: canary written and followed by the connectors that carry everybody's topics
    the way back (active-passive):  a connector of the drill's own, that reads the canary of that side and nothing else
    the steps of a failover:        each timed on the canary, or looked at and not done

What is everybody's stays as it is: no topic, group, right or connector of theirs is changed, and nothing is decided. New
topics make MirrorMaker deal out its tasks anew, as any new topic does, which holds up records for about a second.

Invariant: whatever ends a drill, its topics, rights and connectors go; what a killed one left, the next one removes
before it begins.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from kdeploy.operations import (
    drill_ways,
    fencing,
    mirroring,
    places,
    readiness,
    set_out,
    sides,
    switching,
)
from kdeploy.operations.drill_report import DirectionDrilled, Drilled, GroupDrilled
from kdeploy.operations.failover_report import Behind, Step
from kdeploy.operations.killpoint import kill_point
from kdeploy.operations.lease import lease
from kdeploy.operations.progress import Progress, lasting
from kdeploy.operations.sides import Sides
from kdeploy.operations.site import Site
from kdeploy.operations.standing import told
from kdeploy.tuning import mirror as named

if TYPE_CHECKING:
    from kdeploy.cluster.admin import Admin
    from kdeploy.cluster.canary import Watch
    from kdeploy.spec.load import Loaded
    from kdeploy.spec.mirroring import Mirroring

WRITES_FOR: Final = 20.0
"""Seconds in which canary records are written: dozens of MirrorMaker's transactions, and as many delays."""

BATCH: Final = 50
"""Canary records that are written together."""

PAUSE: Final = 0.1
"""Seconds from one batch to the next."""

IN_FLIGHT: Final = 4 * named.TRANSACTION + 1
"""Seconds from an original's end to its copy's: what was fetched is written by then. A task that wrote to a topic that is
gone would fail."""

FOUND_WITHIN: Final = 3 * named.REFRESH
"""Seconds for MirrorMaker to find the canary, which it looks for each `REFRESH`, and to carry its first record."""

GROUP_WITHIN: Final = 3 * named.REFRESH + 4 * named.SYNC
"""The same for its group, whose offsets are then translated each `SYNC`."""


def drill(
    loaded: Loaded, progress: Progress, password_file: Path | None = None, *, seconds: float = WRITES_FOR
) -> Drilled:
    """Drill a failover and the way back.

    Args:
        loaded: The environment.
        progress: Where to report.
        password_file: File with the vault's password.
        seconds: How long canary records are written.

    Raises:
        UsageError: Nothing is mirrored.
        Unhealthy: A datacenter does not answer.
        KdeployError: One was lost and has not been given back, so that there is no mirror to drill.
    """
    wanted = sides.refuse_unmirrored(loaded)
    name = loaded.environment.name
    with lease(places.state_folder(name), "drill"), told(name, progress):
        both = sides.look(loaded, progress, password_file)
        drill_ways.refuse_early(both, wanted)
        with ExitStack() as stack:
            admins = {
                one.cluster.datacenter: stack.enter_context(readiness.connected(one)) for one in both.sites
            }
            work = _Drill(both, wanted, admins, progress, seconds)
            work.removed = work.clear()
            with work.cleared():
                return work.run()


@dataclass
class _Drill:
    """One drill at work."""

    both: Sides
    wanted: Mirroring
    admins: Mapping[str, Admin]
    progress: Progress
    seconds: float
    removed: tuple[str, ...] = ()
    steps: list[Step] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        from kdeploy.cluster import temporary

        self.mark = temporary.mark()

    def run(self) -> Drilled:
        """All of it."""
        environment = self.both.sites[0].design.loaded.environment
        kill_point("drill-begun")
        found: list[DirectionDrilled] = []
        for one, others in drill_ways.ways(self.both, self.wanted):
            found += self._mirrored(one, others)
        if self.wanted.mode == "active-active":
            self._time("decide who is handed out", lambda: self._decide(*self.both.sites))
        else:
            back = drill_ways.ways_back(self.both)
            with self._longest():
                found += [self._back(one, active) for one, active in back]
            self._time(
                "decide who is written to", lambda: self._decide(back[0][1], *(one for one, _ in back))
            )
            with self._longest():
                for one, _ in back:
                    self._time(f"open {one.cluster.datacenter}", partial(self._right, one, given=True))
        return Drilled(
            environment.name,
            self.wanted.mode,
            self.both.direction.active or None,
            self.wanted.rpo,
            self.wanted.rto,
            tuple(found),
            tuple(self.steps),
            tuple(self.problems),
            self.removed,
        )

    def _mirrored(self, source: Site, targets: Sequence[Site]) -> list[DirectionDrilled]:
        """The ways that everybody's topics of a datacenter go, with the steps that a failover along them takes."""
        from kdeploy.cluster import canary

        here = source.cluster.datacenter
        topic = canary.name(here, self.mark)
        canary.make(self.admins[here], topic)
        self._say(f"canary {topic} is made in {here}")
        watches = {one.cluster.datacenter: self._watch(source, one) for one in targets}
        with ExitStack() as stack:
            for watch in watches.values():
                stack.enter_context(watch.looking())
            acknowledged = self._begin(source, tuple(watches.values()), topic)
            seen = [one for one in targets if watches[one.cluster.datacenter].end]
            self.problems += [self._unseen(source, one) for one in targets if one not in seen]
            if not seen:
                return [DirectionDrilled(here, there, True, 1, 0, 0, (), 1) for there in watches]
            known = self._groups_known(source, seen, topic)
            began = time.monotonic()
            acknowledged |= self._write(source, topic, self.seconds)
            kill_point("drill-written")
            passive = self.wanted.mode == "active-passive"
            if passive:
                self.admins[here].create_bindings([canary.right(topic)])
                self._time(f"fence {here}", lambda: self._right(source, given=False))
            for one in seen:
                self._wait(watches[one.cluster.datacenter], acknowledged, one.cluster.datacenter)
            if passive:
                self._drained([watches[one.cluster.datacenter] for one in seen], acknowledged)
            groups = self._groups(source, known, topic, len(acknowledged), passive) if known else {}
        found = []
        for one in targets:
            there = one.cluster.datacenter
            if one not in seen:
                found.append(DirectionDrilled(here, there, True, 1, 0, 0, (), 1))
                continue
            drilled = self._counted(source, one, watches[there], acknowledged, began)
            link = switching.look(source, one, self.wanted, here)
            behind = Behind(link.records, link.seconds)
            found.append(replace(drilled, behind=behind, group=groups.get(there)))
        return found

    def _back(self, source: Site, target: Site) -> DirectionDrilled:
        """The way back, that nothing is mirrored now, by a connector that reads the canary alone."""
        from kdeploy.cluster import canary

        here, there = source.cluster.datacenter, target.cluster.datacenter
        topic, connector = canary.name(here, self.mark), named.drill(here, there)
        canary.make(self.admins[here], topic)
        client = mirroring.connect(target)
        client.create(connector, self._config(target, here, topic))
        self._say(f"canary {topic} is mirrored to {there} by {connector}")
        kill_point("drill-back")
        watch = self._watch(source, target)
        with watch.looking():
            acknowledged = self._begin(source, (watch,), topic)
            if not watch.end:
                self.problems.append(self._unseen(source, target))
                return DirectionDrilled(here, there, False, 1, 0, 0, (), 1)
            began = time.monotonic()
            acknowledged |= self._write(source, topic, self.seconds / 2)
            self._wait(watch, acknowledged, there)
        self._time("stop a mirror", lambda: self._stop(target, connector))
        return replace(self._counted(source, target, watch, acknowledged, began), mirrored_now=False)

    def _config(self, target: Site, source: str, topic: str) -> dict[str, str]:
        """The connector that would carry records this way, reduced to one topic."""
        from kdeploy.tuning.mirror import OWN_TOPICS

        mirror = target.cluster.mirror
        assert mirror is not None  # noqa: S101 - for the reader; both sides are mirrored
        name = named.records(source, target.cluster.datacenter)
        config = next(one.config for one in mirror.connectors if one.name == name)
        return {
            **config,
            "topics": topic,
            "topics.exclude": ",".join(OWN_TOPICS),
            "tasks.max": "1",
            "sync.topic.acls.enabled": "false",  # its target may be written to, where the mirror may not alter them
            "heartbeats.replication.enabled": "false",  # else they are mirrored, whatever `topics` says
        }

    def _watch(self, source: Site, target: Site) -> Watch:
        from kdeploy.cluster.canary import Watch

        return Watch(self.admins[target.cluster.datacenter], self._copy(source.cluster.datacenter))

    def _begin(self, source: Site, watches: Sequence[Watch], topic: str) -> dict[int, float]:
        """Write the first record, and wait until MirrorMaker has found the topic wherever it is watched, or is given up."""
        from kdeploy.cluster import canary

        canary.write(source.access, topic, [0])
        began = time.monotonic()
        with lasting(self.progress, "waits for", f"MirrorMaker to find {topic}"):
            while not all(one.end for one in watches) and time.monotonic() < began + FOUND_WITHIN:
                time.sleep(canary.LOOK)
        return {0: began}

    def _write(self, source: Site, topic: str, seconds: float) -> dict[int, float]:
        """Write records for a while; when each was acknowledged, by number."""
        from kdeploy.cluster import canary

        found: dict[int, float] = {}
        until, number = time.monotonic() + seconds, 1
        with lasting(self.progress, source.cluster.datacenter, "takes canary records"):
            while time.monotonic() < until or number == 1:
                some = range(number, number + BATCH)
                canary.write(source.access, topic, some)
                found |= dict.fromkeys(some, time.monotonic())
                number += BATCH
                time.sleep(PAUSE)
        return found

    def _wait(self, watch: Watch, acknowledged: Mapping[int, float], there: str) -> None:
        """Wait until all came, or for as long as a failover may take."""
        deadline = time.monotonic() + self.wanted.rto
        with lasting(self.progress, "waits for", f"canary records in {there}"):
            while time.monotonic() < deadline:
                # The end is what is cheap to look at; marks of transactions make it later, and nothing earlier.
                if (
                    watch.end >= len(acknowledged)
                    and {one for one, _ in watch.arrived()} >= acknowledged.keys()
                ):
                    return
                time.sleep(PAUSE)

    def _drained(self, watches: Sequence[Watch], acknowledged: Mapping[int, float]) -> None:
        """How long it took from the last record that was acknowledged to the last one that came."""
        came = max((at for watch in watches for _, at in watch.arrived()), default=0.0)
        self._say("wait until all is mirrored")
        self.steps.append(Step("wait until all is mirrored", max(0.0, came - max(acknowledged.values()))))

    def _counted(
        self, source: Site, target: Site, watch: Watch, acknowledged: dict[int, float], began: float
    ) -> DirectionDrilled:
        from kdeploy.cluster import canary

        here, there = source.cluster.datacenter, target.cluster.datacenter
        arrived = watch.arrived()
        # The first record waited for the canary to be found, which no record of a topic that is there waits for.
        measured = {which: at for which, at in acknowledged.items() if at >= began}
        came = {which for which, _ in arrived}
        missing = len(acknowledged.keys() - came)
        if missing:
            self.problems.append(
                f"{missing:,} of {len(acknowledged):,} canary records did not come from {here} to {there} within "
                f"{self.wanted.rto:g} s"
            )
        doubled = len(arrived) - len(came)
        if doubled:
            self.problems.append(f"{doubled:,} canary records came from {here} to {there} more than once")
        return DirectionDrilled(
            here,
            there,
            True,
            len(acknowledged),
            len(came & acknowledged.keys()),
            doubled,
            canary.delays(measured, arrived),
            canary.most_missing(measured, arrived),
        )

    def _groups_known(self, source: Site, targets: Sequence[Site], topic: str) -> list[Site]:
        """Commit for the canary's group, and wait until MirrorMaker has found it; the targets where it has."""
        from kdeploy.cluster import canary

        canary.commit(source.access, topic, 1)
        deadline = time.monotonic() + GROUP_WITHIN
        with lasting(self.progress, "waits for", f"MirrorMaker to find group {topic}"):
            while True:
                late = [one for one in targets if self._goes_on(one, topic) is None]
                if not late or time.monotonic() > deadline:
                    break
                time.sleep(PAUSE)
        for one in late:
            here, there = source.cluster.datacenter, one.cluster.datacenter
            self.problems.append(
                f"the canary's group was not translated from {here} to {there} within {GROUP_WITHIN:g} s: see "
                "what `kdeploy mirror status` says of its groups connector"
            )
        return [one for one in targets if one not in late]

    def _goes_on(self, target: Site, topic: str) -> int | None:
        found = self.admins[target.cluster.datacenter].group_offsets([topic]).get(topic, {})
        return next(iter(found.values()), None)

    def _groups(
        self, source: Site, targets: Sequence[Site], topic: str, records: int, timed: bool
    ) -> dict[str, GroupDrilled]:
        """Commit where the canary ends, and wait until the group is as near to it at each target as it comes."""
        from kdeploy.cluster import canary

        before = {one.cluster.datacenter: self._goes_on(one, topic) for one in targets}
        began = time.monotonic()
        canary.commit(source.access, topic, records)
        changed: dict[str, float] = {}

        def translated() -> None:
            while time.monotonic() < began + 2 * named.SYNC + 1:
                for one in targets:
                    there = one.cluster.datacenter
                    if there not in changed and self._goes_on(one, topic) != before[there]:
                        changed[there] = time.monotonic() - began
                if len(changed) == len(targets):
                    return
                time.sleep(PAUSE)

        self._time("translate groups", translated) if timed else translated()
        return {
            there: GroupDrilled(records, self._records_before(source, one, topic), changed.get(there))
            for one in targets
            for there in [one.cluster.datacenter]
        }

    def _records_before(self, source: Site, target: Site, topic: str) -> int | None:
        """How many canary records are before where the group goes on."""
        at = self._goes_on(target, topic)
        if at is None:
            return None
        place = (self._copy(source.cluster.datacenter), 0)
        return sum(1 for _ in self.admins[target.cluster.datacenter].records({place: (0, at)}))

    def _right(self, here: Site, *, given: bool) -> None:
        """Look at what a cluster's access lists would be changed to, as a failover does, and change one of the canary."""
        from kdeploy.cluster import canary

        datacenter = here.cluster.datacenter
        admin, right = self.admins[datacenter], canary.right(canary.name(datacenter, self.mark))
        fencing.rights(replace(here, written=datacenter if given else ""), admin)
        (admin.create_bindings if given else admin.delete_bindings)([right])
        until = time.monotonic() + here.patience
        while (right in admin.bindings()) != given and time.monotonic() < until:
            time.sleep(PAUSE)

    def _decide(self, *both: Site) -> None:
        """A record in each cluster, acknowledged by all in-sync copies, as a decision is."""
        from kdeploy.cluster import canary

        for one in both:
            canary.write(one.access, canary.name(one.cluster.datacenter, self.mark), [0])

    def _stop(self, target: Site, connector: str) -> None:
        client = mirroring.connect(target)
        client.stop(connector)
        client.wait(
            f"connector {connector} rests",
            lambda found: connector not in found or found[connector].rests,
            set_out.STARTS_WITHIN,
        )

    def _unseen(self, source: Site, target: Site) -> str:
        here, there = source.cluster.datacenter, target.cluster.datacenter
        return (
            f"nothing of the canary came from {here} to {there} within {FOUND_WITHIN:g} s: the mirror does not run, or "
            "exclude_topics leaves out names that begin with kdeploy-drill-"
        )

    def _time(self, what: str, work: Callable[[], None]) -> None:
        began = time.monotonic()
        work()
        self.steps.append(Step(what, time.monotonic() - began))
        self._say(what)

    @contextmanager
    def _longest(self) -> Iterator[None]:
        """Of steps of the block, of which a failover takes one, leave the one that took longest."""
        before = list(self.steps)
        yield
        taken = sorted(self.steps[len(before) :], key=lambda step: step.seconds or 0.0)
        self.steps = [*before, *taken[-1:]]

    def _say(self, what: str) -> None:
        self.progress.step("drill", what)

    @contextmanager
    def cleared(self) -> Iterator[None]:
        """Remove everything of this drill when the block ends, however it ends."""
        try:
            yield
        finally:
            self.clear(own=True)

    def clear(self, *, own: bool = False) -> tuple[str, ...]:
        """Remove what drills left that do not run any more, or what this one made; the names of all of it."""
        from kdeploy.cluster import canary

        gone = set[str]()
        for one in self.both.sites:
            gone |= set(self._without_connectors(one))
        found = {name: set(canary.there(admin)) for name, admin in self.admins.items()}
        ours = {
            name: {one for one in some if (canary.made_by(self.mark, one) if own else canary.abandoned(one))}
            for name, some in found.items()
        }
        for one in self.both.sites if own else ():  # also what the broker that was asked does not know yet
            name = one.cluster.datacenter
            ours[name] |= {canary.name(name, self.mark), *map(self._copy, self._others(one))}
        # Originals go first: of one whose copy is gone MirrorMaker would make another copy.
        for name, admin in self.admins.items():
            canary.remove(admin, sorted(one for one in ours[name] if canary.is_made_in(one, name)))
        if any(ours.values()):
            time.sleep(IN_FLIGHT)
        for name, admin in self.admins.items():
            canary.remove(admin, sorted(one for one in ours[name] if not canary.is_made_in(one, name)))
        return tuple(sorted(gone.union(*ours.values())))

    def _copy(self, source: str) -> str:
        """What this drill's canary of a datacenter is called on the other side."""
        from kdeploy.cluster import canary

        topic = canary.name(source, self.mark)
        return topic if self.wanted.names == "identity" else f"{source}.{topic}"

    def _without_connectors(self, here: Site) -> Iterator[str]:
        client = mirroring.connect(here)
        there = client.connectors()
        for other in self._others(here):
            name = named.drill(other, here.cluster.datacenter)
            if name in there:
                self._stop(here, name)
                client.forget_offsets(name)
                client.delete(name)
                yield name

    def _others(self, here: Site) -> list[str]:
        return [one.cluster.datacenter for one in self.both.sites if one is not here]
