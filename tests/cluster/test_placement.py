"""Where copies go: spread over racks, balanced, as few moves as can be, and never the last one in sync."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kdeploy.cluster.change import AlterReplication
from kdeploy.cluster.fake import FakeAdmin
from kdeploy.cluster.moving import RATES, Manner, carry_out
from kdeploy.cluster.placement import Placement
from kdeploy.cluster.record import MovingEntry, Relaxed
from kdeploy.cluster.state import Broker, Moving, NewTopic, Partition
from kdeploy.cluster.three_way import THROTTLED
from kdeploy.errors import GateClosed

RACKS = {1: "a", 2: "b", 3: "c", 4: "a", 5: "b", 6: "c"}


@st.composite
def clusters(draw: st.DrawFn) -> tuple[dict[int, str | None], list[Partition], int]:
    """Racks by broker, partitions with any replicas of them and any part of those in sync, and a wish."""
    brokers = draw(st.integers(1, 7))
    racks: dict[int, str | None] = {one: draw(st.sampled_from("abc")) for one in range(1, brokers + 1)}
    partitions = []
    for index in range(draw(st.integers(1, 8))):
        size = draw(st.integers(1, brokers))
        replicas = tuple(draw(st.permutations(list(racks)))[:size])
        isr = tuple(one for one in replicas if draw(st.booleans()))
        leader = isr[0] if isr else None
        partitions.append(Partition("t", index, leader, replicas, isr))
    return racks, partitions, draw(st.integers(1, brokers))


@given(clusters())
def test_every_partition_gets_its_copies_and_nothing_moves_without_need(
    drawn: tuple[dict[int, str | None], list[Partition], int],
) -> None:
    racks, partitions, copies = drawn
    targets = Placement(racks, partitions).targets(partitions, copies)
    for one in partitions:
        found = targets.get(one.index, one.replicas)
        assert len(found) == len(set(found)) == copies
        assert set(found) <= set(racks)
        if copies >= len(one.replicas):
            assert found[: len(one.replicas)] == one.replicas, "raising keeps every copy in its place"
        else:
            assert set(found) < set(one.replicas), "lowering makes no copy"
            kept = [replica for replica in one.replicas if replica in found]
            assert list(found) == kept, "who stays stays in order"
        assert (one.index in targets) == (copies != len(one.replicas))


@given(clusters())
def test_no_copy_in_sync_is_given_up_for_one_that_is_not(
    drawn: tuple[dict[int, str | None], list[Partition], int],
) -> None:
    racks, partitions, copies = drawn
    for index, found in Placement(racks, partitions).targets(partitions, copies).items():
        one = partitions[index]
        if copies < len(one.replicas):
            assert len(set(found) & set(one.isr)) == min(copies, len(one.isr))


@given(clusters())
def test_new_copies_go_to_racks_that_have_none_as_long_as_there_are_any(
    drawn: tuple[dict[int, str | None], list[Partition], int],
) -> None:
    racks, partitions, copies = drawn
    for index, found in Placement(racks, partitions).targets(partitions, copies).items():
        one = partitions[index]
        added = copies - len(one.replicas)
        if added > 0:
            before = {racks[replica] for replica in one.replicas}
            after = {racks[replica] for replica in found}
            assert len(after) == min(len(set(racks.values())), len(before) + added)


@given(st.integers(1, 60))
def test_copies_of_many_partitions_are_balanced(count: int) -> None:
    partitions = [Partition("t", n, 1 + n % 6, (1 + n % 6,), (1 + n % 6,)) for n in range(count)]
    targets = Placement(RACKS, partitions).targets(partitions, 3)
    load = Counter(broker for found in targets.values() for broker in found)
    assert max(load.values()) - min(load[broker] for broker in RACKS) <= 2
    for index, found in targets.items():
        assert len({RACKS[broker] for broker in found}) == 3
        assert found[0] == partitions[index].replicas[0], "the preferred leader stays"


def test_lowering_keeps_racks_apart_and_the_leader_where_it_is() -> None:
    partition = Partition("t", 0, 4, (1, 4, 2), (1, 4, 2))
    assert Placement(RACKS).targets([partition], 2)[0] in ((1, 2), (4, 2))
    led = Partition("t", 0, 3, (1, 2, 3), (1, 2, 3))
    assert 3 in Placement(RACKS).targets([led], 2)[0]
    dead = Partition("t", 0, 1, (1, 2, 9), (1, 2, 9))
    assert Placement(RACKS).targets([dead], 2)[0] == (1, 2), "one that is not registered goes first"


PATIENT = Manner()
RAISING = MovingEntry(("t",), (1, 2, 3), {"t": Relaxed("1")})


def raised(
    admin: FakeAdmin, manner: Manner = PATIENT, begun: MovingEntry | None = None
) -> list[MovingEntry | None]:
    kept: list[MovingEntry | None] = []
    carry_out(admin, [AlterReplication("t", 1, 3)], begun, kept.append, manner)
    return kept


@pytest.fixture
def admin() -> FakeAdmin:
    made = FakeAdmin()
    made.create_topics([NewTopic("t", 3, 1)])
    return made


def test_copies_are_throttled_while_they_are_made_and_no_longer(admin: FakeAdmin) -> None:
    seen: list[dict[str, str]] = []

    def reached(name: str) -> None:
        if name == "reassignment-started":
            seen.append(dict(admin.config["t"]))
            assert all(set(admin.dynamic[broker]) == set(RATES) for broker in (1, 2, 3))

    assert raised(admin, Manner(reached=reached)) == [RAISING, None]
    leaders, followers = (seen[0][key] for key in THROTTLED)
    assert leaders == "0:1,1:2,2:3"
    assert sorted(followers.split(",")) == ["0:2", "0:3", "1:1", "1:3", "2:1", "2:2"]
    assert admin.config["t"] == {}
    assert not any(admin.dynamic.values())


def test_a_rate_that_somebody_else_gave_a_broker_stays(admin: FakeAdmin) -> None:
    admin.dynamic[2] = {RATES[0]: "7"}
    raised(admin)
    assert admin.dynamic == {1: {}, 2: {RATES[0]: "7"}, 3: {}}


def test_a_broker_that_is_lost_is_waited_for_and_named_and_what_began_is_not_forgotten(
    admin: FakeAdmin,
) -> None:
    admin.moves_at_once = False
    told: list[str] = []

    def reached(name: str) -> None:
        if name == "reassignment-started":
            admin.dead.add(3)

    with pytest.raises(GateClosed, match="waits for broker 3, which does not answer"):
        raised(admin, Manner(patience=0, told=told.append, reached=reached))
    assert admin.config["t"], "the throttle stays as long as copies are on their way"
    admin.dead.clear()
    admin.finish_moves()
    assert raised(admin, begun=RAISING)[-1] is None
    assert admin.config["t"] == {}
    assert not any(admin.dynamic.values())


def test_a_broker_that_went_after_the_plan_was_made_is_waited_for_before_anything_begins(
    admin: FakeAdmin,
) -> None:
    everybody, told = admin.brokers, list[str]()

    def tell(said: str) -> None:
        told.append(said)
        admin.brokers = everybody

    admin.brokers = everybody[:2]
    with pytest.raises(GateClosed, match="waits for broker 3: topic t is to have 3 copies"):
        raised(admin, Manner(patience=0))
    assert admin.config["t"] == {}
    assert raised(admin, Manner(told=tell)) == [RAISING, None]
    assert told == ["waits for broker 3: topic t is to have 3 copies, and brokers registered are 2"]


def test_where_no_partition_tells_which_broker_is_missing_more_of_them_are_waited_for(
    admin: FakeAdmin,
) -> None:
    admin.delete_topics(["t"])
    admin.brokers = admin.brokers[:2]
    admin.create_topics([NewTopic("t", 1, 1)])
    with pytest.raises(GateClosed, match="waits for more brokers: topic t is to have 3 copies"):
        raised(admin, Manner(patience=0))


def test_a_rate_on_a_broker_that_is_away_is_remembered_until_it_is_back(admin: FakeAdmin) -> None:
    admin.dynamic[3] = {RATES[0]: "5"}
    everybody, admin.brokers = admin.brokers, admin.brokers[:2]
    kept: list[MovingEntry | None] = []
    carry_out(admin, [], MovingEntry((), (1, 2, 3)), kept.append)
    assert kept == [MovingEntry((), (3,))]
    admin.brokers = everybody
    carry_out(admin, [], kept[-1], kept.append)
    assert kept[-1] is None
    assert not any(admin.dynamic.values())


def test_what_something_else_moves_is_waited_for(admin: FakeAdmin) -> None:
    admin.movements["other", 0] = Moving((1, 2), (2,))
    admin.moves_at_once = False
    with pytest.raises(GateClosed, match="waits for partitions that something else moves: other-0"):
        raised(admin, Manner(patience=0))
    assert set(admin.movements) == {("other", 0)}
    assert admin.brokers[0] == Broker(1, "a", "localhost")
