"""Planning and carrying out changes, against the cluster in memory."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kdeploy.cluster import reconcile
from kdeploy.cluster.failure import ClusterError, NotStored
from kdeploy.cluster.fake import FakeAdmin
from kdeploy.cluster.state import Binding, NewTopic
from kdeploy.errors import InvalidSetting
from kdeploy.spec.model import Environment

PASSWORDS = {"alice": "first-password", "bob": "second-password"}
ORDERS = {"name": "orders", "partitions": 4, "config": {"retention.ms": 3600000}}
ALICE = {"name": "alice", "acls": [{"name": "orders", "operations": ["read", "write"]}]}


def environment(**fields: Any) -> Environment:
    return Environment.model_validate({"name": "test", **fields})


def planned(admin: FakeAdmin, **fields: Any) -> list[str]:
    return [str(change) for change in reconcile.changes(environment(**fields), admin, PASSWORDS)]


def reconciled(admin: FakeAdmin, **fields: Any) -> None:
    reconcile.carry_out(admin, reconcile.plan(environment(**fields), admin, PASSWORDS), PASSWORDS)


def test_everything_declared_is_planned_on_an_empty_cluster_in_the_order_to_apply_it() -> None:
    deny = {"name": "secret", "operations": ["all"], "permission": "deny", "host": "10.0.0.1"}
    alice = {"name": "alice", "acls": [*ALICE["acls"], deny]}
    assert planned(FakeAdmin(), topics=[ORDERS, {"name": "plain"}], users=[alice, {"name": "bob"}]) == [
        "create topic orders: partitions 4, replication factor 3, retention.ms 3600000",
        "create topic plain: partitions default, replication factor 3",
        "create user alice",
        "create user bob",
        "add ACL: alice from 10.0.0.1 may not all topic secret",
        "add ACL: alice may read topic orders",
        "add ACL: alice may write topic orders",
    ]


def test_after_applying_nothing_is_left_to_do_and_nothing_is_changed_again() -> None:
    admin = FakeAdmin()
    fields = {"topics": [ORDERS], "users": [ALICE, {"name": "bob"}]}
    reconciled(admin, **fields)
    calls = list(admin.calls)
    assert planned(admin, **fields) == []
    reconciled(admin, **fields)
    assert admin.calls == calls
    assert admin.passwords == PASSWORDS


def test_a_number_in_another_spelling_reaches_kafka_as_the_whole_number_it_was_checked_as() -> None:
    # YAML reads 36e5 as a number with a fraction; Kafka refuses 3600000.0 for a long.
    admin = FakeAdmin()
    reconciled(admin, topics=[{"name": "orders", "config": {"retention.ms": 36e5}}])
    assert admin.config["orders"] == {"retention.ms": "3600000"}


BEFORE = {"topics": [ORDERS], "users": [ALICE, {"name": "bob"}]}
STEPS: tuple[tuple[str, dict[str, Any], list[str]], ...] = (
    (
        "more partitions",
        {"topics": [{**ORDERS, "partitions": 6}]},
        ["topic orders: partitions 4 → 6"],
    ),
    (
        "another value",
        {"topics": [{**ORDERS, "config": {"retention.ms": 7200000}}]},
        ["topic orders: retention.ms 3600000 → 7200000"],
    ),
    (
        "another setting, and the old one taken out, so that the cluster's default holds again",
        {"topics": [{**ORDERS, "config": {"cleanup.policy": "compact"}}]},
        ["topic orders: cleanup.policy delete → compact, retention.ms 3600000 → the default"],
    ),
    ("partitions left out", {"topics": [{"name": "orders", "config": ORDERS["config"]}]}, []),
    ("the same value as a text", {"topics": [{**ORDERS, "config": {"retention.ms": "3600000"}}]}, []),
    (
        "the brokers' own value, which the topic keeps when they get another",
        {"topics": [{**ORDERS, "config": {**ORDERS["config"], "min.insync.replicas": 2}}]},
        ["topic orders: min.insync.replicas 2, from now on whatever the default is"],
    ),
    (
        "a truth",
        {"topics": [{**ORDERS, "config": {**ORDERS["config"], "unclean.leader.election.enable": True}}]},
        ["topic orders: unclean.leader.election.enable false → true"],
    ),
    ("a topic taken out", {"topics": []}, []),
    ("a user taken out", {"users": [ALICE]}, []),
    ("all users taken out", {"users": []}, []),
    (
        "an operation taken out",
        {"users": [{"name": "alice", "acls": [{"name": "orders", "operations": ["read"]}]}]},
        ["remove ACL: alice may write topic orders"],
    ),
    (
        "another resource",
        {"users": [{"name": "alice", "acls": [{"resource": "group", "name": "g", "operations": ["read"]}]}]},
        [
            "add ACL: alice may read group g",
            "remove ACL: alice may read topic orders",
            "remove ACL: alice may write topic orders",
        ],
    ),
    (
        "a prefix in place of a name",
        {"users": [{"name": "alice", "acls": [{**ALICE["acls"][0], "pattern": "prefixed"}]}]},
        [
            "add ACL: alice may read topic orders*",
            "add ACL: alice may write topic orders*",
            "remove ACL: alice may read topic orders",
            "remove ACL: alice may write topic orders",
        ],
    ),
)


@pytest.mark.parametrize(("name", "after", "expected"), STEPS, ids=[row[0] for row in STEPS])
def test_from_one_environment_to_the_next_just_the_difference_is_done(
    name: str, after: dict[str, Any], expected: list[str]
) -> None:
    admin = FakeAdmin()
    reconciled(admin, **BEFORE)
    assert planned(admin, **{**BEFORE, **after}) == expected, name
    reconciled(admin, **{**BEFORE, **after})
    assert planned(admin, **{**BEFORE, **after}) == []


def test_a_password_that_is_not_in_force_is_set_and_shown_in_no_word() -> None:
    admin = FakeAdmin()
    admin.passwords = {"bob": "an older one"}
    changes = reconcile.changes(environment(users=[{"name": "bob"}]), admin, PASSWORDS)
    assert [str(one) for one in changes] == ["user bob: password in force → password in the vault"]
    assert PASSWORDS["bob"] not in repr(changes)
    reconcile.apply(admin, changes, PASSWORDS)
    assert admin.passwords["bob"] == PASSWORDS["bob"]


def test_with_a_plaintext_client_listener_no_password_is_tried() -> None:
    admin = FakeAdmin()
    admin.passwords = {"bob": "an older one"}
    assert planned(admin, users=[{"name": "bob"}], security={"client_listener": "PLAINTEXT"}) == []


def test_without_authorisation_no_acl_is_planned() -> None:
    assert planned(FakeAdmin(), users=[ALICE], security={"authorization": False}) == ["create user alice"]


def test_what_is_not_declared_is_left_alone() -> None:
    admin = FakeAdmin()
    admin.create_topics([NewTopic("others")])
    admin.set_passwords({"carol": "x"})
    theirs = Binding("carol", "topic", "others", "literal", "read", "allow", "*")
    admin.create_bindings([theirs])
    reconciled(admin, topics=[ORDERS], users=[ALICE])
    assert "others" in admin.topics
    assert admin.passwords["carol"] == "x"
    assert theirs in admin.acls


REFUSED = (
    (
        {"name": "orders", "partitions": 3},
        "topics[0].partitions",
        "Kafka cannot take any away",
        "partitions: 4",
    ),
    (
        {"name": "orders", "replication_factor": 4},
        "topics[0].replication_factor",
        "is to have 4 copies, and 3 brokers are registered",
        "replication_factor: 3 or less",
    ),
    (
        {"name": "new", "replication_factor": 4},
        "topics[0].replication_factor",
        "topic new is to have 4 copies",
        "bring the other brokers up first",
    ),
)


@pytest.mark.parametrize(("topic", "path", "wrong", "right"), REFUSED)
def test_what_cannot_be_carried_out_is_refused_with_its_place_and_the_remedy(
    topic: dict[str, Any], path: str, wrong: str, right: str
) -> None:
    admin = FakeAdmin()
    reconciled(admin, topics=[ORDERS])
    with pytest.raises(InvalidSetting) as refused:
        planned(admin, topics=[topic])
    for words in (path, wrong, right):
        assert words in str(refused.value)


def test_another_durability_changes_the_copies_of_every_topic_that_says_nothing_else() -> None:
    admin = FakeAdmin()
    reconciled(admin, topics=[ORDERS, {"name": "exact", "replication_factor": 3}])
    fields = {
        "topics": [ORDERS, {"name": "exact", "replication_factor": 3}],
        "durability": {"replication_factor": 2, "min_insync_replicas": 1},
    }
    assert planned(admin, **fields) == ["topic orders: replication factor 3 → 2"]
    reconciled(admin, **fields)
    assert {len(one.replicas) for one in admin.topics["orders"]} == {2}
    assert planned(admin, **fields) == []


def test_a_user_without_a_password_in_the_vault_is_refused_before_anything_is_changed() -> None:
    with pytest.raises(ClusterError, match="the vault has no password for carol"):
        planned(FakeAdmin(), users=[{"name": "carol"}])


LOST = (
    ("create_topics", {"topics": [ORDERS]}, "create topic orders"),
    ("set_passwords", {"users": [{"name": "bob"}]}, "create user bob"),
    ("create_bindings", {"users": [ALICE]}, "alice may read topic orders"),
)


@pytest.mark.parametrize(("call", "fields", "named"), LOST, ids=[row[0] for row in LOST])
def test_a_change_that_is_accepted_and_not_stored_is_found_out(
    call: str, fields: dict[str, Any], named: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reconcile, "READ_BACK_FOR", 0.0)
    with pytest.raises(NotStored, match=named):
        reconciled(FakeAdmin(lost=[call]), **fields)


def test_an_error_of_the_cluster_stops_the_rest_and_running_again_goes_on() -> None:
    admin = FakeAdmin()
    wrong = {"name": "orders", "config": {"retention.mss": 1}}
    admin.create_topics([NewTopic("orders")])
    with pytest.raises(ClusterError, match=r"unknown retention\.mss"):
        reconciled(admin, topics=[{"name": "first"}, wrong], users=[ALICE])
    assert "first" in admin.topics
    assert not admin.passwords
    reconciled(admin, topics=[{"name": "first"}, {"name": "orders"}], users=[ALICE])
    assert admin.passwords == {"alice": PASSWORDS["alice"]}


SAME = (
    ("1", "1", True),
    ("1", "1.0", True),
    ("0.50", "0.5", True),
    ("1", "2", False),
    ("true", "true", True),
    ("true", "false", False),
    ("compact,delete", "compact, delete", True),
    ("compact,delete", "delete,compact", False),
    ("lz4", "LZ4", False),
    ("", "", True),
    ("-1", "-1", True),
)


@pytest.mark.parametrize(("declared", "effective", "equal"), SAME)
def test_values_are_compared_by_what_they_mean(declared: str, effective: str, equal: bool) -> None:
    assert reconcile.same(declared, effective) is equal


topic_names = st.sampled_from(["a", "b", "c", "d"])
acls = st.builds(
    lambda name, operations: {"name": name, "operations": operations},
    topic_names,
    st.lists(st.sampled_from(["read", "write", "all"]), min_size=1, max_size=3, unique=True),
)
environments = st.builds(
    lambda names, alice, bob: environment(
        topics=[{"name": name, "partitions": 2} for name in names],
        users=[{"name": "alice", "acls": alice}, {"name": "bob", "acls": bob}],
    ),
    st.lists(topic_names, unique=True, max_size=4),
    st.lists(acls, max_size=3),
    st.lists(acls, max_size=3),
)


@given(environments, environments)
def test_applying_what_is_planned_always_leaves_nothing_to_plan(
    first: Environment, second: Environment
) -> None:
    admin = FakeAdmin()
    for wanted in (first, second):
        reconcile.apply(admin, reconcile.changes(wanted, admin, PASSWORDS), PASSWORDS)
        assert reconcile.changes(wanted, admin, PASSWORDS) == ()
