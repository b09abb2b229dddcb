"""What a cluster has comes into the files, as far as files can say it; and nothing else is written."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from kdeploy.cluster import reconcile
from kdeploy.cluster.fake import FakeAdmin
from kdeploy.cluster.state import Binding, NewTopic, Quorum, QuotaEntity
from kdeploy.errors import KdeployError, UsageError
from kdeploy.operations import adopt, readiness
from kdeploy.operations.drift import Drift, Drifted
from kdeploy.spec import load
from kdeploy.spec.source import parse

TEXT = """\
# The shop's Kafka.
topics:
  - name: orders      # one a second
    partitions: 2
    retention: 1d
    config:
      cleanup.policy: delete
users:
  - name: alice
    acls:
      - {name: orders, operations: [read]}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("KDEPLOY_STATE_DIR", str(tmp_path / "state"))
    made = tmp_path / "shop"
    made.mkdir()
    (made / "environment.yaml").write_text(TEXT)
    (made / "quotas.yaml").write_text("quotas:\n  - user: alice\n    request_percentage: 50\n")
    return made


def drifted(layer: Any, of: str, key: str, found: str | None, /, **entry: str) -> Drifted:
    return Drifted(layer, "dc1", of, key, "of git", found, entry=entry)


ACL = {
    "user": "alice",
    "resource": "group",
    "name": "shop-",
    "pattern": "prefixed",
    "operation": "read",
    "permission": "allow",
    "host": "*",
}
EVERY = [f"broker-{number}" for number in (1, 2, 3)]
NODES = [*EVERY, *(f"zookeeper-{number}" for number in (1, 2, 3))]

ACCEPTED: tuple[tuple[str, list[Drifted], str, Any], ...] = (
    (
        "partitions",
        [drifted("topics", "orders", "partitions", "4")],
        "topics.0.partitions",
        4,
    ),
    ("copies", [drifted("topics", "orders", "replication factor", "2")], "topics.0.replication_factor", 2),
    ("retention", [drifted("topics", "orders", "retention.ms", "5000")], "topics.0.retention", "5000ms"),
    (
        "a setting of a topic",
        [drifted("topics", "orders", "cleanup.policy", "compact")],
        "topics.0.config",
        {"cleanup.policy": "compact"},
    ),
    (
        "retention without an end",
        [drifted("topics", "orders", "retention.ms", "-1")],
        "topics.0.config",
        {"cleanup.policy": "delete", "retention.ms": -1},
    ),
    ("one that is gone", [drifted("topics", "orders", "cleanup.policy", None)], "topics.0.config", {}),
    ("a topic that is gone", [drifted("topics", "orders", "it", None)], "topics", None),
    (
        "a permission",
        [drifted("acls", "alice", "alice may read group shop-*", "present", **ACL)],
        "acls",
        [
            {
                "user": "alice",
                "acls": [
                    {"resource": "group", "name": "shop-", "pattern": "prefixed", "operations": ["read"]}
                ],
            }
        ],
    ),
    (
        "a limit",
        [drifted("quotas", "user alice", "producer_byte_rate", "2000000", user="alice", client_id="", ip="")],
        "quotas.0",
        {"user": "alice", "request_percentage": 50, "producer_byte_rate": "2 MB/s"},
    ),
    (
        "a setting of every broker",
        [drifted("settings", "every broker", "log.cleaner.threads", "2")],
        "overrides",
        {"broker": {"log.cleaner.threads": 2}},
    ),
    (
        "the same edit of every broker's file",
        [drifted("files", name, "config/server.properties: num.io.threads", "9") for name in EVERY],
        "overrides",
        {"broker": {"num.io.threads": 9}},
    ),
    (
        "a kernel setting of every host",
        [drifted("host", name, "vm.swappiness", "10") for name in NODES],
        "overrides",
        {"kernel": {"vm.swappiness": 10}},
    ),
)


def said(folder: Path) -> dict[str, Any]:
    """All files of an environment together."""
    found: dict[str, Any] = {}
    for file in sorted(folder.glob("*.yaml")):
        found |= parse(file.read_text(), file.name).data if file.read_text().strip("{}\n") else {}
    return found


@pytest.mark.parametrize(("what", "items", "place", "expected"), ACCEPTED, ids=[row[0] for row in ACCEPTED])
def test_what_is_accepted_is_what_the_files_say(
    folder: Path, what: str, items: list[Drifted], place: str, expected: Any
) -> None:
    done = adopt.accept(load.load(folder), Drift("shop", tuple(items)))
    assert done.left == ()
    assert done.items == tuple(items)
    value: Any = said(folder)
    for step in place.split("."):
        value = value[int(step)] if step.isdigit() else value.get(step)
    assert value == expected, what
    assert "# The shop's Kafka." in (folder / "environment.yaml").read_text()


LEFT = (
    (drifted("nodes", "broker-1", "process", "stopped"), "a node that is declared runs"),
    (drifted("users", "alice", "password", "another"), "decided in the files and the vault"),
    (drifted("acls", "alice", "alice may read topic orders", None), "take the permission out"),
    (drifted("settings", "broker-1", "num.io.threads", "9"), "not the same on all"),
    (drifted("settings", "every broker", "log.retention.ms", "9"), "kdeploy answers for it"),
    (drifted("files", "broker-1", "config/log4j.properties", "a\nb\n"), "no setting of the environment"),
    (drifted("files", "zookeeper-1", "config/zoo.cfg: tickTime", "9"), "no setting of the environment"),
    (drifted("topics", "orders", "replication factor", "2 and 3"), "as many copies"),
)


@pytest.mark.parametrize(("one", "reason"), LEFT, ids=[f"{row[0].layer} {row[0].key}" for row in LEFT])
def test_what_no_file_can_say_is_left_with_the_reason(folder: Path, one: Drifted, reason: str) -> None:
    before = said(folder)
    done = adopt.accept(load.load(folder), Drift("shop", (one,)))
    ((left, why),) = done.left
    assert left == one
    assert reason in why
    assert done.files == ()
    assert said(folder) == before


def test_files_are_as_they_were_where_the_environment_would_not_be_valid(folder: Path) -> None:
    (folder / "policies.yaml").write_text("policies:\n  max_partitions: 3\n")
    before = {file.name: file.read_text() for file in folder.iterdir()}
    wrong = Drift(
        "shop",
        (drifted("topics", "orders", "partitions", "4"), drifted("acls", "alice", "more", "present", **ACL)),
    )
    with pytest.raises(KdeployError, match="would not be valid with what was found, and are as they were"):
        adopt.accept(load.load(folder), wrong)
    assert {file.name: file.read_text() for file in folder.iterdir()} == before


def test_nothing_is_written_beside_an_environment_that_came_with_kdeploy(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(load.Loaded, "shipped", property(lambda _: True))
    with pytest.raises(UsageError, match="nothing is written beside it"):
        adopt.accept(load.load(folder), Drift("shop", ()))


@pytest.fixture
def admin(folder: Path, monkeypatch: pytest.MonkeyPatch) -> FakeAdmin:
    """A cluster with what is declared, and more."""
    found, passwords = FakeAdmin(), {"alice": "a password of alice"}
    environment = load.load(folder).environment
    reconcile.carry_out(found, reconcile.plan(environment, found, passwords), passwords)
    found.create_topics([NewTopic("payments", 3, 2, {"retention.ms": "60000"}), NewTopic("__own", 1, 3)])
    found.set_passwords({"bob": "a password of bob"})
    found.create_bindings([Binding("bob", "topic", "payments", "literal", "write", "allow", "*")])
    found.set_quotas({QuotaEntity(user="bob"): {"consumer_byte_rate": 1_000_000.0}})

    @contextmanager
    def connected(*_: Any, **__: Any) -> Iterator[FakeAdmin]:
        yield found

    here = SimpleNamespace(passwords=lambda: passwords)
    monkeypatch.setattr(readiness, "connected", connected)
    monkeypatch.setattr(adopt, "sites_of", lambda *_: (here,))
    return found


def test_what_was_imported_changes_nothing_and_a_second_import_finds_nothing(
    folder: Path, admin: FakeAdmin
) -> None:
    done = adopt.import_(load.load(folder))
    assert (done.topics, done.users, done.quotas) == (("payments",), ("bob",), ("user bob",))
    assert {file.name for file in done.files} == {"topics.yaml", "users.yaml", "acls.yaml", "quotas.yaml"}
    environment = load.load(folder).environment
    assert reconcile.plan(environment, admin, {"alice": "a password of alice"}).changes == ()
    assert adopt.import_(load.load(folder)).files == ()
    assert (folder / "environment.yaml").read_text() == TEXT


def test_an_imported_user_keeps_the_password_that_nobody_here_knows(folder: Path, admin: FakeAdmin) -> None:
    adopt.import_(load.load(folder))
    environment = load.load(folder).environment
    (bob,) = (user for user in environment.users if user.name == "bob")
    assert bob.credentials == "unmanaged"
    passwords = {"alice": "a password of alice"}
    reconcile.carry_out(admin, reconcile.plan(environment, admin, passwords), passwords)
    assert admin.passwords["bob"] == "a password of bob"


def test_defaults_and_patterns_of_the_topics_file_do_not_reach_what_is_imported(
    folder: Path, admin: FakeAdmin
) -> None:
    (folder / "topics.yaml").write_text(
        "defaults: {retention: 1h, replication_factor: 1}\ntopics:\n  - name: own\n"
    )
    passwords = {"alice": "a password of alice"}
    reconcile.carry_out(admin, reconcile.plan(load.load(folder).environment, admin, passwords), passwords)
    adopt.import_(load.load(folder))
    assert "payments" in (folder / "environment.yaml").read_text()
    assert reconcile.plan(load.load(folder).environment, admin, passwords).changes == ()


def test_a_user_that_was_shut_out_is_not_imported(folder: Path, admin: FakeAdmin) -> None:
    admin.found_quorum = Quorum(1, ())  # with KRaft its name stays
    passwords = {"alice": "a password of alice"}
    text = TEXT[: TEXT.index("users:")]
    (folder / "quotas.yaml").unlink()
    (folder / "environment.yaml").write_text(text + "users:\n  - {name: alice, delete: true}\n")
    reconcile.carry_out(admin, reconcile.plan(load.load(folder).environment, admin, passwords), passwords)
    (folder / "environment.yaml").write_text(text)
    assert adopt.import_(load.load(folder)).users == ("bob",)
