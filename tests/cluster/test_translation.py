"""Groups on both sides: where they would go on, and how many records they read again or skip at most."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kdeploy.cluster.mirror_records import Checkpoint
from kdeploy.cluster.route import Route
from kdeploy.cluster.translation import Known, Offsets, Translated, group_states

ROUTE = Route("eu", "us")
PLACE = ("orders", 0)


def row(
    source: int | None,
    checkpoint: tuple[int, int] | None,
    target: int | None,
    mirrored: int | None = None,
    end: int | None = None,
    syncs: tuple[tuple[int, int], ...] = (),
) -> Translated:
    known = Known(
        {} if mirrored is None else {"orders": {0: mirrored}},
        {} if end is None else {PLACE: end},
        {} if checkpoint is None else {("g", "orders", 0): Checkpoint("g", "orders", 0, *checkpoint)},
        {PLACE: syncs},
    )
    committed = None if source is None else {"g": {PLACE: source}}
    (state,) = group_states(
        ROUTE, committed, lambda _: {} if target is None else {"g": {PLACE: target}}, known
    )
    (found,) = state.offsets
    assert (state.re_read, state.skipped) == (found.re_read or 0, found.skipped or 0)
    return found


CASES = {
    "caught up, translated to the record": (row(100, (100, 50), 50, 100, 50, ((50, 100),)), 0, 0),
    "caught up, translated behind a pair": (row(100, (100, 41), 41, 100, 50, ((40, 90),)), 9, 0),
    "the checkpoint is older than the commit": (row(100, (80, 30), 30, 100, 50, ((30, 80),)), 20, 0),
    "it reads what is not mirrored yet": (row(130, (100, 50), 50, 100, 50, ((50, 100),)), 0, 0),
    "without a pair, from the ends": (row(100, (100, 41), 41, 100, 50), 9, 0),
    "without a pair, with records left to read": (row(90, (90, 35), 35, 100, 50), 5, 0),
    "without a pair, with marks on the target": (row(100, (100, 41), 41, 100, 55), 14, 0),
    "nothing committed there yet": (row(100, (100, 41), None, 100, 50, ((40, 90),)), 9, 0),
    "the source went back": (row(60, (100, 50), 50, 100, 50, ((50, 100),)), 0, 40),
    "the target went on by itself": (row(100, (100, 50), 57, 120, 70, ((50, 100),)), 0, 7),
    "no checkpoint and no offset": (row(100, None, None, 100, 50), None, None),
    "no checkpoint, an offset of somebody's": (row(100, None, 48, 100, 50), 2, 0),
    "no checkpoint, an offset too far": (row(90, None, 48, 100, 50), 0, 8),
    "the source is dead": (row(None, (100, 41), 41, 100, 50, ((40, 90),)), 9, 0),
    "a group that may have gone on before its source died": (
        row(None, (100, 41), 41, 120, 70, ((40, 90),)),
        29,
        0,
    ),
    "and where no pair of offsets is known": (row(None, (100, 41), 41, 120, 70), 29, 0),
    "nothing known of the workers": (row(100, (100, 41), 41, None, None, ((40, 90),)), 9, 0),
    "nothing known but a checkpoint": (row(100, (100, 41), 41), None, 0),
}


@pytest.mark.parametrize(("found", "re_read", "skipped"), CASES.values(), ids=CASES)
def test_how_many_are_read_again_or_skipped(
    found: Translated, re_read: int | None, skipped: int | None
) -> None:
    assert (found.re_read, found.skipped) == (re_read, skipped)


@given(st.data())
def test_it_is_never_said_to_be_less_than_it_is(data: st.DataObject) -> None:
    """A log with gaps on the source, marks on the target, and a translation as MirrorMaker makes it."""
    upstream, at = [], 0
    for _ in range(data.draw(st.integers(1, 30))):
        at += data.draw(st.integers(1, 3))
        upstream.append(at)
    downstream, there = [], 0
    for _ in upstream:
        there += data.draw(st.integers(1, 2))
        downstream.append(there)
    count = len(upstream)
    dead = data.draw(st.booleans())
    consumed = data.draw(st.integers(0, count))  # records that the group has read on the source
    told = data.draw(st.integers(0, consumed)) if dead else consumed  # and of which its last checkpoint knows
    committed = upstream[told - 1] + 1 if told else upstream[0]
    pairs = sorted(data.draw(st.sets(st.integers(0, count - 1), min_size=1)) | {0})
    pair = max((one for one in pairs if upstream[one] <= committed), default=0)
    down = downstream[pair] + (committed > upstream[pair])
    again = sum(down <= downstream[one] for one in range(consumed))
    found = row(
        None if dead else committed,
        (committed, down),
        down,
        upstream[-1] + 1,
        downstream[-1] + 2,
        tuple((downstream[one], upstream[one]) for one in pairs),
    )
    assert found.re_read is not None
    assert found.re_read >= again
    assert found.skipped == 0


def test_groups_are_those_that_are_translated_with_topics_that_are_carried_asked_for_at_once() -> None:
    route = Route("eu", "us", "prefixed", exclude_groups=("probe*",))
    committed: Offsets = {
        "b": {("orders", 1): 5, ("orders", 0): 6, ("us.orders", 0): 9},
        "a": {("__x", 0): 1},
        "probe-1": {("orders", 0): 1},
        "c": {("orders", 0): 1},
    }
    asked: list[Collection[str]] = []

    def there(groups: Collection[str]) -> Mapping[str, Mapping[tuple[str, int], int]]:
        asked.append(groups)
        return {"b": {("eu.orders", 1): 3}}

    known = Known({}, {}, {("b", "eu.orders", 1): Checkpoint("b", "eu.orders", 1, 5, 3)}, {})
    found = group_states(route, committed, there, known)
    assert asked == [["b", "c"]]
    assert [(one.group, one.untranslated) for one in found] == [("b", 1), ("c", 1)]
    assert [(one.topic, one.partition, one.source, one.target) for one in found[0].offsets] == [
        ("orders", 0, 6, None),
        ("orders", 1, 5, 3),
    ]


def test_where_the_source_is_dead_checkpoints_tell_which_groups_there_are() -> None:
    route = Route("eu", "us", "prefixed")
    points = [Checkpoint("b", "eu.orders", 1, 5, 3), Checkpoint("b", "users", 0, 1, 1)]
    known = Known({}, {}, {(one.group, one.topic, one.partition): one for one in points}, {})
    (found,) = group_states(route, None, lambda _: {}, known)
    (one,) = found.offsets
    assert (found.group, one.topic, one.partition, one.source, one.upstream, one.downstream) == (
        "b",
        "orders",
        1,
        None,
        5,
        3,
    )
    assert group_states(route, {}, lambda _: pytest.fail("nobody to ask for"), known) == ()
