"""How far two copies go together, by their records alone: a table of what may be, and what holds whatever there is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kdeploy.cluster import forks
from kdeploy.cluster.fake import FakeAdmin
from kdeploy.cluster.forks import Fork
from kdeploy.cluster.state import Broker, LogRecord, NewTopic, Place

PLACE: Place = ("orders", 0)


@dataclass
class Log:
    """A partition under construction.

    Attributes:
        records: Its records.
        end: Its end.
    """

    records: list[LogRecord] = field(default_factory=list)
    end: int = 0

    def add(self, value: int, at: float = 0.0, *, mark: bool = False, appended: bool = False) -> Log:
        """One more record, and perhaps the mark of a transaction after it."""
        text = str(value).encode()
        self.records.append(LogRecord(*PLACE, self.end, at, appended, value=text))
        self.end += 2 if mark else 1
        return self


def log(values: Sequence[int], *, first: int = 0, gap: int = 0, appended: float | None = None) -> Log:
    """Records of these values, each made a second after the one before it by its value; so many marks after each."""
    found = Log(end=first)
    for number, value in enumerate(values):
        moment = float(value) if appended is None else appended + number
        found.add(value, moment, appended=appended is not None)
        found.end += gap
    return found


def cluster(held: Log) -> FakeAdmin:
    made = FakeAdmin(brokers=(Broker(1, "a", "localhost"),))
    made.create_topics([NewTopic("orders", 1, 1, {})])
    made.logs[PLACE] = held.records
    made.ends[PLACE] = held.end
    return made


def fork(copy: Log, origin: Log) -> Fork:
    return forks.find(cluster(copy), cluster(origin), [PLACE])[PLACE]


@pytest.mark.parametrize(
    ("copy", "origin", "there", "alone"),
    [
        pytest.param(
            log([]), log([1, 2, 3]), 0, 0, id="a copy that never had anything begins at the first record"
        ),
        pytest.param(
            log([1, 2]), log([1, 2, 3]), 2, 2, id="a copy that is behind goes on after its last record"
        ),
        pytest.param(log([1, 2, 3]), log([1, 2, 3]), 3, 3, id="two that are the same have nothing alone"),
        pytest.param(log([1, 2, 3]), log([1]), 1, 1, id="a copy that is further has the rest alone"),
        pytest.param(
            log([1, 2, 9]), log([1, 2, 5, 6]), 2, 2, id="each has records of its own after the fork"
        ),
        pytest.param(
            log([1, 2], gap=1), log([1, 2, 3], gap=4), 6, 4, id="marks of transactions count as nothing"
        ),
        pytest.param(
            log([7, 7, 7]), log([7, 7, 7, 7, 7]), 3, 3, id="equal records are told apart by their number"
        ),
        pytest.param(log([7, 7, 7, 7]), log([7, 7]), 2, 2, id="and so are those that the copy has alone"),
        pytest.param(
            log([1, 8, 9, 2, 3]),
            log([1, 2, 3, 4]),
            3,
            5,
            id="what it once had alone in between does not hide the rest",
        ),
        pytest.param(
            log([1, 2, 3]),
            log([4, 5], first=90),
            90,
            0,
            id="what the origin's retention took nobody can tell from what it never had",
        ),
        pytest.param(
            log([3, 4], first=50), log([2, 3, 4, 5], first=20), 23, 52, id="both have lost their beginning"
        ),
        pytest.param(
            log([1, 2], appended=100.0),
            log([1, 2, 3], appended=200.0),
            2,
            2,
            id="times that brokers gave tell nothing",
        ),
        pytest.param(log([5, 4, 3]), log([5, 4, 3, 2, 1]), 3, 3, id="times may be in no order"),
        pytest.param(log([1, 2]), log([]), 0, 0, id="an origin without a record lacks all of it"),
    ],
)
def test_two_copies_fork_where_their_records_do(copy: Log, origin: Log, there: int, alone: int) -> None:
    found = fork(copy, origin)
    assert (found.there, found.alone) == (there, alone)


def test_a_copy_of_which_nothing_is_left_to_read_begins_with_what_there_is_and_says_that_it_may_come_twice() -> (
    None
):
    found = fork(Log(end=40), log([1, 2, 3], first=7))
    assert (found.there, found.alone, found.is_exact) == (7, 40, False)


def test_records_of_old_times_are_not_taken_for_what_retention_took() -> None:
    shared = list(range(1_000, 1_400))
    copy, origin = log(shared, first=100), log(shared, first=100)
    for value in range(200):
        copy.add(value, 1.0)
    found = fork(copy, origin)
    assert (found.there, found.alone, found.is_exact) == (500, 500, True)


@pytest.mark.parametrize("again", [1, 3, 40, 300])
@pytest.mark.parametrize("first", [0, 100])
def test_old_records_that_were_written_once_more_are_not_where_two_fork(again: int, first: int) -> None:
    shared = list(range(1_000, 2_400))
    copy, origin = log(shared, first=first), log([*shared, *range(9_000, 9_050)], first=first)
    for value in range(5_000, 5_200):
        copy.add(value, float(value))
    for value in range(1_300, 1_300 + again):
        copy.add(value, float(value))
    found = fork(copy, origin)
    assert (found.there, found.alone, found.is_exact) == (first + 1_400, first + 1_400, True)


@pytest.mark.parametrize("first", [0, 9])
def test_records_that_are_the_same_within_a_moment_are_told_apart_by_those_around_them(first: int) -> None:
    copy, origin = Log(end=first), Log(end=first)
    for number in range(4_400):
        for held in (copy, origin) if number < 4_342 else (origin,):
            held.add(number // 60 % 7, float(number // 6))
    found = fork(copy, origin)
    assert (found.there, found.alone) == (first + 4_342, first + 4_342)


def test_one_record_of_the_future_does_not_hide_where_two_fork() -> None:
    values = list(range(1, 3_000))
    copy, origin = log(values), log([*values, 3_001, 3_002])
    for held in (copy, origin):
        held.records[10] = replace(held.records[10], timestamp=1e9)
    found = fork(copy, origin)
    assert (found.there, found.alone, found.is_exact) == (2_999, 2_999, True)


def test_one_that_is_far_behind_goes_on_where_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forks, "SCAN", 500)
    found = fork(log(range(1_000), first=100), log(range(9_000), first=100))
    assert (found.there, found.alone, found.is_exact) == (1_100, 1_100, True)


def test_where_times_lead_too_far_back_the_earliest_place_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forks, "SCAN", 500)
    copy, origin = log(range(2_000), first=100), log(range(2_001), first=100)
    for held in (copy, origin):
        held.records[10] = replace(held.records[10], timestamp=1e9)
    found = fork(copy, origin)
    assert (found.there, found.alone, found.is_exact) == (100, 100, False)


def test_what_is_not_there_or_not_led_is_left_out() -> None:
    found = forks.find(cluster(log([1])), cluster(log([1])), [PLACE, ("payments", 0)])
    assert found.keys() == {PLACE}


def test_a_long_tail_is_found_without_reading_all_of_it() -> None:
    asked: list[int] = []

    class Counting(FakeAdmin):
        def records(self, spans):  # type: ignore[no-untyped-def]
            asked.append(sum(end - start for start, end in spans.values()))
            return super().records(spans)

    values = list(range(1, 50_001))
    copy, origin = cluster(log(values)), cluster(log([*values, 60_000]))
    copy.__class__ = origin.__class__ = Counting
    found = forks.find(copy, origin, [PLACE])[PLACE]
    assert (found.there, found.alone) == (50_000, 50_000)
    assert sum(asked[1:]) < 1_000, "after how this cluster in memory finds its first record"


RECORDS = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 5), st.booleans()), max_size=30)
"""Values that are often the same, times in no order, and whether a mark follows."""

OWN = st.lists(
    st.tuples(st.sampled_from((0, 1, 2, 3, 100, 101)), st.integers(0, 5), st.booleans()), max_size=30
)
"""The same of one that writes by itself: like what both have, and like nothing that the other one writes meanwhile."""

OTHERS = st.lists(st.tuples(st.integers(200, 202), st.integers(0, 5), st.booleans()), max_size=30)
"""What the other one writes by itself."""


@given(shared=RECORDS, mine=OWN, theirs=OTHERS, marks=st.booleans())
def test_nothing_that_either_has_alone_is_taken_for_shared(
    shared: list[tuple[int, int, bool]],
    mine: list[tuple[int, int, bool]],
    theirs: list[tuple[int, int, bool]],
    marks: bool,
) -> None:
    copy, origin = Log(), Log()
    for value, at, mark in shared:
        copy.add(value, at, mark=mark)
        origin.add(value, at, mark=mark and marks)
    for value, at, mark in mine:
        copy.add(value, at, mark=mark)
    for value, at, mark in theirs:
        origin.add(value, at, mark=mark)
    found = fork(copy, origin)
    together = len(shared)
    assert not [one for one in origin.records if one.offset < found.there][together:]
    assert not [one for one in copy.records if one.offset < found.alone][together:]


@given(
    shared=st.integers(0, 200),
    mine=st.integers(0, 60),
    theirs=st.integers(0, 60),
    gaps=st.tuples(st.integers(0, 3), st.integers(0, 3)),
    lost=st.tuples(st.integers(0, 50), st.integers(0, 50)),
)
def test_records_that_are_no_others_are_told_exactly(
    shared: int, mine: int, theirs: int, gaps: tuple[int, int], lost: tuple[int, int]
) -> None:
    both = list(range(shared))
    copy = log([*both, *range(1_000, 1_000 + mine)], gap=gaps[0])
    origin = log([*both, *range(2_000, 2_000 + theirs)], gap=gaps[1])
    for held, count in ((copy, lost[0]), (origin, lost[1])):
        del held.records[: min(count, shared)]
    found = fork(copy, origin)
    first = [next((one.offset for one in held.records), held.end) for held in (copy, origin)]
    if min(shared - lost[0], shared - lost[1]) > 0:
        assert found.there <= shared * (gaps[1] + 1) + (0 if theirs else gaps[1])
        after = [one for one in origin.records if one.offset >= found.there]
        assert [one.value for one in after] == [str(2_000 + number).encode() for number in range(theirs)]
        own = [one for one in copy.records if one.offset >= found.alone]
        assert [one.value for one in own] == [str(1_000 + number).encode() for number in range(mine)]
    else:
        assert found.there >= min(first[1], origin.end)


@given(
    shared=st.integers(1, 400),
    mine=st.integers(0, 150),
    again=st.tuples(st.integers(0, 400), st.integers(0, 200)),
    after=st.integers(0, 5),
    theirs=st.integers(0, 150),
    gaps=st.tuples(st.integers(0, 3), st.integers(0, 3)),
    lost=st.tuples(st.integers(0, 100), st.integers(0, 100)),
)
def test_whatever_an_application_writes_once_more_nothing_of_its_datacenter_alone_is_taken_for_shared(
    shared: int,
    mine: int,
    again: tuple[int, int],
    after: int,
    theirs: int,
    gaps: tuple[int, int],
    lost: tuple[int, int],
) -> None:
    both = list(range(shared))
    # Of what retention took, nothing tells that it was there before.
    twice = both[max(*lost, again[0]) : again[0] + again[1]]
    copy = log([*both, *range(1_000, 1_000 + mine), *twice, *range(1_500, 1_500 + after)], gap=gaps[0])
    origin = log([*both, *range(2_000, 2_000 + theirs)], gap=gaps[1])
    for held, count in ((copy, lost[0]), (origin, lost[1])):
        del held.records[: min(count, shared)]
    found = fork(copy, origin)
    assert found.there <= shared * (gaps[1] + 1)
    assert found.alone <= shared * (gaps[0] + 1)
