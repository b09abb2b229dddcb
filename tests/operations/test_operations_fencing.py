"""What a failover closes, what it waits for, and that a failure on the way leaves nobody shut out: in memory."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from kdeploy.cli.failover import text
from kdeploy.cluster.failure import Unreachable
from kdeploy.cluster.fake import FakeAdmin
from kdeploy.cluster.state import Binding
from kdeploy.errors import GateClosed, Stopped, Unhealthy
from kdeploy.operations import backlog, failover_preview, fencing, mirroring, switching
from kdeploy.operations.backlog import Backlog
from kdeploy.operations.failback import failback
from kdeploy.operations.failover import failover
from kdeploy.operations.site import Site
from kdeploy.spec.load import Loaded
from kdeploy.spec.resources import Topic
from tests.contracts import hold
from tests.operations.two_sides_world import TwoSides, go, lose_east

OPEN = {"orders", "payments"}
"""What the application may write where it may write."""

LEGACY = Binding("legacy", "topic", "orders", "literal", "write", "allow", "*")
"""An entry that nobody declared."""


def site(two: TwoSides, datacenter: str) -> Site:
    return next(one for one in two.sites if one.cluster.datacenter == datacenter)


def left(two: TwoSides, upto: int) -> int:
    """What is left to be mirrored of orders-0 in east up to an offset, as soon as two looks agree that nothing moves."""
    found = Backlog(site(two, "east"), site(two, "west"))
    found.left({"orders": {0: upto}})
    return found.left({"orders": {0: upto}})


MANY = 3 * backlog.CLOSE


@pytest.mark.parametrize("records", [0, 5])
def test_what_was_deleted_by_its_age_before_anything_was_mirrored_is_not_waited_for(
    two: TwoSides, records: int
) -> None:
    two.write("east", records)
    log = two.sides["east"].logs["orders", 0]
    two.sides["east"].logs["orders", 0] = [replace(one, offset=one.offset + MANY) for one in log]
    two.sides["east"].ends["orders", 0] = MANY + records
    assert left(two, MANY + records) == records


def test_marks_of_transactions_are_not_waited_for_however_many_there_are(two: TwoSides) -> None:
    two.write("east", 5)
    two.mirrored("east", "west", 5)
    two.sides["east"].ends["orders", 0] = MANY
    assert left(two, MANY) == 0
    assert go(two, patience=30).planned


def test_a_topic_that_is_gone_is_not_waited_for(two: TwoSides) -> None:
    found = Backlog(site(two, "east"), site(two, "west"))
    assert found.left({"gone": {0: MANY}}) == 0


def test_records_that_are_far_behind_are_told_by_their_offsets_and_few_are_counted(two: TwoSides) -> None:
    two.write("east", 7)
    two.mirrored("east", "west", 3)
    two.sides["east"].ends["orders", 0] = 20  # marks of transactions after them
    assert left(two, 20) == 4
    two.sides["east"].ends["orders", 0] = MANY
    assert left(two, MANY) == MANY - 3


def test_what_comes_to_be_while_a_failover_waits_is_waited_for_too(
    two: TwoSides, monkeypatch: pytest.MonkeyPatch
) -> None:
    two.write("east", 5)
    two.mirrored("east", "west", 5)
    monkeypatch.setattr(switching, "approach", lambda *_: two.write("east", 3, topic="payments"))
    with pytest.raises(switching.Behind, match="3 records of east were not mirrored"):
        go(two)
    assert (two.writers("east"), two.direction("west")) == (OPEN, None)


def test_a_topic_that_was_made_anew_is_behind_until_its_mirror_has_begun_anew(two: TwoSides) -> None:
    two.write("east", 9)
    two.mirrored("east", "west", 9)
    del two.sides["east"].logs["orders", 0][3:]
    with pytest.raises(switching.Behind, match="the mirror into west is 3 records behind"):
        go(two, patience=0.0)
    assert two.happened() == []
    two.mirrored("east", "west", 3)
    assert go(two).lost == 0


def test_a_transaction_that_is_open_is_waited_for_and_no_longer_than_a_failover_may_take(
    two: TwoSides,
) -> None:
    two.sides["east"].open.add(("orders", 0))
    with pytest.raises(switching.Behind, match="a transaction is open on orders-0 of east") as caught:
        go(two)
    assert "see that its producer ends it" in str(caught.value)
    assert (
        two.steps.said.count("a transaction is open on orders-0 of east: it is waited for, 0 s at most") == 1
    )
    assert (two.writers("east"), two.direction("west")) == (OPEN, None)
    assert "nothing was decided, and east is written to as before" in two.steps.said


def test_what_a_broker_took_that_heard_late_of_the_fence_is_mirrored_before_anything_is_decided(
    two: TwoSides, monkeypatch: pytest.MonkeyPatch
) -> None:
    two.write("east", 5)
    two.mirrored("east", "west", 5)
    monkeypatch.setattr(switching, "translate", lambda *_: two.write("east", 2))
    with pytest.raises(switching.Behind, match="2 records of east were not mirrored"):
        go(two)
    monkeypatch.setattr("kdeploy.operations.switching.time.sleep", lambda _: two.mirrored("east", "west", 9))
    go(two)
    found = two.direction("west")
    assert found is not None
    assert found.mirrored["orders"][0] == 9


def gone(*_: object, **__: object) -> None:
    raise Unreachable("no worker of Kafka Connect answers")


@pytest.mark.parametrize("part", ["drain", "stop_mirror", "ends"])
def test_whatever_fails_before_a_decision_leaves_the_primary_open_and_its_mirror_running(
    two: TwoSides, part: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if part == "ends":
        monkeypatch.setattr(switching, "approach", lambda *_: None)
    monkeypatch.setattr(switching, part, gone)
    with pytest.raises(Unreachable):
        go(two)
    assert (two.writers("east"), two.writers("west"), two.direction("west")) == (OPEN, set(), None)
    assert two.running("west") == {"east-to-west-records", "east-to-west-groups", "west-heartbeats"}
    assert "nothing was decided, and east is written to as before" in two.steps.said
    monkeypatch.undo()


def test_where_no_worker_answers_the_primary_is_opened_before_its_mirror_is_put_right(
    two: TwoSides, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_then: list[set[str]] = []

    def lost(*_: object, **__: object) -> None:
        open_then.append(two.writers("east"))
        gone()

    def drained(source: Site, target: Site, *_: object, **__: object) -> None:
        assert two.writers("east") == set()
        assert max(source.patience, target.patience) <= 0.2, "writers are refused for no longer than that"
        monkeypatch.setattr(mirroring, "reconcile", lost)
        gone()

    monkeypatch.setattr(switching, "drain", drained)
    with pytest.raises(Unreachable, match="no worker of Kafka Connect answers"):
        go(two, patience=0.2)
    assert open_then == [OPEN]


def test_where_the_primary_cannot_be_opened_again_it_is_said_what_opens_it(
    two: TwoSides, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dies(*_: object, **__: object) -> None:
        two.down = {"east"}
        gone()

    monkeypatch.setattr(switching, "drain", dies)
    monkeypatch.setattr(fencing, "REOPEN", 0.0)
    with pytest.raises(Unreachable, match="no worker"):
        go(two)
    assert two.steps.said[-1].startswith("east stays fenced, as it cannot be opened: ")
    assert "`kdeploy apply local-two-dc-passive` opens it" in two.steps.said[-1]


def test_a_person_who_stops_it_is_told_what_may_be_closed_still(
    two: TwoSides, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(*_: object, **__: object) -> None:
        raise Stopped(2)

    monkeypatch.setattr(switching, "drain", stopped)
    with pytest.raises(Stopped):
        go(two)
    (said,) = [one for one in two.steps.said if "fenced still" in one]
    assert "`kdeploy failover local-two-dc-passive --to west` goes on from here" in said


def with_more(loaded: Loaded) -> Loaded:
    """The same environment with much that is declared and was not applied yet."""
    environment = loaded.environment
    orders, *others = environment.topics
    topics = (
        orders.model_copy(update={"partitions": 1}),  # fewer than there are, which is refused
        *(one.model_copy(update={"delete": True}) for one in others),
        Topic(name="new"),
    )
    user = environment.users[0].model_copy(update={"name": "nobody-has-its-password"})
    users = (*environment.users, user)
    return replace(loaded, environment=environment.model_copy(update={"topics": topics, "users": users}))


def test_what_else_is_declared_waits_for_apply_and_holds_up_no_failover(two: TwoSides) -> None:
    before = {name: set(side.topics) for name, side in two.sides.items()}
    report = failover(with_more(two.loaded), "west", two.steps, patience=0.2)
    assert (report.planned, two.writers("west"), two.writers("east")) == (True, OPEN, set())
    assert {name: set(side.topics) for name, side in two.sides.items()} == before
    assert (
        set(two.happened()) & {"create_topics", "add_partitions", "delete_topics", "set_passwords"} == set()
    )


def test_who_may_write_by_what_nobody_declared_is_named_before_anything_is_changed(two: TwoSides) -> None:
    two.sides["east"].acls.add(LEGACY)
    with pytest.raises(switching.Behind, match="legacy may write topic orders") as caught:
        go(two)
    assert "kdeploy failover local-two-dc-passive --to west --accept-loss" in str(caught.value)
    (said,) = failover_preview.of_failover(two.loaded, "west").refused
    assert "legacy may write topic orders" in said
    assert two.happened() == []
    assert failover_preview.of_failover(two.loaded, "west", accept_loss=True).refused == ()
    assert go(two, accept_loss=True).target == "west"
    with pytest.raises(switching.Behind, match="legacy may write topic orders"):
        failback(two.loaded, two.steps)
    assert two.writers("west") == OPEN


@pytest.mark.parametrize(
    "harmless",
    [
        replace(LEGACY, operation="read"),
        replace(LEGACY, permission="deny"),
        replace(LEGACY, name="scratch"),
        replace(LEGACY, name="__consumer_offsets"),
        replace(LEGACY, name="__other-", pattern="prefixed"),
        replace(LEGACY, user="__kdeploy-drill"),
        replace(LEGACY, resource="group"),
    ],
    ids=str,
)
def test_what_writes_no_mirrored_topic_is_nobodys_to_name(two: TwoSides, harmless: Binding) -> None:
    wanted = two.loaded.environment.mirroring
    assert wanted is not None
    two.sides["east"].acls |= {harmless, replace(LEGACY, name="or", pattern="prefixed")}
    found = fencing.strangers(site(two, "east"), wanted.model_copy(update={"exclude_topics": ("scratch",)}))
    assert [one.name for one in found] == ["or"]


def test_where_rights_are_not_enforced_it_is_said_that_nobody_is_fenced(two: TwoSides) -> None:
    east = replace(site(two, "east"), progress=two.steps)
    fencing.fence(east)
    assert not [one for one in two.steps.said if "authorization" in one]
    environment = east.design.loaded.environment
    security = environment.security.model_copy(update={"authorization": False})
    loaded = replace(east.design.loaded, environment=environment.model_copy(update={"security": security}))
    fencing.fence(replace(east, design=replace(east.design, loaded=loaded)))
    (said,) = [one for one in two.steps.said if "authorization" in one]
    assert said.startswith(
        "warning: security.authorization is off, so nobody is fenced in east: stop what writes"
    )


def test_a_partition_that_nobody_leads_is_not_passed_over_without_a_word(two: TwoSides) -> None:
    east: FakeAdmin = two.sides["east"]
    east.topics["orders"] = (replace(east.topics["orders"][0], leader=None), *east.topics["orders"][1:])
    with pytest.raises(
        switching.Behind, match="nobody leads orders-0 of east, which cannot be read"
    ) as caught:
        go(two)
    assert "--accept-loss" in str(caught.value)
    assert two.happened() == []
    assert go(two, accept_loss=True).target == "west"


@pytest.mark.parametrize("there", [True, False])
def test_groups_that_nothing_translates_are_told_before_anything_is_changed(
    two: TwoSides, there: bool
) -> None:
    west, name = two.connects["west"], "east-to-west-groups"
    if there:
        west.fail(name, 0, "TopicAuthorizationException: not authorized")
    else:
        del west.found[name]
    state = "failed: TopicAuthorizationException: not authorized" if there else "is not there"
    with pytest.raises(switching.Behind, match=f"connector {name} {state}, so groups") as caught:
        go(two)
    assert "`kdeploy up local-two-dc-passive` makes it run" in str(caught.value)
    (said,) = failover_preview.of_failover(two.loaded, "west").refused
    assert said in str(caught.value)
    assert two.happened() == []
    assert go(two, accept_loss=True).target == "west"


def test_groups_that_are_not_translated_are_not_waited_for_and_others_without_an_offset_are_named(
    two: TwoSides, monkeypatch: pytest.MonkeyPatch
) -> None:
    two.write("east", 5)
    two.mirrored("east", "west", 5)
    east, west = two.sides["east"], two.sides["west"]
    slept: list[float] = []
    monkeypatch.setattr("kdeploy.operations.switching.time.sleep", slept.append)
    for name in ("console-consumer-7", "connect-sink", "__own"):
        east.groups[name] = {("orders", 0): 5}
    east.groups["known"] = {("orders", 0): 4}
    west.groups["known"] = {("orders", 0): 4}
    go(two)
    assert slept == []
    assert not [one for one in two.steps.said if one.startswith("group ")]


def test_a_group_without_an_offset_on_the_other_side_is_named(two: TwoSides) -> None:
    two.write("east", 5)
    two.mirrored("east", "west", 5)
    two.sides["east"].groups["unknown"] = {("orders", 0): 5}
    go(two)
    (said,) = [one for one in two.steps.said if one.startswith("group ")]
    assert said.startswith("group unknown has no offset in west")


def test_clients_that_move_are_told_how_far_the_mirror_is_behind_its_objective(active: TwoSides) -> None:
    active.write("east", 7, age=3600)
    report = go(active)
    assert (report.target, report.lost) == ("west", 0)
    (said,) = [one for one in active.steps.said if "lacks" in one]
    assert said.startswith("the mirror into west lacks 7 records of east")
    assert "the environment's rpo is 10 s" in said


def test_a_failback_that_was_decided_is_finished_by_the_same_command(two: TwoSides) -> None:
    go(two)
    go(two, "east")
    two.again()
    foreseen = failover_preview.of_failback(two.loaded)
    assert (foreseen.already, foreseen.target, foreseen.epoch) == (True, "east", 2)
    report = failback(two.loaded, two.steps)
    assert (report.already, report.target, report.epoch, report.lost) == (True, "east", 2, 0)
    assert two.happened() == []
    two.down = {"east"}
    with pytest.raises(Unhealthy, match="east is the one that is written to, and it does not answer"):
        failback(two.loaded, two.steps)


def test_a_failback_of_two_that_are_written_to_is_finished_by_the_same_command(active: TwoSides) -> None:
    go(active)
    foreseen = failover_preview.of_failback(active.loaded)
    assert text(foreseen).startswith("local-two-dc-active: every datacenter would be written to (decision 2)")
    report = failback(active.loaded, active.steps)
    assert text(report).startswith("local-two-dc-active: every datacenter is written to (decision 2)")
    foreseen = failover_preview.of_failback(active.loaded)
    assert [one.what for one in foreseen.steps] == ["hand out each datacenter's clients its own again"]
    again = failback(active.loaded, active.steps)
    assert (again.already, again.epoch) == (True, 2)
    assert text(again).startswith("local-two-dc-active: every datacenter is written to already")
    hold(again.to_json())
    found = active.direction("east")
    assert found is not None
    assert (found.active, found.epoch) == ("", 2)


def test_what_the_old_primary_deleted_by_its_age_before_it_was_exported_is_said(
    two: TwoSides, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lose_east(two)
    del two.sides["east"].logs["orders", 0][:5]
    monkeypatch.setattr(switching, "catch_up", lambda *_: two.mirrored("west", "east", 3))
    report = failback(two.loaded, two.steps, export=tmp_path / "alone", patience=1)
    assert report.exported == (str(tmp_path / "alone"), 2)
    said = "2 offsets more were deleted in east by its own retention before they were read"
    assert said in [one.what for one in report.steps]


def test_a_tail_with_a_transaction_that_is_open_is_not_exported_before_that_has_ended(
    two: TwoSides, tmp_path: Path
) -> None:
    lose_east(two)
    two.sides["east"].open.add(("orders", 0))
    with pytest.raises(GateClosed, match="a transaction is open on orders-0 of east, so what east alone has"):
        failback(two.loaded, two.steps, export=tmp_path / "alone", patience=0)
    assert not (tmp_path / "alone").exists()
    assert two.writers("east") == set()


def test_an_old_primary_that_is_not_well_is_refused_before_anything_is_changed(
    two: TwoSides, tmp_path: Path
) -> None:
    lose_east(two)
    two.unwell = {"east"}
    with pytest.raises(Unhealthy, match="east is not fit to take over"):
        failback(two.loaded, two.steps, export=tmp_path / "alone")
    assert two.happened() == []
    assert not (tmp_path / "alone").exists()
