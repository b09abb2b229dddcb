"""The gate, as a table: state of a cluster, broker to stop, and whether it may be stopped.

Partitions are written `topic-index leader replicas isr [offline]`, a broker being one
digit and `.` standing for none.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kdeploy.cluster.gate import judge, judge_voter, settled
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
    stop: int
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


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_the_gate_opens_exactly_when_nothing_would_be_lost(row: Row) -> None:
    verdict = judge(row.state, row.stop, row.accepted)
    if row.why is None:
        assert verdict.open, verdict.reasons
    else:
        assert not verdict.open
        assert row.why in "\n".join(verdict.reasons)


def test_the_table_has_no_two_rows_of_one_name() -> None:
    assert len({row.name for row in ROWS}) == len(ROWS) >= 40


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


@given(clusters(), st.integers(1, 6))
def test_losing_one_more_broker_never_opens_a_closed_gate(found: ClusterState, stop: int) -> None:
    if judge(found, stop).open:
        return
    for lost in found.alive - {stop}:
        assert not judge(replace(found, silent=(*found.silent, lost)), stop).open


@given(clusters())
def test_a_state_is_plain_json(found: ClusterState) -> None:
    assert json.loads(json.dumps(found.to_json()))["cluster_id"] == "id"
