"""Topics, users, access lists and quotas on real Kafka, in both modes: three ways, in place, killed and taken up."""

from __future__ import annotations

import os
import pickle
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest

from kdeploy.cluster import Access, found, reconcile, record
from kdeploy.cluster.admin import Admin, connect
from kdeploy.cluster.failure import ClusterError
from kdeploy.cluster.login import topic_error
from kdeploy.cluster.moving import RATES
from kdeploy.cluster.observed import MIN_INSYNC
from kdeploy.cluster.stage import NOT_ALLOWED
from kdeploy.cluster.state import Binding, NewTopic, QuotaEntity
from kdeploy.cluster.wire import context
from kdeploy.errors import InvalidSetting
from kdeploy.spec.model import Environment
from tests.e2e.local.conftest import RunningCluster

pytestmark = pytest.mark.kafka

KILLED = """
import os, pickle, signal, sys, threading
from kdeploy.cluster import reconcile
from kdeploy.cluster.admin import connect
from kdeploy.spec.model import Environment
access, fields, passwords, moment, seconds = pickle.load(sys.stdin.buffer)
def reached(name):
    if name == moment:
        os.kill(os.getpid(), signal.SIGKILL)
with connect(access) as admin:
    plan = reconcile.plan(Environment.model_validate(fields), admin, passwords)
    if seconds:
        threading.Timer(seconds, os.kill, (os.getpid(), signal.SIGKILL)).start()
    reconcile.carry_out(admin, plan, passwords, reconcile.Manner(reached=reached))
os._exit(0)
"""
"""A run that ends by SIGKILL at a named moment, or so many seconds after it began to change something."""

MOMENTS = (
    "record-begun",
    "topics-created",
    "partitions-added",
    "topics-configured",
    "users-created",
    "acls-created",
    "quotas-set",
    "moving-recorded",
    "min-insync-relaxed",
    "throttled",
    "reassignment-started",
    "reassigned",
    "throttle-removed",
)


@pytest.fixture(params=["zookeeper_cluster", "kraft_cluster"])
def cluster(request: pytest.FixtureRequest) -> RunningCluster:
    found: RunningCluster = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def admin(cluster: RunningCluster) -> Iterator[Admin]:
    with connect(cluster.access) as connected:
        yield connected
        topics = {one.topic for one in connected.metadata().partitions if one.topic.startswith("r-")}
        connected.delete_topics(topics)
        connected.delete_bindings([one for one in connected.bindings() if one.user.startswith("r-")])
        limits = {whom: one for whom, one in connected.quotas().items() if whom.user.startswith("r-")}
        connected.set_quotas({whom: dict.fromkeys(one) for whom, one in limits.items()})
        deadline = time.monotonic() + 60
        while any(one.topic in topics for one in connected.metadata().partitions):
            assert time.monotonic() < deadline
            time.sleep(0.1)


class Life:
    """An environment on a cluster, with users of its own: in KRaft mode a user's name never comes back."""

    def __init__(self, admin: Admin, mark: str) -> None:
        self.admin, self.user = admin, f"r-{mark}-{os.getpid()}"
        self.passwords = {self.user: f"password of {mark}"}

    def environment(self, **fields: Any) -> Environment:
        return Environment.model_validate({"name": "resources", **fields})

    def planned(self, **fields: Any) -> list[tuple[str, str]]:
        changes = reconcile.changes(self.environment(**fields), self.admin, self.passwords)
        return [(one.kind, one.cause) for one in changes]

    def settle(self, **fields: Any) -> list[tuple[str, str]]:
        """Carry out what differs; what was done, after which nothing may be left."""
        plan = reconcile.plan(self.environment(**fields), self.admin, self.passwords)
        reconcile.carry_out(self.admin, plan, self.passwords)
        assert self.planned(**fields) == []
        return [(one.kind, one.cause) for one in plan.changes]

    def kill(self, access: Any, moment: str = "", seconds: float = 0, **fields: Any) -> int:
        given = pickle.dumps((access, {"name": "resources", **fields}, self.passwords, moment, seconds))
        ended = subprocess.run([sys.executable, "-c", KILLED], input=given, check=False, timeout=300)
        return ended.returncode


def throttles(admin: Admin) -> list[str]:
    """Whatever throttles copies anywhere."""
    topics = {one.topic for one in admin.metadata().partitions}
    said = [key for one in admin.own_topic_settings(topics).values() for key in one.own if "throttled" in key]
    brokers = [broker.id for broker in admin.metadata().brokers]
    return said + [
        name
        for one in brokers
        for name, at in admin.broker_settings(one, RATES).items()
        if at.own is not None
    ]


def test_every_kind_of_change_is_made_once_and_what_others_changed_is_put_back(admin: Admin) -> None:
    life = Life(admin, "kinds")
    user = {"name": life.user, "acls": [{"name": "r-orders", "operations": ["read", "write"]}]}
    orders = {
        "name": "r-orders",
        "partitions": 2,
        "replication_factor": 1,
        "config": {"retention.ms": 1000000},
    }
    quota = {"user": life.user, "producer_byte_rate": "1MB/s"}
    assert life.settle(topics=[orders], users=[user], quotas=[quota]) == [
        ("create-topic", "git"),
        ("create-user", "git"),
        ("create-acl", "git"),
        ("create-acl", "git"),
        ("set-quota", "git"),
    ]
    orders = {**orders, "partitions": 3, "replication_factor": 3, "config": {"cleanup.policy": "compact"}}
    quota = {"user": life.user, "consumer_byte_rate": "2MB/s"}
    wanted = {"topics": [orders], "users": [user], "quotas": [quota]}
    assert life.settle(**wanted) == [
        ("add-partitions", "git"),
        ("alter-topic-config", "git"),
        ("set-quota", "git"),
        ("alter-replication", "git"),
    ]
    assert {len(one.isr) for one in admin.metadata().partitions if one.topic == "r-orders"} == {3}
    wait_until(lambda: throttles(admin) == [])

    admin.set_topic_settings({"r-orders": {"retention.ms": "5"}})
    admin.create_bindings([Binding(life.user, "group", "r-g", "literal", "read", "allow", "*")])
    admin.set_quotas({QuotaEntity(life.user): {"request_percentage": 50.0}})
    wait_until(lambda: len(life.planned(**wanted)) == 3)
    assert life.settle(**wanted) == [
        ("alter-topic-config", "drift"),
        ("delete-acl", "drift"),
        ("set-quota", "drift"),
    ]
    seen = found.found(admin)
    assert next(one for one in seen.topics if one.name == "r-orders").settings == {
        "cleanup.policy": "compact"
    }
    assert next(one for one in seen.quotas if one.user == life.user).consumer_byte_rate == 2e6

    gone = {key: [{**one, "delete": True} for one in some] for key, some in wanted.items()}
    assert life.settle(**gone) == [
        ("shut-out-user", "git"),
        ("delete-acl", "git"),
        ("delete-acl", "git"),
        ("delete-quota", "git"),
        ("delete-topic", "git"),
    ]
    assert not admin.logins(life.passwords)[life.user]


def test_copies_go_in_place_too_and_what_is_not_ours_is_not_deleted(admin: Admin) -> None:
    life = Life(admin, "copies")
    topics = [{"name": f"r-{number}", "partitions": 3} for number in range(3)]
    life.settle(topics=topics)
    fewer = [{**one, "replication_factor": 2} for one in topics]
    assert life.settle(topics=fewer) == [("alter-replication", "git")] * 3
    partitions = [one for one in admin.metadata().partitions if one.topic in {"r-0", "r-1", "r-2"}]
    assert {len(one.replicas) for one in partitions} == {2}
    admin.delete_topics(["r-0"])
    wait_until(lambda: created(admin, "r-0"))
    wait_until(lambda: any(one.topic == "r-0" for one in admin.metadata().partitions))
    with pytest.raises(InvalidSetting, match="not the one that kdeploy made"):
        life.planned(topics=[{"name": "r-0", "delete": True}])


def test_quotas_of_everybody_of_clients_and_of_addresses_are_set_and_taken_away(admin: Admin) -> None:
    life = Life(admin, "quotas")
    quotas = [
        {"user": "*", "client_id": "r-app", "request_percentage": 150},
        {"client_id": "*", "consumer_byte_rate": "900MB/s"},
        {"client_id": "r-app", "producer_byte_rate": "900MB/s"},
        {"user": "*", "controller_mutation_rate": 1000.5},
        {"ip": "*", "connection_creation_rate": 100000},
        {"ip": "10.1.2.3", "connection_creation_rate": 5},
    ]
    assert life.settle(quotas=quotas) == [("set-quota", "git")] * len(quotas)
    gone = [{**one, "delete": True} for one in quotas]
    assert life.settle(quotas=gone) == [("delete-quota", "git")] * len(quotas)
    assert admin.quotas() == {}


def test_killed_at_every_moment_the_next_run_finishes_and_one_more_does_nothing(
    cluster: RunningCluster, admin: Admin
) -> None:
    life = Life(admin, "killed")
    seed = int(os.environ.get("KDEPLOY_TEST_SEED", str(random.randrange(10**6))))
    draw = random.Random(seed)
    print("seed", seed)
    life.settle(topics=[{"name": "r-old", "partitions": 2, "replication_factor": 1}])
    moments = [*MOMENTS, "", ""]
    for turn, moment in enumerate(moments):
        fields: dict[str, Any] = {
            "topics": [
                {
                    "name": "r-old",
                    "partitions": 3 + turn,
                    "replication_factor": 3 - 2 * (turn % 2),
                    "config": {"retention.ms": 1000000 + turn},
                },
                *({"name": f"r-new-{number}", "partitions": 2} for number in range(turn + 1)),
            ],
            "users": [
                {"name": life.user},
                {"name": f"{life.user}-{turn}", "acls": [{"name": f"r-new-{turn}", "operations": ["read"]}]},
            ],
            "quotas": [{"user": life.user, "producer_byte_rate": f"{turn + 1}MB/s"}],
        }
        life.passwords[f"{life.user}-{turn}"] = f"password {turn}"
        seconds = 0 if moment else draw.uniform(0.05, 4)
        code = life.kill(cluster.access, moment, seconds, **fields)
        # Where copies are only taken away nothing is throttled; every other moment comes.
        assert code == -signal.SIGKILL or not moment, moment
        life.settle(**fields)
        wait_until(lambda: throttles(admin) == [])
        known = record.read(admin)
        assert known.moving is None
        # Killed while a request was on its way nobody knows whose the topic is: then it counts as taken over.
        assert known.topics[f"r-new-{turn}"].made or not moment, moment
        assert known.topics[f"r-new-{turn}"].id == admin.metadata().topic_ids[f"r-new-{turn}"]


def test_while_copies_are_on_their_way_they_are_throttled_and_told(admin: Admin) -> None:
    life = Life(admin, "throttled")
    topic = {"name": "r-t", "partitions": 6, "replication_factor": 1}
    life.settle(topics=[topic])
    plan = reconcile.plan(life.environment(topics=[{**topic, "replication_factor": 3}]), admin, {})
    told: list[str] = []
    throttled: list[str] = []

    def reached(name: str) -> None:
        if name == "reassignment-started":
            # Two lists of the topic and two rates of each broker; any broker may answer, some later than others.
            wait_until(lambda: len(throttles(admin)) == 2 + 2 * 3)
            throttled.append(name)

    reconcile.carry_out(admin, plan, {}, reconcile.Manner(told=told.append, reached=reached))
    assert throttled
    assert all("partitions have their copies" in one for one in told)
    wait_until(lambda: throttles(admin) == [])


def test_a_producer_with_acks_all_goes_on_while_its_topic_gets_more_copies(
    cluster: RunningCluster, admin: Admin
) -> None:
    """Nothing is sent twice here, so one write that Kafka refuses for want of copies in sync is seen."""
    life = Life(admin, "acks")
    topic = {"name": "r-acks", "partitions": 3, "replication_factor": 1}
    life.settle(topics=[topic])
    assert int(admin.topic_settings(["r-acks"], [MIN_INSYNC])["r-acks"][MIN_INSYNC]) == 2
    with Writer(cluster.access, "r-acks") as writer:
        writer.write(3000)  # some 30 MB, which at 2 MB/s take as many seconds as they take
        plan = reconcile.plan(life.environment(topics=[{**topic, "replication_factor": 3}]), admin, {})
        (change,) = plan.changes
        assert "min.insync.replicas 1 in place of 2 meanwhile" in str(change)
        seen: list[str | None] = []

        def reached(name: str) -> None:
            if name == "reassignment-started":
                while len(seen) < 20:
                    before = writer.written
                    writer.write(20)
                    assert writer.written == before + 20, writer.refused
                    assert admin.moving(), "copies are still on their way"
                    seen.append(admin.own_topic_settings(["r-acks"])["r-acks"].own.get(MIN_INSYNC))

        reconcile.carry_out(admin, plan, {}, reconcile.Manner(rate=2_000_000, reached=reached))
        writer.write(20)
    assert set(seen) == {"1"}
    assert (writer.written, writer.refused) == (3000 + 20 * 21, [])
    assert {len(one.isr) for one in admin.metadata().partitions if one.topic == "r-acks"} == {3}
    wait_until(lambda: admin.own_topic_settings(["r-acks"])["r-acks"].own == {})


def test_the_record_is_kept_from_who_may_use_every_topic_and_not_from_the_administrator(
    cluster: RunningCluster, admin: Admin
) -> None:
    life = Life(admin, "everything")
    everything = {"name": life.user, "acls": [{"name": "*", "operations": ["all"]}]}
    life.settle(topics=[{"name": "r-mine", "partitions": 1}], users=[everything])
    assert record.GUARD in admin.bindings()

    def may_use(topic: str) -> bool:
        answers = set()
        for broker in cluster.blueprint.brokers:
            place = broker.host, broker.ports["client"]
            tls, password = context(cluster.access.authority), life.passwords[life.user]
            answers.add(topic_error(*place, tls, life.user, password, topic, proxy=None))
        assert answers <= {0, NOT_ALLOWED}, answers
        return 0 in answers

    wait_until(lambda: may_use("r-mine"))
    assert not may_use(record.TOPIC)
    assert record.read(admin).users[life.user].made, "the administrator wrote it, and reads it"
    admin.delete_bindings([record.GUARD])
    wait_until(lambda: may_use(record.TOPIC))
    wait_until(lambda: ("create-acl", "git") in life.planned(users=[everything]))
    life.settle(users=[everything])
    wait_until(lambda: not may_use(record.TOPIC))


class Writer:
    """A producer that writes with acks=all, as the administrator, and sends nothing a second time."""

    def __init__(self, access: Access, topic: str) -> None:
        from confluent_kafka import Producer

        self.topic, self.written = topic, 0
        self.refused: list[str] = []
        self._producer = Producer(
            {
                "bootstrap.servers": access.bootstrap,
                "security.protocol": "SSL",
                "ssl.ca.location": str(access.authority),
                "ssl.certificate.location": str(access.certificate),
                "ssl.key.location": str(access.certificate),
                "acks": "all",
                "retries": 0,
            }
        )

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, *_: object) -> None:
        self._producer.flush(60)

    def write(self, count: int) -> None:
        for _ in range(count):
            self._producer.produce(self.topic, os.urandom(10_000), on_delivery=self._delivered)
            self._producer.poll(0)
        assert self._producer.flush(60) == 0

    def _delivered(self, error: Any, _: Any) -> None:
        if error is None:
            self.written += 1
        else:
            self.refused.append(str(error))


def created(admin: Admin, name: str) -> bool:
    """Whether a topic could be created: with ZooKeeper a deleted one is in the way for some time."""
    try:
        admin.create_topics([NewTopic(name, 1, 1)])
    except ClusterError:
        return False
    return True


def wait_until(holds: Any) -> None:
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.1)
