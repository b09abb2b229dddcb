"""What was changed behind git's back is told by layer, with what git gave and what was found."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from kdeploy.cli import changes
from kdeploy.cli import drift as printed
from kdeploy.cluster import reconcile
from kdeploy.cluster.fake import FakeAdmin
from kdeploy.cluster.live import Wanted
from kdeploy.cluster.state import EVERY_BROKER, Binding, QuotaEntity
from kdeploy.infra import NodeState, Strayed
from kdeploy.operations import drift
from kdeploy.operations.drift import Drift, Drifted
from kdeploy.pipelines.forge import GITHUB_LIMIT
from kdeploy.spec.model import Environment
from tests.infra.nodes import node

ENVIRONMENT = Environment.model_validate(
    {
        "name": "shop",
        "topics": [{"name": "orders", "partitions": 2, "retention": "1d"}],
        "users": [{"name": "alice", "acls": [{"name": "orders", "operations": ["read"]}]}],
        "quotas": [{"user": "alice", "request_percentage": 50}],
    }
)

RUNS = NodeState(True, True, "as wanted", "as wanted", "process 7")
STOPPED = NodeState(True, False, "as wanted", None, "stopped")
ABSENT = NodeState(False, False, None, None, "never started")
EDITED = NodeState(True, True, None, "as wanted", "process 7")


def site(state: NodeState, *strayed: Strayed) -> Any:
    """A cluster of one broker, in a state, with what strayed on it."""
    one = node("broker-1")
    return SimpleNamespace(
        cluster=SimpleNamespace(nodes=[one], everything=[one], brokers=[one], datacenter="here"),
        declared=ENVIRONMENT,
        provider=SimpleNamespace(
            observe=lambda nodes: {one.key: state},
            strayed=lambda nodes: {one.key: strayed},
            wanted=lambda node, secrets: "as wanted",
        ),
        secrets=lambda node: {},
        passwords=lambda: {"alice": "a password of alice"},
        design=SimpleNamespace(loaded=SimpleNamespace(environment=ENVIRONMENT)),
        live_settings=lambda brokers: {
            some.id: Wanted(some.name, {"num.io.threads": "8"}, others=frozenset(("message.max.bytes",)))
            for some in brokers
        },
    )


PROPERTIES = "config/server.properties"


def properties(last: str | None, found: str | None, why: str = "it was edited") -> Strayed:
    return Strayed("files", PROPERTIES, last, found, why)


ROWS: tuple[
    tuple[str, NodeState, tuple[Strayed, ...], list[tuple[str, str, str | None, str | None]]], ...
] = (
    ("a node as it should be", RUNS, (), []),
    ("a node that was stopped", STOPPED, (), [("nodes", "process", "running", "stopped")]),
    ("a node that was never there", ABSENT, (), []),
    (
        "a value in a file",
        EDITED,
        (properties("a=1\nb=2\n", "a=1\nb=3\n"),),
        [("files", f"{PROPERTIES}: b", "2", "3")],
    ),
    (
        "a line more and a line less",
        EDITED,
        (properties("a=1\n", "# why\nc = 4\n"),),
        [("files", f"{PROPERTIES}: a", "1", None), ("files", f"{PROPERTIES}: c", None, "4")],
    ),
    (
        "a comment alone",
        EDITED,
        (properties("a=1\n", "# why\na=1\n"),),
        [("files", PROPERTIES, "a=1\n", "# why\na=1\n")],
    ),
    ("a file that is gone", EDITED, (properties("a=1\n", None),), [("files", PROPERTIES, "a=1\n", None)]),
    (
        "a secret",
        EDITED,
        (Strayed("files", "secrets/identity.pem", None, None, "it is secret"),),
        [("files", "secrets/identity.pem", None, None)],
    ),
    (
        "a kernel setting",
        EDITED,
        (Strayed("host", "vm.swappiness", "1", "60"),),
        [("host", "vm.swappiness", "1", "60")],
    ),
)


@pytest.mark.parametrize(("what", "state", "strayed", "expected"), ROWS, ids=[row[0] for row in ROWS])
def test_what_was_changed_on_a_node_is_told(
    what: str,
    state: NodeState,
    strayed: tuple[Strayed, ...],
    expected: list[tuple[str, str, str | None, str | None]],
) -> None:
    found, unseen = drift.on_nodes(site(state, *strayed))
    assert unseen == []
    assert [(one.layer, one.key, one.git, one.found) for one in found] == expected, what


def test_a_node_that_cannot_be_asked_is_not_told_as_stopped_but_why_nobody_knows() -> None:
    state = replace(STOPPED, unseen=True, detail="10.0.0.1 cannot be reached: it does not answer")
    here = site(state)
    here.provider.strayed = lambda nodes: {}
    assert drift.on_nodes(here) == (
        [],
        ["broker-1 cannot be asked: 10.0.0.1 cannot be reached: it does not answer"],
    )


def test_nodes_that_cannot_be_asked_for_one_reason_are_told_together() -> None:
    away = replace(STOPPED, unseen=True, detail="it does not answer")
    other = replace(away, detail="sudo asks for a password")
    here, nodes = site(away), [node(f"broker-{number}") for number in (1, 2, 3)]
    here.cluster = SimpleNamespace(nodes=nodes, everything=nodes, brokers=nodes, datacenter="here")
    states = dict(zip([one.key for one in nodes], (away, other, away), strict=True))
    here.provider.observe, here.provider.strayed = lambda _: states, lambda _: {}
    assert drift.on_nodes(here) == (
        [],
        [
            "broker-1, broker-3 cannot be asked: it does not answer",
            "broker-2 cannot be asked: sudo asks for a password",
        ],
    )


def test_a_host_that_is_lost_between_two_looks_is_told_too() -> None:
    here = site(RUNS)
    here.provider.strayed = lambda nodes: {}
    assert drift.on_nodes(here) == ([], ["broker-1 could not be asked for its files"])


def test_dynamic_settings_that_somebody_gave_are_told_one_by_one() -> None:
    admin = given()
    admin.set_broker_settings(EVERY_BROKER, {"num.io.threads": "12"})
    admin.set_broker_settings(1, {"message.max.bytes": "2000000"})
    found = [(one.name, one.key, one.git, one.found) for one in drift.in_cluster(site(RUNS), admin)]
    assert found == [
        ("every broker", "num.io.threads", "8", "12"),
        ("broker-1", "message.max.bytes", "1048588", "2000000"),
    ]


def test_a_broker_whose_file_git_has_yet_to_change_has_no_drift_of_settings() -> None:
    admin = given()
    admin.set_broker_settings(1, {"message.max.bytes": "2000000"})
    assert list(drift.in_cluster(site(EDITED), admin)) == []


def test_what_all_brokers_together_were_given_is_told_whatever_their_files_are() -> None:
    admin = given()
    admin.set_broker_settings(EVERY_BROKER, {"num.io.threads": "12"})
    (one,) = drift.in_cluster(site(EDITED), admin)
    assert (one.name, one.key, one.git, one.found) == ("every broker", "num.io.threads", "8", "12")


def given() -> FakeAdmin:
    """A cluster that has all that the environment declares, from kdeploy."""
    admin, passwords = FakeAdmin(), {"alice": "a password of alice"}
    reconcile.carry_out(admin, reconcile.plan(ENVIRONMENT, admin, passwords), passwords)
    return admin


READS_MORE = Binding("alice", "topic", "payments", "literal", "read", "allow", "*")
READS = replace(READS_MORE, name="orders")
ALICE = QuotaEntity(user="alice")

CHANGED: tuple[tuple[str, Callable[[FakeAdmin], None], tuple[str, str, str | None, str | None, str]], ...] = (
    (
        "a topic's setting",
        lambda admin: admin.set_topic_settings({"orders": {"retention.ms": "5"}}),
        ("topics", "retention.ms", "86400000", "5", "git"),
    ),
    (
        "a topic's setting that git never gave",
        lambda admin: admin.set_topic_settings({"orders": {"cleanup.policy": "compact"}}),
        ("topics", "cleanup.policy", None, "compact", "git"),
    ),
    (
        "partitions, which nobody takes away again",
        lambda admin: admin.add_partitions({"orders": 3}),
        ("topics", "partitions", "2", "3", "cluster"),
    ),
    (
        "a topic that was deleted",
        lambda admin: admin.delete_topics(["orders"]),
        ("topics", "it", "present", None, "git"),
    ),
    (
        "a permission more",
        lambda admin: admin.create_bindings([READS_MORE]),
        ("acls", "alice may read topic payments", None, "present", "git"),
    ),
    (
        "a permission less",
        lambda admin: admin.delete_bindings([READS]),
        ("acls", "alice may read topic orders", "present", None, "git"),
    ),
    (
        "a quota",
        lambda admin: admin.set_quotas({ALICE: {"request_percentage": 90.0}}),
        ("quotas", "request_percentage", "50", "90", "git"),
    ),
    (
        "a password",
        lambda admin: admin.set_passwords({"alice": "another"}),
        ("users", "password", "in the vault", "another", "git"),
    ),
)


@pytest.mark.parametrize(("what", "change", "expected"), CHANGED, ids=[row[0] for row in CHANGED])
def test_what_another_tool_changed_in_the_cluster_is_told(
    what: str, change: Callable[[FakeAdmin], None], expected: tuple[str, str, str | None, str | None, str]
) -> None:
    admin = given()
    assert list(drift.in_cluster(site(RUNS), admin)) == []
    change(admin)
    (one,) = drift.in_cluster(site(RUNS), admin)
    assert (one.layer, one.key, one.git, one.found, one.winner) == expected, what


FOUND = Drift(
    "prod",
    (
        Drifted("files", "here", "broker-1", f"{PROPERTIES}: b|c", "<2>", "3", why="it was edited"),
        Drifted(
            "files", "here", "broker-2", "log4j.properties", "a\nb\nc\n", "a\nB\nc\n", why="it was edited"
        ),
        Drifted("files", "here", "broker-2", "secrets/identity.pem", None, None, why="it is secret"),
        Drifted("topics", "here", "orders", "partitions", "6", "12", "cluster"),
    ),
    ("there: no broker runs, so the cluster could not be asked",),
)


def test_it_reads_as_a_list_with_both_values_and_what_to_do() -> None:
    assert printed.as_text(FOUND) == (
        "prod: 4 things changed behind git's back\n"
        "\n"
        "files\n"
        "  broker-1  config/server.properties: b|c: git <2>, found 3\n"
        "  broker-2  log4j.properties: it was edited, 2 lines differ\n"
        "  broker-2  secrets/identity.pem: it is secret\n"
        "\n"
        "topics\n"
        "  orders  partitions: git 6, found 12 (cannot be put back)\n"
        "not seen: there: no broker runs, so the cluster could not be asked\n"
        "\n"
        "What cannot be put back has to be in the files first, by hand or, with all\n"
        "else that was found, with: kdeploy drift prod --accept\n"
        "Then put git's back with: kdeploy up prod"
    )


def test_as_markdown_nothing_breaks_out_of_its_cell() -> None:
    lines = printed.as_markdown(FOUND).splitlines()
    assert lines[0] == "<!-- kdeploy drift prod -->"
    assert "| files | broker-1 | config/server.properties: b&#124;c | &#60;2&#62; | 3 | git |" in lines
    assert "| topics | orders | partitions | 6 | 12 | cluster |" in lines


def test_as_markdown_it_stays_below_what_a_forge_takes_and_says_what_is_left_out() -> None:
    topics = [Drifted("topics", "here", f"topic-{n}", "retention.ms", "1", "@everyone") for n in range(5000)]
    hosts = [f"broker-{n} cannot be asked: it does not answer" for n in range(3000)]
    text = printed.as_markdown(Drift("prod", tuple(topics), tuple(hosts)))
    assert len(text) < changes.LIMIT < GITHUB_LIMIT
    lines = text.splitlines()
    told = sum(line.startswith("| topics |") for line in lines)
    assert f"{5000 - told} more lines are left out here; `--output json` has all of them." in lines
    assert 500 < told < 5000
    assert lines[-1].endswith("more lines are left out here; `--output json` has all of them.")
    assert "@everyone" not in text, "nobody is called by it"
    few = printed.as_markdown(Drift("prod", tuple(topics[:2])))
    assert "left out" not in few
    assert few.splitlines()[-1] == "or have git say what was found with: kdeploy drift prod --accept"


def test_what_up_can_put_back_is_put_back_or_accepted() -> None:
    found = Drift("prod", (Drifted("topics", "here", "orders", "retention.ms", "1", "2"),))
    assert printed.as_text(found).splitlines()[-2:] == [
        "Put git's back with: kdeploy up prod",
        "or have git say what was found with: kdeploy drift prod --accept",
    ]


def test_what_is_in_aws_is_put_back_when_aws_is_asked_first() -> None:
    gone = Drifted("resources", "here", "here-rule", "rule", "there", None, why="it is gone")
    found = Drift("prod", (gone, Drifted("topics", "here", "orders", "retention.ms", "1", "2")))
    assert "Put git's back with: kdeploy up prod --refresh" in printed.as_text(found).splitlines()


def test_what_could_not_be_looked_at_is_not_called_unchanged() -> None:
    head = printed.as_text(Drift("prod", (), ("there: it does not answer",))).splitlines()[0]
    assert head == "prod: nothing was found, and not everything could be looked at"


def test_nothing_is_told_where_nothing_was_changed() -> None:
    nothing = Drift("prod", ())
    assert printed.as_text(nothing) == "prod: nothing was changed behind git's back"
    assert printed.as_json(nothing) == {
        "schema": "kdeploy.drift/v1",
        "environment": "prod",
        "drifted": False,
        "items": [],
        "accepted": None,
        "unseen": [],
    }
