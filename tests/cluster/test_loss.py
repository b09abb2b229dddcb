"""What is probably lost with a datacenter: near to what was lost where the mirror was as late as before."""

from __future__ import annotations

import random
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from statistics import mean

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kdeploy.cluster import loss
from kdeploy.cluster.fake import FakeAdmin
from kdeploy.cluster.loss import NOTHING, Loss, Passage
from kdeploy.cluster.route import Route
from kdeploy.cluster.state import LogRecord, NewTopic
from kdeploy.spec.mirrored import OFFSETS
from tests.cluster import mirror_bytes

NOW = 1_764_230_400.0
RPO = 10.0


def estimate(
    stamps: dict[tuple[str, int], list[float]], delays: list[float], alive: float | None, now: float
) -> Loss:
    """What is lost where it is known when records were seen on the other side alone."""
    return loss.estimate(stamps, [Passage(delay) for delay in delays], alive, now, RPO, 4)


def steady(rate: float, until: float, seconds: float = 300.0) -> list[float]:
    """Timestamps of records, evenly."""
    return [until - number / rate for number in range(int(rate * seconds))][::-1]


@pytest.mark.parametrize(("rate", "late"), [(2000, 0.4), (2000, 30), (50, 5), (1, 60)])
def test_at_a_steady_rate_it_is_what_was_lost(rate: float, late: float) -> None:
    died = NOW - 60
    places = {("orders", index): steady(rate / 4, died - late, 130) for index in range(4)}
    found = estimate(places, [late] * 50, died - late, NOW)
    assert found.records == pytest.approx(rate * late, rel=0.05, abs=5)
    assert found.seconds == pytest.approx(late, rel=0.01)
    assert found.since == pytest.approx(60 + late)
    assert found.most == pytest.approx(rate * (60 + late), rel=0.05, abs=5)
    assert found.rate == pytest.approx(rate, rel=0.02)


def test_at_random_times_it_is_near_to_what_was_lost() -> None:
    dice = random.Random(7)
    died, late = NOW - 20, 0.5
    places: dict[tuple[str, int], list[float]] = {}
    lost = 0
    for index in range(50):
        at = died - 130
        while (at := at + dice.expovariate(20)) < died:
            if at < died - late:
                places.setdefault(("orders", index), []).append(at)
            else:
                lost += 1
    found = estimate(places, [late + dice.random() / 2 for _ in range(500)], None, NOW)
    assert found.records == pytest.approx(lost, rel=0.3)


def test_where_nothing_was_written_lately_nothing_is_lost() -> None:
    found = estimate({("orders", 0): steady(100, NOW - 7200)}, [0.5], NOW - 10, NOW)
    assert (found.records, found.most) == (0, 0)
    assert found.since == 7200


def test_a_quiet_time_before_the_end_is_no_time_of_losses() -> None:
    burst = [NOW - 100 + number / 40_000 for number in range(2000)]
    found = estimate({("orders", 0): burst}, [0.2] * 20, NOW - 2, NOW)
    assert found.records is not None
    assert found.records < 50
    assert found.most is not None
    assert found.most < 5000


def test_where_nobody_knows_how_late_the_mirror_was_its_objective_counts() -> None:
    found = estimate({("orders", 0): steady(100, NOW - 30)}, [], None, NOW)
    assert found.records == pytest.approx(100 * RPO, rel=0.01)
    assert found.seconds == RPO
    assert found.most == pytest.approx(3000, rel=0.01)


@pytest.mark.parametrize("later", [1, 60, 86400])
def test_it_does_not_grow_with_the_time_at_which_somebody_asks(later: float) -> None:
    died = NOW - 3600
    stamps = {("orders", index): steady(500, died - 0.1, 130) for index in range(4)}
    soon, late = (estimate(stamps, [0.1] * 9, died - 0.5, NOW + wait) for wait in (0, later))
    assert (soon.records, soon.at_most, soon.seconds) == (late.records, late.at_most, late.seconds)
    assert soon.most is not None
    assert late.most is not None
    assert late.most > soon.most


def test_what_a_commit_takes_delays_records_and_loses_few() -> None:
    died = NOW - 5
    stamps = {("orders", index): steady(500, died - 0.03, 130) for index in range(4)}
    found = loss.estimate(stamps, [Passage(0.03, 0.4)] * 50, died - 0.5, NOW, RPO, 4)
    assert found.records is not None
    assert 60 <= found.records <= 2000 * (0.03 + 0.4**5 / (5 * 0.5**4)) + 1
    assert found.at_most == pytest.approx(2000 * 0.43, rel=0.02)


def test_where_nothing_was_mirrored_nothing_is_known() -> None:
    assert estimate({}, [1.0], NOW, NOW) == NOTHING
    assert estimate({("orders", 0): []}, [], None, NOW) == NOTHING


STAMPS = st.dictionaries(
    st.tuples(st.just("t"), st.integers(0, 5)),
    st.lists(st.floats(NOW - 1000, NOW + 5), max_size=20).map(sorted),
    max_size=4,
)


@given(STAMPS, st.lists(st.floats(0, 100), max_size=5), st.none() | st.floats(NOW - 1000, NOW + 5))
def test_it_is_never_negative_nor_more_than_if_it_was_written_to_until_now(
    stamps: dict[tuple[str, int], list[float]], delays: list[float], alive: float | None
) -> None:
    found = estimate(stamps, delays, alive, NOW)
    if found.last is None:
        return
    assert found.records is not None
    assert found.most is not None
    assert found.at_most is not None
    assert 0 <= found.records <= min(found.most, found.at_most)
    assert found.seconds is not None
    assert found.seconds >= 0


@dataclass
class Mirror:
    """A mirror at work, as Connect's tasks are: poll, and every half a second commit, and fetch nothing meanwhile.

    Attributes:
        tasks: How many; each has every so-manieth partition.
        fetching: Seconds until a record that was made can be fetched, in turn.
        committing: Seconds that a commit takes, in turn.
        made: By partition, when each record was made.
    """

    tasks: int
    fetching: list[float]
    committing: list[float]
    made: dict[int, list[float]]

    def killed(self, died: float) -> tuple[dict[tuple[str, int], list[float]], list[Passage], int]:
        """What the other side has of a source that died, how it came there, and how many records are lost."""
        stamps: dict[tuple[str, int], list[float]] = {}
        passages: list[Passage] = []
        lost = 0
        for task in range(self.tasks):
            mine = [index for index in self.made if index % self.tasks == task]
            reached, came = self._work(task, mine, died)
            passages += came
            for index in mine:
                there = [one for one in self.made[index] if one <= reached]
                stamps["orders", index] = there
                lost += sum(one <= died for one in self.made[index]) - len(there)
        return stamps, passages, lost

    def _work(self, task: int, mine: list[int], died: float) -> tuple[float, list[Passage]]:
        """Up to when records were fetched, and how the last of each transaction came."""
        clock, reached, passages = NOW + task * 0.11, 0.0, []
        begun, before = clock, 0.0
        for turn in count():
            clock += 0.01
            if clock > died:
                return reached, passages
            reached = max(reached, clock - self.fetching[turn % len(self.fetching)])
            if clock < begun + 0.5:
                continue
            begun, commit = clock, self.committing[turn % len(self.committing)]
            for index in mine:
                at = bisect_right(self.made[index], reached) - 1
                if at >= 0 and self.made[index][at] > before:
                    passages.append(Passage(clock - self.made[index][at], commit))
            before = reached
            clock += commit
        raise AssertionError("it never died")


def even(rate: float, seconds: float, phase: float) -> Iterator[float]:
    return (NOW + (number + phase) / rate for number in range(int(rate * seconds)))


def bursts(size: int, each: float, seconds: float) -> Iterator[float]:
    """So many records, two milliseconds apart, every so often."""
    for number in range(int(seconds / each)):
        yield from (NOW + number * each + one * 0.002 for one in range(size))


DELAYS = st.lists(st.floats(0.005, 0.3), min_size=1, max_size=3)
MADE = st.lists(
    st.one_of(
        st.tuples(st.floats(0.5, 40), st.floats(0, 1)).map(lambda one: list(even(one[0], 40, one[1]))),
        st.tuples(st.integers(1, 40), st.floats(0.3, 3)).map(lambda one: list(bursts(*one, 40))),
    ),
    min_size=1,
    max_size=4,
)


@settings(max_examples=40)
@given(st.integers(1, 3), DELAYS, DELAYS, MADE, st.floats(30, 38), st.sampled_from((0.1, 3600.0)))
def test_what_is_lost_is_never_more_than_it_says_whenever_it_dies_and_whenever_it_is_asked(
    tasks: int,
    fetching: list[float],
    committing: list[float],
    made: list[list[float]],
    at: float,
    asked: float,
) -> None:
    mirror = Mirror(tasks, fetching, committing, dict(enumerate(made)))
    stamps, passages, lost = mirror.killed(NOW + at)
    found = loss.estimate(stamps, passages, NOW + at - 1.2, NOW + at + asked, RPO, tasks)
    if found.at_most is not None and passages:
        assert lost <= found.at_most


@pytest.mark.parametrize(
    ("tasks", "fetching", "commit"),
    [(4, 0.03, 0.05), (4, 0.03, 0.4), (2, 0.2, 0.1), (1, 0.02, 0.3), (3, 1.5, 0.1)],
)
def test_over_all_moments_of_a_death_it_is_within_half_and_twice_of_what_was_lost(
    tasks: int, fetching: float, commit: float
) -> None:
    made = {index: list(even(50, 45, index / 8)) for index in range(8)}
    mirror = Mirror(tasks, [fetching], [commit], made)
    lost, said = [], []
    for step in range(40):
        died = NOW + 40 + step * 0.0371
        stamps, passages, missing = mirror.killed(died)
        found = loss.estimate(stamps, passages, died - 1.0, died + 600, RPO, tasks)
        assert found.records is not None
        lost.append(missing)
        said.append(found.records)
    assert mean(lost) / 2 <= mean(said) <= mean(lost) * 2


@pytest.mark.parametrize("naming", ["identity", "prefixed"])
@pytest.mark.parametrize(("commits_known", "tail"), [(True, 2.0), (False, 2.3)])
def test_it_is_read_from_the_side_that_is_left(naming: str, commits_known: bool, tail: float) -> None:
    route = Route("eu", "us", naming)  # type: ignore[arg-type]
    admin = FakeAdmin()
    name = route.on_target("orders")
    for topic in (name, "local", "eu.heartbeats", "mm2-offset-syncs.eu.internal", OFFSETS):
        admin.create_topics([NewTopic(topic, 1, 3)])
    late, died = 2.0, NOW - 30
    made = steady(100, died - late, 130)
    admin.logs[name, 0] = [LogRecord(name, 0, at, stamp, value=b"v") for at, stamp in enumerate(made)]
    syncs: list[LogRecord] = []
    begun: list[LogRecord] = []
    for at in range(0, len(made), 100):
        key, value = mirror_bytes.sync("orders", 0, at + 7, at)
        commit = made[at] + late + 0.01 * (at % 7)
        syncs.append(
            LogRecord("mm2-offset-syncs.eu.internal", 0, len(syncs), commit + 0.3, key=key, value=value)
        )
        for connector in ("eu-to-us-records", "other"):
            key, value = mirror_bytes.reached(connector, "eu", "orders", 0, at + 7)
            stamp = commit - 100 * (connector == "other")
            begun.append(LogRecord(OFFSETS, 0, len(begun), stamp, key=key, value=value))
    admin.logs["mm2-offset-syncs.eu.internal", 0] = syncs
    if commits_known:
        admin.logs[OFFSETS, 0] = begun
    key, value = mirror_bytes.heartbeat("eu", "eu", died - late - 0.5)
    admin.logs["eu.heartbeats", 0] = [LogRecord("eu.heartbeats", 0, 0, died, key=key, value=value)]
    found = loss.look(route, admin, NOW, RPO, 4)
    assert found.records == pytest.approx(100 * tail, abs=13)
    assert found.at_most == pytest.approx(236, abs=3)
    assert found.since == pytest.approx(32)
    assert found.seen == pytest.approx(died - late)
    assert found.rate == pytest.approx(100, rel=0.02)


def test_what_others_wrote_after_the_mirror_ended_is_left_aside() -> None:
    route, admin = Route("eu", "us"), FakeAdmin()
    admin.create_topics([NewTopic("orders", 1, 3)])
    died = NOW - 60
    made = [*steady(100, died, 130), *steady(100, NOW, 50)]
    admin.logs["orders", 0] = [LogRecord("orders", 0, at, stamp) for at, stamp in enumerate(made)]
    found = loss.look(route, admin, NOW, RPO, 4, {"orders": {0: 13_000}})
    assert found.last == died
    assert loss.look(route, admin, NOW, RPO, 4).last == pytest.approx(NOW, abs=0.1)
    assert loss.look(route, admin, NOW, RPO, 4, {"orders": {0: 0}}) == NOTHING
