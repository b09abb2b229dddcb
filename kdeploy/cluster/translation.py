"""Where consumer groups would go on at the target, against where they are at the source.

    source: committed offset → checkpoint (upstream, downstream) → target: committed offset

MirrorMaker translates an offset to the last pair of offsets at or before it, so that a group which goes on at the
target reads some records again and skips none. How many is said from above, per partition:

    read again ≤ min(committed, mirrored) − upstream(where it goes on); of a dead source, mirrored − upstream(…)
    skipped    ≤ what the source's group went back behind its checkpoint, and what the target's went past it

upstream(t) is, of the pairs of offsets, the last one at or before t, or the one after it where t lies beyond
(OffsetSyncStore.translateDownstream, Kafka 3.9 to 4.3, the other way round). Where no pair is known it follows from
the ends of both sides: what the group has left to read on the source, counted back from the target's end; marks of
transactions on the target make that more, gaps on the source less.

Invariant: pure; what cannot be known is None, never 0.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from kdeploy.cluster.connectors import Positions
from kdeploy.cluster.mirror_records import Checkpoint
from kdeploy.cluster.route import Route
from kdeploy.cluster.state import Place

Syncs: TypeAlias = Mapping[Place, tuple[tuple[int, int], ...]]
"""By partition of the source, pairs of a target's and a source's offset of one record, ordered."""

Offsets: TypeAlias = Mapping[str, Mapping[Place, int]]
"""By group and partition, what it committed."""


@dataclass(frozen=True)
class Known:
    """What is known of both sides.

    Attributes:
        positions: By topic and partition of the source, the next offset that is not mirrored.
        ends: By partition of the target, its end.
        checkpoints: By group, topic of the target and partition, the last one.
        syncs: Pairs of offsets.
    """

    positions: Positions
    ends: Mapping[Place, int]
    checkpoints: Mapping[tuple[str, str, int], Checkpoint]
    syncs: Syncs


@dataclass(frozen=True)
class Translated:
    """A group's offset of one partition on both sides.

    Attributes:
        topic: The topic's name on the source.
        partition: Its partition.
        source: What the group committed on the source; None where the source is dead.
        upstream: What it had committed when its last checkpoint was made; None without one.
        downstream: The offset on the target that stands for it; None without a checkpoint.
        target: What is committed for it on the target, where it goes on; None where nothing is.
        re_read: Records, at most, that it reads again when it goes on at the target; None where it has no offset there.
        skipped: Records, at most, that it would not read on either side; None where it has no offset there.
    """

    topic: str
    partition: int
    source: int | None
    upstream: int | None
    downstream: int | None
    target: int | None
    re_read: int | None
    skipped: int | None


@dataclass(frozen=True)
class GroupState:
    """A group on both sides.

    Attributes:
        group: Its name.
        re_read: Records, at most, that it reads again at the target, of the partitions that have an offset there.
        skipped: Records, at most, that it would skip, of the same.
        untranslated: Partitions with an offset on the source and none on the target: there the group begins where its
            own auto.offset.reset has it.
        offsets: By topic and partition.
    """

    group: str
    re_read: int
    skipped: int
    untranslated: int
    offsets: tuple[Translated, ...]

    @property
    def has_checkpoint(self) -> bool:
        """Whether MirrorMaker has translated any of its offsets yet: it looks for new groups each 30 s."""
        return any(one.downstream is not None for one in self.offsets)


def group_states(
    route: Route, committed: Offsets | None, ask_target: Callable[[Collection[str]], Offsets], known: Known
) -> tuple[GroupState, ...]:
    """Groups that a route translates, by name.

    Args:
        route: Which.
        committed: What groups committed on the source; None where it is dead: then their checkpoints stand for it.
        ask_target: What some groups committed on the target.
        known: The rest.
    """
    places = _of_source(route, committed) if committed is not None else _of_checkpoints(route, known)
    if not places:
        return ()
    there = ask_target(sorted(places))
    return tuple(
        _group(
            group,
            [_row(route, group, place, committed, there.get(group, {}), known) for place in sorted(held)],
        )
        for group, held in sorted(places.items())
    )


def _group(group: str, rows: list[Translated]) -> GroupState:
    return GroupState(
        group,
        sum(one.re_read or 0 for one in rows),
        sum(one.skipped or 0 for one in rows),
        sum(one.target is None and one.downstream is None for one in rows),
        tuple(rows),
    )


def _of_source(route: Route, committed: Offsets) -> dict[str, set[Place]]:
    found = {
        group: {place for place in offsets if route.carries(place[0])}
        for group, offsets in committed.items()
        if route.translates(group)
    }
    return {group: places for group, places in found.items() if places}


def _of_checkpoints(route: Route, known: Known) -> dict[str, set[Place]]:
    names = {route.on_target(topic): topic for topic in _topics(route, known)}
    found: dict[str, set[Place]] = {}
    for group, topic, partition in known.checkpoints:
        if route.translates(group) and topic in names:
            found.setdefault(group, set()).add((names[topic], partition))
    return found


def _topics(route: Route, known: Known) -> Iterable[str]:
    """Names on the source of what there are checkpoints of."""
    prefix = "" if route.naming == "identity" else f"{route.source}."
    topics = {topic.removeprefix(prefix) for _, topic, _ in known.checkpoints if topic.startswith(prefix)}
    return filter(route.carries, topics)


def _row(
    route: Route,
    group: str,
    place: Place,
    committed: Offsets | None,
    there: Mapping[Place, int],
    known: Known,
) -> Translated:
    topic, partition = place
    on_target = (route.on_target(topic), partition)
    checkpoint = known.checkpoints.get((group, *on_target))
    source = None if committed is None else committed[group][place]
    target = there.get(on_target)
    before, after = (checkpoint.upstream, checkpoint.downstream) if checkpoint else (None, None)
    at = before if source is None else source
    goes_on = after if target is None else target
    re_read = skipped = None
    if at is not None and goes_on is not None:
        mirrored = known.positions.get(topic, {}).get(partition)
        end, upstream = known.ends.get(on_target), _upstream(known.syncs.get(place, ()), goes_on)
        # A dead source tells nothing of a group since its checkpoint: it may have read all that was ever mirrored.
        read = mirrored if committed is None and mirrored is not None else at
        re_read = _re_read(read, mirrored, upstream, _expected(read, mirrored, end), goes_on)
        skipped = _skipped(at, checkpoint, _expected(at, mirrored, end), goes_on)
    return Translated(topic, partition, source, before, after, target, re_read, skipped)


def _re_read(
    at: int, mirrored: int | None, upstream: int | None, expected: int | None, goes_on: int
) -> int | None:
    if upstream is not None:
        reached = at if mirrored is None else min(at, mirrored)
        return max(0, reached - upstream)
    return None if expected is None else max(0, expected - goes_on)


def _skipped(at: int, checkpoint: Checkpoint | None, expected: int | None, goes_on: int) -> int | None:
    if checkpoint is not None:
        return max(0, checkpoint.upstream - at) + max(0, goes_on - checkpoint.downstream)
    return None if expected is None else max(0, goes_on - expected)


def _upstream(pairs: tuple[tuple[int, int], ...], downstream: int) -> int | None:
    """The least offset of the source that an offset of the target may stand for; None where no pair says."""
    index = bisect_right(pairs, downstream, key=lambda pair: pair[0]) - 1
    if index < 0:
        return None
    at, upstream = pairs[index]
    return upstream + (downstream > at)


def _expected(at: int, mirrored: int | None, end: int | None) -> int | None:
    """Where a group would be on the target if there were no gaps on either side."""
    if mirrored is None or end is None:
        return None
    return max(0, end - max(0, mirrored - at))
