"""The topic that the record is kept in: it gets the copies that it lacks, and nobody else may use it."""

from __future__ import annotations

from typing import Any

from kdeploy.cluster import found, reconcile, record
from kdeploy.cluster.fake import FakeAdmin
from kdeploy.spec.model import Environment

FIELDS: dict[str, Any] = {"topics": [{"name": "orders", "partitions": 1, "replication_factor": 1}]}
INSYNC = "min.insync.replicas"


def environment(**fields: Any) -> Environment:
    return Environment.model_validate({"name": "test", **FIELDS, **fields})


def planned(admin: FakeAdmin, **fields: Any) -> list[str]:
    return [str(one) for one in reconcile.changes(environment(**fields), admin, {})]


def given(admin: FakeAdmin, **fields: Any) -> None:
    reconcile.carry_out(admin, reconcile.plan(environment(**fields), admin, {}), {})


def with_brokers(count: int) -> FakeAdmin:
    """A cluster in which the record was made while so many of three brokers were there; all are back."""
    admin = FakeAdmin()
    everybody, admin.brokers = admin.brokers, admin.brokers[:count]
    given(admin)
    admin.brokers = everybody
    return admin


def copies(admin: FakeAdmin) -> tuple[int, str]:
    (partition,) = admin.topics[record.TOPIC]
    return len(partition.replicas), admin.config[record.TOPIC][INSYNC]


def test_made_while_brokers_were_away_it_gets_its_copies_when_they_are_back() -> None:
    admin = with_brokers(2)
    assert copies(admin) == (2, "2")
    assert planned(admin) == ["topic __kdeploy-resources: replication factor 2 → 3"]
    given(admin)
    assert copies(admin) == (3, "2")
    assert planned(admin) == []


def test_made_by_one_broker_it_is_written_to_while_its_copies_come_and_then_needs_two() -> None:
    admin = with_brokers(1)
    assert copies(admin) == (1, "1")
    assert planned(admin) == [
        "topic __kdeploy-resources: min.insync.replicas 1 → 2",
        "topic __kdeploy-resources: replication factor 1 → 3, with min.insync.replicas 1 in place of 2 meanwhile, "
        "so that acks=all goes on",
    ]
    given(admin)
    assert copies(admin) == (3, "2")
    assert planned(admin) == []


def test_while_brokers_are_away_it_is_left_as_it_is() -> None:
    admin = with_brokers(3)
    admin.brokers = admin.brokers[:2]
    assert planned(admin) == []
    assert planned(admin, durability={"replication_factor": 2, "min_insync_replicas": 1}) == []


def test_it_is_kept_from_everybody_from_the_moment_that_it_is_there() -> None:
    class Ordered(FakeAdmin):
        def create_topics(self, topics: Any, **more: Any) -> None:
            if any(one.name == record.TOPIC for one in topics):
                assert self.acls == {record.GUARD}
            super().create_topics(topics, **more)

    admin = Ordered()
    given(admin)
    assert str(record.GUARD) == "every user may not all topic __kdeploy-resources"
    assert record.TOPIC in admin.topics


def test_where_its_guard_is_missing_it_is_put_up_and_is_nobodys_drift() -> None:
    admin = with_brokers(3)
    admin.delete_bindings([record.GUARD])
    assert reconcile.drift(environment(), reconcile.observe(environment(), admin, {})) == ()
    assert planned(admin) == ["add ACL: every user may not all topic __kdeploy-resources"]
    given(admin)
    assert admin.acls == {record.GUARD}
    assert planned(admin) == []
    assert found.found(admin).left_out == ()


def test_where_nothing_enforces_access_lists_it_has_none() -> None:
    admin = FakeAdmin()
    given(admin, security={"authorization": False})
    assert admin.acls == set()
    assert planned(admin, security={"authorization": False}) == []
