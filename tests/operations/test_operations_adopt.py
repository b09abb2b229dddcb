"""What a cluster has comes into the files, as far as files can say it; and nothing else is written."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from cProfile import Profile
from pathlib import Path
from pstats import Stats
from types import SimpleNamespace
from typing import Any

import pytest

from kdeploy.cluster import reconcile
from kdeploy.cluster.fake import FakeAdmin
from kdeploy.cluster.state import Binding, NewTopic, Quorum, QuotaEntity
from kdeploy.errors import KdeployError, LeaseHeld, Stopped, UsageError
from kdeploy.operations import adopt, places, readiness
from kdeploy.operations.drift import Drift, Drifted
from kdeploy.operations.lease import lease
from kdeploy.spec import load
from kdeploy.spec.source import parse
from tests.operations.world import World

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


def limit(of: str, key: str, found: str | None) -> Drifted:
    return drifted("quotas", f"user {of}", key, found, user=of, client_id="", ip="")


def test_a_quota_whose_limits_are_all_gone_is_declared_no_more_and_no_empty_entry_is_left(
    folder: Path,
) -> None:
    quotas = (
        "quotas:\n  - user: alice\n    request_percentage: 50\n  - {client_id: app, request_percentage: 9}\n"
    )
    (folder / "quotas.yaml").write_text(quotas)
    done = adopt.accept(load.load(folder), Drift("shop", (limit("alice", "request_percentage", None),)))
    assert done.left == ()
    assert said(folder)["quotas"] == [{"client_id": "app", "request_percentage": 9}]


def test_a_quota_that_has_another_limit_in_place_of_one_stays(folder: Path) -> None:
    gone, new = limit("alice", "request_percentage", None), limit("alice", "producer_byte_rate", "2000000")
    adopt.accept(load.load(folder), Drift("shop", (gone, new)))
    assert said(folder)["quotas"] == [{"user": "alice", "producer_byte_rate": "2 MB/s"}]


def test_a_value_that_defaults_would_still_give_is_not_called_accepted(folder: Path) -> None:
    (folder / "topics.yaml").write_text(
        "defaults: {config: {segment.ms: 600000}}\n"
        "topics:\n  - {name: bills, partitions: 2, config: {segment.ms: 700000}}\n  - {name: plain, partitions: 1}\n"
    )
    before = (folder / "topics.yaml").read_text()
    own, given = (drifted("topics", name, "segment.ms", None) for name in ("bills", "plain"))
    also = drifted("topics", "plain", "partitions", "3")
    done = adopt.accept(load.load(folder), Drift("shop", (own, given, also)))
    assert [one for one, _ in done.left] == [own, given]
    assert {why for _, why in done.left} == {adopt.GIVEN_ELSEWHERE}
    assert done.items == (also,)
    assert (folder / "topics.yaml").read_text() == before.replace(
        "plain, partitions: 1", "plain, partitions: 3"
    )


@pytest.mark.parametrize("ends", [Stopped(2), KeyboardInterrupt(), MemoryError()])
def test_no_file_says_half_of_it_where_kdeploy_is_ended_meanwhile(
    folder: Path, monkeypatch: pytest.MonkeyPatch, ends: BaseException
) -> None:
    before = {file.name: file.read_text() for file in folder.iterdir()}
    loaded = load.load(folder)

    def end(_: Path) -> None:
        assert {file.name: file.read_text() for file in folder.iterdir()} != before, "both files are written"
        raise ends

    monkeypatch.setattr(load, "load", end)
    both = (drifted("topics", "orders", "partitions", "4"), limit("alice", "request_percentage", "70"))
    with pytest.raises(type(ends)):
        adopt.accept(loaded, Drift("shop", both))
    assert {file.name: file.read_text() for file in folder.iterdir()} == before


def test_two_that_write_at_once_never_write_into_the_same_file(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from kdeploy.spec import adopt as writing

    file, seen, real = folder / "environment.yaml", set[str](), Path.replace

    def replaced(self: Path, target: Path) -> Path:
        seen.add(self.name)
        return real(self, target)

    monkeypatch.setattr(Path, "replace", replaced)
    file.chmod(0o640)
    for _ in range(2):
        writing.save({file: TEXT})
    assert len(seen) == 2
    assert file.stat().st_mode & 0o777 == 0o640
    assert sorted(one.name for one in folder.iterdir()) == ["environment.yaml", "quotas.yaml"]


def calls(root: Path, count: int) -> int:
    """Functions that are called to accept so many values of so many topics and quotas."""
    from kdeploy.spec import adopt as writing

    root.mkdir()
    topics = "".join(f"  - {{name: t{number}, partitions: 2}}\n" for number in range(count))
    quotas = "".join(f"  - {{client_id: c{number}, request_percentage: 9}}\n" for number in range(count))
    (root / "topics.yaml").write_text(f"topics:\n{topics}")
    (root / "quotas.yaml").write_text(f"quotas:\n{quotas}")
    changes: list[Any] = []
    for number in range(count):
        whom = {"client_id": f"c{number}"}
        changes.append(writing.Set("topics", {"name": f"t{number}"}, ("partitions",), 3))
        changes.append(writing.Set("quotas", whom, ("request_percentage",), None if number % 2 else 8))
    profile = Profile()
    profile.runcall(writing.written, root, changes)
    return int(Stats(profile).total_calls)  # type: ignore[attr-defined]


def test_four_times_as_many_values_take_about_four_times_the_work(tmp_path: Path) -> None:
    calls(tmp_path / "first", 5)  # what is imported
    assert calls(tmp_path / "many", 160) < 6 * calls(tmp_path / "few", 40)


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    made = World(tmp_path, "local", monkeypatch)
    made.begin()
    return made


def test_nothing_is_accepted_or_imported_while_somebody_else_is_at_work(world: World) -> None:
    world.admin.set_topic_settings({"orders": {"segment.ms": "700000"}})
    text, loaded = (world.folder / "environment.yaml").read_text(), load.load(world.folder)
    with lease(places.state_folder("local"), "up"):
        for command in (adopt.look_and_accept, adopt.import_):
            with pytest.raises(LeaseHeld, match="another kdeploy is at work on local: up by"):
                command(loaded)
    assert (world.folder / "environment.yaml").read_text() == text
    found, done = adopt.look_and_accept(loaded)
    assert [one.key for one in found.items] == ["segment.ms"]
    assert done.left == ()
    assert not world.preview().pending


@pytest.fixture
def two(folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, FakeAdmin]:
    """Two clusters of one environment that hold the same."""
    admins = {name: FakeAdmin() for name in ("east", "west")}
    for one in admins.values():
        one.create_topics([NewTopic("orders", 2, 3), NewTopic("payments", 3, 2)])

    @contextmanager
    def connected(here: Any, **_: Any) -> Iterator[FakeAdmin]:
        yield admins[here.cluster.datacenter]

    sites = [
        SimpleNamespace(passwords=dict, cluster=SimpleNamespace(datacenter=name)) for name in ("east", "west")
    ]
    monkeypatch.setattr(readiness, "connected", connected)
    monkeypatch.setattr(adopt, "sites_of", lambda *_: tuple(sites))
    return admins


def test_clusters_that_hold_the_same_are_imported_as_one(folder: Path, two: dict[str, FakeAdmin]) -> None:
    assert adopt.import_(load.load(folder)).topics == ("payments",)


def test_clusters_that_differ_are_imported_only_where_one_is_named(
    folder: Path, two: dict[str, FakeAdmin]
) -> None:
    two["east"].create_topics([NewTopic("first", 1, 3)])
    two["west"].create_topics([NewTopic("other", 1, 3)])
    two["west"].set_topic_settings({"payments": {"retention.ms": "9"}})
    before = {file.name: file.read_text() for file in folder.iterdir()}
    with pytest.raises(UsageError) as refused:
        adopt.import_(load.load(folder))
    assert str(refused.value).splitlines() == [
        "east and west do not hold the same, and an environment declares one list for both:",
        "  - topics only in east: first",
        "  - topics only in west: other",
        "  - topics that differ: payments",
        "  choose whose is declared, with --datacenter east or --datacenter west",
    ]
    assert {file.name: file.read_text() for file in folder.iterdir()} == before
    assert adopt.import_(load.load(folder), datacenter="west").topics == ("other", "payments")


def test_a_datacenter_that_is_not_there_is_named_with_those_that_are(
    folder: Path, two: dict[str, FakeAdmin]
) -> None:
    with pytest.raises(UsageError, match=r"(?s)no datacenter 'north'.*there are: east, west"):
        adopt.import_(load.load(folder), datacenter="north")


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

    here = SimpleNamespace(passwords=lambda: passwords, cluster=SimpleNamespace(datacenter="dc1"))
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
