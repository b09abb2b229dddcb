"""The gate, as a table: state of a cluster, broker to stop, and whether it may be stopped.

Partitions are written `topic-index leader replicas isr [offline]`, a broker being one
digit and `.` standing for none. In the second table brokers are to be stopped together: those
of a rack, of which brokers 1 and 4, 2 and 5, 3 and 6 are one each.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kdeploy.cluster.gate import judge, judge_ever, judge_replacement, judge_voter, settled
from kdeploy.cluster.state import Broker, ClusterState, Partition, Quorum, Voter


def _ids(text: str) -> tuple[int, ...]:
    return tuple(int(digit) for digit in text if digit != ".")


def partition(text: str) -> Partition:
    name, leader, replicas, isr, *offline = text.split()
    topic, _, index = name.rpartition("-")
    return Partition(
        topic,
        int(index),
        None if leader == "." else int(leader),
        _ids(replicas),
        _ids(isr),
        _ids("".join(offline)),
    )


def state(
    partitions: tuple[str, ...],
    brokers: str = "123",
    controller: int | None = 1,
    moving: tuple[str, ...] = (),
    least: dict[str, int] | None = None,
    silent: str = "",
) -> ClusterState:
    found = tuple(map(partition, partitions))
    topics = {one.topic: 2 for one in found}
    return ClusterState(
        "id",
        tuple(Broker(one, "r", "h") for one in _ids(brokers)),
        controller,
        found,
        topics if least is None else least,
        moving,
        silent=_ids(silent),
    )


@dataclass(frozen=True)
class Row:
    """`why` is None for an open gate, else what one of the reasons has to say."""

    name: str
    state: ClusterState
    stop: int | frozenset[int]
    why: str | None
    accepted: frozenset[str] = field(default_factory=frozenset)


FULL = ("t-0 1 123 123", "t-1 2 231 231", "t-2 3 312 312")
ROWS = (
    Row("a whole cluster, the controller", state(FULL), 1, None),
    Row("a whole cluster, another broker", state(FULL), 2, None),
    Row("a whole cluster, the last broker", state(FULL), 3, None),
    Row("an empty cluster", state(()), 1, None),
    Row("a single broker without partitions", state((), brokers="1"), 1, None),
    Row("no brokers at all", state((), brokers=""), 1, "broker 1 is not registered"),
    Row("a broker that is not there", state(FULL), 4, "broker 4 is not registered"),
    Row("a broker that is registered and silent", state(FULL, silent="2"), 2, "does not answer"),
    Row("no controller", state(FULL, controller=None), 1, "no controller"),
    Row("an empty cluster without a controller", state((), controller=None), 1, "no controller"),
    Row("a partition is moved", state(FULL, moving=("t-0",)), 2, "being moved: t-0"),
    Row("a partition of nobody here is moved", state((), moving=("x-9",)), 2, "being moved: x-9"),
    Row("many are moved", state((), moving=tuple(f"x-{n}" for n in range(9))), 2, "and 4 more"),
    Row("one replica behind, its own broker", state(("t-0 1 123 12",)), 3, None),
    Row("one replica behind, the leader", state(("t-0 1 123 12",)), 1, "t-0 (1 of at least 2)"),
    Row("one replica behind, the other follower", state(("t-0 1 123 12",)), 2, "t-0 (1 of at least 2)"),
    Row("two behind, the leader", state(("t-0 1 123 1",)), 1, "t-0 (0 of at least 2)"),
    Row("two behind, one of them", state(("t-0 1 123 1",)), 2, None),
    Row("no leader, nobody in sync", state(("t-0 . 123 .",)), 1, None),
    Row("no leader, the last in sync", state(("t-0 . 123 1",)), 1, "t-0 (0 of at least 2)"),
    Row("a broker that holds nothing", state(("t-0 1 123 12",), brokers="1234"), 4, None),
    Row("only one of many partitions", state((*FULL, "t-3 1 123 12")), 2, "t-3 (1 of at least 2)"),
    Row("only another's partition", state((*FULL, "t-3 1 123 12")), 3, None),
    Row("a dead broker still counted in sync", state(FULL, silent="3"), 1, "t-0 (1 of at least 2)"),
    Row(
        "an unregistered broker still counted in sync", state(FULL, brokers="12"), 1, "t-0 (1 of at least 2)"
    ),
    Row("a replica in sync and offline", state(("t-0 1 123 123 3",)), 1, "t-0 (1 of at least 2)"),
    Row("an offline replica out of sync", state(("t-0 1 123 12 3",)), 3, None),
    Row("min ISR 1, one spare", state(("t-0 1 12 12",), least={"t": 1}), 1, None),
    Row("min ISR 1, none to spare", state(("t-0 1 12 1",), least={"t": 1}), 1, "t-0 (0 of at least 1)"),
    Row("min ISR 1, the one behind", state(("t-0 1 12 1",), least={"t": 1}), 2, None),
    Row("one copy only", state(("t-0 1 1 1",), least={"t": 1}), 1, "can never spare a broker"),
    Row("one copy only, on another", state(("t-0 1 1 1",), least={"t": 1}), 2, None),
    Row(
        "two copies, min ISR 2", state(("t-0 1 12 12",)), 1, "replication factor 2 and min.insync.replicas 2"
    ),
    Row("two copies, min ISR 2, on others", state(("t-0 1 12 12",)), 3, None),
    Row("three copies, min ISR 3", state(("t-0 1 123 123",), least={"t": 3}), 2, "can never spare"),
    Row(
        "fewer copies than min ISR",
        state(("t-0 1 1 1",)),
        1,
        "replication factor 1 and min.insync.replicas 2",
    ),
    Row("one copy only, accepted", state(("t-0 1 1 1",), least={"t": 1}), 1, None, frozenset({"t"})),
    Row(
        "two copies, accepted, the other in sync",
        state(("t-0 1 12 12",)),
        1,
        None,
        frozenset({"t"}),
    ),
    Row(
        "two copies, accepted, the last in sync",
        state(("t-0 1 12 1",)),
        1,
        "no other replica is in sync of t-0",
        frozenset({"t"}),
    ),
    Row("another topic accepted", state(("t-0 1 1 1",), least={"t": 1}), 1, "never spare", frozenset({"u"})),
    Row("accepted while it is moved", state(("t-0 1 1 1",), moving=("t-0",)), 1, "moved", frozenset({"t"})),
    Row(
        "one topic accepted, another in want",
        state(("t-0 1 1 1", "u-0 1 123 12"), least={"t": 1, "u": 2}),
        1,
        "u-0 (1 of at least 2)",
        frozenset({"t"}),
    ),
    Row("min ISR unknown", state(("t-0 1 123 123",), least={}), 1, "not known yet of t"),
    Row("min ISR unknown of another's topic", state(("t-0 1 12 12",), least={}), 3, None),
    Row("internal topics count too", state(("__consumer_offsets-7 1 123 12",)), 2, "__consumer_offsets-7"),
    Row(
        "five copies, two behind",
        state(("t-0 1 12345 123",), brokers="12345", least={"t": 3}),
        1,
        "t-0 (2 of",
    ),
    Row("five copies, one behind", state(("t-0 1 12345 1234",), brokers="12345", least={"t": 3}), 1, None),
    Row("a topic name with hyphens", state(("a-b-c-0 1 123 12",)), 1, "a-b-c-0 (1 of at least 2)"),
    Row("led by another than preferred", state(("t-0 2 123 123",)), 2, None),
    Row("each reason is given", state(("t-0 1 123 12",), moving=("t-0",)), 1, "being moved"),
    Row("each reason is given, the other one", state(("t-0 1 123 12",), moving=("t-0",)), 1, "too few"),
    Row("many fallen are counted", state(tuple(f"t-{n} 1 123 12" for n in range(9))), 1, "and 4 more"),
)

T = frozenset({"t"})
RACKS = {"a": frozenset({1, 4}), "b": frozenset({2, 5}), "c": frozenset({3, 6})}
SPREAD = (
    "t-0 1 123 123",
    "t-1 2 234 234",
    "t-2 3 345 345",
    "t-3 4 456 456",
    "t-4 5 561 561",
    "t-5 6 612 612",
)
"""Six partitions over three racks of two brokers: every one has a replica in each rack."""


def six(*partitions: str, **changes: Any) -> ClusterState:
    """Six brokers in three racks."""
    return state(partitions, brokers=changes.pop("brokers", "123456"), **changes)


def rack(
    name: str, found: ClusterState, of: str, why: str | None, accepted: frozenset[str] = frozenset()
) -> Row:
    return Row(f"rack {of}: {name}", found, RACKS[of], why, accepted)


RACK_ROWS = (
    rack("a whole cluster, the controller's rack", six(*SPREAD), "a", None),
    rack("a whole cluster, the second rack", six(*SPREAD), "b", None),
    rack("a whole cluster, the third rack", six(*SPREAD), "c", None),
    rack("no partitions at all", six(), "a", None),
    rack("a broker of the rack was never there", state(FULL), "b", "broker 5 is not registered"),
    Row("a rack of one broker that is there", state(FULL), frozenset({2}), None),
    Row("two racks together", six(*SPREAD), RACKS["a"] | RACKS["b"], "can never spare them together"),
    Row("every broker, with partitions", six(*SPREAD), frozenset(range(1, 7)), "no broker would be left"),
    Row("every broker, without partitions", six(), frozenset(range(1, 7)), "no broker would be left"),
    Row("all that are left", six(silent="2356"), RACKS["a"], "no broker would be left"),
    Row("nobody", six(*SPREAD), frozenset(), None),
    rack(
        "one of the rack is not registered", six(*SPREAD, brokers="12356"), "a", "broker 4 is not registered"
    ),
    rack("one of the rack does not answer", six(*SPREAD, silent="4"), "a", "broker 4 is not registered"),
    rack("neither of the rack answers", six(*SPREAD, silent="14"), "a", "broker 1 is not registered"),
    rack("a broker of another rack does not answer", six(*SPREAD, silent="2"), "a", "t-0 (1 of at least 2)"),
    rack("another rack is gone altogether", six(*SPREAD, silent="25"), "a", "too few in-sync replicas"),
    rack("a dead broker elsewhere that shares nothing", six("t-0 1 123 123", silent="5"), "a", None),
    rack("a replica behind in the rack itself", six("t-0 2 123 23"), "a", None),
    rack("a replica behind in another rack", six("t-0 1 123 12"), "a", "t-0 (1 of at least 2)"),
    rack(
        "behind in another rack, held by the rack's other", six("t-0 4 423 42"), "a", "t-0 (1 of at least 2)"
    ),
    rack("behind in another rack, not held by the rack", six("t-0 2 235 25"), "a", None),
    rack("one partition for each broker of the rack", six("t-0 1 123 12", "t-1 4 456 456"), "a", "t-0 (1 of"),
    rack(
        "the fault is with the rack's second broker", six("t-0 1 123 123", "t-1 4 456 45"), "a", "t-1 (1 of"
    ),
    rack(
        "faults with both are both named",
        six("t-0 1 123 12", "t-1 4 456 45"),
        "a",
        "t-0 (1 of at least 2), t-1",
    ),
    rack(
        "two of three replicas in the rack", six("t-0 1 142 142"), "a", "2 of its 3 replicas on brokers 1, 4"
    ),
    rack("two of three in the rack, min ISR 1", six("t-0 1 142 142", least={"t": 1}), "a", None),
    rack(
        "two of three in the rack, min ISR 1, third behind",
        six("t-0 1 142 14", least={"t": 1}),
        "a",
        "t-0 (0 of",
    ),
    rack("all three in the rack and its neighbour", six("t-0 1 145 145", least={"t": 1}), "a", None),
    rack(
        "both copies in the rack",
        six("t-0 1 14 14", least={"t": 1}),
        "a",
        "2 of its 2 replicas on brokers 1, 4",
    ),
    rack(
        "both copies in the rack, accepted",
        six("t-0 1 14 14", least={"t": 1}),
        "a",
        "no other replica is in",
        T,
    ),
    rack("both copies in another rack", six("t-0 2 25 25", least={"t": 1}), "a", None),
    rack("two of three in the rack, accepted", six("t-0 1 142 142"), "a", None, T),
    rack(
        "two of three in the rack, accepted, third behind",
        six("t-0 1 142 14"),
        "a",
        "no other replica is in",
        T,
    ),
    rack("one copy, in the rack", six("t-0 4 4 4", least={"t": 1}), "a", "can never spare a broker"),
    rack("one copy, in the rack, accepted", six("t-0 4 4 4", least={"t": 1}), "a", None, T),
    rack("one copy, in another rack", six("t-0 5 5 5", least={"t": 1}), "a", None),
    rack("two copies, min ISR 2, one in the rack", six("t-0 1 12 12"), "a", "can never spare a broker"),
    rack("two copies, min ISR 1, one in the rack", six("t-0 1 12 12", least={"t": 1}), "a", None),
    rack("three copies, min ISR 3", six("t-0 1 123 123", least={"t": 3}), "b", "can never spare a broker"),
    rack("five copies, two in the rack, min ISR 3", six("t-0 1 12345 12345", least={"t": 3}), "a", None),
    rack(
        "five copies, two in the rack, one behind", six("t-0 1 12345 1234", least={"t": 3}), "a", "t-0 (2 of"
    ),
    rack(
        "five copies, two in the rack, min ISR 4", six("t-0 1 12345 12345", least={"t": 4}), "a", "2 of its 5"
    ),
    rack("six copies, min ISR 4", six("t-0 1 123456 123456", least={"t": 4}), "c", None),
    rack(
        "six copies, min ISR 4, one of the rack behind", six("t-0 1 123456 12345", least={"t": 4}), "c", None
    ),
    rack("no controller", six(*SPREAD, controller=None), "a", "no controller"),
    rack("a partition is moved", six(*SPREAD, moving=("t-3",)), "c", "being moved: t-3"),
    rack("min ISR unknown of a topic of the rack", six("t-0 4 456 456", least={}), "a", "not known yet of t"),
    rack("min ISR unknown of a topic elsewhere", six("t-0 2 235 235", least={}), "a", None),
    rack("an internal topic counts too", six("__consumer_offsets-3 4 423 42"), "a", "__consumer_offsets-3"),
    rack("no leader, nobody in sync", six("t-0 . 123 ."), "a", None),
    rack("no leader, the last in sync in the rack", six("t-0 . 123 1"), "a", "t-0 (0 of at least 2)"),
    rack("in sync and offline in another rack", six("t-0 1 123 123 3"), "a", "t-0 (1 of at least 2)"),
    rack(
        "never is said once a topic",
        six("t-0 1 12 12", "t-1 4 42 42"),
        "a",
        "topic t has replication factor 2",
    ),
)


@pytest.mark.parametrize("row", [*ROWS, *RACK_ROWS], ids=lambda row: row.name)
def test_the_gate_opens_exactly_when_nothing_would_be_lost(row: Row) -> None:
    verdict = judge(row.state, row.stop, row.accepted)
    if row.why is None:
        assert verdict.open, verdict.reasons
    else:
        assert not verdict.open
        assert row.why in "\n".join(verdict.reasons)


def test_the_table_has_no_two_rows_of_one_name() -> None:
    both = (*ROWS, *RACK_ROWS)
    assert len({row.name for row in both}) == len(both)


def test_the_table_has_a_hundred_states() -> None:
    distinct = {(repr(row.state), row.stop, row.accepted) for row in (*ROWS, *RACK_ROWS)}
    assert len(distinct) >= 100


def test_a_closed_gate_that_waiting_never_opens_names_the_way_on() -> None:
    alone = judge(six("t-0 1 12 12"), RACKS["a"]).reasons[0]
    assert "--accept-unavailable t" in alone
    together = judge(six("t-0 1 142 142"), RACKS["a"]).reasons[0]
    assert "restart one broker at a time" in together
    assert "--accept-unavailable t" in together


SETTLED = (
    ("a whole cluster", state(FULL), "123", None),
    ("an empty cluster", state(()), "123", None),
    ("a broker more than expected", state(FULL, brokers="1234"), "123", None),
    ("a broker is missing", state((), brokers="12"), "123", "not there: broker 3"),
    ("a broker is silent", state((), silent="2"), "123", "not there: broker 2"),
    ("a replica is behind", state(("t-0 1 123 12",)), "123", "not fully in sync: t-0 (2 of 3)"),
    ("a replica is dead and counted in sync", state(("t-0 1 123 123",), silent="3"), "123", "t-0 (2 of 3)"),
    ("a partition has no leader", state(("t-0 . 123 .",)), "123", "without a leader: t-0"),
    ("another leads", state(("t-0 2 123 123",)), "123", "not led by their preferred replica: t-0"),
    ("a partition is moved", state(FULL, moving=("t-1",)), "123", "being moved: t-1"),
    ("no controller", state(FULL, controller=None), "123", "no controller"),
    ("a replica on a broker that is left out", state(("t-0 1 123 12",), brokers="12"), "12", None),
    ("a replica behind besides it", state(("t-0 1 123 1",), brokers="12"), "12", "t-0 (1 of 3)"),
    ("led in place of one that is left out", state(("t-0 2 312 12",), brokers="12"), "12", None),
    ("no leader but one that is left out", state(("t-0 . 3 .",), brokers="12"), "12", "without a leader"),
    ("one copy is enough where one is wanted", state(("t-0 1 1 1",)), "123", None),
)


@pytest.mark.parametrize(("name", "found", "expected", "why"), SETTLED, ids=[row[0] for row in SETTLED])
def test_a_cluster_is_at_rest_exactly_when_all_is_where_it_belongs(
    name: str, found: ClusterState, expected: str, why: str | None
) -> None:
    verdict = settled(found, set(_ids(expected)))
    assert verdict.open == (why is None), (name, verdict.reasons)
    assert why is None or why in "\n".join(verdict.reasons)


GONE: dict[str, Any] = {"brokers": "13"}
REPLACEMENTS = (
    ("every partition in sync elsewhere", state(("t-0 1 123 13", "t-1 3 231 31"), **GONE), None, ()),
    ("no partitions at all", state((), **GONE), None, ()),
    ("it held nothing", state(("t-0 1 13 13",), **GONE), None, ()),
    ("one copy elsewhere is enough", state(("t-0 1 123 1",), **GONE), None, ()),
    ("fewer than min ISR elsewhere", state(("t-0 3 23 3",), least={"t": 2}, **GONE), None, ()),
    ("it answers", state(("t-0 1 123 123",)), "broker 2 answers", ()),
    ("its session is not over", state(("t-0 1 123 13",), silent="2"), "broker 2 is still registered", ()),
    ("still counted in sync", state(("t-0 1 123 123",), **GONE), "still counted in sync, or leads: t-0", ()),
    ("still the leader", state(("t-0 2 213 13",), **GONE), "still counted in sync, or leads: t-0", ()),
    ("the leader is dead too", state(("t-0 3 213 13",), brokers="1"), "still counted in sync, or leads", ()),
    ("the last in sync", state(("t-0 2 213 2",), **GONE), "no other replica is in sync of t-0", ()),
    ("the last in sync, without a leader", state(("t-0 . 213 2",), **GONE), "last copy is on the old", ()),
    ("nobody in sync", state(("t-0 . 213 .",), **GONE), "no other replica is in sync of t-0", ()),
    (
        "the other in sync is dead too",
        state(("t-0 . 23 23",), brokers="1"),
        "no other replica is in sync",
        (),
    ),
    ("the other in sync is offline", state(("t-0 3 23 3 3",), **GONE), "no other replica is in sync", ()),
    ("the only copy", state(("t-0 . 2 2",), **GONE), "--accept-loss TOPIC", ()),
    ("the only copy, given up", state(("t-0 . 2 2",), **GONE), None, ("t",)),
    ("another topic is given up", state(("t-0 . 2 2",), **GONE), "no other replica", ("u",)),
    ("one given up, another not", state(("t-0 . 2 2", "u-0 2 213 2"), **GONE), "in sync of u-0", ("t",)),
    ("a partition is moved", state((), moving=("x-1",), **GONE), "being moved: x-1", ()),
    ("no controller", state((), controller=None, **GONE), "no controller", ()),
    ("an internal topic", state(("__consumer_offsets-1 . 213 2",), **GONE), "__consumer_offsets-1", ()),
)


@pytest.mark.parametrize(("name", "found", "why", "lost"), REPLACEMENTS, ids=[row[0] for row in REPLACEMENTS])
def test_an_empty_broker_comes_in_a_dead_ones_place_only_where_nothing_is_lost(
    name: str, found: ClusterState, why: str | None, lost: tuple[str, ...]
) -> None:
    verdict = judge_replacement(found, 2, lost)
    assert verdict.open == (why is None), (name, verdict.reasons)
    assert why is None or why in "\n".join(verdict.reasons)


VOTERS = (Voter(1, 0, 0.0), Voter(2, 3, 0.2), Voter(3, 0, 0.5))
QUORUMS = (
    ("all three keep up", Quorum(1, VOTERS), 2, None),
    ("the leader itself", Quorum(1, VOTERS), 1, None),
    ("one is away, another", Quorum(1, (*VOTERS[:2], Voter(3, 900, 60.0))), 2, "only 1 of 3"),
    ("one is away, that one", Quorum(1, (*VOTERS[:2], Voter(3, 900, 60.0))), 3, None),
    ("one never fetched", Quorum(1, (*VOTERS[:2], Voter(3, 900, None))), 1, "only 1 of 3"),
    ("no leader", Quorum(None, VOTERS), 2, "no leader"),
    ("not a voter", Quorum(1, VOTERS), 9, "controller 9 is not a voter"),
    ("a single controller", Quorum(1, VOTERS[:1]), 1, "only 0 of 1"),
)


@pytest.mark.parametrize(("name", "quorum", "stop", "why"), QUORUMS, ids=[row[0] for row in QUORUMS])
def test_a_controller_may_stop_only_while_the_others_make_a_majority(
    name: str, quorum: Quorum, stop: int, why: str | None
) -> None:
    verdict = judge_voter(quorum, stop)
    assert verdict.open == (why is None), (name, verdict.reasons)
    assert why is None or why in "\n".join(verdict.reasons)


@st.composite
def clusters(draw: st.DrawFn) -> ClusterState:
    ids = draw(st.lists(st.integers(1, 6), min_size=1, max_size=6, unique=True))
    partitions = []
    for index in range(draw(st.integers(0, 5))):
        replicas = draw(st.lists(st.sampled_from(ids), min_size=1, max_size=3, unique=True))
        isr = draw(st.lists(st.sampled_from(replicas), max_size=3, unique=True))
        partitions.append(Partition("t", index, isr[0] if isr else None, tuple(replicas), tuple(isr)))
    silent = tuple(draw(st.lists(st.sampled_from(ids), max_size=2, unique=True)))
    least = {"t": draw(st.integers(1, 3))}
    brokers = tuple(Broker(one, None, "h") for one in sorted(ids))
    return ClusterState("id", brokers, ids[0], tuple(partitions), least, silent=silent)


@given(clusters(), st.integers(1, 6))
def test_an_open_gate_never_takes_a_writable_partition_below_its_least(
    found: ClusterState, stop: int
) -> None:
    if judge(found, stop).open:
        for one in found.partitions:
            before = set(one.isr) & found.alive
            after = before - {stop}
            assert len(after) >= found.min_insync["t"] or stop not in before


@given(clusters(), st.frozensets(st.integers(1, 6), min_size=2, max_size=4))
def test_what_may_stop_together_may_stop_one_by_one(found: ClusterState, stop: frozenset[int]) -> None:
    if judge(found, stop).open:
        for one in found.partitions:
            before = set(one.isr) & found.alive
            assert len(before - stop) >= found.min_insync["t"] or not stop & before
        assert all(judge(found, one).open for one in stop)


@given(clusters(), st.integers(1, 6))
def test_where_a_broker_may_be_replaced_another_leads_all_it_held(found: ClusterState, gone: int) -> None:
    if judge_replacement(found, gone).open:
        for one in found.partitions:
            if gone in one.replicas:
                assert gone not in one.isr
                assert one.leader in found.alive - {gone}
                assert set(one.isr) & found.alive


@given(clusters(), st.frozensets(st.integers(1, 6), min_size=1, max_size=3))
def test_what_may_never_be_stopped_may_not_be_stopped_now(found: ClusterState, stop: frozenset[int]) -> None:
    whole = replace(
        found, partitions=tuple(replace(one, isr=one.replicas) for one in found.partitions), silent=()
    )
    ever = judge_ever(whole, [stop])
    held = any(reason in judge(whole, stop).reasons for reason in ever.reasons)
    assert ever.open or held
    if stop < whole.alive:
        assert judge(whole, stop).open == ever.open, "a whole cluster waits for nothing else"


@given(clusters(), st.integers(1, 6))
def test_losing_one_more_broker_never_opens_a_closed_gate(found: ClusterState, stop: int) -> None:
    if judge(found, stop).open:
        return
    for lost in found.alive - {stop}:
        assert not judge(replace(found, silent=(*found.silent, lost)), stop).open


@given(clusters())
def test_a_state_is_plain_json(found: ClusterState) -> None:
    assert json.loads(json.dumps(found.to_json()))["cluster_id"] == "id"
