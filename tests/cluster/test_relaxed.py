"""acks=all goes on while a topic gets more copies, and needs as many in sync as declared once it has them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given as drawn
from hypothesis import strategies as st

from kdeploy.cluster import found, reconcile, record
from kdeploy.cluster.fake import FakeAdmin
from kdeploy.cluster.relaxed import meanwhile
from kdeploy.cluster.state import NewTopic
from kdeploy.errors import GateClosed
from kdeploy.spec.model import Environment

ONE = {"name": "orders", "partitions": 3, "replication_factor": 1}
THREE = {**ONE, "replication_factor": 3}
INSYNC = "min.insync.replicas"
MOMENTS = ("moving-recorded", "min-insync-relaxed", "throttled", "reassignment-started", "reassigned")


class Killed(BaseException):
    pass


def environment(*topics: dict[str, Any], **fields: Any) -> Environment:
    return Environment.model_validate({"name": "test", "topics": topics, **fields})


def planned(admin: FakeAdmin, *topics: dict[str, Any]) -> list[str]:
    return [str(change) for change in reconcile.changes(environment(*topics), admin, {})]


def given(admin: FakeAdmin, *topics: dict[str, Any], reached: Callable[[str], None] = lambda _: None) -> None:
    plan = reconcile.plan(environment(*topics), admin, {})
    reconcile.carry_out(admin, plan, {}, reconcile.Manner(reached=reached))


def at(moment: str, do: Callable[[], None]) -> Callable[[str], None]:
    return lambda name: do() if name == moment else None


def kill() -> None:
    raise Killed


def with_copies(*topics: dict[str, Any]) -> FakeAdmin:
    """A cluster with topics, in which copies come only when `finish_moves` says so."""
    admin = FakeAdmin()
    given(admin, *topics)
    admin.moves_at_once = False
    return admin


def test_acks_all_goes_on_while_copies_come_and_then_needs_as_many_as_declared() -> None:
    admin = with_copies(ONE)
    seen: list[bool] = []

    def look() -> None:
        seen.append(admin.takes_acks_all("orders"))
        assert admin.movements, "copies are on their way"
        assert admin.config["orders"][INSYNC] == "1"
        assert reconcile.drift(environment(THREE), reconcile.observe(environment(THREE), admin, {})) == ()
        admin.finish_moves()

    given(admin, THREE, reached=at("reassignment-started", look))
    assert seen == [True]
    assert admin.config["orders"] == {}, "the cluster's default holds again"
    assert admin.takes_acks_all("orders")
    assert planned(admin, THREE) == []


def test_preview_says_what_is_needed_meanwhile_and_only_where_it_is_less() -> None:
    admin = with_copies(ONE, {**ONE, "name": "two", "replication_factor": 2})
    assert planned(admin, THREE, {**THREE, "name": "two"}) == [
        "topic orders: replication factor 1 → 3, with min.insync.replicas 1 in place of 2 meanwhile, "
        "so that acks=all goes on",
        "topic two: replication factor 2 → 3",
    ]


def test_its_own_value_is_what_a_topic_gets_back_also_one_declared_in_the_same_change() -> None:
    admin = with_copies({**ONE, "config": {INSYNC: 1}})
    wanted = {**THREE, "config": {INSYNC: 3}}
    assert planned(admin, wanted)[1].endswith(
        "min.insync.replicas 1 in place of 3 meanwhile, so that acks=all goes on"
    )
    given(admin, wanted, reached=at("reassignment-started", admin.finish_moves))
    assert admin.config["orders"] == {INSYNC: "3"}
    assert planned(admin, wanted) == []


@pytest.mark.parametrize("own", [{}, {INSYNC: 2}, {INSYNC: 3}])
@pytest.mark.parametrize("moment", MOMENTS)
def test_import_declares_what_a_topic_has_at_rest_whenever_a_move_was_killed(
    moment: str, own: dict[str, int]
) -> None:
    admin = with_copies({**ONE, "config": own})

    def reached(name: str) -> None:
        if moment == "reassigned" and name == "reassignment-started":
            admin.finish_moves()
        if name == moment:
            raise Killed

    with pytest.raises(Killed):
        given(admin, {**THREE, "config": own}, reached=reached)
    if moment == "reassignment-started":
        assert admin.config["orders"][INSYNC] == "1"
        assert admin.movements, "copies are on their way"
    (topic,) = found.found(admin).topics
    assert topic.config == {key: str(value) for key, value in own.items()}
    copies = 3 if moment in ("reassignment-started", "reassigned") else 1
    assert topic.replication_factor == copies
    declared = environment(topic.model_dump(mode="json", exclude_defaults=True))
    admin.moves_at_once = True
    reconcile.carry_out(admin, reconcile.plan(declared, admin, {}), {})
    assert admin.config["orders"] == {key: str(value) for key, value in own.items()}
    assert len(admin.topics["orders"][0].replicas) == copies


def test_import_takes_over_a_value_that_somebody_else_gave_meanwhile() -> None:
    admin = with_copies({**ONE, "config": {INSYNC: 2}})
    with pytest.raises(Killed):
        given(admin, {**THREE, "config": {INSYNC: 2}}, reached=at("reassignment-started", kill))
    admin.set_topic_settings({"orders": {INSYNC: "3"}})
    assert found.found(admin).topics[0].config == {INSYNC: "3"}


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize(
    "then", [THREE, {**THREE, "config": {INSYNC: 1}}, {**THREE, "config": {INSYNC: 3}}, ONE]
)
def test_killed_at_any_moment_the_next_run_gives_back_what_is_declared_then(
    moment: str, then: dict[str, Any]
) -> None:
    admin = with_copies(ONE)

    def reached(name: str) -> None:
        if moment == "reassigned" and name == "reassignment-started":
            admin.finish_moves()
        if name == moment:
            raise Killed

    with pytest.raises(Killed):
        given(admin, THREE, reached=reached)
    assert admin.takes_acks_all("orders")
    drift = reconcile.drift(environment(THREE), reconcile.observe(environment(THREE), admin, {}))
    assert [one.key for one in drift if one.key == INSYNC] == [], "what kdeploy gave is nobody's drift"
    admin.moves_at_once = True
    given(admin, then)
    assert admin.config["orders"] == {key: str(value) for key, value in then.get("config", {}).items()}
    assert planned(admin, then) == []
    assert record.read(admin).moving is None


def test_what_was_begun_and_is_declared_no_more_gets_its_own_value_back() -> None:
    admin = with_copies({**ONE, "config": {INSYNC: 2}})
    with pytest.raises(Killed):
        given(admin, {**THREE, "config": {INSYNC: 2}}, reached=at("reassignment-started", kill))
    assert admin.config["orders"][INSYNC] == "1"
    admin.finish_moves()
    given(admin, {"name": "other"})
    assert admin.config["orders"] == {INSYNC: "2"}


def test_a_topic_that_is_done_needs_all_of_it_again_while_others_still_wait() -> None:
    admin = with_copies(ONE, {**ONE, "name": "slow"})

    def finish_one() -> None:
        slow = {place: one for place, one in admin.movements.items() if place[0] == "slow"}
        for place in slow:
            del admin.movements[place]
        admin.finish_moves()
        admin.movements.update(slow)

    plan = reconcile.plan(environment(THREE, {**THREE, "name": "slow"}), admin, {})
    with pytest.raises(GateClosed, match=r"gives topics their min\.insync\.replicas back"):
        reconcile.carry_out(
            admin, plan, {}, reconcile.Manner(patience=0, reached=at("reassignment-started", finish_one))
        )
    assert INSYNC not in admin.config["orders"]
    assert admin.config["slow"][INSYNC] == "1"


def test_a_topic_that_is_deleted_in_between_is_passed_over() -> None:
    admin = with_copies(ONE, {"name": "stays"})

    def delete() -> None:
        admin.movements.clear()
        admin.delete_topics(["orders"])
        admin.create_topics([NewTopic("orders", 3, 3)])

    given(admin, THREE, {"name": "stays"}, reached=at("reassignment-started", delete))
    assert admin.config["orders"] == {}


@drawn(st.integers(1, 5), st.lists(st.integers(1, 5), min_size=1, max_size=4))
def test_no_partition_ever_needs_less_than_it_did_before(needed: int, held: list[int]) -> None:
    fewer = meanwhile(needed, held)
    then = needed if fewer is None else fewer
    for copies in held:
        assert min(then, copies) == min(needed, copies)
    if len(set(held)) == 1:
        assert then <= held[0], "what every partition has is enough"
