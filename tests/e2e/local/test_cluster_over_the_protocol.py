"""The cluster room against real Kafka, in both modes: reading, changing, proving, and leaving nothing behind."""

from __future__ import annotations

import pickle
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from kdeploy.cluster import gate, health, login, reconcile, temporary, verify
from kdeploy.cluster.admin import Admin, connect
from kdeploy.cluster.failure import AuthenticationFailed, ClusterError, Unreachable
from kdeploy.errors import InvalidSetting
from kdeploy.spec.model import Environment
from tests.e2e.local.conftest import RunningCluster

pytestmark = pytest.mark.kafka

PASSWORDS = {"e2e-alice": "a password of alice", "e2e-bob": "a password of bob"}

KILLED = """
import os, pickle, signal, sys
from kdeploy.cluster import roundtrip, verify
roundtrip.produce = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
verify.verify(*pickle.load(sys.stdin.buffer))
"""
"""A verify that is killed with everything put up."""


@pytest.fixture(params=["zookeeper_cluster", "kraft_cluster"])
def cluster(request: pytest.FixtureRequest) -> RunningCluster:
    found: RunningCluster = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def admin(cluster: RunningCluster) -> Iterator[Admin]:
    with connect(cluster.access) as connected:
        yield connected
        mine = [one for one in connected.bindings() if one.user in PASSWORDS]
        connected.delete_bindings(mine)
        connected.delete_users(PASSWORDS)
        topics = {one.topic for one in connected.metadata().partitions}
        connected.delete_topics([name for name in topics if name.startswith("e2e-")])


def traces(admin: Admin) -> set[str]:
    """Everything in the cluster that verify may have made."""
    names = {one.topic for one in admin.metadata().partitions}
    names |= {one.name for one in admin.bindings()}
    return {name for name in names if name.startswith(temporary.PREFIX)}


def nothing_left(admin: Admin) -> bool:
    """Whether no trace is left: any broker may answer, and one learns of a removal later than another."""
    deadline = time.monotonic() + temporary.GONE_IN
    while found := traces(admin):
        if time.monotonic() > deadline:
            print("left:", sorted(found))
            return False
        time.sleep(0.1)
    return True


def test_every_check_holds_on_a_whole_cluster_and_nothing_is_left(
    cluster: RunningCluster, admin: Admin
) -> None:
    report = verify.verify(cluster.access, cluster.environment, cluster.blueprint)
    assert report.ok, [one for one in report.checks if not one.ok]
    names = [one.name for one in report.checks]
    assert len(names) == len(set(names)) == 11
    assert nothing_left(admin)


def test_the_quick_checks_change_nothing_and_hold(cluster: RunningCluster, admin: Admin) -> None:
    before = health.observe(admin)
    report = verify.check(admin, cluster.access, cluster.blueprint)
    assert report.ok, report.checks
    assert health.observe(admin).partitions == before.partitions


def test_what_a_killed_verify_left_is_removed_by_the_next_one(cluster: RunningCluster, admin: Admin) -> None:
    given = pickle.dumps((cluster.access, cluster.environment, cluster.blueprint))
    ended = subprocess.run([sys.executable, "-c", KILLED], input=given, check=False)
    assert ended.returncode == -signal.SIGKILL
    assert any(name.endswith("-records") for name in traces(admin))
    assert verify.verify(cluster.access, cluster.environment, cluster.blueprint).ok
    assert nothing_left(admin)


def declared(**fields: Any) -> Environment:
    return Environment.model_validate({"name": "e2e", **fields})


def settle(admin: Admin, wanted: Environment, passwords: dict[str, str] = PASSWORDS) -> list[str]:
    changes = reconcile.changes(wanted, admin, passwords)
    reconcile.apply(admin, changes, passwords)
    return [change.kind for change in changes]


def test_topics_users_and_acls_become_what_is_declared_and_stay_so(admin: Admin) -> None:
    alice = {"name": "e2e-alice", "acls": [{"name": "e2e-orders", "operations": ["read", "describe"]}]}
    orders = {"name": "e2e-orders", "partitions": 2, "config": {"cleanup.policy": "compact, delete"}}
    first = declared(topics=[orders], users=[alice, {"name": "e2e-bob"}])
    assert settle(admin, first) == ["create-topic", "create-user", "create-user", "create-acl", "create-acl"]
    assert settle(admin, first) == []
    assert admin.logins(PASSWORDS) == {"e2e-alice": True, "e2e-bob": True}

    group = {"resource": "group", "name": "e2e-", "pattern": "prefixed", "operations": ["read"]}
    alice["acls"] = [{"name": "e2e-orders", "operations": ["read"]}, group]
    orders |= {"partitions": 3, "config": {"cleanup.policy": "delete", "retention.ms": 86400000}}
    second = declared(topics=[orders], users=[alice, {"name": "e2e-bob"}])
    assert settle(admin, second) == ["add-partitions", "alter-topic-config", "create-acl", "delete-acl"]
    assert settle(admin, second) == []

    renewed = {**PASSWORDS, "e2e-bob": "another password"}
    assert settle(admin, second, renewed) == ["set-password"]
    assert admin.logins(PASSWORDS) == {"e2e-alice": True, "e2e-bob": False}


def test_fewer_partitions_are_refused_and_an_unknown_setting_is_named(admin: Admin) -> None:
    settle(admin, declared(topics=[{"name": "e2e-orders", "partitions": 2}]))
    with pytest.raises(InvalidSetting, match="cannot take any away"):
        settle(admin, declared(topics=[{"name": "e2e-orders", "partitions": 1}]))
    with pytest.raises(ClusterError, match=r"retention\.mss"):
        settle(admin, declared(topics=[{"name": "e2e-orders", "config": {"retention.mss": 1}}]))


def test_the_gate_names_a_topic_that_can_spare_no_broker(admin: Admin) -> None:
    settle(admin, declared(topics=[{"name": "e2e-single", "partitions": 3, "replication_factor": 1}]))
    state = health.observe(admin)
    assert gate.settled(state, {1, 2, 3}).open
    assert "e2e-single" in "\n".join(gate.judge(state, 1).reasons)
    assert gate.judge(state, 1, accepted={"e2e-single"}).open


def test_a_password_is_told_right_from_wrong_at_every_broker(cluster: RunningCluster, admin: Admin) -> None:
    admin.set_passwords({"e2e-bob": PASSWORDS["e2e-bob"]})
    tls = login.context(cluster.access.authority)
    for host, port in login.addresses(cluster.access.client_bootstrap):
        deadline = time.monotonic() + 60
        while not login.accepted(host, port, tls, "e2e-bob", PASSWORDS["e2e-bob"], proxy=None):
            assert time.monotonic() < deadline
        assert not login.accepted(host, port, tls, "e2e-bob", "wrong", proxy=None)
        assert not login.accepted(host, port, tls, "e2e-nobody", "wrong", proxy=None)


def test_nobody_there_says_who_was_tried_and_why_and_leaves_no_thread(
    zookeeper_cluster: RunningCluster,
) -> None:
    before = set(threading.enumerate())
    with pytest.raises(Unreachable, match="localhost:1: connection refused"):
        connect(replace(zookeeper_cluster.access, bootstrap="localhost:1"), timeout=0.5)
    assert set(threading.enumerate()) <= before


def test_a_certificate_of_the_wrong_authority_is_turned_away(zookeeper_cluster: RunningCluster) -> None:
    access = zookeeper_cluster.access
    assert access.node_identity is not None
    with pytest.raises(AuthenticationFailed, match="no broker accepts the administrator's certificate"):
        connect(replace(access, certificate=access.node_identity), timeout=0.5)


def test_observing_hundreds_of_topics_stays_quick(kraft_cluster: RunningCluster) -> None:
    with connect(kraft_cluster.access) as admin:
        names = [f"e2e-many-{number}" for number in range(300)]
        try:
            settle(admin, declared(topics=[{"name": name, "partitions": 3} for name in names]))
            health.observe(admin)
            began = time.monotonic()
            state = health.observe(admin)
            assert time.monotonic() - began < 3
            assert sum(one.topic in set(names) for one in state.partitions) == 900
        finally:
            admin.delete_topics(names)
