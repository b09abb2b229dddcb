"""Declared, last given and found: who made them differ, and what is done about it."""

from __future__ import annotations

from typing import Any

import pytest

from kdeploy.cluster import found, reconcile, record
from kdeploy.cluster.failure import ClusterError
from kdeploy.cluster.fake import FakeAdmin
from kdeploy.cluster.state import Binding, NewTopic, Quorum, QuotaEntity
from kdeploy.errors import InvalidSetting
from kdeploy.spec.model import Environment

PASSWORDS = {"alice": "first-password", "bob": "second-password"}
KRAFT = Quorum(1, ())
READ = Binding("alice", "topic", "orders", "literal", "read", "allow", "*")
WRITE = Binding("alice", "topic", "orders", "literal", "write", "allow", "*")
ALICE = QuotaEntity("alice")


def environment(**fields: Any) -> Environment:
    return Environment.model_validate({"name": "test", **fields})


def planned(admin: FakeAdmin, **fields: Any) -> list[tuple[str, str]]:
    plan = reconcile.plan(environment(**fields), admin, PASSWORDS)
    return [(str(change), change.cause) for change in plan.changes]


def given(admin: FakeAdmin, **fields: Any) -> None:
    reconcile.carry_out(admin, reconcile.plan(environment(**fields), admin, PASSWORDS), PASSWORDS)


def rights(admin: FakeAdmin) -> set[Binding]:
    """Access list entries but that which keeps everybody from the record."""
    return admin.acls - {record.GUARD}


def drifted(admin: FakeAdmin, **fields: Any) -> list[tuple[str, str, str | None, str | None, str]]:
    wanted = environment(**fields)
    drift = reconcile.drift(wanted, reconcile.observe(wanted, admin, PASSWORDS))
    return [(one.name, one.key, one.git, one.found, one.winner) for one in drift]


SETTING = "cleanup.policy"
SIDES: tuple[tuple[str | None, str | None, str | None, str | None], ...] = (
    # declared, last given, found, who made the first and the last differ (None: they do not)
    ("a", None, None, "git"),
    ("a", "a", "a", None),
    ("b", "a", "a", "git"),
    (None, "a", "a", "git"),
    ("a", "a", None, "drift"),
    ("a", "a", "b", "drift"),
    (None, None, "b", "drift"),
    ("a", None, "b", "both"),
    ("c", "a", "b", "both"),
    (None, "a", "b", "both"),
    ("c", "a", None, "both"),
    ("b", "a", "b", None),
    (None, "a", None, None),
)


@pytest.mark.parametrize(("declared", "last", "there", "cause"), SIDES)
def test_a_setting_says_who_changed_it(
    declared: str | None, last: str | None, there: str | None, cause: str | None
) -> None:
    def topic(value: str | None) -> dict[str, Any]:
        return {"name": "orders", "partitions": 1, "config": {} if value is None else {SETTING: value}}

    admin = FakeAdmin()
    given(admin, topics=[topic(last)])
    admin.set_topic_settings({"orders": {SETTING: there}})
    found = planned(admin, topics=[topic(declared)])
    assert [one for _, one in found] == ([] if cause is None else [cause])
    assert bool(drifted(admin, topics=[topic(declared)])) is (cause in ("drift", "both"))
    given(admin, topics=[topic(declared)])
    assert admin.config["orders"] == ({} if declared is None else {SETTING: declared})
    assert planned(admin, topics=[topic(declared)]) == []


def test_lists_by_which_copies_on_their_way_are_throttled_are_nobodys_drift() -> None:
    admin = FakeAdmin()
    given(admin, topics=[{"name": "orders"}])
    admin.set_topic_settings({"orders": {"leader.replication.throttled.replicas": "0:1"}})
    assert planned(admin, topics=[{"name": "orders"}]) == []


def test_what_is_taken_over_and_what_was_changed_behind_our_back_is_told_apart() -> None:
    admin = FakeAdmin()
    admin.create_topics([NewTopic("orders", 1, 3, {SETTING: "compact"})])
    assert planned(admin, topics=[{"name": "orders"}]) == [
        ("topic orders: cleanup.policy compact → the default", "git")
    ], "what was there before kdeploy is what git changes"


def test_a_topic_and_a_user_that_somebody_deleted_come_back_and_are_named_as_drift() -> None:
    admin = FakeAdmin()
    fields = {"topics": [{"name": "orders"}], "users": [{"name": "alice"}]}
    given(admin, **fields)
    admin.delete_topics(["orders"])
    admin.delete_users(["alice"])
    assert drifted(admin, **fields) == [
        ("orders", "", "present", None, "git"),
        ("alice", "", "present", None, "git"),
    ]
    given(admin, **fields)
    assert planned(admin, **fields) == []


def test_partitions_that_somebody_added_stay_and_are_refused_with_the_remedy() -> None:
    admin = FakeAdmin()
    fields = {"topics": [{"name": "orders", "partitions": 2}]}
    given(admin, **fields)
    admin.add_partitions({"orders": 5})
    assert drifted(admin, **fields) == [("orders", "partitions", "2", "5", "cluster")]
    with pytest.raises(InvalidSetting, match="set partitions: 5 or more"):
        planned(admin, **fields)


def test_access_list_entries_say_who_added_and_who_took_them_away() -> None:
    admin = FakeAdmin()
    both = {"name": "alice", "acls": [{"name": "orders", "operations": ["read", "write"]}]}
    reads = {"name": "alice", "acls": [{"name": "orders", "operations": ["read"]}]}
    given(admin, users=[both])
    assert planned(admin, users=[reads]) == [(f"remove ACL: {WRITE}", "git")]
    admin.delete_bindings([READ])
    assert planned(admin, users=[both]) == [(f"add ACL: {READ}", "drift")]
    given(admin, users=[reads])
    admin.create_bindings([WRITE])
    assert planned(admin, users=[reads]) == [(f"remove ACL: {WRITE}", "drift")]


def test_entries_that_are_granted_beside_the_user_are_its_own() -> None:
    admin = FakeAdmin()
    grant = {"user": "alice", "acls": [{"name": "orders", "operations": ["read"]}]}
    given(admin, users=[{"name": "alice"}], acls=[grant])
    assert rights(admin) == {READ}


LIMITS: tuple[tuple[dict[str, Any], dict[str, float], list[tuple[str, str]]], ...] = (
    ({"producer_byte_rate": "1MB/s"}, {"producer_byte_rate": 1e6}, []),
    (
        {"producer_byte_rate": "2MB/s"},
        {"producer_byte_rate": 1e6},
        [("quota of user alice: producer_byte_rate 1000000 → 2000000", "git")],
    ),
    (
        {"producer_byte_rate": "1MB/s"},
        {"producer_byte_rate": 5.0},
        [("quota of user alice: producer_byte_rate 5 → 1000000", "drift")],
    ),
    (
        {"producer_byte_rate": "1MB/s"},
        {"producer_byte_rate": 1e6, "request_percentage": 50.0},
        [("quota of user alice: request_percentage 50 → unlimited", "drift")],
    ),
    (
        {"consumer_byte_rate": "1MB/s"},
        {"producer_byte_rate": 1e6},
        [
            (
                "quota of user alice: consumer_byte_rate unlimited → 1000000, "
                "producer_byte_rate 1000000 → unlimited",
                "git",
            )
        ],
    ),
)


@pytest.mark.parametrize(("declared", "there", "expected"), LIMITS)
def test_limits_become_what_is_declared(
    declared: dict[str, Any], there: dict[str, float], expected: list[tuple[str, str]]
) -> None:
    admin = FakeAdmin()
    given(admin, quotas=[{"user": "alice", "producer_byte_rate": "1MB/s"}])
    admin.limits[ALICE] = dict(there)
    quotas = [{"user": "alice", **declared}]
    assert planned(admin, quotas=quotas) == expected
    given(admin, quotas=quotas)
    assert planned(admin, quotas=quotas) == []


def test_quotas_of_everybody_and_of_addresses_are_told_apart() -> None:
    admin = FakeAdmin()
    quotas = [
        {"user": "*", "client_id": "app", "request_percentage": 10},
        {"client_id": "*", "consumer_byte_rate": "1MB/s"},
        {"ip": "10.0.0.1", "connection_creation_rate": 5},
    ]
    given(admin, quotas=quotas)
    assert admin.limits == {
        QuotaEntity("*", "app"): {"request_percentage": 10.0},
        QuotaEntity(client_id="*"): {"consumer_byte_rate": 1e6},
        QuotaEntity(ip="10.0.0.1"): {"connection_creation_rate": 5.0},
    }
    assert planned(admin, quotas=quotas) == []


def test_what_is_marked_is_deleted_where_it_was_made_here_and_that_is_no_change_twice() -> None:
    for quorum, alice in ((KRAFT, "shut out user alice for good"), (None, "remove user alice")):
        admin = FakeAdmin(quorum=quorum)
        both = {"name": "alice", "acls": [{"name": "orders", "operations": ["read"]}]}
        quota = {"user": "alice", "producer_byte_rate": "1MB/s"}
        given(admin, topics=[{"name": "orders"}], users=[both, {"name": "bob"}], quotas=[quota])
        gone = {"topics": [{"name": "orders", "delete": True}], "users": [{**both, "delete": True}]}
        assert planned(admin, **gone) == [
            (alice, "git"),
            (f"remove ACL: {READ}", "git"),
            ("remove the quota of user alice: producer_byte_rate 1000000", "git"),
            ("delete topic orders with all its records", "git"),
        ]
        given(admin, **gone)
        assert "orders" not in admin.topics
        assert (rights(admin), admin.limits) == (set(), {})
        assert admin.logins(PASSWORDS) == {"alice": False, "bob": True}
        assert ("alice" in admin.passwords) is (quorum is not None)
        assert planned(admin, **gone) == []


@pytest.mark.parametrize("quorum", [KRAFT, None])
def test_a_marked_user_is_shut_out_also_with_a_password_that_somebody_else_gave_it(
    quorum: Quorum | None,
) -> None:
    admin = FakeAdmin(quorum=quorum)
    given(admin, users=[{"name": "alice"}, {"name": "bob"}])
    admin.delete_users(["alice"])
    admin.set_passwords({"alice": "theirs"})
    given(admin, users=[{"name": "alice", "delete": True}, {"name": "bob"}])
    assert admin.logins({"alice": "theirs", "bob": PASSWORDS["bob"]}) == {"alice": False, "bob": True}


def test_a_user_that_was_shut_out_can_be_declared_again() -> None:
    admin = FakeAdmin(quorum=KRAFT)
    given(admin, users=[{"name": "alice"}])
    given(admin, users=[{"name": "alice", "delete": True}])
    assert planned(admin, users=[{"name": "alice"}]) == [
        ("user alice: password in force → password in the vault", "git")
    ]
    given(admin, users=[{"name": "alice"}])
    assert admin.logins({"alice": PASSWORDS["alice"]}) == {"alice": True}
    assert planned(admin, users=[{"name": "alice"}]) == []


def theirs(admin: FakeAdmin) -> None:
    admin.create_topics([NewTopic("orders")])
    admin.set_passwords({"alice": "theirs"})
    admin.set_quotas({ALICE: {"request_percentage": 5.0}})


def taken_over(admin: FakeAdmin) -> None:
    theirs(admin)
    quota = {"user": "alice", "request_percentage": 6}
    given(admin, topics=[{"name": "orders"}], users=[{"name": "alice"}], quotas=[quota])


def made_anew_by_others(admin: FakeAdmin) -> None:
    given(admin, topics=[{"name": "orders"}])
    admin.delete_topics(["orders"])
    theirs(admin)


NOT_OURS = (
    (theirs, {"topics": [{"name": "orders", "delete": True}]}, "topics[0].delete", "did not make it"),
    (taken_over, {"topics": [{"name": "orders", "delete": True}]}, "topics[0].delete", "did not make it"),
    (
        made_anew_by_others,
        {"topics": [{"name": "a"}, {"name": "orders", "delete": True}]},
        "topics[1].delete",
        "not the one that kdeploy made",
    ),
    (theirs, {"users": [{"name": "alice", "delete": True}]}, "users[0].delete", "did not make it"),
    (taken_over, {"users": [{"name": "alice", "delete": True}]}, "users[0].delete", "did not make it"),
    (theirs, {"quotas": [{"user": "alice", "delete": True}]}, "quotas[0].delete", "did not set it"),
    (taken_over, {"quotas": [{"user": "alice", "delete": True}]}, "quotas[0].delete", "did not set it"),
)


@pytest.mark.parametrize(("before", "fields", "path", "why"), NOT_OURS)
def test_what_was_not_made_here_is_not_deleted(
    before: Any, fields: dict[str, Any], path: str, why: str
) -> None:
    admin = FakeAdmin()
    before(admin)
    calls = list(admin.calls)
    with pytest.raises(InvalidSetting) as refused:
        planned(admin, **fields)
    assert path in str(refused.value)
    assert why in str(refused.value)
    assert admin.calls == calls, "nothing was changed"


def test_what_is_marked_and_not_there_is_no_change() -> None:
    gone = {
        "topics": [{"name": "orders", "delete": True}],
        "users": [{"name": "alice", "delete": True}],
        "quotas": [{"user": "alice", "delete": True}],
    }
    assert planned(FakeAdmin(), **gone) == []


def test_what_is_no_longer_declared_stays_and_is_still_known_as_made_here() -> None:
    admin = FakeAdmin()
    given(admin, topics=[{"name": "orders"}, {"name": "b"}], users=[{"name": "alice"}])
    given(admin, topics=[{"name": "b"}])
    assert "orders" in admin.topics
    given(admin, topics=[{"name": "orders", "delete": True}])
    assert "orders" not in admin.topics


class Killed(BaseException):
    pass


MOMENTS = ("record-begun", "topics-created", "users-created", "acls-created", "quotas-set")


@pytest.mark.parametrize(
    "moment", [*MOMENTS, "moving-recorded", "throttled", "reassignment-started", "reassigned"]
)
def test_a_run_that_ends_at_any_moment_is_finished_by_the_next_which_leaves_nothing_to_do(
    moment: str,
) -> None:
    def reached(name: str) -> None:
        if name == moment:
            raise Killed

    admin = FakeAdmin()
    given(admin, topics=[{"name": "old", "partitions": 2, "replication_factor": 1}])
    fields: dict[str, Any] = {
        "topics": [{"name": "old", "partitions": 3}, {"name": "orders", "partitions": 2}],
        "users": [{"name": "alice", "acls": [{"name": "orders", "operations": ["read"]}]}],
        "quotas": [{"user": "alice", "producer_byte_rate": "1MB/s"}],
    }
    plan = reconcile.plan(environment(**fields), admin, PASSWORDS)
    with pytest.raises(Killed):
        reconcile.carry_out(admin, plan, PASSWORDS, reconcile.Manner(reached=reached))
    given(admin, **fields)
    assert planned(admin, **fields) == []
    assert not admin.movements
    assert admin.dynamic in ({}, {1: {}, 2: {}, 3: {}})
    assert admin.config["old"] == {}
    known = record.read(admin)
    assert known.moving is None
    assert known.topics["orders"] == record.TopicEntry(True, admin.ids["orders"], 2, 3, {})
    assert known.users["alice"] == record.UserEntry(True, frozenset({READ}))
    assert known.quotas[ALICE] == record.QuotaEntry(True, {"producer_byte_rate": 1e6})


def test_a_topic_whose_creation_was_refused_is_not_claimed_when_somebody_else_makes_one_of_that_name() -> (
    None
):
    admin = FakeAdmin()
    admin.create_topics([NewTopic("taken")])
    plan = reconcile.plan(environment(topics=[{"name": "orders"}]), admin, PASSWORDS)
    admin.create_topics([NewTopic("orders")])
    admin.delete_topics(["taken"])
    with pytest.raises(ClusterError, match="it exists"):
        reconcile.carry_out(admin, plan, PASSWORDS)
    assert record.read(admin).topics["orders"].id is None, "it is there, so it may be ours"

    admin = FakeAdmin()
    plan = reconcile.plan(environment(topics=[{"name": "orders", "replication_factor": 3}]), admin, PASSWORDS)
    admin.brokers = admin.brokers[:2]
    with pytest.raises(ClusterError, match="only 2 brokers"):
        reconcile.carry_out(admin, plan, PASSWORDS)
    assert record.read(admin).topics == {}


def test_the_record_comes_back_as_it_was_written_and_holds_no_password() -> None:
    written = record.Record(
        {"a": record.TopicEntry(True, "id", 3, 2, {SETTING: "compact"}), "b": record.TopicEntry(False)},
        {
            "alice": record.UserEntry(False, frozenset({READ})),
            "bob": record.UserEntry(True, shut_out=True),
            "carol": record.UserEntry(False, pending=True),
        },
        {
            QuotaEntity("*", "app"): record.QuotaEntry(True, {"request_percentage": 1.5}),
            QuotaEntity("carol"): record.QuotaEntry(False, {"request_percentage": 2.0}, pending=True),
        },
        record.MovingEntry(("a",), (1, 2), {"a": record.Relaxed("1"), "b": record.Relaxed("1", "3")}),
    )
    assert record.decode(record.encode(written)) == written


def test_a_record_of_a_newer_kdeploy_or_of_nobody_is_refused() -> None:
    newer = record.encode(record.Record({"a": record.TopicEntry(True)}))
    newer = {key: text.replace("/v1", "/v2") for key, text in newer.items()}
    with pytest.raises(ClusterError, match=r"kdeploy\.resource/v2.*\n.*newer kdeploy"):
        record.decode(newer)
    for key, text in (("topic/a", "{}"), ("topic/a", "no"), ("planet/a", '{"schema":"kdeploy.resource/v1"}')):
        with pytest.raises(ClusterError, match="that no kdeploy wrote"):
            record.decode({key: text})


def test_declaring_what_was_found_changes_nothing() -> None:
    admin = FakeAdmin()
    admin.create_topics([NewTopic("orders", 4, 2, {"retention.ms": "5"}), NewTopic("__internal")])
    admin.set_passwords(PASSWORDS)
    admin.create_bindings([READ, WRITE])
    admin.set_quotas({QuotaEntity("alice", "*"): {"producer_byte_rate": 1e6, "request_percentage": 50.0}})
    seen = found.found(admin)
    assert [topic.name for topic in seen.topics] == ["orders"]
    whole = Environment(name="test", topics=seen.topics, users=seen.users, quotas=seen.quotas)
    assert reconcile.changes(whole, admin, PASSWORDS) == ()


def test_what_is_found_and_cannot_be_declared_is_named() -> None:
    admin = FakeAdmin()
    admin.create_bindings([Binding("CN=app", "topic", "a", "literal", "read", "allow", "*")])
    admin.set_passwords({"alice": "a password of alice"})
    admin.set_quotas({ALICE: {"producer_byte_rate": 0.0}})
    admin.set_quotas({QuotaEntity(user="CN=app"): {"producer_byte_rate": 1.0}})
    admin.set_quotas({QuotaEntity(client_id="loader"): {"request_percentage": 200_000.0}})
    assert found.found(admin).left_out == (
        "ACLs of CN=app, which is no user with a password",
        "the quota of client loader, of a form that cannot be declared",
        "the quota of user CN=app, which is no user with a password",
        "the quota of user alice, with a limit of nothing",
    )


def test_who_is_to_be_shut_out_waits_for_nothing_else_and_is_not_spared_where_that_fails() -> None:
    admin = FakeAdmin(quorum=KRAFT)
    both = {"name": "alice", "acls": [{"name": "orders", "operations": ["read"]}]}
    orders = {"name": "orders", "replication_factor": 1}
    given(admin, topics=[orders], users=[both, {"name": "bob"}])
    more = {**orders, "replication_factor": 3}
    bob = {"name": "bob", "acls": [{"name": "orders", "operations": ["write"]}]}
    fields = {"topics": [more, {"name": "new"}], "users": [{**both, "delete": True}, bob]}
    assert [one.partition(" ")[0] for one, _ in planned(admin, **fields)] == [
        "shut",  # out user alice
        "remove",  # her ACL
        "create",  # topic new
        "add",  # bob's ACL
        "topic",  # orders gets copies
    ]
    admin.create_topics([NewTopic("in.the.way")])
    wrong = {"name": "in.the.way", "config": {"no.such": 1}}
    with pytest.raises(ClusterError, match=r"no\.such"):
        given(admin, **{**fields, "topics": [wrong, more]})
    assert not admin.logins({"alice": PASSWORDS["alice"]})["alice"]
    assert rights(admin) == set()


LEAVING = {"name": "alice", "credentials": "unmanaged", "delete": True}
DENIED = {
    f"alice may not all {what}"
    for what in ("topic *", "group *", "the cluster", "transactional-id *", "delegation-token *")
}


@pytest.mark.parametrize("adopted", [True, False])
def test_a_user_whose_password_others_keep_is_denied_everything_when_it_is_to_be_shut_out(
    adopted: bool,
) -> None:
    admin = FakeAdmin(quorum=KRAFT)
    admin.set_passwords({"alice": "theirs"})
    admin.create_bindings([READ])
    admin.set_quotas({ALICE: {"request_percentage": 5.0}})
    reads = {"name": "alice", "credentials": "unmanaged"}
    if adopted:
        given(admin, users=[{**reads, "acls": [{"name": "orders", "operations": ["read"]}]}])
    words = [one for one, _ in planned(admin, users=[LEAVING])]
    assert {one.removeprefix("add ACL: ") for one in words[:-1]} == DENIED, (
        "denials come before the rest goes"
    )
    assert words[-1] == f"remove ACL: {READ}"
    given(admin, users=[LEAVING])
    assert {str(one) for one in rights(admin)} == DENIED
    assert admin.passwords == {"alice": "theirs"}
    assert admin.limits == {ALICE: {"request_percentage": 5.0}}, "limits that others set stay theirs"
    assert planned(admin, users=[LEAVING]) == []

    denial = next(iter(rights(admin)))
    admin.delete_bindings([denial])
    assert planned(admin, users=[LEAVING]) == [(f"add ACL: {denial}", "drift")]
    given(admin, users=[])
    given(admin, users=[{**reads, "acls": [{"name": "orders", "operations": ["read"]}]}])
    assert rights(admin) == {READ}
