"""Which datacenter is written to: kept in the clusters, the highest number counts, and nothing overwrites it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kdeploy.cluster import direction, reconcile, record
from kdeploy.cluster.direction import Direction, Disagreement, decode, encode, latest
from kdeploy.cluster.failure import ClusterError, NotStored
from kdeploy.cluster.fake import FakeAdmin
from kdeploy.spec.model import Environment

SINCE = datetime(2026, 11, 27, 9, 0, tzinfo=UTC)
TAKEN = Direction(1, "us", SINCE, False, {"orders": {0: 10, 1: 20, 7: 30}}, {"orders": {0: 11, 1: 0}})


def looked_after() -> FakeAdmin:
    """A cluster with a record."""
    admin = FakeAdmin()
    carried_out(admin, partitions=1)
    return admin


def carried_out(admin: FakeAdmin, partitions: int) -> None:
    fields = {"name": "test", "topics": [{"name": "orders", "partitions": partitions}]}
    environment = Environment.model_validate(fields)
    reconcile.carry_out(admin, reconcile.plan(environment, admin, {}), {})


OFFSETS = st.dictionaries(
    st.text(min_size=1, max_size=6),
    st.dictionaries(st.integers(0, 10_000), st.integers(0, 2**62), min_size=1, max_size=8),
    max_size=4,
)
DIRECTIONS = st.builds(
    Direction,
    st.integers(0, 2**40),
    st.text(min_size=1, max_size=8),
    st.none() | st.datetimes(timezones=st.just(UTC)),
    st.booleans(),
    OFFSETS,
    OFFSETS,
)


@given(DIRECTIONS)
def test_what_is_written_is_read_as_it_was(one: Direction) -> None:
    assert decode(encode(one)) == one
    assert "\n" not in encode(one)


def test_it_is_the_same_text_for_the_same_whatever_the_order_and_the_zone() -> None:
    zone = timezone(timedelta(hours=2))
    other = replace(TAKEN, since=SINCE.astimezone(zone), mirrored={"orders": {7: 30, 1: 20, 0: 10}})
    assert encode(other) == encode(TAKEN)
    assert '"mirrored":{"orders":[[0,10,20],[7,30]]}' in encode(TAKEN)


def test_thousands_of_partitions_fit_many_times_over() -> None:
    offsets = {f"team.orders.{topic:04d}": {part: 10**9 + part for part in range(10)} for topic in range(500)}
    size = len(encode(Direction(3, "us-east-1", SINCE, False, offsets, offsets)))
    assert size == pytest.approx(135_000, rel=0.02), "as its docstring says"
    assert size * 20 < record.LARGEST


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ([], Direction(0, "eu")),
        ([None, None], Direction(0, "eu")),
        ([None, TAKEN], TAKEN),
        ([Direction(0, "eu"), TAKEN], TAKEN),
        ([Direction(2, "eu"), TAKEN], Direction(2, "eu")),
        ([replace(TAKEN, ends={}), TAKEN], TAKEN),
        ([TAKEN, replace(TAKEN, ends={})], TAKEN),
    ],
)
def test_the_highest_number_of_all_that_can_be_asked_counts(
    found: list[Direction | None], expected: Direction
) -> None:
    assert latest(found, "eu") == expected


@given(st.lists(st.none() | DIRECTIONS, max_size=4), st.randoms())
def test_it_does_not_matter_who_is_asked_first(found: list[Direction | None], random: object) -> None:
    actives = {(one.epoch, one.active) for one in found if one}
    highest = max((epoch for epoch, _ in actives), default=0)
    if sum(epoch == highest for epoch, _ in actives) > 1:
        with pytest.raises(ClusterError):
            latest(found, "eu")
        return
    chosen = latest(found, "eu")
    random.shuffle(found)  # type: ignore[attr-defined]
    again = latest(found, "eu")
    assert (again.epoch, again.active) == (chosen.epoch, chosen.active)


def test_two_that_were_taken_over_each_without_the_other_are_told_and_not_chosen_between() -> None:
    with pytest.raises(
        Disagreement, match=r"eu and us were each made .* as number 1, .*\n.*kdeploy failover ENV --to"
    ) as caught:
        latest([Direction(1, "us"), Direction(1, "eu")], "eu")
    assert caught.value.epoch == 1


def test_one_that_goes_on_knows_by_both_decisions_what_each_side_has_of_the_other() -> None:
    eu = Direction(4, "eu", SINCE, False, {"a": {0: 10}, "b": {0: 5}}, {"a": {0: 11}})
    us = Direction(4, "us", SINCE, False, {"a": {0: 30}}, {"a": {0: 9, 1: 2}, "c": {0: 1}})
    with pytest.raises(Disagreement) as caught:
        latest([eu, us, None], "eu")
    found = caught.value.settled("eu")
    assert (found.epoch, found.active, found.planned) == (5, "eu", False)
    assert found.mirrored == {"a": {0: 10, 1: 2}, "b": {0: 5}, "c": {0: 1}}
    assert found.ends == {"a": {0: 30}}
    assert latest([eu, us, found], "eu") == found


def test_it_is_kept_and_read_back_and_kept_again_without_a_write() -> None:
    admin = looked_after()
    assert direction.read(admin) is None
    direction.keep(admin, TAKEN)
    assert direction.read(admin) == TAKEN
    writes = admin.calls.count("write_compacted")
    direction.keep(admin, TAKEN)
    assert admin.calls.count("write_compacted") == writes
    direction.keep(admin, replace(TAKEN, ends={"orders": {0: 12}}))
    direction.keep(admin, Direction(2, "eu", SINCE))
    assert direction.read(admin) == Direction(2, "eu", SINCE)


@pytest.mark.parametrize("late", [Direction(0, "us"), Direction(1, "eu")])
def test_a_later_decision_is_not_overwritten(late: Direction) -> None:
    admin = looked_after()
    direction.keep(admin, TAKEN)
    with pytest.raises(ClusterError, match=r"has us as the active datacenter by now, as number 1"):
        direction.keep(admin, late)
    assert direction.read(admin) == TAKEN


def test_what_is_reconciled_later_leaves_it_as_it_is() -> None:
    admin = looked_after()
    direction.keep(admin, TAKEN)
    text = admin.compacted[record.TOPIC][record.MIRRORING]
    carried_out(admin, partitions=3)
    assert len(admin.topics["orders"]) == 3
    assert admin.compacted[record.TOPIC][record.MIRRORING] == text
    assert record.read(admin).direction == text
    assert record.decode(record.encode(record.read(admin))) == record.read(admin)


def test_even_where_the_form_is_of_a_newer_kdeploy_reconciling_leaves_it() -> None:
    admin = looked_after()
    newer = '{"schema":"kdeploy.direction/v9"}'
    admin.write_compacted(record.TOPIC, {record.MIRRORING: newer})
    carried_out(admin, partitions=2)
    assert admin.compacted[record.TOPIC][record.MIRRORING] == newer
    with pytest.raises(ClusterError, match=r"is kdeploy.direction/v9, .*\n.*newer kdeploy"):
        direction.read(admin)


@pytest.mark.parametrize("text", ["", "[]", "{", '{"schema":"kdeploy.direction/v1"}', "null"])
def test_what_no_kdeploy_wrote_is_refused(text: str) -> None:
    with pytest.raises(ClusterError, match="'mirroring' that no kdeploy wrote"):
        decode(text)


def test_a_record_without_one_reads_as_before() -> None:
    assert record.decode({}).direction is None
    assert record.encode(record.Record()) == {}


def test_what_was_said_to_be_stored_and_was_not_is_noticed() -> None:
    admin = looked_after()
    admin.lost = frozenset({"write_compacted"})
    with pytest.raises(NotStored):
        direction.keep(admin, TAKEN)


def test_where_nobody_has_looked_after_the_cluster_there_is_no_place_for_it() -> None:
    with pytest.raises(ClusterError, match=r"no topic __kdeploy-resources .*\n.*kdeploy up"):
        direction.keep(FakeAdmin(), TAKEN)


def test_more_than_a_record_can_hold_is_refused_before_it_is_written() -> None:
    admin = looked_after()
    offsets = {f"{'x' * 200}-{topic}": {0: 2**62} for topic in range(20_000)}
    with pytest.raises(ClusterError, match=r"takes \d+ bytes"):
        direction.keep(admin, replace(TAKEN, ends=offsets))
    assert direction.read(admin) is None


@given(
    DIRECTIONS, st.dictionaries(st.text(min_size=1, max_size=6), st.text(min_size=1, max_size=6), max_size=4)
)
def test_whose_clients_are_sent_where_is_read_as_it_was(one: Direction, moved: dict[str, str]) -> None:
    sent = replace(one, moved=moved)
    assert decode(encode(sent)) == sent


def test_of_two_nothing_is_written_of_clients_that_are_sent_elsewhere() -> None:
    assert "moved" not in encode(TAKEN)


def test_one_that_sends_other_clients_elsewhere_under_the_same_number_is_not_overwritten() -> None:
    admin = looked_after()
    mine = Direction(2, "", SINCE, moved={"eu": "us"})
    direction.keep(admin, mine)
    with pytest.raises(
        ClusterError, match="another decision on whose clients go where, as number 2: clients of eu to us"
    ):
        direction.keep(admin, replace(mine, moved={"eu": "ap"}))
    assert direction.read(admin) == mine
    direction.keep(admin, replace(mine, epoch=3, moved={}))


def test_two_that_send_clients_elsewhere_under_one_number_are_told_and_both_go_into_what_settles_it() -> None:
    first = Direction(2, "", SINCE, moved={"eu": "us"})
    second = Direction(2, "", SINCE + timedelta(seconds=1), moved={"eu": "ap", "za": "us"})
    with pytest.raises(Disagreement, match="whose clients are sent where") as caught:
        latest([second, first, None], "")
    settled = caught.value.settled("us")
    assert (settled.epoch, settled.active, settled.moved) == (3, "", {"eu": "ap", "za": "us"})
    assert latest([first, replace(first, since=None)], "").moved == {"eu": "us"}
