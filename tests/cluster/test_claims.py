"""What kdeploy did not make is never claimed: not after a run that was killed or failed, and not in between."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from kdeploy.cluster import reconcile, record
from kdeploy.cluster.failure import ClusterError
from kdeploy.cluster.fake import FakeAdmin
from kdeploy.cluster.state import NewTopic, QuotaEntity
from kdeploy.errors import InvalidSetting
from kdeploy.spec.model import Environment

PASSWORDS = {"alice": "the vault's password"}
ALICE = QuotaEntity("alice")
WANTED: dict[str, Any] = {
    "topics": [{"name": "orders"}],
    "users": [{"name": "alice"}],
    "quotas": [{"user": "alice", "producer_byte_rate": "1MB/s"}],
}
MARKED = {key: [{**one, "delete": True} for one in some] for key, some in WANTED.items()}


class Killed(BaseException):
    pass


def environment(fields: Mapping[str, Any]) -> Environment:
    return Environment.model_validate({"name": "test", **fields})


def plan(admin: FakeAdmin, fields: Mapping[str, Any]) -> reconcile.Plan:
    return reconcile.plan(environment(fields), admin, PASSWORDS)


def given(
    admin: FakeAdmin, fields: Mapping[str, Any], reached: Callable[[str], None] = lambda _: None
) -> None:
    reconcile.carry_out(admin, plan(admin, fields), PASSWORDS, reconcile.Manner(reached=reached))


def killed(admin: FakeAdmin, moment: str, fields: Mapping[str, Any] = WANTED) -> None:
    def reached(name: str) -> None:
        if name == moment:
            raise Killed

    with pytest.raises(Killed):
        given(admin, fields, reached)


def by_somebody_else(admin: FakeAdmin) -> None:
    admin.create_topics([NewTopic("orders")])
    admin.set_passwords({"alice": "a password of theirs"})
    admin.set_quotas({ALICE: {"request_percentage": 5.0}})


def claimed(admin: FakeAdmin) -> list[str]:
    """What the record says that kdeploy made."""
    found = record.read(admin)
    kinds: tuple[Mapping[Any, Any], ...] = (found.topics, found.users, found.quotas)
    return [str(name) for kind in kinds for name, one in kind.items() if one.made]


def assert_nothing_is_deleted(admin: FakeAdmin) -> None:
    for kind, marked in MARKED.items():
        calls = list(admin.calls)
        with pytest.raises(InvalidSetting, match=r"is not (deleted|removed)"):
            plan(admin, {kind: marked})
        assert admin.calls == calls


def test_what_others_made_after_a_run_was_killed_is_taken_over_and_not_deleted_by_its_mark() -> None:
    admin = FakeAdmin()
    killed(admin, "record-begun")
    by_somebody_else(admin)
    assert_nothing_is_deleted(admin)
    given(admin, WANTED)
    assert claimed(admin) == []
    assert admin.passwords == PASSWORDS, "what is declared is given all the same"
    assert_nothing_is_deleted(admin)


def test_what_others_made_after_a_run_failed_is_not_deleted_either() -> None:
    admin = FakeAdmin()
    refused = {**WANTED, "topics": [{"name": "wrong", "config": {"no.such": 1}}, *WANTED["topics"]]}
    admin.create_topics([NewTopic("wrong")])
    with pytest.raises(ClusterError, match=r"no\.such"):
        given(admin, {**refused, "topics": [*refused["topics"][:1]]})
    assert claimed(admin) == []
    by_somebody_else(admin)
    assert_nothing_is_deleted(admin)
    given(admin, WANTED)
    assert claimed(admin) == []
    assert_nothing_is_deleted(admin)


def test_what_others_make_between_looking_and_doing_is_not_claimed() -> None:
    admin = FakeAdmin()
    fields = {**WANTED, "topics": []}
    planned = plan(admin, fields)
    admin.set_passwords({"alice": "a password of theirs"})
    admin.set_quotas({ALICE: {"request_percentage": 5.0}})
    reconcile.carry_out(admin, planned, PASSWORDS)
    assert claimed(admin) == []
    with pytest.raises(InvalidSetting, match="kdeploy did not make it"):
        plan(admin, {"users": MARKED["users"]})

    planned = plan(admin, WANTED)
    admin.create_topics([NewTopic("orders")])
    with pytest.raises(ClusterError, match="it exists"):
        reconcile.carry_out(admin, planned, PASSWORDS)
    given(admin, WANTED)
    assert claimed(admin) == []
    assert_nothing_is_deleted(admin)


def test_a_topic_is_claimed_by_the_id_that_its_creation_told_and_one_without_by_nobody() -> None:
    class Dies(FakeAdmin):
        def write_compacted(self, topic: str, values: Mapping[str, str | None]) -> None:
            if "orders" in self.topics:
                raise Killed
            super().write_compacted(topic, values)

    admin = Dies()
    with pytest.raises(Killed):
        given(admin, {"topics": WANTED["topics"]})
    alive = FakeAdmin()
    alive.__dict__.update(admin.__dict__)
    with pytest.raises(InvalidSetting, match="was stopped while it made one"):
        plan(alive, {"topics": MARKED["topics"]})
    given(alive, WANTED)
    assert "orders" not in claimed(alive)


def test_of_topics_that_are_made_together_those_before_the_one_that_is_refused_are_claimed() -> None:
    admin = FakeAdmin()
    planned = plan(admin, {"topics": [{"name": "a"}, {"name": "b"}, {"name": "c"}]})
    admin.create_topics([NewTopic("b")])
    with pytest.raises(ClusterError, match="create topic b"):
        reconcile.carry_out(admin, planned, PASSWORDS)
    assert claimed(admin) == ["a"]


@pytest.mark.parametrize(
    ("moment", "expected"),
    [
        ("topics-created", ["orders", "alice", "user alice"]),
        ("users-created", ["orders", "alice", "user alice"]),
        ("quotas-set", ["orders", "alice", "user alice"]),
    ],
)
def test_what_a_killed_run_made_itself_is_claimed_by_the_next(moment: str, expected: list[str]) -> None:
    admin = FakeAdmin()
    killed(admin, moment)
    given(admin, WANTED)
    assert claimed(admin) == expected
    given(admin, MARKED)
    assert "orders" not in admin.topics
    assert admin.limits == {}


def test_where_nobody_can_log_in_a_user_of_a_killed_run_is_not_claimed() -> None:
    admin = FakeAdmin()
    fields = {"users": WANTED["users"], "security": {"client_listener": "PLAINTEXT"}}
    killed(admin, "users-created", fields)
    given(admin, fields)
    assert claimed(admin) == []


def test_a_user_that_a_killed_run_made_can_be_shut_out_by_the_next() -> None:
    admin = FakeAdmin()
    killed(admin, "users-created", {"users": WANTED["users"]})
    given(admin, {"users": MARKED["users"]})
    assert admin.passwords == {}


def test_what_was_accepted_and_not_stored_is_not_claimed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reconcile, "READ_BACK_FOR", 0.0)
    admin = FakeAdmin(lost=["set_passwords", "set_quotas"])
    with pytest.raises(ClusterError, match="cannot be read back"):
        given(admin, {**WANTED, "topics": []})
    admin.lost = frozenset()
    by_somebody_else(admin)
    assert_nothing_is_deleted(admin)


def test_a_record_of_before_claims_a_topic_by_its_id_alone() -> None:
    written = record.encode(record.Record({"orders": record.TopicEntry(False)}))
    old = {key: text.replace('"made":false', '"made":true') for key, text in written.items()}
    assert not record.decode(old).topics["orders"].made
