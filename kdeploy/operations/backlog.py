"""What a datacenter has that its mirror has not, looked at again and again until it is little or nothing.

    mirrored by Connect's offsets → up to the end of each partition: records that can still be read, and are not there

Invariant: read-only. What no reader will ever see is nobody's to wait for: records that were deleted by their age, marks
of transactions, a topic that is gone. What a reader may yet see is waited for: a transaction that is open, and a
partition that nobody leads.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from kdeploy.operations import mirroring, readiness
from kdeploy.operations.site import Site
from kdeploy.spec.mirrored import is_mirrored
from kdeploy.tuning import mirror as named

if TYPE_CHECKING:
    from kdeploy.cluster.admin import Admin
    from kdeploy.cluster.connectors import Positions
    from kdeploy.cluster.state import Place
    from kdeploy.spec.mirroring import Mirroring

CLOSE: Final = 100_000
"""Offsets behind at which a planned failover begins: what is left is fetched while nobody may write."""


@dataclass(frozen=True)
class Ends:
    """Where each mirrored partition of a datacenter ends.

    Attributes:
        offsets: By topic and partition, its end as readers of committed records see it.
        unfinished: Partitions with a transaction that is open.
        leaderless: Partitions that nobody leads, so that they cannot be read.
    """

    offsets: Positions
    unfinished: tuple[Place, ...] = ()
    leaderless: tuple[Place, ...] = ()

    @property
    def waits(self) -> bool:
        """Whether more may come to be there, though nobody may write."""
        return bool(self.unfinished or self.leaderless)

    def why(self, here: str) -> str:
        """What may come yet, in words; empty where nothing can."""
        said = []
        if self.unfinished:
            said.append(f"a transaction is open on {_listed(self.unfinished)} of {here}")
        if self.leaderless:
            said.append(f"nobody leads {_listed(self.leaderless)} of {here}, which cannot be read")
        return ", and ".join(said)


def _listed(places: tuple[Place, ...]) -> str:
    topic, partition = places[0]
    more = f" and {len(places) - 1:,} more partitions" if len(places) > 1 else ""
    return f"{topic}-{partition}{more}"


def ends(here: Site, wanted: Mirroring) -> Ends:
    """The end of each partition of each mirrored topic."""
    with readiness.connected(here) as admin:
        partitions = [one for one in admin.metadata().partitions if is_mirrored(one.topic, wanted)]
        places = sorted((one.topic, one.index) for one in partitions)
        # Before the ends: what is finished in between lies before them.
        unfinished = tuple(sorted(admin.unfinished(places)))
        found: Positions = {}
        for (topic, partition), (_, end) in admin.spans(places).items():
            found.setdefault(topic, {})[partition] = end
    leaderless = tuple(sorted((one.topic, one.index) for one in partitions if one.leader is None))
    return Ends(found, unfinished, leaderless)


def reached(source: Site, target: Site) -> Positions:
    """By topic and partition of the source, its next offset that is not mirrored."""
    from kdeploy.cluster import connectors
    from kdeploy.cluster.connect import Declined

    here, there = source.cluster.datacenter, target.cluster.datacenter
    try:
        return connectors.positions(mirroring.connect(target).offsets(named.records(here, there)), here)
    except Declined as error:
        if error.status != 404:  # what cannot be asked is not the same as nothing mirrored
            raise
    return {}


def stale(known: Positions, upto: Positions) -> dict[Place, int]:
    """Partitions of which more is mirrored than there is, and how much: their topics were made anew. `known` first."""
    return {
        (topic, partition): at
        for topic, partitions in known.items()
        for partition, at in partitions.items()
        if at > upto.get(topic, {}).get(partition, at)
    }


@dataclass
class Backlog:
    """What one direction has left to mirror.

    Attributes:
        source: The datacenter that is read from.
        target: The one that is mirrored to.
        stale: Where the mirror says it is in topics that were made anew, beyond their ends; until it says otherwise it
            has nothing of them.
    """

    source: Site
    target: Site
    stale: Mapping[Place, int] = field(default_factory=dict)
    _before: dict[Place, int] = field(default_factory=dict)

    def left(self, upto: Positions) -> int:
        """Records before some offsets of the source that are not mirrored yet; many are counted by their offsets alone.

        Args:
            upto: By topic and partition, the offset before which all is to be mirrored.
        """
        known = reached(self.source, self.target)
        found = {
            (topic, partition): known.get(topic, {}).get(partition, 0)
            for topic, partitions in upto.items()
            for partition in partitions
        }
        found = {place: 0 if self.stale.get(place) == at else at for place, at in found.items()}
        behind = {place: at for place, at in found.items() if at < upto[place[0]][place[1]]}
        rests = {place for place, at in behind.items() if self._before.get(place) == at}
        self._before = behind
        if not behind:
            return 0
        with readiness.connected(self.source) as admin:
            return _readable(admin, behind, upto, rests)


def _readable(admin: Admin, behind: dict[Place, int], upto: Positions, rests: set[Place]) -> int:
    """Records from some offsets on: counted where they are few, else by offsets; of those that rest from the first one on."""
    spans = {
        place: (max(behind[place], first), min(upto[place[0]][place[1]], end))
        for place, (first, end) in admin.spans(behind).items()
    }
    spans = {place: span for place, span in spans.items() if span[0] < span[1]}
    offsets = sum(end - start for start, end in spans.values())
    if offsets > CLOSE and (still := {place: span for place, span in spans.items() if place in rests}):
        # What does not move may be what transactions leave behind, or compaction: no record at all, however much it is.
        first = admin.first_records(still)
        spans = {
            place: (first[place].offset, span[1]) if place in first else span
            for place, span in spans.items()
            if place not in still or place in first
        }
        offsets = sum(end - start for start, end in spans.values())
    if offsets > CLOSE:
        return offsets
    return sum(1 for _ in admin.records(spans))
