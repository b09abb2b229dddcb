"""The checks that only look: from a state to what is said about it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from unittest.mock import patch

import pytest

from kdeploy.blueprint import ClusterBlueprint, Node, RenderedFile
from kdeploy.cluster import Check, checks, defaults
from kdeploy.cluster.fake import BROKERS, FakeAdmin
from kdeploy.cluster.health import observe
from kdeploy.cluster.state import Broker, ClusterState, Metadata, NewTopic, Quorum, Voter
from kdeploy.cluster.verify import topic_from_defaults
from kdeploy.cluster.zookeeper import Member, read
from kdeploy.spec.lock import Role
from kdeploy.spec.model import Coordination, Environment

PROPERTIES = """# rendered
broker.id=1
default.replication.factor=3
log.retention.hours=168
log.retention.minutes = 120
min.insync.replicas=2
num.partitions=6
unclean.leader.election.enable=false
"""


def node(role: Role, number: int, rack: str, properties: str = PROPERTIES) -> Node:
    return Node(
        datacenter="dc1",
        name=f"{role}-{number}",
        role=role,
        id=number,
        rack=rack,
        host="localhost",
        bind="127.0.0.1",
        ports={},
        cores=1,
        memory=1.0,
        data_directories=(),
        format_arguments=(),
        java_options=(),
        main_class="",
        arguments=("config/server.properties",),
        files=(RenderedFile("config/server.properties", properties),),
        secrets=(),
    )


def cluster(coordination: Coordination, properties: str = PROPERTIES) -> ClusterBlueprint:
    role: Role = "zookeeper" if coordination == "zookeeper" else "controller"
    nodes = [node(role, 1000 + n, rack) for n, rack in enumerate("abc", 1)]
    nodes += [node("broker", n, rack, properties) for n, rack in enumerate("abc", 1)]
    return ClusterBlueprint("dc1", "local", coordination, "3.9.2", None, tuple(nodes))


MEMBERS = tuple(
    Member(n, f"zookeeper-{n}", mode) for n, mode in enumerate(("follower", "leader", "follower"), 1)
)
VOTERS = tuple(Voter(1000 + n, 0, 0.1) for n in (1, 2, 3))
QUORUM = Quorum(1001, VOTERS)


def whole() -> ClusterState:
    admin = FakeAdmin()
    admin.create_topics([NewTopic("t")])
    return observe(admin)


def said(found: tuple[Check, ...], name: str) -> Check:
    return next(one for one in found if one.name == name)


def test_a_whole_cluster_passes_every_check_in_either_mode() -> None:
    for coordination, state in (("zookeeper", whole()), ("kraft", replace(whole(), quorum=QUORUM))):
        found = checks.judged(state, MEMBERS, cluster(coordination))
        assert all(one.ok for one in found), found
        assert len(found) == 4


def test_what_is_observed_is_the_effective_minimum_of_every_topic() -> None:
    admin = FakeAdmin()
    admin.create_topics([NewTopic("t"), NewTopic("u", config={"min.insync.replicas": "1"})])
    assert observe(admin).min_insync == {"t": 2, "u": 1}


class Mute(FakeAdmin):
    """A cluster whose controller has died: it alone knows what is being moved."""

    def reassigning(self) -> tuple[str, ...]:
        raise AssertionError("asked a dead controller")


def test_a_controller_that_died_is_no_controller_though_it_is_still_named() -> None:
    admin = Mute()
    admin.dead = {1}
    state = observe(admin)
    assert state.controller is None
    assert state.alive == {2, 3}


WRONG = (
    ("a broker is missing", {"brokers": BROKERS[:2]}, "brokers registered", "broker-3 is not registered"),
    ("a broker is silent", {"silent": (2,)}, "brokers registered", "broker-2 does not answer"),
    (
        "a broker is in another rack",
        {"brokers": (*BROKERS[:2], Broker(3, "a", "localhost"))},
        "brokers registered",
        "broker-3 says rack a in place of c",
    ),
    (
        "a broker has no rack",
        {"brokers": (*BROKERS[:2], Broker(3, None, "localhost"))},
        "brokers registered",
        "broker-3 says rack None",
    ),
    (
        "a broker nobody planned",
        {"brokers": (*BROKERS, Broker(9, "a", "localhost"))},
        "brokers registered",
        "broker 9 is registered and not known here",
    ),
    ("no controller", {"controller": None}, "controller known", "no controller"),
    ("a replica is dead", {"silent": (2,)}, "partitions in sync", "not fully in sync"),
)


@pytest.mark.parametrize(("name", "change", "check", "words"), WRONG, ids=[row[0] for row in WRONG])
def test_what_is_wrong_is_named(name: str, change: dict[str, object], check: str, words: str) -> None:
    state = replace(whole(), **change)  # type: ignore[arg-type]
    found = said(checks.judged(state, MEMBERS, cluster("zookeeper")), check)
    assert not found.ok, name
    assert words in found.detail


QUORUMS = (
    (None, "does not describe one"),
    (Quorum(None, VOTERS), "no leader"),
    (Quorum(1001, VOTERS[:2]), "controller-1003 is not a voter"),
    (Quorum(1001, (*VOTERS[:2], Voter(1003, 9, 30.0))), "controller-1003 has not fetched for 30 s"),
    (Quorum(1001, (*VOTERS[:2], Voter(1003, 9, None))), "controller-1003 has not fetched ever"),
)


@pytest.mark.parametrize(("quorum", "words"), QUORUMS)
def test_what_is_wrong_with_a_quorum_is_named(quorum: Quorum | None, words: str) -> None:
    found = checks.quorum(replace(whole(), quorum=quorum), cluster("kraft"))
    assert not found.ok
    assert words in found.detail


ENSEMBLES = (
    (MEMBERS, True, "zookeeper-2 leads"),
    ((Member(1, "zookeeper-1", "standalone"),), True, "zookeeper-1 leads"),
    (MEMBERS[:1], False, "0 nodes lead"),
    (
        (*MEMBERS[:2], Member(3, "zookeeper-3", problem="connection refused")),
        False,
        "zookeeper-3: connection refused",
    ),
    ((), False, "0 nodes lead"),
)


@pytest.mark.parametrize(("members", "ok", "words"), ENSEMBLES)
def test_an_ensemble_is_healthy_when_every_node_serves_and_one_leads(
    members: tuple[Member, ...], ok: bool, words: str
) -> None:
    found = checks.ensemble(members)
    assert found.ok is ok
    assert words in found.detail


SRVR = """Zookeeper version: 3.8.4-9316c2a, built on 2024-02-12 22:16 UTC
Latency min/avg/max: 0/1.1396/21
Received: 352
Sent: 353
Connections: 3
Outstanding: 7
Zxid: 0x100000073
Mode: follower
Node count: 47
"""


def test_an_answer_of_zookeeper_is_read() -> None:
    assert read(1, "zookeeper-1", SRVR) == Member(1, "zookeeper-1", "follower", 7, 3, 47)


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        ("This ZooKeeper instance is not currently serving requests\n", "not currently serving"),
        ("srvr is not executed because it is not in the whitelist.\n", "whitelist"),
        ("", "closed the connection"),
    ],
)
def test_a_node_that_does_not_serve_says_why(answer: str, problem: str) -> None:
    found = read(1, "zookeeper-1", answer)
    assert not found.serves
    assert problem in found.problem


ENVIRONMENT = Environment(name="test")


def test_the_promise_is_what_was_rendered() -> None:
    assert defaults.promised(ENVIRONMENT, cluster("zookeeper")) == {
        "default.replication.factor": "3",
        "min.insync.replicas": "2",
        "num.partitions": "6",
        "retention.ms": "7200000",
        "unclean.leader.election.enable": "false",
    }


def test_an_override_is_part_of_the_promise() -> None:
    rendered = (
        PROPERTIES.replace("min.insync.replicas=2", "min.insync.replicas=1") + "log.retention.ms=5000\n"
    )
    promise = defaults.promised(ENVIRONMENT, cluster("zookeeper", rendered))
    assert (promise["min.insync.replicas"], promise["retention.ms"]) == ("1", "5000")


def test_with_kraft_what_only_the_controllers_know_is_promised_too() -> None:
    without = "".join(line for line in PROPERTIES.splitlines(True) if "num.partitions" not in line)
    assert defaults.promised(ENVIRONMENT, cluster("kraft", without))["num.partitions"] == "6"


def test_a_promise_that_does_not_hold_is_named_with_both_values() -> None:
    promise = {"min.insync.replicas": "2", "retention.ms": "1000"}
    assert defaults.broken(promise, {"min.insync.replicas": "1", "retention.ms": "1000"}) == (
        "min.insync.replicas is 1, and 2 was promised",
    )
    assert defaults.broken(promise, promise) == ()


class LateToLearn(FakeAdmin):
    """A cluster of which some brokers know nothing of a new topic yet: every other answer is of such a one."""

    asked = looked = 0

    def metadata(self) -> Metadata:
        self.looked += 1
        found = super().metadata()
        return found if self.looked % 2 else replace(found, partitions=())

    def topic_settings(self, topics: Collection[str], keys: Sequence[str]) -> dict[str, dict[str, str]]:
        self.asked += 1
        return super().topic_settings(topics, keys) if self.asked > 2 else {}


def test_a_topic_from_defaults_is_judged_when_the_brokers_know_it() -> None:
    admin = LateToLearn()
    made = topic_from_defaults(admin, ENVIRONMENT, cluster("zookeeper"), "new")
    assert (made.ok, admin.asked) == (False, 3)
    assert made.detail == "retention.ms is 604800000, and 7200000 was promised"


def test_a_topic_from_defaults_with_a_setting_that_nobody_answers_fails_and_says_so() -> None:
    admin = FakeAdmin(partitions=6)
    odd = {"min.insync.replicas": "2"}
    with patch.object(admin, "topic_settings", lambda topics, keys: {"new": odd}):
        made = topic_from_defaults(admin, ENVIRONMENT, cluster("zookeeper"), "new")
    assert not made.ok
    assert "retention.ms is unset, and 7200000 was promised" in made.detail
