"""How far a mirror is behind, from two clusters and a Connect cluster in memory."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from kdeploy.cluster import connectors, mirror
from kdeploy.cluster.failure import ClusterError
from kdeploy.cluster.fake import FakeAdmin
from kdeploy.cluster.fake_connect import FakeConnect
from kdeploy.cluster.mirror import LinkStatus, MirrorStatus, look
from kdeploy.cluster.route import Route
from kdeploy.cluster.state import LogRecord, NewTopic
from tests.cluster import mirror_bytes
from tests.contracts import hold

NOW = 1_764_230_400.0
ROUTE = Route("eu", "us")


def topic(admin: FakeAdmin, name: str, partitions: int = 1) -> None:
    admin.create_topics([NewTopic(name, partitions, 3)])


def write(admin: FakeAdmin, name: str, partition: int, *ages: float, first: int = 0) -> None:
    """Records so many seconds old."""
    log = admin.logs.setdefault((name, partition), [])
    log += [LogRecord(name, partition, first + at, NOW - age) for at, age in enumerate(ages)]


def own(
    admin: FakeAdmin, name: str, *records: tuple[float, tuple[bytes, bytes]], appended: bool = False
) -> None:
    """Records of MirrorMaker's own, so many seconds old."""
    topic(admin, name)
    admin.logs[name, 0] = [
        LogRecord(name, 0, at, NOW - age, appended, key, value)
        for at, (age, (key, value)) in enumerate(records)
    ]


class World:
    """orders with two partitions on both sides: 0 has 3 records that are not mirrored, of 10; 1 has none, of 5."""

    def __init__(self, route: Route = ROUTE) -> None:
        self.route = route
        self.source, self.target, self.workers = FakeAdmin(), FakeAdmin(), FakeConnect()
        topic(self.source, "orders", 2)
        topic(self.target, route.on_target("orders"), 2)
        write(self.source, "orders", 0, *range(100, 90, -1))
        write(self.source, "orders", 1, *range(50, 45, -1))
        write(self.target, route.on_target("orders"), 0, *range(100, 93, -1))
        write(self.target, route.on_target("orders"), 1, *range(50, 45, -1))
        for name in route.connectors:
            self.workers.create(name, {"tasks.max": "2"})
        self.mirrored({"orders": {0: 7, 1: 5}})

    def mirrored(self, positions: dict[str, dict[int, int]]) -> None:
        self.workers.stop(self.route.records)
        self.workers.set_offsets(self.route.records, connectors.entries(positions, "eu"))
        self.workers.resume(self.route.records)

    def look(self, *, dead: bool = False) -> LinkStatus:
        return look(self.route, None if dead else self.source, self.target, self.workers, NOW)


@pytest.mark.parametrize("naming", ["identity", "prefixed"])
def test_a_topic_is_behind_by_what_is_not_mirrored_and_as_old_as_the_oldest_of_it(naming: str) -> None:
    route = Route("eu", "us", naming)  # type: ignore[arg-type]
    found = World(route).look()
    (orders,) = found.topics
    assert (orders.topic, orders.target, orders.partitions) == ("orders", route.on_target("orders"), 2)
    assert (orders.records, orders.seconds, orders.behind, orders.expired) == (3, 93, 0, 0)
    assert (found.records, found.seconds, found.source_answers, found.problems) == (3, 93, True, ())


def test_where_all_is_mirrored_but_marks_of_transactions_nothing_is_behind() -> None:
    world = World()
    world.mirrored({"orders": {0: 10, 1: 5}})
    world.source.ends["orders", 1] = 6
    (orders,) = world.look().topics
    assert (orders.records, orders.seconds, orders.behind) == (0, 0, None)


def test_what_was_never_mirrored_is_behind_from_its_beginning() -> None:
    world = World()
    world.mirrored({"orders": {0: 0, 1: 0}})
    (orders,) = world.look().topics
    assert (orders.records, orders.seconds, orders.behind, orders.expired) == (10 + 5, 100, 0, 0)


def test_what_the_source_deleted_before_it_was_mirrored_is_told() -> None:
    world = World()
    del world.source.logs["orders", 0][:9]
    (orders,) = world.look().topics
    assert (orders.records, orders.expired) == (1, 2)


def test_a_source_that_ends_before_what_was_mirrored_is_a_problem() -> None:
    world = World()
    world.mirrored({"orders": {0: 50, 1: 5}})
    found = world.look()
    assert found.records == 0
    assert found.problems == (
        "orders-0 ends at 10 on eu, and 50 of it were mirrored: the topic was made anew, or lost records",
    )


def test_of_a_dead_source_the_age_of_the_newest_mirrored_record_is_known_and_no_count() -> None:
    found = World().look(dead=True)
    (orders,) = found.topics
    assert (orders.records, orders.seconds, orders.partitions, orders.expired) == (None, 46, 2, None)
    assert (found.records, found.seconds, found.source_answers) == (None, 46, False)
    assert found.problems == ("eu does not answer: what only it knows is left out",)


def test_connectors_and_their_tasks_are_told_and_what_is_missing_or_failed_is_a_problem() -> None:
    world = World()
    world.workers.fail("eu-to-us-records", 1, "java.lang.Broken: disk full")
    world.workers.delete("eu-to-us-groups")
    found = world.look()
    records, groups, heartbeats = found.connectors
    assert [(one.id, one.state, one.trace) for one in records.tasks] == [
        (0, "RUNNING", ""),
        (1, "FAILED", "java.lang.Broken: disk full"),
    ]
    assert (groups.name, groups.state, groups.tasks) == ("eu-to-us-groups", "MISSING", ())
    assert heartbeats.state == "RUNNING"
    assert found.problems == ("connector eu-to-us-records failed", "connector eu-to-us-groups is not there")


def test_without_workers_the_rest_is_told() -> None:
    class Gone(FakeConnect):
        def connectors(self) -> dict[str, connectors.ConnectorState]:
            raise ClusterError(
                "no worker of Kafka Connect answers, to read the connectors\n  mirror-1:8083: refused"
            )

    world = World()
    found = look(ROUTE, world.source, world.target, Gone(), NOW)
    assert found.connectors == ()
    assert [(one.records, one.seconds) for one in found.topics] == [(None, None)]
    assert found.problems == (
        "no worker of Kafka Connect answers, to read the connectors: how far eu's records are mirrored is not known",
    )
    assert look(ROUTE, None, world.target, Gone(), NOW).topics == ()


def test_the_last_heartbeat_is_as_old_as_the_source_says_and_late_by_what_the_topic_tells() -> None:
    world = World()
    assert world.look().heartbeat is None
    beats = [
        (4.5, mirror_bytes.heartbeat("eu", "eu", NOW - 5)),
        (1.75, mirror_bytes.heartbeat("eu", "eu", NOW - 2)),
    ]
    own(world.target, "eu.heartbeats", *beats)
    found = world.look().heartbeat
    assert found is not None
    assert (found.age, found.latency) == (2, None)
    assert datetime.fromisoformat(found.at) == datetime.fromtimestamp(NOW - 2, UTC)
    world.target.topics.pop("eu.heartbeats")
    own(world.target, "eu.heartbeats", *beats, appended=True)
    late = world.look().heartbeat
    assert late is not None
    assert late.latency == pytest.approx(0.25)


def test_a_heartbeat_that_came_before_it_was_made_has_no_latency() -> None:
    world = World()
    own(
        world.target,
        "eu.heartbeats",
        (2.5, mirror_bytes.heartbeat("eu", "eu", NOW - 2)),
        appended=True,
    )
    found = world.look()
    assert found.heartbeat is not None
    assert (found.heartbeat.age, found.heartbeat.latency) == (2, None)
    assert found.warnings == (), "of the two clocks that differ neither is this machine's"


@pytest.mark.parametrize(("ahead", "told"), [(0.5, False), (30.0, True)])
def test_a_clock_that_is_ahead_is_told_as_ages_are_too_short_by_as_much(ahead: float, told: bool) -> None:
    world = World()
    own(world.target, "eu.heartbeats", (0.0, mirror_bytes.heartbeat("eu", "eu", NOW + ahead)))
    found = world.look()
    assert found.heartbeat is not None
    assert found.heartbeat.age == 0
    assert bool(found.warnings) == told
    if told:
        assert "the clock of eu's MirrorMaker is at least 30 s ahead of this machine's" in found.warnings[0]


def test_groups_are_told_with_what_they_would_read_again_or_skip_and_the_last_checkpoint_with_its_age() -> (
    None
):
    world = World()
    world.source.groups = {
        "billing": {("orders", 0): 7, ("orders", 1): 5},
        "audit": {("orders", 0): 2},
        "__kdeploy-mirror": {("orders", 0): 1},
    }
    world.target.groups = {"billing": {("orders", 0): 5, ("orders", 1): 5}}
    own(
        world.target,
        "eu.checkpoints.internal",
        (30, mirror_bytes.checkpoint("billing", "orders", 0, 4, 4)),
        (8, mirror_bytes.checkpoint("billing", "orders", 1, 5, 5)),
        (9, mirror_bytes.checkpoint("billing", "orders", 0, 7, 5)),
    )
    own(world.target, "mm2-offset-syncs.eu.internal", (1, mirror_bytes.sync("orders", 0, 4, 4)))
    found = world.look()
    assert found.checkpoint is not None
    assert found.checkpoint.age == 8
    audit, billing = found.groups
    assert (audit.group, audit.untranslated, audit.re_read) == ("audit", 1, 0)
    assert (billing.group, billing.re_read, billing.skipped, billing.untranslated) == ("billing", 2, 0, 0)
    first = billing.offsets[0]
    assert (first.source, first.upstream, first.downstream, first.target) == (7, 7, 5, 5)
    dead = world.look(dead=True)
    (billing,) = dead.groups
    assert (billing.group, billing.re_read, billing.offsets[0].source) == ("billing", 2, None)


def test_thousands_of_partitions_are_asked_for_at_once() -> None:
    asked: list[str] = []

    class Counting(FakeAdmin):
        def __getattribute__(self, name: str) -> object:
            if name in ("metadata", "spans", "group_offsets", "first_records", "last_records"):
                asked.append(name)
            return super().__getattribute__(name)

    world = World()
    world.source = Counting()
    topic(world.source, "orders", 3000)
    world.look()
    assert sorted(asked) == ["first_records", "group_offsets", "metadata", "spans"]


def test_what_mirror_status_prints_is_its_published_document() -> None:
    world = World()
    world.source.groups = {"billing": {("orders", 0): 7}}
    own(world.target, "eu.heartbeats", (1, mirror_bytes.heartbeat("eu", "eu", NOW - 1)))
    for status in (
        MirrorStatus("prod", "active-passive", "eu", 0, "2026-11-27T09:00:00+00:00", (world.look(),)),
        MirrorStatus("prod", "active-active", None, 3, "2026-11-27T09:00:00+00:00", (world.look(dead=True),)),
    ):
        document = json.loads(json.dumps(status.to_json()))
        hold(document)
        assert document["schema"] == mirror.SCHEMA
