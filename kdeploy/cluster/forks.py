"""How far two copies of the same records go together, found by what the records are: their offsets differ.

    the last records of one → looked for in the other, from their time on → none is there: further back, ever more
    → one is there, and in both just once: both are read on from it, side by side, up to where they differ or one ends

Partitions and order are the same in both, and so are keys, values, headers and the times that producers gave: a mirror
changes none. Compaction and retention take from each by itself, one may hold in between what it once had alone, an old
record may have been written once more by an application, and equal records tell nothing; wherever it is in doubt the
earliest place counts.

Invariant: read-only; of a partition nothing is taken for shared that was not seen in both. Memory is bounded by some ten
thousand records of `AT_ONCE` partitions.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, TypeAlias

from kdeploy.cluster.batches import of

if TYPE_CHECKING:
    from kdeploy.cluster.admin import Admin
    from kdeploy.cluster.state import LogRecord, Place

NEAR: Final = 64
"""Offsets before a place in which its last records are looked for at first: each transaction of a mirror leaves a mark."""

FURTHER: Final = 8
"""Times that it is looked further back each time; what is read on is as many times what one alone has, at most."""

SCAN: Final = 200_000
"""Offsets that are looked at from where the timestamps of a run begin: with timestamps in no order it may be anywhere
after that, and a second or two of reading is what a person waits for one partition."""

CHUNK: Final = 4_096
"""Offsets of a partition that are read at a time, side by side with the other one's."""

AT_ONCE: Final = 100
"""Partitions that are looked at together."""

RUNS: Final = (1, 4, 16)
"""Records in a row that are looked for as one: what one does not tell apart, as equal ones within a millisecond."""

Content: TypeAlias = tuple[float | None, bytes | None, bytes | None, tuple[tuple[str, bytes | None], ...]]
"""What makes a record the same: its time, where producers gave it, its key, value and headers."""

Run: TypeAlias = tuple[Content, ...]
"""Records in a row."""


@dataclass(frozen=True, order=True)
class Fork:
    """Of one partition, where two go apart.

    Attributes:
        topic: Its topic.
        partition: Its number.
        there: Offset in the origin from which on the copy lacks what it has; never after the true place.
        alone: Offset in the copy from which on it has what the origin lacks, its end where there is nothing; never after the
            true place.
        is_exact: Whether both are the true places; if not, what is mirrored from `there` may come twice.
    """

    topic: str
    partition: int
    there: int
    alone: int
    is_exact: bool = True


@dataclass
class _Search:
    """One partition that is looked at.

    Attributes:
        place: The partition.
        mine: First offset and end of the copy.
        theirs: The same of the origin.
        at: Offset of the copy before which its last records are looked for.
        back: Offsets from there to the next one.
        blind: Whether times say when brokers took records, which differ.
    """

    place: Place
    mine: tuple[int, int]
    theirs: tuple[int, int]
    at: int
    back: int = NEAR
    blind: bool = False
    window: list[LogRecord] = field(default_factory=list)
    found: tuple[int, int] | None = None

    def fork(self, there: int, alone: int, *, is_exact: bool = True) -> Fork:
        """The answer."""
        return Fork(*self.place, there, alone, is_exact)

    def content(self, one: LogRecord) -> Content:
        """What makes a record the same in both."""
        return (None if self.blind else one.timestamp, one.key, one.value, one.headers)

    def runs(self, length: int) -> dict[Run, int]:
        """Every run of so many records in the window, with the offset of its last record."""
        contents = [*map(self.content, self.window)]
        ends = range(length, len(contents) + 1)
        return {tuple(contents[end - length : end]): self.window[end - 1].offset for end in ends}

    @property
    def is_whole(self) -> bool:
        """Whether neither has lost its beginning."""
        return self.mine[0] == 0 and self.theirs[0] == 0


def find(copy: Admin, origin: Admin, places: Collection[Place]) -> dict[Place, Fork]:
    """Where a copy and its origin go apart, by partition; those that either has not, or that nobody leads, are left out.

    Args:
        copy: One cluster, to which nobody writes meanwhile.
        origin: The other one.
        places: Partitions.

    Raises:
        ClusterError: One of them does not answer.
    """
    mine, theirs = copy.spans(places), origin.spans(places)
    found: dict[Place, Fork] = {}
    for some in of(sorted(mine.keys() & theirs.keys()), AT_ONCE):
        searches = [_Search(place, mine[place], theirs[place], mine[place][1]) for place in some]
        for one in _find(copy, origin, searches):
            found[one.topic, one.partition] = one
    return found


def _find(copy: Admin, origin: Admin, searches: Sequence[_Search]) -> Iterator[Fork]:
    left = [one for one in searches if one.mine[1] > 0 and one.theirs[0] < one.theirs[1]]
    for one in searches:
        if one not in left:
            # Nothing was ever written to the copy, or nothing is left of the origin.
            yield one.fork(one.theirs[0], one.mine[1] if one.mine[1] == 0 else one.mine[0])
    _look_at_origin(origin, left)
    while left:
        _take_windows(copy, left)
        for one in [one for one in left if not one.window and not one.is_whole]:
            # Nothing of the copy is readable, or nothing of it is in the origin for certain.
            left.remove(one)
            alone = one.at if one.at == one.mine[1] else one.mine[0]
            yield one.fork(one.theirs[0], alone, is_exact=False)
        _look_for_marks(copy, origin, [one for one in left if one.window])
        for one in left:
            if not one.window:
                one.found = (0, 0)  # both are there from the first record on, which is the same
        for walk in _side_by_side(copy, origin, [one for one in left if one.found]):
            left.remove(walk.search)
            yield walk.search.fork(walk.there, walk.alone)
        for one in left:
            one.at, one.back, one.window = one.window[0].offset, one.back * FURTHER, []


def _look_at_origin(origin: Admin, searches: Sequence[_Search]) -> None:
    first = origin.first_records({one.place: one.theirs for one in searches})
    for one in searches:
        one.blind = one.place in first and first[one.place].appended


def _take_windows(copy: Admin, searches: Sequence[_Search]) -> None:
    """Records of the copy before a place, some of them at least; none where nothing before it is readable."""
    left = [one for one in searches if one.at > one.mine[0]]
    while left:
        spans = {one.place: (max(one.mine[0], one.at - one.back), one.at) for one in left}
        by_place = {one.place: one for one in left}
        for record in copy.records(spans):
            by_place[record.place].window.append(record)
        for one in left:
            one.blind = one.blind or any(record.appended for record in one.window)
        left = [one for one in left if not one.window and spans[one.place][0] > one.mine[0]]
        for one in left:
            one.back *= FURTHER


def _look_for_marks(copy: Admin, origin: Admin, searches: Sequence[_Search]) -> None:
    """Find, of what is in each window, and in both just once, what is furthest in the origin."""
    left = list(searches)
    for length in RUNS:
        runs = {one.place: one.runs(length) for one in left}
        theirs = _places(origin, [(one, one.theirs) for one in left], runs, length)
        there = {
            place: {run for run, found in some.items() if len(found) == 1} for place, some in theirs.items()
        }
        asked = [one for one in left if there.get(one.place)]
        mine = _places(copy, [(one, (one.mine[0], one.at)) for one in asked], there, length, to_end=True)
        for one in asked:
            once = [run for run, found in mine.get(one.place, {}).items() if len(found) == 1]
            if once:
                last = max(once, key=lambda run: theirs[one.place][run][0])
                one.found = (mine[one.place][last][0] + 1, theirs[one.place][last][0] + 1)
        # Longer ones tell more where many are the same, and nothing else.
        left = [one for one in left if not one.found and 2 * len(runs[one.place]) < len(one.window)]


def _places(
    admin: Admin,
    searches: Sequence[tuple[_Search, tuple[int, int]]],
    runs: Mapping[Place, Collection[Run]],
    length: int,
    *,
    to_end: bool = False,
) -> dict[Place, dict[Run, list[int]]]:
    """Where runs are in a log, by the offsets of their last records, as far as it is looked through.

    Args:
        admin: The cluster.
        searches: Partitions, with where each is looked through.
        runs: What is looked for, all of it in the windows.
        length: Records of each.
        to_end: Whether a log that is longer than is looked through counts as one that has none of them: what is at its end
            may be what was written once more, and was there before.
    """
    hints = admin.offsets_at(
        {one.place: min(record.timestamp for record in one.window) for one, _ in searches if not one.blind}
    )
    by_place, spans = {}, {}
    for one, (first, end) in searches:
        begin = max(first, end - SCAN if one.blind else hints.get(one.place, end))
        if begin < end and not (to_end and end > begin + SCAN):
            by_place[one.place], spans[one.place] = one, (begin, min(end, begin + SCAN))
    found: dict[Place, dict[Run, list[int]]] = {place: {} for place in spans}
    lately: dict[Place, deque[Content]] = {place: deque(maxlen=length) for place in spans}
    for record in admin.records(spans):
        place, last = record.place, lately[record.place]
        last.append(by_place[place].content(record))
        if (run := tuple(last)) in runs[place]:
            found[place].setdefault(run, []).append(record.offset)
    return found


def _side_by_side(copy: Admin, origin: Admin, together: Sequence[_Search]) -> list[_Walk]:
    """Read both on from where they are the same, up to where they differ."""
    walks = [_Walk(one, *(one.found or (0, 0))) for one in together]
    going = list(walks)
    while going:
        _read(copy, going, mine=True)
        _read(origin, going, mine=False)
        going = [walk for walk in going if not walk.go()]
    return walks


@dataclass
class _Walk:
    """Two partitions side by side.

    Attributes:
        search: Which.
        alone: Offset in the copy before which all is the same.
        there: The same in the origin.
    """

    search: _Search
    alone: int
    there: int
    _mine: list[LogRecord] = field(default_factory=list)
    _theirs: list[LogRecord] = field(default_factory=list)
    _read: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._read = [self.alone, self.there]

    def wanted(self, *, mine: bool) -> tuple[int, int] | None:
        """What is to be read next of one of them; None where there is enough, or nothing more."""
        held = self._mine if mine else self._theirs
        begin, end = self._read[not mine], (self.search.mine if mine else self.search.theirs)[1]
        return None if held or begin >= end else (begin, min(end, begin + CHUNK))

    def take(self, records: Iterable[LogRecord], upto: int, *, mine: bool) -> None:
        """What was read."""
        (self._mine if mine else self._theirs).extend(records)
        self._read[not mine] = upto

    def go(self) -> bool:
        """Compare what there is of both; whether they differ, or one has ended."""
        same = 0
        for one, other in zip(self._mine, self._theirs, strict=False):
            if self.search.content(one) != self.search.content(other):
                self.alone, self.there = one.offset, other.offset
                return True
            self.alone, self.there, same = one.offset + 1, other.offset + 1, same + 1
        del self._mine[:same], self._theirs[:same]
        ends = [
            not held and self.wanted(mine=mine) is None
            for held, mine in ((self._mine, True), (self._theirs, False))
        ]
        if ends[0]:  # marks and nothing else may follow
            self.alone = self.search.mine[1]
        if ends[1]:
            self.there = self.search.theirs[1]
        return any(ends)


def _read(admin: Admin, walks: Sequence[_Walk], *, mine: bool) -> None:
    by_place = {walk.search.place: walk for walk in walks}
    spans = {place: wanted for place, walk in by_place.items() if (wanted := walk.wanted(mine=mine))}
    came: dict[Place, list[LogRecord]] = {place: [] for place in spans}
    for record in admin.records(spans):
        came[record.place].append(record)
    for place, (_, upto) in spans.items():
        by_place[place].take(came[place], upto, mine=mine)
